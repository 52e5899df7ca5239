"""Points as unit rows and norms, and their correlations."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse

from subquad._products import SPARSE_GRAM_DENSITY
from subquad._shapes import as_dtype
from subquad._validation import as_csr, as_matrix, require_memory

# Refuse longer rows: a product of two norms could overflow.
_LARGEST_NORM = 1e150


@dataclass(frozen=True)
class Points:
    """Unit rows, dense (n, d) or a csr_array, of one dtype, and their norms in float64."""

    rows: np.ndarray | scipy.sparse.csr_array
    norms: np.ndarray

    def __len__(self):
        return len(self.norms)

    @property
    def n_columns(self):
        """Entries of a row."""
        return self.rows.shape[1]

    @property
    def dtype(self):
        """float32 or float64."""
        return self.rows.dtype

    @property
    def sparse(self):
        """Whether the rows are in CSR."""
        return scipy.sparse.issparse(self.rows)

    def part(self, which):
        """Some of the points."""
        return Points(self.rows[which], self.norms[which])

    def astype(self, dtype):
        """Points of another dtype; these where they have it."""
        return Points(self.rows.astype(dtype, copy=False), self.norms)

    def parts(self):
        """(values, indptr, indices) for the kernel, the last two None where dense."""
        if not self.sparse:
            return self.rows.reshape(-1), None, None
        pointers = (self.rows.indptr, self.rows.indices)
        return self.rows.data, *(x.astype(np.intp, copy=False) for x in pointers)

    def correlations(self, other, out):
        """Fill `out` with the products of these rows and the others."""
        if self.sparse:
            out[...] = (self.rows @ other.rows.T).toarray()
        else:
            np.matmul(self.rows, other.rows.T, out=out)


def as_points(X, name, *, dtype=None, n_columns=None, dense=None):
    """Return checked `Points`; a row of zeros stays one."""
    dtype = None if dtype is None else as_dtype(dtype)
    if not scipy.sparse.issparse(X):
        return _dense_points(as_matrix(X, name, n_columns=n_columns, dtype=dtype), name)
    indptr, indices, values = as_csr(X, name, n_columns=n_columns, dtype=dtype)
    rows = scipy.sparse.csr_array((values, indices, indptr), shape=X.shape)
    if dense is None:
        dense = rows.nnz > SPARSE_GRAM_DENSITY * rows.shape[0] * rows.shape[1]
    if dense:
        n_bytes = rows.shape[0] * rows.shape[1] * rows.dtype.itemsize
        require_memory(n_bytes, f"{name} as dense rows", "Take fewer rows at a time.")
        return _dense_points(rows.toarray(), name)
    largest = abs(rows).max(axis=1).toarray().reshape(-1).astype(np.float64)
    scales = np.repeat(np.where(largest > 0, largest, 1.0), np.diff(indptr))
    units = values / scales
    squares = np.add.reduceat(np.append(units * units, 0.0), indptr[:-1])
    squares[np.diff(indptr) == 0] = 0.0
    lengths = np.sqrt(squares)
    units /= np.repeat(np.where(lengths > 0, lengths, 1.0), np.diff(indptr))
    rows = scipy.sparse.csr_array((units.astype(values.dtype), indices, indptr), shape=rows.shape)
    return Points(rows, _checked_norms(largest * lengths, name))


def _dense_points(X, name):
    """Points of trusted dense rows, which are not written to."""
    largest = np.maximum(X.max(axis=1), -X.min(axis=1)).astype(np.float64)
    units = X / np.where(largest > 0, largest, 1.0).astype(X.dtype)[:, None]
    lengths = np.sqrt(np.einsum("ij,ij->i", units, units, dtype=np.float64))
    units /= np.where(lengths > 0, lengths, 1.0).astype(X.dtype)[:, None]
    return Points(units, _checked_norms(largest * lengths, name))


def _checked_norms(norms, name):
    """Refuse norms whose products would overflow."""
    if norms.max() > _LARGEST_NORM:
        raise ValueError(
            f"{name} must have rows of norm at most {_LARGEST_NORM:g}; got {norms.max():.3g}. "
            "Scale the features."
        )
    return norms
