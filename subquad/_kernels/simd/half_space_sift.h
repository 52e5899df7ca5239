/* Part of half_space_template.h: a scan that looks at codes first. Items of eight lanes that may hold
   hits are then tested as half_space_tile tests blocks. This is for AVX2 alone: with AVX-512, which
   tests twice as many points at a time, there is less to save, and it has not been measured. */
#define CODE_VECTORS (2 * HALF_SPACE_LANES / SQ_BYTES)

typedef uint16_t NAME(half_space_sums) __attribute__((vector_size(SQ_BYTES)));

/* Which bit stands for item k, or which item for bit k: packing is by halves. */
#define SIFTED(k) (((k) & 4) | ((k) & 2) >> 1 | ((k) & 1) << 1)

/* Bit SIFTED(k) is set if one of the eight sums of item k is larger than `than`. */
static inline __attribute__((always_inline)) uint8_t NAME(half_space_larger)(
    const NAME(half_space_sums) *sums, int16_t than) {
    const __m256i bound = _mm256_set1_epi16(than), none = _mm256_setzero_si256();
    int without = 0;
    for (int v = 0; v < CODE_VECTORS; v += 2) {
        __m256i both = _mm256_packs_epi16(
            _mm256_cmpgt_epi16((__m256i)sums[v], bound),
            _mm256_cmpgt_epi16((__m256i)sums[v + 1], bound));
        without |= _mm256_movemask_pd((__m256d)_mm256_cmpeq_epi64(both, none)) << 2 * v;
    }
    return (uint8_t)~without;
}

/* Set bit SIFTED(k) of possible[i][q] if item k of block first + i may hold hits of query q. */
static inline __attribute__((always_inline)) void NAME(half_space_sift)(
    const half_space_search *search, const NAME(half_space_coded) *queries, const int *numbers,
    ptrdiff_t first, int n_blocks, const int32_t (*least)[HALF_SPACE_QUERIES],
    uint8_t (*possible)[HALF_SPACE_QUERIES], const int n_queries) {
    const ptrdiff_t n_pairs = (search->d + 1) / 2;
    for (int i = 0; i < n_blocks; i++) {
        const uint8_t *codes = search->codes + (first + i) * n_pairs * 2 * HALF_SPACE_LANES;
        NAME(half_space_sums) sums[TILE_QUERIES][CODE_VECTORS];
        for (int t = 0; t < n_queries; t++)
            for (int v = 0; v < CODE_VECTORS; v++)
                sums[t][v] = (NAME(half_space_sums)){0} + queries->start[numbers[t]];
#pragma GCC unroll 2
        for (ptrdiff_t p = 0; p < n_pairs; p++)
            for (int v = 0; v < CODE_VECTORS; v++) {
                NAME(half_space_sums) x;
                __builtin_memcpy(&x, codes + (p * CODE_VECTORS + v) * SQ_BYTES, SQ_BYTES);
                for (int t = 0; t < n_queries; t++) {
                    int32_t pair = queries->pairs[numbers[t]][p];
                    sums[t][v] += (NAME(half_space_sums))_mm256_maddubs_epi16(
                        (__m256i)x, _mm256_set1_epi32(pair));
                }
            }
        for (int t = 0; t < n_queries; t++)
            possible[i][numbers[t]] =
                NAME(half_space_larger)(sums[t], (int16_t)least[i][numbers[t]]);
    }
}

/* Append the hits among the lanes of an item whose inner products with a query are known; `there`
   is 0 for no item, else ~0. */
static inline __attribute__((always_inline)) void NAME(half_space_append_item)(
    half_space_search *search, ptrdiff_t q, const vec *sum, const int32_t *ids, uint32_t there) {
    const ptrdiff_t row = q * search->capacity;
    ptrdiff_t found = search->counts[q];
    for (int v = 0; v < PARTS; v++) {
        uint32_t hits = there & NAME(half_space_hits)(sum[v], ((const real *)search->b)[q]);
        /* As in half_space_keep. */
        if (found + HALF_SPACE_LANES + LANES <= search->capacity)
            NAME(half_space_compress)(
                sum[v], hits, ids + v * LANES, search->hit_ids + row + found,
                (real *)search->hit_values + row + found);
        found += __builtin_popcount(hits);
    }
    search->counts[q] = found;
}

