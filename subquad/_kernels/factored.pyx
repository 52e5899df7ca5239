"""Responses of a wide hidden layer with factored weights, and their transpose ([AS22], Section 5).

    forward    outputs[i, c] = sum_r readout[c, r] phi(z_ir)
    backward   out[i] = sum_r w_ir (row r of the map y -> z)
               for w_ir = phi'(z_ir) sum_c weights[i, c] readout[c, r]

where z_i = (H D_1 y_i, H D_2 y_i, ...), H Walsh-Hadamard of order p, D_j diagonal, or z_i = y_i
where signs are empty. phi(z) is z - threshold, or z if `jumps`, where z is above the threshold.
The m neurons are never all in memory at once: O(log p) operations each, all in the cache.
"""
from cython.parallel cimport prange

from subquad._kernels._openmp cimport omp_get_thread_num
from subquad._kernels._simd cimport simd_level
from subquad._kernels._types cimport intp_t, real_t, uint64_t

cdef extern from "factored.h" nogil:
    ctypedef struct factored_layer_f32:
        const float *signs
        const float *readout
        intp_t m, neurons, n_outputs, p
        int jumps
    ctypedef struct factored_layer_f64:
        const double *signs
        const double *readout
        intp_t m, neurons, n_outputs, p
        int jumps
    ctypedef void (*factored_forward_f32_fn)(
        const factored_layer_f32 *, const float *, const float *, intp_t, const uint64_t *,
        double *, uint64_t *, intp_t *, intp_t *, float *) noexcept nogil
    ctypedef void (*factored_forward_f64_fn)(
        const factored_layer_f64 *, const double *, const double *, intp_t, const uint64_t *,
        double *, uint64_t *, intp_t *, intp_t *, double *) noexcept nogil
    ctypedef void (*factored_backward_f32_fn)(
        const factored_layer_f32 *, const uint64_t *, const double *, intp_t, float *, float *,
    ) noexcept nogil
    ctypedef void (*factored_backward_f64_fn)(
        const factored_layer_f64 *, const uint64_t *, const double *, intp_t, double *, double *,
    ) noexcept nogil
    const factored_forward_f32_fn *factored_forward_f32
    const factored_forward_f64_fn *factored_forward_f64
    const factored_backward_f32_fn *factored_backward_f32
    const factored_backward_f64_fn *factored_backward_f64
    intp_t SQ_FACTORED_GROUP

# Points that a thread takes at a time: they share what is read of signs and readouts.
cdef enum:
    TASK = 8


def scratch_size(intp_t p):
    """Return how many reals of scratch a thread needs for blocks of p neurons."""
    return max(p, SQ_FACTORED_GROUP)


cdef inline void forward_points(
    int level, const real_t *signs, const real_t *readout, intp_t m, intp_t neurons,
    intp_t n_outputs, intp_t p, int jumps, const real_t *x, const real_t *thresholds,
    intp_t count, const uint64_t *before, double *outputs, uint64_t *fired, intp_t *active,
    intp_t *flips, real_t *scratch,
) noexcept nogil:
    """Responses of `count` data points."""
    cdef:
        factored_layer_f32 layer32
        factored_layer_f64 layer64
    if real_t is float:
        layer32 = factored_layer_f32(signs, readout, m, neurons, n_outputs, p, jumps)
        factored_forward_f32[level](&layer32, x, thresholds, count, before, outputs, fired, active,
                                    flips, scratch)
    else:
        layer64 = factored_layer_f64(signs, readout, m, neurons, n_outputs, p, jumps)
        factored_forward_f64[level](&layer64, x, thresholds, count, before, outputs, fired, active,
                                    flips, scratch)


cdef inline void backward_points(
    int level, const real_t *signs, const real_t *readout, intp_t m, intp_t n_outputs, intp_t p,
    const uint64_t *fired, const double *weights, intp_t count, real_t *out, real_t *scratch,
) noexcept nogil:
    """The transpose for `count` data points."""
    cdef:
        factored_layer_f32 layer32
        factored_layer_f64 layer64
    if real_t is float:
        layer32 = factored_layer_f32(signs, readout, m, m, n_outputs, p, 0)
        factored_backward_f32[level](&layer32, fired, weights, count, out, scratch)
    else:
        layer64 = factored_layer_f64(signs, readout, m, m, n_outputs, p, 0)
        factored_backward_f64[level](&layer64, fired, weights, count, out, scratch)


def forward(
    const real_t[:, ::1] x not None,          # IN   (n, p): y, or (n, m): z if signs are empty
    const real_t[::1] signs not None,         # IN   (m,): the D_j; or (0,). 64 and p divide m
    const real_t[:, ::1] readout not None,    # IN   (n_outputs, m), 0 beyond `neurons`
    intp_t neurons,                           # the first so many of the m may fire
    const real_t[::1] thresholds not None,    # IN   (n,)
    bint jumps,
    const uint64_t[:, ::1] before not None,   # IN   (n, m / 64): who fired before, for `flips`
    double[:, ::1] outputs not None,          # OUT  (n, n_outputs)
    uint64_t[:, ::1] fired not None,          # OUT  (n, m / 64): bit r % 64 of word r / 64
    intp_t[::1] active not None,              # OUT  (n,): how many fire
    intp_t[::1] flips not None,               # OUT  (n,): bits that differ from `before`
    real_t[:, ::1] scratch not None,          # scratch (n_threads, scratch_size(p))
    int n_threads,
):
    """Outputs, and which neurons fire."""
    cdef:
        intp_t t, i
        intp_t n = x.shape[0]
        intp_t p = x.shape[1]
        intp_t m = readout.shape[1]
        intp_t C = readout.shape[0]
        intp_t n_tasks = (n + TASK - 1) // TASK
        const real_t *D = &signs[0] if signs.shape[0] > 0 else NULL
        int level = simd_level()
    if n == 0 or m == 0 or C == 0:
        return
    for t in prange(n_tasks, nogil=True, schedule="static", num_threads=n_threads):
        i = t * TASK
        forward_points(level, D, &readout[0, 0], m, neurons, C, p, jumps, &x[i, 0],
                       &thresholds[i], min(TASK, n - i), &before[i, 0], &outputs[i, 0],
                       &fired[i, 0], &active[i], &flips[i], &scratch[omp_get_thread_num(), 0])


def backward(
    const uint64_t[:, ::1] fired not None,    # IN   (n, m / 64)
    const double[:, ::1] weights not None,    # IN   (n, n_outputs)
    const real_t[::1] signs not None,         # IN   (m,) or (0,)
    const real_t[:, ::1] readout not None,    # IN   (n_outputs, m)
    real_t[:, ::1] out not None,              # OUT  (n, p), or (n, m) if signs are empty
    real_t[:, ::1] scratch not None,          # scratch (n_threads, scratch_size(p))
    int n_threads,
):
    """The transpose of the linearised layer, applied to weighted outputs."""
    cdef:
        intp_t t, i
        intp_t n = out.shape[0]
        intp_t p = out.shape[1]
        intp_t m = readout.shape[1]
        intp_t C = readout.shape[0]
        intp_t n_tasks = (n + TASK - 1) // TASK
        const real_t *D = &signs[0] if signs.shape[0] > 0 else NULL
        int level = simd_level()
    if n == 0 or m == 0 or C == 0:
        return
    for t in prange(n_tasks, nogil=True, schedule="static", num_threads=n_threads):
        i = t * TASK
        backward_points(level, D, &readout[0, 0], m, C, p, &fired[i, 0], &weights[i, 0],
                        min(TASK, n - i), &out[i, 0], &scratch[omp_get_thread_num(), 0])
