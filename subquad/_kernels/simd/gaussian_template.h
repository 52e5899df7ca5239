/* Tiles of the random matrix, and its product with n sparse rows, a panel of outputs at a time.

   The columns that the rows need are visited in blocks. The tiles of a block are generated into
   scratch that fits the nearest caches, once for all data points; then every data point adds
   the columns it needs, in runs of at most GAUSSIAN_RUN of them, the longest first, so that runs
   of equal length follow each other and branches can be foreseen. The sum over the columns of an
   output runs in their order, whatever the panels, blocks and threads are. */
#if SQ_IS_F32
#include "gaussian_words.h"
#include "gaussian_entries.h"
#endif

enum {
    NAME(TILE_VECTORS) = GAUSSIAN_TILE / LANES,
    NAME(VECTORS) = NAME(TILE_VECTORS) < 8 ? NAME(TILE_VECTORS) : 8  /* that registers hold */
};

INLINE void NAME(store_numbers)(ints numbers, real scale, real *tile) {
#if SQ_IS_F32
    store(tile, scale * __builtin_convertvector(numbers, vec));
#else
    typedef int32_t half __attribute__((vector_size(SQ_BYTES / 2)));
    half part[2];
    __builtin_memcpy(part, &numbers, sizeof numbers);
    for (int i = 0; i < 2; i++)
        store(tile + i * LANES, scale * __builtin_convertvector(part[i], vec));
#endif
}

/* Byte t of every word of a row, as a signed number. */
INLINE void NAME(from_bytes)(const uint32_t *word, int t, real *tile) {
    for (int k = 0; k < GAUSSIAN_TILE; k += WORDS) {
        words byte = LEVEL_NAME(sq_load_words)(word + k) << (24 - 8 * t);
        NAME(store_numbers)((ints)byte >> 24, 1, tile + k);
    }
}

/* The tile of a column that its words make. */
INLINE void NAME(from_words)(const uint32_t *word, real scale, real *tile) {
    for (int k = 0; k < GAUSSIAN_TILE / 4; k += WORDS) {
        ints byte[4];
        LEVEL_NAME(sq_split)(LEVEL_NAME(sq_load_words)(word + k), byte);
        for (int t = 0; t < 4; t++) NAME(store_numbers)(byte[t], scale, tile + 16 * t + k);
    }
}

/* Entries of one column. */
INLINE void NAME(tile_down)(const sq_gaussian *law, real scale, ptrdiff_t column, ptrdiff_t row,
                            real *tile) {
    if (law->table) {
        uint32_t word[GAUSSIAN_TILE / 4];
        LEVEL_NAME(words_down)(law, column, row, word);
        NAME(from_words)(word, scale, tile);
    } else {
        float normals[GAUSSIAN_TILE];
        LEVEL_NAME(normals_down)(law, column, row, normals);
        for (int k = 0; k < GAUSSIAN_TILE; k++) tile[k] = scale * normals[k];
    }
}

/* Entries of one row. */
INLINE void NAME(tile_across)(const sq_gaussian *law, ptrdiff_t column, ptrdiff_t row,
                              LEVEL_NAME(sq_held) *held, real *tile) {
    const ptrdiff_t l = row % 16, group = law->table ? row / 64 : row / 32;
    const int made = held->group[l] == group;
    held->group[l] = group;
    if (law->table) {
        uint32_t *word = held->word[l];
        if (!made) LEVEL_NAME(words_across)(law, column, (uint32_t)(16 * group + l), word);
        NAME(from_bytes)(word, (int)(row / 16 % 4), tile);
    } else {
        float (*normal)[GAUSSIAN_TILE] = held->normal[l];
        const uint32_t first = (uint32_t)(32 * group + l);
        if (!made) LEVEL_NAME(normals_across)(law, column, first, normal[0], normal[1]);
        for (int k = 0; k < GAUSSIAN_TILE; k++) tile[k] = normal[row / 16 % 2][k];
    }
}

static void NAME(gaussian_column)(const sq_gaussian *law, double scale, ptrdiff_t column,
                                  ptrdiff_t n_rows, real *entries) {
    real tile[GAUSSIAN_TILE];
    ptrdiff_t row = 0;
    for (; row + GAUSSIAN_TILE <= n_rows; row += GAUSSIAN_TILE)
        NAME(tile_down)(law, (real)scale, column, row, entries + row);
    if (row == n_rows) return;
    NAME(tile_down)(law, (real)scale, column, row, tile);
    __builtin_memcpy(entries + row, tile, (size_t)(n_rows - row) * sizeof(real));
}

/* Tiles of some columns. */
INLINE void NAME(tiles_down)(const sq_gaussian *law, const ptrdiff_t *columns, ptrdiff_t count,
                             ptrdiff_t row, real *tiles) {
    uint32_t word[COLUMNS_AT_ONCE * GAUSSIAN_TILE / 4];
    for (ptrdiff_t t = 0; t < count; t += COLUMNS_AT_ONCE) {
        const ptrdiff_t some = count - t < COLUMNS_AT_ONCE ? count - t : COLUMNS_AT_ONCE;
        if (law->table) LEVEL_NAME(words_of_columns)(law, columns + t, some, row, word);
        for (ptrdiff_t u = 0; u < some; u++) {
            real *tile = tiles + (t + u) * GAUSSIAN_TILE;
            if (law->table)
                NAME(from_words)(word + u * (GAUSSIAN_TILE / 4), 1, tile);
            else
                NAME(tile_down)(law, 1, columns[t + u], row, tile);
        }
    }
}

