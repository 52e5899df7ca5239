"""A random matrix W whose entries are a function of their position, and its products.

The entry in row r of column j follows from the three keys of column j, made from a seed, and from r
(simd/gaussian_words.h), so that W is never stored. In the table law it is one of 128 integers up to
127 and a random sign; otherwise it is a standard normal in float32. The integers of the generator,
and the normals too, are the same bits on every machine, at every SIMD level, in every tiling.

    product:  out[i] += sum_{p in row i} values[p] * W[:, indices[p]]    (or with rows of W)

A plan regroups the sparse rows for it: `sources` are the columns that any of them needs; a block is
BLOCK of them; the entries of one data point in one block are cut into runs of at most RUN.
"""
from cython.parallel cimport prange

from subquad._kernels._openmp cimport omp_get_thread_num
from subquad._kernels._simd cimport simd_level
from subquad._kernels._types cimport int32_t, intp_t, real_t, uint64_t

from libc.stdint cimport int8_t, uint8_t, uint32_t

cdef extern from "gaussian.h" nogil:
    enum:
        GAUSSIAN_TILE
        GAUSSIAN_BLOCK
        GAUSSIAN_RUN
    ctypedef struct sq_gaussian:
        const uint32_t *keys
        intp_t stride
        const int8_t *table
    ctypedef struct sq_plan:
        const intp_t *sources
        const intp_t *groups
        intp_t n_sources
        const int32_t *points
        const uint8_t *columns
    ctypedef void (*gaussian_column_i8_fn)(
        const sq_gaussian *, intp_t, intp_t, int8_t *) noexcept nogil
    ctypedef void (*gaussian_column_f32_fn)(
        const sq_gaussian *, double, intp_t, intp_t, float *) noexcept nogil
    ctypedef void (*gaussian_column_f64_fn)(
        const sq_gaussian *, double, intp_t, intp_t, double *) noexcept nogil
    ctypedef void (*gaussian_panel_f32_fn)(
        const sq_gaussian *, const sq_plan *, int, const float *, intp_t, intp_t, float *,
        intp_t, float *) noexcept nogil
    ctypedef void (*gaussian_panel_f64_fn)(
        const sq_gaussian *, const sq_plan *, int, const double *, intp_t, intp_t, double *,
        intp_t, double *) noexcept nogil
    const gaussian_column_i8_fn *gaussian_column_i8
    const gaussian_column_f32_fn *gaussian_column_f32
    const gaussian_column_f64_fn *gaussian_column_f64
    const gaussian_panel_f32_fn *gaussian_panel_f32
    const gaussian_panel_f64_fn *gaussian_panel_f64

TILE = GAUSSIAN_TILE
BLOCK = GAUSSIAN_BLOCK
RUN = GAUSSIAN_RUN


cdef inline uint64_t split_mix(uint64_t z) noexcept nogil:
    """SplitMix64's bijection of 64-bit numbers."""
    z = (z ^ (z >> 30)) * <uint64_t>0xBF58476D1CE4E5B9
    z = (z ^ (z >> 27)) * <uint64_t>0x94D049BB133111EB
    return z ^ (z >> 31)


def column_keys(
    uint64_t seed,
    intp_t first,                               # the first column
    uint32_t[:, :] keys not None,               # OUT  (3, columns), a block of columns of them all
):
    """The keys (a, b, c) of columns: draws 2 j and 2 j + 1 of SplitMix64 from a mixed seed."""
    cdef:
        intp_t j
        uint64_t column
        uint64_t step = 0x9E3779B97F4A7C15
        uint64_t start = split_mix(seed + step)
        uint64_t one, other
    with nogil:
        for j in range(keys.shape[1]):
            column = <uint64_t>(first + j)
            one = split_mix(start + (2 * column + 1) * step)
            other = split_mix(start + (2 * column + 2) * step)
            keys[0, j] = <uint32_t>one | 1
            keys[1, j] = <uint32_t>(one >> 32)
            keys[2, j] = <uint32_t>other


cdef sq_gaussian law_of(const uint32_t[:, ::1] keys, const int8_t[::1] table) noexcept:
    """The law in the form of the C functions."""
    cdef sq_gaussian law
    law.keys = &keys[0, 0]
    law.stride = keys.shape[1]
    law.table = NULL
    if table is not None:
        law.table = &table[0]
    return law


def fill(
    const uint32_t[:, ::1] keys not None,       # IN   (3, columns), columns a multiple of TILE
    const int8_t[::1] table,                    # IN   (256,), table[128 + i] = -table[i], or None
    double scale,
    intp_t first,                               # the first column
    real_t[:, ::1] columns not None,            # OUT  (n_columns, m_out)
    int n_threads,
):
    """columns[j] = scale * W[:, first + j]."""
    cdef:
        intp_t j
        intp_t m_out = columns.shape[1]
        int level = simd_level()
        sq_gaussian law
    if columns.shape[0] == 0 or m_out == 0:
        return
    law = law_of(keys, table)
    for j in prange(columns.shape[0], nogil=True, schedule="static", num_threads=n_threads):
        if real_t is float:
            gaussian_column_f32[level](&law, scale, first + j, m_out, &columns[j, 0])
        else:
            gaussian_column_f64[level](&law, scale, first + j, m_out, &columns[j, 0])


def fill_integers(
    const uint32_t[:, ::1] keys not None,       # IN   (3, columns), columns a multiple of TILE
    const int8_t[::1] table not None,           # IN   (256,), table[128 + i] = -table[i]
    intp_t first,                               # the first column
    int8_t[:, ::1] columns not None,            # OUT  (n_columns, m_out)
    int n_threads,
):
    """columns[j] = W[:, first + j] in the table law."""
    cdef:
        intp_t j
        intp_t m_out = columns.shape[1]
        int level = simd_level()
        sq_gaussian law
    if columns.shape[0] == 0 or m_out == 0:
        return
    law = law_of(keys, table)
    for j in prange(columns.shape[0], nogil=True, schedule="static", num_threads=n_threads):
        gaussian_column_i8[level](&law, first + j, m_out, &columns[j, 0])


