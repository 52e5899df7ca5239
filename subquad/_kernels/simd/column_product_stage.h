/* Staging: the columns of a block are copied to where they lie side by side, [tile][column][output
   in the tile], a unit at a time. A unit is one column or, transposed, LANES outputs of all columns
   of the block. */

enum { NAME(AHEAD) = 2048 /* bytes of memory requested ahead of their use, beyond one column */ };

/* Where a panel of W lies, and which unit is staged next. */
typedef struct {
    const char *first; /* of column 0, or of the first output of the panel if transposed */
    ptrdiff_t stride;  /* bytes from column to column, or from output to output */
    ptrdiff_t width, n_tiles; /* outputs, and tiles that hold them */
    ptrdiff_t n_columns;      /* of W^T */
    ptrdiff_t next;           /* a column or, transposed, a unit of its block */
} NAME(source);

/* Columns of a block. */
static inline __attribute__((always_inline)) ptrdiff_t NAME(block)(const int packed) {
    return 1 << (packed ? SQ_LOG_PACKED_BLOCK : SQ_LOG_BLOCK);
}

/* Write a column, tile_bytes from tile to tile, and request a later one. */
static inline __attribute__((always_inline)) void NAME(stage_tiles)(
    const char *from, const char *later, ptrdiff_t width, char *to, ptrdiff_t tile_bytes,
    const int storage) {
    const ptrdiff_t tile = NAME(TILE_WIDTH), size = NAME(stored_bytes)(storage);
    for (; width >= tile; width -= tile, to += tile_bytes) {
        for (ptrdiff_t b = 0; b < tile * size; b += 64) __builtin_prefetch(later + b);
        NAME(stage_tile)(from, to, storage);
        from += tile * size;
        later += tile * size;
    }
    if (width > 0) {
        char edge[NAME(TILE) * SQ_BYTES] = {0};
        __builtin_memcpy(edge, from, (size_t)(width * size));
        NAME(stage_tile)(edge, to, storage);
    }
}

/* A function of its own, so that its loop has all registers. */
static __attribute__((noinline)) void NAME(stage_column)(
    const NAME(source) *w, const sq_column_plan *plan, char *to, int storage) {
    const int packed = storage != SQ_STORED_AS_IS;
    const ptrdiff_t ahead = 1 + NAME(AHEAD) / (w->width * NAME(stored_bytes)(storage));
    const ptrdiff_t tile_bytes = NAME(TILE_WIDTH) * (packed ? 2 : (ptrdiff_t)sizeof(real));
    const ptrdiff_t block = NAME(block)(packed);
    const char *from = w->first + plan->active[w->next] * w->stride, *later = from;
    if (w->next + ahead < plan->n_active)
        later = w->first + plan->active[w->next + ahead] * w->stride;
    to += w->next % block * tile_bytes;
#define SQ_STAGE(storage)                                                                          \
    NAME(stage_tiles)(from, later, w->width, to, block * tile_bytes, storage)
#if SQ_IS_F32
    if (storage == SQ_STORED_BFLOAT16) {
        SQ_STAGE(SQ_STORED_BFLOAT16);
    } else if (storage == SQ_STORED_INT8) {
        SQ_STAGE(SQ_STORED_INT8);
    } else
#endif
    {
        SQ_STAGE(SQ_STORED_AS_IS);
    }
#undef SQ_STAGE
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
        if (columns < LANES) {
            __builtin_memcpy(edge, row, (size_t)(columns * NAME(stored_bytes)(storage)));
            row = edge;
        }
        square[r] = NAME(decoded)(row, storage);
    }
    NAME(transpose)(square);
    for (int k = 0; k < LANES; k++)
        if (k < columns) store(to + k * tile, square[k]);
}

/* Stage LANES outputs of a block of columns of W^T, decoded. */
static inline __attribute__((always_inline)) void NAME(stage_across)(
    const NAME(source) *w, const sq_column_plan *plan, ptrdiff_t block, real *to,
    const int storage) {
    const ptrdiff_t tile = NAME(TILE_WIDTH), size = NAME(stored_bytes)(storage);
    const ptrdiff_t size_of_block = NAME(block)(0), first = block * size_of_block;
    const ptrdiff_t left = plan->n_active - first;
    const ptrdiff_t count = left < size_of_block ? left : size_of_block;
    const ptrdiff_t line = 64 / size < SQ_ROW_GROUP ? 64 / size : SQ_ROW_GROUP;
    const ptrdiff_t output = w->next * LANES, rows = w->width - output;
    const char *from = w->first + output * w->stride;
    real *part = to + output / tile * size_of_block * tile + output % tile;
    if (rows <= 0) return;
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

/* How many units a block has. */
static inline __attribute__((always_inline)) ptrdiff_t NAME(n_units)(
    const NAME(source) *w, const sq_column_plan *plan, ptrdiff_t block, const int packed,
    const int transposed) {
    const ptrdiff_t size_of_block = NAME(block)(packed);
    const ptrdiff_t left = plan->n_active - block * size_of_block;
    if (left <= 0) return 0;
    if (transposed) return w->n_tiles * NAME(TILE);
    return left < size_of_block ? left : size_of_block;
}

static inline __attribute__((always_inline)) void NAME(stage_unit)(
    NAME(source) *w, const sq_column_plan *plan, ptrdiff_t block, char *to, const int storage,
    const int transposed) {
    if (transposed) NAME(stage_across)(w, plan, block, (real *)to, storage);
    else NAME(stage_column)(w, plan, to, storage);
    w->next++;
    if (transposed && w->next == w->n_tiles * NAME(TILE)) w->next = 0;
}
