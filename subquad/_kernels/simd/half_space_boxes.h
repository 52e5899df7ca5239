/* Part of half_space_template.h: boxes of blocks and of their items, and which of them a half-space
   reaches. */
#include "lanes.h"

/* min(x, y), or y where x is NaN. */
static inline __attribute__((always_inline)) vec NAME(half_space_lower)(vec x, vec y) {
#if SQ_LEVEL == SQ_AVX512 && SQ_IS_F32
    return (vec)_mm512_min_ps((__m512)x, (__m512)y);
#elif SQ_LEVEL == SQ_AVX512
    return (vec)_mm512_min_pd((__m512d)x, (__m512d)y);
#elif SQ_LEVEL == SQ_AVX2 && SQ_IS_F32
    return (vec)_mm256_min_ps((__m256)x, (__m256)y);
#elif SQ_LEVEL == SQ_AVX2
    return (vec)_mm256_min_pd((__m256d)x, (__m256d)y);
#else
    __typeof__(x < y) lower = x < y;
    return (vec)(((__typeof__(lower))x & lower) | ((__typeof__(lower))y & ~lower));
#endif
}

#define LOWER_OF_PAIR(l, d) ((l) & (d) ? LANES_COUNT + (l) - (d) : (l))
#define UPPER_OF_PAIR(l, d) ((l) & (d) ? LANES_COUNT + (l) : (l) + (d))
/* Lanes whose numbers differ by d become one, and two vectors one, while there are that many. */
#define LOWEST_OF_PAIRS(v, n, d)                                                                   \
    if ((d) < LANES)                                                                               \
        for (int r = 0; r < (n) / 2; r++)                                                          \
            v[r] = NAME(half_space_lower)(                                                         \
                PICK_LANES(v[2 * r], v[2 * r + 1], LOWER_OF_PAIR, (d) % LANES_COUNT),              \
                PICK_LANES(v[2 * r], v[2 * r + 1], UPPER_OF_PAIR, (d) % LANES_COUNT));

/* lowest[k] = the lowest of the numbers x[8 k], ..., x[8 k + 7], of their negatives if sign is -1;
   infinity where all are NaN. */
static inline __attribute__((always_inline)) void NAME(half_space_lowest)(
    const real *x, const int sign, real *lowest) {
    enum { PARTS = LANES < HALF_SPACE_ITEM ? HALF_SPACE_ITEM / LANES : 1 };
    enum { VECTORS = HALF_SPACE_LANES / LANES / PARTS };
    vec v[VECTORS];
    for (int r = 0; r < VECTORS; r++) {
        v[r] = broadcast((real)INFINITY);
        for (int part = 0; part < PARTS; part++) {
            vec y = load(x + (r * PARTS + part) * LANES);
            v[r] = NAME(half_space_lower)(sign < 0 ? -y : y, v[r]);
        }
    }
    LOWEST_OF_PAIRS(v, VECTORS, 1)
    LOWEST_OF_PAIRS(v, VECTORS / 2, 2)
    if (LANES > HALF_SPACE_ITEM) { /* two items a vector: lane k is of item 2 (k % 4) + k / 8 */
        real both[LANES];
        store(both, v[0]);
        for (int k = 0; k < HALF_SPACE_ITEMS; k++) {
            const real *some = both + (k / 2 + k % 2 * HALF_SPACE_ITEM) % LANES;
            lowest[k] = some[0] < some[4 % LANES] ? some[0] : some[4 % LANES];
        }
        return;
    }
    LOWEST_OF_PAIRS(v, VECTORS / 4, 4)
    for (int r = 0; r < HALF_SPACE_ITEMS / LANES; r++) store(lowest + r * LANES, v[r]);
}

/* Write the box of a block as one child's among the bounds of its parent, and those of its items. */
static void NAME(half_space_refit)(const real *block, ptrdiff_t d, real *bounds, real *items) {
    enum { ITEMS = HALF_SPACE_ITEMS };
    for (ptrdiff_t j = 0; j < d; j++) {
        real *low = items + 2 * j * ITEMS, *high = low + ITEMS, lowest, highest;
        NAME(half_space_lowest)(block + j * HALF_SPACE_LANES, 1, low);
        NAME(half_space_lowest)(block + j * HALF_SPACE_LANES, -1, high);
        for (int k = 0; k < ITEMS; k++) high[k] = -high[k];
        lowest = low[0];
        highest = high[0];
        for (int k = 1; k < ITEMS; k++) {
            lowest = low[k] < lowest ? low[k] : lowest;
            highest = high[k] > highest ? high[k] : highest;
        }
        bounds[2 * j * HALF_SPACE_FAN] = lowest;
        bounds[(2 * j + 1) * HALF_SPACE_FAN] = highest;
    }
}

