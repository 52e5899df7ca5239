"""Least squares on landmarks, against the normal equations as they are defined."""

import numpy as np

from subquad.jacobian import KhatriRao
from subquad.solvers import NystromSolver

from ..cases import target
from ..draws import as_float64

# Fits are compared where the normal equations have a condition number up to this.
_CONDITION = 1e7


@target(
    "solvers.NystromSolver", "solvers.NystromSolver.fit", "solvers.NystromSolver.solve", share=20
)
def landmarks(draw, attempt):
    n, dtype = draw.size(17), draw.dtype()
    factors = draw.values((n, 9), scales=False), draw.values((n, 8), scales=False)
    J = KhatriRao(*(x.astype(dtype) for x in factors))
    draw.hostile |= not J.diagonal().any()  # of a kernel of zeros no mu is the best
    M = draw.between(1, n)
    options = {"rng": draw.rng(), "landmarks": draw.option(("uniform", "pivoted"))}
    if draw.chance(0.3):
        options["block_size"] = draw.integer((None, 1, 3))
    if draw.goes_wrong():
        M = draw.choice((0, -1, n + 1, 1.5, "all", None))
    solver = attempt(NystromSolver, M, **options)
    damping = draw.real((1e-3, 1.0, 5))
    if draw.chance(0.3):
        c = draw.array((n,))
        x = attempt(solver.solve, J, c, damping).x
        drawn = isinstance(options["landmarks"], str)  # others may be given
        attempt.holds(not drawn or np.count_nonzero(x) <= M, "entries beside those of landmarks")
        return
    r, loo = draw.array((n, 2) if draw.chance(0.5) else (n,)), draw.chance(0.3)
    loo |= isinstance(damping, str)  # a hostile number, and the word for the best one
    residuals = draw.chance(0.5)
    fit = attempt(solver.fit, J, r, "loo" if loo else damping, residuals=residuals)
    attempt.holds((fit.loo_residuals is None) != residuals, "errors where they are asked for")
    attempt.holds(len(fit.points) == len(fit.coefficients) == M, f"{fit.points.shape} landmarks")
    if dtype == np.float64 and not loo:
        _check(attempt, fit, J.gram(), as_float64(r).reshape(n, -1), float(damping))


def _check(attempt, fit, G, R, mu):
    """Compare predictions with those of the explicit solution."""
    K = G[:, fit.points]
    A = K.T @ K + mu * K[fit.points]
    with np.errstate(all="ignore"):
        if not np.isfinite(R).all() or not np.linalg.cond(A) < _CONDITION:
            return
        expected = K @ np.linalg.solve(A, K.T @ R)
        bound = np.full(R.shape, np.abs(R).sum() * _CONDITION)
    attempt.close(K @ fit.coefficients, expected, bound, 20 * len(G))
