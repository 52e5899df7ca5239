"""Product of one dense matrix with n sparse vectors, one per data point.

    out[i] += sum_{p in row i} values[p] * W[:, indices[p]]

W is passed by columns, so that what one input neuron sends out is contiguous: O(nnz m_out)
operations, and no column outside the supports is read ([SZZ24], Lemma C.2). Threads share the
outputs in panels of 4 KiB; each sum runs in the order of the columns, in real_t.
"""
from cython.parallel cimport prange

from subquad._kernels._openmp cimport omp_get_thread_num
from subquad._kernels._simd cimport simd_level
from subquad._kernels._types cimport intp_t, real_t

cdef extern from "column_product.h" nogil:
    ctypedef void (*column_panel_f32_fn)(
        const float *, intp_t, intp_t, intp_t, intp_t, intp_t,
        const intp_t *, const intp_t *, const float *, float *, intp_t *) noexcept nogil
    ctypedef void (*column_panel_f64_fn)(
        const double *, intp_t, intp_t, intp_t, intp_t, intp_t,
        const intp_t *, const intp_t *, const double *, double *, intp_t *) noexcept nogil
    const column_panel_f32_fn *column_panel_f32
    const column_panel_f64_fn *column_panel_f64

cdef enum:
    PANEL_BYTES = 4096


cdef inline void column_panel(
    int level, const real_t *columns, intp_t m_in, intp_t m_out, intp_t first, intp_t width,
    intp_t n, const intp_t *indptr, const intp_t *indices, const real_t *values,
    real_t *out, intp_t *cursor,
) noexcept nogil:
    """out[i, first : first + width] += (W @ h_i)[first : first + width] for every i."""
    if real_t is float:
        column_panel_f32[level](columns, m_in, m_out, first, width, n, indptr, indices, values,
                                out, cursor)
    else:
        column_panel_f64[level](columns, m_in, m_out, first, width, n, indptr, indices, values,
                                out, cursor)


def column_product(
    const real_t[:, ::1] columns not None,  # IN      (m_in, m_out), row j is W[:, j]
    const intp_t[::1] indptr not None,      # IN      (n + 1,)
    const intp_t[::1] indices not None,     # IN      (nnz,)
    const real_t[::1] values not None,      # IN      (nnz,)
    real_t[:, ::1] out not None,            # IN/OUT  (n, m_out)
    intp_t[:, ::1] cursor not None,         # scratch (n_threads, 2 n)
    int n_threads,
):
    """Add W @ h_i to out[i] for every sparse row h_i."""
    cdef:
        intp_t panel
        intp_t n = out.shape[0]
        intp_t m_in = columns.shape[0]
        intp_t m_out = columns.shape[1]
        intp_t width = <intp_t>PANEL_BYTES // <intp_t>sizeof(real_t)
        intp_t n_panels = (m_out + width - 1) // width
        int level = simd_level()
    if n == 0 or m_out == 0 or values.shape[0] == 0:
        return
    for panel in prange(n_panels, nogil=True, schedule="dynamic", num_threads=n_threads):
        column_panel(level, &columns[0, 0], m_in, m_out, panel * width,
                     min(width, m_out - panel * width), n, &indptr[0], &indices[0], &values[0],
                     &out[0, 0], &cursor[omp_get_thread_num(), 0])
