/* One panel of outputs of W @ H, for all n sparse rows of H.

   The columns of W are visited in blocks, so that a block of a panel (COLUMN_BLOCK x 4 KiB) stays
   in the second-level cache while every data point adds the columns it needs. A tile of TILE
   vectors of one output row lives in registers meanwhile. The sum over the columns of an output
   runs in the order of the columns, whatever the panels and tiles are. */

enum { NAME(COLUMN_BLOCK) = 128, NAME(TILE) = 8 };

/* row[0 .. vectors * LANES) += sum_p values[p] * columns[indices[p], :] */
static inline __attribute__((always_inline)) void NAME(add_tile)(
    const real *columns, ptrdiff_t m_out, const ptrdiff_t *indices, const real *values,
    ptrdiff_t count, real *row, const int vectors) {
    vec sum[NAME(TILE)];
    for (int v = 0; v < vectors; v++) sum[v] = load(row + v * LANES);
    for (ptrdiff_t p = 0; p < count; p++) {
        const real *column = columns + indices[p] * m_out;
        vec value = broadcast(values[p]);
        for (int v = 0; v < vectors; v++) sum[v] += value * load(column + v * LANES);
    }
    for (int v = 0; v < vectors; v++) store(row + v * LANES, sum[v]);
}

static inline void NAME(add_columns)(
    const real *columns, ptrdiff_t m_out, const ptrdiff_t *indices, const real *values,
    ptrdiff_t count, real *row, ptrdiff_t width) {
    ptrdiff_t r = 0;
    for (; r + NAME(TILE) * LANES <= width; r += NAME(TILE) * LANES)
        NAME(add_tile)(columns + r, m_out, indices, values, count, row + r, NAME(TILE));
    for (; r + LANES <= width; r += LANES)
        NAME(add_tile)(columns + r, m_out, indices, values, count, row + r, 1);
    for (; r < width; r++) {
        real sum = row[r];
        for (ptrdiff_t p = 0; p < count; p++) sum += values[p] * columns[indices[p] * m_out + r];
        row[r] = sum;
    }
}

/* out[i, first : first + width] += W[first : first + width, :] @ h_i for all i.
   cursor holds 2 n numbers: where the entries of the current block of columns begin and end. */
static void NAME(column_panel)(
    const real *columns, ptrdiff_t m_in, ptrdiff_t m_out, ptrdiff_t first, ptrdiff_t width,
    ptrdiff_t n, const ptrdiff_t *indptr, const ptrdiff_t *indices, const real *values,
    real *out, ptrdiff_t *cursor) {
    ptrdiff_t *begin = cursor, *end = cursor + n;
    for (ptrdiff_t i = 0; i < n; i++) end[i] = indptr[i];
    for (ptrdiff_t stop = NAME(COLUMN_BLOCK); stop < m_in + NAME(COLUMN_BLOCK);
         stop += NAME(COLUMN_BLOCK)) {
        for (ptrdiff_t i = 0; i < n; i++) {
            begin[i] = end[i];
            while (end[i] < indptr[i + 1] && indices[end[i]] < stop) end[i]++;
        }
        const ptrdiff_t tile = NAME(TILE) * LANES;
        for (ptrdiff_t r = 0; r < width; r += tile) {
            ptrdiff_t tile_width = width - r < tile ? width - r : tile;
            for (ptrdiff_t i = 0; i < n; i++) {
                if (begin[i] == end[i]) continue;
                NAME(add_columns)(columns + first + r, m_out, indices + begin[i],
                                  values + begin[i], end[i] - begin[i],
                                  out + i * m_out + first + r, tile_width);
            }
        }
    }
}
