"""A preconditioner of G + mu I from a few columns of G."""

import numpy as np
from scipy.linalg import cho_factor, cho_solve, solve_triangular

# Float32 bears a reduction of r by up to this factor, as a difference of two numbers.
_SAFE_IN_FLOAT32 = 1e5
# Shift the block of the landmarks by this fraction of its mean eigenvalue, or by its rounding.
_SHIFT = 1e-10


class LandmarkPreconditioner:
    """(F F^T + nu I)^-1, F F^T the Nystrom approximation of G from p of its columns.

    nu = mu + trace(G - F F^T) / n: what the columns miss counts as its mean eigenvalue, so that
    mu = 0 is served as well. O(n p^2) operations, n p numbers; 4 n p operations to apply.

    Attributes
    ----------
    size : int
        p.
    norm_estimate : float
        Root of the largest eigenvalue of the approximation, nu included.
    condition_estimate : float
        Of G + mu I: the largest eigenvalue of the approximation over nu.
    """

    def __init__(self, J, points, damping):
        self._n, self.size, self._damping = J.n, len(points), damping
        with np.errstate(over="ignore", invalid="ignore"):
            columns = J.columns(points)
        if not np.isfinite(columns).all():
            raise ValueError("J must have a finite Gram matrix; its columns overflow. Scale J.")
        self._F = _nystrom_factor(columns, points, np.finfo(J.dtype).eps)
        missed = J.diagonal().sum() - np.einsum("ij,ij->", self._F, self._F)
        inner = self._F.T @ self._F
        least, largest = np.linalg.eigvalsh(inner)[[0, -1]]
        nu = max(damping + max(missed / J.n, 0.0), 1e-12 * largest, np.finfo(float).tiny)
        inner.flat[:: len(inner) + 1] += nu
        self._inner = cho_factor(inner, lower=True, check_finite=False)
        least = least if len(points) == J.n else 0.0
        self.norm_estimate = float(np.sqrt(largest + nu))
        self.condition_estimate = float((largest + nu) / (least + nu))
        if J.dtype == np.float32 and largest < _SAFE_IN_FLOAT32 * nu:
            self._F = self._F.astype(np.float32)  # reading it is what an application costs

    def suits(self, n, damping):
        """Whether the sizes and the damping are those it was made for."""
        return (n, damping) == (self._n, self._damping)

    def apply(self, r):
        """Return (F F^T + nu I)^-1 r, times nu: conjugate gradients do not mind the factor."""
        F = self._F
        inner = cho_solve(self._inner, F.T @ r.astype(F.dtype, copy=False), check_finite=False)
        return r - F @ inner.astype(F.dtype, copy=False)


def _nystrom_factor(columns, points, eps):
    """F (n, <= p) with F F^T the Nystrom approximation from columns of G that are right to eps.

    The block of G at the landmarks is factored with a shift, far below what F misses anyway, that
    keeps repeated landmarks harmless. It is above what rounding makes of a zero eigenvalue, but for
    a block of unusual rounding: eigenvalues then show what is left of it.
    """
    block, p = columns[points], len(points)
    scale = max(np.trace(block) / p, np.finfo(float).tiny)
    block.flat[:: p + 1] += max(_SHIFT, np.sqrt(p) * eps) * scale
    try:
        lower = np.linalg.cholesky(block)
    except np.linalg.LinAlgError:
        eigenvalues, V = np.linalg.eigh(block)
        kept = eigenvalues > p * eps * max(eigenvalues[-1], 0.0)
        return columns @ (V[:, kept] / np.sqrt(eigenvalues[kept]))
    return solve_triangular(lower, columns.T, lower=True, check_finite=False).T
