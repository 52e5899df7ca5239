"""Products of many rows with one dense matrix, by BLAS or by the sparse kernel.

Here a matrix of sparse rows is the triple (indptr, indices, values) of its canonical CSR form, and
`columns` (m_in, m_out) is what they are multiplied with: out[i] = sum_j H[i, j] columns[j], an
array or CompactColumns: bfloat16 as the upper halves of float32 numbers, in uint16, or int8 as
whole multiples of one scale. All of it trusts its arguments. No single call keeps Ctrl-C waiting
for more than about a second.
"""

import numpy as np
import scipy.special

from subquad._kernels import _simd
from subquad._kernels import column_product as kernels

STORAGES = {"bfloat16": np.dtype(np.uint16), "int8": np.dtype(np.int8)}
BFLOAT16_MAX = float(np.uint32(0x7F7F0000).view(np.float32))
_ENTRIES_PER_CALL = 2**20  # of temporaries that stay in cache, more or less
_INT8_MAX = 127
_MULTIPLY_ADDS_PER_CALL = 3e10  # of BLAS on one thread: .4 s in float32, .8 s in float64
# A quarter of a millisecond: less is not worth another thread, which may have to wait longer.
_MULTIPLY_ADDS_PER_THREAD = 1e7
# Two milliseconds of reading. A second thread saves one of three at n = 1, m = 16384, density .05,
# but where OpenBLAS's threads still spin after a GEMM, the product waits for it 10 to 20.
_BYTES_PER_THREAD = 2**25
# Multiply a sparse matrix with its own transpose as such below this density: above 0.03, BLAS on
# the dense rows measured faster.
SPARSE_GRAM_DENSITY = 0.03
SPARSE_COST = 3.0  # of a multiply-add in the sparse kernels, in those of BLAS
_ROWS_PER_CALL = 1024  # of the sparse kernel: their sums are to stay in the second-level cache

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
_FEWEST_ROWS = {8: 8, 4: 12, 2: 8, 1: 1}  # of a product with W^T, by bytes of a number of W
_TILE = 64  # transposing by tiles is 3x faster than by rows (float32, float64; m = 2048, 8192)
_SEARCH = 256  # finding the nonzeros of dense rows takes as long as so many outputs of their GEMM


def _crossover():
    """Return the density up to which the sparse kernel is used."""
    return _CROSSOVER[_simd.level()]


def multiply_dense(H, columns, n_threads):
    """Return H @ columns for dense H, through the sparse kernel where H is mostly zeros."""
    compact = isinstance(columns, CompactColumns)
    if compact or _is_sparse(H, columns.shape[1]):
        return _column_product(columns, *nonzeros(H), n_threads)
    return gemm(H, columns)


def multiply_csr(indptr, indices, values, columns, n_threads):
    """Return H @ columns for H in CSR, through BLAS where H is mostly nonzeros."""
    n, m_in = len(indptr) - 1, len(columns)
    if isinstance(columns, CompactColumns) or len(indices) < _crossover() * n * m_in:
        return _column_product(columns, indptr, indices, values, n_threads)
    return gemm(dense_rows(indptr, indices, values, m_in), columns)


def multiply_transposed(G, columns, n_threads):
    """Return G @ columns.T for dense G, through the sparse kernel where G is mostly zeros."""
    if len(G) >= _fewest_rows(columns) and _is_sparse(G, len(columns)):
        return _column_product(columns, *nonzeros(G), n_threads, transposed=True)
    return _gemm_transposed(G, columns)


def multiply_transposed_csr(indptr, indices, values, columns, n_threads):
    """Return G @ columns.T for G in CSR, through BLAS where G is mostly nonzeros."""
    n, m_out = len(indptr) - 1, columns.shape[1]
    if n >= _fewest_rows(columns) and len(indices) < _crossover() * n * m_out:
        return _column_product(columns, indptr, indices, values, n_threads, transposed=True)
    return _gemm_transposed(dense_rows(indptr, indices, values, m_out), columns)


def _is_sparse(H, n_outputs):
    """Return whether looking for the nonzeros of dense H pays."""
    limit = _crossover() * (1.0 - _SEARCH / n_outputs) * H.size
    return limit > 0.0 and np.count_nonzero(H) < limit


def _fewest_rows(columns):
    """Return from how many rows on the sparse kernel may beat BLAS on W^T."""
    stored = columns.stored if isinstance(columns, CompactColumns) else columns
    return _FEWEST_ROWS[stored.itemsize]


def _gemm_transposed(G, columns):
    """Return G @ columns.T by BLAS."""
    if not isinstance(columns, CompactColumns):
        return gemm(G, columns.T)
    out = np.empty((len(G), len(columns)), columns.dtype)
    for which in blocks_of_columns(columns.shape):
        block = columns.decoded(which)
        for rows in blocks(len(G), block.size):
            np.matmul(G[rows], block.T, out=out[rows, which])
    return out


def gemm(A, B):
    """Return A @ B by BLAS, a block of rows of A at a time."""
    out = np.empty((A.shape[0], B.shape[1]), A.dtype)
    for rows in blocks(A.shape[0], B.size):
        np.matmul(A[rows], B, out=out[rows])
    return out


