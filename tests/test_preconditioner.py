"""The factored sketch is a pseudo-inverse of the root of (S A)^T S A, and knows its rank."""

import numpy as np
import pytest
from reference_solvers import tall_matrix

from subquad.solvers._tall.preconditioner import SketchPreconditioner


def test_preconditioner_solves_with_its_factor_and_its_transpose(rng):
    SA = rng.standard_normal((60, 7))
    M = SketchPreconditioner.from_sketch(SA)
    x = rng.standard_normal(7)
    np.testing.assert_allclose(M.apply(x), np.linalg.solve(SA.T @ SA, x))
    assert x @ M.solve(x) == pytest.approx(M.solve_transposed(x) @ x)
    assert M.condition_estimate == pytest.approx(np.linalg.cond(SA), rel=0.1)
    assert M.norm_estimate == pytest.approx(np.linalg.norm(SA, 2), rel=0.1)
    damped = SketchPreconditioner.from_sketch(SA, damping=2.0)
    np.testing.assert_allclose(damped.apply(x), np.linalg.solve(SA.T @ SA + 2 * np.eye(7), x))


def test_preconditioner_of_a_deficient_sketch_is_its_pseudo_inverse(rng):
    SA = rng.standard_normal((60, 4)) @ rng.standard_normal((4, 7))
    M = SketchPreconditioner.from_sketch(SA)
    assert (M.rank, M.null_space.shape) == (4, (7, 3))
    x = rng.standard_normal(7)
    np.testing.assert_allclose(M.apply(x), np.linalg.pinv(SA.T @ SA, rcond=1e-10) @ x)
    np.testing.assert_allclose(SA @ M.project(x), SA @ x)
    assert SketchPreconditioner.from_gram(SA.T @ SA) is None


@pytest.mark.parametrize("cond", [1.0, 1e3, 1e8, 1e12])
def test_condition_estimate_holds_at_every_condition_number(cond):
    """Twelve power steps: a lower bound, off by some per cent where the spectrum is dense."""
    SA = tall_matrix(n=200, k=25, cond=cond)
    M = SketchPreconditioner.from_sketch(SA)
    assert M.rank == 25
    assert 0.8 * cond <= M.condition_estimate <= 1.01 * cond


@pytest.mark.parametrize("k", [1, 2, 30])
def test_rank_is_decided_relative_to_the_largest_singular_value(k, rng):
    SA = 1e-150 * rng.standard_normal((4 * k, k))
    assert SketchPreconditioner.from_sketch(SA).rank == k
    SA[:, 0] = 0.0
    assert SketchPreconditioner.from_sketch(SA).rank == k - 1
    assert SketchPreconditioner.from_sketch(tall_matrix(60, 10, 1e6), rank_tol=1e-3).rank == 5


def test_factors_of_grams_are_refused_once_rounding_has_spoilt_them():
    for cond, usable in ((1e3, True), (1e5, True), (1e9, False)):
        A = tall_matrix(n=200, k=20, cond=cond)
        assert (SketchPreconditioner.from_gram(A.T @ A) is not None) == usable
    for bad in (np.nan, np.inf):
        assert SketchPreconditioner.from_gram(np.full((3, 3), bad)) is None
