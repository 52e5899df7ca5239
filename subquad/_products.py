"""Products of many rows with one dense matrix, by BLAS or by the sparse kernel.

Here a matrix of sparse rows is the triple (indptr, indices, values) of its canonical CSR form, and
`columns` (m_in, m_out) is what they are multiplied with: out[i] = sum_j H[i, j] columns[j], an
array or CompactColumns. All of it trusts its arguments. No single call keeps Ctrl-C waiting for
more than about a second.
"""

import functools

import numpy as np

from subquad._compact import CompactColumns, blocks_by_cache
from subquad._kernels import _simd
from subquad._kernels import column_product as kernels
from subquad._parallel import blocks, worth_threads

# Multiply a sparse matrix by its transpose, for a Gram matrix, as it is below this density, and by
# BLAS above it: 0.03 measured best.
SPARSE_GRAM_DENSITY = 0.03
# A multiply-add in the sparse kernels takes as long as so many in BLAS.
SPARSE_COST = 3.0
# BLAS takes 0.4 s for so many on one thread in float32, and 0.8 s in float64.
_MULTIPLY_ADDS_PER_CALL = 3e10
# The sums of so many rows stay in the second-level cache during a call of the sparse kernel.
_ROWS_PER_CALL = 1024
# A call of the sparse kernel takes about 50 bytes of temporaries for each nonzero of its rows.
_NONZEROS_PER_CALL = 2**20
# Rows in CSR that BLAS is to multiply are made dense so many bytes at a time.
_DENSE_BYTES_PER_CALL = 2**25
# Start another thread for each quarter of a millisecond of multiplying,
_MULTIPLY_ADDS_PER_THREAD = 1e7
# or for each two milliseconds of reading. A second thread saves one of three at n = 1, m = 16384,
# density .05, but where OpenBLAS's threads still spin after a GEMM, the product waits for it 10 to
# 20.
_BYTES_PER_THREAD = 2**25
# The threads of the sparse kernel share the outputs in panels of at least so many.
_OUTPUTS_PER_PANEL = 64

# Density of H up to which the sparse kernel beats BLAS. Seconds of the kernel over those of BLAS
# with AVX-512, one thread, float32, at density .2, .4, .6, .8, 1 (float64 is 0 to .2 lower):
#     baseline   n = 16, 64, 256 at 1 or more from a density of .2 to .3;
#     AVX2       m = 2048   n = 16  .52 .68 .78 .94 1.1    n = 256  .45 .83 1.1 1.5 1.5
#                m = 8192   n = 16  .74 .90 1.0 1.2 1.3    n = 64   .39 .64 .90 1.1 1.3
#     AVX-512    m = 2048   n = 16  .62 .66 .82 .92 1.0    n = 256  .26 .42 .59 .76 .92
#                m = 8192   n = 16  .60 .70 .80 .90 .96    n = 64   .30 .43 .57 .75 .85
# and for n = 1 below one up to .8 everywhere. Less is asked for here: BLAS differs by machine.
# W^T at m = 8192, density .05, AVX-512, BLAS over the kernel for n = 1, 4, 16, 64, 256:
#     float32   .40 .90 1.4 3.0 5.8    float64  .59 1.5 2.0 3.4 6.4
#     bfloat16  .84 .99 1.5 3.6 7.2    int8     2.1 2.3 2.9 5.5 8.0
# and at the densities below still 1.2 or more for n = 64 and 256, at every level.
_CROSSOVER = {"baseline": 0.2, "avx2": 0.45, "avx512": 0.6}
# The sparse kernel may beat BLAS on W^T from so many rows on, by the bytes of a number of W.
_FEWEST_ROWS = {8: 8, 4: 12, 2: 8, 1: 1}
# Finding the nonzeros of dense rows takes as long as so many outputs of their GEMM.
_SEARCH = 256
# Transposing by tiles of this size is 3x faster than by rows (float32, float64; m = 2048, 8192).
_TILE = 64


def _crossover():
    """Return the density up to which the sparse kernel is used."""
    return _CROSSOVER[_simd.level()]


