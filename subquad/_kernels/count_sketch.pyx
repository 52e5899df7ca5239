"""Count sketches: signed sums by bucket, of the entries of rows (X S^T) or of whole rows (S A).

    out[i, bucket(j)] += sign(j) X[i, j]        out[bucket(i)] += sign(i) A[i]

S (s, m) has one nonzero a column, sign(j) in row bucket(j); both are one number of 32 bits,
code(j) = 2 bucket(j) + (1 where the sign is -1). Sums run in the order of j (of i), so results are
the same for every instruction set, and for dense and sparse forms of one matrix but for the sign
of zeros.
"""
from cython.parallel cimport prange

from subquad._kernels._openmp cimport omp_get_thread_num
from subquad._kernels._simd cimport simd_level
from subquad._kernels._types cimport int32_t, intp_t, real_t

cdef extern from "count_sketch.h" nogil:
    ctypedef void (*sketch_rows_f32_fn)(const float *, intp_t, intp_t, intp_t, const int32_t *,
                                        float *, intp_t, float *) noexcept nogil
    ctypedef void (*sketch_rows_f64_fn)(const double *, intp_t, intp_t, intp_t, const int32_t *,
                                        double *, intp_t, double *) noexcept nogil
    ctypedef void (*sketch_entries_f32_fn)(const intp_t *, const float *, intp_t, const int32_t *,
                                           float *) noexcept nogil
    ctypedef void (*sketch_entries_f64_fn)(const intp_t *, const double *, intp_t,
                                           const int32_t *, double *) noexcept nogil
    ctypedef void (*add_signed_f32_fn)(const float *, intp_t, int, float *) noexcept nogil
    ctypedef void (*add_signed_f64_fn)(const double *, intp_t, int, double *) noexcept nogil
    const sketch_rows_f32_fn *sketch_rows_f32
    const sketch_rows_f64_fn *sketch_rows_f64
    const sketch_entries_f32_fn *sketch_entries_f32
    const sketch_entries_f64_fn *sketch_entries_f64
    const add_signed_f32_fn *add_signed_f32
    const add_signed_f64_fn *add_signed_f64
    const int SQ_SKETCH_ROWS

cdef enum:
    # Threads claim rows of CSR by so many additions, some ten microseconds.
    ADDITIONS_PER_CLAIM = 1 << 14

ROWS = SQ_SKETCH_ROWS  # scratch of sketch_rows: so many times s reals for each thread


def sketch_rows(
    const real_t[:, ::1] X not None,        # IN       (n, m)
    const int32_t[::1] code not None,       # IN       (m,)
    real_t[:, ::1] out not None,            # OUT      (n, s)
    real_t[::1] scratch not None,           # SCRATCH  (n_threads * ROWS * s,)
    int n_threads,
):
    """out = X S^T for dense X."""
    cdef:
        intp_t t, rows
        intp_t n = X.shape[0]
        intp_t m = X.shape[1]
        intp_t s = out.shape[1]
        int level = simd_level()
    if n == 0 or m == 0:
        return
    for t in prange((n + SQ_SKETCH_ROWS - 1) // SQ_SKETCH_ROWS, nogil=True, schedule="dynamic",
                    num_threads=n_threads):
        rows = min(<intp_t>SQ_SKETCH_ROWS, n - t * SQ_SKETCH_ROWS)
        sketch_block(level, &X[t * SQ_SKETCH_ROWS, 0], rows, m, &code[0],
                     &out[t * SQ_SKETCH_ROWS, 0], s,
                     &scratch[omp_get_thread_num() * SQ_SKETCH_ROWS * s])


cdef inline void sketch_block(
    int level, const real_t *x, intp_t rows, intp_t m, const int32_t *code, real_t *out, intp_t s,
    real_t *scratch,
) noexcept nogil:
    """Sketch some rows."""
    if real_t is float:
        sketch_rows_f32[level](x, m, rows, m, code, out, s, scratch)
    else:
        sketch_rows_f64[level](x, m, rows, m, code, out, s, scratch)


