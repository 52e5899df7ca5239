"""A sketch's preconditioner where the sketch maps to nothing what the Gram matrix does not."""

import numpy as np

from subquad.jacobian import gram_times, kept_gram
from subquad.solvers.gram import cost


class Completed:
    """A `SketchPreconditioner` of G and, on its null space N, the inverse of N^T G N.

    Rows with few entries may share the buckets of a small sketch: it has a lower rank than G then.
    The null space of G is a part of N, so that the eigenvalues of N^T G N tell the rank of G.

    Attributes
    ----------
    rank : int
        Of G, to rounding.
    condition_estimate : float
        Estimate of the root of G's condition number on its range.
    """

    def __init__(self, factor, values, vectors, tolerance):
        self._factor = factor
        kept = values > tolerance
        self._known, self._null = vectors[:, kept], vectors[:, ~kept]
        self._inverses = 1.0 / values[kept]
        self.rank = factor.rank + int(np.count_nonzero(kept))
        least = np.sqrt(values[kept].min())
        estimates = factor.condition_estimate, factor.norm_estimate / least
        self.condition_estimate = float(max(estimates))

    def apply(self, x):
        """Return what is close to G^-1 x."""
        return self._factor.apply(x) + self._known @ (self._inverses * (self._known.T @ x))

    def project(self, x):
        """Return the part of x in the range of G."""
        return x - self._null @ (self._null.T @ x) if self._null.size else x


def completed(factor, J):
    """Return a sketch's preconditioner, completed where G has a higher rank.

    It takes a product with G for each dimension of the sketch's null space.
    """
    N = factor.null_space
    if not N.size:
        return factor
    if cost.forming_pays(J, N.shape[1]):
        kept_gram(J)
    with np.errstate(over="ignore", invalid="ignore"):
        products = np.column_stack([gram_times(J, v) for v in np.ascontiguousarray(N.T)])
        inner = N.T @ products
    # Eigenvalues of G below this are rounding.
    largest = factor.norm_estimate * factor.norm_estimate
    tolerance = max(J.n, 16) * np.finfo(J.dtype).eps * largest
    if not (np.isfinite(inner).all() and np.isfinite(tolerance)):
        raise ValueError("J must have a finite Gram matrix; its products overflow. Scale J.")
    values, Q = np.linalg.eigh(inner)
    if values[-1] <= tolerance:
        return factor
    return Completed(factor, values, N @ Q, tolerance)