/* Test items: number items[i] after the beginning of block `first` for query queries[i]. Up to
   TOGETHER - 1 numbers past the last ones are written. */
static void NAME(half_space_look)(
    half_space_search *search, ptrdiff_t first, uint8_t *queries, uint8_t *items, int n) {
    const ptrdiff_t d = search->d;
    if (n == 0) return;
    for (int k = 0; k < TOGETHER - 1; k++) { /* fill the last group up */
        queries[n + k] = queries[0];
        items[n + k] = items[0];
    }
    for (int i = 0; i < n; i += TOGETHER) {
        const real *x[TOGETHER], *a[TOGETHER];
        vec sum[TOGETHER][PARTS];
        EACH_ITEM(k) {
            a[k] = (const real *)search->A + queries[i + k] * d;
            x[k] = (const real *)search->points
                + ((first + items[i + k] / HALF_SPACE_ITEMS) * d * HALF_SPACE_ITEMS
                   + items[i + k] % HALF_SPACE_ITEMS) * HALF_SPACE_ITEM;
        }
        NAME(half_space_products)(x, a, d, sum);
        EACH_ITEM(k)
            NAME(half_space_append_item)(
                search, queries[i + k], sum[k],
                search->ids + first * HALF_SPACE_LANES + items[i + k] * HALF_SPACE_ITEM,
                -(uint32_t)(i + k < n));
    }
}

/* Look at the items that may hold hits, one after the other for all queries, so that a point is read
   from the nearest cache. */
static inline void NAME(half_space_look_at)(
    half_space_search *search, ptrdiff_t first, int n_blocks,
    const uint8_t (*possible)[HALF_SPACE_QUERIES]) {
    enum { SOME = 256, MORE = ITEMS * HALF_SPACE_QUERIES + TOGETHER };
    uint8_t queries[SOME + MORE], items[SOME + MORE];
    int n = 0;
    for (int i = 0; i < n_blocks; i++) {
        uint64_t wanted[ITEMS]; /* the queries that have to look at an item */
        __m256i low = _mm256_loadu_si256((const __m256i *)possible[i]);
        __m256i high = _mm256_loadu_si256((const __m256i *)(possible[i] + 32));
        for (int k = ITEMS - 1; k >= 0; k--) {
            wanted[SIFTED(k)] = (uint32_t)_mm256_movemask_epi8(low)
                | (uint64_t)(uint32_t)_mm256_movemask_epi8(high) << 32;
            low = _mm256_add_epi8(low, low);
            high = _mm256_add_epi8(high, high);
        }
        for (int k = 0; k < ITEMS; k++)
            for (; wanted[k] != 0; wanted[k] &= wanted[k] - 1) {
                queries[n] = (uint8_t)__builtin_ctzll(wanted[k]);
                items[n++] = (uint8_t)(i * ITEMS + k);
            }
        if (n > SOME || i == n_blocks - 1) {
            NAME(half_space_look)(search, first, queries, items, n);
            n = 0;
        }
    }
}

/* Take the queries that have to look at more than half of the items out of those that do, and add
   their numbers to `plain`; return how many there are. */
