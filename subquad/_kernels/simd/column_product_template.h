/* One panel of outputs of W @ H, for all n sparse rows of H.

   Blocked: the columns of W that some row needs are staged, a block of them at a time, to where
   they lie side by side: columns a power of two apart would evict each other from every cache.
   The rows add the columns of a block while the next one is staged piece by piece, so that memory
   is never idle; a tile of one output row is in registers meanwhile. Compact storage is packed as
   bfloat16, tile by tile, in the first-level cache, which so holds twice the columns: a row is
   loaded and stored half as often, and decoding costs a shift or a mask. It is staged as it is
   stored, whole lines at once: to decode while staging waits for memory longer. Scattered: each
   column is added to the rows that need it, whose sums stay in the first-level cache, while the
   next one is on its way. Transposed: as blocked, but a column of W^T lies across the memory of W,
   so that staging transposes squares of W in registers, decoded.

   In all, a sum runs in the order of the columns, with the same operations: panels, blocks, tiles
   and the choice between the two change no bit. */

#include "transpose.h"

enum {
    NAME(TILE) = 8, /* vectors */
    NAME(TILE_WIDTH) = NAME(TILE) * SQ_BYTES / sizeof(real),
    NAME(AHEAD) = 4096, /* bytes of memory requested ahead of their use */
    NAME(CHUNK) = 2,    /* visits between two steps of staging */
};

/* Where a panel of W lies. */
typedef struct {
    const char *first; /* of column 0, or of the first output of the panel if transposed */
    ptrdiff_t stride;  /* bytes from column to column, or from output to output */
    ptrdiff_t width, padded; /* outputs; up to a whole tile */
    ptrdiff_t next;    /* column to be staged, or LANES outputs of the next block */
    ptrdiff_t n_columns; /* of W^T */
} NAME(source);

static inline __attribute__((always_inline)) ptrdiff_t NAME(stored_bytes)(const int storage) {
    return storage == SQ_STORED_INT8 ? 1 : storage == SQ_STORED_BFLOAT16 ? 2 : sizeof(real);
}

static inline void NAME(request)(const char *from, ptrdiff_t bytes) {
    for (ptrdiff_t b = 0; b < bytes; b += 64) __builtin_prefetch(from + b);
}

#if SQ_IS_F32
static inline void NAME(decode_bfloat16)(const char *from, float *to, ptrdiff_t count) {
    ptrdiff_t r = 0;
#if SQ_LEVEL == SQ_AVX512
    for (; r + 16 <= count; r += 16)
        _mm512_storeu_si512(
            to + r, _mm512_slli_epi32(_mm512_cvtepu16_epi32(
                                          _mm256_loadu_si256((const void *)(from + 2 * r))), 16));
#elif SQ_LEVEL == SQ_AVX2
    for (; r + 8 <= count; r += 8)
        _mm256_storeu_si256(
            (void *)(to + r), _mm256_slli_epi32(_mm256_cvtepu16_epi32(
                                  _mm_loadu_si128((const void *)(from + 2 * r))), 16));
#endif
    for (; r < count; r++) {
        uint32_t bits = (uint32_t)((const uint16_t *)from)[r] << 16;
        __builtin_memcpy(to + r, &bits, sizeof bits);
    }
}

static inline void NAME(decode_int8)(const char *from, float *to, ptrdiff_t count) {
    ptrdiff_t r = 0;
#if SQ_LEVEL == SQ_AVX512
    for (; r + 16 <= count; r += 16)
        _mm512_storeu_ps(to + r, _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(
                                     _mm_loadu_si128((const void *)(from + r)))));
#elif SQ_LEVEL == SQ_AVX2
    for (; r + 8 <= count; r += 8)
        _mm256_storeu_ps(to + r, _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(
                                     _mm_loadl_epi64((const void *)(from + r)))));
#endif
    for (; r < count; r++) to[r] = (float)((const int8_t *)from)[r];
}
#endif

static inline __attribute__((always_inline)) void NAME(decode)(
    const char *from, real *to, ptrdiff_t count, const int storage) {
#if SQ_IS_F32
    if (storage == SQ_STORED_BFLOAT16) NAME(decode_bfloat16)(from, to, count);
    else if (storage == SQ_STORED_INT8) NAME(decode_int8)(from, to, count);
    else
#endif
    __builtin_memcpy(to, from, (size_t)count * sizeof(real));
}

#if SQ_IS_F32
typedef uint32_t NAME(words) __attribute__((vector_size(SQ_BYTES)));
#endif

/* Pack a tile of `count` staged compact columns, decoded, as two vectors in the lower and the upper
   halves of one: bfloat16 holds int8 numbers too. */
