"""The exact equation with all of the kernel, by conjugate gradients that landmarks precondition."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from subquad.jacobian import kept_gram
from subquad.solvers.gram import PcgSolver
from subquad.solvers.nystrom._whitening import Whitening

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from subquad._typing import FloatArray
    from subquad.jacobian import Jacobian
    from subquad.solvers._solution import Solution


class RepeatablePcgSolver:
    """`PcgSolver` with G formed and landmarks, drawn anew by one seed for every equation.

    Two fits that solve the same equations have the same bits, also where one goes on where
    another stopped: nothing is kept from one equation to the next.

    Parameters
    ----------
    landmarks : int
    rtol : float
    """

    name = "pcg"
    repeatable = True

    def __init__(self, landmarks: int = 1024, *, rtol: float = 1e-3) -> None:
        self._options = {"landmarks": landmarks, "rtol": rtol}

    def solve(
        self, J: Jacobian, c: ArrayLike, damping: float = 0.0, weights: ArrayLike | None = None
    ) -> Solution:
        """Return a `Solution` of (G + damping W^-1) x = c."""
        if getattr(J, "forms_gram", True):
            kept_gram(J)
        return PcgSolver(**self._options, rng=0).solve(J, c, damping, weights)


class _Preconditioner:
    """(F F^T + nu I)^-1 but for a factor, nu = mu + what F misses of the mean eigenvalue."""

    def __init__(self, K, points, mu):
        F = Whitening(K[np.ix_(points, points)]).features(K[:, points])
        inner = F.T @ F
        missed = float(K.diagonal().sum(dtype=np.float64)) - float(inner.diagonal().sum())
        inner.flat[:: len(inner) + 1] += max(mu + max(missed, 0.0) / len(K), np.finfo(float).tiny)
        self._F, self._inner = F, cho_factor(inner, lower=True, check_finite=False)

    def apply(self, R):
        """Return it times R (n, C)."""
        return R - self._F @ cho_solve(self._inner, self._F.T @ R, check_finite=False)


def iterated(
    K: FloatArray,
    R: NDArray[np.float64],
    mu: float,
    weights: NDArray[np.float64],
    n_landmarks: int,
    rng: np.random.Generator,
    *,
    rtol: float = 1e-4,
    max_iterations: int = 500,
) -> tuple[NDArray[np.float64], int, float]:
    """Solve (K + mu W^-1) alpha = R for all columns of R side by side.

    Parameters
    ----------
    K : ndarray, shape (n, n)
        Symmetric. Overwritten with W^1/2 K W^1/2.
    R : ndarray of float64, shape (n, C)
    mu : float
    weights : ndarray of float64, shape (n,)
        Positive.
    n_landmarks : int
        Columns of K, drawn uniformly, that precondition.
    rng : numpy.random.Generator
    rtol : float
        Residual of each column to reach, relative to that column in the symmetric form.
    max_iterations : int

    Returns
    -------
    alpha : ndarray of float64, shape (n, C)
    n_iterations : int
    residual : float
        Largest relative residual, computed from K itself.

    Notes
    -----
    n^2 numbers and 2 n^2 C operations an iteration: [Hestenes and Stiefel 1952] with W^1/2 alpha as
    the unknown. Columns that have converged stand still.
    """
    roots = np.sqrt(weights)[:, None]
    if (roots != 1.0).any():
        K *= roots.astype(K.dtype)
        K *= roots.T.astype(K.dtype)
    C = roots * R
    points = np.sort(rng.choice(len(K), min(n_landmarks, len(K)), replace=False))
    apply = _Preconditioner(K, points, mu).apply

    def times(H):
        return (K @ H.astype(K.dtype, copy=False)).astype(np.float64, copy=False) + mu * H

    H, count = _conjugate_gradients(times, C, apply, rtol, max_iterations)
    sizes = np.linalg.norm(C, axis=0)
    lacks = np.linalg.norm(C - times(H), axis=0) / np.where(sizes > 0, sizes, 1.0)
    return roots * H, count, float(lacks.max())


def _conjugate_gradients(times, C, apply, rtol, max_iterations):
    """H with times(H) = C, a recurrence for each column; and the number of products."""
    goals = rtol * np.linalg.norm(C, axis=0)
    H, residual = np.zeros_like(C), C.copy()
    Z = apply(residual)
    P, rho = Z.copy(), np.einsum("ij,ij->j", residual, Z)
    for count in range(max_iterations):
        moving = np.linalg.norm(residual, axis=0) > goals
        if not moving.any():
            return H, count
        Q = times(P)
        curvature = np.einsum("ij,ij->j", P, Q)
        step = np.divide(rho, curvature, out=np.zeros_like(rho), where=moving & (curvature > 0))
        H += step * P
        residual -= step * Q
        Z = apply(residual)
        before, rho = rho, np.einsum("ij,ij->j", residual, Z)
        P = Z + P * np.divide(rho, before, out=np.zeros_like(rho), where=before > 0)
    return H, max_iterations
