"""Half-space reports: which points have <x, a> >= b.

Points lie in blocks of 64, coordinate by coordinate; ids says which point a lane holds, and a lane
that holds none is NaN. Blocks before n_leaves are the leaves of a tree of 16 children a node: node
i of level k has the children 16 i + c of level k - 1, level 0 the leaves, and bounds holds their
boxes. items holds those of the items of each leaf: 8 lanes each, side by side. Level -1 are the
blocks themselves, in or out of the tree. Results are bitwise the same for every instruction set and
every number of threads.
"""
from cython.parallel cimport prange

from subquad._kernels._openmp cimport omp_get_thread_num
from subquad._kernels._simd cimport simd_level
from subquad._kernels._types cimport int32_t, intp_t, real_t, uint64_t

cdef extern from "half_space.h" nogil:
    enum:
        CHILDREN "HALF_SPACE_FAN"
        LANES "HALF_SPACE_LANES"
        ITEM_LANES "HALF_SPACE_ITEM"
        QUERIES "HALF_SPACE_QUERIES"
        CODED "HALF_SPACE_CODED"
    ctypedef struct half_space_search:
        const void *points
        const int32_t *ids
        const unsigned char *codes
        const double *fits
        const void *bounds
        const void *items
        const intp_t *first
        intp_t d
        intp_t n_leaves
        const void *A
        const void *b
        intp_t n_queries
        int32_t *hit_ids
        void *hit_values
        intp_t capacity
        intp_t *counts
        intp_t n_tested
    ctypedef void (*half_space_fn)(half_space_search *, int, intp_t, intp_t) noexcept nogil
    ctypedef void (*half_space_refit_f32_fn)(
        const float *, intp_t, float *, float *) noexcept nogil
    ctypedef void (*half_space_refit_f64_fn)(
        const double *, intp_t, double *, double *) noexcept nogil
    ctypedef void (*half_space_sort_fn)(
        const int32_t *, const void *, intp_t, int, uint64_t *, intp_t *, void *) noexcept nogil
    ctypedef void (*half_space_encode_f32_fn)(
        const float *, intp_t, unsigned char *, double *) noexcept nogil
    ctypedef void (*half_space_encode_f64_fn)(
        const double *, intp_t, unsigned char *, double *) noexcept nogil
    const half_space_fn *half_space_f32
    const half_space_fn *half_space_f64
    const half_space_refit_f32_fn *half_space_refit_f32
    const half_space_refit_f64_fn *half_space_refit_f64
    const half_space_encode_f32_fn *half_space_encode_f32
    const half_space_encode_f64_fn *half_space_encode_f64
    const half_space_sort_fn *half_space_sort_f32
    const half_space_sort_fn *half_space_sort_f64

BLOCK = LANES                # points of a block, and so of a full leaf
ITEM = ITEM_LANES            # points of an item, the unit in which tests are counted
FAN = CHILDREN               # children of a node
SLACK = 2 * LANES            # entries of a row of hits that may stay unused
QUERIES_PER_GROUP = QUERIES  # queries of a group, at most
MOST_CODED = CODED           # coordinates of points in codes, at most


