"""The two-layer network and its trainer, with the Gram matrix and without it."""

import pickle

import numpy as np
import pytest
import reference_network as reference
import reference_two_layer as two
from layers import quietly

from subquad.activations import ReLU, ShiftedReLU, ThresholdedReLU
from subquad.networks import TwoLayerNetwork
from subquad.solvers import PcgSolver
from subquad.training import TrainingWarning, TwoLayerGaussNewton
from subquad.training.two_layer._matrix_free import MatrixFreeState

EXACT_PCG = {"rtol": 1e-12, "landmarks": 8, "rng": 0}


def problem(n=20, d=5, m=400, seed=0):
    rng = np.random.default_rng([seed, 5])
    return reference.sphere(n, d, rng), rng.standard_normal(n), TwoLayerNetwork(d, m, rng=seed)


def implicit(trainer):
    return isinstance(trainer._fit.state, MatrixFreeState)


# The network -------------------------------------------------------------------------------------
@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_outputs_are_those_of_the_definition(shift, dtype, rng):
    activation = ShiftedReLU(shift)
    network = TwoLayerNetwork(3, 50, activation=activation, n_outputs=2, rng=1, dtype=dtype)
    X = rng.standard_normal((9, 3)).astype(dtype)
    expected = two.outputs(X, network.weights, network.readout, activation.scale, shift)
    tolerance = 2e-5 if dtype == np.float32 else 1e-13
    assert network.outputs(X).dtype == dtype
    np.testing.assert_allclose(network.outputs(X), expected, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(
        network.last_layer(X).outputs(), expected, rtol=tolerance, atol=tolerance
    )
    A, V = rng.standard_normal((4, 50)).astype(dtype), rng.standard_normal((4, 3)).astype(dtype)
    moved = two.outputs(X, network.weights + A.T @ V, network.readout, activation.scale, shift)
    given = network.outputs(X, (A, V), centred=True)
    np.testing.assert_allclose(given, moved - expected, rtol=tolerance, atol=10 * tolerance)


def test_outputs_of_many_points_are_taken_in_blocks(rng, monkeypatch):
    network, X = TwoLayerNetwork(3, 50, rng=1), rng.standard_normal((9, 3))
    expected = network.outputs(X)
    monkeypatch.setattr("subquad.networks._two_layer._BYTES_PER_BLOCK", 2 * 50 * 8)
    np.testing.assert_allclose(network.outputs(X), expected, rtol=1e-14, atol=1e-15)


def test_initialisation_is_standard_normal_with_readouts_of_one_over_root_m():
    network = TwoLayerNetwork(40, 5000, n_outputs=3, rng=0)
    # 200,000 draws: standard errors 0.0022 and 0.0032, six of them allowed (2e-9 of all seeds).
    assert abs(network.weights.mean()) < 0.014
    assert abs(network.weights.var() - 1) < 0.02
    assert (np.count_nonzero(network.readout, axis=0) == 1).all()
    np.testing.assert_allclose(np.abs(network.readout).max(axis=0), 5000**-0.5)


def test_a_network_is_reproducible_immutable_and_picklable(rng):
    network, X = TwoLayerNetwork(3, 50, rng=7), rng.standard_normal((4, 3))
    np.testing.assert_array_equal(network.weights, TwoLayerNetwork(3, 50, rng=7).weights)
    with pytest.raises(ValueError, match="read-only"):
        network.weights[0, 0] = 1.0
    again = pickle.loads(pickle.dumps(network))
    np.testing.assert_array_equal(again.outputs(X), network.outputs(X))
    assert repr(network) == (
        "TwoLayerNetwork(n_features=3, width=50, n_outputs=1, activation=ReLU(), dtype=float64)"
    )


def test_bad_arguments_of_a_network_are_refused_by_name():
    for exception, message, arguments in [
        (TypeError, "^n_features must be an integer", {"n_features": 2.0}),
        (ValueError, "^width must be at least n_outputs=3; got 2", {"width": 2, "n_outputs": 3}),
        (TypeError, "^activation must be a ReLU", {"activation": ThresholdedReLU()}),
        (TypeError, "^rng must be", {"rng": "0"}),
        (TypeError, "^dtype must be", {"dtype": np.int64}),
        (MemoryError, "bytes", {"width": 10**14}),
    ]:
        with pytest.raises(exception, match=message):
            TwoLayerNetwork(**{"n_features": 3, "width": 10, **arguments})
    with pytest.raises(ValueError, match=r"^X must have shape"):
        TwoLayerNetwork(3, 10, rng=0).outputs(np.ones((2, 4)))


# The trainer -------------------------------------------------------------------------------------
@pytest.mark.parametrize("solver", ["exact", "pcg"])
@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_steps_are_those_of_the_papers_algorithm(solver, shift):
    X, y, _ = problem(m=800)
    activation = ShiftedReLU(shift)
    network = TwoLayerNetwork(5, 800, activation=activation, rng=3)
    chosen = PcgSolver(**EXACT_PCG) if solver == "pcg" else solver
    trainer = TwoLayerGaussNewton(network, X, y, solver=chosen)
    assert implicit(trainer) is (solver == "pcg")
    for _ in range(2):
        trainer.step()
    W = two.gauss_newton(X, network.weights, network.readout[0], y, 2, activation.scale, shift)
    np.testing.assert_allclose(network.weights + trainer.change, W, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("solver", ["exact", "pcg"])
def test_a_regularised_step_is_the_minimiser_of_the_linearised_objective(solver):
    X, y, network = problem()
    chosen = PcgSolver(**EXACT_PCG) if solver == "pcg" else solver
    trainer = TwoLayerGaussNewton(network, X, y, solver=chosen, regularization=0.1, tol=0.0)
    W, a, mu = network.weights, network.readout[0], 0.1
    for _ in range(2):
        record = trainer.step()
        # (mu + lam) |W' - anchor|^2 is mu |W' - W(0)|^2 + lam |W' - W|^2 and a constant.
        lam = record.damping
        anchor = (mu * network.weights + lam * W) / (mu + lam)
        W = two.regularised_step(X, anchor, W, a, y, mu + lam)
        state = trainer._fit.state
        A, V = state.factors(state.terms)
        np.testing.assert_allclose(network.weights + A.T @ V, W, rtol=1e-8, atol=1e-9)
    assert record.objective == pytest.approx(
        record.residual_norm**2 + mu * np.square(W - network.weights).sum(), rel=1e-9
    )


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("regularization", [0.0, 0.3])
def test_with_and_without_the_gram_matrix_the_trajectory_is_the_same(regularization, weighted, rng):
    X, _, _ = problem(n=30)
    Y, network = rng.standard_normal((30, 2)), TwoLayerNetwork(5, 1500, n_outputs=2, rng=1)
    options = {"regularization": regularization, "centred": True, "max_steps": 3, "tol": 1e-8}
    if weighted:
        options["sample_weight"] = rng.random(30)
        options["sample_weight"][4] = 0.0
    formed, free = (
        quietly(TwoLayerGaussNewton(network, X, Y, solver=solver, **options).run)
        for solver in ("exact", PcgSolver(**EXACT_PCG))
    )
    assert (implicit(formed), implicit(free)) == (False, True)
    np.testing.assert_allclose(free.change, formed.change, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(free.outputs, formed.outputs, rtol=1e-6, atol=1e-7)
    assert free.change_norm == pytest.approx(formed.change_norm, rel=1e-7)
    for one, other in zip(free.history, formed.history, strict=True):
        assert one.residual_norm == pytest.approx(other.residual_norm, rel=1e-6, abs=1e-8)
        assert (one.flips, one.min_active) == (other.flips, other.min_active)
        assert one.active_fraction == pytest.approx(other.active_fraction)


@pytest.mark.parametrize("solver", ["auto", "exact", "sketch", "pcg"])
@pytest.mark.parametrize("n", [1, 12])
def test_every_solver_trains_to_the_tolerance_of_the_precision(solver, n, dtype):
    X, y, _ = problem(n=n)
    network = TwoLayerNetwork(5, 1200, rng=2, dtype=dtype)
    trainer = TwoLayerGaussNewton(network, X.astype(dtype), y, solver=solver, rng=0).run()
    assert trainer.converged
    assert trainer.relative_residual <= (1e-6 if dtype == np.float32 else 1e-10)
    assert trainer.solver == ("exact" if solver == "auto" else solver)
    tolerance = 1e-5 if dtype == np.float32 else 1e-9
    A, V = trainer.factors
    assert (A.shape, V.shape) == ((5, 1200), (5, 5))
    np.testing.assert_allclose(network.outputs(X, (A, V)), trainer.outputs, atol=tolerance)
    np.testing.assert_allclose(trainer.outputs[:, 0], y, atol=10 * tolerance)


def test_more_points_than_weights_are_fitted_in_the_least_squares_sense(rng):
    X, y = rng.standard_normal((300, 3)), rng.standard_normal(300)
    network = TwoLayerNetwork(3, 80, rng=0)
    options = {"regularization": 0.5, "max_steps": 30, "search_kinks": False}
    free, formed = (
        quietly(TwoLayerGaussNewton(network, X, y, solver=solver, rng=0, **options).run)
        for solver in ("pcg", "exact")
    )
    # The objective is not convex: two runs that differ by rounding end at different minima.
    assert free._fit.best.objective == pytest.approx(formed._fit.best.objective, rel=1e-2)
    assert free.relative_residual < 1
    with pytest.raises(ValueError, match=r"^regularization or damping .* \(300\) .* \(240\)"):
        TwoLayerGaussNewton(network, X, y, solver="pcg")
    damped = TwoLayerGaussNewton(network, X, y, solver="pcg", damping=0.1, max_steps=2, rng=0)
    assert quietly(damped.run).relative_residual < 1


def test_memory_without_the_gram_matrix_is_linear_in_n_and_far_below_n_times_m():
    """Peak of Python's allocations, which numpy reports, at two sizes."""
    peaks = [_peak_bytes(n) for n in (2000, 4000)]
    assert peaks[1] <= 2.3 * peaks[0]
    # Two masks of n m bits, three arrays of n x 512 numbers (landmarks), blocks of 4 MiB.
    assert peaks[1] <= 4000 * (2 * 1024 / 8 + 3 * 512 * 8) + 8 * 2**22
    assert peaks[1] < 8 * 4000**2 / 1.5


def _peak_bytes(n):
    import tracemalloc

    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, 8)).astype(np.float32)
    network = TwoLayerNetwork(8, 1024, rng=0, dtype=np.float32)
    options = {"solver": "pcg", "regularization": 5.0, "max_steps": 1, "rng": 0}
    tracemalloc.start()
    quietly(TwoLayerGaussNewton(network, X, X[:, 0].astype(float), **options).run)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak


def test_auto_does_without_the_gram_matrix_where_it_is_large_and_keeps_it_where_it_is_small():
    network = TwoLayerNetwork(2, 64, rng=0, dtype=np.float32)
    X = np.random.default_rng(0).standard_normal((20_000, 2)).astype(np.float32)
    y = X[:, 0].astype(float)
    large = TwoLayerGaussNewton(network, X, y, regularization=1.0)
    small = TwoLayerGaussNewton(network, X[:50], y[:50], regularization=1.0)
    assert (large.solver, small.solver) == ("pcg", "exact")


def test_leave_one_out_needs_the_gram_matrix_and_chooses_it():
    X, y, network = problem()
    trainer = TwoLayerGaussNewton(network, X, y, regularization="loo", centred=True)
    assert not implicit(trainer)
    assert trainer.choose_regularization() > 0
    with pytest.raises(ValueError, match="no Gram matrix is formed; got 'loo'"):
        TwoLayerGaussNewton(network, X, y, regularization="loo", solver="pcg")


def test_a_silent_data_point_is_named(rng):
    X, y, network = problem()
    X[3] = 0.0
    for solver in ("exact", "pcg"):
        trainer = TwoLayerGaussNewton(network, X, y, solver=solver, max_steps=1, rng=0)
        with pytest.warns(TrainingWarning, match="data point 3"):
            trainer.step()


@pytest.mark.parametrize("solver", ["exact", "pcg"])
def test_contradictory_targets_end_at_their_least_squares_value(solver):
    X, y, network = problem(n=24)
    X[1], y[0], y[1] = X[0], 1.0, -1.0
    trainer = TwoLayerGaussNewton(network, X, y, solver=solver, max_steps=30, rng=0)
    quietly(trainer.run)
    assert trainer.residual_norm == pytest.approx(np.sqrt(2), rel=0.02)


def test_bad_arguments_of_the_trainer_are_refused_by_name():
    X, y, network = problem()
    for exception, message, arguments in [
        (TypeError, "^network must be a TwoLayerNetwork", {"network": ReLU()}),
        (ValueError, "^X must have shape", {"X": X[:, :3]}),
        (ValueError, "^X must be finite", {"X": np.full_like(X, np.nan)}),
        (ValueError, "^y must have shape", {"y": y[:3]}),
        (ValueError, "^solver must be", {"solver": "qr"}),
        (TypeError, "^solver must be a name", {"solver": 3}),
        (TypeError, "^solver must be a name.*got PcgSolver", {"solver": PcgSolver}),
        (ValueError, "^tol must be", {"tol": -1.0}),
        (ValueError, "^width must let more neurons fire", {"min_active": 1000}),
        (TypeError, "^callback must be callable", {"callback": 3}),
        (ValueError, "^sample_weight must be", {"sample_weight": np.zeros(20)}),
    ]:
        with pytest.raises(exception, match=message):
            TwoLayerGaussNewton(**{"network": network, "X": X, "y": y, **arguments})
