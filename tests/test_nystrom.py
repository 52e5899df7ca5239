"""NystromSolver against its definition: explicit normal equations, refits, and the exact solver."""

import numpy as np
import pytest

from subquad.jacobian import KhatriRao
from subquad.ntk import ntk
from subquad.solvers import (
    DampedCholesky,
    NystromSolver,
    choose_regularization,
    loo_residuals,
    merge_repeats,
)
from subquad.solvers.nystrom import iterated
from subquad.solvers.nystrom._landmarks import pivoted

N, M = 300, 40
RNG = np.random.default_rng(0)
X = RNG.standard_normal((N, 4))
R = np.column_stack([np.sin(X[:, 0]), X[:, 1] * X[:, 2]]) + 0.1 * RNG.standard_normal((N, 2))
WEIGHTS = RNG.uniform(0.5, 2.0, N)
KERNEL = ntk(X)


class Rows:
    """The blocks of a matrix."""

    def __init__(self, K=KERNEL):
        self.K = K

    def block(self, rows, points):
        return self.K[rows][:, points]

    def diagonal(self):
        return self.K.diagonal()


def by_definition(points, mu, weights, kept=slice(None)):
    """(K_Zn W K_nZ + mu K_ZZ)^-1 K_Zn W R, of the kept rows."""
    K = KERNEL[:, points]
    left, w = K[kept], weights[kept][:, None]
    return np.linalg.solve(left.T @ (w * left) + mu * K[points], left.T @ (w * R[kept]))


@pytest.mark.parametrize("landmarks", ["uniform", "pivoted", np.arange(0, N, 8)])
@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_the_fit_is_least_squares_in_the_span_of_the_landmarks(landmarks, weights):
    fit = NystromSolver(M, landmarks=landmarks, rng=0).fit(Rows(), R, 0.3, weights)
    expected = by_definition(fit.points, 0.3, np.ones(N) if weights is None else weights)
    columns = KERNEL[:, fit.points]
    np.testing.assert_allclose(columns @ fit.coefficients, columns @ expected, atol=1e-9)
    nystrom = columns @ np.linalg.solve(columns[fit.points], columns.T)
    missed = 1 - np.trace(nystrom) / np.trace(KERNEL)
    assert fit.missed == pytest.approx(missed, abs=1e-10)
    assert len(fit.points) == (M if isinstance(landmarks, str) else 38)
    assert f"{len(fit.points)} landmarks" in fit.message


def test_leave_one_out_is_that_of_refits_with_the_same_landmarks():
    fit = NystromSolver(M, rng=0, block_size=100).fit(Rows(), R, 0.3, WEIGHTS, residuals=True)
    others = np.setdiff1d(np.arange(N), fit.points)
    assert len(others) >= 256  # so that they alone are left out
    errors = np.empty((len(others), 2))
    for k, i in enumerate(others):
        beta = by_definition(fit.points, 0.3, WEIGHTS, np.delete(np.arange(N), i))
        errors[k] = R[i] - KERNEL[i, fit.points] @ beta
    w = WEIGHTS[others]
    expected = (w @ np.square(errors)).sum() / (2 * w.sum())
    assert fit.loo_error == pytest.approx(expected, rel=1e-8)
    np.testing.assert_array_equal(fit.left_out, others)
    np.testing.assert_allclose(fit.loo_residuals, errors, rtol=0, atol=1e-8)
    assert NystromSolver(M, rng=0).fit(Rows(), R, 0.3, WEIGHTS).loo_residuals is None


@pytest.mark.parametrize("weights", [None, WEIGHTS, WEIGHTS * 1e300])
def test_every_row_as_landmark_is_the_exact_fit(weights):
    fit = NystromSolver(N, rng=0).fit(Rows(), R, weights=weights)
    mu, error, curve = choose_regularization([KERNEL], R, weights)
    assert fit.mu == pytest.approx(mu, rel=1e-12)
    assert fit.loo_error == pytest.approx(error, rel=1e-8)
    np.testing.assert_allclose(fit.curve[:, 1], curve[:, 1], rtol=1e-5)
    exact = DampedCholesky(KERNEL, mu, weights).solve(R)
    np.testing.assert_allclose(fit.coefficients, exact, atol=1e-9 * np.abs(exact).max())
    assert fit.missed == 0.0


