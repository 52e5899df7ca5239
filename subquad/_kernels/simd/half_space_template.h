/* Which points of a tree of blocks have <x, a> >= b, for up to 64 queries at a time.

   Compiled without contraction (setup.py): <x, a> is x[0] a[0], and then x[j] a[j] is added for
   j = 1, 2, ..., each product and each sum rounded, in every lane of every instruction set. Both
   operations are monotone after rounding, too. So the same sum over the corner of a box that is
   highest along a is no less than that of any point in the box, without any margin: a box is left
   out exactly where its bound is less than b. Where numbers overflow, a bound may be NaN: then the
   box is visited. An inner product that is NaN is reported for b = -infinity alone, to which every
   point is a hit. */
#define TILE_VECTORS 4
#if SQ_LEVEL == SQ_AVX512
#define TILE_QUERIES 4
#else
#define TILE_QUERIES 2
#endif

#include "half_space_boxes.h"
#include "half_space_hits.h"
#include "half_space_items.h"

/* Append the hits of the blocks that have some. */
static inline void NAME(half_space_keep)(
    half_space_search *search, ptrdiff_t q, const real (*scores)[HALF_SPACE_LANES],
    const uint64_t *hits, const ptrdiff_t *blocks, int n_blocks) {
    ptrdiff_t found = search->counts[q];
    for (int i = 0; i < n_blocks; i++) {
        /* Whole vectors are written: without so much room nothing is, but the hits are counted. */
        if (found + HALF_SPACE_LANES + LANES <= search->capacity)
            NAME(half_space_append)(
                scores[i], hits[i], search->ids + blocks[i] * HALF_SPACE_LANES,
                search->hit_ids + q * search->capacity + found,
                (real *)search->hit_values + q * search->capacity + found);
        found += __builtin_popcountll(hits[i]);
    }
    search->counts[q] = found;
}

/* Test some blocks for n_queries queries, each coordinate loaded once for all of them.

   Which blocks have a hit cannot be foreseen, and a mispredicted branch would wait for the sums:
   so the scores of every block are written down, over those of the last one if it had no hit. */
static inline __attribute__((always_inline)) void NAME(half_space_tile)(
    half_space_search *search, const ptrdiff_t *blocks, int n_blocks, const int *queries,
    const int n_queries) {
    const ptrdiff_t d = search->d;
    const real *a[TILE_QUERIES];
    real b[TILE_QUERIES];
    real scores[TILE_QUERIES][HALF_SPACE_FAN][HALF_SPACE_LANES];
    uint64_t hits[TILE_QUERIES][HALF_SPACE_FAN + 1];
    ptrdiff_t kept[TILE_QUERIES][HALF_SPACE_FAN + 1];
    int n_kept[TILE_QUERIES];
    for (int t = 0; t < n_queries; t++) {
        a[t] = (const real *)search->A + queries[t] * d;
        b[t] = ((const real *)search->b)[queries[t]];
        n_kept[t] = 0;
    }
    for (int i = 0; i < n_blocks; i++) {
        const real *points = (const real *)search->points + blocks[i] * d * HALF_SPACE_LANES;
        for (int t = 0; t < n_queries; t++) {
            hits[t][n_kept[t]] = 0;
            kept[t][n_kept[t]] = blocks[i];
        }
        for (int lane = 0; lane < HALF_SPACE_LANES; lane += TILE_VECTORS * LANES) {
            vec sum[TILE_QUERIES][TILE_VECTORS];
            for (int v = 0; v < TILE_VECTORS; v++) {
                vec x = load(points + lane + v * LANES);
                for (int t = 0; t < n_queries; t++) sum[t][v] = x * a[t][0];
            }
            for (ptrdiff_t j = 1; j < d; j++)
                for (int v = 0; v < TILE_VECTORS; v++) {
                    vec x = load(points + j * HALF_SPACE_LANES + lane + v * LANES);
                    for (int t = 0; t < n_queries; t++) sum[t][v] = sum[t][v] + x * a[t][j];
                }
            for (int t = 0; t < n_queries; t++)
                for (int v = 0; v < TILE_VECTORS; v++) {
                    hits[t][n_kept[t]] |= (uint64_t)NAME(half_space_hits)(sum[t][v], b[t])
                        << (lane + v * LANES);
                    store(scores[t][n_kept[t]] + lane + v * LANES, sum[t][v]);
                }
        }
        for (int t = 0; t < n_queries; t++) {
            if (b[t] == -INFINITY) hits[t][n_kept[t]] = NAME(half_space_there)(points);
            n_kept[t] += hits[t][n_kept[t]] != 0;
        }
    }
    for (int t = 0; t < n_queries; t++)
        NAME(half_space_keep)(search, queries[t], (const real (*)[HALF_SPACE_LANES])scores[t],
                              hits[t], kept[t], n_kept[t]);
    search->n_tested += (ptrdiff_t)n_blocks * HALF_SPACE_ITEMS * n_queries;
}