static inline __attribute__((always_inline)) void NAME(pack)(
    const char *from, ptrdiff_t stride, ptrdiff_t count, char *to, const int storage) {
#if SQ_IS_F32
    for (ptrdiff_t k = 0; k < count; k++, from += stride) {
        float part[NAME(TILE_WIDTH)];
        NAME(decode)(from, part, NAME(TILE_WIDTH), storage);
        for (ptrdiff_t v = 0; v < NAME(TILE_WIDTH); v += 2 * LANES, to += SQ_BYTES) {
            NAME(words) lower, upper;
            __builtin_memcpy(&lower, part + v, sizeof lower);
            __builtin_memcpy(&upper, part + v + LANES, sizeof upper);
            lower = lower >> 16 | upper;
            __builtin_memcpy(to, &lower, sizeof lower);
        }
    }
#endif
}

/* Columns of a block. */
static inline __attribute__((always_inline)) ptrdiff_t NAME(block)(const int packed) {
    return 1 << (packed ? SQ_LOG_PACKED_BLOCK : SQ_LOG_BLOCK);
}

/* Stage columns before number `stop`, as they are stored: compact ones [column][output], others
   [tile][column][output in the tile]. */
static inline __attribute__((always_inline)) void NAME(stage)(
    NAME(source) *w, const sq_column_plan *plan, ptrdiff_t stop, char *to, const int storage) {
    const ptrdiff_t tile = NAME(TILE_WIDTH), size = NAME(stored_bytes)(storage);
    const ptrdiff_t bytes = w->width * size, ahead = 1 + NAME(AHEAD) / bytes;
    const ptrdiff_t block = NAME(block)(storage != SQ_STORED_AS_IS);
    for (; w->next < stop; w->next++) {
        const ptrdiff_t place = w->next % block;
        const char *column = w->first + plan->active[w->next] * w->stride;
        if (w->next + ahead < plan->n_active)
            NAME(request)(w->first + plan->active[w->next + ahead] * w->stride, bytes);
        if (storage != SQ_STORED_AS_IS) {
            __builtin_memcpy(to + place * w->padded * size, column, (size_t)bytes);
            continue;
        }
        real *part = (real *)to + place * tile;
        ptrdiff_t r = 0;
        for (; r + tile <= w->width; r += tile, part += block * tile)
            for (ptrdiff_t v = 0; v < tile; v += LANES)
                store(part + v, load((const real *)column + r + v));
        __builtin_memcpy(part, (const real *)column + r, (size_t)(w->width - r) * sizeof(real));
    }
}

/* LANES outputs of LANES columns of W^T, which lie in the rows of W: to[k * tile + output]. */
static inline __attribute__((always_inline)) void NAME(stage_square)(
    const char *from, ptrdiff_t stride, ptrdiff_t rows, ptrdiff_t columns, real *to,
    const int storage) {
    const ptrdiff_t tile = NAME(TILE_WIDTH);
    vec square[LANES];
    for (int r = 0; r < LANES; r++) {
        const char *row = from + (r < rows ? r : rows - 1) * stride;
        char edge[SQ_BYTES] = {0};
        real part[LANES];
        if (columns < LANES) {
            __builtin_memcpy(edge, row, (size_t)(columns * NAME(stored_bytes)(storage)));
            row = edge;
        }
        if (storage == SQ_STORED_AS_IS) { /* a copy in two halves would stall its load */
            square[r] = load((const real *)row);
            continue;
        }
        NAME(decode)(row, part, LANES, storage);
        square[r] = load(part);
    }
    NAME(transpose)(square);
    for (int k = 0; k < LANES; k++)
        if (k < columns) store(to + k * tile, square[k]);
}

/* Stage outputs before number `stop`, in LANES, of a block of columns of W^T. */
static inline __attribute__((always_inline)) void NAME(stage_across)(
    NAME(source) *w, const sq_column_plan *plan, ptrdiff_t block, ptrdiff_t stop, real *to,
    const int storage) {
    const ptrdiff_t tile = NAME(TILE_WIDTH), size = NAME(stored_bytes)(storage);
    const ptrdiff_t size_of_block = NAME(block)(0), first = block * size_of_block;
    const ptrdiff_t left = plan->n_active - first;
    const ptrdiff_t count = left < size_of_block ? left : size_of_block;
    const ptrdiff_t line = 64 / size < SQ_ROW_GROUP ? 64 / size : SQ_ROW_GROUP;
    for (; w->next < stop; w->next++) {
        const ptrdiff_t output = w->next * LANES, rows = w->width - output;
        const char *from = w->first + output * w->stride;
        real *part = to + output / tile * size_of_block * tile + output % tile;
        if (rows <= 0) continue;
        if (rows > LANES)
            for (ptrdiff_t r = LANES; r < 2 * LANES && r < rows; r++)
                for (ptrdiff_t k = 0; k < count; k += line)
                    __builtin_prefetch(from + r * w->stride + plan->active[first + k] * size);
        for (ptrdiff_t k = 0; k < count; k += LANES) {
            const ptrdiff_t column = plan->active[first + k], columns = w->n_columns - column;
            NAME(stage_square)(from + column * size, w->stride, rows < LANES ? rows : LANES,
                               columns < LANES ? columns : LANES, part + k * tile, storage);
        }
    }
}

