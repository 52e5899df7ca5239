"""An interrupted fit goes on after its last whole step and ends as if it had not been."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest
from layers import quietly
from test_io_refusals import rewrite

from subquad.io import Checkpoint, ModelFileError, load_model
from subquad.networks import WideNetwork
from subquad.training import LastLayerGaussNewton

pytest.importorskip("sklearn")
X = np.random.default_rng(0).standard_normal((60, 4))
Y = np.sin(X @ np.random.default_rng(1).standard_normal((4, 3)))
Y = Y + 0.3 * np.random.default_rng(2).standard_normal(Y.shape)


def same_bits(first, second):
    """Whether two trainers stand at the same place."""
    np.testing.assert_array_equal(first.outputs, second.outputs)
    for one, other in zip(first.factors, second.factors, strict=True):
        np.testing.assert_array_equal(one, other)
    assert first.message == second.message
    assert first.loo_error == second.loo_error
    assert repr([vars(r) | {"seconds": 0} for r in first.history]) == repr(
        [vars(r) | {"seconds": 0} for r in second.history]
    )


@pytest.mark.parametrize("readout", ["partition", "dense"])
@pytest.mark.parametrize("regularization", [0.0, 1e-3, "loo"])
def test_a_trainer_goes_on_after_any_step_in_the_same_bits(dtype, readout, regularization):
    network = WideNetwork(4, width=768, n_outputs=3, readout=readout, rng=1, dtype=dtype)
    layer = network.last_layer(X)
    states = []

    def new(**options):
        tol = 1e-9 if regularization else None
        options = {"regularization": regularization, "tol": tol, "max_steps": 9, **options}
        return LastLayerGaussNewton(layer, Y, centred=True, **options)

    whole = new(callback=lambda record: states.append(whole.state_dict()))
    quietly(whole.run)
    assert len(states) == len(whole.history) > 2
    for state in states:
        resumed = new()
        resumed.load_state_dict(state)
        same_bits(quietly(resumed.run), whole)


def test_a_state_after_an_interruption_is_that_of_the_last_whole_step(monkeypatch):
    layer = WideNetwork(4, width=768, n_outputs=3, rng=1).last_layer(X)
    options = {"regularization": 1e-3, "tol": 1e-9, "max_steps": 9}
    whole = quietly(LastLayerGaussNewton(layer, Y, **options).run)
    state_class = type(whole._fit.state)
    for name in ("linearise", "propose", "accept", "restore"):
        stopped = LastLayerGaussNewton(layer, Y, **options)
        calls = []

        method = getattr(state_class, name)

        def interrupt(self, *args, method=method, calls=calls, **options):
            calls.append(1)
            if len(calls) == 4:
                raise KeyboardInterrupt
            return method(self, *args, **options)

        with monkeypatch.context() as patch:
            patch.setattr(state_class, name, interrupt)
            try:
                quietly(stopped.run)
            except KeyboardInterrupt:
                pass
        resumed = LastLayerGaussNewton(layer, Y, **options)
        resumed.load_state_dict(stopped.state_dict())
        same_bits(quietly(resumed.run), whole)


def test_a_state_of_another_fit_is_refused():
    layer = WideNetwork(4, width=768, n_outputs=3, rng=1).last_layer(X)
    trainer = LastLayerGaussNewton(layer, Y, regularization=1e-3)
    trainer.step()
    state = trainer.state_dict()
    with pytest.raises(ValueError, match="state must be loaded before the first step"):
        trainer.load_state_dict(state)
    other = WideNetwork(4, width=768, n_outputs=3, rng=2).last_layer(X)
    for changed, name in [
        (LastLayerGaussNewton(layer, Y + 1e-15, regularization=1e-3), "initial|network"),
        (LastLayerGaussNewton(other, Y, regularization=1e-3), "initial|network"),
        (LastLayerGaussNewton(layer, Y, regularization=1e-2), "regularization"),
        (LastLayerGaussNewton(layer, Y, regularization=1e-3, tol=0.1), "tol"),
        (LastLayerGaussNewton(layer, Y, regularization=1e-3, max_steps=9), "max_steps"),
        (LastLayerGaussNewton(layer, Y[:, :3], regularization=0.0), "regularization"),
    ]:
        with pytest.raises(ValueError, match=f"state must be of a fit with the same ({name})"):
            changed.load_state_dict(state)
    moved = LastLayerGaussNewton(layer, Y, regularization=1e-3)
    with pytest.raises(ValueError, match="state must be resumed by the arithmetic that made it"):
        moved.load_state_dict({**state, "coefficients": state["coefficients"] * (1 + 1e-12)})


@pytest.mark.parametrize("wrong", [None, -1, "text", [None], {"a": 1}, "missing"])
def test_what_is_no_state_is_refused_in_one_sentence(wrong):
    layer = WideNetwork(4, width=768, n_outputs=3, rng=1).last_layer(X)
    trainer = LastLayerGaussNewton(layer, Y, regularization=1e-3)
    trainer.step()
    whole = trainer.state_dict()
    for part in whole:
        state = {**whole, part: wrong}
        if wrong == "missing":
            del state[part]
        other = LastLayerGaussNewton(layer, Y, regularization=1e-3)
        with pytest.raises(ValueError, match=r"^state must be .*[.)]$"):
            other.load_state_dict(state)
    other = LastLayerGaussNewton(layer, Y, regularization=1e-3)
    with pytest.raises(ValueError, match="state must be what state_dict returned; got int"):
        other.load_state_dict(3)
    with pytest.raises(ValueError, match="solver must be 'exact' for a fit that can be resumed"):
        LastLayerGaussNewton(layer, Y, solver="pcg").state_dict()


# In files, by an estimator.


def estimator_with(callback, **options):
    from subquad.estimators import GaussNewtonRegressor

    options = {"width": 768, "random_state": 0, "max_steps": 6, "tol": 1e-9, **options}
    return GaussNewtonRegressor(**options, callback=callback)


class Stop:
    """Interrupts a fit after so many steps."""

    def __init__(self, n_steps):
        self.n_steps = n_steps

    def __call__(self, record):
        if record.step == self.n_steps:
            raise KeyboardInterrupt


@pytest.fixture
def interrupted(tmp_path):
    """The checkpoint of a fit that was interrupted after its second step."""
    path = tmp_path / "fit.checkpoint"
    checkpoint = Checkpoint(path, about={"seed": 0}, callback=Stop(2))
    with pytest.raises(KeyboardInterrupt):
        quietly(estimator_with(checkpoint).fit, X, Y)
    assert checkpoint.save()
    return path


def test_an_estimator_goes_on_in_the_same_bits(interrupted):
    whole = quietly(estimator_with(None).fit, X, Y)
    seen = []
    checkpoint = Checkpoint(interrupted, resume=True, about={"seed": 0}, callback=seen.append)
    resumed = quietly(estimator_with(checkpoint).fit, X, Y)
    assert [record.step for record in seen] == [record.step for record in whole.history_[2:]]
    assert seen
    np.testing.assert_array_equal(resumed.predict(X), whole.predict(X))
    np.testing.assert_array_equal(resumed.factors_[0], whole.factors_[0])
    assert resumed.loo_error_ == whole.loo_error_
    checkpoint.remove()
    assert not os.listdir(interrupted.parent)


def test_a_checkpoint_of_another_fit_or_no_checkpoint_is_refused(interrupted, tmp_path):
    for about, options, data, part in [
        ({"seed": 1}, {}, X, "resumed with the same seed; it has 0, got 1"),
        ({}, {}, X, "resumed with the same seed; it has 0, got None"),
        ({"seed": 0}, {"random_state": 1}, X, "same (initial|network)"),
        (
            {"seed": 0},
            {"regularization": 0.5},
            X,
            r"same regularization; got ('loo'|[\d.]+), and this one has 0\.5",
        ),
        ({"seed": 0}, {}, X + 1e-9, "same (initial|network)"),
        ({"seed": 0}, {}, X[:-1], "same number of data points"),
    ]:
        estimator = estimator_with(Checkpoint(interrupted, resume=True, about=about), **options)
        with pytest.raises(ModelFileError, match=part):
            quietly(estimator.fit, data, Y[: len(data)])
    with pytest.raises(ModelFileError, match="must be a subquad model; it holds a 'subquad check"):
        load_model(interrupted)
    interrupted.write_bytes(interrupted.read_bytes()[:-1])
    with pytest.raises(ModelFileError, match="must be a subquad checkpoint; it is of another"):
        quietly(estimator_with(Checkpoint(interrupted, resume=True)).fit, X, Y)
    with pytest.raises(FileNotFoundError):
        quietly(estimator_with(Checkpoint(tmp_path / "none", resume=True)).fit, X, Y)


def test_a_checkpoint_of_networks_with_other_weights_is_refused_with_the_cause():
    """The file was written by subquad 0.1.0, whose networks drew weights by NumPy's generator."""
    points = np.linspace(-1, 1, 24).reshape(12, 2) ** 3
    checkpoint = Checkpoint(Path(__file__).parent / "files" / "version_1.checkpoint", resume=True)
    options = {"width": 40, "shift": 0.0, "tol": None, "max_steps": 2}
    cause = r"this fit; state must be .*\. Networks of the subquad that wrote it drew other weights"
    with pytest.raises(ModelFileError, match=cause):
        quietly(estimator_with(checkpoint, **options).fit, points, points[:, 0] * points[:, 1])


