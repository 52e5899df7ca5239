"""Rows that come and go: fits of chunks against fits of all rows, and what is refused."""

import numpy as np
import pytest

from subquad.activations import GELU, ReLU
from subquad.lowrank import LowRankMaintenance
from subquad.networks import LastLayer, WideNetwork
from subquad.solvers import merge_repeats
from subquad.training import LastLayerGaussNewton, TrainingWarning

RNG = np.random.default_rng(0)
X = RNG.standard_normal((48, 5))
Y = np.column_stack([np.sin(X[:, 0]) * X[:, 1], X[:, 2] ** 2])
PARTS = [slice(0, 20), slice(20, 34), slice(34, 48)]
READOUT = RNG.choice([-1.0, 1.0], 300) / 12
WEIGHTS = RNG.standard_normal((300, 5)) / 10


def network(dtype=np.float64, **options):
    return WideNetwork(5, width=2048, rng=0, dtype=dtype, activation=ReLU(), **options)


def smooth(rows):
    return LastLayer(X[rows], X[rows] @ WEIGHTS.T, READOUT, GELU())


def objective(trainer, mu):
    return trainer.residual_norm**2 + mu * trainer.change_norm**2


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("options", [{}, {"n_outputs": 2}, {"n_outputs": 2, "readout": "dense"}])
def test_chunks_are_interpolated_as_all_rows_are(dtype, options):
    net, C = network(dtype, **options), options.get("n_outputs", 1)
    rows, y = X.astype(dtype), Y[:, :C]
    trainer = LastLayerGaussNewton(net.last_layer(rows[PARTS[0]]), y[PARTS[0]]).run()
    for part in PARTS[1:]:
        assert trainer.partial_fit(net.last_layer(rows[part]), y[part]) is trainer
    assert trainer.converged
    tol = 1e-8 if dtype == np.float64 else 1e-4
    np.testing.assert_allclose(trainer.outputs, y, atol=tol)
    np.testing.assert_allclose(net.outputs(rows, trainer.factors), y, atol=tol)
    A, V = (factor.astype(np.float64) for factor in trainer.factors)
    change = np.sqrt(np.vdot(A @ A.T, V @ V.T))
    np.testing.assert_allclose(trainer.change_norm, change, rtol=100 * np.finfo(dtype).eps)


def test_one_minimum_is_found_by_chunks_and_at_once():
    """Of a smooth activation. Both end where F promises to fall by 1e-9 of |r_0|^2 at most."""
    options = {"regularization": 1.0, "tol": 1e-9, "sample_weight": np.full(48, 2.0)}
    full = LastLayerGaussNewton(smooth(slice(None)), Y[:, 0], **options).run()
    options["sample_weight"] = np.full(20, 2.0)
    trainer = LastLayerGaussNewton(smooth(PARTS[0]), Y[PARTS[0], 0], **options).run()
    for part in PARTS[1:]:
        weights = np.full(14, 2.0)
        trainer.partial_fit(smooth(part), Y[part, 0], weights)
    assert trainer.converged
    assert full.converged
    np.testing.assert_allclose(objective(trainer, 1.0), objective(full, 1.0), rtol=1e-6)
    np.testing.assert_allclose(trainer.outputs, full.outputs, atol=1e-3)
    some = np.r_[0:10, 30:48]
    options["sample_weight"] = np.full(28, 2.0)
    part = LastLayerGaussNewton(smooth(some), Y[some, 0], **options).run()
    trainer.forget(range(10, 30))
    np.testing.assert_array_equal(trainer.rows, some)
    np.testing.assert_allclose(objective(trainer, 1.0), objective(part, 1.0), rtol=1e-6)
    np.testing.assert_allclose(trainer.outputs, part.outputs, atol=1e-3)


