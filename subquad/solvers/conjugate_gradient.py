"""Preconditioned conjugate gradients for a system known only by its products."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from subquad._validation import even_array, integer, real
from subquad.solvers._solution import Solution, solved_in_range

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike

    from subquad._typing import FloatArray


def pcg(
    matvec: Callable[[FloatArray], FloatArray],
    c: ArrayLike,
    *,
    preconditioner: Callable[[FloatArray], FloatArray] | None = None,
    rtol: float = 1e-10,
    max_iterations: int | None = None,
) -> Solution:
    """Solve M x = c for a symmetric positive definite M until ||c - M x|| <= rtol ||c||.

    Parameters
    ----------
    matvec : callable
        x -> M x, for arrays of the shape of c.
    c : array_like of float, any shape
        Inner products run over all entries, so that (n, C) is a system of n C unknowns.
    preconditioner : callable, optional
        x -> P^-1 x, symmetric positive definite, close to M^-1.
    rtol : float, positive
    max_iterations : int, optional
        Default: twice the number of unknowns.

    Returns
    -------
    Solution
        x has float64 entries and the shape of c. `converged` and `residual_norm` are those of
        the true residual c - M x, computed anew at the end.

    Raises
    ------
    TypeError, ValueError
        If an argument has a wrong kind, is not finite, or a product a wrong shape.

    Notes
    -----
    One product and one preconditioning per iteration, and one product at the end. The error falls
    by (sqrt(kappa) - 1) / (sqrt(kappa) + 1) per iteration, kappa the condition number of P^-1 M.

    Examples
    --------
    >>> solution = pcg(lambda x: np.array([1.0, 4.0]) * x, np.array([1.0, 8.0]))
    >>> solution.x, solution.n_iterations, solution.converged
    (array([1., 2.]), 2, True)
    """
    c = _finite_array(c)
    rtol = real(rtol, "rtol", minimum=0.0, exclusive_minimum=True)
    _require_callable(matvec, "matvec")
    if preconditioner is not None:
        _require_callable(preconditioner, "preconditioner")
    limit = integer(2 * c.size if max_iterations is None else max_iterations, "max_iterations")
    return solved_in_range(lambda c: _solve(matvec, c, preconditioner, rtol, limit), c)


def _solve(matvec, c, preconditioner, rtol, limit):
    """Trusted twin of `pcg`."""
    target = rtol * np.linalg.norm(c)
    x, n_iterations, indefinite = _iterate(matvec, c, preconditioner, target, limit)
    residual_norm = float(np.linalg.norm(c - _shaped(matvec(x), c, "matvec")))
    converged = bool(residual_norm <= target)
    relative = residual_norm / (np.linalg.norm(c) or 1.0)
    message = f"pcg reached relative residual {relative:.1e} in {n_iterations} iterations."
    if not converged:
        message = (
            f"pcg stopped after {n_iterations} iterations at relative residual {relative:.1e}, "
            f"above rtol={rtol:.0e}. {_cause(indefinite, n_iterations == limit)}"
        )
    return Solution(x, n_iterations, residual_norm, converged, message)


def _iterate(matvec, c, preconditioner, target, limit):
    """Run the iteration; return x, its number of steps, and whether it met curvature <= 0."""
    x, r = np.zeros_like(c), c.copy()
    p, rho_old = np.zeros_like(c), 1.0
    for k in range(limit):
        if np.linalg.norm(r) <= target:
            return x, k, False
        z = r if preconditioner is None else _shaped(preconditioner(r), c, "preconditioner")
        rho = np.vdot(r, z)
        p = z + (rho / rho_old) * p
        q = _shaped(matvec(p), c, "matvec")
        curvature = np.vdot(p, q)
        if not (curvature > 0 and rho > 0):
            return x, k, True
        x += (rho / curvature) * p
        r -= (rho / curvature) * q
        rho_old = rho
    return x, limit, False


def _shaped(product, c, name):
    """Return what a callable gave for an array of the shape of c, once it has that shape."""
    if np.shape(product) != c.shape:
        raise ValueError(f"{name} must return shape {c.shape}, that of c; got {np.shape(product)}.")
    return product


def _require_callable(function, name):
    if not callable(function):
        raise TypeError(f"{name} must be a function; got {type(function).__name__}.")


def _finite_array(c):
    """Return c as float64 of any shape, refusing NaN."""
    c = even_array(c, "c")
    if c.dtype.kind != "f" or c.size == 0:
        raise TypeError(f"c must be a non-empty array of floats; got {c.dtype}, shape {c.shape}.")
    if not np.isfinite(c).all():
        raise ValueError("c must be finite; got NaN or infinite entries.")
    return c.astype(np.float64)


def _cause(indefinite, exhausted):
    """Say why an iteration stopped short, and what to do."""
    if indefinite:
        return (
            "A direction of zero or negative curvature came up: the matrix or the preconditioner "
            "is not positive definite; add damping."
        )
    if exhausted:
        return (
            "The matrix may be nearly singular or the preconditioner poor; add damping or raise "
            "max_iterations."
        )
    return "Rounding keeps the residual above it; raise rtol."
