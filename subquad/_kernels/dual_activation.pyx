"""Kernels that depend on the angle between two points, from the Gram matrix of unit points.

    out[i, j] = left_norms[i] right_norms[j] f(angle(x_i, y_j))

for f given in pieces. Where the Gram matrix has lost the angle of nearly parallel points, it is
taken from the points themselves.
"""
from cython.parallel cimport prange

from subquad._kernels._simd cimport simd_level
from subquad._kernels._types cimport intp_t, real_t

cdef extern from "dual_activation.h" nogil:
    ctypedef struct sq_profile:
        const double *table
        double offset
        intp_t n_pieces
        double at_zero
        double close
        double equal
    ctypedef struct sq_points:
        const void *values
        const intp_t *indptr
        const intp_t *indices
        intp_t n_columns
    ctypedef void (*profile_row_f32_fn)(
        const sq_profile *, const sq_points *, intp_t, const sq_points *, intp_t, const float *,
        double, const double *, float *) noexcept nogil
    ctypedef void (*profile_row_f64_fn)(
        const sq_profile *, const sq_points *, intp_t, const sq_points *, intp_t, const double *,
        double, const double *, double *) noexcept nogil
    const profile_row_f32_fn *profile_row_f32
    const profile_row_f64_fn *profile_row_f64
    enum: SQ_PROFILE_TERMS
    enum: SQ_PROFILE_LOG_PIECES

TERMS = SQ_PROFILE_TERMS
PIECES_PER_OCTAVE = 1 << SQ_PROFILE_LOG_PIECES

cdef enum:
    TILE = 32


cdef inline void profile_row(
    int level, const sq_profile *profile, const sq_points *left, intp_t i, const sq_points *right,
    intp_t n, const real_t *r, double left_norm, const double *right_norms, real_t *out,
) noexcept nogil:
    """One row."""
    if real_t is float:
        profile_row_f32[level](profile, left, i, right, n, r, left_norm, right_norms, out)
    else:
        profile_row_f64[level](profile, left, i, right, n, r, left_norm, right_norms, out)


cdef inline sq_points points(
    const real_t[::1] values, const intp_t[::1] indptr, const intp_t[::1] indices,
    intp_t n_columns,
) noexcept:
    """Rows, dense or in CSR."""
    cdef sq_points rows
    rows.values = &values[0] if values.shape[0] > 0 else NULL
    rows.indptr = &indptr[0] if indptr is not None else NULL
    rows.indices = &indices[0] if indices is not None and indices.shape[0] > 0 else NULL
    rows.n_columns = n_columns
    return rows


def apply_profile(
    const double[:, ::1] table not None,      # IN   (2 n_pieces, TERMS): r >= 0, then r < 0
    double offset,                            # a power of two
    double at_zero,                           # f at angle 0
    double close,                             # squared half chords below it are made anew
    double equal,                             # those up to it, of r > 0, have angle 0
    const real_t[:, :] gram not None,         # IN   (n, k), correlations, each row contiguous
    const real_t[::1] left not None,          # IN   unit points of the rows: dense, or CSR values
    const intp_t[::1] left_indptr,            # IN   (n + 1,) or None where dense
    const intp_t[::1] left_indices,           # IN   or None
    const real_t[::1] right not None,         # IN   unit points of the columns
    const intp_t[::1] right_indptr,
    const intp_t[::1] right_indices,
    intp_t n_columns,                         # entries of a dense point
    const double[::1] left_norms not None,    # IN   (n,)
    const double[::1] right_norms not None,   # IN   (k,)
    intp_t diagonal,                          # row i stops after column diagonal + i; -1: never
    real_t[:, :] out not None,                # OUT  (n, k), each row contiguous; may be gram
    int n_threads,
):
    """out[i, j] = left_norms[i] * right_norms[j] * f(angle), as far as the row goes."""
    cdef:
        intp_t i
        intp_t n = gram.shape[0]
        intp_t k = gram.shape[1]
        int level = simd_level()
        sq_profile profile
        sq_points rows = points(left, left_indptr, left_indices, n_columns)
        sq_points columns = points(right, right_indptr, right_indices, n_columns)
    if n == 0 or k == 0:
        return
    profile.table = &table[0, 0]
    profile.offset = offset
    profile.n_pieces = table.shape[0] // 2
    profile.at_zero = at_zero
    profile.close = close
    profile.equal = equal
    for i in prange(n, nogil=True, schedule="dynamic", chunksize=8, num_threads=n_threads):
        profile_row(level, &profile, &rows, i, &columns,
                    k if diagonal < 0 else min(k, diagonal + i + 1), &gram[i, 0], left_norms[i],
                    &right_norms[0], &out[i, 0])


def mirror(
    real_t[:, ::1] out not None,    # IN/OUT  (n, n)
    intp_t first,                   # rows below it are done
    intp_t last,
    int n_threads,
):
    """out[j, i] = out[i, j] for rows first <= i < last and columns j < i."""
    cdef:
        intp_t t, i, j
        intp_t n_tiles = (last + TILE - 1) // TILE
    for t in prange(n_tiles, nogil=True, schedule="static", num_threads=n_threads):
        for i in range(max(first, t * TILE), last):
            for j in range(t * TILE, min(i, t * TILE + TILE)):
                out[j, i] = out[i, j]
