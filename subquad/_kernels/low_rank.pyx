"""Low-rank changes of a weight matrix: form them from the fired neurons, and flush them.

A change W + dW, dW = A^T V, is kept as a factor pair: V (rank, m_in) holds the inputs of the layer
and A (rank, m_out) what moves. In Gauss-Newton training A is sparse where neurons were silent.
"""
from cython.parallel cimport prange

from subquad._kernels._blas cimport gemm
from subquad._kernels._simd cimport simd_level
from subquad._kernels._types cimport intp_t, real_t, uint64_t

cdef extern from "low_rank.h" nogil:
    enum:
        SQ_FLUSH_TILE_BYTES
        SQ_FLUSH_RANK
    ctypedef void (*flush_rows_f32_fn)(
        float *, intp_t, intp_t, intp_t, intp_t, const float *, const float *, intp_t,
    ) noexcept nogil
    ctypedef void (*flush_rows_f64_fn)(
        double *, intp_t, intp_t, intp_t, intp_t, const double *, const double *, intp_t,
    ) noexcept nogil
    const flush_rows_f32_fn *flush_rows_f32
    const flush_rows_f64_fn *flush_rows_f64

cdef extern from *:
    """
    #define sq_lowest_bit(x) __builtin_ctzll(x)
    """
    int sq_lowest_bit(uint64_t) noexcept nogil

LARGEST_THIN_RANK = SQ_FLUSH_RANK
TILE_BYTES = SQ_FLUSH_TILE_BYTES

# A thread takes so many rows of columns at a time, a multiple of those kept in registers.
cdef enum:
    ROWS_PER_CHUNK = 192


def flush(
    real_t[:, ::1] columns not None,        # IN/OUT  (m_in, m_out), row j is W[:, j]
    const real_t[:, ::1] U not None,        # IN      (rank, m_out)
    const real_t[:, ::1] V not None,        # IN      (rank, m_in)
):
    """columns += V^T U, that is W += U^T V: one GEMM in place, 2 m_in m_out rank operations."""
    cdef:
        intp_t m_in = columns.shape[0]
        intp_t m_out = columns.shape[1]
        intp_t rank = U.shape[0]
    if m_in == 0 or m_out == 0 or rank == 0:
        return
    with nogil:
        gemm[real_t](True, False, m_in, m_out, rank, 1, &V[0, 0], m_in, &U[0, 0], m_out,
                     1, &columns[0, 0], m_out)


def flush_thin(
    real_t[:, ::1] columns not None,        # IN/OUT  (m_in, m_out), row j is W[:, j]
    const real_t[:, ::1] U not None,        # IN      (rank, m_out), rank <= LARGEST_THIN_RANK
    const real_t[:, ::1] V not None,        # IN      (rank, m_in)
    real_t[::1] packed not None,            # scratch (rank * m_out up to whole TILE_BYTES,)
    int n_threads,
):
    """The same for few factors, without BLAS: columns is read and written once."""
    cdef:
        intp_t chunk, first
        intp_t m_in = columns.shape[0]
        intp_t m_out = columns.shape[1]
        intp_t rank = U.shape[0]
        intp_t n_chunks = (m_in + ROWS_PER_CHUNK - 1) // ROWS_PER_CHUNK
        int level = simd_level()
    if m_in == 0 or m_out == 0 or rank == 0:
        return
    with nogil:
        pack(&U[0, 0], rank, m_out, &packed[0])
    for chunk in prange(n_chunks, nogil=True, schedule="dynamic", num_threads=n_threads):
        first = chunk * ROWS_PER_CHUNK
        if real_t is float:
            flush_rows_f32[level](&columns[0, 0], m_in, m_out, first,
                                  min(m_in, first + ROWS_PER_CHUNK), &packed[0], &V[0, 0], rank)
        else:
            flush_rows_f64[level](&columns[0, 0], m_in, m_out, first,
                                  min(m_in, first + ROWS_PER_CHUNK), &packed[0], &V[0, 0], rank)


def flush_sparse(
    real_t[:, ::1] columns not None,            # IN/OUT  (m_in, m_out), row j is W[:, j]
    const intp_t[::1] U_indptr not None,        # IN      (rank + 1,), U by its rows
    const intp_t[::1] U_indices not None,       # IN      (nnz of U,)
    const real_t[::1] U_values not None,        # IN      (nnz of U,)
    const intp_t[::1] V_indptr not None,        # IN      (m_in + 1,), V by its columns
    const intp_t[::1] V_indices not None,       # IN      (nnz of V,)
    const real_t[::1] V_values not None,        # IN      (nnz of V,)
    int n_threads,
):
    """The same for sparse factors: only entries of columns that change are read and written."""
    cdef:
        intp_t j, p, q, k
        real_t v
        intp_t m_in = columns.shape[0]
    if U_values.shape[0] == 0 or V_values.shape[0] == 0:
        return
    for j in prange(m_in, nogil=True, schedule="static", num_threads=n_threads):
        for p in range(V_indptr[j], V_indptr[j + 1]):
            k, v = V_indices[p], V_values[p]
            for q in range(U_indptr[k], U_indptr[k + 1]):
                columns[j, U_indices[q]] += v * U_values[q]


cdef void pack(const real_t *U, intp_t rank, intp_t m_out, real_t *packed) noexcept nogil:
    """packed = U in the order (tile, k, output), padded with zeros to whole tiles."""
    cdef:
        intp_t tile = SQ_FLUSH_TILE_BYTES // <intp_t>sizeof(real_t)
        intp_t t, first, k, r
    for t in range((m_out + tile - 1) // tile):
        first = t * tile
        for k in range(rank):
            for r in range(tile):
                packed[first * rank + k * tile + r] = (
                    U[k * m_out + first + r] if first + r < m_out else 0
                )


def accumulate(
    const uint64_t[:, ::1] fired not None,      # IN      (n, words of m): bit r, neuron r fired
    const double[::1] coefficients not None,    # IN      (n,)
    const double[::1] readout not None,         # IN      (m,)
    real_t[:, ::1] A not None,                  # IN/OUT  (n, m)
    int n_threads,
):
    """A[i, r] += coefficients[i] * readout[r] for every neuron r that fired at data point i."""
    cdef:
        intp_t i
        intp_t n = A.shape[0]
        intp_t m = A.shape[1]
    if n == 0 or m == 0:
        return
    for i in prange(n, nogil=True, schedule="static", num_threads=n_threads):
        add_fired(&fired[i, 0], coefficients[i], &readout[0], m, &A[i, 0])


cdef void add_fired(
    const uint64_t *fired, double coefficient, const double *readout, intp_t m, real_t *row,
) noexcept nogil:
    """row[r] += coefficient * readout[r] where fired; bits beyond m are passed over."""
    cdef:
        intp_t word, r
        uint64_t bits
    for word in range((m + 63) >> 6):
        bits = fired[word]
        while bits:
            r = (word << 6) + sq_lowest_bit(bits)
            if r >= m:
                break
            row[r] += <real_t>(coefficient * readout[r])
            bits &= bits - 1
