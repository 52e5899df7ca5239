"""Products of many rows with one dense matrix, by BLAS or by the sparse kernel.

Here a matrix of sparse rows is the triple (indptr, indices, values) of its canonical CSR form, and
`columns` (m_in, m_out) is what they are multiplied with: out[i] = sum_j H[i, j] columns[j]. All of
it trusts its arguments. No single call keeps Ctrl-C waiting for more than about a second.
"""

import numpy as np

from subquad._kernels.column_product import column_product

_MULTIPLY_ADDS_PER_CALL = 3e10  # of BLAS on one thread: .4 s in float32, .8 s in float64
_SPARSE_COST = 3.0  # of a multiply-add in the sparse kernel, in those of BLAS

# Density of H below which the sparse kernel beats BLAS. Seconds of the kernel over those of BLAS,
# one thread, m = 8192 (2048 within 0.08): at density .1, .3, .5
#     float32: n = 16  .62 .97 1.17    n = 64  .43 .88 1.27    n = 256  .31 .77 1.23
#     float64: n = 16  .44 .81  .94    n = 64  .45 .81 1.18    n = 256  .32 .72 1.18
# and for n = 1 below one up to a density of .6. Two threads, n = 256: .27 .48 .85.
_CROSSOVER = 0.4
_TILE = 64  # transposing by tiles is 3x faster than by rows (float32, float64; m = 2048, 8192)
_SEARCH = 256  # finding the nonzeros of dense rows takes as long as so many outputs of their GEMM


def multiply_dense(H, columns, n_threads):
    """Return H @ columns for dense H, through the sparse kernel where H is mostly zeros."""
    limit = _CROSSOVER * (1.0 - _SEARCH / columns.shape[1]) * H.size
    if limit > 0.0 and np.count_nonzero(H) < limit:
        return _column_product(columns, *nonzeros(H), n_threads)
    return gemm(H, columns)


def multiply_csr(indptr, indices, values, columns, n_threads):
    """Return H @ columns for H in CSR, through BLAS where H is mostly nonzeros."""
    n, m_in = len(indptr) - 1, len(columns)
    if len(indices) < _CROSSOVER * n * m_in:
        return _column_product(columns, indptr, indices, values, n_threads)
    return gemm(dense_rows(indptr, indices, values, m_in), columns)


def gemm(A, B):
    """Return A @ B by BLAS, a block of rows of A at a time."""
    out = np.empty((A.shape[0], B.shape[1]), A.dtype)
    for rows in blocks(A.shape[0], B.size):
        np.matmul(A[rows], B, out=out[rows])
    return out


def _column_product(columns, indptr, indices, values, n_threads):
    """H @ columns by the sparse kernel, a block of rows of H at a time."""
    n, m_out = len(indptr) - 1, columns.shape[1]
    out = np.zeros((n, m_out), columns.dtype)
    cursor = np.empty((n_threads, 2 * n), np.intp)
    for rows in blocks(n, _SPARSE_COST * len(indices) / n * m_out):
        pointers = indptr[rows.start : rows.stop + 1]
        column_product(columns, pointers, indices, values, out[rows], cursor, n_threads)
    return out


def blocks(size, multiply_adds):
    """Return slices of range(size) for calls of bounded length; a member costs so much."""
    step = max(1, int(_MULTIPLY_ADDS_PER_CALL / max(multiply_adds, 1)))
    return (slice(start, min(start + step, size)) for start in range(0, size, step))


def nonzeros(H):
    """Return (indptr, indices, values) of a dense matrix."""
    positions = np.flatnonzero(H)
    indptr = np.searchsorted(positions, np.arange(len(H) + 1) * H.shape[1])
    return indptr, positions % H.shape[1], H.ravel()[positions]


def dense_rows(indptr, indices, values, n_columns):
    """Return the dense matrix of (indptr, indices, values)."""
    dense = np.zeros((len(indptr) - 1, n_columns), values.dtype)
    dense[np.repeat(np.arange(len(dense)), np.diff(indptr)), indices] = values
    return dense


def transposed_copy(matrix):
    """Return matrix.T as a new C-contiguous array."""
    copy = np.empty(matrix.shape[::-1], matrix.dtype)
    for i in range(0, matrix.shape[0], _TILE):
        for j in range(0, matrix.shape[1], _TILE):
            copy[j : j + _TILE, i : i + _TILE] = matrix[i : i + _TILE, j : j + _TILE].T
    return copy