/* Tiles of some rows. */
INLINE void NAME(tiles_across)(const sq_gaussian *law, ptrdiff_t column, const ptrdiff_t *rows,
                               ptrdiff_t count, LEVEL_NAME(sq_held) *held, real *tiles) {
    for (ptrdiff_t t = 0; t < count; t++)
        NAME(tile_across)(law, column, rows[t], held, tiles + t * GAUSSIAN_TILE);
}

/* sums += sum_p values[p] * tiles[columns[p]] over one run. */
INLINE void NAME(add_run)(const real *tiles, const uint8_t *columns, const real *values,
                          const int length, real *sums) {
    for (int k = 0; k < GAUSSIAN_TILE; k += NAME(VECTORS) * LANES) {
        vec sum[NAME(VECTORS)];
        for (int v = 0; v < NAME(VECTORS); v++) sum[v] = load(sums + k + v * LANES);
        for (int p = 0; p < length; p++) {
            const real *tile = tiles + columns[p] * GAUSSIAN_TILE + k;
            vec value = broadcast(values[p]);
            for (int v = 0; v < NAME(VECTORS); v++) sum[v] += value * load(tile + v * LANES);
        }
        for (int v = 0; v < NAME(VECTORS); v++) store(sums + k + v * LANES, sum[v]);
    }
}

/* Where in a plan the product is. */
typedef struct {
    const int32_t *points;
    const uint8_t *columns;
    const real *values, *tiles;
    real *sums;
} NAME(sq_place);

/* The runs of one length of a block; a constant length makes a loop without branches. */
INLINE void NAME(add_runs)(NAME(sq_place) *at, const ptrdiff_t *groups, const int length) {
    const ptrdiff_t n_runs = groups[GAUSSIAN_RUN - length + 1] - groups[GAUSSIAN_RUN - length];
    for (ptrdiff_t r = 0; r < n_runs; r++) {
        NAME(add_run)(at->tiles, at->columns, at->values, length,
                      at->sums + (ptrdiff_t)*at->points * GAUSSIAN_TILE);
        at->points += 1;
        at->columns += length;
        at->values += length;
    }
}

/* out[i, first : first + GAUSSIAN_TILE] += (W @ h_i)[...], or (W^T @ h_i)[...], for all i. */
static void NAME(gaussian_panel)(const sq_gaussian *law, const sq_plan *plan, int transposed,
                                 const real *values, ptrdiff_t first, ptrdiff_t n, real *out,
                                 ptrdiff_t ld, real *scratch) {
    /* A vector that straddles two cache lines costs two loads. */
    real *tiles = (real *)(((uintptr_t)scratch + 63) & ~(uintptr_t)63);
    real *sums = tiles + GAUSSIAN_BLOCK * GAUSSIAN_TILE;
    NAME(sq_place) at = {plan->points, plan->columns, values, tiles, sums};
    const ptrdiff_t *groups = plan->groups;
    const size_t bytes =
        (size_t)(ld - first < GAUSSIAN_TILE ? ld - first : GAUSSIAN_TILE) * sizeof(real);
    LEVEL_NAME(sq_held) held;
    for (int l = 0; l < 16; l++) held.group[l] = -1;
    if (bytes < GAUSSIAN_TILE * sizeof(real))
        __builtin_memset(sums, 0, (size_t)n * GAUSSIAN_TILE * sizeof(real));
    for (ptrdiff_t i = 0; i < n; i++)
        __builtin_memcpy(sums + i * GAUSSIAN_TILE, out + i * ld + first, bytes);
    for (ptrdiff_t s = 0; s < plan->n_sources; s += GAUSSIAN_BLOCK, groups += GAUSSIAN_RUN + 1) {
        const ptrdiff_t left = plan->n_sources - s;
        const ptrdiff_t count = left < GAUSSIAN_BLOCK ? left : GAUSSIAN_BLOCK;
        if (transposed)
            NAME(tiles_across)(law, first, plan->sources + s, count, &held, tiles);
        else
            NAME(tiles_down)(law, plan->sources + s, count, first, tiles);
        NAME(add_runs)(&at, groups, 8);
        NAME(add_runs)(&at, groups, 7);
        NAME(add_runs)(&at, groups, 6);
        NAME(add_runs)(&at, groups, 5);
        NAME(add_runs)(&at, groups, 4);
        NAME(add_runs)(&at, groups, 3);
        NAME(add_runs)(&at, groups, 2);
        NAME(add_runs)(&at, groups, 1);
    }
    for (ptrdiff_t i = 0; i < n; i++)
        __builtin_memcpy(out + i * ld + first, sums + i * GAUSSIAN_TILE, bytes);
}

#if !SQ_IS_F32
#undef WORDS
#undef COLUMNS_AT_ONCE
#undef CHAINS
#undef words
#undef ints
#undef floats
#undef INLINE
#undef ROUND
#endif
