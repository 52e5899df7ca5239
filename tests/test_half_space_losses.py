"""Half-space SGD with every loss is dense SGD with it; and which iterate it returns."""

import pickle
import re

import numpy as np
import pytest
import reference_half_space_sgd as reference
from scipy import stats

from subquad.networks import PairedNetwork
from subquad.training import HalfSpaceSGD, HuberLoss, LogisticLoss, TrainingWarning

LOSSES = ["squared", "absolute", "huber", "logistic", "hinge"]
ITERATES = ["last", "averaged", "random"]


def network(d=3, **options):
    return PairedNetwork(d, **{"width": 600, "scale": 2.0, "rng": 1, **options})


def readout(net):
    return net.scale * net.signs.astype(float)


def stream(rng, n_steps, loss="squared", d=3, b=8, n_outputs=1):
    """Mini-batches of a polynomial and its powers, or of their signs as labels."""
    for _ in range(n_steps):
        X = reference.sphere(b, d, rng)
        y = 4 * X[:, 0] * X[:, 1] + X[:, -1]
        y = np.column_stack([y ** (c + 1) - 0.2 * c for c in range(n_outputs)])
        yield X, np.where(y > 0, 1.0, -1.0) if loss in ("logistic", "hinge") else y


def fired_of(trainer, X):
    """Who fires at the rows of X, as the report says, dense."""
    indptr, indices, _ = trainer._rows.query(X)
    fired = np.zeros((len(X), trainer.network.width), bool)
    for i in range(len(X)):
        fired[i, indices[indptr[i] : indptr[i + 1]]] = True
    return fired


def run_by_steps(trainer, batches):
    """Take steps, which do not stop where the loss has only grown."""
    for X, y in batches:
        trainer.step(X, y)


# The weights agree to 1e-12: that an inner product of the 20 x 8 x 600 here is so near its
# threshold that who fires differs has a chance of about 1e-7 in a new seed.
@pytest.mark.parametrize("n_outputs", [1, 3])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("report", ["tree", "scan", None])
def test_every_step_fires_and_moves_as_dense_sgd_does(rng, report, loss, n_outputs):
    net = network(n_outputs=n_outputs)
    trainer = HalfSpaceSGD(net, learning_rate=2.0, loss=loss, report=report)
    W = net.weights.copy()
    for X, y in stream(rng, 20, loss, n_outputs=n_outputs):
        fired_here = fired_of(trainer, X)
        W, value, fired = reference.loss_step(
            W, readout(net), net.shift, net.scale, 2.0, X, y, loss
        )
        np.testing.assert_array_equal(fired_here, fired)
        assert trainer.step(X, y).loss == pytest.approx(value, rel=1e-9)
    np.testing.assert_allclose(trainer.weights, W, rtol=0, atol=1e-12 * np.abs(W).max())
    X = reference.sphere(50, 3, rng)
    expected = reference.outputs(W, readout(net), net.shift, X)
    np.testing.assert_allclose(trainer.outputs(X), expected, rtol=0, atol=1e-10)


def test_the_default_is_the_squared_loss_bit_for_bit(rng):
    batches = list(stream(rng, 10))
    plain, named = HalfSpaceSGD(network()), HalfSpaceSGD(network(), loss="squared", iterate="last")
    np.testing.assert_array_equal(plain.run(batches).weights, named.run(batches).weights)
    assert plain.history == named.history
    assert plain.loss.name == "squared"


@pytest.mark.parametrize("loss", ["logistic", "hinge"])
def test_labels_zero_and_one_are_those_of_two_signs(rng, loss):
    batches = list(stream(rng, 10, loss))
    signs, bits, integers = (
        HalfSpaceSGD(network(), loss=loss).run([(X, label(y)) for X, y in batches]).weights
        for label in (np.asarray, lambda y: (y + 1) / 2, lambda y: (y > 0).astype(int)[:, 0])
    )
    np.testing.assert_array_equal(signs, bits)
    np.testing.assert_array_equal(signs, integers)


def test_a_loss_may_be_an_object(rng):
    batches = list(stream(rng, 10))
    small, one, named = (
        HalfSpaceSGD(network(), loss=loss).run(batches).weights
        for loss in (HuberLoss(0.1), HuberLoss(1.0), "huber")
    )
    np.testing.assert_array_equal(one, named)
    assert not np.array_equal(small, one)


