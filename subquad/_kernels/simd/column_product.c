#include <string.h>

#define SQ_TEMPLATE "column_product_template.h"
#include "column_product.h"
#include "multiversion.h"

const column_panel_f32_fn column_panel_f32[SQ_LEVELS] = SQ_TABLE(column_panel_f32);
const column_panel_f64_fn column_panel_f64[SQ_LEVELS] = SQ_TABLE(column_panel_f64);

enum {
    LINE = 64,
    TILE_BYTES = 512,        /* panels are padded to so many bytes of sums: whole tiles */
    PIECE_BYTES = 512,       /* of a column in a panel; shorter pieces read memory slower */
    PACKED_PIECE = 256,      /* outputs, where columns are packed; AVX2: half or twice are slower */
    WIDE_PACKED_PIECE = 512, /* the same for AVX-512, whose tiles are twice as wide */
    LONG_PIECE_BYTES = 1 << 16, /* where a column serves few rows: whole ones read fastest, */
    LONG_PIECE = 4096,          /* outputs, where it is decoded */
    FEW_SUMS_BYTES = 1 << 15, /* of all rows of a scattered panel, compact storage: first level, */
    SOME_SUMS_BYTES = 1 << 18, /* and other storage: half of the second-level cache */
    SUMS_BYTES = 1 << 19,     /* of all rows of a blocked panel: second-level cache */
    FEW_ENTRIES = 6,          /* of a column, on average, that is not worth staging */
};

static ptrdiff_t least(ptrdiff_t a, ptrdiff_t b) { return a < b ? a : b; }

static ptrdiff_t whole(ptrdiff_t size, ptrdiff_t unit) { return (size + unit - 1) / unit * unit; }

static ptrdiff_t n_blocks_of(ptrdiff_t n_columns, int log_block) {
    return (n_columns + ((ptrdiff_t)1 << log_block) - 1) >> log_block;
}

/* Whether columns serve so few rows that copying them side by side does not pay. The blocked form
   takes so many times as long as the scattered one, float32, AVX2, one thread, by entries a column:
       m = 8192   n = 16  1.6 (.8)  2.0 (1.6)  1.9 (3.2)    n = 64   1.6 (.6)  1.7 (1.3)  2.2 (2.6)
                                                                   1.7 (5.2)  1.4 (7.7)  1.0 (13)
                  n = 256 1.3 (2.6)  1.6 (5.1)  1.0 (10)
       m = 2048   n = 16  1.6 (1.6)  1.3 (3.2)    n = 64   1.8 (1.3)  1.3 (5.2)  .9 (7.7)
   Compact storage, which is decoded for a scattered panel, keeps to one entry a column. */
static int scatters(const sq_product_sizes *size) {
    const ptrdiff_t most = size->stored < size->real_bytes ? 1 : FEW_ENTRIES;
    if (size->n <= 2) return 1;
    return (most > 1 || size->n <= 16) && size->nnz <= most * size->m_in;
}

/* Outputs of a panel: a multiple of a tile, and no more than a thread's share. Of scattered panels,
   which are long, each thread gets several, so that the others can take those of a late one. */
static ptrdiff_t panel_width(int scattered, const sq_product_sizes *size) {
    const ptrdiff_t tile = TILE_BYTES / size->real_bytes;
    const int compact = size->stored < size->real_bytes;
    const ptrdiff_t packed_piece = size->level == SQ_AVX512 ? WIDE_PACKED_PIECE : PACKED_PIECE;
    ptrdiff_t piece = compact ? (scattered ? LONG_PIECE : packed_piece)
                              : (scattered ? LONG_PIECE_BYTES : PIECE_BYTES) / size->stored;
    const ptrdiff_t few = compact ? FEW_SUMS_BYTES : SOME_SUMS_BYTES;
    ptrdiff_t sums = (scattered ? few : SUMS_BYTES) / (size->n * size->real_bytes);
    if (size->transposed) piece = tile; /* pieces of W lie across a panel */
    const ptrdiff_t least_panels = scattered && size->n_threads > 1 ? 4 * size->n_threads
                                                                    : size->n_threads;
    ptrdiff_t width = least(least(piece, sums) / tile * tile,
                            whole((size->m_out + least_panels - 1) / least_panels, tile));
    return width > tile ? width : tile;
}