/* Test some blocks for some queries. */
static void NAME(half_space_scan)(
    half_space_search *search, const ptrdiff_t *blocks, int n_blocks, const int *queries, int n) {
    int t = 0;
    for (; t + TILE_QUERIES <= n; t += TILE_QUERIES)
        NAME(half_space_tile)(search, blocks, n_blocks, queries + t, TILE_QUERIES);
    for (; t < n; t++) NAME(half_space_tile)(search, blocks, n_blocks, queries + t, 1);
}

/* Ask for memory before it is read. */
static inline void NAME(half_space_fetch)(const void *from, ptrdiff_t n_bytes) {
    for (ptrdiff_t k = 0; k < n_bytes; k += 64) __builtin_prefetch((const char *)from + k, 0, 2);
}

#include "half_space_codes.h"
#if SQ_LEVEL == SQ_AVX2
#include "half_space_sift.h"
#endif

/* wanted[c] = the active queries that have to see child c. */
static inline void NAME(half_space_wanted)(
    const half_space_search *search, const real *bounds, uint64_t active, uint64_t *wanted) {
#if SQ_LEVEL == SQ_AVX512
    __m512i low = _mm512_setzero_si512(), high = low;
#else
    for (int c = 0; c < HALF_SPACE_FAN; c++) wanted[c] = 0;
#endif
    for (; active != 0; active &= active - 1) {
        int q = __builtin_ctzll(active);
        uint32_t children = NAME(half_space_children)(
            bounds, (const real *)search->A + q * search->d, ((const real *)search->b)[q],
            search->d);
#if SQ_LEVEL == SQ_AVX512
        __m512i bit = _mm512_set1_epi64((long long)(1ull << q));
        low = _mm512_mask_or_epi64(low, (__mmask8)children, low, bit);
        high = _mm512_mask_or_epi64(high, (__mmask8)(children >> 8), high, bit);
#else
        for (; children != 0; children &= children - 1)
            wanted[__builtin_ctz(children)] |= 1ull << q;
#endif
    }
#if SQ_LEVEL == SQ_AVX512
    _mm512_storeu_si512(wanted, low);
    _mm512_storeu_si512(wanted + 8, high);
#endif
}

/* Ask for the leaves of a node of level 0, which queries look at in no order that the processor
   could foresee. */
static inline void NAME(half_space_fetch_leaves)(const half_space_search *search, ptrdiff_t node) {
    const ptrdiff_t first = HALF_SPACE_FAN * node, left = search->n_leaves - first;
    const ptrdiff_t n = left < HALF_SPACE_FAN ? left : HALF_SPACE_FAN;
    const ptrdiff_t row = search->d * (ptrdiff_t)sizeof(real);
    if (n <= 0) return;
    NAME(half_space_fetch)(
        (const char *)search->points + first * row * HALF_SPACE_LANES, n * row * HALF_SPACE_LANES);
    NAME(half_space_fetch)(
        (const char *)search->items + first * row * 2 * HALF_SPACE_ITEMS,
        n * row * 2 * HALF_SPACE_ITEMS);
    NAME(half_space_fetch)(
        search->ids + first * HALF_SPACE_LANES, n * HALF_SPACE_LANES * (ptrdiff_t)sizeof(int32_t));
}

