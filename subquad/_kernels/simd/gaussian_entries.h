/* Entries of the random matrix down a column and along a row, as words or as normals, before a dtype
   is theirs. Included by gaussian_template.h, once for each instruction set. */

/* The words of entries row, row + 1, ... of a column in the table law, looked up; row is a multiple
   of GAUSSIAN_TILE. */
INLINE void LEVEL_NAME(words_down)(const sq_gaussian *law, ptrdiff_t column, ptrdiff_t row,
                                   uint32_t *tile) {
    const uint32_t *key = law->keys + column;
    const uint32_t a = key[0], b = key[law->stride];
    const words c = key[2 * law->stride] - (words){0};
    words x = b + a * (LEVEL_NAME(sq_iota)() + (uint32_t)(row / 4));
    for (int k = 0; k < GAUSSIAN_TILE / 4; k += WORDS, x += a * (uint32_t)WORDS) {
        words entries = LEVEL_NAME(sq_look_up)(LEVEL_NAME(sq_mix)(x, c), law->table);
        __builtin_memcpy(tile + k, &entries, sizeof entries);
    }
}

/* The same of some columns, 16 words each. */
static void LEVEL_NAME(words_of_columns)(const sq_gaussian *law, const ptrdiff_t *columns,
                                         ptrdiff_t count, ptrdiff_t row, uint32_t *tiles) {
#if SQ_LEVEL == SQ_AVX2
    const words count_up = LEVEL_NAME(sq_iota)() + (uint32_t)(row / 4), count_on = count_up + 8u;
    __m256i piece[8];
    sq_cut_avx2(law->table, piece);
    for (ptrdiff_t t = 0; t < count; t++) {
        const uint32_t *key = law->keys + columns[t];
        const words a = key[0] - (words){0}, b = key[law->stride] - (words){0};
        const words c = key[2 * law->stride] - (words){0};
        const __m256i x = (__m256i)LEVEL_NAME(sq_mix)(b + a * count_up, c);
        const __m256i y = (__m256i)LEVEL_NAME(sq_mix)(b + a * count_on, c);
        _mm256_storeu_si256((__m256i *)tiles + 2 * t, sq_find_avx2(x, piece));
        _mm256_storeu_si256((__m256i *)tiles + 2 * t + 1, sq_find_avx2(y, piece));
    }
#else
    for (ptrdiff_t t = 0; t < count; t++)
        LEVEL_NAME(words_down)(law, columns[t], row, tiles + t * (GAUSSIAN_TILE / 4));
#endif
}

INLINE void LEVEL_NAME(bytes_down)(const sq_gaussian *law, ptrdiff_t column, ptrdiff_t row,
                                   int8_t *tile) {
    uint32_t word[GAUSSIAN_TILE / 4];
    LEVEL_NAME(words_down)(law, column, row, word);
    LEVEL_NAME(sq_sort_bytes)(word, tile);
}

static void LEVEL_NAME(gaussian_column_i8)(const sq_gaussian *law, ptrdiff_t column,
                                           ptrdiff_t n_rows, int8_t *entries) {
    int8_t tile[GAUSSIAN_TILE];
    ptrdiff_t row = 0;
    for (; row + GAUSSIAN_TILE <= n_rows; row += GAUSSIAN_TILE)
        LEVEL_NAME(bytes_down)(law, column, row, entries + row);
    LEVEL_NAME(bytes_down)(law, column, row, tile);
    __builtin_memcpy(entries + row, tile, (size_t)(n_rows - row));
}

/* The first word of pair k, which words r and r + 16 of every 32 make. */
INLINE int LEVEL_NAME(sq_first_of_pair)(int k) { return k / 16 * 32 + k % 16; }

/* Entries row, row + 1, ... of a column of normals. */
INLINE void LEVEL_NAME(normals_down)(const sq_gaussian *law, ptrdiff_t column, ptrdiff_t row,
                                     float *tile) {
    const uint32_t *key = law->keys + column;
    const uint32_t a = key[0], b = key[law->stride];
    const words c = key[2 * law->stride] - (words){0};
    for (int k = 0; k < GAUSSIAN_TILE / 2; k += CHAINS * WORDS) {
        words x[CHAINS], y[CHAINS], one[CHAINS], other[CHAINS];
        for (int i = 0; i < CHAINS; i++) {
            const uint32_t at = (uint32_t)(row + LEVEL_NAME(sq_first_of_pair)(k + i * WORDS));
            words position = b + a * (LEVEL_NAME(sq_iota)() + at);
            x[i] = LEVEL_NAME(sq_mix)(position, c);
            y[i] = LEVEL_NAME(sq_mix)(position + a * 16u, c);
        }
        LEVEL_NAME(sq_normals)(x, y, one, other);
        for (int i = 0; i < CHAINS; i++) {
            float *entries = tile + LEVEL_NAME(sq_first_of_pair)(k + i * WORDS);
            __builtin_memcpy(entries, one + i, sizeof(words));
            __builtin_memcpy(entries + 16, other + i, sizeof(words));
        }
    }
}

/* Word w of WORDS columns. */
INLINE words LEVEL_NAME(sq_word_across)(const sq_gaussian *law, ptrdiff_t column, uint32_t w) {
    const uint32_t *key = law->keys + column;
    words a = LEVEL_NAME(sq_load_words)(key), b = LEVEL_NAME(sq_load_words)(key + law->stride);
    return LEVEL_NAME(sq_mix)(b + a * w, LEVEL_NAME(sq_load_words)(key + 2 * law->stride));
}

/* Word w of a tile of columns in the table law, looked up: entries of four rows. */
static void LEVEL_NAME(words_across)(const sq_gaussian *law, ptrdiff_t column, uint32_t w,
                                     uint32_t *tile) {
    for (int k = 0; k < GAUSSIAN_TILE; k += WORDS) {
        words x = LEVEL_NAME(sq_word_across)(law, column + k, w);
        x = LEVEL_NAME(sq_look_up)(x, law->table);
        __builtin_memcpy(tile + k, &x, sizeof x);
    }
}

/* Rows r and r + 16 of a tile of columns of normals. */
static void LEVEL_NAME(normals_across)(const sq_gaussian *law, ptrdiff_t column, uint32_t r,
                                       float *first, float *second) {
    for (int k = 0; k < GAUSSIAN_TILE; k += CHAINS * WORDS) {
        words x[CHAINS], y[CHAINS], one[CHAINS], other[CHAINS];
        for (int i = 0; i < CHAINS; i++) {
            x[i] = LEVEL_NAME(sq_word_across)(law, column + k + i * WORDS, r);
            y[i] = LEVEL_NAME(sq_word_across)(law, column + k + i * WORDS, r + 16);
        }
        LEVEL_NAME(sq_normals)(x, y, one, other);
        __builtin_memcpy(first + k, one, sizeof one);
        __builtin_memcpy(second + k, other, sizeof other);
    }
}

/* What was made for one row of a tile of columns and serves others too: word 16 k + l of rows 64 k
   + l + 16 t, or the normals of rows 32 k + l + 16 t; of which k, group[l] tells. */
typedef struct {
    union {
        uint32_t word[16][GAUSSIAN_TILE];
        float normal[16][2][GAUSSIAN_TILE];
    };
    ptrdiff_t group[16];
} LEVEL_NAME(sq_held);