@pytest.mark.parametrize(
    "change",
    [
        lambda header, entries: header["state"].pop("rule"),
        lambda header, entries: header["state"].update(moves=[1]),
        lambda header, entries: header["state"].update(identity=None),
        lambda header, entries: header["state"].update(linearised_at="x"),
        lambda header, entries: header["state"].update(history=[{"step": {"dict": {}}}]),
        lambda header, entries: header.update(state={}),
    ],
)
def test_a_forged_checkpoint_is_refused(interrupted, change):
    rewrite(interrupted, change)
    with pytest.raises(ModelFileError, match="must be a checkpoint of this fit"):
        quietly(estimator_with(Checkpoint(interrupted, resume=True, about={"seed": 0})).fit, X, Y)


def test_a_checkpoint_that_cannot_be_written_costs_a_warning_and_no_fit(tmp_path):
    with pytest.warns(UserWarning, match="goes on without a checkpoint") as caught:
        model = estimator_with(
            Checkpoint(tmp_path / "none" / "c"), tol=0.5, regularization=1.0
        ).fit(X, Y)
    assert sum("checkpoint" in str(warning.message) for warning in caught) == 1
    assert len(model.history_) >= 1


def test_a_disk_that_fills_keeps_the_checkpoint_before(tmp_path, monkeypatch):
    """The fit goes on, and can be resumed from the step that was kept."""
    path, synced = tmp_path / "c", os.fsync

    def fills(number):
        synced(number)
        if path.exists():
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("subquad.io._checkpoint.SHARE", np.inf)  # every step is due
    monkeypatch.setattr(os, "fsync", fills)
    options = {"tol": 1e-9, "regularization": 0.0}
    with pytest.warns(UserWarning, match="goes on without a checkpoint.*No space left"):
        model = estimator_with(Checkpoint(path), **options).fit(X, Y)
    monkeypatch.undo()
    assert os.listdir(tmp_path) == ["c"]
    goes_on = estimator_with(Checkpoint(path, resume=True), **options).fit(X, Y)
    np.testing.assert_array_equal(goes_on.predict(X), model.predict(X))


def test_a_file_that_is_no_checkpoint_is_not_removed(tmp_path):
    (tmp_path / "c").write_text("mine")
    Checkpoint(tmp_path / "c").remove()
    assert os.listdir(tmp_path) == ["c"]


@pytest.mark.parametrize(
    ("path", "options", "message"),
    [
        (3.5, {}, "path must be a string or path-like; got float."),
        ("a\0b", {}, "path must name a file"),
        ("a", {"about": [1]}, "about must be a dict or None; got list."),
        ("a", {"resume": 1}, "resume must be True or False; got int."),
        ("a", {"callback": "a"}, "callback must be callable; got str."),
    ],
)
def test_a_checkpoint_refuses_what_it_cannot_use(path, options, message):
    with pytest.raises((TypeError, ValueError), match=message):
        Checkpoint(path, **options)


def test_a_checkpoint_begins_with_a_trainer_whose_steps_can_be_kept():
    with pytest.raises(TypeError, match="trainer must be a LastLayerGaussNewton; got int"):
        Checkpoint("a").begin(3)