def test_the_automatic_rate_is_divided_by_the_curvature(rng):
    batches = list(stream(rng, 1, "logistic"))
    rates = {
        loss: HalfSpaceSGD(network(), learning_rate="auto", loss=loss).run(batches).learning_rate
        for loss in LOSSES
    }
    assert rates["logistic"] == 4 * rates["squared"]
    assert {rates[loss] for loss in LOSSES if loss != "logistic"} == {rates["squared"]}


@pytest.mark.parametrize("dynamics", ["network", "kernel"])
@pytest.mark.parametrize("loss", ["squared", "logistic"])
def test_the_averaged_iterate_is_the_dense_mean(rng, loss, dynamics):
    net, T = network(), 200
    last = HalfSpaceSGD(net, loss=loss, dynamics=dynamics)
    mean = HalfSpaceSGD(net, loss=loss, dynamics=dynamics, iterate="averaged")
    total = np.zeros_like(net.weights)
    for X, y in stream(rng, T, loss):
        last.step(X, y)
        mean.step(X, y)
        total += last.weights
    # Moves are added into a row that grows up to T max |W - W(0)|, with T roundings.
    reach = np.abs(last.weights - net.weights).max() + np.abs(net.weights).max()
    tolerance = 2 * T * np.finfo(float).eps * reach
    np.testing.assert_allclose(mean.weights, total / T, rtol=0, atol=tolerance)
    from_zero = HalfSpaceSGD(net, average_from=0, loss=loss, dynamics=dynamics)
    assert from_zero._iterate == "averaged"


@pytest.mark.parametrize("report", ["tree", "scan", None])
@pytest.mark.parametrize("dynamics", ["network", "kernel"])
def test_the_random_iterate_is_one_that_training_passed(rng, dynamics, report):
    options = {"dynamics": dynamics, "report": report, "loss": "logistic"}
    last = HalfSpaceSGD(network(), **options)
    chosen = [HalfSpaceSGD(network(), iterate="random", rng=seed, **options) for seed in range(5)]
    X_test = reference.sphere(10, 3, rng)
    iterates, outputs = [], []
    for X, y in stream(rng, 12, "logistic"):
        iterates.append(last.weights)
        outputs.append(last.outputs(X_test))
        last.step(X, y)
        for trainer in chosen:
            trainer.step(X, y)
            same = [np.array_equal(trainer.weights, W) for W in iterates]
            assert sum(same) == 1
            np.testing.assert_allclose(
                trainer.outputs(X_test), outputs[same.index(True)], rtol=0, atol=1e-12
            )
    assert all(trainer.history == last.history for trainer in chosen)


def test_before_the_first_step_every_iterate_is_the_network_as_drawn():
    for iterate in ITERATES:
        trainer = HalfSpaceSGD(network(), iterate=iterate, rng=0)
        np.testing.assert_array_equal(trainer.weights, network().weights)


def test_the_random_iterate_is_uniform_among_those_before_each_step(rng):
    X, y = next(stream(rng, 1, b=1))
    n_steps, n_runs = 6, 300
    path = HalfSpaceSGD(network(width=64, shift=0.0), report=None)
    iterates = []
    for _ in range(n_steps):
        iterates.append(path.weights)
        path.step(X, y)
    counts = np.zeros(n_steps)
    for seed in range(n_runs):
        options = {"iterate": "random", "report": None, "rng": seed}
        trainer = HalfSpaceSGD(network(width=64, shift=0.0), **options).run([(X, y)] * n_steps)
        counts += [np.array_equal(trainer.weights, W) for W in iterates]
    assert counts.sum() == n_runs
    # With other seeds this would fail by chance once in a million times.
    assert stats.chisquare(counts).pvalue > 1e-6


def test_the_choice_has_a_generator_of_its_own(rng):
    X = reference.sphere(64, 3, rng)
    y = X[:, 0]
    last, random, again, other = (
        HalfSpaceSGD(network(), rng=seed, iterate=iterate).run(X, y, n_epochs=4)
        for iterate, seed in (("last", 3), ("random", 3), ("random", 3), ("random", 4))
    )
    assert random.history == last.history
    np.testing.assert_array_equal(random.weights, again.weights)
    assert other.history != last.history


