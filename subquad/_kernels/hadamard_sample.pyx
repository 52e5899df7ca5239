"""Chosen entries of Walsh-Hadamard transforms of columns with signs.

    out[i] = scale * (H D A)[rows[i]]

for A (m, k), which zeros follow up to the order M = order * size of H, and a diagonal D of signs.
Blocks of `size` rows are transformed first, each down to the entries that are asked for modulo
`size`; then their sums across the blocks are taken. An entry has the bits that the kernel hadamard
gives it.
"""
from cython.parallel cimport prange
from libc.stdint cimport int8_t

from subquad._kernels._openmp cimport omp_get_thread_num
from subquad._kernels._simd cimport simd_level
from subquad._kernels._types cimport intp_t, real_t

cdef extern from "hadamard_sample.h" nogil:
    ctypedef struct sq_sum:
        pass
    ctypedef struct sq_levels_of_sample:
        intp_t m
        const int8_t *signs
        int last_whole
        const intp_t *radices
        const intp_t *spans
        const intp_t *counts
        const intp_t *firsts
        const sq_sum *sums
    ctypedef void (*sample_block_f32_fn)(
        const sq_levels_of_sample *, int, const float *, intp_t, intp_t, intp_t, float *,
        float *) noexcept nogil
    ctypedef void (*sample_block_f64_fn)(
        const sq_levels_of_sample *, int, const double *, intp_t, intp_t, intp_t, double *,
        double *) noexcept nogil
    ctypedef void (*sample_sums_f32_fn)(
        const float *, intp_t, int, const sq_sum *, intp_t, intp_t, float, float *,
        intp_t) noexcept nogil
    ctypedef void (*sample_sums_f64_fn)(
        const double *, intp_t, int, const sq_sum *, intp_t, intp_t, double, double *,
        intp_t) noexcept nogil
    const sample_block_f32_fn *sample_block_f32
    const sample_block_f64_fn *sample_block_f64
    const sample_sums_f32_fn *sample_sums_f32
    const sample_sums_f64_fn *sample_sums_f64

cdef enum:
    SUMS_PER_TASK = 256


def sample_blocks(
    const real_t[:, :] A not None,          # IN       (m, k), each row contiguous
    const int8_t[::1] signs not None,       # IN       (m,)
    const intp_t[:, ::1] levels not None,   # IN       (4, n): radix, span, count, first sum
    const intp_t[:, ::1] sums not None,     # IN       of the levels: source, row, target
    real_t[:, :, :, ::1] parts not None,    # OUT      (chunks of columns, order, count, width)
    real_t[:, ::1] rooms not None,          # SCRATCH  (n_threads, reals that the levels need)
    int last_whole,                         # of the levels: those after it have sums
    intp_t first,                           # of the blocks to transform
    intp_t last,                            # the block after them
    int n_threads,
):
    """parts[c, b] = known entries of block b, in chunk c of the columns of A.

    Rows of a block that is narrower than the others follow each other more closely. A thread's room
    has the width of a chunk times 8 reals and, for each level after the whole ones, all entries of
    the blocks that it joins.
    """
    cdef:
        sq_levels_of_sample plan
        intp_t t, chunk, block
        intp_t k = A.shape[1]
        intp_t n_blocks = last - first
        intp_t width = parts.shape[3]
        intp_t stride = A.strides[0] // <intp_t>sizeof(real_t)
        int top = <int>levels.shape[1] - 1
        int level = simd_level()
    plan.m = A.shape[0]
    plan.signs = &signs[0]
    plan.last_whole = last_whole
    plan.radices, plan.spans = &levels[0, 0], &levels[1, 0]
    plan.counts, plan.firsts = &levels[2, 0], &levels[3, 0]
    plan.sums = <const sq_sum *>&sums[0, 0] if sums.shape[0] else NULL
    for t in prange(parts.shape[0] * n_blocks, nogil=True, schedule="dynamic",
                    num_threads=n_threads):
        chunk = t // n_blocks
        block = first + t % n_blocks
        transform_block(
            level, &plan, top, &A[0, chunk * width], stride, min(width, k - chunk * width),
            block * plan.spans[top], &rooms[omp_get_thread_num(), 0],
            &parts[chunk, block, 0, 0])


cdef inline void transform_block(
    int level, const sq_levels_of_sample *plan, int top, const real_t *x, intp_t stride,
    intp_t width, intp_t first, real_t *room, real_t *out,
) noexcept nogil:
    """The known entries of one block."""
    if real_t is float:
        sample_block_f32[level](plan, top, x, stride, width, first, room, out)
    else:
        sample_block_f64[level](plan, top, x, stride, width, first, room, out)


def join_blocks(
    const real_t[:, :, :, ::1] parts not None,  # IN   (chunks of columns, order, count, width)
    const intp_t[:, ::1] sums not None,         # IN   (s, 3): source, row, target
    double scale,
    real_t[:, :] out not None,                  # OUT  (s, k), each row contiguous
    int n_threads,
):
    """out = scale * sums over the blocks of all of `parts`."""
    cdef:
        intp_t t, chunk, first
        intp_t s = sums.shape[0]
        intp_t k = out.shape[1]
        intp_t width = parts.shape[3]
        intp_t per_chunk = (s + SUMS_PER_TASK - 1) // SUMS_PER_TASK
        intp_t stride = out.strides[0] // <intp_t>sizeof(real_t)
        int order = <int>parts.shape[1]
        int level = simd_level()
    for t in prange(parts.shape[0] * per_chunk, nogil=True, schedule="dynamic",
                    num_threads=n_threads):
        chunk = t // per_chunk
        first = t % per_chunk * SUMS_PER_TASK
        take_sums(level, &parts[chunk, 0, 0, 0], parts.shape[2] * width, order,
                  <const sq_sum *>&sums[first, 0], min(<intp_t>SUMS_PER_TASK, s - first),
                  min(width, k - chunk * width), <real_t>scale, &out[0, chunk * width], stride)


cdef inline void take_sums(
    int level, const real_t *parts, intp_t step, int order, const sq_sum *sums, intp_t n_sums,
    intp_t width, real_t scale, real_t *out, intp_t stride,
) noexcept nogil:
    """Some sums, in one chunk of columns."""
    if real_t is float:
        sample_sums_f32[level](parts, step, order, sums, n_sums, width, scale, out, stride)
    else:
        sample_sums_f64[level](parts, step, order, sums, n_sums, width, scale, out, stride)
