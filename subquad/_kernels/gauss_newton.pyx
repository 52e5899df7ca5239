"""The fused Gauss-Newton step of a last layer whose neurons feed one output each.

Neurons are rows here: base (m, ld) holds Z0^T minus the thresholds, row r over the n data points,
padded to ld (a whole number of 64-byte vectors) with -inf, so that padding never fires. The change
of the pre-activations is A K with A = (readout o fired) diag(g), so neuron r moves by the sum of
the rows of diag(g) K over the points where it fired: no multiplication, and only the rows of
fired points are read ([SZZ24], Algorithm 2, lines 11-18, for all n points and m neurons at once).
"""
from cython.parallel cimport prange

from subquad._kernels._openmp cimport omp_get_thread_num
from subquad._kernels._simd cimport simd_level
from subquad._kernels._types cimport intp_t, real_t, uint64_t

cdef extern from "gauss_newton.h" nogil:
    ctypedef intp_t (*move_neurons_f32_fn)(
        const float *, const float *, const uint64_t *, const double *, const double *,
        const double *, double, const double *, intp_t, intp_t, intp_t, float *, uint64_t *,
        double *, double *, float *) noexcept nogil
    ctypedef intp_t (*move_neurons_f64_fn)(
        const double *, const double *, const uint64_t *, const double *, const double *,
        const double *, double, const double *, intp_t, intp_t, intp_t, double *, uint64_t *,
        double *, double *, double *) noexcept nogil
    const move_neurons_f32_fn *move_neurons_f32
    const move_neurons_f64_fn *move_neurons_f64
    intp_t SQ_TILE_BYTES


cdef inline intp_t move_neurons(
    int level, const real_t *base, const real_t *change, const uint64_t *fired,
    const double *gram, const double *weights, const double *readout, double keep,
    const double *jump, intp_t count, intp_t n, intp_t ld, real_t *new_change,
    uint64_t *new_fired, double *outputs, double *linear, real_t *moves,
) noexcept nogil:
    """Move a run of neurons of one output; return how many bits of fired changed."""
    if real_t is float:
        return move_neurons_f32[level](base, change, fired, gram, weights, readout, keep, jump,
                                       count, n, ld, new_change, new_fired, outputs, linear, moves)
    else:
        return move_neurons_f64[level](base, change, fired, gram, weights, readout, keep, jump,
                                       count, n, ld, new_change, new_fired, outputs, linear, moves)


def tile_points(intp_t itemsize):
    """Return how many points a tile of the packed Gram matrix has, for reals of this size."""
    return SQ_TILE_BYTES // itemsize


def pack_gram(
    const double[:, ::1] K not None,    # IN   (n, n)
    intp_t tile,                        # points per tile, from tile_points
    double[::1] packed not None,        # OUT  (n * ld,)
):
    """packed = K in the order (tile, j, point), its rows padded with zeros to ld points."""
    cdef:
        intp_t n = K.shape[0]
        intp_t first = 0
        intp_t ld, width, i, j
    if n == 0:
        return
    ld = packed.shape[0] // n
    with nogil:
        while first < ld:
            width = min(tile, ld - first)
            for j in range(n):
                for i in range(width):
                    packed[first * n + j * width + i] = K[j, first + i] if first + i < n else 0
            first += width


def move_all(
    const real_t[:, ::1] base not None,         # IN   (m, ld), Z0^T - thresholds, padded with -inf
    const real_t[:, ::1] change not None,       # IN   (m, ld)
    const uint64_t[:, ::1] fired not None,      # IN   (m, words of n), of the state that is left
    const double[::1] gram not None,            # IN   (n * ld,), from pack_gram
    const double[:, ::1] weights not None,      # IN   (n_outputs, n)
    const double[::1] readout not None,         # IN   (m,)
    double keep,
    const double[::1] jump,                     # IN   (ld,) or None: added to whatever fires
    const intp_t[:, ::1] chunks not None,       # IN   (n_chunks, 3): output, neurons from, to
    real_t[:, ::1] new_change not None,         # OUT  (m, ld)
    uint64_t[:, ::1] new_fired not None,        # OUT  (m, words of n)
    double[:, ::1] outputs not None,            # IN/OUT  (n_chunks, ld), zero before the call
    double[:, ::1] linear,                      # IN/OUT  (n_chunks, ld) or None
    intp_t[::1] flips not None,                 # OUT  (n_chunks,), how many bits changed
    real_t[:, ::1] moves not None,              # scratch (n_threads, n * tile)
    int n_threads,
):
    """new_change = keep * change + readout o (fired diag(weights) K); who fires; partial outputs.

    The partial sums belong to chunks of neurons and not to threads, so their total is the same
    for every n_threads.
    """
    cdef:
        intp_t c
        intp_t n_chunks = chunks.shape[0]
        intp_t n = weights.shape[1]
        int level = simd_level()
    if n == 0:
        return
    for c in prange(n_chunks, nogil=True, schedule="dynamic", num_threads=n_threads):
        flips[c] = move_neurons(
            level, &base[chunks[c, 1], 0], &change[chunks[c, 1], 0], &fired[chunks[c, 1], 0],
            &gram[0], &weights[chunks[c, 0], 0], &readout[chunks[c, 1]], keep,
            &jump[0] if jump is not None else NULL, chunks[c, 2] - chunks[c, 1], n,
            base.shape[1], &new_change[chunks[c, 1], 0], &new_fired[chunks[c, 1], 0],
            &outputs[c, 0], &linear[c, 0] if linear is not None else NULL,
            &moves[omp_get_thread_num(), 0])