def collect(
    const real_t[:, :, ::1] points not None,     # IN      (n_blocks, d, 64)
    const int32_t[:, ::1] ids not None,          # IN      (n_blocks, 64)
    const unsigned char[:, :, ::1] codes not None,  # IN   (n_blocks, (d + 1) / 2, 128) or (0, ...)
    const double[:, ::1] fits not None,          # IN      (n_blocks, 3)
    const real_t[:, :, :, ::1] bounds not None,  # IN      (n_nodes, d, 2, 16)
    const real_t[:, :, :, ::1] items not None,   # IN      (n_leaves, d, 2, 8)
    const intp_t[::1] first not None,            # IN      (n_levels,)
    intp_t n_leaves,
    int level,                                   # of the nodes to search
    intp_t begin,
    intp_t end,
    const real_t[:, ::1] A not None,             # IN      (n_queries, d)
    const real_t[::1] b not None,                # IN      (n_queries,)
    int32_t[:, ::1] hit_ids not None,            # OUT     (n_queries, capacity)
    real_t[:, ::1] hit_values not None,          # OUT     (n_queries, capacity)
    intp_t[::1] counts not None,                 # IN/OUT  (n_queries,): hits so far
    intp_t[::1] tested not None,                 # IN/OUT  (n_groups,): items times queries
    int n_threads,
):
    """Append the hits among nodes begin <= i < end of a level, in the order of the blocks.

    Where blocks have codes, level -1 looks at these first. The queries are shared out evenly to
    n_groups groups of at most 64. Hits for which there is no room are counted and not written: the
    first capacity - SLACK always are.
    """
    cdef:
        intp_t group
        intp_t n_groups = tested.shape[0]
        intp_t n_queries = A.shape[0]
        int simd = simd_level()
        half_space_search search
    if n_queries == 0 or begin >= end:
        return
    search.points = &points[0, 0, 0]
    search.ids = &ids[0, 0]
    search.codes = &codes[0, 0, 0] if codes.shape[0] > 0 else NULL
    search.fits = &fits[0, 0] if codes.shape[0] > 0 else NULL
    search.bounds = &bounds[0, 0, 0, 0] if bounds.shape[0] > 0 else NULL
    search.items = &items[0, 0, 0, 0] if items.shape[0] > 0 else NULL
    search.first = &first[0] if first.shape[0] > 0 else NULL
    search.d = A.shape[1]
    search.n_leaves = n_leaves
    search.capacity = hit_ids.shape[1]
    for group in prange(n_groups, nogil=True, schedule="static", num_threads=n_threads):
        search_group[real_t](
            simd, search, level, begin, end, group * n_queries // n_groups,
            (group + 1) * n_queries // n_groups, &A[0, 0], &b[0], &hit_ids[0, 0],
            &hit_values[0, 0], &counts[0], &tested[group])


cdef void search_group(
    int simd, half_space_search search, int level, intp_t begin, intp_t end, intp_t low,
    intp_t high, const real_t *A, const real_t *b, int32_t *hit_ids, real_t *hit_values,
    intp_t *counts, intp_t *tested,
) noexcept nogil:
    """Search for the queries low <= q < high."""
    search.n_queries = high - low
    search.n_tested = 0
    if search.n_queries == 0:
        return
    search.A = A + low * search.d
    search.b = b + low
    search.hit_ids = hit_ids + low * search.capacity
    search.hit_values = hit_values + low * search.capacity
    search.counts = counts + low
    if real_t is float:
        half_space_f32[simd](&search, level, begin, end)
    else:
        half_space_f64[simd](&search, level, begin, end)
    tested[0] += search.n_tested


def sort_hits(
    const int32_t[:, ::1] hit_ids not None,    # IN   (n_queries, capacity)
    const real_t[:, ::1] hit_values not None,  # IN   (n_queries, capacity)
    const intp_t[::1] indptr not None,         # IN   (n_queries + 1,)
    int key_bits,                              # of the largest id; 0: keep the order of the hits
    uint64_t[:, ::1] scratch not None,         # scratch (n_threads, 2 * most hits), 0 without keys
    intp_t[::1] indices not None,              # OUT  (nnz,)
    real_t[::1] values not None,               # OUT  (nnz,)
    int n_threads,
):
    """Write the hits of every query as a CSR row, by their ids or as they came."""
    cdef:
        intp_t q
        int simd = simd_level()
    if indices.shape[0] == 0:
        return
    for q in prange(hit_ids.shape[0], nogil=True, schedule="dynamic", num_threads=n_threads):
        sort_row[real_t](
            simd, &hit_ids[q, 0], &hit_values[q, 0], indptr[q + 1] - indptr[q], key_bits,
            &scratch[omp_get_thread_num(), 0] if key_bits > 0 else NULL,
            &indices[0] + indptr[q], &values[0] + indptr[q])


