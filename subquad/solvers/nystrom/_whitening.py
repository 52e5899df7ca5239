"""Features whose inner products are the Nystrom kernel."""

import numpy as np
from scipy.linalg import solve_triangular

_EPS = np.finfo(np.float64).eps


class Whitening:
    """K_ZZ = L L^T, so that F = K_nZ L^-T has F F^T = K_nZ K_ZZ^-1 K_Zn.

    The rounding of K_ZZ, sqrt(M) eps of its dtype in units of its mean diagonal, is added to the
    latter. Where Cholesky fails even so, L^-T becomes V S^-1/2 of the eigenvalues above rounding.

    Attributes
    ----------
    rank : int
        Columns of F.
    """

    def __init__(self, block):
        block, eps = block.astype(np.float64), np.finfo(block.dtype).eps
        if not np.isfinite(block).all():
            raise ValueError("kernel must be finite; got NaN or infinity between landmarks.")
        size = float(block.diagonal().mean())
        if not size > 0:
            raise ValueError("kernel must have a positive trace; got 0 at the landmarks.")
        floor = np.sqrt(len(block)) * eps * size
        block.flat[:: len(block) + 1] += floor
        self._lower = self._map = None
        try:
            self._lower, self.rank = np.linalg.cholesky(block), len(block)
        except np.linalg.LinAlgError:
            values, vectors = np.linalg.eigh(block)
            kept = values > 2 * floor + len(block) * _EPS * values[-1]
            self._map, self.rank = vectors[:, kept] / np.sqrt(values[kept]), np.count_nonzero(kept)

    def features(self, columns):
        """Return the rows of F for rows of K_nZ, in float64."""
        columns = columns.astype(np.float64, copy=False)
        if self._map is not None:
            return columns @ self._map
        return solve_triangular(self._lower, columns.T, lower=True, check_finite=False).T

    def coefficients(self, theta):
        """Return L^-T theta: what multiplies K_nZ where theta multiplies F."""
        if self._map is not None:
            return self._map @ theta
        return solve_triangular(self._lower, theta, lower=True, trans="T", check_finite=False)