def _column_product(columns, indptr, indices, values, n_threads, transposed=False):
    """H @ columns, or H @ columns.T, by the sparse kernel, a block of rows of H at a time."""
    n, (m_in, m_out) = len(indptr) - 1, columns.shape[::-1] if transposed else columns.shape
    out = np.zeros((n, m_out), columns.dtype)
    compact = isinstance(columns, CompactColumns)
    stored = columns.stored if compact else columns
    multiply_adds = SPARSE_COST * len(indices) / n * m_out
    for rows in blocks(n, max(multiply_adds, _MULTIPLY_ADDS_PER_CALL / _ROWS_PER_CALL)):
        pointers, part = indptr[rows.start : rows.stop + 1], out[rows]
        sizes = len(part), m_in, m_out, pointers[-1] - pointers[0], stored.itemsize, out.itemsize
        n_threads = _useful_threads(n_threads, *sizes[1:5])
        scratch = np.empty(kernels.scratch_bytes(*sizes, n_threads, transposed), np.uint8)
        csr = pointers, indices, values, part, scratch, n_threads, transposed
        if not compact:
            kernels.column_product(stored, *csr)
        elif columns.storage == "int8":
            kernels.column_product_int8(stored, columns.scale, *csr)
        else:
            kernels.column_product_bfloat16(stored, *csr)
    return out


def _useful_threads(n_threads, m_in, m_out, nnz, stored):
    """Return how many of the threads have enough to multiply, or to read, in a product."""
    read = min(nnz, m_in) * m_out * stored
    work = max(nnz * m_out / _MULTIPLY_ADDS_PER_THREAD, read / _BYTES_PER_THREAD)
    return max(1, min(n_threads, int(work)))


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


class CompactColumns:
    """The columns of a matrix, W[:, j] = scale * stored[j] for int8, decoded to float32."""

    dtype = np.dtype(np.float32)

    def __init__(self, stored, scale=1.0):
        self.stored, self.scale = stored, np.float32(scale)

    @classmethod
    def empty(cls, shape, storage, scale=1.0):
        """Return columns to be filled."""
        return cls(np.empty(shape, STORAGES[storage]), scale)

    @property
    def storage(self):
        """Name of the format."""
        return "int8" if self.stored.dtype == np.int8 else "bfloat16"

    @property
    def shape(self):
        """(m_in, m_out)."""
        return self.stored.shape

    @property
    def nbytes(self):
        """Memory, in bytes."""
        return self.stored.nbytes

    def __len__(self):
        return len(self.stored)

    def copy(self):
        """Return columns with their own memory."""
        return CompactColumns(self.stored.copy(), self.scale)

    def decoded(self, which=slice(None)):
        """Return some of the columns in float32."""
        stored = self.stored[which]
        if self.storage == "int8":
            return np.multiply(stored, self.scale, dtype=np.float32)
        bits = stored.astype(np.uint32)
        bits <<= 16
        return bits.view(np.float32)

    def fill(self, which, columns):
        """Store some columns, given as floats, each number rounded to the nearest one."""
        if self.storage == "int8":
            self.stored[which] = np.rint(columns / float(self.scale))
        else:
            self.stored[which] = _upper_halves(columns.astype(np.float32))


def blocks_of_columns(shape):
    """Return slices of the m_in columns, each small enough for temporaries in cache."""
    step = max(1, _ENTRIES_PER_CALL // shape[1])
    return (slice(start, min(start + step, shape[0])) for start in range(0, shape[0], step))


def compressed(matrix, storage):
    """Return CompactColumns of a matrix (m_out, m_in), and the largest rounding error."""
    scale = 1.0
    if storage == "int8":
        peak = max(float(matrix.max()), -float(matrix.min()))
        # No smaller than a float32 can be divided by, for a matrix of zeros.
        scale = max(np.float32(peak / _INT8_MAX), np.finfo(np.float32).tiny)
        if float(scale) * (_INT8_MAX + 0.5) < peak:  # its own rounding must not push 127 over
            scale = np.nextafter(np.float32(scale), np.float32(np.inf))
    columns = CompactColumns.empty(matrix.shape[::-1], storage, scale)
    error = 0.0
    for which in blocks_of_columns(columns.shape):
        given = np.ascontiguousarray(matrix[:, which].T)
        columns.fill(which, given)
        error = max(error, float(np.abs(columns.decoded(which) - given.astype(float)).max()))
    return columns, error


def compact_gaussian(shape, std, rng, storage):
    """Return CompactColumns (m_in, m_out) with entries of standard deviation std, drawn as stored.

    bfloat16: float32 normals, rounded. int8: the mid-point quantiles of the normal distribution at
    (k + 1/2) / 256, rounded to multiples of 1/44 of them, one byte of randomness for each.
    """
    if storage == "int8":
        steps, scale = int8_normals()
        columns = CompactColumns.empty(shape, storage, scale * std)
        for which in blocks_of_columns(shape):
            block = columns.stored[which]
            block[...] = steps[rng.integers(0, 256, block.shape, np.uint8)]
        return columns
    columns = CompactColumns.empty(shape, storage)
    for which in blocks_of_columns(shape):
        block = rng.standard_normal(columns.stored[which].shape, np.float32)
        block *= np.float32(std)
        columns.fill(which, block)
    return columns


def int8_normals():
    """Return 256 equally likely int8 numbers, and the scale that gives them variance one."""
    quantiles = scipy.special.ndtri((np.arange(256) + 0.5) / 256)
    steps = np.rint(quantiles * (_INT8_MAX / quantiles[-1]))
    return steps.astype(np.int8), 1.0 / np.sqrt(np.mean(steps**2))


def _upper_halves(numbers):
    """Round float32 numbers to bfloat16, ties to even, as uint16."""
    bits = numbers.view(np.uint32)
    return ((bits + (((bits >> 16) & 1) + 0x7FFF)) >> 16).astype(np.uint16)
