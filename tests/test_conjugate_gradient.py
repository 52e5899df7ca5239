"""Conjugate gradients solve the system to the accuracy asked for, or say why they did not."""

import re

import numpy as np
import pytest
from gram_matrices import N, gram, right_hand_side

from subquad.solvers import DampedCholesky, pcg


def test_pcg_finds_the_solution_and_reports_its_true_residual():
    G, c = gram(), right_hand_side()
    solution = pcg(lambda x: G @ x, c, rtol=1e-12)
    np.testing.assert_allclose(solution.x, np.linalg.solve(G, c), rtol=1e-9)
    assert solution.residual_norm == pytest.approx(np.linalg.norm(c - G @ solution.x), rel=1e-12)
    assert solution.converged
    assert solution.n_iterations <= 2 * N


def test_pcg_needs_no_more_iterations_than_its_theorem_grants():
    """The energy-norm error after k steps is at most 2 q^k times the first, kappa = cond(G)."""
    G, c = np.diag(np.linspace(1, 100, 400)), right_hand_side(400)
    root = np.sqrt(100)  # of kappa; the residual is at most `root` times worse than the error
    bound = np.log(2 * root / 1e-8) / -np.log((root - 1) / (root + 1))
    solution = pcg(lambda x: G @ x, c, rtol=1e-8)
    assert solution.converged
    assert 10 < solution.n_iterations <= bound


def test_pcg_with_the_exact_inverse_takes_one_iteration():
    G, c = gram(), right_hand_side()
    factor = DampedCholesky(G)
    solution = pcg(lambda x: G @ x, c, preconditioner=factor.solve)
    assert (solution.converged, solution.n_iterations) == (True, 1)


def test_pcg_treats_a_matrix_of_unknowns_as_one_vector():
    G, C = gram(3 * N, 200), np.random.default_rng(4).standard_normal((N, 3))
    solution = pcg(lambda X: (G @ X.ravel()).reshape(N, 3), C)
    np.testing.assert_allclose(solution.x.ravel(), np.linalg.solve(G, C.ravel()), rtol=1e-7)


def test_pcg_of_zero_is_zero_at_no_cost():
    solution = pcg(lambda x: 3 * x, np.zeros(4))
    assert (solution.n_iterations, solution.converged, solution.x.any()) == (0, True, False)


@pytest.mark.parametrize(
    ("matrix", "options", "message"),
    [
        (np.diag(np.logspace(0, 8, N)), {"max_iterations": 3}, "after 3 iterations .* add damping"),
        (np.diag(np.linspace(-1, 1, N)), {}, "zero or negative curvature .* add damping"),
        (np.diag(np.logspace(0, 4, N)), {"rtol": 1e-17}, "Rounding keeps|nearly singular"),
    ],
    ids=["exhausted", "indefinite", "below rounding"],
)
def test_pcg_that_stops_short_says_why_and_what_to_do(matrix, options, message):
    c = right_hand_side()
    solution = pcg(lambda x: matrix @ x, c, **options)
    assert not solution.converged
    assert re.search(message, solution.message)
    assert np.isfinite(solution.x).all()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: pcg(lambda x: x[:1], np.ones(2)),
            ValueError,
            "matvec must return shape (2,), that of c; got (1,).",
        ),
        (lambda: pcg(np.copy, [1]), TypeError, "c must be a non-empty array of floats; got int64"),
        (lambda: pcg(np.copy, [np.nan]), ValueError, "c must be finite; got NaN"),
        (
            lambda: pcg(np.copy, np.ones(2), rtol=0.0),
            ValueError,
            "rtol must be greater than 0.0; got 0.0.",
        ),
    ],
)
def test_bad_arguments_are_refused_by_name(call, error, message):
    with pytest.raises(error, match=re.escape(message)):
        call()