ptrdiff_t sq_lay_out_plan(sq_column_plan *plan, char *base, const sq_product_sizes *size) {
    const ptrdiff_t nnz = size->nnz, group = size->transposed ? SQ_ROW_GROUP : 1;
    const int scattered = !size->transposed && scatters(size);
    const ptrdiff_t most_active = least(size->m_in, nnz * group);
    const int packed = !size->transposed && size->stored < size->real_bytes;
    const int log_block = packed ? SQ_LOG_PACKED_BLOCK : SQ_LOG_BLOCK;
    const ptrdiff_t block = (ptrdiff_t)1 << log_block;
    const ptrdiff_t most_blocks = n_blocks_of(most_active, log_block);
    const ptrdiff_t n_starts = (scattered ? most_active : most_blocks) + 2;
    const ptrdiff_t most_visits = scattered ? 0 : least(nnz, size->n * most_blocks);
    const uintptr_t start = (uintptr_t)base;
    uintptr_t end = start + LINE - 1 - (start + LINE - 1) % LINE;

    plan->scattered = scattered;
    plan->transposed = size->transposed;
    plan->log_block = log_block;
    plan->width = panel_width(scattered, size);
#define TAKE(field, count, type)                                                                   \
    plan->field = (type *)end, end += (uintptr_t)whole((count) * (ptrdiff_t)sizeof(type), LINE)
    TAKE(active, most_active, ptrdiff_t);
    TAKE(starts, n_starts, ptrdiff_t);
    TAKE(origins, nnz, ptrdiff_t);
    TAKE(places, nnz, int32_t);
    TAKE(visits, most_visits + 1, sq_visit);
    TAKE(visit_starts, scattered ? 0 : n_starts, ptrdiff_t);
    TAKE(numbers, size->m_in, int32_t);
    TAKE(by_row, most_visits, sq_visit);
    TAKE(firsts, most_visits, ptrdiff_t);
#undef TAKE
    plan->values = (void *)end;
    end += (uintptr_t)whole(nnz * size->real_bytes, LINE);
    plan->panels = (char *)end;
    /* Sums; two staged blocks, packed in half the size, or a decoded column. */
    const ptrdiff_t staged = scattered ? 1 : packed ? block : 2 * block;
    /* The level may be another one by the time that the scratch is used. */
    const ptrdiff_t widest = packed && plan->width < WIDE_PACKED_PIECE ? WIDE_PACKED_PIECE
                                                                       : plan->width;
    plan->panel_bytes = (size->n + staged) * widest * size->real_bytes;
    return (ptrdiff_t)(end - start) + size->n_threads * plan->panel_bytes + LINE;
}

/* List the columns with entries, or in a group with one, and number them. */
static void number_columns(sq_column_plan *plan, ptrdiff_t m_in, const ptrdiff_t *indices,
                           const ptrdiff_t *indices_end) {
    const ptrdiff_t group = plan->transposed ? SQ_ROW_GROUP : 1;
    memset(plan->numbers, 0, (size_t)m_in * sizeof *plan->numbers);
    for (; indices < indices_end; indices++) plan->numbers[*indices / group * group] = 1;
    plan->n_active = 0;
    for (ptrdiff_t first = 0; first < m_in; first += group) {
        if (!plan->numbers[first]) continue;
        for (ptrdiff_t j = first; j < least(first + group, m_in); j++) {
            plan->active[plan->n_active] = j;
            plan->numbers[j] = (int32_t)plan->n_active++;
        }
    }
}

static void fill_scattered(sq_column_plan *plan, ptrdiff_t n, const ptrdiff_t *indptr,
                           const ptrdiff_t *indices) {
    /* Column k is counted in k + 2: it begins in k + 1 before the distribution, ends there after */
    ptrdiff_t *ends = plan->starts + 1;
    memset(plan->starts, 0, (size_t)(plan->n_active + 2) * sizeof *ends);
    for (ptrdiff_t p = indptr[0]; p < indptr[n]; p++) ends[plan->numbers[indices[p]] + 1]++;
    for (ptrdiff_t k = 0; k < plan->n_active; k++) ends[k + 1] += ends[k];
    for (ptrdiff_t i = 0; i < n; i++) {
        for (ptrdiff_t p = indptr[i]; p < indptr[i + 1]; p++) {
            ptrdiff_t entry = ends[plan->numbers[indices[p]]]++;
            plan->places[entry] = (int32_t)i;
            plan->origins[entry] = p;
        }
    }
}