/* Test the leaves of a node of level 0 that may have hits, and of these the items that may. */
static void NAME(half_space_leaves)(
    half_space_search *search, ptrdiff_t node, const real *bounds, uint64_t active) {
    const ptrdiff_t d = search->d, n_children = search->n_leaves - HALF_SPACE_FAN * node;
    const uint32_t there = n_children < HALF_SPACE_FAN ? (1u << n_children) - 1 : ~0u;
    const real *boxes = (const real *)search->items
        + HALF_SPACE_FAN * node * 2 * d * HALF_SPACE_ITEMS;
    NAME(half_space_fetch_leaves)(search, node + 1);
    for (; active != 0; active &= active - 1) {
        int q = __builtin_ctzll(active), n = 0;
        const real *a = (const real *)search->A + q * d, b = ((const real *)search->b)[q];
        uint32_t children = there & NAME(half_space_children)(bounds, a, b, d);
        if (b == -INFINITY) {
            ptrdiff_t blocks[HALF_SPACE_FAN];
            for (; children != 0; children &= children - 1)
                blocks[n++] = HALF_SPACE_FAN * node + __builtin_ctz(children);
            NAME(half_space_tile)(search, blocks, n, &q, 1);
            continue;
        }
        uint8_t some[HALF_SPACE_FAN * HALF_SPACE_ITEMS + 8];
        n = NAME(half_space_items_of)(boxes, children, a, b, d, some);
        if (n > 0) NAME(half_space_look_at_leaves)(search, HALF_SPACE_FAN * node, q, some, n);
    }
}

/* Search one node of a level for the active queries. */
static void NAME(half_space_visit)(
    half_space_search *search, int level, ptrdiff_t node, uint64_t active) {
    const real *bounds = (const real *)search->bounds
        + (search->first[level] + node) * 2 * search->d * HALF_SPACE_FAN;
    if (level == 0) {
        NAME(half_space_leaves)(search, node, bounds, active);
        return;
    }
    uint64_t wanted[HALF_SPACE_FAN];
    ptrdiff_t n_children = search->n_leaves;
    for (int k = 0; k < level; k++) n_children = (n_children + HALF_SPACE_FAN - 1) / HALF_SPACE_FAN;
    n_children -= HALF_SPACE_FAN * node;
    NAME(half_space_wanted)(search, bounds, active, wanted);
    for (int c = 0; c < HALF_SPACE_FAN && c < n_children; c++)
        if (wanted[c] != 0)
            NAME(half_space_visit)(search, level - 1, HALF_SPACE_FAN * node + c, wanted[c]);
}

/* Search nodes first <= i < last of a level for all queries; nodes of level -1 are blocks. */
static void NAME(half_space)(
    half_space_search *search, int level, ptrdiff_t first, ptrdiff_t last) {
    enum { BYTES = 1 << 17 }; /* of blocks that stay in the second cache from tile to tile */
    uint64_t all = search->n_queries < 64 ? (1ull << search->n_queries) - 1 : ~0ull;
    if (level >= 0) {
        for (; first < last; first++) NAME(half_space_visit)(search, level, first, all);
        return;
    }
#if SQ_LEVEL == SQ_AVX2
    if (search->codes != NULL) {
        NAME(half_space_sifted_scan)(search, first, last);
        return;
    }
#endif
    ptrdiff_t most = BYTES / (search->d * HALF_SPACE_LANES * (ptrdiff_t)sizeof(real));
    most = most < 1 ? 1 : most > HALF_SPACE_FAN ? HALF_SPACE_FAN : most;
    int queries[HALF_SPACE_QUERIES];
    for (int q = 0; q < search->n_queries; q++) queries[q] = q;
    while (first < last) {
        ptrdiff_t blocks[HALF_SPACE_FAN];
        int n = 0;
        while (n < most && first < last) blocks[n++] = first++;
        NAME(half_space_scan)(search, blocks, n, queries, (int)search->n_queries);
    }
}

#include "half_space_sort.h"

#undef TILE_VECTORS
#undef TILE_QUERIES
#undef ITEM
#undef ITEMS
#undef PARTS
#undef TOGETHER
#undef EACH_ITEM