cdef void sort_row(
    int simd, const int32_t *hit_ids, const real_t *hit_values, intp_t count, int key_bits,
    uint64_t *scratch, intp_t *indices, real_t *values,
) noexcept nogil:
    """Write the hits of one query."""
    if real_t is float:
        half_space_sort_f32[simd](hit_ids, hit_values, count, key_bits, scratch, indices, values)
    else:
        half_space_sort_f64[simd](hit_ids, hit_values, count, key_bits, scratch, indices, values)


def encode(
    const real_t[:, :, ::1] points not None,  # IN      (n_blocks, d, 64): d <= MOST_CODED
    unsigned char[::1] stale not None,        # IN/OUT  (n_blocks,): cleared
    unsigned char[:, :, ::1] codes not None,        # OUT     (n_blocks, (d + 1) / 2, 128): if stale
    double[:, ::1] fits not None,             # OUT     (n_blocks, 3): if stale
):
    """Write the codes of stale blocks: see simd/half_space_codes.h."""
    cdef:
        intp_t i
        intp_t d = points.shape[1]
        int simd = simd_level()
    with nogil:
        for i in range(stale.shape[0]):
            if stale[i]:
                if real_t is float:
                    half_space_encode_f32[simd](&points[i, 0, 0], d, &codes[i, 0, 0], &fits[i, 0])
                else:
                    half_space_encode_f64[simd](&points[i, 0, 0], d, &codes[i, 0, 0], &fits[i, 0])
                stale[i] = 0


def refit(
    const real_t[:, :, ::1] points not None,  # IN      (n_blocks, d, 64)
    const intp_t[::1] first not None,         # IN      (n_levels,)
    unsigned char[::1] stale not None,        # IN/OUT  (n_leaves,): cleared
    unsigned char[::1] stale_nodes not None,  # IN/OUT  (n_nodes,): cleared
    real_t[:, :, :, ::1] bounds not None,     # IN/OUT  (n_nodes, d, 2, 16)
    real_t[:, :, :, ::1] items not None,      # IN/OUT  (n_leaves, d, 2, 8)
):
    """Fit the boxes of stale leaves and of their items to the points, and then of nodes above."""
    cdef:
        intp_t i, k, parent
        intp_t d = points.shape[1]
        int simd = simd_level()
        intp_t n_levels = first.shape[0]
        intp_t last
        real_t *box
    if stale.shape[0] == 0:
        return
    with nogil:
        for i in range(stale.shape[0]):
            if stale[i]:
                stale[i] = 0
                stale_nodes[i // CHILDREN] = 1
                box = &bounds[i // CHILDREN, 0, 0, i % CHILDREN]
                if real_t is float:
                    half_space_refit_f32[simd](&points[i, 0, 0], d, box, &items[i, 0, 0, 0])
                else:
                    half_space_refit_f64[simd](&points[i, 0, 0], d, box, &items[i, 0, 0, 0])
        for k in range(n_levels):
            last = first[k + 1] if k + 1 < n_levels else stale_nodes.shape[0]
            for i in range(first[k], last):
                if not stale_nodes[i]:
                    continue
                stale_nodes[i] = 0
                if k + 1 < n_levels:
                    parent = first[k + 1] + (i - first[k]) // CHILDREN
                    stale_nodes[parent] = 1
                    enclose[real_t](&bounds[i, 0, 0, 0], d,
                                    &bounds[parent, 0, 0, (i - first[k]) % CHILDREN])


cdef void enclose(const real_t *children, intp_t d, real_t *box) noexcept nogil:
    """Write the box around 16 boxes as one child's among the bounds of the parent."""
    cdef:
        intp_t j, c
        real_t low, high
    for j in range(d):
        low = children[2 * j * CHILDREN]
        high = children[(2 * j + 1) * CHILDREN]
        for c in range(1, CHILDREN):
            low = min(low, children[2 * j * CHILDREN + c])
            high = max(high, children[(2 * j + 1) * CHILDREN + c])
        box[2 * j * CHILDREN] = low
        box[(2 * j + 1) * CHILDREN] = high
