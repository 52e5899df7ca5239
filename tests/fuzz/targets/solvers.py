"""Solvers against numpy's, wherever the system is far from singular."""

import numpy as np
import scipy.linalg

from subquad.jacobian import JacobianSum, KhatriRao
from subquad.solvers import (
    AutoSolver,
    DampedCholesky,
    ExactSolver,
    PcgSolver,
    Repeats,
    SketchSolver,
    choose_regularization,
    gram_solve,
    influence,
    loo_residuals,
    merge_repeats,
    pcg,
    predictive_variance,
    solve_damped,
)

from ..cases import target
from ..draws import as_float64

# The systems whose solutions are compared have condition numbers up to this.
_CONDITION = 1e8
_EPS = np.finfo(np.float64).eps


def _matrix(draw, n):
    """A symmetric positive semidefinite matrix, mostly."""
    if draw.chance(0.3):
        return draw.array((n, n), scales=draw.chance(0.2))
    B = draw.values((n, n + 2), scales=draw.chance(0.2))
    with np.errstate(all="ignore"):
        G = B @ B.T
    if not np.isfinite(G).all():
        draw.hostile, draw.extreme = True, True
    return G.astype(np.float32) if draw.chance(0.1) and np.abs(G).max() < 1e30 else G


def _weights(draw, n):
    """Sample weights, or None."""
    if draw.chance(0.6):
        return None
    w = draw.array((n,), scales=False, positive=not draw.goes_wrong())
    if type(w) is np.ndarray and w.flags.writeable and not draw.wrong and draw.chance(0.3):
        w.flat[: draw.between(0, 2)] = 0.0
    return w


def _symmetric(G):
    """What the lower half stands for."""
    lower = np.tril(as_float64(G))
    return lower + np.tril(lower, -1).T


def check_solution(attempt, x, G, c, damping, weights, rtol=0.0):
    """Compare with the solution of (G + mu W^-1) x = c where that is well conditioned."""
    with np.errstate(all="ignore"):
        roots = np.ones(len(G)) if weights is None else np.sqrt(as_float64(weights))
        M = roots[:, None] * G * roots + float(damping) * np.eye(len(G))
        if not np.isfinite(M).all():
            return
        eigenvalues = np.linalg.eigvalsh(M)
        if not eigenvalues[0] * _CONDITION > eigenvalues[-1] or eigenvalues[0] < 1e-100:
            return
        kept = roots * np.linalg.solve(M, roots * c)
        size = np.abs(roots * c).sum() / eigenvalues[0] * roots.max()
    condition = eigenvalues[-1] / eigenvalues[0]
    bound = np.full(kept.shape, size * condition * (1 + rtol / _EPS))
    attempt.close(x, kept, bound, 20 * len(G))


@target(
    "solvers.solve_damped",
    *("solvers.DampedCholesky" + name for name in ("", ".solve", ".inverse_diagonal")),
    share=40,
)
def direct(draw, attempt):
    n = draw.size(17)
    G, weights = _matrix(draw, n), _weights(draw, n)
    if draw.wrong == "not finite":
        draw.wrong, draw.hostile = None, True  # the upper half is not read
    damping = draw.real((0.0, 1e-3, 1.0, 5))
    if draw.chance(0.5):
        c = draw.array((n,))
        solution = attempt(solve_damped, G, c, damping, weights)
        check_status(attempt, solution)
        check_solution(attempt, solution.x, _symmetric(G), as_float64(c), damping, weights)
        return
    factor = attempt(DampedCholesky, G, damping, weights)
    if draw.chance(0.3):
        value = attempt(factor.inverse_diagonal)
        attempt.holds(value.shape == (factor.n,), "one number for each row")
        return
    c = draw.array((n,) if draw.chance(0.5) else (n, 3))
    x = attempt(factor.solve, c)
    c = as_float64(c)
    for found, right in zip(np.atleast_2d(x.T), np.atleast_2d(c.T), strict=True):
        check_solution(attempt, found, _symmetric(G), right, damping, weights)


def check_status(attempt, solution):
    """Success needs finite numbers."""
    finite = np.isfinite(solution.x).all() and not np.isinf(solution.residual_norm)
    attempt.holds(finite or not solution.converged, "converged at what is not finite")


@target("solvers.pcg", share=15)
def conjugate_gradients(draw, attempt):
    n = draw.size(17)
    B = draw.values((n, n + 2), scales=False)
    G, c = B @ B.T + np.eye(n), draw.array((n,))
    if draw.wrong == "of a wrong dtype" and np.asarray(c).dtype.kind == "f":
        draw.wrong = None  # floats of any precision
    options = {"rtol": draw.real((1e-10, 1e-3, 1.0))}
    if draw.chance(0.3):
        options["max_iterations"] = draw.integer((1, 5, 100, None))
    if getattr(c, "ndim", 0) == 1 and draw.chance(0.1):
        draw.hostile = True
        options["preconditioner"] = draw.choice((3, lambda x: x[:1], lambda x: x * np.nan, None))
    fits = getattr(c, "shape", None) == (n,)
    product = G.__matmul__ if fits else np.copy  # functions of a caller may raise what they like
    if fits and draw.chance(0.1):
        draw.hostile = True
        product = draw.choice((3, None, lambda x: 0.0, lambda x: np.nan * x, lambda x: x[:-1]))
    solution = attempt(pcg, product, c, **options)
    check_status(attempt, solution)
    if solution.converged and product == G.__matmul__:
        check_solution(attempt, solution.x, G, as_float64(c), 0.0, None, float(options["rtol"]))


