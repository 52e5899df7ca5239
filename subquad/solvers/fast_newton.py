"""Newton's method whose steps are solved by conjugate gradients, preconditioned by a sketch."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

from subquad._parallel import blas_threads_for
from subquad._validation import as_vector, integer, real
from subquad.solvers._newton import Newton, NewtonRecord
from subquad.solvers._solution import SolverWarning
from subquad.solvers._tall.kept_preconditioner import KeptPreconditioner

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Literal

    from numpy.typing import ArrayLike

    from subquad._typing import Sketch
    from subquad.solvers._solution import Solution
    from subquad.solvers.objectives import Objective


__all__ = ["NewtonRecord", "fast_newton"]


def fast_newton(
    objective: Objective,
    x0: ArrayLike | None = None,
    *,
    tol: float = 1e-10,
    max_steps: int = 100,
    sketch: Literal["count", "srht", "gaussian"] | Sketch | None = None,
    sketch_size: int | None = None,
    preconditioner: Literal["auto", "sketch", "exact"] = "auto",
    max_iterations: int = 200,
    callback: Callable[[NewtonRecord], object] | None = None,
    rng: int | np.random.Generator | None = None,
    n_threads: int | None = None,
) -> Solution:
    """Minimise a convex f, given its gradient and the root of its Hessian.

    Parameters
    ----------
    objective : Objective
        `Logistic`, `Poisson`, `LeastSquares`, or a user's own: n_parameters, damping, value(x),
        gradient(x), and sqrt_hessian(x) = B(x) with Hessian B^T B + diag(damping).
    x0 : array_like, shape (k,), optional
        Where to start. Default: 0.
    tol : float in [0, 1]
        Stop where the decrement, which estimates f(x) - min f, is at most tol |f(x)|. One last
        step is taken then.
    max_steps : int
    sketch, sketch_size, rng, n_threads
        As in `fast_regression`.
    preconditioner : {"auto", "sketch", "exact"}
        "exact" takes the Cholesky factor of the Hessian, N k^2 operations. "auto" takes it where
        a model of the costs forecasts that it is faster: for sparse B, and for dense B with k up to
        several hundreds.
    max_iterations : int
        Of conjugate gradients, in one step.
    callback : callable, optional
        Called with the `NewtonRecord` of each step.

    Returns
    -------
    Solution
        `n_iterations` counts products with the Hessian, `residual_norm` is the norm of the
        gradient at x, and `info` holds `value`, `decrement`, `n_steps`, `n_preconditioners` and
        `records`.

    Raises
    ------
    TypeError, ValueError
        If an argument has a wrong kind, shape or value, or f is not finite at x0.

    Warns
    -----
    SolverWarning
        If tol is not reached.

    Notes
    -----
    [BPSW21], Algorithm 3, with: conjugate gradients for the inner problem; its accuracy measured in
    the norm of the preconditioner, where a constant does what 1 / (4 kappa) does in the Euclidean
    norm, and tightened as the decrement falls, so that convergence is superlinear; backtracking, so
    that it converges from anywhere if f is convex; and a preconditioner that is kept while the
    iterations it costs are cheaper than a new one. Each iteration costs one pass over B.

    Examples
    --------
    >>> from subquad.solvers.objectives import Logistic
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((500, 4))
    >>> solution = fast_newton(Logistic(X, X[:, 0] > rng.standard_normal(500)), rng=0)
    >>> solution.converged, bool(solution.residual_norm < 1e-6)
    (True, True)
    """
    k = integer(objective.n_parameters, "objective.n_parameters")
    x = np.zeros(k) if x0 is None else as_vector(x0, "x0", size=k, dtype=np.float64).copy()
    tol = real(tol, "tol", minimum=0.0, maximum=1.0)
    max_steps = integer(max_steps, "max_steps")
    limit = integer(max_iterations, "max_iterations")
    preconditioner = KeptPreconditioner(sketch, sketch_size, preconditioner, rng, n_threads)
    newton, stopped = Newton(objective, x, preconditioner), None
    with blas_threads_for(k), np.errstate(over="ignore", invalid="ignore"):
        while stopped is None and len(newton.records) < max_steps:
            stopped = newton.step(tol, limit)
            if callback is not None:
                callback(newton.records[-1])
    solution = newton.solution(stopped or "max_steps", tol)
    if not solution.converged:
        warnings.warn(solution.message, SolverWarning, stacklevel=2)
    return solution