/* Stage the part number `part` of `parts` of a block. */
static inline __attribute__((always_inline)) void NAME(stage_part)(
    NAME(source) *w, const sq_column_plan *plan, ptrdiff_t block, ptrdiff_t part, ptrdiff_t parts,
    char *to, const int storage, const int transposed) {
    const ptrdiff_t size_of_block = NAME(block)(storage != SQ_STORED_AS_IS && !transposed);
    const ptrdiff_t first = block * size_of_block, left = plan->n_active - first;
    const ptrdiff_t count = left < size_of_block ? left : size_of_block;
    if (left <= 0) return;
    if (!transposed) {
        NAME(stage)(w, plan, first + count * part / parts, to, storage);
        return;
    }
    NAME(stage_across)(w, plan, block, w->padded / LANES * part / parts, (real *)to, storage);
    if (part == parts) w->next = 0;
}

/* sum += factor * column for a tile. */
static inline __attribute__((always_inline)) void NAME(add_column)(
    vec *sum, const char *column, vec factor, const int packed) {
#if SQ_IS_F32
    if (packed) {
        for (int v = 0; v < NAME(TILE); v += 2) {
            NAME(words) pair;
            __builtin_memcpy(&pair, column + v / 2 * SQ_BYTES, sizeof pair);
            sum[v] += factor * (vec)(pair << 16);
            sum[v + 1] += factor * (vec)(pair & 0xFFFF0000u);
        }
        return;
    }
#endif
    for (int v = 0; v < NAME(TILE); v++)
        sum[v] += factor * load((const real *)column + v * LANES);
}

/* sums[row, :] += sum_p values[p] * tile[places[p], :] for some visits; the entries move on. */
static inline __attribute__((always_inline)) void NAME(add_visits)(
    const char *tile, const sq_visit *visits, ptrdiff_t n_visits, const int32_t **places,
    const real **values, real *sums, const int packed) {
    const ptrdiff_t column_bytes = NAME(TILE_WIDTH) * (packed ? 2 : sizeof(real));
    const int32_t *place = *places;
    const real *value = *values;
    for (ptrdiff_t i = 0; i < n_visits; i++) {
        real *row = sums + visits[i].row * (ptrdiff_t)NAME(TILE_WIDTH);
        const int32_t *end = place + visits[i].count;
        vec sum[NAME(TILE)];
        for (int v = 0; v < NAME(TILE); v++) sum[v] = load(row + v * LANES);
        for (; place < end; place++, value++)
            NAME(add_column)(sum, tile + *place * column_bytes, broadcast(*value), packed);
        for (int v = 0; v < NAME(TILE); v++) store(row + v * LANES, sum[v]);
    }
    *places = place;
    *values = value;
}

/* sums is [tile][row][output in the tile]; scratch has two staged blocks and a packed tile. */
static inline __attribute__((always_inline)) void NAME(add_blocked)(
    NAME(source) w, const sq_column_plan *plan, ptrdiff_t n, real *sums, real *scratch,
    const int storage, const int transposed) {
    const ptrdiff_t tile = NAME(TILE_WIDTH), size = NAME(stored_bytes)(storage);
    const ptrdiff_t n_tiles = w.padded / tile, n_active = plan->n_active;
    const int packed = storage != SQ_STORED_AS_IS && !transposed;
    const ptrdiff_t block = NAME(block)(packed);
    char *stages[2] = {(char *)scratch, (char *)(scratch + block * w.padded)};
    char *packed_tile = (char *)(scratch + 2 * block * w.padded);
    NAME(stage_part)(&w, plan, 0, 1, 1, stages[0], storage, transposed);
    for (ptrdiff_t b = 0; b * block < n_active; b++) {
        const ptrdiff_t first = plan->visit_starts[b], end = plan->visit_starts[b + 1];
        const ptrdiff_t left = n_active - b * block, staged = left < block ? left : block;
        const ptrdiff_t n_steps = n_tiles * ((end - first + NAME(CHUNK) - 1) / NAME(CHUNK));
        ptrdiff_t step = 0;
        for (ptrdiff_t t = 0; t < n_tiles; t++) {
            const int32_t *places = plan->places + plan->starts[b];
            const real *values = (const real *)plan->values + plan->starts[b];
            const char *columns = stages[b & 1] + t * block * tile * (ptrdiff_t)sizeof(real);
            if (packed) {
                NAME(pack)(stages[b & 1] + t * tile * size, w.padded * size, staged, packed_tile,
                           storage);
                columns = packed_tile;
            }
            for (ptrdiff_t v = first; v < end; v += NAME(CHUNK)) {
                NAME(add_visits)(columns, plan->visits + v,
                                 end - v < NAME(CHUNK) ? end - v : NAME(CHUNK), &places, &values,
                                 sums + t * n * tile, packed);
                step++;
                NAME(stage_part)(&w, plan, b + 1, step, n_steps, stages[(b + 1) & 1], storage,
                                 transposed);
            }
        }
    }
}

