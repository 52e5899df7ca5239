"""LowRankGradientDescent against dense gradient descent with explicit Jacobians."""

import itertools
import math
import pickle
import re
import warnings

import numpy as np
import pytest
import reference_all_layers as reference

from subquad.activations import ReLU, ShiftedReLU
from subquad.networks import TwoLayerNetwork, WideNetwork
from subquad.training import LowRankGradientDescent, TrainingWarning

STEP = 0.01


def problem(n=6, d=4, n_outputs=1, width=48, depth=3, seed=0, **options):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d))
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    y = np.column_stack([np.sin(3 * X[:, c]) * X[:, c + 1] for c in range(n_outputs)])
    options = {"activation": ReLU(), "rng": seed} | options
    network = WideNetwork(d, width=width, depth=depth, n_outputs=n_outputs, **options)
    return network, X, y


@pytest.fixture(autouse=True)
def _few_neurons():
    """Small networks are warned of where a few neurons are expected to fire."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "width must let more neurons fire", TrainingWarning)
        yield


def descend(network, batches, step_size=STEP):
    """Losses and last weights of dense gradient descent."""
    weights, losses = [W.to_dense() for W in network.weights], []
    for X, y in batches:
        loss, weights = reference.gradient_step(
            weights, network.readout, X, y, network.activation, network.weight_std, step_size
        )
        losses.append(loss)
    return losses, weights


def assert_follows(trainer, network, batches, rtol=1e-10):
    """Losses, and the change of every layer, are those of dense gradient descent."""
    losses, weights = descend(network, batches, trainer.step_size)
    np.testing.assert_allclose([r.loss for r in trainer.history], losses, rtol=rtol)
    for ours, W, start in zip(trainer.weights, weights, network.weights, strict=True):
        change = W - start.to_dense()
        assert np.linalg.norm(ours.to_dense() - W) <= rtol * np.linalg.norm(change)


@pytest.mark.parametrize("depth", [2, 3])
@pytest.mark.parametrize(
    ("n_outputs", "readout"), [(1, "partition"), (2, "partition"), (2, "dense")]
)
@pytest.mark.parametrize("rank_budget", [None, 1, 13, math.inf])
def test_full_batches_give_dense_gradient_descent(depth, n_outputs, readout, rank_budget):
    network, X, y = problem(n_outputs=n_outputs, depth=depth, readout=readout)
    trainer = LowRankGradientDescent(network, step_size=STEP, rank_budget=rank_budget)
    trainer.run(X, y, max_steps=12)
    assert_follows(trainer, network, [(X, y)] * 12)
    assert trainer.history[-1].loss < trainer.history[0].loss
    flushes = np.sum([record.flushes for record in trainer.history], axis=0)
    assert (flushes == 0).all() if rank_budget == math.inf else (flushes > 0).all()


@pytest.mark.parametrize("shift", [1.0, 1.3])
def test_the_default_flushes_at_each_step_where_few_neurons_fire(shift):
    network, X, y = problem(n=5, width=128, activation=ShiftedReLU(shift))
    trainer = LowRankGradientDescent(network, step_size=STEP).run(X, y, max_steps=10)
    assert_follows(trainer, network, [(X, y)] * 10)
    every = ShiftedReLU(shift).firing_probability < 1 / 8
    assert all(record.flushes[1:] == (1, 1) for record in trainer.history) == every


def test_a_long_run_of_shifted_activations():
    network, X, y = problem(width=96, activation=ShiftedReLU(0.5))
    trainer = LowRankGradientDescent(network, step_size=1e-3, rank_budget=16)
    trainer.run(X, y, max_steps=60)
    assert_follows(trainer, network, [(X, y)] * 60)


@pytest.mark.parametrize("rank_budget", [5, math.inf])
def test_mini_batches_cover_each_row_once_an_epoch(rank_budget):
    network, X, y = problem(n=7, n_outputs=2)
    options = {"step_size": STEP, "rank_budget": rank_budget, "batch_size": 3, "rng": 5}
    trainer = LowRankGradientDescent(network, **options).run(X, y, n_epochs=2)
    orders, rng = [], np.random.default_rng(5)
    for _ in range(2):
        order = rng.permutation(7)
        orders += [order[:3], order[3:6], order[6:]]
    assert_follows(trainer, network, [(X[rows], y[rows]) for rows in orders])
    assert [record.n_points for record in trainer.history] == [3, 3, 1] * 2


def test_streams_steps_and_passes_in_order_take_the_same_steps():
    network, X, y = problem(n=8)
    batches = [(X[i : i + 3], y[i : i + 3]) for i in (0, 3, 6)]
    endless = itertools.chain(iter(batches), itertools.repeat((X, y)))
    options = {"step_size": STEP, "rank_budget": 7}
    stream = LowRankGradientDescent(network, **options).run(endless, max_steps=3)
    single = LowRankGradientDescent(network, **options)
    for X_batch, y_batch in batches:
        single.step(X_batch, y_batch[:, 0])
    passed = LowRankGradientDescent(network, batch_size=3, **options).partial_fit(X, y)
    for trainer in (stream, single, passed):
        assert_follows(trainer, network, batches)
        assert trainer.history == stream.history


def test_recompression_at_rounding_changes_nothing():
    network, X, y = problem(width=64)
    for rtol in (None, 0.0):
        options = {"rank_budget": 20, "when_full": "recompress", "rtol": rtol}
        trainer = LowRankGradientDescent(network, step_size=STEP, **options)
        trainer.run(X, y, max_steps=20)
        assert_follows(trainer, network, [(X, y)] * 20)
        assert np.max([record.truncation for record in trainer.history]) <= 1e-12


def test_truncation_is_the_distance_from_where_the_step_would_have_gone():
    network, X, y = problem(n=10, width=64)
    options = {"rank_budget": 30, "when_full": "recompress", "rtol": 1e-2}
    trainer = LowRankGradientDescent(network, step_size=STEP, **options)
    truncated = 0
    for _ in range(20):
        before = [W.to_dense() for W in trainer.weights]
        phi, std = network.activation, network.weight_std
        _, exact = reference.gradient_step(before, network.readout, X, y, phi, std, STEP)
        record = trainer.step(X, y)
        for W, target, dropped in zip(trainer.weights, exact, record.truncation, strict=True):
            np.testing.assert_allclose(
                np.linalg.norm(W.to_dense() - target), dropped, rtol=1e-6, atol=1e-12
            )
            truncated += dropped > 1e-8
    assert truncated >= 3
    totals = np.sum([record.truncation for record in trainer.history], axis=0)
    np.testing.assert_allclose([W.truncation for W in trainer.weights], totals)


@pytest.mark.parametrize("weights", ["int8", "implicit"])
def test_weights_that_cannot_change_keep_all_factors(weights):
    network, X, y = problem(dtype=np.float32, weights=weights, n_outputs=2)
    trainer = LowRankGradientDescent(network, step_size=STEP).run(X, y, max_steps=5)
    assert all(record.flushes == (0, 0, 0) for record in trainer.history)
    assert trainer.history[-1].ranks == (30, 30, 30)
    assert_follows(trainer, network, [(X, y)] * 5, rtol=1e-4)
    factors = [W.factors for W in trainer.weights]
    np.testing.assert_allclose(network.outputs(X, factors), trainer.outputs(X), atol=1e-5)


@pytest.mark.parametrize("rank_budget", [4, math.inf])
def test_float32(rank_budget):
    network, X, y = problem(dtype=np.float32)
    trainer = LowRankGradientDescent(network, step_size=STEP, rank_budget=rank_budget)
    trainer.run(X, y, max_steps=10)
    assert_follows(trainer, network, [(X, y)] * 10, rtol=1e-4)


def test_the_network_is_never_written_to():
    network, X, y = problem()
    before = [W.to_dense() for W in network.weights]
    LowRankGradientDescent(network, step_size=STEP, rank_budget=1).run(X, y, max_steps=3)
    assert all(
        np.array_equal(W.to_dense(), start)
        for W, start in zip(network.weights, before, strict=True)
    )


@pytest.mark.parametrize("n_outputs", [1, 3])
def test_tangents_and_gradients_are_the_explicit_ones(n_outputs):
    network, X, y = problem(n_outputs=n_outputs, d=5, readout="dense")
    trainer = LowRankGradientDescent(network, step_size=STEP, rank_budget=7)
    trainer.run(X, y, max_steps=4)
    weights = [W.to_dense() for W in trainer.weights]
    tangents, gradient = trainer.tangents(X), trainer.gradient(X, y)
    expected = [np.zeros_like(W) for W in weights]
    for i, x in enumerate(X):
        f, jacobians = reference.outputs_and_jacobians(
            weights, network.readout, x, network.activation, network.weight_std
        )
        np.testing.assert_allclose(trainer.outputs(X)[i], f, rtol=1e-10)
        for (U, H), J, total in zip(tangents, jacobians, expected, strict=True):
            np.testing.assert_allclose(U[i][:, :, None] * H[i], J, rtol=1e-9, atol=1e-12)
            total += np.einsum("c,cjk->jk", f - y[i], J)
    for (A, B), total in zip(gradient, expected, strict=True):
        assert len(A) == len(B) == len(X)
        np.testing.assert_allclose(A.T @ B, total, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("n_outputs", [1, 2])
def test_the_automatic_step_size_is_that_of_the_explicit_kernel(n_outputs):
    network, X, y = problem(n_outputs=n_outputs)
    trainer = LowRankGradientDescent(network, step_size="auto")
    assert trainer.step_size is None
    trainer.run(X, y, max_steps=20)
    weights = [W.to_dense() for W in network.weights]
    _, J = reference.linearised(weights, network.readout, X, network.activation, network.weight_std)
    np.testing.assert_allclose(trainer.step_size, 1 / np.linalg.norm(J, 2) ** 2, rtol=1e-9)
    assert trainer.history[-1].loss < trainer.history[0].loss


def test_a_pickled_trainer_goes_on():
    network, X, y = problem()
    options = {"step_size": STEP, "rank_budget": 8, "batch_size": 4, "rng": 0}
    straight = LowRankGradientDescent(network, **options).run(X, y, n_epochs=6)
    halted = LowRankGradientDescent(network, **options).run(X, y, n_epochs=3)
    halted = pickle.loads(pickle.dumps(halted)).run(X, y, n_epochs=3)
    assert halted.history == straight.history


def test_results_do_not_depend_on_the_number_of_threads():
    network, X, y = problem(n=40, width=256, activation=ShiftedReLU(1.0))
    one, two = (LowRankGradientDescent(network, step_size=STEP, n_threads=k) for k in (1, 2))
    for trainer in (one, two):
        trainer.run(X, y, max_steps=4)
    assert np.array_equal(one.outputs(X), two.outputs(X))


def test_the_callback_sees_every_record():
    network, X, y = problem()
    seen = []
    trainer = LowRankGradientDescent(network, step_size=STEP, callback=seen.append)
    trainer.run(X, y, max_steps=3)
    assert seen == trainer.history
    assert [record.step for record in seen] == [1, 2, 3]
    assert set(seen[0].seconds) == {"forward", "backward", "update", "total"}


@pytest.mark.parametrize("step_size", [1.0, 1e3, 1e20, 1e70, 1e300])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("rank_budget", [4, math.inf])
def test_a_step_too_large_ends_with_a_warning_and_finite_weights(step_size, dtype, rank_budget):
    network, X, y = problem(dtype=dtype)
    trainer = LowRankGradientDescent(network, step_size=step_size, rank_budget=rank_budget)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        trainer.run(X, 1e3 * y, max_steps=100)
    assert [type(warning.message) for warning in caught] == [TrainingWarning]
    assert "Lower step_size" in str(caught[0].message)
    assert caught[0].filename == __file__
    assert trainer.diverged
    assert len(trainer.history) < 100
    assert all(np.isfinite(W.to_dense()).all() for W in trainer.weights)
    assert np.isfinite(trainer.outputs(X)).all()


@pytest.mark.parametrize("rank_budget", [4, math.inf])
def test_a_step_that_silences_all_neurons_is_warned_of(rank_budget):
    network, X, y = problem()
    for scale in (30.0, 100.0, 300.0, 1e3, 3e3):  # which of them silences depends on the draw
        trainer = LowRankGradientDescent(network, step_size=0.2, rank_budget=rank_budget)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", TrainingWarning)
            trainer.run(X, scale * y, max_steps=50)
        if np.array_equal(trainer.outputs(X), np.zeros_like(y)):
            break
    else:
        pytest.fail("no step has silenced the network")
    assert any(re.match(r"The last \d\d steps changed nothing", str(w.message)) for w in caught)
    assert not trainer.diverged


def test_a_fit_of_what_the_network_gives_already_is_not_warned_of():
    network, X, _ = problem()
    trainer = LowRankGradientDescent(network, step_size=STEP)
    y = trainer.outputs(X)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trainer.run(X, y, max_steps=4)
    assert max(record.loss for record in trainer.history) <= 1e-24


def test_a_single_step_too_large_raises_and_leaves_the_weights():
    network, X, y = problem()
    trainer = LowRankGradientDescent(network, step_size=1e300)
    with pytest.raises(FloatingPointError, match="after 0 steps"):
        trainer.step(X, y)
    assert trainer.n_steps == 0
    for W, start in zip(trainer.weights, network.weights, strict=True):
        assert np.array_equal(W.to_dense(), start.to_dense())


def test_a_point_at_which_nothing_fires_harms_nothing():
    network, X, y = problem()
    X[2] = 0
    trainer = LowRankGradientDescent(network, step_size="auto").run(X, y, max_steps=5)
    assert np.array_equal(trainer.outputs(X)[2], [0.0])
    assert trainer.history[-1].loss < trainer.history[0].loss


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"network": 3}, "network must be a WideNetwork; got int"),
        ({"network": TwoLayerNetwork(4, 32)}, "network must be a WideNetwork; got TwoLayer"),
        ({"step_size": 0.0}, r"step_size must be greater than 0\.0; got 0\.0"),
        ({"step_size": -1.0}, "step_size must be greater than 0"),
        ({"step_size": math.nan}, "step_size must be finite"),
        ({"step_size": "large"}, "step_size must be 'auto' or a number; got 'large'"),
        ({"rank_budget": 0}, "rank_budget must be at least 1; got 0"),
        ({"rank_budget": 49}, "rank_budget must be at most 48; got 49"),
        ({"rank_budget": 2.5}, "rank_budget must be an integer"),
        ({"when_full": "stop"}, "when_full must be 'flush' or 'recompress'"),
        ({"rtol": 1.0}, "rtol must be below 1"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"rng": -1}, "rng must be a non-negative seed"),
        ({"callback": 1}, "callback must be callable"),
    ],
)
def test_bad_options_are_named(change, message):
    network, _, _ = problem()
    with pytest.raises((TypeError, ValueError), match=f"^{message}"):
        LowRankGradientDescent(**({"network": network, "step_size": STEP} | change))


def test_few_neurons_are_warned_of_where_the_trainer_is_made():
    network, _, _ = problem()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        LowRankGradientDescent(network, step_size=STEP)
    assert [warning.filename for warning in caught] == [__file__]


def test_a_batch_that_cannot_fit_is_refused(monkeypatch):
    network, X, y = problem()
    trainer = LowRankGradientDescent(network, step_size="auto")
    monkeypatch.setattr("subquad._validation.available_memory", lambda: 1000)
    for call in (trainer.step, trainer.run, trainer.gradient):
        with pytest.raises(MemoryError, match="A step of 3 layers of width 48 on 6 data points"):
            call(X, y)
    with pytest.raises(MemoryError, match="A step of 3 layers"):
        trainer.tangents(X)
    with pytest.raises(MemoryError, match="A copy of 3 layers of width 48"):
        LowRankGradientDescent(network, step_size=STEP)
    assert trainer.n_steps == 0


@pytest.mark.parametrize("weights", ["int8", "implicit"])
def test_a_finite_budget_needs_weights_that_change(weights):
    network, _, _ = problem(dtype=np.float32, weights=weights)
    with pytest.raises(ValueError, match=r"^rank_budget must be inf with weights"):
        LowRankGradientDescent(network, step_size=STEP, rank_budget=8)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"X": np.zeros((6, 3))}, r"X must have shape \(any, 4\); got \(6, 3\)"),
        ({"X": np.full((6, 4), np.nan)}, "X must be finite"),
        ({"y": np.zeros(5)}, r"y must have shape \(6,\)"),
        ({"y": np.zeros((6, 2))}, r"y must have shape \(6, 1\)"),
        ({"y": None}, "X must yield pairs"),
        ({"X": 3, "y": None}, "X must be an array with a y, or yield pairs"),
        ({"max_steps": -1}, "max_steps must be at least 0"),
        ({"n_epochs": 0}, "n_epochs must be at least 1"),
    ],
)
def test_bad_data_is_named(change, message):
    network, X, y = problem()
    trainer = LowRankGradientDescent(network, step_size=STEP)
    with pytest.raises((TypeError, ValueError), match=f"^{message}"):
        trainer.run(**({"X": X, "y": y} | change))
    assert trainer.n_steps == 0
