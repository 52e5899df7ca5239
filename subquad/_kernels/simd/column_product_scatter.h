/* Columns that serve few rows each: they are not staged, but added to the rows that need them,
   whose sums stay in cache, while the next one is on its way. */

enum { NAME(SCATTERED_AHEAD) = 4096 /* bytes of memory requested ahead of their use */ };

static inline void NAME(request)(const char *from, ptrdiff_t bytes) {
    for (ptrdiff_t b = 0; b < bytes; b += 64) __builtin_prefetch(from + b);
}

/* Decode `count` outputs of a column. */
static inline __attribute__((always_inline)) void NAME(decode_as)(
    const char *from, real *to, ptrdiff_t count, const int storage) {
    const ptrdiff_t size = NAME(stored_bytes)(storage);
    ptrdiff_t r = 0;
    for (; r + LANES <= count; r += LANES) store(to + r, NAME(decoded)(from + r * size, storage));
    if (r < count) {
        char edge[SQ_BYTES] = {0};
        __builtin_memcpy(edge, from + r * size, (size_t)((count - r) * size));
        store(to + r, NAME(decoded)(edge, storage));
    }
}

/* A function of its own, so that its loops have all registers. */
static __attribute__((noinline)) void NAME(decode)(const char *from, real *to, ptrdiff_t count,
                                                   int storage) {
#if SQ_IS_F32
    if (storage == SQ_STORED_BFLOAT16) {
        NAME(decode_as)(from, to, count, SQ_STORED_BFLOAT16);
        return;
    }
    if (storage == SQ_STORED_INT8) {
        NAME(decode_as)(from, to, count, SQ_STORED_INT8);
        return;
    }
#endif
    NAME(decode_as)(from, to, count, SQ_STORED_AS_IS);
}

/* sums is [row][output]; scratch has one decoded column. */
static inline __attribute__((always_inline)) void NAME(add_scattered)(
    NAME(source) w, const sq_column_plan *plan, real *sums, real *scratch, const int storage) {
    const ptrdiff_t size = NAME(stored_bytes)(storage), bytes = w.width * size;
    const ptrdiff_t ahead = 1 + NAME(SCATTERED_AHEAD) / bytes;
    const ptrdiff_t padded = w.n_tiles * NAME(TILE_WIDTH);
    const int direct = storage == SQ_STORED_AS_IS && w.width == padded;
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
            real *row = sums + plan->places[p] * padded;
            const vec factor = broadcast(((const real *)plan->values)[p]);
            for (ptrdiff_t r = 0; r < padded; r += NAME(TILE_WIDTH)) {
                if (direct)
                    NAME(request)(later + r * size, NAME(TILE_WIDTH) * (ptrdiff_t)sizeof(real));
                for (int v = 0; v < NAME(TILE); v++)
                    store(row + r + v * LANES, load(row + r + v * LANES)
                                                   + factor * load(column + r + v * LANES));
            }
        }
    }
}
