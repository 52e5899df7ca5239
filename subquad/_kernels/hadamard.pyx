"""Walsh-Hadamard transforms, in natural (Sylvester, Kronecker) order.

    out[i] = scale * (H_order (x) H_2 (x) ... (x) H_2) (signs * x[i])

for rows i of order * 2^k entries, order 1, 12, 20 or 28. Rows longer than the caches are
transformed in pieces and then joined: H_m = (H_order (x) I) (I (x) H_size) for m = order * size.
Unlike other kernels, these take rows that lie apart, and an output that is the input; orders of
the levels, and so results, are the same for every instruction set, too.
"""
from cython.parallel cimport prange
from libc.string cimport memset

from subquad._kernels._openmp cimport omp_get_thread_num
from subquad._kernels._simd cimport simd_level
from subquad._kernels._types cimport intp_t, real_t

cdef extern from "hadamard.h" nogil:
    ctypedef void (*hadamard_rows_f32_fn)(
        const float *, intp_t, float *, intp_t, int, int, intp_t, float, int) noexcept nogil
    ctypedef void (*hadamard_rows_f64_fn)(
        const double *, intp_t, double *, intp_t, int, int, intp_t, double, int) noexcept nogil
    ctypedef void (*hadamard_columns_f32_fn)(float *, intp_t, intp_t, int) noexcept nogil
    ctypedef void (*hadamard_columns_f64_fn)(double *, intp_t, intp_t, int) noexcept nogil
    ctypedef void (*hadamard_signs_f32_fn)(
        const float *, const float *, float *, intp_t) noexcept nogil
    ctypedef void (*hadamard_signs_f64_fn)(
        const double *, const double *, double *, intp_t) noexcept nogil
    const hadamard_signs_f32_fn *hadamard_signs_f32
    const hadamard_signs_f64_fn *hadamard_signs_f64
    const hadamard_rows_f32_fn *hadamard_rows_f32
    const hadamard_rows_f64_fn *hadamard_rows_f64
    const hadamard_columns_f32_fn *hadamard_columns_f32
    const hadamard_columns_f64_fn *hadamard_columns_f64

cdef enum:
    REALS_PER_TASK = 1 << 14
    SIGNED_PER_TASK = 1 << 12   # which stay in the first-level cache between product and transform
    FETCH_BYTES = 1 << 22   # more, of all rows together, come from memory


cdef inline void rows(
    int level, const real_t *x, intp_t x_stride, real_t *out, intp_t out_stride, int order,
    int log_size, intp_t count, real_t scale, int fetch,
) noexcept nogil:
    """Transform `count` rows."""
    if real_t is float:
        hadamard_rows_f32[level](x, x_stride, out, out_stride, order, log_size, count, scale,
                                 fetch)
    else:
        hadamard_rows_f64[level](x, x_stride, out, out_stride, order, log_size, count, scale,
                                 fetch)


cdef inline void multiply(
    int level, const real_t *x, const real_t *signs, real_t *out, intp_t m,
) noexcept nogil:
    """Multiply one row by signs."""
    if real_t is float:
        hadamard_signs_f32[level](x, signs, out, m)
    else:
        hadamard_signs_f64[level](x, signs, out, m)


cdef inline void columns(
    int level, real_t *out, intp_t stride, intp_t width, int order,
) noexcept nogil:
    """Transform across `order` rows."""
    if real_t is float:
        hadamard_columns_f32[level](out, stride, width, order)
    else:
        hadamard_columns_f64[level](out, stride, width, order)


cdef inline int log_of(intp_t m, int order) noexcept nogil:
    """k of m = order * 2^k."""
    cdef int log_size = 0
    while <intp_t>order << log_size < m:
        log_size += 1
    return log_size