/* Bit k is set unless lane k is less than b. */
static inline __attribute__((always_inline)) uint32_t NAME(half_space_not_below)(vec x, real b) {
#if SQ_LEVEL == SQ_AVX512 && SQ_IS_F32
    return _mm512_cmp_ps_mask((__m512)x, _mm512_set1_ps(b), _CMP_NLT_UQ);
#elif SQ_LEVEL == SQ_AVX512
    return _mm512_cmp_pd_mask((__m512d)x, _mm512_set1_pd(b), _CMP_NLT_UQ);
#elif SQ_LEVEL == SQ_AVX2 && SQ_IS_F32
    return (uint32_t)_mm256_movemask_ps(_mm256_cmp_ps((__m256)x, _mm256_set1_ps(b), _CMP_NLT_UQ));
#elif SQ_LEVEL == SQ_AVX2
    return (uint32_t)_mm256_movemask_pd(_mm256_cmp_pd((__m256d)x, _mm256_set1_pd(b), _CMP_NLT_UQ));
#elif SQ_X86 && defined(__SSE2__) && SQ_IS_F32
    return (uint32_t)_mm_movemask_ps(_mm_cmpnlt_ps((__m128)x, _mm_set1_ps(b)));
#elif SQ_X86 && defined(__SSE2__)
    return (uint32_t)_mm_movemask_pd(_mm_cmpnlt_pd((__m128d)x, _mm_set1_pd(b)));
#else
    uint32_t bits = 0;
    for (int k = 0; k < LANES; k++) bits |= (uint32_t)!(x[k] < b) << k;
    return bits;
#endif
}

/* Bit c is set unless child c of a node lies outside the half-space. */
static inline uint32_t NAME(half_space_children)(
    const real *bounds, const real *a, real b, ptrdiff_t d) {
    enum { VECTORS = HALF_SPACE_FAN / LANES };
    vec upper[VECTORS];
    uint32_t children = 0;
    const real *corner = bounds + (a[0] > 0) * HALF_SPACE_FAN;
    for (int v = 0; v < VECTORS; v++) upper[v] = load(corner + v * LANES) * a[0];
    for (ptrdiff_t j = 1; j < d; j++) {
        corner = bounds + (2 * j + (a[j] > 0)) * HALF_SPACE_FAN;
        for (int v = 0; v < VECTORS; v++)
            upper[v] = upper[v] + load(corner + v * LANES) * a[j];
    }
    for (int v = 0; v < VECTORS; v++)
        children |= NAME(half_space_not_below)(upper[v], b) << v * LANES;
    return children;
}

/* Load the lowest or the highest coordinates of the items of a leaf: as many as a vector holds. */
static inline __attribute__((always_inline)) vec NAME(half_space_load_items)(const real *x) {
#if SQ_LEVEL == SQ_AVX512 && SQ_IS_F32
    return (vec)_mm512_zextps256_ps512(_mm256_loadu_ps(x));
#else
    return load(x);
#endif
}

#define BOXED 4 /* leaves whose items are told apart together */

/* Write to `some` the items, of leaves of a node whose bits are set, that do not lie outside the
   half-space, each as 8 times the leaf plus the item; return how many there are. Up to 8 numbers past
   the last one are written. */
static inline int NAME(half_space_items_of)(
    const real *boxes, uint32_t leaves, const real *a, real b, ptrdiff_t d, uint8_t *some) {
    enum { VECTORS = LANES < HALF_SPACE_ITEMS ? HALF_SPACE_ITEMS / LANES : 1 };
    int n = 0;
    while (leaves != 0) {
        unsigned leaf[BOXED];
        const real *box[BOXED];
        uint32_t reached[BOXED] = {0}, there = 0;
#pragma GCC unroll 4
        for (int k = 0; k < BOXED; k++) { /* past the last leaf comes leaf 0, without items */
            there |= (uint32_t)(leaves != 0) << k;
            leaf[k] = leaves != 0 ? (unsigned)__builtin_ctz(leaves) : 0;
            box[k] = boxes + leaf[k] * 2 * d * HALF_SPACE_ITEMS;
            leaves &= leaves - 1;
        }
        vec upper[BOXED][VECTORS];
        ptrdiff_t corner = (a[0] > 0) * HALF_SPACE_ITEMS;
#pragma GCC unroll 4
        for (int k = 0; k < BOXED; k++)
            for (int v = 0; v < VECTORS; v++)
                upper[k][v] = NAME(half_space_load_items)(box[k] + corner + v * LANES) * a[0];
        for (ptrdiff_t j = 1; j < d; j++) {
            corner = (2 * j + (a[j] > 0)) * HALF_SPACE_ITEMS;
#pragma GCC unroll 4
            for (int k = 0; k < BOXED; k++)
                for (int v = 0; v < VECTORS; v++)
                    upper[k][v] += NAME(half_space_load_items)(box[k] + corner + v * LANES) * a[j];
        }
#pragma GCC unroll 4
        for (int k = 0; k < BOXED; k++) {
            for (int v = 0; v < VECTORS; v++)
                reached[k] |= NAME(half_space_not_below)(upper[k][v], b) << v * LANES;
            reached[k] = there >> k & 1 ? reached[k] : 0;
            if (LANES > HALF_SPACE_ITEM) /* pairs are tested together: their first ones */
                reached[k] = (reached[k] | reached[k] >> 1) & 0x55;
            uint64_t numbers = half_space_order[reached[k]]
                + leaf[k] * HALF_SPACE_ITEMS * (uint64_t)0x0101010101010101u;
            __builtin_memcpy(some + n, &numbers, sizeof numbers);
            n += __builtin_popcount(reached[k]);
        }
    }
    return n;
}

#undef BOXED
#undef LOWER_OF_PAIR
#undef UPPER_OF_PAIR
#undef LOWEST_OF_PAIRS