def sketch_csr_rows(
    const intp_t[::1] indptr not None,      # IN   (n + 1,), need not begin at 0
    const intp_t[::1] indices not None,     # IN   (nnz,), in [0, m)
    const real_t[::1] values not None,      # IN   (nnz,)
    const int32_t[::1] code not None,       # IN   (m,)
    real_t[:, ::1] out not None,            # OUT  (n, s)
    int n_threads,
):
    """out = X S^T for X in CSR."""
    cdef:
        intp_t i
        intp_t n = out.shape[0]
        intp_t each = (indptr[n] - indptr[0]) // max(<intp_t>1, n) + out.shape[1]
        int chunk = <int>max(<intp_t>1, ADDITIONS_PER_CLAIM // each)
        int level = simd_level()
    for i in prange(n, nogil=True, schedule="dynamic", chunksize=chunk, num_threads=n_threads):
        out[i, :] = 0
        if indptr[i] < indptr[i + 1]:
            sketch_entries(level, &indices[indptr[i]], &values[indptr[i]],
                           indptr[i + 1] - indptr[i], &code[0], &out[i, 0])


cdef inline void sketch_entries(
    int level, const intp_t *indices, const real_t *values, intp_t count, const int32_t *code,
    real_t *out,
) noexcept nogil:
    """Sketch the stored entries of one row."""
    if real_t is float:
        sketch_entries_f32[level](indices, values, count, code, out)
    else:
        sketch_entries_f64[level](indices, values, count, code, out)


def add_columns(
    const real_t[:, ::1] A not None,        # IN      (m, k)
    const int32_t[::1] code not None,       # IN      (m,)
    real_t[:, ::1] out not None,            # IN/OUT  (s, k)
    int n_threads,
):
    """out += S A for dense A. Each thread has buckets of its own, and reads their rows alone."""
    cdef:
        intp_t t, i, bucket, first, last
        intp_t m = A.shape[0]
        intp_t k = A.shape[1]
        intp_t s = out.shape[0]
        int level = simd_level()
    if m == 0 or k == 0:
        return
    for t in prange(n_threads, nogil=True, schedule="static", num_threads=n_threads):
        first = t * s // n_threads
        last = (t + 1) * s // n_threads
        for i in range(m):
            bucket = code[i] >> 1
            if bucket >= first and bucket < last:
                add_signed(level, &A[i, 0], k, code[i] & 1, &out[bucket, 0])


cdef inline void add_signed(
    int level, const real_t *x, intp_t k, int negative, real_t *out,
) noexcept nogil:
    """out += x or out -= x."""
    if real_t is float:
        add_signed_f32[level](x, k, negative, out)
    else:
        add_signed_f64[level](x, k, negative, out)


def add_csr_columns(
    const intp_t[::1] indptr not None,      # IN      (m + 1,), need not begin at 0
    const intp_t[::1] indices not None,     # IN      (nnz,), in [0, k)
    const real_t[::1] values not None,      # IN      (nnz,)
    const int32_t[::1] code not None,       # IN      (m,)
    real_t[:, ::1] out not None,            # IN/OUT  (s, k)
    int n_threads,
):
    """out += S A for A in CSR, by threads as in add_columns."""
    cdef:
        intp_t t, i, p, bucket, first, last
        intp_t m = code.shape[0]
        intp_t s = out.shape[0]
    for t in prange(n_threads, nogil=True, schedule="static", num_threads=n_threads):
        first = t * s // n_threads
        last = (t + 1) * s // n_threads
        for i in range(m):
            bucket = code[i] >> 1
            if bucket >= first and bucket < last:
                if code[i] & 1:
                    for p in range(indptr[i], indptr[i + 1]):
                        out[bucket, indices[p]] -= values[p]
                else:
                    for p in range(indptr[i], indptr[i + 1]):
                        out[bucket, indices[p]] += values[p]
