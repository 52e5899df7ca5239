"""Walsh-Hadamard transforms, in natural (Sylvester, Kronecker) order.

    out[i] = scale * (H_order (x) H_2 (x) ... (x) H_2) (signs * x[i])

for rows i of order * 2^k entries, order 1, 12, 20 or 28. Rows longer than the caches are
transformed in pieces and then joined: H_m = (H_order (x) I) (I (x) H_size) for m = order * size.
Unlike other kernels, these take rows that lie apart, and an output that is the input; orders of
the levels, and so results, are the same for every instruction set, too.
"""
from cython.parallel cimport prange

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
        intp_t t, i
        bint is_signed = signs is not None
        intp_t sign_step = is_signed and signs.shape[0] > 1
        intp_t n = x.shape[0]
        intp_t m = x.shape[1]
        intp_t per_task, n_tasks
        intp_t x_stride, out_stride
        int log_size = 0
        int fetch
        int level = simd_level()
    if n == 0 or m == 0:
        return
    while <intp_t>order << log_size < m:
        log_size += 1
    x_stride = x.strides[0] // <intp_t>sizeof(real_t)
    out_stride = out.strides[0] // <intp_t>sizeof(real_t)
    fetch = max(n * x.strides[0], m * <intp_t>sizeof(real_t)) > FETCH_BYTES
    per_task = max(1, REALS_PER_TASK // m)
    n_tasks = (n + per_task - 1) // per_task
    for t in prange(n_tasks, nogil=True, schedule="static", num_threads=n_threads):
        if is_signed:
            for i in range(t * per_task, min(n, (t + 1) * per_task)):
                multiply(level, &x[i, 0], &signs[i * sign_step, 0], &out[i, 0], m)
            rows(level, &out[t * per_task, 0], out_stride, &out[t * per_task, 0], out_stride, order,
                 log_size, min(per_task, n - t * per_task), <real_t>scale, fetch)
        else:
            rows(level, &x[t * per_task, 0], x_stride, &out[t * per_task, 0], out_stride, order,
                 log_size, min(per_task, n - t * per_task), <real_t>scale, fetch)


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
