/* Part of half_space_template.h: a scan that looks at codes first. Items of eight lanes that may hold
   hits are then tested as half_space_tile tests blocks. This is for AVX2 alone: with AVX-512, which
   tests twice as many points at a time, there is less to save, and it has not been measured. */
#define CODE_VECTORS (2 * HALF_SPACE_LANES / SQ_BYTES)

typedef uint16_t NAME(half_space_sums) __attribute__((vector_size(SQ_BYTES)));

/* Bit k is set if sum k is larger than `than`. */
static inline __attribute__((always_inline)) uint64_t NAME(half_space_larger)(
    const NAME(half_space_sums) *sums, int16_t than) {
    uint64_t larger = 0;
    __m256i bound = _mm256_set1_epi16(than);
    for (int v = 0; v < CODE_VECTORS; v += 2) {
        __m256i both = _mm256_packs_epi16(
            _mm256_cmpgt_epi16((__m256i)sums[v], bound),
            _mm256_cmpgt_epi16((__m256i)sums[v + 1], bound));
        both = _mm256_permute4x64_epi64(both, 0xd8); /* packing is by halves */
        larger |= (uint64_t)(uint32_t)_mm256_movemask_epi8(both) << (16 * v);
    }
    return larger;
}

/* One bit for each 8 lanes: set if one of theirs is. */
static inline uint64_t NAME(half_space_items)(uint64_t lanes) {
    const uint64_t tops = 0x8080808080808080u;
    lanes = (((lanes & ~tops) + ~tops) | lanes) & tops;
    return (lanes >> 7) * 0x0102040810204080u >> 56; /* the product brings them side by side */
}

/* Set bit k of possible[q] if item k of the blocks from `first` on may hold hits of query q. */
static inline __attribute__((always_inline)) void NAME(half_space_sift)(
    const half_space_search *search, const NAME(half_space_coded) *queries, const int *numbers,
    ptrdiff_t first, int n_blocks, const int32_t (*least)[HALF_SPACE_QUERIES], uint64_t *possible,
    const int n_queries) {
    const ptrdiff_t n_pairs = (search->d + 1) / 2;
    uint64_t items[TILE_QUERIES] = {0};
    for (int i = 0; i < n_blocks; i++) {
        const uint8_t *codes = search->codes + (first + i) * n_pairs * 2 * HALF_SPACE_LANES;
        NAME(half_space_sums) sums[TILE_QUERIES][CODE_VECTORS];
        for (int t = 0; t < n_queries; t++)
            for (int v = 0; v < CODE_VECTORS; v++)
                sums[t][v] = (NAME(half_space_sums)){0} + queries->start[numbers[t]];
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
            items[t] |= NAME(half_space_items)(
                NAME(half_space_larger)(sums[t], (int16_t)least[i][numbers[t]])) << i * ITEMS;
    }
    for (int t = 0; t < n_queries; t++) possible[numbers[t]] = items[t];
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
    for (int k = 0; k < TOGETHER - 1; k++) { /* fill the last group up */
        queries[n + k] = queries[0];
        items[n + k] = items[0];
    }
    for (int i = 0; i < n; i += TOGETHER) {
        const real *x[TOGETHER], *a[TOGETHER];
        vec sum[TOGETHER][PARTS];
        for (int k = 0; k < TOGETHER; k++) {
            a[k] = (const real *)search->A + queries[i + k] * d;
            x[k] = (const real *)search->points
                + ((first + items[i + k] / HALF_SPACE_ITEMS) * d * HALF_SPACE_ITEMS
                   + items[i + k] % HALF_SPACE_ITEMS) * HALF_SPACE_ITEM;
        }
        NAME(half_space_products)(x, a, d, sum);
        for (int k = 0; k < TOGETHER; k++)
            NAME(half_space_append_item)(
                search, queries[i + k], sum[k],
                search->ids + first * HALF_SPACE_LANES + items[i + k] * HALF_SPACE_ITEM,
                -(uint32_t)(i + k < n));
    }
}

/* Look at the items that may hold hits; return how many queries have too many of them, and their
   numbers in `plain`: those are not looked at. */
static inline int NAME(half_space_look_at)(
    half_space_search *search, ptrdiff_t first, int n_blocks, const int *numbers, int n,
    const uint64_t *possible, int *plain) {
    enum { SOME = 256 };
    uint8_t queries[SOME + 64 + TOGETHER], some[SOME + 64 + TOGETHER];
    int n_some = 0, n_plain = 0;
    queries[0] = some[0] = 0;
    for (int t = 0; t < n; t++) {
        uint64_t items = possible[numbers[t]];
        if (2 * __builtin_popcountll(items) > n_blocks * ITEMS) {
            plain[n_plain++] = numbers[t];
            continue;
        }
        for (; items != 0; items &= items - 1)
            some[n_some] = (uint8_t)__builtin_ctzll(items), queries[n_some++] = (uint8_t)numbers[t];
        if (n_some > SOME) {
            NAME(half_space_look)(search, first, queries, some, n_some);
            n_some = 0;
        }
    }
    NAME(half_space_look)(search, first, queries, some, n_some);
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
        uint64_t possible[HALF_SPACE_QUERIES];
        ptrdiff_t blocks[BLOCKS];
        int sifted[HALF_SPACE_QUERIES], plain[HALF_SPACE_QUERIES], n_sifted = 0, n_plain = 0, t = 0;
        for (int i = 0; i < n_blocks; i++) {
            blocks[i] = first + i;
            NAME(half_space_rule_out)(
                &queries, n, search->fits + 3 * (first + i), search->d, least[i]);
        }
        for (int q = 0; q < n; q++)
            if (skip[q] == 0) sifted[n_sifted++] = q;
            else skip[q]--, plain[n_plain++] = q;
        for (; t + TILE_QUERIES <= n_sifted; t += TILE_QUERIES)
            NAME(half_space_sift)(search, &queries, sifted + t, first, n_blocks, least, possible,
                                  TILE_QUERIES);
        for (; t < n_sifted; t++)
            NAME(half_space_sift)(search, &queries, sifted + t, first, n_blocks, least, possible, 1);
        t = n_plain;
        n_plain += NAME(half_space_look_at)(
            search, first, n_blocks, sifted, n_sifted, possible, plain + n_plain);
        for (; t < n_plain; t++) skip[plain[t]] = SKIPPED;
        search->n_tested += (ptrdiff_t)n_blocks * HALF_SPACE_ITEMS * (n - n_plain);
        NAME(half_space_scan)(search, blocks, n_blocks, plain, n_plain);
    }
}

#undef CODE_VECTORS