@pytest.mark.filterwarnings("ignore::subquad.training.TrainingWarning")
def test_kinks_leave_a_few_percent_of_the_objective():
    """The minimum that is met depends on the start: 5 % is what kinks were seen to leave."""
    net, options = network(), {"regularization": 1.0, "search_kinks": False, "centred": True}
    full = LastLayerGaussNewton(net.last_layer(X), Y[:, 0], **options).run()
    trainer = LastLayerGaussNewton(net.last_layer(X[PARTS[0]]), Y[PARTS[0], 0], **options).run()
    for part in PARTS[1:]:
        trainer.partial_fit(net.last_layer(X[part]), Y[part, 0])
    assert objective(trainer, 1.0) < 1.05 * objective(full, 1.0)
    np.testing.assert_allclose(
        trainer.outputs,
        net.outputs(X, trainer.factors, centred=True),
        atol=1e-9,
    )


def test_forgetting_returns_to_the_fit_without_the_rows():
    net = network()
    trainer = LastLayerGaussNewton(net.last_layer(X), Y[:, 0]).run()
    trainer.forget([0, 5, 47, 5])
    others = np.delete(np.arange(48), [0, 5, 47])
    np.testing.assert_array_equal(trainer.rows, others)
    assert trainer.converged
    assert len(trainer.factors[0]) == 45
    np.testing.assert_allclose(trainer.outputs[:, 0], Y[others, 0], atol=1e-8)
    new = net.last_layer(X[[0]])
    trainer.partial_fit(new, Y[[0], 0])
    assert trainer.rows[-1] == 48  # numbers are not given twice
    np.testing.assert_allclose(new.outputs(trainer.factors)[0, 0], Y[0, 0], atol=1e-8)


def test_a_window_over_a_stream():
    net = network()
    trainer = LastLayerGaussNewton(net.last_layer(X[:16]), Y[:16, 0]).run()
    for first in (16, 32):
        rows = slice(first, first + 16)
        trainer.partial_fit(net.last_layer(X[rows]), Y[rows, 0])
        trainer.forget(range(first - 16, first))
        np.testing.assert_array_equal(trainer.rows, np.arange(first, first + 16))
        np.testing.assert_allclose(trainer.outputs[:, 0], Y[rows, 0], atol=1e-8)


@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_the_gram_matrix_is_that_of_all_rows(shift):
    """A shift of 1 keeps the features in CSR."""
    net = WideNetwork(5, width=2048, rng=0)
    assert net.activation.shift == 1.0
    net = net if shift else network()
    trainer = LastLayerGaussNewton(net.last_layer(X[:20]), Y[:20, 0])
    trainer.partial_fit(net.last_layer(X[20:]), Y[20:, 0])
    K = net.last_layer(X).gram()
    np.testing.assert_allclose(trainer._fit.state.K, K, rtol=1e-12, atol=1e-12)
    trainer.forget([3])
    others = np.delete(np.arange(48), 3)
    np.testing.assert_allclose(trainer._fit.state.K, K[np.ix_(others, others)], atol=1e-12)


@pytest.mark.filterwarnings("ignore::subquad.training.TrainingWarning")
def test_leave_one_out_chooses_anew_once_the_rows_have_doubled():
    net, options = network(), {"regularization": "loo", "tol": 1e-2, "search_kinks": False}
    trainer = LastLayerGaussNewton(net.last_layer(X[:20]), Y[:20, 0], **options).run()
    first = trainer.regularization_
    trainer.partial_fit(net.last_layer(X[20:30]), Y[20:30, 0])
    assert trainer.regularization_ == first
    trainer.partial_fit(net.last_layer(X[30:]), Y[30:, 0])
    full = LastLayerGaussNewton(net.last_layer(X), Y[:, 0], **options).run()
    assert trainer.regularization_ == pytest.approx(full.regularization_, rel=1e-6)
    np.testing.assert_allclose(trainer.outputs, full.outputs, atol=1e-8)