def test_blocks_of_any_size_give_the_same_fit_to_rounding():
    fits = [
        NystromSolver(M, rng=0, block_size=size).fit(Rows(), R, weights=WEIGHTS)
        for size in (None, 1, 7, 299, 1000)
    ]
    for fit in fits[1:]:
        np.testing.assert_array_equal(fit.points, fits[0].points)
        assert fit.mu == fits[0].mu
        assert fit.loo_error == pytest.approx(fits[0].loo_error, rel=1e-10)
        np.testing.assert_allclose(fit.coefficients, fits[0].coefficients, atol=1e-9)


def test_no_block_is_larger_than_it_is_asked_to_be():
    sizes = []

    class Watched(Rows):
        def block(self, rows, points):
            out = super().block(rows, points)
            sizes.append(out.shape)
            return out

    NystromSolver(20, rng=0, block_size=50).fit(Watched(), R)
    assert max(rows for rows, _ in sizes) == 50
    assert {columns for _, columns in sizes} == {20}


def test_observations_of_one_row_are_left_out_one_at_a_time():
    points = np.concatenate([np.arange(N), np.arange(0, N, 2)])
    T = np.concatenate([R, R[::2] + 0.3])
    means, _, repeats = merge_repeats(points, T, np.ones(len(points)))
    fit = NystromSolver(N, rng=0).fit(Rows(), means, 0.2, repeats=repeats, residuals=True)
    errors = [
        loo_residuals(KERNEL, means[:, c], 0.2, repeats=repeats.columns(slice(c, c + 1)))
        for c in range(2)
    ]
    assert fit.loo_error == pytest.approx(np.mean(np.square(errors)), rel=1e-8)
    np.testing.assert_allclose(fit.loo_residuals, np.transpose(errors), rtol=0, atol=1e-8)


def test_rows_without_weight_are_neither_landmarks_nor_fitted():
    weights = np.where(np.arange(N) < 100, 0.0, 1.0)
    fit = NystromSolver(M, rng=0).fit(Rows(), R, weights=weights)
    assert fit.points.min() >= 100
    wild = R.copy()
    wild[:100] = 1e6
    again = NystromSolver(M, rng=0).fit(Rows(), wild, weights=weights)
    np.testing.assert_array_equal(again.coefficients, fit.coefficients)


def test_rows_of_zeros_are_landmarks_only_where_there_are_too_few_others():
    present = np.arange(N) % 10 == 0
    kernel = Rows(KERNEL * np.outer(present, present))
    fit = NystromSolver(20, rng=0).fit(kernel, R, 0.3)
    assert present[fit.points].all()
    more = NystromSolver(40, rng=0).fit(kernel, R, 0.3)
    assert present[more.points].sum() == 30
    whole = NystromSolver(N, rng=0).fit(kernel, R, 0.3)
    columns = kernel.K[:, more.points] @ more.coefficients
    np.testing.assert_allclose(columns, kernel.K @ whole.coefficients, atol=1e-9)


def test_repeated_landmarks_and_a_kernel_of_low_rank_are_solved():
    J = KhatriRao(RNG.standard_normal((N, 3)), RNG.standard_normal((N, 2)))
    change = np.arange(6.0).reshape(3, 2)
    for M in (6, 50, N):
        fit = NystromSolver(M, rng=0).fit(J, J.matvec(change), 1e-9)
        f = J.columns(fit.points) @ fit.coefficients[:, 0]
        np.testing.assert_allclose(f, J.matvec(change), atol=1e-6)
        assert fit.missed < 1e-10


def test_float32_kernels_are_summed_in_float64():
    fit = NystromSolver(M, rng=0).fit(Rows(), R, 0.3)
    low = NystromSolver(M, rng=0).fit(Rows(KERNEL.astype(np.float32)), R, 0.3)
    f, g = (KERNEL[:, fit.points] @ x.coefficients for x in (fit, low))
    assert np.abs(f - g).max() < 1e-4 * np.abs(f).max()
    assert low.coefficients.dtype == np.float64


def test_pivoted_landmarks_find_the_rare_direction():
    # One row of 400 is alone; uniform draws of 5 miss it 98 times in 100.
    K = np.ones((400, 400)) + 1e-6 * np.eye(400)
    K[-1, :-1] = K[:-1, -1] = 0.0
    K[-1, -1] = 50.0
    chosen = pivoted(Rows(K), np.arange(400), 5, np.random.default_rng(0))
    assert 399 in chosen
    assert len(set(chosen)) == 5


