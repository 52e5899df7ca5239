"""Algebra of one factor of a Jacobian: U or V, dense or CSR.

Sums of Gram matrices run in float64, blocks of float32 columns being cast as they are met.
"""

from __future__ import annotations

import functools
from collections import deque
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse

from subquad._parallel import blocks
from subquad._products import SPARSE_GRAM_DENSITY, multiply_csr, multiply_dense
from subquad._validation import as_csr, as_matrix, require_memory

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

    from subquad._typing import Matrix
    from subquad.sketch import TensorSketch, TensorSRHT


_COLUMNS_PER_CAST = 2048
# Take as many columns of U at once as stay in cache, since a product with G reads them twice.
_BLOCK_BYTES = 2**20
# Asking the system for its memory takes longer than a Gram matrix of fewer bytes than these.
_ALWAYS_THERE = 2**26


def as_factor(x, name, *, n_columns=None, n_rows=None, dtype=None):
    """Return x as a read-only ndarray, or as a csr_array if it is sparse."""
    if scipy.sparse.issparse(x):
        indptr, indices, values = as_csr(x, name, n_columns=n_columns, dtype=dtype)
        if n_rows not in (None, len(indptr) - 1):
            raise ValueError(
                f"{name} must have shape ({n_rows}, {n_columns or 'any'}); got {x.shape}. "
                "Row i is data point i."
            )
        return scipy.sparse.csr_array((values, indices, indptr), shape=x.shape)
    x = as_matrix(x, name, n_columns=n_columns, n_rows=n_rows, dtype=dtype).view()
    x.flags.writeable = False
    return x


def dense(x):
    """Return a factor as an ndarray."""
    return x.toarray() if scipy.sparse.issparse(x) else x


def stored_entries(x):
    """Return how many entries a factor stores."""
    return x.nnz if scipy.sparse.issparse(x) else x.size


def scaled_rows(x, g):
    """Return diag(g) x."""
    if not scipy.sparse.issparse(x):
        return g[:, None] * x
    x = x.copy()
    x.data *= np.repeat(g, np.diff(x.indptr))
    return x


def multiply(U, X, n_threads):
    """Return U X."""
    if not scipy.sparse.issparse(U):
        return multiply_dense(U, X, n_threads)
    indptr, indices = (x.astype(np.intp, copy=False) for x in (U.indptr, U.indices))
    return multiply_csr(indptr, indices, U.data, X, n_threads)


def row_sums(P, V):
    """Return rowsum(P o V)."""
    if scipy.sparse.issparse(P):
        return np.asarray(P.multiply(V).sum(axis=1)).reshape(-1)
    if scipy.sparse.issparse(V):
        return np.asarray(V.multiply(P).sum(axis=1)).reshape(-1)
    return np.einsum("ij,ij->i", P, V)


def row_squares(U):
    """Return |u_i|^2 for every row, in float64."""
    if scipy.sparse.issparse(U):
        U = U.astype(np.float64)
        return np.asarray(U.multiply(U).sum(axis=1)).reshape(-1)
    return np.einsum("ij,ij->i", U, U, dtype=np.float64)


def cross_gram(U: Matrix, other: Matrix) -> NDArray[np.float64]:
    """Return U other^T in float64."""
    if scipy.sparse.issparse(U) or scipy.sparse.issparse(other):
        sparse = [x for x in (U, other) if scipy.sparse.issparse(x)]
        if all(x.nnz < SPARSE_GRAM_DENSITY * x.shape[0] * x.shape[1] for x in sparse):
            return dense(_sparse_cross(U, other))
        U, other = dense(U), dense(other)
    if U.dtype == other.dtype == np.float64:
        return U @ other.T
    product = np.zeros((len(U), len(other)))
    for block in blocks(U.shape[1], _COLUMNS_PER_CAST):
        left = U[:, block].astype(np.float64)
        product += left @ (left if other is U else other[:, block].astype(np.float64)).T
    return product


def _sparse_cross(U, other):
    """U other^T where one of them is sparse, the other perhaps dense."""
    left = U.astype(np.float64)
    right = left if other is U else other.astype(np.float64)
    return left @ right.T


def sparse_product(U, V, g):
    """Return J (J^T g) with J^T g formed, which is m_u x m_v; U or V is sparse."""
    weighted = scipy.sparse.diags_array(g.astype(np.float64)) @ V
    return row_sums(U @ (U.T @ weighted), V)


def column_blocks(U):
    """Return slices of the columns of U that stay in cache in float64."""
    return blocks(U.shape[1], max(8, _BLOCK_BYTES // (8 * len(U))))


def require_gram(n_rows, n_columns):
    """Refuse a Gram matrix that does not fit; it is made of two of its size."""
    n_bytes = 16 * n_rows * n_columns
    if n_bytes > _ALWAYS_THERE:
        what = f"A Gram matrix of shape {(n_rows, n_columns)}"
        require_memory(n_bytes, what, "Use fewer rows, or blocks of them.")


class FixedSide:
    """V, which stays the same from step to step, and what the sketches in use keep of it.

    Parameters
    ----------
    inputs : ndarray or csr_array, shape (n, m_v)
    repeats : int
        Row i of `inputs` stands for so many rows of V, one for each output: made on demand.
    dtype : numpy.dtype, optional
        Of V; that of `inputs` by default.
    """

    def __init__(
        self, inputs: Matrix, repeats: int = 1, dtype: np.dtype[Any] | None = None
    ) -> None:
        self.inputs, self._repeats, self._kept = inputs, repeats, deque(maxlen=2)
        self.dtype = inputs.dtype if dtype is None else np.dtype(dtype)

    @functools.cached_property
    def V(self) -> Matrix:
        """The factor, shape (n repeats, m_v)."""
        V = self.inputs.astype(self.dtype, copy=False)
        return V if self._repeats == 1 else np.repeat(V, self._repeats, axis=0)

    def of_one_output(self) -> FixedSide:
        """Return the same for a single output."""
        return FixedSide(self.inputs, dtype=self.dtype)

    def prepared(self, sketch: TensorSketch | TensorSRHT, n_threads: int | None) -> object:
        """Return `sketch.prepare(V)`, made anew unless this sketch was one of the last two."""
        for known, prepared in self._kept:
            if known is sketch:
                return prepared
        self._kept.append((sketch, sketch.prepare(self.V, n_threads)))
        return self._kept[-1][1]
