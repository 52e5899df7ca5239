/* Which points of a tree of blocks have <x, a> >= b, for up to 64 queries at a time.

   Compiled without contraction (setup.py): <x, a> is x[0] a[0], and then x[j] a[j] is added for
   j = 1, 2, ..., each product and each sum rounded, in every lane of every instruction set. Both
   operations are monotone after rounding, too. So the same sum over the corner of a box that is
   highest along a is no less than that of any point in the box, without any margin: a box is left
   out exactly where its bound is less than b. Where numbers overflow, a bound may be NaN: then the
   box is visited. A NaN is never reported. */
#define TILE_VECTORS 4
#if SQ_LEVEL == SQ_AVX512
#define TILE_QUERIES 4
#else
#define TILE_QUERIES 2
#endif

#if SQ_LEVEL == SQ_AVX512
/* Append the lanes of a vector that are at least b; return how many there are. */
static inline __attribute__((always_inline)) int NAME(half_space_append)(
    vec scores, real b, const int32_t *ids, int32_t *hit_ids, real *hit_values) {
#if SQ_IS_F32
    __mmask16 hits = _mm512_cmp_ps_mask((__m512)scores, _mm512_set1_ps(b), _CMP_GE_OQ);
    if (hits == 0) return 0;
    _mm512_storeu_ps(hit_values, _mm512_maskz_compress_ps(hits, (__m512)scores));
    _mm512_storeu_si512(hit_ids, _mm512_maskz_compress_epi32(hits, _mm512_loadu_si512(ids)));
#else
    __mmask8 hits = _mm512_cmp_pd_mask((__m512d)scores, _mm512_set1_pd(b), _CMP_GE_OQ);
    if (hits == 0) return 0;
    _mm512_storeu_pd(hit_values, _mm512_maskz_compress_pd(hits, (__m512d)scores));
    _mm256_storeu_si256((__m256i *)hit_ids, _mm256_maskz_compress_epi32(
        hits, _mm256_loadu_si256((const __m256i *)ids)));
#endif
    return __builtin_popcount(hits);
}
#else
static inline __attribute__((always_inline)) int NAME(half_space_append)(
    vec scores, real b, const int32_t *ids, int32_t *hit_ids, real *hit_values) {
    real score[LANES];
    int count = 0, any = 0;
    store(score, scores);
    for (int k = 0; k < LANES; k++) any |= score[k] >= b;
    if (!any) return 0;
    for (int k = 0; k < LANES; k++) {
        /* Written always, kept only if it is a hit: a branch here would be mispredicted. */
        hit_values[count] = score[k];
        hit_ids[count] = ids[k];
        count += score[k] >= b;
    }
    return count;
}
#endif

/* Test one block for n_queries queries, each coordinate of it loaded once for all of them. */
static inline __attribute__((always_inline)) void NAME(half_space_tile)(
    half_space_search *search, ptrdiff_t block, const int *queries, const int n_queries) {
    const ptrdiff_t d = search->d;
    const real *points = (const real *)search->points + block * d * HALF_SPACE_LANES;
    const int32_t *ids = search->ids + block * HALF_SPACE_LANES;
    const real *a[TILE_QUERIES];
    int32_t *hit_ids[TILE_QUERIES];
    real *hit_values[TILE_QUERIES];
    int count[TILE_QUERIES];
    int32_t spare_ids[2 * HALF_SPACE_LANES];
    real spare_values[2 * HALF_SPACE_LANES];
    for (int t = 0; t < n_queries; t++) {
        ptrdiff_t q = queries[t], found = search->counts[q];
        a[t] = (const real *)search->A + q * d;
        /* A whole vector is written wherever there is a hit. */
        int fits = found + 2 * HALF_SPACE_LANES <= search->capacity;
        hit_ids[t] = fits ? search->hit_ids + q * search->capacity + found : spare_ids;
        hit_values[t] =
            fits ? (real *)search->hit_values + q * search->capacity + found : spare_values;
        count[t] = 0;
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
            for (int v = 0; v < TILE_VECTORS; v++)
                count[t] += NAME(half_space_append)(
                    sum[t][v], ((const real *)search->b)[queries[t]], ids + lane + v * LANES,
                    hit_ids[t] + count[t], hit_values[t] + count[t]);
    }
    for (int t = 0; t < n_queries; t++) search->counts[queries[t]] += count[t];
}