def test_as_a_solver_the_solution_has_entries_at_landmarks_alone():
    J = KhatriRao(RNG.standard_normal((N, 30)), RNG.standard_normal((N, 20)))
    c = RNG.standard_normal(N)
    solution = NystromSolver(M, rng=0).solve(J, c, 0.5)
    assert np.count_nonzero(solution.x) == M
    assert not solution.converged
    whole = NystromSolver(N, rng=0).solve(J, c, 0.5)
    assert whole.converged
    np.testing.assert_allclose(whole.x, DampedCholesky(J.gram(), 0.5).solve(c), atol=1e-8)


def test_as_a_solver_it_takes_what_fit_takes(rng):
    J = KhatriRao(rng.standard_normal((30, 4)), rng.standard_normal((30, 3)))
    c, weights = rng.standard_normal(30), rng.random(30)
    solver = NystromSolver(12, rng=0)
    given = solver.solve(J, c, 0.1, list(weights))
    array = NystromSolver(12, rng=0).solve(J, c, 0.1, weights)
    np.testing.assert_array_equal(given.x, array.x)
    chosen = NystromSolver(12, rng=0).solve(J, c, "loo")
    mu = NystromSolver(12, rng=0).fit(J, c, "loo").mu
    np.testing.assert_array_equal(chosen.x, NystromSolver(12, rng=0).solve(J, c, mu).x)
    assert chosen.residual_norm > 0
    with pytest.raises(TypeError, match="weights must be"):
        solver.solve(J, c, 0.1, ["1"] * 30)
    with pytest.raises(ValueError, match="damping must be 'loo' or a number"):
        solver.solve(J, c, "gcv")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("weights", [np.ones(N), WEIGHTS])
def test_iterations_with_landmarks_reach_the_exact_solution(dtype, weights):
    K = KERNEL.astype(dtype)
    alpha, count, residual = iterated(K, R, 0.01, weights, 50, np.random.default_rng(0))
    assert residual < 2e-4
    assert count < 100
    exact = DampedCholesky(KERNEL, 0.01, weights).solve(R)
    f, g = KERNEL @ alpha, KERNEL @ exact
    assert np.abs(f - g).max() < 1e-3 * np.abs(g).max()


def test_iterations_stand_still_at_a_target_of_zeros():
    T = np.column_stack([R[:, 0], np.zeros(N)])
    alpha, _, _ = iterated(KERNEL.copy(), T, 0.1, np.ones(N), 50, np.random.default_rng(0))
    assert not alpha[:, 1].any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_landmarks": 0}, "n_landmarks must be at least 1; got 0"),
        ({"n_landmarks": N + 1}, f"n_landmarks must be at most .* {N}; got {N + 1}"),
        ({"landmarks": "best"}, "landmarks must be 'uniform', 'pivoted' or indices"),
        ({"landmarks": [0, 0]}, "landmarks must be at least 1 row, each given once"),
        ({"landmarks": []}, "landmarks must be at least 1 row, each given once"),
        ({"landmarks": [N]}, "landmarks must be rows of positive weight"),
        ({"block_size": 0}, "block_size must be at least 1; got 0"),
    ],
)
def test_landmarks_that_cannot_be_are_refused_in_a_sentence(options, message):
    with pytest.raises(ValueError, match=message):
        NystromSolver(**{"n_landmarks": M, **options}).fit(Rows(), R)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"damping": "gcv"}, ValueError, "damping must be 'loo' or a number"),
        ({"damping": -1.0}, ValueError, "damping must be at least 0"),
        ({"weights": np.zeros(N)}, ValueError, "weights must have a positive entry"),
        ({"kernel": KERNEL}, TypeError, "kernel must be a Jacobian or have"),
        ({"kernel": Rows(KERNEL[:5, :5])}, ValueError, f"kernel must have {N} rows"),
        ({"kernel": Rows(KERNEL * np.nan)}, ValueError, "kernel must be finite"),
        ({"kernel": Rows(KERNEL * 0.0)}, ValueError, "kernel must have a positive trace"),
        ({"grid": [0.0]}, ValueError, "grid must be positive"),
    ],
)
def test_what_cannot_be_fitted_is_refused_in_a_sentence(arguments, error, message):
    with pytest.raises(error, match=message):
        NystromSolver(M, rng=0).fit(**{"kernel": Rows(), "r": R, **arguments})