def test_labels_and_offsets_come_in_chunks():
    net, labels = network(), (Y[:, 0] > 0).astype(int)
    options = {"loss": "logistic", "regularization": 1.0, "tol": 1e-8, "search_kinks": False}
    offset = np.full((48, 1), 0.25)
    trainer = LastLayerGaussNewton(
        net.last_layer(X[:20]), labels[:20], centred=offset[:20], max_steps=3, **options
    )
    with pytest.warns(TrainingWarning, match="max_steps"):
        trainer.run()
    with pytest.warns(TrainingWarning, match="max_steps"):
        trainer.partial_fit(net.last_layer(X[20:]), labels[20:], centred=offset[20:])
    assert len(trainer.outputs) == 48
    np.testing.assert_allclose(trainer.outputs, net.outputs(X, trainer.factors) - offset, atol=1e-9)
    with pytest.raises(ValueError, match="centred must be an array, as at first; got NoneType"):
        trainer.partial_fit(net.last_layer(X[:2]), labels[:2])


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([48], "rows must be numbers of rows that the trainer has; got 48, which was never given."),
        ([-1], "rows must be numbers of rows that the trainer has; got -1, which was never given."),
        ([0], "got 0, which was forgotten before."),
        (range(1, 48), "rows must leave at least 1 row to fit; got all of them."),
        ([0.5], "rows must"),
        ("all", "rows must"),
    ],
)
def test_rows_that_cannot_be_forgotten(rows, message):
    trainer = fitted()
    trainer.forget([0])
    before = trainer.outputs
    with pytest.raises((TypeError, ValueError)) as caught:
        trainer.forget(rows)
    assert message in str(caught.value)
    assert trainer.outputs is before or np.array_equal(trainer.outputs, before)


def fitted(**options):
    return LastLayerGaussNewton(network().last_layer(X), Y[:, 0], **options).run()


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (network(np.float32), "layer must have the dtype of the first, float64; got float32."),
        (WideNetwork(5, width=1024, rng=0, activation=ReLU()), "the width of the first, 2048; got"),
        (WideNetwork(5, width=2048, rng=0), "layer must have the activation of the first"),
        (WideNetwork(5, width=2048, rng=1, activation=ReLU()), "got another readout."),
        (network(n_outputs=2), "layer must have the number of outputs of the first, 1; got 2."),
    ],
)
def test_layers_of_other_networks_are_refused_and_nothing_is_lost(layer, message):
    trainer = fitted()
    before, history = trainer.outputs, list(trainer.history)
    with pytest.raises(ValueError, match="layer must") as caught:
        trainer.partial_fit(layer.last_layer(X[:3].astype(layer.dtype)), Y[:3, 0])
    assert message in str(caught.value)
    with pytest.raises(ValueError, match="y must"):
        trainer.partial_fit(network().last_layer(X[:3]), Y[:2, 0])
    with pytest.raises(TypeError, match="layer must be a LastLayer; got WideNetwork"):
        trainer.partial_fit(layer, Y[:3, 0])
    np.testing.assert_array_equal(trainer.outputs, before)
    assert trainer.history == history
    assert trainer.converged


def test_what_has_no_other_rows():
    layer = network().last_layer(X)
    _, _, repeats = merge_repeats([*range(47), 47, 47], np.ones((49, 1)), np.ones(49))
    trainer = LastLayerGaussNewton(layer, Y[:, 0], repeats=repeats, regularization=1.0)
    with pytest.raises(ValueError, match="repeats must be None for rows to come and go"):
        trainer.forget([0])
    W = np.linalg.lstsq(layer.features, layer.preactivations, rcond=None)[0].T
    own = LastLayer(layer.features, layer.features @ W.T, layer.readout, ReLU())
    kept = LowRankMaintenance(W)
    trainer = LastLayerGaussNewton(own, Y[:, 0], maintenance=kept)
    with pytest.raises(ValueError, match="maintenance must be None for rows to come and go"):
        trainer.partial_fit(own, Y[:, 0])


def test_states_are_of_the_first_rows():
    trainer = fitted()
    state = trainer.state_dict()
    trainer.forget([0])
    with pytest.raises(ValueError, match="state must be of the rows that the trainer was made"):
        trainer.state_dict()
    with pytest.raises(ValueError, match="state must be of the rows that the trainer was made"):
        trainer.load_state_dict(state)