@target(
    "solvers.gram_solve",
    *("solvers.AutoSolver" + name for name in ("", ".forecast", ".solve")),
    *(
        f"solvers.{kind}Solver{name}"
        for kind in ("Exact", "Pcg", "Sketch")
        for name in ("", ".solve")
    ),
    share=20,
)
def gram(draw, attempt):
    n, dtype = draw.size(9), draw.dtype()
    shapes = (n, draw.size(12)), (n, draw.size(9))
    U, V = (draw.values(shape, scales=draw.chance(0.1)).astype(dtype) for shape in shapes)
    draw.hostile |= draw.extreme
    with np.errstate(all="ignore"):
        if not all(np.isfinite(x).all() for x in (U, V)):
            return
    J = KhatriRao(U, V)
    J = JacobianSum([J, KhatriRao(V, U)]) if draw.chance(0.2) else J
    if draw.chance(0.3):
        _by_solver(draw, attempt, J)
        return
    c, weights, damping = draw.array((n,)), _weights(draw, n), draw.real((0.0, 1e-3, 1.0))
    if draw.goes_wrong():
        J = draw.choice((3, None, U, KhatriRao, [J], "J"))
    options = {"damping": damping, "weights": weights, "rng": draw.rng()}
    options["rtol"] = draw.real((1e-10, 1e-3))
    if draw.chance(0.3):
        options["sketch_size"] = draw.integer((None, 4 * n, 2 * n))
    method = draw.option(("auto", "exact", "sketch", "pcg"))
    solution = attempt(gram_solve, J, c, method, **options)
    _check_gram(attempt, solution, J, c, options)


def _check_gram(attempt, solution, J, c, options):
    check_status(attempt, solution)
    if solution.converged:
        with np.errstate(all="ignore"):
            G = J.gram()
        inexact = float(np.finfo(J.dtype).eps) if J.dtype == np.float32 else 0.0
        rtol = max(float(options["rtol"]), inexact)
        check_solution(
            attempt, solution.x, G, as_float64(c), options["damping"], options["weights"], rtol
        )


def _by_solver(draw, attempt, J):
    """The objects behind the names; `solve` trusts its arguments, which trainers pass."""
    c, damping = draw.values((J.n,)), draw.choice((0.0, 1e-3, 1.0))
    weights = draw.choice((None, draw.values((J.n,), positive=True, scales=False)))
    kind = draw.choice((AutoSolver, ExactSolver, PcgSolver, SketchSolver))
    options = {"rtol": draw.real((1e-10, 1e-3))}
    if kind is not ExactSolver:
        options["rng"] = draw.rng()
        if draw.chance(0.3):
            options["sketch_size"] = draw.integer((None, 4 * J.n))
    if kind in (PcgSolver, SketchSolver) and draw.chance(0.3):
        options["kind"] = draw.option(("TensorSketch", "TensorSRHT"))
        draw.hostile = True  # a TensorSRHT may have too few coordinates
    if kind is SketchSolver and "sketch_size" not in options and draw.chance(0.3):
        options["epsilon"] = draw.real((None, 0.5, "theorem"))
    if kind is PcgSolver and draw.chance(0.2):
        options["forms_gram"] = draw.chance(0.5)
    if kind is PcgSolver and draw.chance(0.3):
        options["landmarks"] = draw.integer((None, 1, J.n))
        draw.hostile = True  # with a sketch_size as well
    solver = attempt(kind, **options)
    if kind is AutoSolver and draw.chance(0.2):
        attempt.holds(attempt(solver.forecast, J), "a forecast")
        return
    solution = attempt(solver.solve, J, c, damping, weights)
    _check_gram(attempt, solution, J, c, {"damping": damping, "weights": weights, **options})


