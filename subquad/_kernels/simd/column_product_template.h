/* One panel of outputs of W @ H, for all n sparse rows of H.

   Blocked: the columns of W that some row needs are staged, a block of them at a time, to where
   they lie side by side: columns a power of two apart would evict each other from every cache.
   The rows add the columns of a block while the next one is staged piece by piece; a tile of one
   output row is in registers meanwhile. Compact columns are staged as pairs of bfloat16 numbers, so
   that a block of twice as many fits the first-level cache and a row is loaded and stored half as
   often; decoding a number costs a shift or a mask. Scattered: see column_product_scatter.h.
   Transposed: as blocked, but a column of W^T lies across the memory of W, so that staging
   transposes squares of W in registers, decoded.

   In all, a sum runs in the order of the columns, with the same operations: panels, blocks, tiles
   and the choice between the two change no bit. */

#include "transpose.h"

#include "column_product_stored.h"
#include "column_product_stage.h"
#include "column_product_scatter.h"

enum { NAME(CHUNK) = 4 /* visits between two steps of staging */ };

/* How far the entries of H are used. */
typedef struct {
    const int32_t *place;
    const real *value;
} NAME(entries);

/* sums[row, :] += sum_p values[p] * tile[places[p], :] for the visits before `last`. */
static inline __attribute__((always_inline)) NAME(entries) NAME(add_each)(
    const char *tile, const sq_visit *visit, const sq_visit *last, NAME(entries) at, real *sums,
    const int packed) {
    const ptrdiff_t width = NAME(TILE_WIDTH), column_bytes = width * (packed ? 2 : sizeof(real));
    const int32_t *place = at.place;
    const real *value = at.value;
    do {
        real *row = sums + visit->row * width, *next = sums + visit[1].row * width;
        const int32_t *end = place + visit->count;
        vec sum[NAME(TILE)];
        for (ptrdiff_t k = 0; k < width; k += 64 / (ptrdiff_t)sizeof(real))
            __builtin_prefetch(next + k);
        for (int v = 0; v < NAME(TILE); v++) sum[v] = load(row + v * LANES);
        do {
            NAME(add_column)(sum, tile + *place * column_bytes, broadcast(*value++), packed);
        } while (++place < end);
        for (int v = 0; v < NAME(TILE); v++) store(row + v * LANES, sum[v]);
    } while (++visit < last);
    return (NAME(entries)){place, value};
}

/* A function of its own: inlined, its sums do not all stay in registers. */
static __attribute__((noinline)) NAME(entries) NAME(add_visits)(
    const char *tile, const sq_visit *visit, const sq_visit *last, NAME(entries) at, real *sums,
    int packed) {
    if (packed) return NAME(add_each)(tile, visit, last, at, sums, 1);
    return NAME(add_each)(tile, visit, last, at, sums, 0);
}

/* sums is [tile][row][output in the tile]; scratch has two staged blocks. */
static inline __attribute__((always_inline)) void NAME(add_blocked)(
    NAME(source) w, const sq_column_plan *plan, ptrdiff_t n, real *sums, real *scratch,
    const int storage, const int transposed) {
    const int packed = storage != SQ_STORED_AS_IS && !transposed;
    const ptrdiff_t tile = NAME(TILE_WIDTH), block = NAME(block)(packed);
    const ptrdiff_t tile_bytes = block * tile * (packed ? 2 : (ptrdiff_t)sizeof(real));
    char *stages[2] = {(char *)scratch, (char *)scratch + w.n_tiles * tile_bytes};
    for (ptrdiff_t u = NAME(n_units)(&w, plan, 0, packed, transposed); u > 0; u--)
        NAME(stage_unit)(&w, plan, 0, stages[0], storage, transposed);
    for (ptrdiff_t b = 0; b * block < plan->n_active; b++) {
        const sq_visit *first = plan->visits + plan->visit_starts[b];
        const sq_visit *end = plan->visits + plan->visit_starts[b + 1];
        const ptrdiff_t n_steps = w.n_tiles * ((end - first + NAME(CHUNK) - 1) / NAME(CHUNK));
        const ptrdiff_t units = NAME(n_units)(&w, plan, b + 1, packed, transposed);
        ptrdiff_t due = 0; /* units, in parts of one n_steps-th */
        for (ptrdiff_t t = 0; t < w.n_tiles; t++) {
            NAME(entries) at = {plan->places + plan->starts[b],
                                (const real *)plan->values + plan->starts[b]};
            for (const sq_visit *v = first; v < end; v += NAME(CHUNK)) {
                at = NAME(add_visits)(stages[b & 1] + t * tile_bytes, v,
                                      end - v < NAME(CHUNK) ? end : v + NAME(CHUNK), at,
                                      sums + t * n * tile, packed);
                for (due += units; due >= n_steps; due -= n_steps)
                    NAME(stage_unit)(&w, plan, b + 1, stages[(b + 1) & 1], storage, transposed);
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
                            .n_tiles = (width + tile - 1) / tile, .n_columns = across};
    const ptrdiff_t padded = w.n_tiles * tile, moved = plan->scattered ? padded : tile;
    real *sums = scratch, *rest = scratch + n * padded;
    NAME(move)(out + first, m_out, n, width, moved, sums, 0);
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
    NAME(move)(out + first, m_out, n, width, moved, sums, 1);
}
