"""A solver reports success only with a finite result and a residual that it computed.

Scales run over all of float64: what overflows or underflows on the way is no success.
"""

import itertools
import warnings

import numpy as np
import pytest

from subquad.jacobian import KhatriRao
from subquad.sketch import CountSketch
from subquad.solvers import (
    SolverWarning,
    fast_least_squares,
    fast_newton,
    fast_regression,
    gram_solve,
    solve_damped,
)
from subquad.solvers.gram._landmarks import LandmarkPreconditioner
from subquad.solvers.objectives import Logistic, Poisson


def relative_residual(G, x, c, damping):
    """|G x + mu x - c| / |c| in extended precision, in units of c."""
    unit = np.abs(c).max() or 1.0
    residual = G @ x.astype(np.longdouble) + np.longdouble(damping) * x - c
    return float(np.linalg.norm((residual / unit).astype(float)) / (np.linalg.norm(c / unit) or 1))


def factors(kind, n):
    rng = np.random.default_rng(0)
    U, V = rng.standard_normal((n, 20)), rng.standard_normal((n, 15))
    if kind == "repeated rows":
        U[n // 2 :], V[n // 2 :] = U[: n - n // 2], V[: n - n // 2]
    elif kind == "a row of zeros":
        U[-1] = 0.0
    elif kind == "low rank":
        U, V = U[:, :2], V[:, :2]
    return U, V


@pytest.mark.parametrize("method", ["exact", "sketch", "pcg", "auto"])
@pytest.mark.parametrize("kind", ["generic", "repeated rows", "a row of zeros", "low rank"])
@pytest.mark.parametrize("n", [1, 12])
def test_gram_solve_succeeds_only_where_the_residual_is_small(method, kind, n):
    U, V = factors(kind, n)
    rng = np.random.default_rng(1)
    for scale, dtype in itertools.product((1.0, 1e75, 1e-75, 1e-81), (np.float32, np.float64)):
        if dtype == np.float32 and scale != 1.0:
            continue
        J = KhatriRao((scale * U).astype(dtype), (scale * V).astype(dtype))
        A, B = J.U.astype(np.longdouble), J.V.astype(np.longdouble)
        G = (A @ A.T) * (B @ B.T)
        for size, mu, rtol in itertools.product((0.0, 1.0, 1e150, 1e-150), (0.0, 1.0), (1e-3, 0.5)):
            c, damping = size * rng.standard_normal(n), mu * float(np.trace(G) / n)
            solution = gram_solve(J, c, method, damping=damping, rtol=rtol, rng=0)
            if solution.converged:
                assert np.isfinite(solution.x).all()
                assert np.isfinite(solution.residual_norm)
                assert relative_residual(G, solution.x, c, damping) <= 1.01 * rtol
            elif kind == "generic" and scale == 1.0 and size <= 1.0 and method != "sketch":
                raise AssertionError(solution.message)


@pytest.mark.parametrize(
    ("G", "c", "damping", "weight"),
    [
        ([[1e308]], [1e-300], 0.0, 1.0),  # x = 1e-608
        ([[1e-300]], [1e100], 0.0, 1.0),  # x = 1e400
        ([[1.0]], [1.0], 1e300, 1e-200),  # x = 1e-500
        ([[1e-320, 0.0], [0.0, 1e-320]], [1.0, 1.0], 0.0, 1.0),
    ],
)
def test_solve_damped_fails_where_float64_does_not_hold_the_solution(G, c, damping, weight):
    solution = solve_damped(G, c, damping, np.full(len(c), weight))
    assert not solution.converged
    assert "scale the system" in solution.message


def test_solve_damped_succeeds_for_any_regular_matrix():
    rng = np.random.default_rng(2)
    for n, digits in itertools.product((1, 2, 5, 40), (0, 4, 8, 12)):
        Q, _ = np.linalg.qr(rng.standard_normal((n, n)))
        G = (Q * np.logspace(0, -digits, n)) @ Q.T
        for weights in (None, rng.uniform(1e-6, 2.0, n)):
            solution = solve_damped((G + G.T) / 2, rng.standard_normal(n), 1e-13, weights)
            assert solution.converged or solution.info["rank"] < n, solution.message


class ScaledSketch:
    """A sketch that keeps no norm: k times one that does."""

    def __init__(self, n, size, factor):
        self._sketch, self.sketch_size = CountSketch(n, size, rng=0), size
        self._factor = factor

    def apply_columns(self, A, n_threads=None):
        return self._factor * self._sketch.apply_columns(A, n_threads=n_threads)


@pytest.mark.parametrize("damping", [0.0, 1.0])
@pytest.mark.parametrize("factor", [1e-3, 1e3, 1e6])
@pytest.mark.parametrize("power", [0.0, 1.0])
def test_least_squares_are_right_whatever_the_size_of_the_sketch(damping, factor, power):
    """It was believed that A N is nearly orthonormal: N^T r is small where N is far too small."""
    rng = np.random.default_rng(3)
    A = rng.standard_normal((400, 8)) * 10.0 ** (-power * np.arange(8))
    stacked = np.vstack([A, np.sqrt(damping) * np.eye(8)])
    for b in (rng.standard_normal(400), A @ rng.standard_normal(8), np.zeros(400)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SolverWarning)
            solution = fast_least_squares(
                A, b, damping=damping, sketch=ScaledSketch(400, 40, factor), rtol=1e-3
            )
        least = np.linalg.lstsq(stacked, np.append(b, np.zeros(8)))[0]
        error = np.linalg.norm(stacked @ (solution.x - least))
        assert not solution.converged or error <= 4e-3 * np.linalg.norm(b)
        assert solution.converged or factor > 1.0


@pytest.mark.parametrize("solve", [fast_regression, fast_least_squares])
def test_regression_fails_where_float64_does_not_hold_the_solution(solve):
    rng = np.random.default_rng(4)
    A = rng.standard_normal((60, 3))
    right = rng.standard_normal(60 if solve is fast_least_squares else 3)
    for scale, size in ((1e-150, 1e200), (1e150, 1e-200)):
        with pytest.warns(SolverWarning, match=r"(over|under)flows float64"):
            assert not solve(scale * A, size * right, rng=0).converged


@pytest.mark.parametrize(
    ("loss", "d", "l2", "spread", "tol", "known"),
    [
        (Poisson, 8, 1e-3, 10.0, 1e-4, 23),
        (Poisson, 8, 1.0, 30.0, 1e-2, 17),
        (Logistic, 4, 1.0, 30.0, 1e-4, 9),
    ],
)
def test_fast_newton_from_afar_succeeds_only_at_a_minimum(loss, d, l2, spread, tol, known):
    """A preconditioner kept from other weights hid what is left: `known` succeeded at 7e29."""
    for seed, preconditioner in itertools.product((known, 0, 1, 2), ("auto", "sketch")):
        rng = np.random.default_rng(seed)
        X = rng.standard_normal((20, d))
        eta = X @ rng.standard_normal(d) / 2
        if loss is Poisson:
            y = rng.poisson(np.exp(eta)).astype(float)
        else:
            y = (eta + rng.standard_normal(20) > 0).astype(float)
        f, start = loss(X, y, l2=l2, intercept=True), spread * rng.standard_normal(d + 1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SolverWarning)
            solution = fast_newton(
                f, start, tol=tol, max_steps=12, preconditioner=preconditioner, rng=0
            )
            least = fast_newton(f, tol=1e-12, rng=0).info["value"]
        assert not solution.converged or solution.info["value"] <= least * (1 + 10 * tol)


def test_landmarks_bear_kernels_that_float32_makes_indefinite():
    rng = np.random.default_rng(5)
    x = rng.standard_normal((200, 1)).astype(np.float32)
    J = KhatriRao(np.sign(x), x)
    for points in (np.arange(150), np.zeros(30, np.intp), np.arange(200)):
        factor = LandmarkPreconditioner(J, points, 1e-3)
        applied = factor.apply(rng.standard_normal(200))
        assert np.isfinite(applied).all()
    overflowing = KhatriRao(np.full((4, 1), 1e200), np.ones((4, 1)))
    with pytest.raises(ValueError, match=r"must keep J J\^T within the range of float64"):
        LandmarkPreconditioner(overflowing, np.arange(4), 0.0)
