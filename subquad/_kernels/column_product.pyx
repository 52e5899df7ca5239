"""Product of one dense matrix with n sparse vectors, one per data point.

    out[i] += sum_{p in row i} values[p] * W[:, indices[p]]

W is passed by columns, so that what one input neuron sends out is contiguous: O(nnz m_out)
operations, and no column outside the supports is read ([SZZ24], Lemma C.2). Threads share the
outputs in panels. Each sum runs in the order of the columns, in the dtype of `out`: the bits
depend neither on the other rows nor on the number of threads. Transposed, the sum is over the rows
of W: out[i] += sum_{p in row i} values[p] * W[indices[p], :] ([SZZ24], Remark C.6).

The columns may be stored compactly, as bfloat16 (the upper halves of float32 numbers, in uint16)
or as int8 multiples of one scale. They are decoded in cache, and the sums are float32.
"""

from cython.parallel cimport prange
from libc.stdint cimport int8_t, uint8_t, uint16_t

from subquad._kernels._openmp cimport omp_get_thread_num
from subquad._kernels._simd cimport simd_level
from subquad._kernels._types cimport intp_t, real_t

cdef extern from "column_product.h" nogil:
    enum:
        SQ_STORED_AS_IS
        SQ_STORED_BFLOAT16
        SQ_STORED_INT8
    ctypedef struct sq_column_plan:
        intp_t width
        intp_t *origins
        void *values
        char *panels
        intp_t panel_bytes
    ctypedef struct sq_product_sizes:
        int transposed, level
        intp_t n, m_in, m_out, nnz, stored, real_bytes, n_threads
    intp_t sq_lay_out_plan(sq_column_plan *, char *, const sq_product_sizes *)
    void sq_fill_plan(sq_column_plan *, intp_t, intp_t, const intp_t *, const intp_t *)
    ctypedef void (*column_panel_f32_fn)(
        int, const void *, intp_t, intp_t, intp_t, intp_t, intp_t, const sq_column_plan *, float *,
        float *) noexcept nogil
    ctypedef void (*column_panel_f64_fn)(
        int, const void *, intp_t, intp_t, intp_t, intp_t, intp_t, const sq_column_plan *, double *,
        double *) noexcept nogil
    const column_panel_f32_fn *column_panel_f32
    const column_panel_f64_fn *column_panel_f64


cdef inline void column_panel(
    int level, int storage, const void *columns, intp_t across, intp_t first, intp_t width,
    intp_t n, intp_t m_out, const sq_column_plan *plan, real_t *out, real_t *scratch,
) noexcept nogil:
    """out[i, first : first + width] += (W @ h_i)[first : first + width] for every i."""
    if real_t is float:
        column_panel_f32[level](storage, columns, across, first, width, n, m_out, plan, out,
                                scratch)
    else:
        column_panel_f64[level](storage, columns, across, first, width, n, m_out, plan, out,
                                scratch)


cdef void product(
    int storage, bint transposed, intp_t stored, const void *columns, intp_t across, intp_t m_in,
    real_t scale, const intp_t *indptr, const intp_t *indices, const real_t *values,
    real_t[:, ::1] out, uint8_t *scratch, int n_threads,
) noexcept nogil:
    """out[i] += scale W @ h_i, or scale W^T @ h_i, for every i."""
    cdef:
        sq_column_plan plan
        sq_product_sizes sizes
        intp_t p, panel, n_panels, width
        intp_t n = out.shape[0]
        intp_t m_out = out.shape[1]
        real_t *ordered
    fill_sizes(&sizes, transposed, n, m_in, m_out, indptr[n] - indptr[0], stored, sizeof(real_t),
               n_threads)
    sq_lay_out_plan(&plan, <char *>scratch, &sizes)
    sq_fill_plan(&plan, n, m_in, indptr, indices)
    ordered = <real_t *>plan.values
    for p in range(indptr[n] - indptr[0]):
        ordered[p] = scale * values[plan.origins[p]]
    width = plan.width
    n_panels = (m_out + width - 1) // width
    for panel in prange(n_panels, schedule="dynamic", num_threads=n_threads):
        column_panel(sizes.level, storage, columns, across, panel * width,
                     min(width, m_out - panel * width), n, m_out, &plan, &out[0, 0],
                     <real_t *>(plan.panels + omp_get_thread_num() * plan.panel_bytes))


