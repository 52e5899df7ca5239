/* Common bits of blocks of rows by tables of 16 bytes, for AVX2, which counts no bits itself.

   A nibble a of a row of A picks the table of popcount(a & b) for every nibble b. One shuffle of
   bytes looks it up for 32 rows of B, whose nibbles of one place lie side by side: 128 bits of pairs
   for a shuffle and an addition, where popcounts of words take three instructions for 64. Sums of
   bytes are widened before they could exceed 255. A block's nibbles stay in the first-level cache.
   Included once, by coactivation_template.h. */

enum {
    NIBBLES_COLUMNS = 64, /* rows of B in a block: two vectors */
    NIBBLES_WORDS = 16,   /* of a row, in a block */
    NIBBLES_PLACES = 16 * NIBBLES_WORDS,
    NIBBLES_SAFE = 63, /* nibbles whose counts, of at most 4, a byte can hold */
};

/* Row a: popcount(a & b) for b = 0 .. 15. */
static const uint8_t nibble_tables[256] __attribute__((aligned(64))) = {
#define SQ_BITS(x) (((x) & 1) + ((x) >> 1 & 1) + ((x) >> 2 & 1) + ((x) >> 3 & 1))
#define SQ_PAIRS(a)                                                                                \
    SQ_BITS((a) & 0), SQ_BITS((a) & 1), SQ_BITS((a) & 2), SQ_BITS((a) & 3), SQ_BITS((a) & 4),      \
        SQ_BITS((a) & 5), SQ_BITS((a) & 6), SQ_BITS((a) & 7), SQ_BITS((a) & 8), SQ_BITS((a) & 9),  \
        SQ_BITS((a) & 10), SQ_BITS((a) & 11), SQ_BITS((a) & 12), SQ_BITS((a) & 13),                \
        SQ_BITS((a) & 14), SQ_BITS((a) & 15)
    SQ_PAIRS(0), SQ_PAIRS(1), SQ_PAIRS(2),  SQ_PAIRS(3),  SQ_PAIRS(4),  SQ_PAIRS(5),
    SQ_PAIRS(6), SQ_PAIRS(7), SQ_PAIRS(8),  SQ_PAIRS(9),  SQ_PAIRS(10), SQ_PAIRS(11),
    SQ_PAIRS(12), SQ_PAIRS(13), SQ_PAIRS(14), SQ_PAIRS(15),
#undef SQ_PAIRS
#undef SQ_BITS
};

/* places[p] = nibble p of each of rows_b rows, zeros after them; words is a row's number of words. */
static void nibbles_of_columns(
    const uint64_t *B, ptrdiff_t rows_b, ptrdiff_t words, ptrdiff_t some,
    uint8_t places[NIBBLES_PLACES][NIBBLES_COLUMNS]) {
    const __m128i low = _mm_set1_epi8(15);
    for (ptrdiff_t j = 0; j < NIBBLES_COLUMNS; j += 16)
        for (ptrdiff_t w = 0; w < some; w += 2) {
            __m128i x[16], y[16];
            for (int r = 0; r < 16; r++) {
                const uint64_t *row = B + (j + r) * words + w;
                if (j + r >= rows_b) x[r] = _mm_setzero_si128();
                else if (w + 2 <= some) x[r] = _mm_loadu_si128((const __m128i *)row);
                else x[r] = _mm_loadl_epi64((const __m128i *)row);
            }
            /* Four times the halves are interleaved: a transpose of 16 x 16 bytes. */
            for (int stage = 0; stage < 4; stage++) {
                for (int r = 0; r < 8; r++) {
                    y[2 * r] = _mm_unpacklo_epi8(x[r], x[r + 8]);
                    y[2 * r + 1] = _mm_unpackhi_epi8(x[r], x[r + 8]);
                }
                __builtin_memcpy(x, y, sizeof x);
            }
            const int octets = w + 2 <= some ? 16 : 8;
            for (int c = 0; c < octets; c++) {
                uint8_t *place = places[16 * w + 2 * c] + j;
                const __m128i high = _mm_and_si128(_mm_srli_epi16(x[c], 4), low);
                _mm_store_si128((__m128i *)place, _mm_and_si128(x[c], low));
                _mm_store_si128((__m128i *)(place + NIBBLES_COLUMNS), high);
            }
        }
}

