"""Regression and Newton's method with tall matrices, against numpy's least squares."""

import numpy as np
from scipy.sparse.linalg import aslinearoperator

from subquad.jacobian import KhatriRao
from subquad.solvers import fast_least_squares, fast_newton, fast_regression
from subquad.solvers.objectives import LeastSquares, Logistic, Poisson

from ..cases import target
from ..draws import as_float64
from ..sparse_draws import dense, rows_of

_CONDITION = 1e6


def _design(draw, n, k):
    kind = draw.random.random()
    if kind < 0.8:
        return rows_of(draw, (n, k), scales=draw.chance(0.1))
    if kind < 0.9:
        return aslinearoperator(draw.values((n, k), scales=False))
    return KhatriRao(draw.values((k, 6), scales=False), draw.values((k, 7), scales=False))


def _options(draw):
    found = {"damping": draw.real((0.0, 0.0, 1e-3, 1.0)), "rng": draw.rng()}
    if draw.chance(0.3):
        found["sketch"] = draw.option((None, "count", "srht", "gaussian"))
        found["sketch_size"] = draw.integer((None, 200, 64))
        draw.hostile = True  # a sketch may be smaller than k, or larger than an SRHT can be
    if draw.chance(0.3):
        found["preconditioner"] = draw.option(("auto", "sketch", "exact"))
    if draw.chance(0.3):
        found["rtol"] = draw.real((1e-10, 1e-3, 0.0))
        found["max_iterations"] = draw.integer((200, 1, 20))
    if draw.chance(0.2):
        found["n_threads"] = draw.n_threads()
    return found


@target("solvers.fast_least_squares", "solvers.fast_regression", share=12)
def regression(draw, attempt):
    n, k = draw.choice((40, 65, 100)), draw.between(1, 8)
    A, squares = _design(draw, n, k), draw.chance(0.5)
    rows = 42 if isinstance(A, KhatriRao) else n
    y = draw.array((rows if squares else k,))
    options = _options(draw)
    solution = attempt(fast_least_squares if squares else fast_regression, A, y, **options)
    finite = np.isfinite(solution.x).all() and np.isfinite(solution.residual_norm)
    attempt.holds(finite or not solution.converged, "converged at what is not finite")
    if not solution.converged or draw.extreme:
        return
    A = A.to_dense().T if isinstance(A, KhatriRao) else _matrix_of(A)
    mu, c = float(options["damping"]), as_float64(y)
    G = A.T @ A + mu * np.eye(A.shape[1])
    eigenvalues = np.linalg.eigvalsh(G)
    if not eigenvalues[0] * _CONDITION > eigenvalues[-1]:
        return
    expected = np.linalg.solve(G, A.T @ c if squares else c)
    condition = eigenvalues[-1] / eigenvalues[0]
    rtol = max(float(options.get("rtol", 1e-10)), 1e-15)
    size = np.linalg.norm(c) / eigenvalues[0] * (np.sqrt(eigenvalues[-1]) if squares else 1.0)
    bound = np.full(expected.shape, 10 * size * condition * rtol / np.finfo(float).eps)
    attempt.close(solution.x, expected, bound, 4)


def _matrix_of(A):
    return A @ np.eye(A.shape[1]) if hasattr(A, "matmat") else dense(A)


@target("solvers.fast_newton", share=6)
def newton(draw, attempt):
    n, k = draw.choice((20, 60)), draw.between(1, 5)
    X = rows_of(draw, (n, k), scales=False)
    kind = draw.choice((LeastSquares, Logistic, Poisson))
    y = draw.values((n,), scales=False)
    y = (y > 0).astype(float) if kind is Logistic else np.round(np.abs(y)) if kind is Poisson else y
    if draw.goes_wrong():
        y = draw.array((n,))
        draw.wrong = None  # labels may be integers or bools
    own = {"l2": draw.real((1.0, 0.1, 0.0)), "intercept": draw.chance(0.3)}
    if draw.chance(0.3):
        own["sample_weight"] = np.abs(draw.values((n,), scales=False)) + 0.1
    try:
        objective = kind(X, y, **own)
    except (TypeError, ValueError):
        draw.wrong = None
        return
    draw.wrong = None
    options = {"tol": draw.real((1e-10, 1e-6)), "max_steps": draw.integer((100, 1, 5))}
    options["rng"] = draw.rng()
    if draw.chance(0.3):
        options["x0"] = draw.array((objective.n_parameters,), scales=False)
    if draw.chance(0.2):
        options["sketch"] = draw.option((None, "count", "srht", "gaussian"))
        options["preconditioner"] = draw.option(("auto", "sketch", "exact"))
        draw.hostile = True
    solution = attempt(fast_newton, objective, **options)
    finite = np.isfinite(solution.x).all()
    attempt.holds(finite or not solution.converged, "converged at what is not finite")
    if solution.converged and kind is LeastSquares and own["l2"] > 0:
        X, w = dense(X), own.get("sample_weight", np.ones(n))
        X = np.column_stack([X, np.ones(n)]) if own["intercept"] else X
        G = X.T @ (w[:, None] * X) + np.diag(objective.damping)
        expected = np.linalg.solve(G, X.T @ (w * as_float64(y)))
        # The decrement is (x - x*)^T G (x - x*) / 2, at most tol f.
        gap = solution.x - expected
        slack = (float(options["tol"]) + 1e-12) * (abs(solution.info["value"]) + 1) * 10
        attempt.holds(gap @ G @ gap / 2 <= slack, f"a decrement of {gap @ G @ gap / 2} is left")