@target("solvers.choose_regularization", "solvers.loo_residuals", share=20)
def leave_one_out(draw, attempt):
    n, C = draw.size(9), draw.between(1, 3)
    G, weights = _matrix(draw, n), _weights(draw, n)
    if draw.wrong == "not finite":
        draw.wrong, draw.hostile = None, True
    draw.hostile = True  # a matrix may be zero, or singular
    if draw.chance(0.5):
        r, mu = draw.array((n,)), draw.real((1.0, 1e-3, 0.0))
        value = attempt(loo_residuals, G, r, mu, weights)
        attempt.holds(value.shape == (len(_symmetric(G)),), f"shape {value.shape}")
        _check_loo(attempt, value, _symmetric(G), as_float64(r), float(mu), weights)
        return
    r, grid = draw.array((n, C) if C > 1 else (n,)), None
    if draw.chance(0.3):
        grid = draw.array((draw.between(1, 4),), scales=False, positive=not draw.goes_wrong())
    grams = [G] * draw.choice((1, 1, C))
    if draw.goes_wrong():
        grams = draw.choice(([], None, 3, G, [None], [[G]]))
    mu, error, curve = attempt(choose_regularization, grams, r, weights, grid)
    attempt.holds(mu >= 0 and not np.isnan(error) and curve.shape[1] == 2, f"{mu}, {error}")


def _check_loo(attempt, value, G, r, mu, weights):
    """Leave every point out in turn."""
    n = len(G)
    if weights is not None or n == 1:
        return
    eigenvalues = np.linalg.eigvalsh(G) + mu
    with np.errstate(all="ignore"):
        if not 0 < eigenvalues[-1] < _CONDITION * eigenvalues[0] or eigenvalues[0] < 1e-100:
            return
        expected = np.empty(n)
        for i in range(n):
            kept = np.arange(n) != i
            A = G[np.ix_(kept, kept)] + mu * np.eye(n - 1)
            expected[i] = r[i] - G[i, kept] @ scipy.linalg.solve(A, r[kept], check_finite=False)
        condition = eigenvalues[-1] / eigenvalues[0]
        bound = np.full(n, condition**2 * np.abs(r).sum())
    if np.isfinite(expected).all():
        attempt.close(value, expected, bound, 20 * n)


@target(
    "solvers.merge_repeats",
    *("solvers.Repeats" + name for name in ("", ".columns", ".errors", ".of_points")),
    share=15,
)
def repeats(draw, attempt):
    n = draw.size(17)
    points = np.array([draw.between(0, n - 1) for _ in range(n)])
    points = np.unique(points, return_inverse=True)[1]
    if draw.goes_wrong():
        points = draw.choice(([0.5] * n, points + 1, points[:-1], None, -points, [[0]], "a", n, []))
    C = draw.between(1, 2)
    T = draw.array((n, C), scales=False)
    w = draw.array((n,), scales=False, positive=not draw.goes_wrong())
    means, totals, found = attempt(merge_repeats, points, T, w)
    points, T, w = np.asarray(points), as_float64(T), as_float64(w)
    expected = np.bincount(points, w)
    attempt.close(totals, expected, expected, n)
    sums = np.stack([np.bincount(points, w * t) for t in T.T], axis=1) / expected[:, None]
    sizes = np.stack([np.bincount(points, w * np.abs(t)) for t in T.T], axis=1) / expected[:, None]
    attempt.close(means, sums, sizes, 2 * n)
    if found is None:
        return
    attempt(Repeats, *(getattr(found, name) for name in Repeats.__dataclass_fields__))
    attempt(found.columns, slice(0, 1))
    attempt(found.of_points, np.arange(len(totals)))
    errors = attempt(found.errors, means, np.ones(len(totals)), 1.0)
    attempt.equal(errors.shape, T.shape)


@target("solvers.influence", "solvers.predictive_variance", share=20)
def left_out(draw, attempt):
    """Leave out every point in turn, where the system is well conditioned."""
    n, k = draw.size(9), draw.size(5)
    B = draw.values((n, n + 2), scales=False)
    G, r = B @ B.T, draw.array((n,), scales=False)
    draw.hostile = True  # a matrix may be singular
    mu = draw.real((1.0, 1e-3, 0.0))
    if draw.chance(0.5):
        K = draw.array((k, n), scales=False)
        prior = draw.array((k,), scales=False, positive=True)
        value = attempt(predictive_variance, G, r, mu, K, prior, weights=_weights(draw, n))
        shape = (len(np.asarray(G if K is None else K)), *np.shape(r)[1:])
        attempt.holds(value.shape == shape, f"shape {value.shape} for {shape}")
        attempt.holds((value >= 0).all(), "a variance must be at least 0")
        return
    value, r = attempt(influence, G, r, mu), as_float64(r)
    eigenvalues = np.linalg.eigvalsh(G) + mu
    if (
        n == 1
        or r.shape != (n,)
        or not eigenvalues[0] * 1e6 > eigenvalues[-1]
        or eigenvalues[0] < 1e-100
    ):
        return
    M, expected = G + mu * np.eye(n), np.empty((n, n))
    fit = G @ np.linalg.solve(M, r)
    for j in range(n):
        kept = np.arange(n) != j
        expected[:, j] = G[:, kept] @ np.linalg.solve(M[np.ix_(kept, kept)], r[kept]) - fit
    condition = eigenvalues[-1] / eigenvalues[0]
    attempt.close(value, expected, np.full((n, n), condition**2 * np.abs(r).sum()), 20 * n)
