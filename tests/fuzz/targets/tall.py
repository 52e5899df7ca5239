"""Regression and Newton's method with tall matrices, against numpy's least squares."""

import numpy as np
from scipy import special
from scipy.sparse.linalg import aslinearoperator

from subquad.jacobian import KhatriRao
from subquad.solvers import fast_least_squares, fast_newton, fast_regression
from subquad.solvers.objectives import LeastSquares, Logistic, Poisson

from ..cases import target
from ..draws import as_float64
from ..sparse_draws import dense, rows_of

_CONDITION = 1e6
_LOSSES = {
    LeastSquares: lambda eta, y: (eta - y) ** 2 / 2,
    Logistic: lambda eta, y: np.logaddexp(0.0, eta) - y * eta,
    Poisson: lambda eta, y: np.exp(eta) - y * eta + special.xlogy(y, y) - y,
}


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
    # Least squares are judged in a norm of their own, in which A^T (b - A x) may overflow.
    finite = np.isfinite(solution.x).all() and (squares or np.isfinite(solution.residual_norm))
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


def _objective(draw, attempt):
    """A generalised linear model, its targets, and the keywords that it was made with."""
    n, k = draw.choice((20, 60)), draw.between(1, 5)
    kind = draw.choice(tuple(_LOSSES))
    y = draw.values((n,), scales=False)
    if kind is Logistic:
        y = (y > 0).astype(draw.choice((float, int, bool, np.float32)))
    elif kind is Poisson:
        y = np.round(np.abs(y))
    own = {"l2": draw.real((1.0, 0.1, 0.0)), "intercept": draw.chance(0.3)}
    if draw.chance(0.3):
        own["sample_weight"] = np.abs(draw.values((n,), scales=False)) + 0.1
    if draw.goes_wrong():
        y = draw.array((n,))
        draw.wrong = None  # labels may be integers or bools
    X = rows_of(draw, (n, k), scales=False)
    return attempt(kind, X, y, **own), X, y, own


@target(
    *(
        f"solvers.objectives.{kind.__name__}{name}"
        for kind in _LOSSES
        for name in ("", ".value", ".gradient", ".sqrt_hessian", ".predictor")
    ),
    share=12,
)
def objectives(draw, attempt):
    f, X, y, own = _objective(draw, attempt)
    x = draw.array((f.n_parameters,), scales=False, finite=False)
    name = draw.choice(("value", "gradient", "sqrt_hessian", "predictor"))
    draw.extreme = True  # exponentials overflow
    value = attempt(getattr(f, name), x)
    X, x = dense(X), as_float64(x)
    X = np.column_stack([X, np.ones(len(X))]) if own["intercept"] else X
    with np.errstate(all="ignore"):
        eta, size = X @ x, np.abs(X) @ np.abs(x)
        if name == "predictor":
            attempt.close(value, eta, size, len(x))
        elif name == "value":
            y, w = as_float64(y), own.get("sample_weight", np.ones(len(X)))
            penalty = np.sum(f.damping * x * x) / 2
            growth = np.exp(size) if type(f) is Poisson else 1 + size + size**2
            total = np.abs(w) @ (growth * (1 + np.abs(y)) * (1 + size) + y * y) + penalty
            expected = w @ _LOSSES[type(f)](eta, y) + penalty
            attempt.close(value, expected, 10 * total, len(X) + len(x))
        else:
            shape = (f.n_parameters,) if name == "gradient" else X.shape
            attempt.holds(value.shape == shape, f"shape {value.shape}")


@target("solvers.fast_newton", share=6)
def newton(draw, attempt):
    objective, X, y, own = _objective(draw, attempt)
    kind = type(objective)
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
        X, w = dense(X), own.get("sample_weight", np.ones(len(y)))
        X = np.column_stack([X, np.ones(len(y))]) if own["intercept"] else X
        G = X.T @ (w[:, None] * X) + np.diag(objective.damping)
        expected = np.linalg.solve(G, X.T @ (w * as_float64(y)))
        # The decrement is (x - x*)^T G (x - x*) / 2, at most tol f.
        gap = solution.x - expected
        slack = (float(options["tol"]) + 1e-12) * (abs(solution.info["value"]) + 1) * 10
        attempt.holds(gap @ G @ gap / 2 <= slack, f"a decrement of {gap @ G @ gap / 2} is left")