/* How many entries from p on are in the same block. */
static ptrdiff_t run_length(const sq_column_plan *plan, const ptrdiff_t *indices, ptrdiff_t p,
                            ptrdiff_t end) {
    ptrdiff_t q = p + 1, block = plan->numbers[indices[p]] >> plan->log_block;
    while (q < end && plan->numbers[indices[q]] >> plan->log_block == block) q++;
    return q - p;
}

/* Order the visits of block b from few entries to many, and append their entries. */
static void sort_block(sq_column_plan *plan, ptrdiff_t b, const ptrdiff_t *indices) {
    const ptrdiff_t first = plan->visit_starts[b], end = plan->visit_starts[b + 1];
    const int32_t in_block = (1 << plan->log_block) - 1;
    ptrdiff_t entry = plan->starts[b], next[SQ_MOST_IN_BLOCK + 2] = {0};
    for (ptrdiff_t v = first; v < end; v++) next[plan->by_row[v].count + 1]++;
    next[0] = first;
    for (ptrdiff_t c = 1; c < SQ_MOST_IN_BLOCK + 2; c++) next[c] += next[c - 1];
    for (ptrdiff_t v = first; v < end; v++) {
        sq_visit *sorted = plan->visits + next[plan->by_row[v].count]++;
        *sorted = (sq_visit){.row = (int32_t)(v - first)};
    }
    for (ptrdiff_t v = first; v < end; v++) {
        const ptrdiff_t from = first + plan->visits[v].row;
        plan->visits[v] = plan->by_row[from];
        for (ptrdiff_t k = 0; k < plan->visits[v].count; k++, entry++) {
            plan->origins[entry] = plan->firsts[from] + k;
            plan->places[entry] = plan->numbers[indices[plan->firsts[from] + k]] & in_block;
        }
    }
    plan->starts[b + 1] = entry;
}

static void fill_blocked(sq_column_plan *plan, ptrdiff_t n, const ptrdiff_t *indptr,
                         const ptrdiff_t *indices) {
    const ptrdiff_t n_blocks = n_blocks_of(plan->n_active, plan->log_block);
    ptrdiff_t length, *ends = plan->visit_starts + 1; /* counted as the columns above */
    memset(plan->visit_starts, 0, (size_t)(n_blocks + 2) * sizeof *ends);
    for (ptrdiff_t i = 0; i < n; i++) {
        for (ptrdiff_t p = indptr[i]; p < indptr[i + 1]; p += length) {
            length = run_length(plan, indices, p, indptr[i + 1]);
            ends[(plan->numbers[indices[p]] >> plan->log_block) + 1]++;
        }
    }
    for (ptrdiff_t b = 0; b < n_blocks; b++) ends[b + 1] += ends[b];
    for (ptrdiff_t i = 0; i < n; i++) {
        for (ptrdiff_t p = indptr[i]; p < indptr[i + 1]; p += length) {
            length = run_length(plan, indices, p, indptr[i + 1]);
            ptrdiff_t v = ends[plan->numbers[indices[p]] >> plan->log_block]++;
            plan->by_row[v] = (sq_visit){(int32_t)i, (int32_t)length};
            plan->firsts[v] = p;
        }
    }
    plan->starts[0] = 0;
    for (ptrdiff_t b = 0; b < n_blocks; b++) sort_block(plan, b, indices);
    plan->visits[plan->visit_starts[n_blocks]] = (sq_visit){0}; /* looked at, but not made */
}

void sq_fill_plan(sq_column_plan *plan, ptrdiff_t n, ptrdiff_t m_in, const ptrdiff_t *indptr,
                  const ptrdiff_t *indices) {
    number_columns(plan, m_in, indices + indptr[0], indices + indptr[n]);
    if (plan->scattered) fill_scattered(plan, n, indptr, indices);
    else fill_blocked(plan, n, indptr, indices);
}
