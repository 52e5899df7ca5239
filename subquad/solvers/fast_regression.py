"""Regression with a tall matrix, preconditioned by the QR factorisation of a sketch of it."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

from subquad._parallel import blas_threads_for, resolve_threads
from subquad._validation import as_vector, generator, integer, real
from subquad.solvers._regression_report import FLOORS, report, rounding_floor
from subquad.solvers._solution import SolverWarning
from subquad.solvers._tall import sketching
from subquad.solvers._tall.matrices import as_tall
from subquad.solvers._tall.normal_cg import System, refine

if TYPE_CHECKING:
    from typing import Literal

    from numpy.typing import ArrayLike
    from scipy.sparse.linalg import LinearOperator

    from subquad._typing import MatrixLike, Sketch
    from subquad.jacobian import KhatriRao
    from subquad.solvers._solution import Solution


_MAX_SKETCHES = 3


def fast_regression(
    A: MatrixLike | KhatriRao | LinearOperator,
    y: ArrayLike,
    *,
    damping: float = 0.0,
    sketch: Literal["count", "srht", "gaussian"] | Sketch | None = None,
    sketch_size: int | None = None,
    preconditioner: Literal["auto", "sketch", "exact"] = "auto",
    rtol: float = 1e-10,
    max_iterations: int = 200,
    rng: int | np.random.Generator | None = None,
    n_threads: int | None = None,
) -> Solution:
    """Solve min ||(A^T A + mu I) x - y|| for tall A until the residual is at most rtol ||y||.

    Parameters
    ----------
    A : array_like, sparse array, KhatriRao or LinearOperator, shape (N, k)
        Tall: N >> k. A `KhatriRao` J of n data points stands for A = J^T, shape (m_u m_v, n), so
        that A^T A is the Gram matrix J J^T of [BPSW21], Section 4.
    y : array_like, shape (k,)
        If it is A^T b and b is at hand, `fast_least_squares(A, b)` is more accurate.
    damping : float, at least 0
        mu.
    sketch : {"count", "srht", "gaussian"} or object, optional
        Of the package `subquad.sketch`; an object has `sketch_size` and `apply_columns(A)`. For a
        KhatriRao, "count" is a TensorSketch, "srht" a TensorSRHT, and an object has `apply(U, V)`.
        Default: "count".
    sketch_size : int, optional
        Rows s of S A, at least k. Default: 8 k to 64 k, whatever a model of the costs of QR and
        iterations prefers; A itself is factored where that is no compression. If neither a sketch
        object nor a size is given, a sketch that preconditions badly is replaced by a stronger
        one, with several nonzeros in a column and twice the rows.
    preconditioner : {"auto", "sketch", "exact"}
        "exact" takes the Cholesky factor of A^T A: N k^2 operations and 1 to 4 iterations; a sketch
        follows where it breaks down, from cond(A) = 1e7 on. "auto" takes it where a model of the
        costs forecasts that it is faster (k up to some hundreds, or sparse A) and neither a sketch
        nor its size is asked for.
    rtol : float in [0, 1]
    max_iterations : int
    rng : int, numpy.random.Generator or None
        Draws the sketch.
    n_threads : int or None
        Threads of the sketch, and of products with a dense A.

    Returns
    -------
    Solution
        x in float64; of least norm if A is rank-deficient and mu = 0, where only the residual in
        the row space of A is tested. `residual_norm` is that of A^T A x + mu x - y, computed from
        A at the end. In `info`: `relative_residual`, the share of y outside the row space of A
        (`inconsistent`), `rank`, `condition_estimate` of A (or of the damped matrix),
        `preconditioned_condition`, `preconditioner`, `sketch`, `sketch_size`, `n_sketches`
        tried, `at_rounding_floor`, and `rounding_floor` =
        eps (||A||^2 ||x|| + ||y||) / ||y||, about eps cond(A) for y = A^T b.

    Raises
    ------
    TypeError, ValueError
        If an argument has a wrong kind, shape or value, or is not finite.
    MemoryError
        If the sketch does not fit.

    Warns
    -----
    SolverWarning
        If rtol is not reached. At the rounding floor no better x exists in float64.

    Notes
    -----
    [BPSW21], Algorithm 2, as conjugate gradients: the gradient descent printed there squares the
    condition number of A R^-1 and diverges for s below about 40 k. y is an argument, and the test
    is relative to its norm. Each iteration costs one pass over A (dense) and two triangular solves;
    the error falls by sqrt(k / s) per iteration, whatever cond(A). The sketch costs one pass, its
    QR 2 s k^2 operations. When the recursive residual meets the test, the true one is computed and
    the iteration begins anew from it if it does not: iterative refinement. With mu > 0 the rows
    sqrt(mu) I are appended to S A unsketched. float32 matrices are multiplied in float64, so that
    accuracy does not depend on how A is stored; a float32 LinearOperator has its own floor.
    Rank is that of S A, and verified: A times the null space of S A must vanish.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> A, b = rng.standard_normal((1000, 5)), rng.standard_normal(1000)
    >>> solution = fast_regression(A, A.T @ b, rng=0)
    >>> bool(np.allclose(solution.x, np.linalg.lstsq(A, b)[0])), solution.converged
    (True, True)
    """
    tall = as_tall(A, n_threads=resolve_threads(n_threads))
    y = as_vector(y, "y", size=tall.shape[1], dtype=np.float64)
    return _solve(
        "fast_regression", tall, y, None, damping, sketch, sketch_size, preconditioner, rtol,
        max_iterations, rng, n_threads,
    )  # fmt: skip


def fast_least_squares(
    A: MatrixLike | KhatriRao | LinearOperator,
    b: ArrayLike,
    *,
    damping: float = 0.0,
    sketch: Literal["count", "srht", "gaussian"] | Sketch | None = None,
    sketch_size: int | None = None,
    preconditioner: Literal["auto", "sketch", "exact"] = "auto",
    rtol: float = 1e-10,
    max_iterations: int = 200,
    rng: int | np.random.Generator | None = None,
    n_threads: int | None = None,
) -> Solution:
    """Solve min ||A x - b||^2 + mu ||x||^2 for tall A until A x is right to about rtol ||b||.

    The test is ||N^T (A^T (b - A x) - mu x)|| <= rtol ||b||, N the preconditioner, which makes A N
    nearly orthonormal: so ||A (x - x*)|| is bounded, x* the solution, whatever cond(A).

    Parameters
    ----------
    A : array_like, sparse array, KhatriRao or LinearOperator, shape (N, k)
    b : array_like, shape (N,)
    damping, sketch, sketch_size, preconditioner, rtol, max_iterations, rng, n_threads
        As in `fast_regression`.

    Returns
    -------
    Solution
        As of `fast_regression`; `info["misfit"]` is ||A x - b||. Where rounding ends the iteration
        above rtol, near `rounding_floor` = eps (cond ||A x - b|| + ||A|| ||x|| + ||b||) / ||b||, x
        has converged: no stable method does better.

    Raises
    ------
    TypeError, ValueError, MemoryError
        As `fast_regression`.

    Warns
    -----
    SolverWarning
        If neither rtol nor the rounding floor is reached.

    Notes
    -----
    As `fast_regression`, but each refinement starts from A^T (b - A x): x is then as accurate as
    that of an orthogonal factorisation, where rounding A^T b alone may cost eps cond(A)^2.

    Examples
    --------
    >>> fast_least_squares(np.array([[3.0], [4.0]]), np.array([1.0, 1.0])).x.round(12)
    array([0.28])
    """
    tall = as_tall(A, n_threads=resolve_threads(n_threads))
    b = as_vector(b, "b", size=tall.shape[0], dtype=np.float64)
    return _solve(
        "fast_least_squares", tall, None, b, damping, sketch, sketch_size, preconditioner, rtol,
        max_iterations, rng, n_threads,
    )  # fmt: skip


def _solve(
    name, tall, y, b, damping, sketch, sketch_size, preconditioner, rtol, limit, rng, n_threads
):
    """Check what both functions take, solve, and report."""
    damping = real(damping, "damping", minimum=0.0)
    rtol = real(rtol, "rtol", minimum=0.0, maximum=1.0)
    limit = integer(limit, "max_iterations")
    n_threads, rng = resolve_threads(n_threads), generator(rng)
    choice, size, fixed = sketching.checked_choice(sketch, sketch_size, tall)
    gram = sketching.wants_gram(preconditioner, tall, size, fixed or sketch is not None)
    sketching.require_room(tall, size)
    unit, y, b = _in_units(y, b)
    system = System(tall, y, b, damping, natural=b is not None)
    scale = float(np.linalg.norm(y if b is None else b))
    attempts = _attempts(system, choice, size, fixed, gram, rng, n_threads)
    with np.errstate(over="ignore", invalid="ignore"):  # what overflows has not converged
        with blas_threads_for(tall.shape[1]):
            outcome = _search(system, attempts, rtol * scale, limit)
        solution = report(name, system, outcome, scale, rtol, unit)
    if not solution.converged:
        warnings.warn(solution.message, SolverWarning, stacklevel=3)
    return solution


def _in_units(y, b):
    """A power of two near the largest entry of y or b, and both in that unit: no overflow."""
    given = y if b is None else b
    unit = float(2.0 ** (np.frexp(np.abs(given).max())[1] - 1))
    unit = unit if 0 < unit < np.inf else 1.0
    return unit, None if y is None else y / unit, None if b is None else b / unit


def _attempts(system, choice, size, fixed, gram, rng, n_threads):
    """Yield ever stronger preconditioners: what they are, and whether there is no other."""
    tall = system.tall
    if gram and (M := sketching.factored_gram(tall, system.damping)) is not None:
        info = {"preconditioner": "exact", "sketch": "none", "sketch_size": 0}
        yield M, info | {"n_sketches": 0}, False
    for n_sketches in range(1, _MAX_SKETCHES + 1):
        M, label, size = sketching.factored(tall, choice, size, system.damping, rng, n_threads)
        last = fixed or label == "none" or n_sketches == _MAX_SKETCHES
        info = {"preconditioner": "sketch", "sketch": label, "sketch_size": size}
        yield M, info | {"n_sketches": n_sketches}, last
        choice, size = sketching.stronger(tall, choice), 2 * size


def _search(system, attempts, goal, limit):
    """Solve with the first preconditioner that is good enough."""
    x, spent = np.zeros(system.tall.shape[1]), 0
    for M, info, last in attempts:
        chosen = info
        verified = sketching.is_null(system.tall, M)
        if not (verified or last):
            continue
        patience = limit if last else 10 + int(2 * sketching.expected_iterations(8))
        progress = refine(system, M, goal, min(limit - spent, patience), M.project(x))
        spent, x = spent + progress.n_iterations, progress.x
        if last or progress.stopped == "tolerance" or spent >= limit:
            break
        if progress.norm <= FLOORS * rounding_floor(system, M, progress):
            break
    progress.n_iterations = spent
    return progress, M, verified, chosen