def plan(
    const intp_t[::1] indptr not None,          # IN       (n + 1,)
    const intp_t[::1] indices not None,         # IN       (indptr[n],) or more
    const real_t[::1] values not None,          # IN       of the same size
    const intp_t[::1] rank not None,            # IN       (m_in,), position among the sources
    double scale,
    intp_t[:, ::1] groups not None,             # OUT      (blocks, RUN + 1), see sq_plan
    int32_t[::1] points not None,               # OUT      (nnz,), the data point of each run
    uint8_t[::1] columns not None,              # OUT      (nnz,), of each entry, in its block
    real_t[::1] ordered not None,               # OUT      (nnz,), scale times its value
    intp_t[:, ::1] cursor not None,             # scratch  (blocks, 2 RUN)
):
    """Regroup sparse rows into runs, by block and by length; entries in the order of the runs."""
    cdef:
        intp_t i, p, end, run, entry, block, g
    groups[:, :] = 0
    with nogil:
        for i in range(indptr.shape[0] - 1):
            p = indptr[i]
            while p < indptr[i + 1]:
                end = end_of_run(indices, rank, p, indptr[i + 1])
                groups[rank[indices[p]] // GAUSSIAN_BLOCK, GAUSSIAN_RUN - (end - p)] += 1
                p = end
        start_groups(groups, cursor)
        for i in range(indptr.shape[0] - 1):
            p = indptr[i]
            while p < indptr[i + 1]:
                end = end_of_run(indices, rank, p, indptr[i + 1])
                block = rank[indices[p]] // GAUSSIAN_BLOCK
                g = GAUSSIAN_RUN - (end - p)
                run = cursor[block, g]
                entry = cursor[block, GAUSSIAN_RUN + g]
                cursor[block, g] = run + 1
                cursor[block, GAUSSIAN_RUN + g] = entry + (end - p)
                points[run] = <int32_t>i
                for p in range(p, end):
                    columns[entry] = <uint8_t>(rank[indices[p]] % GAUSSIAN_BLOCK)
                    ordered[entry] = <real_t>(scale * values[p])
                    entry = entry + 1
                p = end


cdef inline intp_t end_of_run(
    const intp_t[::1] indices, const intp_t[::1] rank, intp_t start, intp_t stop,
) noexcept nogil:
    """Where the run that begins at `start` ends: with its block, after RUN entries, or at stop."""
    cdef:
        intp_t p = start + 1
        intp_t block = rank[indices[start]] // GAUSSIAN_BLOCK
    while p < stop and p < start + GAUSSIAN_RUN and rank[indices[p]] // GAUSSIAN_BLOCK == block:
        p = p + 1
    return p


cdef void start_groups(intp_t[:, ::1] groups, intp_t[:, ::1] cursor) noexcept nogil:
    """Turn the numbers of runs into the first run of each group; point cursor at runs, entries."""
    cdef:
        intp_t block, g, n_runs
        intp_t run = 0
        intp_t entry = 0
    for block in range(groups.shape[0]):
        for g in range(GAUSSIAN_RUN):
            n_runs = groups[block, g]
            groups[block, g] = run
            cursor[block, g] = run
            cursor[block, GAUSSIAN_RUN + g] = entry
            run = run + n_runs
            entry = entry + n_runs * (GAUSSIAN_RUN - g)
        groups[block, GAUSSIAN_RUN] = run


def product(
    const uint32_t[:, ::1] keys not None,       # IN       (3, columns), columns a multiple of TILE
    const int8_t[::1] table,                    # IN       (256,), see fill, or None
    bint transposed,
    const intp_t[::1] sources not None,         # IN       columns of W that are needed (or rows)
    const intp_t[:, ::1] groups not None,       # IN       (blocks, RUN + 1)
    const int32_t[::1] points not None,         # IN       (nnz,)
    const uint8_t[::1] columns not None,        # IN       (nnz,)
    const real_t[::1] values not None,          # IN       (nnz,)
    intp_t first,                               # panels first .. last - 1 of TILE outputs each
    intp_t last,
    real_t[:, ::1] out not None,                # IN/OUT   (n, m_out)
    real_t[:, ::1] scratch not None,            # scratch  (n_threads, TILE * (BLOCK + 1 + n))
    int n_threads,
):
    """Add W @ h_i, or W^T @ h_i, to out[i] for every sparse row h_i of a plan."""
    cdef:
        intp_t panel
        intp_t n = out.shape[0]
        intp_t ld = out.shape[1]
        int level = simd_level()
        sq_gaussian law
        sq_plan work
    if n == 0 or ld == 0 or sources.shape[0] == 0:
        return
    law = law_of(keys, table)
    work.sources = &sources[0]
    work.groups = &groups[0, 0]
    work.n_sources = sources.shape[0]
    work.points = &points[0]
    work.columns = &columns[0]
    for panel in prange(first, last, nogil=True, schedule="dynamic", num_threads=n_threads):
        if real_t is float:
            gaussian_panel_f32[level](&law, &work, transposed, &values[0], panel * GAUSSIAN_TILE,
                                      n, &out[0, 0], ld, &scratch[omp_get_thread_num(), 0])
        else:
            gaussian_panel_f64[level](&law, &work, transposed, &values[0], panel * GAUSSIAN_TILE,
                                      n, &out[0, 0], ld, &scratch[omp_get_thread_num(), 0])
