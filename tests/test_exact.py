"""Direct solvers return the solution of the system as written, singular or not."""

import re

import numpy as np
import pytest
from gram_matrices import WEIGHTS, N, gram, lower_half, read_only, right_hand_side

from subquad.solvers import DampedCholesky, solve_damped

NAN = np.where(np.eye(3, k=-1, dtype=bool), np.nan, np.eye(3))


@pytest.mark.parametrize("weights", WEIGHTS.values(), ids=WEIGHTS)
@pytest.mark.parametrize("damping", [0.0, 1e-3, 10.0])
def test_the_lower_half_is_solved_as_written(damping, weights):
    G, c = gram(), right_hand_side()
    M = G + damping * np.diag(1 / (np.ones(N) if weights is None else weights))
    solution = solve_damped(lower_half(G), c, damping, weights)
    np.testing.assert_allclose(solution.x, np.linalg.solve(M, c), rtol=1e-9, atol=1e-12)
    assert solution.residual_norm <= 1e-12 * np.linalg.norm(c)
    assert (solution.converged, solution.info["rank"]) == (True, N)


def test_a_sample_of_weight_zero_is_as_good_as_absent():
    G, c, weights = gram(), right_hand_side(), np.ones(N)
    weights[[0, 5]] = 0
    kept = weights > 0
    solution = solve_damped(G, c, 0.1, weights)
    assert solution.x[~kept].tolist() == [0.0, 0.0]
    without = solve_damped(G[np.ix_(kept, kept)], c[kept], 0.1)
    np.testing.assert_allclose(solution.x[kept], without.x, rtol=1e-12)
    assert solution.residual_norm == pytest.approx(without.residual_norm, abs=1e-13)


def test_a_weight_of_three_is_a_sample_repeated_three_times():
    G, c = gram(), right_hand_side()
    copies = np.r_[[3], np.ones(N - 1, dtype=int)]
    rows = np.repeat(np.arange(N), copies)
    weighted = solve_damped(G, c, 0.1, copies.astype(float)).x
    repeated = solve_damped(G[np.ix_(rows, rows)], c[rows], 0.1).x
    np.testing.assert_allclose(np.bincount(rows, repeated), weighted, rtol=1e-11)


@pytest.mark.parametrize("weights", [None, np.r_[0.0, 0.5, np.ones(N - 2)]], ids=["plain", "some"])
def test_repeated_points_with_conflicting_labels_get_the_least_norm_least_squares_solution(weights):
    G, c = gram(), right_hand_side()
    rows = np.r_[np.arange(N - 2), 2, 3]
    G = G[np.ix_(rows, rows)]
    roots = np.ones(N) if weights is None else np.sqrt(weights)
    solution = solve_damped(lower_half(G), c, 0.0, weights)
    expected = roots * (np.linalg.pinv(roots[:, None] * G * roots, rcond=1e-12) @ (roots * c))
    np.testing.assert_allclose(solution.x, expected, rtol=1e-9, atol=1e-11)
    rank = N - 2 - np.count_nonzero(roots == 0)
    assert not solution.converged
    assert solution.info["rank"] == rank
    assert re.search(rf"numerically singular: {rank} of its {N} eigenvalues", solution.message)


@pytest.mark.parametrize("seed", range(20))
def test_rounding_never_lets_a_singular_matrix_pass_for_a_regular_one(seed):
    """Cholesky alone succeeds on four in ten of these, with a pivot that is noise."""
    G, c = gram(30, 29, seed), right_hand_side(30, seed)
    solution = solve_damped(G, c)
    assert solution.info["rank"] == 29
    np.testing.assert_allclose(solution.x, np.linalg.pinv(G, rcond=1e-12) @ c, rtol=1e-7)


def test_damping_cures_a_singular_matrix():
    solution = solve_damped(gram(N, 3), right_hand_side(), 1e-6)
    assert solution.converged
    assert "Cholesky" in solution.message


def test_a_matrix_of_zeros_has_the_solution_zero():
    solution = solve_damped(np.zeros((3, 3)), np.ones(3))
    assert solution.x.tolist() == [0.0, 0.0, 0.0]
    assert solution.residual_norm == pytest.approx(np.sqrt(3))


@pytest.mark.parametrize("weights", WEIGHTS.values(), ids=WEIGHTS)
@pytest.mark.parametrize("rank", [40, 5], ids=["regular", "singular"])
def test_a_factor_is_reused_for_more_right_hand_sides_and_the_diagonal(rank, weights):
    G, C = gram(N, rank), np.random.default_rng(3).standard_normal((N, 3))
    factor = DampedCholesky(lower_half(G), 0.0, weights)
    for column, solved in zip(C.T, factor.solve(C).T, strict=True):
        np.testing.assert_allclose(factor.solve(column), solved, rtol=1e-9, atol=1e-12)
    inverse = factor.solve(np.eye(N))
    scale = np.abs(inverse).max()
    np.testing.assert_allclose(factor.inverse_diagonal(), inverse.diagonal(), atol=1e-12 * scale)


def test_arguments_are_neither_modified_nor_kept():
    G, c, weights = read_only(gram(), right_hand_side(), WEIGHTS["weights"])
    expected = solve_damped(G, c, 0.1, weights).x
    matrix, w = G.copy(), weights.copy()
    factor = DampedCholesky(matrix, 0.1, w)
    matrix[...], w[...] = np.nan, np.nan
    np.testing.assert_allclose(factor.solve(c), expected, rtol=1e-13)


def test_float32_systems_are_solved_in_float64():
    G, c = gram().astype(np.float32), right_hand_side().astype(np.float32)
    solution = solve_damped(G, c)
    assert solution.x.dtype == np.float64
    assert solution.residual_norm < 1e-12


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: solve_damped(np.ones((2, 3)), np.ones(2)),
            ValueError,
            "G must have shape (n, n); got (2, 3).",
        ),
        (
            lambda: solve_damped(np.eye(3), np.ones(2)),
            ValueError,
            "c must have shape (3,); got (2,).",
        ),
        (lambda: solve_damped(NAN, np.ones(3)), ValueError, "G must be finite; got NaN"),
        (
            lambda: solve_damped(np.eye(3), np.ones(3), -1.0),
            ValueError,
            "damping must be at least 0.0; got -1.0.",
        ),
        (
            lambda: solve_damped(np.eye(3), np.ones(3), 0.0, [1.0, -2.0, 1.0]),
            ValueError,
            "weights must be at least 0; got -2.0 at index 1.",
        ),
        (
            lambda: solve_damped(np.eye(3, dtype=int), np.ones(3)),
            TypeError,
            "G must be a float32 or float64 array; got int64.",
        ),
        (
            lambda: DampedCholesky(np.eye(3)).solve(np.ones((2, 2))),
            ValueError,
            "c must have shape (3, any); got (2, 2).",
        ),
    ],
)
def test_bad_systems_are_refused_by_name(call, error, message):
    with pytest.raises(error, match=re.escape(message)):
        call()