/* sums is [row][output]; scratch has one decoded column. */
static inline __attribute__((always_inline)) void NAME(add_scattered)(
    NAME(source) w, const sq_column_plan *plan, real *sums, real *scratch, const int storage) {
    const ptrdiff_t size = NAME(stored_bytes)(storage), bytes = w.width * size;
    const ptrdiff_t ahead = 1 + NAME(AHEAD) / bytes;
    const int direct = storage == SQ_STORED_AS_IS && w.width == w.padded;
    for (ptrdiff_t k = 0; k < plan->n_active; k++) {
        const char *stored = w.first + plan->active[k] * w.stride;
        const char *later = k + ahead < plan->n_active
                                ? w.first + plan->active[k + ahead] * w.stride : stored;
        const real *column = direct ? (const real *)stored : scratch;
        const ptrdiff_t line = 64 / size; /* outputs */
        if (!direct) {
            for (ptrdiff_t r = 0; r < w.width; r += 4 * line) {
                const ptrdiff_t count = w.width - r < 4 * line ? w.width - r : 4 * line;
                NAME(request)(later + r * size, count * size);
                NAME(decode)(stored + r * size, scratch + r, count, storage);
            }
        }
        for (ptrdiff_t p = plan->starts[k]; p < plan->starts[k + 1]; p++) {
            real *row = sums + plan->places[p] * w.padded;
            const vec factor = broadcast(((const real *)plan->values)[p]);
            for (ptrdiff_t r = 0; r < w.padded; r += NAME(TILE_WIDTH)) {
                if (direct)
                    NAME(request)(later + r * size, NAME(TILE_WIDTH) * (ptrdiff_t)sizeof(real));
                for (int v = 0; v < NAME(TILE); v++)
                    store(row + r + v * LANES, load(row + r + v * LANES)
                                                   + factor * load(column + r + v * LANES));
            }
        }
    }
}

/* Copy between `out` and the sums, [tile][row][output in the tile]. */
static inline void NAME(move)(real *out, ptrdiff_t m_out, ptrdiff_t n, ptrdiff_t width,
                              ptrdiff_t tile, real *sums, const int back) {
    for (ptrdiff_t r = 0; r < width; r += tile) {
        const size_t bytes = (size_t)(width - r < tile ? width - r : tile) * sizeof(real);
        for (ptrdiff_t i = 0; i < n; i++, sums += tile) {
            if (back) __builtin_memcpy(out + i * m_out + r, sums, bytes);
            else __builtin_memcpy(sums, out + i * m_out + r, bytes);
        }
    }
}

static void NAME(column_panel)(
    int storage, const void *columns, ptrdiff_t across, ptrdiff_t first, ptrdiff_t width,
    ptrdiff_t n, ptrdiff_t m_out, const sq_column_plan *plan, real *out, real *scratch) {
    const ptrdiff_t size = NAME(stored_bytes)(storage), tile = NAME(TILE_WIDTH);
    const ptrdiff_t skipped = plan->transposed ? first * across : first;
    const NAME(source) w = {.first = (const char *)columns + skipped * size,
                            .stride = across * size, .width = width,
                            .padded = (width + tile - 1) / tile * tile, .n_columns = across};
    real *sums = scratch, *rest = scratch + n * w.padded;
    NAME(move)(out + first, m_out, n, width, plan->scattered ? w.padded : tile, sums, 0);
#define SQ_ADD(storage)                                                                            \
    if (plan->scattered) NAME(add_scattered)(w, plan, sums, rest, storage);                        \
    else if (plan->transposed) NAME(add_blocked)(w, plan, n, sums, rest, storage, 1);              \
    else NAME(add_blocked)(w, plan, n, sums, rest, storage, 0)
#if SQ_IS_F32
    if (storage == SQ_STORED_BFLOAT16) {
        SQ_ADD(SQ_STORED_BFLOAT16);
    } else if (storage == SQ_STORED_INT8) {
        SQ_ADD(SQ_STORED_INT8);
    } else
#endif
    {
        SQ_ADD(SQ_STORED_AS_IS);
    }
#undef SQ_ADD
    NAME(move)(out + first, m_out, n, width, plan->scattered ? w.padded : tile, sums, 1);
}