def transform_rows(
    const real_t[:, :] x not None,  # IN   (n, m), each row contiguous
    real_t[:, :] out not None,      # OUT  (n, m), each row contiguous; may be x itself
    int order,                      # 1, 12, 20 or 28; m / order is a power of two
    double scale,
    int n_threads,
    const real_t[:, :] signs=None,  # IN   (n, m), or (1, m) for all rows; None for none
):
    """out[i] = scale * H_m (signs[i] * x[i])."""
    cdef:
        intp_t t, i, first, stride
        const real_t *source
        bint is_signed = signs is not None
        intp_t sign_step = is_signed and signs.shape[0] > 1
        intp_t n = x.shape[0]
        intp_t m = x.shape[1]
        intp_t per_task, n_tasks
        intp_t x_stride, out_stride
        int log_size, fetch
        int level = simd_level()
    if n == 0 or m == 0:
        return
    log_size = log_of(m, order)
    x_stride = x.strides[0] // <intp_t>sizeof(real_t)
    out_stride = out.strides[0] // <intp_t>sizeof(real_t)
    fetch = max(n * x.strides[0], m * <intp_t>sizeof(real_t)) > FETCH_BYTES
    per_task = max(1, (SIGNED_PER_TASK if is_signed else REALS_PER_TASK) // m)
    n_tasks = (n + per_task - 1) // per_task
    for t in prange(n_tasks, nogil=True, schedule="static", num_threads=n_threads):
        first = t * per_task
        source = &x[first, 0]
        stride = x_stride
        if is_signed:
            for i in range(first, min(n, first + per_task)):
                multiply(level, &x[i, 0], &signs[i * sign_step, 0], &out[i, 0], m)
            source = &out[first, 0]
            stride = out_stride
        rows(level, source, stride, &out[first, 0], out_stride, order, log_size,
             min(per_task, n - first), <real_t>scale, fetch)


def transform_columns(
    real_t[:, :, :] out not None,  # IN/OUT  (n, order, width), contiguous along the width
    int n_threads,
):
    """out[i] = H_order out[i] for orders 2, 4, 8, 12, 20 and 28."""
    cdef:
        intp_t t, i, first
        intp_t n = out.shape[0]
        int order = <int>out.shape[1]
        intp_t width = out.shape[2]
        intp_t stride, pieces, piece
        int level = simd_level()
    if n == 0 or width == 0:
        return
    stride = out.strides[1] // <intp_t>sizeof(real_t)
    pieces = 1 if n >= 4 * n_threads or n_threads == 1 else 4 * n_threads
    piece = (width + pieces - 1) // pieces
    pieces = (width + piece - 1) // piece
    for t in prange(n * pieces, nogil=True, schedule="static", num_threads=n_threads):
        i = t // pieces
        first = t % pieces * piece
        columns(level, &out[i, 0, first], stride, min(piece, width - first), order)


def sample_rows(
    const real_t[:, ::1] x not None,        # IN       (n, m)
    const real_t[::1] signs not None,       # IN       (m,)
    const intp_t[::1] picks not None,       # IN       (s,), in [0, M)
    intp_t length,                          # M >= m, of the transform
    int order,                              # of M
    double scale,
    real_t[:, ::1] scratch not None,        # SCRATCH  (n_threads, at least M)
    real_t[:, ::1] out not None,            # OUT      (n, s)
    int n_threads,
):
    """out[i, p] = scale * (H_M (signs * x[i], 0, ...))[picks[p]]."""
    cdef:
        intp_t t, i, first, count
        intp_t n = x.shape[0]
        intp_t m = x.shape[1]
        intp_t per_task = sampled_together(scratch, length)
        real_t *room
        int level = simd_level()
    for t in prange((n + per_task - 1) // per_task, nogil=True, schedule="dynamic",
                    num_threads=n_threads):
        first = t * per_task
        count = min(per_task, n - first)
        room = &scratch[omp_get_thread_num(), 0]
        for i in range(count):
            multiply(level, &x[first + i, 0], &signs[0], room + i * length, m)
            memset(room + i * length + m, 0, (length - m) * sizeof(real_t))
        transform_and_pick(level, room, length, order, count, picks, <real_t>scale, out, first)


def sample_csr_rows(
    const intp_t[::1] indptr not None,      # IN       (n + 1,), need not begin at 0
    const intp_t[::1] indices not None,     # IN       (nnz,), in [0, m)
    const real_t[::1] values not None,      # IN       (nnz,)
    const real_t[::1] signs not None,       # IN       as above
    const intp_t[::1] picks not None,       # IN
    intp_t length,
    int order,
    double scale,
    real_t[:, ::1] scratch not None,        # SCRATCH
    real_t[:, ::1] out not None,            # OUT
    int n_threads,
):
    """The same for x in CSR."""
    cdef:
        intp_t t, i, p, first, count
        intp_t n = out.shape[0]
        intp_t per_task = sampled_together(scratch, length)
        real_t *room
        int level = simd_level()
    for t in prange((n + per_task - 1) // per_task, nogil=True, schedule="dynamic",
                    num_threads=n_threads):
        first = t * per_task
        count = min(per_task, n - first)
        room = &scratch[omp_get_thread_num(), 0]
        memset(room, 0, count * length * sizeof(real_t))
        for i in range(count):
            for p in range(indptr[first + i], indptr[first + i + 1]):
                room[i * length + indices[p]] = signs[indices[p]] * values[p]
        transform_and_pick(level, room, length, order, count, picks, <real_t>scale, out, first)


cdef inline intp_t sampled_together(const real_t[:, ::1] scratch, intp_t length) noexcept nogil:
    """How many rows are sampled at once."""
    return max(<intp_t>1, min(scratch.shape[1], <intp_t>SIGNED_PER_TASK) // length)


cdef inline void transform_and_pick(
    int level, real_t *room, intp_t length, int order, intp_t count, const intp_t[::1] picks,
    real_t scale, real_t[:, ::1] out, intp_t first,
) noexcept nogil:
    """Rows of `out` from `first` on, from those in the room."""
    cdef intp_t i, p
    rows(level, room, length, room, length, order, log_of(length, order), count, 1, 0)
    for i in range(count):
        for p in range(picks.shape[0]):
            out[first + i, p] = scale * room[i * length + picks[p]]
