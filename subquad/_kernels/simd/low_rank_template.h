/* columns[j] += sum_k V[k, j] U[k] for a run of rows j, and at most SQ_FLUSH_RANK k.

   U comes packed in tiles [tile][k][output], padded with zeros. A panel of tiles stays in the
   second-level cache while all rows of the run pass it, a few of them at a time: a tile of their
   sums is in registers, and every number of `columns` is read and written once. The sum over k is
   taken first, then added: the same bits whatever the runs and the edges are. */

enum {
    NAME(FLUSH_TILE) = SQ_FLUSH_TILE_BYTES / (int)sizeof(real),
    NAME(FLUSH_VECTORS) = SQ_LEVEL == SQ_AVX512 ? 4 : 2, /* of a tile, at a time */
    NAME(FLUSH_ROWS) = 6,
    NAME(FLUSH_PANEL_BYTES) = 1 << 18,
};

/* to[row, :] += the sum for FLUSH_VECTORS vectors of outputs; weights is [k][FLUSH_ROWS]. */
static inline __attribute__((always_inline)) void NAME(flush_tile)(
    real *to, ptrdiff_t ld, const real *tile, const real *weights, ptrdiff_t rank,
    const int rows) {
    vec sum[NAME(FLUSH_ROWS)][NAME(FLUSH_VECTORS)];
    for (int i = 0; i < rows; i++)
        for (int v = 0; v < NAME(FLUSH_VECTORS); v++) sum[i][v] = broadcast(0);
    for (ptrdiff_t k = 0; k < rank; k++) {
        vec u[NAME(FLUSH_VECTORS)];
        for (int v = 0; v < NAME(FLUSH_VECTORS); v++)
            u[v] = load(tile + k * NAME(FLUSH_TILE) + v * LANES);
        for (int i = 0; i < rows; i++) {
            const vec weight = broadcast(weights[k * NAME(FLUSH_ROWS) + i]);
            for (int v = 0; v < NAME(FLUSH_VECTORS); v++) sum[i][v] += weight * u[v];
        }
    }
    for (int i = 0; i < rows; i++)
        for (int v = 0; v < NAME(FLUSH_VECTORS); v++) {
            real *place = to + i * ld + v * LANES;
            store(place, load(place) + sum[i][v]);
        }
}

/* A few rows over the outputs first .. last - 1, first at the start of a tile. */
static inline __attribute__((always_inline)) void NAME(flush_outputs)(
    real *to, ptrdiff_t ld, ptrdiff_t first, ptrdiff_t last, const real *packed,
    const real *weights, ptrdiff_t rank, const int rows) {
    const ptrdiff_t width = NAME(FLUSH_TILE), some = NAME(FLUSH_VECTORS) * LANES;
    for (ptrdiff_t r = first; r < last; r += some) {
        const real *tile = packed + r / width * width * rank + r % width;
        if (r + some <= last) {
            NAME(flush_tile)(to + r, ld, tile, weights, rank, rows);
            continue;
        }
        real edge[NAME(FLUSH_ROWS) * NAME(FLUSH_TILE)] = {0};
        const size_t bytes = (size_t)(last - r) * sizeof(real);
        for (int i = 0; i < rows; i++) __builtin_memcpy(edge + i * some, to + i * ld + r, bytes);
        NAME(flush_tile)(edge, some, tile, weights, rank, rows);
        for (int i = 0; i < rows; i++) __builtin_memcpy(to + i * ld + r, edge + i * some, bytes);
    }
}

static void NAME(flush_rows)(
    real *columns, ptrdiff_t m_in, ptrdiff_t m_out, ptrdiff_t first, ptrdiff_t last,
    const real *packed, const real *V, ptrdiff_t rank) {
    const ptrdiff_t rows = NAME(FLUSH_ROWS), tile = NAME(FLUSH_TILE);
    const ptrdiff_t tiles = NAME(FLUSH_PANEL_BYTES) / (SQ_FLUSH_TILE_BYTES * rank);
    const ptrdiff_t panel = (tiles > 1 ? tiles : 1) * tile;
    real weights[SQ_FLUSH_RANK * NAME(FLUSH_ROWS)];
    for (ptrdiff_t r = 0; r < m_out; r += panel) {
        const ptrdiff_t end = r + panel < m_out ? r + panel : m_out;
        for (ptrdiff_t j = first; j < last; j += rows) {
            const ptrdiff_t count = last - j < rows ? last - j : rows;
            for (ptrdiff_t k = 0; k < rank; k++)
                for (ptrdiff_t i = 0; i < count; i++) weights[k * rows + i] = V[k * m_in + j + i];
#define FLUSH(count)                                                                               \
    NAME(flush_outputs)(columns + j * m_out, m_out, r, end, packed, weights, rank, count)
            if (count == rows) FLUSH(NAME(FLUSH_ROWS));
            else
                for (ptrdiff_t i = 0; i < count; i++)
                    NAME(flush_outputs)(columns + (j + i) * m_out, m_out, r, end, packed,
                                        weights + i, rank, 1);
#undef FLUSH
        }
    }
}