class DenseRows:
    """Rows h_i of a dense matrix, given a block at a time to whatever kernel multiplies them."""

    def __init__(self, H):
        self._H = H

    def __len__(self):
        return len(self._H)

    @functools.cached_property
    def nnz(self):
        """How many entries are not zero."""
        return np.count_nonzero(self._H)

    def csr(self, block):
        """Return the rows of a slice as (indptr, indices, values)."""
        return nonzeros(self._H[block])


class SparseRows:
    """Rows h_i in CSR; what a kernel is given of them is not copied."""

    def __init__(self, indptr, indices, values):
        self._csr = indptr, indices, values
        self.nnz = len(indices)

    def __len__(self):
        return len(self._csr[0]) - 1

    def csr(self, block):
        """Return the rows of a slice as (indptr, indices, values); indptr starts where they do."""
        indptr, indices, values = self._csr
        return indptr[block.start : block.stop + 1], indices, values

    def dense(self, n_columns):
        """Yield slices of the rows, and the rows of each as a dense matrix of bounded memory."""
        row_bytes = n_columns * self._csr[2].itemsize
        for block in blocks(len(self), _DENSE_BYTES_PER_CALL // row_bytes):
            yield block, dense_rows(*self.csr(block), n_columns)


def multiply_dense(H, columns, n_threads):
    """Return H @ columns for dense H, through the sparse kernel where H is mostly zeros."""
    rows = DenseRows(H)
    if isinstance(columns, CompactColumns) or _is_sparse(rows, *columns.shape):
        return _column_product(columns, rows, n_threads)
    return gemm(H, columns)


def multiply_csr(indptr, indices, values, columns, n_threads):
    """Return H @ columns for H in CSR, through BLAS where H is mostly nonzeros."""
    rows, (m_in, m_out) = SparseRows(indptr, indices, values), columns.shape
    if isinstance(columns, CompactColumns) or rows.nnz < _crossover() * len(rows) * m_in:
        return _column_product(columns, rows, n_threads)
    out = np.empty((len(rows), m_out), columns.dtype)
    for block, H in rows.dense(m_in):
        gemm(H, columns, out[block])
    return out


def multiply_transposed(G, columns, n_threads):
    """Return G @ columns.T for dense G, through the sparse kernel where G is mostly zeros."""
    rows, (m_in, m_out) = DenseRows(G), columns.shape
    if len(rows) >= _fewest_rows(columns) and _is_sparse(rows, m_out, m_in):
        return _column_product(columns, rows, n_threads, transposed=True)
    return _gemm_transposed(G, columns, np.empty((len(G), m_in), columns.dtype))


def multiply_transposed_csr(indptr, indices, values, columns, n_threads):
    """Return G @ columns.T for G in CSR, through BLAS where G is mostly nonzeros."""
    rows, (m_in, m_out) = SparseRows(indptr, indices, values), columns.shape
    n = len(rows)
    if n >= _fewest_rows(columns) and rows.nnz < _crossover() * n * m_out:
        return _column_product(columns, rows, n_threads, transposed=True)
    out = np.empty((n, m_in), columns.dtype)
    for block, G in rows.dense(m_out):
        _gemm_transposed(G, columns, out[block])
    return out


def _is_sparse(rows, n_columns, n_outputs):
    """Return whether looking for the nonzeros of dense rows pays."""
    limit = _crossover() * (1.0 - _SEARCH / n_outputs) * len(rows) * n_columns
    return limit > 0.0 and rows.nnz < limit


def _fewest_rows(columns):
    """Return from how many rows on the sparse kernel may beat BLAS on W^T."""
    stored = columns.stored if isinstance(columns, CompactColumns) else columns
    return _FEWEST_ROWS[stored.itemsize]


def gemm(A, B, out=None):
    """Return A @ B by BLAS, a block of rows of A at a time."""
    if out is None:
        out = np.empty((A.shape[0], B.shape[1]), A.dtype)
    for rows in blocks_by_work(A.shape[0], B.size):
        np.matmul(A[rows], B, out=out[rows])
    return out


def _gemm_transposed(G, columns, out):
    """Write G @ columns.T into out, by BLAS, and return it."""
    if not isinstance(columns, CompactColumns):
        return gemm(G, columns.T, out)
    for which in blocks_by_cache(columns.shape):
        block = columns.decoded(which)
        for rows in blocks_by_work(len(G), block.size):
            np.matmul(G[rows], block.T, out=out[rows, which])
    return out


def _column_product(columns, rows, n_threads, transposed=False):
    """Return rows @ columns, or rows @ columns.T, by the sparse kernel, a block at a time."""
    n, (m_in, m_out) = len(rows), columns.shape[::-1] if transposed else columns.shape
    out = np.zeros((n, m_out), columns.dtype)
    compact = isinstance(columns, CompactColumns)
    stored = columns.stored if compact else columns
    for block in _blocks_of_sparse_rows(rows, m_out):
        indptr, indices, values = rows.csr(block)
        part, nnz = out[block], indptr[-1] - indptr[0]
        useful = _useful_threads(n_threads, m_in, m_out, nnz, stored.itemsize)
        sizes = len(part), m_in, m_out, nnz, stored.itemsize, out.itemsize, useful, transposed
        scratch = np.empty(kernels.scratch_bytes(*sizes), np.uint8)
        csr = indptr, indices, values, part, scratch, useful, transposed
        if not compact:
            kernels.column_product(stored, *csr)
        elif columns.storage == "int8":
            kernels.column_product_int8(stored, columns.scale, *csr)
        else:
            kernels.column_product_bfloat16(stored, *csr)
    return out


def _blocks_of_sparse_rows(rows, n_outputs):
    """Return slices of rows for calls of the sparse kernel, of bounded length and memory."""
    per_row = max(rows.nnz / len(rows), 1e-9)
    by_length = _MULTIPLY_ADDS_PER_CALL / (SPARSE_COST * per_row * n_outputs)
    return blocks(len(rows), min(by_length, _NONZEROS_PER_CALL / per_row, _ROWS_PER_CALL))


def _useful_threads(n_threads, m_in, m_out, nnz, stored):
    """Return how many threads have enough to multiply, or to read, in a sparse product."""
    read = min(nnz, m_in) * m_out * stored
    shares = max(nnz * m_out / _MULTIPLY_ADDS_PER_THREAD, read / _BYTES_PER_THREAD)
    return worth_threads(min(n_threads, -(-m_out // _OUTPUTS_PER_PANEL)), shares, 1)


def threads_for_work(n_threads, multiply_adds):
    """Return how many threads have enough to multiply."""
    return worth_threads(n_threads, multiply_adds, _MULTIPLY_ADDS_PER_THREAD)


def blocks_by_work(size, multiply_adds):
    """Return slices of range(size) for calls of bounded length; a member costs so much."""
    return blocks(size, _MULTIPLY_ADDS_PER_CALL / max(multiply_adds, 1))


def nonzeros(H):
    """Return (indptr, indices, values) of a dense matrix."""
    positions = np.flatnonzero(H)
    indptr = np.searchsorted(positions, np.arange(len(H) + 1) * H.shape[1])
    return indptr, positions % H.shape[1], H.ravel()[positions]


def dense_rows(indptr, indices, values, n_columns):
    """Return the dense matrix of (indptr, indices, values)."""
    dense = np.zeros((len(indptr) - 1, n_columns), values.dtype)
    for rows in blocks(len(dense), _NONZEROS_PER_CALL // n_columns):
        part, pointers = dense[rows], indptr[rows.start : rows.stop + 1]
        entries = slice(pointers[0], pointers[-1])
        numbers = np.repeat(np.arange(len(part)), np.diff(pointers))
        part[numbers, indices[entries]] = values[entries]
    return dense


def transposed_copy(matrix):
    """Return matrix.T as a new C-contiguous array."""
    copy = np.empty(matrix.shape[::-1], matrix.dtype)
    transposed_into(copy, matrix)
    return copy


def transposed_into(out, matrix):
    """Write matrix.T into out."""
    for rows in blocks(matrix.shape[0], _TILE):
        for columns in blocks(matrix.shape[1], _TILE):
            out[columns, rows] = matrix[rows, columns].T