/* tables[p] = where the tables of nibble p of four rows begin in nibble_tables. */
static void nibbles_of_rows(const uint64_t *A, ptrdiff_t words, ptrdiff_t some, uint8_t tables[][4]) {
    const __m128i high = _mm_set1_epi8((char)0xF0);
    for (ptrdiff_t w = 0; w < some; w++) {
        __m128i x[4];
        for (int i = 0; i < 4; i++)
            x[i] = _mm_loadl_epi64((const __m128i *)(A + i * words + w));
        /* Octet c of the four rows side by side, for c = 0 .. 7. */
        const __m128i even = _mm_unpacklo_epi8(x[0], x[2]), odd = _mm_unpacklo_epi8(x[1], x[3]);
        const __m128i octets[2] = {_mm_unpacklo_epi8(even, odd), _mm_unpackhi_epi8(even, odd)};
        for (int k = 0; k < 2; k++) {
            const __m128i first = _mm_and_si128(_mm_slli_epi16(octets[k], 4), high);
            const __m128i second = _mm_and_si128(octets[k], high);
            __m128i *to = (__m128i *)tables[16 * w + 8 * k];
            _mm_storeu_si128(to, _mm_unpacklo_epi32(first, second));
            _mm_storeu_si128(to + 1, _mm_unpackhi_epi32(first, second));
        }
    }
}

/* counts[i][j] += the common bits of row i of four, and row j of `vectors` vectors of rows. */
static inline __attribute__((always_inline)) void nibbles_tile(
    uint8_t tables[][4], uint8_t places[][NIBBLES_COLUMNS], ptrdiff_t n_places,
    uint16_t counts[4][NIBBLES_COLUMNS], const int vectors) {
    for (ptrdiff_t first = 0; first < n_places; first += NIBBLES_SAFE) {
        const ptrdiff_t last = first + NIBBLES_SAFE < n_places ? first + NIBBLES_SAFE : n_places;
        __m256i sum[4][2];
        for (int i = 0; i < 4; i++)
            for (int v = 0; v < vectors; v++) sum[i][v] = _mm256_setzero_si256();
        for (ptrdiff_t p = first; p < last; p++) {
            __m256i b[2];
            for (int v = 0; v < vectors; v++)
                b[v] = _mm256_load_si256((const __m256i *)(places[p] + 32 * v));
            for (int i = 0; i < 4; i++) {
                const uint8_t *table = nibble_tables + tables[p][i];
                const __m256i a =
                    _mm256_broadcastsi128_si256(_mm_load_si128((const __m128i *)table));
                for (int v = 0; v < vectors; v++)
                    sum[i][v] = _mm256_add_epi8(sum[i][v], _mm256_shuffle_epi8(a, b[v]));
            }
        }
        for (int i = 0; i < 4; i++)
            for (int v = 0; v < vectors; v++) {
                uint8_t octets[32];
                _mm256_storeu_si256((__m256i *)octets, sum[i][v]);
                for (int j = 0; j < 32; j++) counts[i][32 * v + j] += octets[j];
            }
    }
}

/* Count for as many rows of A as are whole fours, and return their number: counts as for
   popcount_block, of at most NIBBLES_COLUMNS rows of B. */
static ptrdiff_t nibbles_block(
    const uint64_t *A, ptrdiff_t rows_a, const uint64_t *B, ptrdiff_t rows_b, ptrdiff_t words,
    int32_t *counts, ptrdiff_t ld) {
    uint8_t places[NIBBLES_PLACES][NIBBLES_COLUMNS] __attribute__((aligned(64)));
    uint8_t tables[NIBBLES_PLACES][4];
    const ptrdiff_t rows = rows_a / 4 * 4;
    if (rows_b < 4 || rows_b > NIBBLES_COLUMNS) return 0;
    for (ptrdiff_t i = 0; i < rows; i++)
        __builtin_memset(counts + i * ld, 0, (size_t)rows_b * sizeof *counts);
    for (ptrdiff_t w = 0; w < words && rows; w += NIBBLES_WORDS) {
        const ptrdiff_t some = words - w < NIBBLES_WORDS ? words - w : NIBBLES_WORDS;
        nibbles_of_columns(B + w, rows_b, words, some, places);
        for (ptrdiff_t i = 0; i < rows; i += 4) {
            uint16_t sums[4][NIBBLES_COLUMNS] = {{0}};
            nibbles_of_rows(A + i * words + w, words, some, tables);
            if (rows_b > 32) nibbles_tile(tables, places, 16 * some, sums, 2);
            else nibbles_tile(tables, places, 16 * some, sums, 1);
            for (int k = 0; k < 4; k++)
                for (ptrdiff_t j = 0; j < rows_b; j++) counts[(i + k) * ld + j] += sums[k][j];
        }
    }
    return rows;
}