cdef inline void fill_sizes(
    sq_product_sizes *sizes, bint transposed, intp_t n, intp_t m_in, intp_t m_out, intp_t nnz,
    intp_t stored, intp_t real_bytes, intp_t n_threads,
) noexcept nogil:
    """The sizes of a product in the form of the C functions."""
    sizes.transposed, sizes.level = transposed, simd_level()
    sizes.n, sizes.m_in, sizes.m_out, sizes.nnz = n, m_in, m_out, nnz
    sizes.stored, sizes.real_bytes, sizes.n_threads = stored, real_bytes, n_threads


def scratch_bytes(
    intp_t n, intp_t m_in, intp_t m_out, intp_t nnz, intp_t stored, intp_t real_bytes,
    intp_t n_threads, bint transposed=False,
):
    """Return how much scratch a product takes: `stored` bytes a weight, `real_bytes` an output.

    H is (n, m_in) and the product (n, m_out), whether W or W^T is applied.
    """
    cdef:
        sq_column_plan plan
        sq_product_sizes sizes
    if n == 0 or m_out == 0 or nnz == 0:
        return 0
    fill_sizes(&sizes, transposed, n, m_in, m_out, nnz, stored, real_bytes, n_threads)
    return sq_lay_out_plan(&plan, NULL, &sizes)


def column_product(
    const real_t[:, ::1] columns not None,  # IN      (inputs of W, outputs), row j is W[:, j]
    const intp_t[::1] indptr not None,      # IN      (n + 1,)
    const intp_t[::1] indices not None,     # IN      (nnz,)
    const real_t[::1] values not None,      # IN      (nnz,)
    real_t[:, ::1] out not None,            # IN/OUT  (n, outputs), or (n, inputs)
    uint8_t[::1] scratch not None,          # scratch, (scratch_bytes(...),)
    int n_threads,
    bint transposed=False,
):
    """Add W @ h_i, or W^T @ h_i, to out[i] for every sparse row h_i."""
    if out.shape[0] == 0 or out.shape[1] == 0 or indptr[out.shape[0]] == indptr[0]:
        return
    with nogil:
        product[real_t](SQ_STORED_AS_IS, transposed, sizeof(real_t), &columns[0, 0],
                        columns.shape[1], columns.shape[1 if transposed else 0], 1, &indptr[0],
                        &indices[0], &values[0], out, &scratch[0], n_threads)


def column_product_bfloat16(
    const uint16_t[:, ::1] columns not None,  # IN      (inputs, outputs), upper halves of float32
    const intp_t[::1] indptr not None,        # IN      (n + 1,)
    const intp_t[::1] indices not None,       # IN      (nnz,)
    const float[::1] values not None,         # IN      (nnz,)
    float[:, ::1] out not None,               # IN/OUT  (n, outputs), or (n, inputs)
    uint8_t[::1] scratch not None,            # scratch, (scratch_bytes(...),)
    int n_threads,
    bint transposed=False,
):
    """Add W @ h_i, or W^T @ h_i, to out[i] for every sparse row h_i."""
    if out.shape[0] == 0 or out.shape[1] == 0 or indptr[out.shape[0]] == indptr[0]:
        return
    with nogil:
        product[float](SQ_STORED_BFLOAT16, transposed, 2, &columns[0, 0], columns.shape[1],
                       columns.shape[1 if transposed else 0], 1, &indptr[0], &indices[0],
                       &values[0], out, &scratch[0], n_threads)


def column_product_int8(
    const int8_t[:, ::1] columns not None,  # IN      (inputs, outputs), W / scale
    float scale,                            # IN
    const intp_t[::1] indptr not None,      # IN      (n + 1,)
    const intp_t[::1] indices not None,     # IN      (nnz,)
    const float[::1] values not None,       # IN      (nnz,)
    float[:, ::1] out not None,             # IN/OUT  (n, outputs), or (n, inputs)
    uint8_t[::1] scratch not None,          # scratch, (scratch_bytes(...),)
    int n_threads,
    bint transposed=False,
):
    """Add W @ h_i, or W^T @ h_i, as sums of (scale h_ij) columns[j], for every sparse row h_i."""
    if out.shape[0] == 0 or out.shape[1] == 0 or indptr[out.shape[0]] == indptr[0]:
        return
    with nogil:
        product[float](SQ_STORED_INT8, transposed, 1, &columns[0, 0], columns.shape[1],
                       columns.shape[1 if transposed else 0], scale, &indptr[0], &indices[0],
                       &values[0], out, &scratch[0], n_threads)