static inline int NAME(half_space_too_many)(
    int n_blocks, uint8_t (*possible)[HALF_SPACE_QUERIES], int *plain) {
    const __m256i nibble = _mm256_set1_epi8(15), bits = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4));
    uint64_t many = 0;
    int n_plain = 0;
    for (int half = 0; half < HALF_SPACE_QUERIES; half += 32) {
        __m256i counts = _mm256_setzero_si256();
        for (int i = 0; i < n_blocks; i++) {
            __m256i x = _mm256_loadu_si256((const __m256i *)(possible[i] + half));
            __m256i upper = _mm256_and_si256(_mm256_srli_epi16(x, 4), nibble);
            counts = _mm256_add_epi8(counts, _mm256_add_epi8(
                _mm256_shuffle_epi8(bits, _mm256_and_si256(x, nibble)),
                _mm256_shuffle_epi8(bits, upper)));
        }
        counts = _mm256_cmpgt_epi8(counts, _mm256_set1_epi8((char)(n_blocks * ITEMS / 2)));
        many |= (uint64_t)(uint32_t)_mm256_movemask_epi8(counts) << half;
    }
    for (; many != 0; many &= many - 1) {
        int q = __builtin_ctzll(many);
        for (int i = 0; i < 64 / ITEMS; i++) possible[i][q] = 0;
        plain[n_plain++] = q;
    }
    return n_plain;
}

/* Test blocks first <= i < last for all queries, by their codes where that is of use. */
static void NAME(half_space_sifted_scan)(
    half_space_search *search, ptrdiff_t first, ptrdiff_t last) {
    /* Try codes that were of no use to a query again after this many chunks of blocks. */
    enum { BLOCKS = 64 / ITEMS, SKIPPED = 15 };
    const int n = (int)search->n_queries;
    NAME(half_space_coded) queries;
    int skip[HALF_SPACE_QUERIES];
    for (int q = 0; q < n; q++) {
        real b = ((const real *)search->b)[q];
        skip[q] = b == -INFINITY ? INT_MAX : 0;
        NAME(half_space_encode_query)(
            (const real *)search->A + q * search->d, b, search->d, &queries, q);
    }
    for (int q = n; q % 4 != 0; q++)
        queries.b[q] = queries.inverse[q] = queries.length[q] = queries.error[q] = 0;
    for (; first < last; first += BLOCKS) {
        const int n_blocks = (int)(last - first < BLOCKS ? last - first : BLOCKS);
        int32_t least[BLOCKS][HALF_SPACE_QUERIES];
        uint8_t possible[BLOCKS][HALF_SPACE_QUERIES] = {{0}};
        ptrdiff_t blocks[BLOCKS];
        int sifted[HALF_SPACE_QUERIES], plain[HALF_SPACE_QUERIES], n_sifted = 0, n_plain = 0, t = 0;
        for (int i = 0; i < n_blocks; i++) {
            blocks[i] = first + i;
            NAME(half_space_rule_out)(
                &queries, n, search->fits + 3 * (first + i), search->d, least[i]);
        }
        if (first + 2 * BLOCKS <= last)
            NAME(half_space_fetch)(
                (const real *)search->points + (first + BLOCKS) * search->d * HALF_SPACE_LANES,
                BLOCKS * search->d * HALF_SPACE_LANES * (ptrdiff_t)sizeof(real));
        for (int q = 0; q < n; q++)
            if (skip[q] == 0) sifted[n_sifted++] = q;
            else skip[q]--, plain[n_plain++] = q;
        for (; t + TILE_QUERIES <= n_sifted; t += TILE_QUERIES)
            NAME(half_space_sift)(search, &queries, sifted + t, first, n_blocks, least, possible,
                                  TILE_QUERIES);
        for (; t < n_sifted; t++)
            NAME(half_space_sift)(search, &queries, sifted + t, first, n_blocks, least, possible, 1);
        t = n_plain;
        n_plain += NAME(half_space_too_many)(n_blocks, possible, plain + n_plain);
        NAME(half_space_look_at)(
            search, first, n_blocks, (const uint8_t(*)[HALF_SPACE_QUERIES])possible);
        for (; t < n_plain; t++) skip[plain[t]] = SKIPPED;
        search->n_tested += (ptrdiff_t)n_blocks * HALF_SPACE_ITEMS * (n - n_plain);
        NAME(half_space_scan)(search, blocks, n_blocks, plain, n_plain);
    }
}

#undef CODE_VECTORS
#undef SIFTED