/* Test one block for the queries whose bits are set. */
static void NAME(half_space_block)(half_space_search *search, ptrdiff_t block, uint64_t active) {
    int queries[HALF_SPACE_QUERIES], n = 0, t = 0;
    for (; active != 0; active &= active - 1) queries[n++] = __builtin_ctzll(active);
    search->n_tested += n;
    for (; t + TILE_QUERIES <= n; t += TILE_QUERIES)
        NAME(half_space_tile)(search, block, queries + t, TILE_QUERIES);
#if TILE_QUERIES == 4
    if (t + 2 <= n) {
        NAME(half_space_tile)(search, block, queries + t, 2);
        t += 2;
    }
#endif
    if (t < n) NAME(half_space_tile)(search, block, queries + t, 1);
}

/* Bit c is set unless child c of a node lies outside the half-space. */
static inline uint32_t NAME(half_space_children)(
    const real *bounds, const real *a, real b, ptrdiff_t d) {
    vec upper[HALF_SPACE_FAN / LANES];
    const real *corner = bounds + (a[0] > 0) * HALF_SPACE_FAN;
    for (int v = 0; v < HALF_SPACE_FAN / LANES; v++) upper[v] = load(corner + v * LANES) * a[0];
    for (ptrdiff_t j = 1; j < d; j++) {
        corner = bounds + (2 * j + (a[j] > 0)) * HALF_SPACE_FAN;
        for (int v = 0; v < HALF_SPACE_FAN / LANES; v++)
            upper[v] = upper[v] + load(corner + v * LANES) * a[j];
    }
#if SQ_LEVEL == SQ_AVX512 && SQ_IS_F32
    return _mm512_cmp_ps_mask((__m512)upper[0], _mm512_set1_ps(b), _CMP_NLT_UQ);
#elif SQ_LEVEL == SQ_AVX512
    return _mm512_cmp_pd_mask((__m512d)upper[0], _mm512_set1_pd(b), _CMP_NLT_UQ)
        | (uint32_t)_mm512_cmp_pd_mask((__m512d)upper[1], _mm512_set1_pd(b), _CMP_NLT_UQ) << 8;
#else
    real highest[16];
    uint32_t children = 0;
    for (int v = 0; v < 16 / LANES; v++) store(highest + v * LANES, upper[v]);
    for (int c = 0; c < 16; c++) children |= (uint32_t)!(highest[c] < b) << c;
    return children;
#endif
}

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
        __m512i bit = _mm512_set1_epi64(1ll << q);
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

/* Search one node of a level for the active queries; nodes of level -1 are blocks. */
static void NAME(half_space_visit)(
    half_space_search *search, int level, ptrdiff_t node, uint64_t active) {
    if (level < 0) {
        NAME(half_space_block)(search, node, active);
        return;
    }
    uint64_t wanted[HALF_SPACE_FAN];
    const ptrdiff_t d = search->d;
    ptrdiff_t n_children = search->n_leaves;
    for (int k = 0; k < level; k++) n_children = (n_children + HALF_SPACE_FAN - 1) / HALF_SPACE_FAN;
    n_children -= HALF_SPACE_FAN * node;
    NAME(half_space_wanted)(
        search, (const real *)search->bounds + (search->first[level] + node) * 2 * d * HALF_SPACE_FAN,
        active, wanted);
    for (int c = 0; c < HALF_SPACE_FAN && c < n_children; c++)
        if (wanted[c] != 0)
            NAME(half_space_visit)(search, level - 1, HALF_SPACE_FAN * node + c, wanted[c]);
}