def test_a_generator_that_cannot_spawn_is_refused_for_a_random_iterate():
    rng = np.random.Generator(np.random.RandomState(0)._bit_generator)
    HalfSpaceSGD(network(), rng=rng)
    with pytest.raises(TypeError, match="rng must be able to spawn another for a random iterate"):
        HalfSpaceSGD(network(), iterate="random", rng=rng)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("iterate", ITERATES)
def test_pickled_trainers_go_on_the_same(rng, iterate, loss):
    batches = list(stream(rng, 20, loss))
    trainer = HalfSpaceSGD(network(), loss=loss, iterate=iterate, rng=3).run(batches[:10])
    copy = pickle.loads(pickle.dumps(trainer))
    np.testing.assert_array_equal(copy.weights, trainer.weights)
    for each in (trainer, copy):
        each.run(batches[10:])
    np.testing.assert_array_equal(copy.weights, trainer.weights)


@pytest.mark.parametrize("iterate", ["averaged", "random"])
def test_number_of_threads_does_not_change_a_bit(rng, dtype, n_threads, iterate):
    net = network(n_outputs=2, dtype=dtype, width=1 << 16, shift=1.0)
    batches = [(X.astype(dtype), y) for X, y in stream(rng, 3, "logistic", b=40, n_outputs=2)]
    one, more = (
        HalfSpaceSGD(net, loss="logistic", iterate=iterate, rng=0, n_threads=k).run(batches)
        for k in (1, n_threads)
    )
    np.testing.assert_array_equal(one.weights, more.weights)
    assert one.history == more.history


@pytest.mark.parametrize("scale", [1e-200, 1e160])
def test_scales_whose_squares_leave_the_range_are_refused(scale):
    with pytest.raises(ValueError, match=r"scale between 1e-150 and 1e\+150; got"):
        HalfSpaceSGD(network(scale=scale), loss="logistic")


@pytest.mark.parametrize("loss", LOSSES)
def test_outputs_that_overflow_are_refused(rng, loss):
    trainer = HalfSpaceSGD(network(), loss=loss, learning_rate=1e308)
    with pytest.raises(FloatingPointError, match="Lower learning_rate"):
        run_by_steps(trainer, ((1e3 * X, y) for X, y in stream(rng, 100, loss)))
    assert np.isfinite(trainer.weights).all()
    assert np.isfinite([record.loss for record in trainer.history]).all()


def test_a_run_that_diverges_stops_with_a_warning(rng):
    trainer = HalfSpaceSGD(network(), loss="logistic", learning_rate=1e12)
    with pytest.warns(TrainingWarning, match=r"grown to .* Lower learning_rate"):
        trainer.run(stream(rng, 1000, "logistic"))
    assert trainer.diverged


REFUSED = {
    "an unknown loss": (
        {"loss": "l1"},
        "loss must be 'squared', 'logistic', 'hinge', 'huber' or 'absolute'; got 'l1'.",
    ),
    "the class of a loss": (
        {"loss": LogisticLoss},
        "loss must be 'squared', 'logistic', 'hinge', 'huber' or 'absolute'; got type.",
    ),
    "an unknown iterate": (
        {"iterate": "best"},
        "iterate must be 'last', 'averaged', 'random' or None; got 'best' (str).",
    ),
    "an average of the last iterate": (
        {"iterate": "last", "average_from": 3},
        "average_from must be None for the last iterate; got 3.",
    ),
    "an average of a random iterate": (
        {"iterate": "random", "average_from": 3},
        "average_from must be None for the random iterate; got 3.",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_arguments_are_refused_in_a_sentence(case):
    options, message = REFUSED[case]
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        HalfSpaceSGD(network(), **options)


@pytest.mark.parametrize("loss", ["logistic", "hinge"])
def test_labels_that_do_not_fit_are_refused_and_nothing_moves(rng, loss):
    trainer = HalfSpaceSGD(network(), loss=loss)
    X, y = next(stream(rng, 1))
    message = f"y must be -1 or 1, or 0 or 1, for the {loss} loss; got "
    for call in (trainer.step, trainer.partial_fit, trainer.run):
        with pytest.raises(ValueError, match=re.escape(message)):
            call(X, y)
    with pytest.raises(ValueError, match="y must have shape"):
        trainer.step(X, [0, 1])
    with pytest.raises(ValueError, match="y must be finite"):
        trainer.step(X, np.full(8, np.nan))
    assert trainer.n_steps == 0
