"""A sketch S A of a tall matrix A, factored into a preconditioner of A^T A + mu I."""

import numpy as np
from scipy.linalg.lapack import dtrcon, dtrtrs

_POWER_STEPS = 12


class SketchPreconditioner:
    """N (k, rank) with N^T (A^T A + diag(mu)) N close to the identity, N^T from the right inverse.

    N = R^-1, where Q R = [S A; diag(sqrt(mu))], or V_r Sigma_r^-1 of the singular value
    decomposition R = U Sigma V^T where singular values vanish: the range of N is then the row
    space of S A, so that what is solved in it has minimum norm.

    Attributes
    ----------
    rank : int
        Singular values above rank_tol times the largest.
    n_columns : int
        k.
    condition_estimate : float
        Estimate of sigma_1 / sigma_rank of R; within a few per cent, from below.
    norm_estimate : float
        Estimate of sigma_1.
    null_space : ndarray, shape (k, k - rank)
        Orthonormal; what the sketch maps to (nearly) nothing.
    """

    def __init__(self, R, rank_tol):
        self.n_columns = len(R)
        self._R = self._N = None
        self.null_space = np.empty((self.n_columns, 0))
        if _clearly_regular(R, rank_tol):
            self._R, self.rank = np.asfortranarray(R), self.n_columns
            self.norm_estimate, smallest = _extreme_singular_values(self._R)
        else:
            if not np.isfinite(R).all():
                raise ValueError(
                    "The sketched matrix must be finite; got NaN or infinite entries. Its products "
                    "overflow: scale it."
                )
            _, sigma, Vt = np.linalg.svd(R)
            self.rank = int(np.count_nonzero(sigma > rank_tol * sigma[0]))
            self._N = np.ascontiguousarray(Vt[: self.rank].T / sigma[: self.rank])
            self.null_space = np.ascontiguousarray(Vt[self.rank :].T)
            self.norm_estimate = float(sigma[0])
            smallest = sigma[self.rank - 1] if self.rank else 1.0
        self.condition_estimate = float(self.norm_estimate / smallest) if self.rank else 1.0

    @classmethod
    def from_sketch(cls, SA, rank_tol=None, damping=0.0):
        """Factor [S A; diag(sqrt(damping))]: 2 s k^2 operations.

        Parameters
        ----------
        SA : ndarray, shape (s, k)
            Rows are those of the sketch. Not modified.
        rank_tol : float, optional
            Singular values at or below rank_tol times the largest count as zero. Default:
            max(k, 16) eps of the dtype of SA.
        damping : float or ndarray, shape (k,)
            mu >= 0.
        """
        k = SA.shape[1]
        rank_tol = max(k, 16) * np.finfo(SA.dtype).eps if rank_tol is None else rank_tol
        SA = SA.astype(np.float64, copy=False)
        if np.any(damping) or len(SA) < k:
            SA = np.vstack([SA, np.diag(np.sqrt(np.broadcast_to(damping, k)))])
        return cls(np.linalg.qr(SA, mode="r"), rank_tol)

    @classmethod
    def from_gram(cls, G):
        """Factor G = A^T A + diag(mu) by Cholesky; None where it is too near to singular."""
        try:
            R = np.linalg.cholesky(G).T
        except np.linalg.LinAlgError:
            return None
        # R is right to about k eps cond^2: it preconditions well while that is below 1.
        regular = _reciprocal_condition(R) > np.sqrt(len(R) * np.finfo(np.float64).eps)
        return cls(R, 0.0) if regular else None

    def solve(self, x):
        """Return N x: R^-1 x where the sketch has full rank. x is (rank,) or (rank, c)."""
        return dtrtrs(self._R, x)[0] if self._N is None else self._N @ x

    def solve_transposed(self, x):
        """Return N^T x: R^-T x where the sketch has full rank. x is (k,) or (k, c)."""
        return dtrtrs(self._R, x, trans=1)[0] if self._N is None else self._N.T @ x

    def apply(self, x):
        """Return N N^T x, close to (A^T A + diag(mu))^-1 x: what `pcg` calls a preconditioner."""
        return self.solve(self.solve_transposed(x))

    def project(self, x):
        """Return the part of x in the row space of the sketch."""
        return x - self.null_space @ (self.null_space.T @ x) if self.null_space.size else x


def _reciprocal_condition(R):
    """LAPACK's estimate of 1 / (||R||_1 ||R^-1||_1)."""
    return float(dtrcon(R)[0]) if np.isfinite(R).all() and R.any() else 0.0


def _clearly_regular(R, rank_tol):
    """Whether no singular value can be near the tolerance: the 1-norm is off by at most sqrt k."""
    return _reciprocal_condition(R) > 4 * rank_tol


def _extreme_singular_values(R):
    """Estimates of the largest and the smallest singular value of a regular R, by power steps."""
    scale = np.abs(R).max()
    R = R / scale  # squares must not underflow
    start = np.random.default_rng(0).standard_normal(len(R))
    x, y = start.copy(), start.copy()
    for _ in range(_POWER_STEPS):
        x = R.T @ (R @ (x / np.linalg.norm(x)))
        y = dtrtrs(R, dtrtrs(R, y / np.linalg.norm(y), trans=1)[0])[0]
    return float(scale * np.linalg.norm(x) ** 0.5), float(scale / np.linalg.norm(y) ** 0.5)