/* Search nodes first <= i < last of a level for all queries. */
static void NAME(half_space)(
    half_space_search *search, int level, ptrdiff_t first, ptrdiff_t last) {
    uint64_t all = search->n_queries < 64 ? (1ull << search->n_queries) - 1 : ~0ull;
    for (ptrdiff_t node = first; node < last; node++)
        NAME(half_space_visit)(search, level, node, all);
}

/* Write the box of a block as one child's among the bounds of its parent. */
static void NAME(half_space_refit)(const real *block, ptrdiff_t d, real *bounds) {
    for (ptrdiff_t j = 0; j < d; j++) {
        vec low = broadcast((real)INFINITY), high = broadcast(-(real)INFINITY);
        __typeof__(low < high) smaller;
        real lows[LANES], highs[LANES];
        for (int k = 0; k < HALF_SPACE_LANES; k += LANES) {
            vec x = load(block + j * HALF_SPACE_LANES + k);
            /* A lane without a point is NaN, and neither smaller nor larger. */
            smaller = x < low;
            low = (vec)(((__typeof__(smaller))x & smaller) | ((__typeof__(smaller))low & ~smaller));
            smaller = high < x;
            high =
                (vec)(((__typeof__(smaller))x & smaller) | ((__typeof__(smaller))high & ~smaller));
        }
        store(lows, low);
        store(highs, high);
        for (int k = 1; k < LANES; k++) {
            lows[0] = lows[k] < lows[0] ? lows[k] : lows[0];
            highs[0] = highs[k] > highs[0] ? highs[k] : highs[0];
        }
        bounds[2 * j * HALF_SPACE_FAN] = lows[0];
        bounds[(2 * j + 1) * HALF_SPACE_FAN] = highs[0];
    }
}

/* Sort hits by id, which are distinct and have key_bits bits; scratch has 2 count words. */
static void NAME(half_space_sort)(
    const int32_t *ids, const void *hit_values, ptrdiff_t count, int key_bits, uint64_t *scratch,
    ptrdiff_t *out_ids, void *sorted_values) {
    const real *values = hit_values;
    real *out_values = sorted_values;
    enum { DIGIT = 11, SIZE = 1 << DIGIT };
    uint32_t place[3][SIZE];
    int n_digits = (key_bits + DIGIT - 1) / DIGIT;
    if (n_digits < 1) n_digits = 1;
    int bits = (key_bits + n_digits - 1) / n_digits;
    uint32_t mask = (1u << bits) - 1;
    uint64_t *from = scratch, *to = scratch + count;
    __builtin_memset(place, 0, sizeof place);
    for (ptrdiff_t i = 0; i < count; i++) {
        uint32_t id = (uint32_t)ids[i];
        for (int digit = 0; digit < n_digits; digit++) place[digit][id >> digit * bits & mask]++;
    }
    for (int digit = 0; digit < n_digits; digit++) {
        uint32_t sum = 0;
        for (uint32_t k = 0; k <= mask; k++) {
            uint32_t here = place[digit][k];
            place[digit][k] = sum;
            sum += here;
        }
    }
    for (ptrdiff_t i = 0; i < count; i++) {
        uint32_t id = (uint32_t)ids[i];
        to[place[0][id & mask]++] = (uint64_t)id << 32 | (uint32_t)i;
    }
    for (int digit = 1; digit < n_digits; digit++) {
        uint64_t *swap = from;
        from = to;
        to = swap;
        for (ptrdiff_t i = 0; i < count; i++)
            to[place[digit][from[i] >> 32 >> digit * bits & mask]++] = from[i];
    }
    for (ptrdiff_t i = 0; i < count; i++) {
        out_ids[i] = (ptrdiff_t)(to[i] >> 32);
        out_values[i] = values[(uint32_t)to[i]];
    }
}

#undef TILE_VECTORS
#undef TILE_QUERIES
