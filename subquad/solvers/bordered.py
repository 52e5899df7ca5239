"""A damped Gram system whose rows join in blocks: its solution is kept up to date."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg.blas import dtrsm
from scipy.linalg.lapack import dtrtri

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from subquad._typing import FloatArray

_EPS = np.finfo(np.float64).eps
# A block of fewer rows than these is joined with the next one, so that products are with matrices.
_FEWEST_ROWS = 256
# Take so many rows at a time: no call of BLAS then holds Ctrl-C for a second.
ROWS_AT_A_TIME = 1024


class BorderedCholesky:
    """M = G + mu W^-1 of rows that join in blocks, with M^-1 r and the diagonal of M^-1.

    With L L^T = B = W^1/2 G W^1/2 + mu I of the rows before, blocks B_21 and B_22 of the new ones,

        Y = B_21 L^-T,   D D^T = B_22 - Y Y^T,   X = D^-1 [-Y L^-1, I]

    are the new rows of the factor, [Y, D], and of its inverse, X, which is used and not kept:

        h <- [h, 0] + X^T D^-1 (W^1/2 r - B_21 h),   diag(B^-1)_j <- diag(B^-1)_j + sum_i X_ij^2.

    So b rows that join n others cost n^2 b multiply-adds in place of the (n + b)^3 / 3 and more of
    a factorisation and an inverse anew. n^2 / 2 numbers are kept.

    Parameters
    ----------
    damping : float
        mu, positive.
    n_targets : int

    Attributes
    ----------
    n : int
        Rows so far.
    """

    def __init__(self, damping: float, n_targets: int = 1) -> None:
        self.damping, self._largest = damping, 0.0
        self._blocks: tuple[tuple[FloatArray, FloatArray], ...] = ()
        self._roots, self._diagonal = np.empty(0), np.empty(0)
        self._h = np.empty((0, n_targets))

    @property
    def n(self) -> int:
        """Rows so far."""
        return len(self._roots)

    @property
    def solution(self) -> NDArray[np.float64]:
        """M^-1 r, shape (n, n_targets)."""
        return self._roots[:, None] * self._h

    def inverse_diagonal(self) -> NDArray[np.float64]:
        """Return the diagonal of M^-1, shape (n,)."""
        return self._roots**2 * self._diagonal

    def joined(
        self, across: FloatArray, within: FloatArray, r: FloatArray, weights: FloatArray
    ) -> BorderedCholesky:
        """Return the system with more rows; this one stays as it is.

        Parameters
        ----------
        across : ndarray, shape (b, n)
            G between the new rows and those before.
        within : ndarray, shape (b, b)
            G of the new rows.
        r : ndarray, shape (b, n_targets)
        weights : ndarray, shape (b,)
            Positive.

        Raises
        ------
        LinAlgError
            If the matrix is numerically singular, or not finite.
        """
        roots = np.sqrt(weights)
        border, S = roots[:, None] * across * self._roots, roots[:, None] * within * roots
        S.flat[:: len(S) + 1] += self.damping
        largest = max(self._largest, float(S.diagonal().max()))
        Y = self._forward(border)
        D = np.linalg.cholesky(S - Y.T @ Y)
        z = dtrsm(1.0, D.T, roots[:, None] * r - border @ self._h, trans_a=1)
        X = np.empty((len(D), 0))
        if self.n:
            X = dtrsm(-1.0, D.T, self._backward(Y).T, trans_a=1)
        own = dtrtri(D.T)[0].T
        made = BorderedCholesky(self.damping, self._h.shape[1])
        made._h = np.concatenate([self._h + X.T @ z, own.T @ z])
        squares = [np.einsum("ij,ij->j", part, part) for part in (X, own)]
        made._diagonal = np.concatenate([self._diagonal + squares[0], squares[1]])
        made._roots, made._largest = np.append(self._roots, roots), largest
        made._blocks = self._with_block(Y, D)
        if not made._is_sound():
            raise np.linalg.LinAlgError("The matrix is numerically singular.")
        return made

    def _is_sound(self):
        """Whether the matrix is regular beyond rounding; 1 / ||B^-1|| <= 1 / diag(B^-1)."""
        tiny = self.n * _EPS * self._largest
        return bool(np.isfinite(self._h).all() and 1.0 / self._diagonal.max() > tiny)

    def _with_block(self, Y, D):
        """The rows of L with those of a new block, a small one before it taken in."""
        if not self._blocks or len(self._blocks[-1][1]) >= _FEWEST_ROWS:
            return (*self._blocks, (np.ascontiguousarray(Y.T), D))
        before, last = self._blocks[-1]
        n, b = before.shape[1], len(last)
        both = np.zeros((b + len(D),) * 2)
        both[:b, :b], both[b:, :b], both[b:, b:] = last, Y[n:].T, D
        return (*self._blocks[:-1], (np.concatenate([before, Y[:n].T]), both))

    def _forward(self, border):
        """L^-1 border^T, shape (n, b)."""
        Y = np.array(border.T, order="C")
        for before, D in self._blocks:
            n = before.shape[1]
            own = Y[n : n + len(D)]
            own -= before @ Y[:n]
            own[...] = dtrsm(1.0, D.T, own.T, side=1).T
        return Y

    def _backward(self, Y):
        """L^-T Y, shape (n, b)."""
        Y = Y.copy()
        for before, D in reversed(self._blocks):
            n = before.shape[1]
            own = Y[n : n + len(D)]
            own[...] = dtrsm(1.0, D.T, own.T, side=1, trans_a=1).T
            Y[:n] -= before.T @ own
        return Y
