"""A preconditioner of G + mu I from a few columns of G."""

import numpy as np
from scipy.linalg import cho_factor, cho_solve, solve_triangular


class LandmarkPreconditioner:
    """(F F^T + nu I)^-1, F F^T the Nystrom approximation of G from p of its columns.

    nu = mu + trace(G - F F^T) / n: what the columns miss counts as its mean eigenvalue, so that
    mu = 0 is served as well. O(n p^2) operations, n p numbers; 4 n p operations to apply.

    Attributes
    ----------
    rank : int
        n, less zero rows if mu = 0.
    condition_estimate : float
        Of G + mu I: the largest eigenvalue of the approximation over nu.
    """

    def __init__(self, system, points, damping):
        columns = system.columns(points)
        G = columns[points]
        # A shift keeps repeated landmarks harmless; it is far below what F misses anyway.
        G.flat[:: len(G) + 1] += 1e-10 * max(np.trace(G) / len(G), np.finfo(float).tiny)
        lower = np.linalg.cholesky(G)
        self._F = solve_triangular(lower, columns.T, lower=True, check_finite=False).T
        diagonal = system.diagonal()
        self._silent = np.flatnonzero(diagonal == 0) if damping == 0 else []
        missed = diagonal.sum() - np.einsum("ij,ij->", self._F, self._F)
        self._nu = damping + max(missed / system.n, 0.0)
        inner = self._F.T @ self._F
        least, largest = np.linalg.eigvalsh(inner)[[0, -1]]
        self._nu = max(self._nu, 1e-12 * largest, np.finfo(float).tiny)
        inner.flat[:: len(inner) + 1] += self._nu
        self._inner = cho_factor(inner, lower=True, check_finite=False)
        self.rank = system.n - len(self._silent)
        least = least if len(points) == system.n else 0.0
        self.condition_estimate = float((largest + self._nu) / (least + self._nu))

    def apply(self, r):
        """Return (F F^T + nu I)^-1 r, times nu: conjugate gradients do not mind the factor."""
        return r - self._F @ cho_solve(self._inner, self._F.T @ r, check_finite=False)

    def project(self, x):
        """Return x without what no solution reaches: the entries of zero rows."""
        x = x.copy()
        x[self._silent] = 0.0
        return x
