"""Situations in which users of other tools got wrong answers, NaN or none: the answers here."""

import numpy as np
import pytest
import scipy.linalg
from layers import quietly

from subquad import HalfSpaceReport, LowRankMaintenance, fwht
from subquad.activations import ShiftedReLU
from subquad.jacobian import KhatriRao
from subquad.ntk import ntk, predict
from subquad.solvers import fast_newton, gram_solve
from subquad.solvers.objectives import Logistic, Poisson


def test_poisson_regression_with_weights_is_the_one_with_exposures():
    """glum 730: rates weighted by exposure give the coefficients of R's quasi-Poisson fit."""
    x, counts, exposure = np.array([[1.0], [1.5], [2.0], [3.0]]), [0, 1, 2, 2], [1.0, 1, 2, 2]
    rates = np.divide(counts, exposure)
    weighted = Poisson(x, rates, l2=0.0, intercept=True, sample_weight=exposure)
    solution = fast_newton(weighted, rng=0)
    assert solution.converged, solution.message
    np.testing.assert_allclose(solution.x, [0.41149086, -1.08455085], atol=1e-8)
    mean = np.exp(np.column_stack([x, np.ones(4)]) @ solution.x)
    np.testing.assert_allclose(mean, [0.5101451, 0.6266829, 0.7698427, 1.1617433], atol=1e-7)


@pytest.mark.parametrize("objective", [Poisson, Logistic])
def test_weights_that_count_are_repeated_rows_and_weights_of_zero_are_absent_ones(objective):
    """scikit-learn 15657: what a sample weight means, for a generalised linear model."""
    rng = np.random.default_rng(0)
    X, weights = rng.standard_normal((60, 3)), rng.integers(0, 4, 60)
    y = rng.integers(0, 2, 60).astype(float)
    weighted = fast_newton(objective(X, y, sample_weight=weights.astype(float)), rng=0)
    repeated = fast_newton(objective(X.repeat(weights, axis=0), y.repeat(weights)), rng=0)
    np.testing.assert_allclose(weighted.x, repeated.x, atol=1e-8)


@pytest.mark.parametrize("name", ["GaussNewtonRegressor", "NTKRegressor", "FactoredRegressor"])
def test_estimators_take_weights_as_counts_as_well(name):
    """scikit-learn 15657, for the estimators, leave-one-out choice of mu included."""
    estimators = pytest.importorskip("subquad.estimators")
    rng = np.random.default_rng(1)
    X, weights = rng.standard_normal((30, 3)), rng.integers(0, 4, 30)
    y = np.sin(2 * X[:, 0])
    options = {} if name == "NTKRegressor" else {"width": 256, "random_state": 0}
    fits = [
        quietly(getattr(estimators, name)(**options).fit, *data)
        for data in (
            (X, y, weights.astype(float)),
            (X.repeat(weights, axis=0), y.repeat(weights)),
        )
    ]
    np.testing.assert_allclose(fits[0].predict(X), fits[1].predict(X), atol=1e-6)
    assert fits[0].loo_error_ == pytest.approx(fits[1].loo_error_, rel=1e-6)


@pytest.mark.parametrize("depth", [1, 2, 3, 6])
@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_predictions_of_tangent_kernels_are_finite_at_training_points(depth, shift):
    """neural-tangents 76: predictions were NaN for ReLU kernels of a small table, with ridge."""
    rng = np.random.default_rng(0)
    X = rng.integers(40, 80, (60, 4)) / 10.0  # measurements to a tenth, some of them equal
    X[7], X[20] = X[3], X[3]
    y = X @ [1.0, -0.5, 0.3, 0.2]
    found = predict(X, y, X, depth, ShiftedReLU(shift), regularization=1e-3, return_variance=True)
    assert np.isfinite(found.mean).all()
    assert (found.variance >= 0).all()
    K = ntk(X, depth=depth, activation=ShiftedReLU(shift))
    expected = K @ np.linalg.solve(K + 1e-3 * np.eye(60), y)
    np.testing.assert_allclose(found.mean, expected, rtol=1e-6)


def test_the_kernel_and_its_slope_are_finite_where_points_coincide():
    """neural-tangents 88: the gradient of a ReLU kernel by its inputs became NaN."""
    pytest.importorskip("sklearn")
    from subquad.estimators import NTKRegressor

    X = np.random.default_rng(0).standard_normal((40, 3))
    X[1], X[2], X[3], X[4] = X[0], -X[0], X[0] * (1 + 1e-15), 0.0
    assert np.isfinite(ntk(X, depth=3)).all()
    # This choice of scales follows the gradient of the kernel.
    model = NTKRegressor(scale_features="marginal_likelihood", depth=2).fit(X, np.sin(X[:, 0]))
    assert np.isfinite(model.predict(X)).all()


@pytest.mark.parametrize("engine", ["tree", "scan"])
def test_cosines_above_a_threshold_are_all_reported_the_threshold_itself_too(engine):
    """faiss 1873 and 1674: range search by inner product, also below zero, ties included."""
    X = np.random.default_rng(0).standard_normal((2000, 4))
    X /= np.linalg.norm(X, axis=1)[:, None]
    report = HalfSpaceReport(X, engine)
    _, every, cosines = report.query_batch(X[:3], -np.inf)
    assert every.size == 3 * 2000
    for b in (0.7, -0.5, float(cosines[17])):
        indptr, indices, values = report.query_batch(X[:3], b)
        for q in range(3):
            mine = slice(2000 * q, 2000 * (q + 1))
            expected = np.flatnonzero(cosines[mine] >= b)
            np.testing.assert_array_equal(indices[indptr[q] : indptr[q + 1]], expected)
        assert values.min() >= b


