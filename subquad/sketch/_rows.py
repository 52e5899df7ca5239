"""Rows of a matrix, dense or sparse, in the form the sketches take."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse

from subquad._validation import as_csr, as_matrix, require_finite

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

    from subquad._typing import FloatArray, MatrixLike


@dataclass(frozen=True)
class Rows:
    """A matrix in canonical CSR; row pointers need not begin at 0."""

    indptr: np.ndarray
    indices: np.ndarray
    values: np.ndarray
    shape: tuple

    @property
    def dtype(self):
        """Dtype of the values."""
        return self.values.dtype

    @property
    def csr(self):
        """(indptr, indices, values)."""
        return self.indptr, self.indices, self.values

    @property
    def count(self):
        """How many entries are stored."""
        return int(self.indptr[-1] - self.indptr[0])

    def __getitem__(self, rows):
        indptr = self.indptr[rows.start : rows.stop + 1]
        return Rows(indptr, self.indices, self.values, (len(indptr) - 1, self.shape[1]))

    def astype(self, dtype, copy=False):
        """Return the matrix with values of a dtype."""
        return replace(self, values=self.values.astype(dtype, copy=copy))

    def transposed(self):
        """Return the transposed matrix."""
        csr = scipy.sparse.csr_array((self.values, self.indices, self.indptr), shape=self.shape)
        csr = csr.T.tocsr()
        indptr, indices = (x.astype(np.intp, copy=False) for x in (csr.indptr, csr.indices))
        return Rows(indptr, indices, csr.data, csr.shape)

    def fill(self, out):
        """Write the dense matrix into the first columns of `out`, zeros elsewhere."""
        out[:] = 0
        stored = slice(self.indptr[0], self.indptr[-1])
        row = np.repeat(np.arange(self.shape[0]), np.diff(self.indptr))
        out[row, self.indices[stored]] = self.values[stored]


def as_rows(
    X: MatrixLike, name: str, *, n_columns: int | None = None, n_rows: int | None = None
) -> FloatArray | Rows:
    """Return X as an ndarray, or as Rows where it is sparse.

    A dense X is not inspected for NaN and infinity, which would read all of it once more. They show
    in its sketch, which is smaller: where that is not finite, call `require_finite_entries`.
    """
    if not scipy.sparse.issparse(X):
        return as_matrix(X, name, n_columns=n_columns, n_rows=n_rows, finite=False)
    indptr, indices, values = as_csr(X, name, n_columns=n_columns)
    if n_rows not in (None, X.shape[0]):
        expected = f"({n_rows}, {'any' if n_columns is None else n_columns})"
        raise ValueError(f"{name} must have shape {expected}; got {X.shape}.")
    return Rows(indptr, indices, values, X.shape)


def is_finite(result: NDArray[Any]) -> bool:
    """Return whether the entries of an array, and their sum, are finite."""
    with np.errstate(all="ignore"):
        return bool(np.isfinite(result.sum()))


def require_finite_entries(X, name):
    """Raise unless X is finite. Rows always are, since `as_rows` inspected them."""
    if not isinstance(X, Rows):
        require_finite(X, name)


def entries(X):
    """Return how many entries an ndarray has or Rows store."""
    return X.count if isinstance(X, Rows) else X.size


def padded(X, length):
    """Return X as a new array of `length` columns: those of X, then zeros."""
    n, m = X.shape
    out = np.empty((n, length), X.dtype)
    if isinstance(X, Rows):
        X.fill(out)
    else:
        out[:, :m] = X
        out[:, m:] = 0
    return out
