/* Part of half_space_template.h: items, eight points of a block that lie side by side, or sixteen
   where a vector holds as many. */
#define ITEM (LANES > HALF_SPACE_ITEM ? LANES : HALF_SPACE_ITEM) /* lanes */
#define ITEMS (HALF_SPACE_LANES / ITEM)                          /* of a block */
#define PARTS (ITEM / LANES)                                     /* vectors of an item */
/* Items are tested together, since each sum waits for itself. */
#define TOGETHER (PARTS < 4 ? 4 / PARTS : 1)

/* Loops of so few turns are kept in registers. */
#define EACH_ITEM(k) _Pragma("GCC unroll 4") for (int k = 0; k < TOGETHER; k++)

/* sum[k] = the inner products of item x[k] and a[k]. */
static inline __attribute__((always_inline)) void NAME(half_space_products)(
    const real *const *x, const real *const *a, ptrdiff_t d, vec (*sum)[PARTS]) {
    EACH_ITEM(k)
        for (int v = 0; v < PARTS; v++) sum[k][v] = load(x[k] + v * LANES) * a[k][0];
    for (ptrdiff_t j = 1; j < d; j++)
        EACH_ITEM(k)
            for (int v = 0; v < PARTS; v++)
                sum[k][v] = sum[k][v] + load(x[k] + j * HALF_SPACE_LANES + v * LANES) * a[k][j];
}

/* Test some of the items of 16 leaves, from block `first` on, for one query. Up to TOGETHER - 1
   numbers past the last one are written. */
static inline void NAME(half_space_look_at_leaves)(
    half_space_search *search, ptrdiff_t first, int q, uint8_t *items, int n) {
    const ptrdiff_t d = search->d, capacity = search->capacity;
    const real *points = (const real *)search->points + first * d * HALF_SPACE_LANES;
    const real *query = (const real *)search->A + q * d, b = ((const real *)search->b)[q];
    const int32_t *ids = search->ids + first * HALF_SPACE_LANES;
    int32_t *hit_ids = search->hit_ids + q * capacity;
    real *hit_values = (real *)search->hit_values + q * capacity;
    ptrdiff_t found = search->counts[q];
    for (int k = 0; k < TOGETHER - 1; k++) items[n + k] = items[0]; /* fill the last group up */
    for (int i = 0; i < n; i += TOGETHER) {
        const real *x[TOGETHER], *a[TOGETHER];
        vec sum[TOGETHER][PARTS];
        const int room = found + TOGETHER * ITEM + LANES <= capacity; /* as in half_space_keep */
        EACH_ITEM(k) {
            unsigned block = items[i + k] / HALF_SPACE_ITEMS, item = items[i + k] % HALF_SPACE_ITEMS;
            x[k] = points + (block * d * HALF_SPACE_ITEMS + item) * HALF_SPACE_ITEM;
            a[k] = query;
        }
        NAME(half_space_products)(x, a, d, sum);
        EACH_ITEM(k)
            for (int v = 0; v < PARTS; v++) {
                uint32_t hits = NAME(half_space_hits)(sum[k][v], b);
                hits = i + k < n ? hits : 0;
                if (room)
                    NAME(half_space_compress)(
                        sum[k][v], hits, ids + items[i + k] * HALF_SPACE_ITEM + v * LANES,
                        hit_ids + found, hit_values + found);
                found += __builtin_popcount(hits);
            }
    }
    search->counts[q] = found;
    search->n_tested += n * (ITEM / HALF_SPACE_ITEM);
}