# ---- units of targets and weights
def fits_of(name, scale):
    """A regressor and its fits of targets, and with weights, in two units."""
    estimators = pytest.importorskip("subquad.estimators")
    rng = np.random.default_rng(2)
    X, weights = rng.standard_normal((40, 3)), rng.uniform(0.5, 2, 40)
    y = np.sin(2 * X[:, 0])
    options = {} if name == "NTKRegressor" else {"width": 256, "random_state": 0}
    model = getattr(estimators, name)
    for data in ((X, y, weights), (X, scale * y, weights), (X, y, scale * weights)):
        yield quietly(model(**options).fit, *data).predict(X)


@pytest.mark.parametrize("scale", [1e-300, 1e300])
@pytest.mark.parametrize("name", ["GaussNewtonRegressor", "NTKRegressor", "FactoredRegressor"])
def test_units_of_targets_and_weights_change_no_prediction(name, scale):
    """Targets and weights times 1e300 and 1e-300: no square of them may overflow or vanish."""
    expected, of_targets, of_weights = fits_of(name, scale)
    np.testing.assert_allclose(of_targets / scale, expected, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(of_weights, expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("scale", [1e-100, 1e100])
def test_units_of_weights_change_no_solution_of_gram_equations(scale):
    """The same for the solvers: weights and damping in other units are the same equation."""
    rng = np.random.default_rng(3)

    J, weights = KhatriRao(rng.standard_normal((9, 8)), rng.standard_normal((9, 3))), np.ones(9)
    solutions = [
        gram_solve(J, np.arange(9.0), "exact", damping=unit * 0.1, weights=unit * weights)
        for unit in (1.0, scale)
    ]
    assert all(solution.converged for solution in solutions)
    np.testing.assert_allclose(solutions[1].x, solutions[0].x, rtol=1e-9)


# ---- memory layouts
LAYOUTS = {
    "strided": lambda room: room[:, ::2],
    "reversed": lambda room: room[::-1, :64][:, ::-1],
    "Fortran": lambda room: np.asfortranarray(room[:, :64]),
    "transposed": lambda room: room[:64, :64].T,
    "unaligned": lambda room: (
        np.frombuffer(bytearray(8 * 64 * 64 + 1), np.uint8, offset=1)
        .view(np.float64)
        .reshape(64, 64)
    ),
}


@pytest.mark.parametrize("of_out", LAYOUTS)
@pytest.mark.parametrize("of_x", LAYOUTS)
def test_a_transform_goes_into_an_output_of_any_layout(of_x, of_out):
    """Strided, reversed and unaligned inputs and outputs of a Hadamard transform."""
    rng = np.random.default_rng(4)
    given = rng.integers(-9, 9, (64, 64)).astype(float)
    x, out = (LAYOUTS[name](np.empty((64, 128))) for name in (of_x, of_out))
    x[...] = given
    assert fwht(x, out=out) is out
    np.testing.assert_array_equal(out, given @ scipy.linalg.hadamard(64))
    np.testing.assert_array_equal(x, given)


@pytest.mark.parametrize("shift", [-5, -1, 0, 1, 3, 64])
@pytest.mark.parametrize("step", [1, -1])
def test_a_transform_goes_into_an_output_that_overlaps_its_input(shift, step):
    """The output may lie over the input: shifted by rows, or in the reverse order."""
    room = np.random.default_rng(5).integers(-9, 9, (200, 64)).astype(float)
    x, out = room[70:130], room[70 + shift : 130 + shift][::step]
    expected = x @ scipy.linalg.hadamard(64)
    assert fwht(x, out=out) is out
    np.testing.assert_array_equal(out, expected)


# ---- low-rank changes
@pytest.mark.parametrize("rank", [1, 8, 64, 100])
def test_low_rank_adapters_merge_to_rounding(rank):
    """Adapters of PEFT: W + s B A merged, W x + s B (A x) unmerged, and both are the same."""
    rng = np.random.default_rng(6)
    W, scale = rng.standard_normal((96, 128)) / 11.0, 16 / rank
    B, A = rng.standard_normal((96, rank)) / rank, rng.standard_normal((rank, 128)) / 11.0
    X = rng.standard_normal((20, 128))
    expected = X @ (W + scale * B @ A).T
    kept = LowRankMaintenance(W, rank_budget=10_000)
    kept.update(scale * B.T, A)
    size = np.abs(expected).max()
    np.testing.assert_allclose(kept.query(X), expected, atol=3e-14 * size, rtol=0)
    kept.flush()
    assert kept.rank == 0
    np.testing.assert_allclose(kept.query(X), expected, atol=3e-14 * size, rtol=0)
    # Unmerging is the opposite change.
    kept.update(-scale * B.T, A)
    kept.flush()
    np.testing.assert_allclose(kept.to_dense(), W, atol=3e-14, rtol=0)
