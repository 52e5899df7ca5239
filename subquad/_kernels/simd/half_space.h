/* Half-space reports: see half_space_template.h. */
#ifndef SUBQUAD_HALF_SPACE_H
#define SUBQUAD_HALF_SPACE_H
#include <limits.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include "levels.h"

enum {
    HALF_SPACE_LANES = 64, /* points of a block */
    HALF_SPACE_ITEM = 8,   /* points of an item */
    HALF_SPACE_ITEMS = 8,  /* items of a block: 64 / 8 */
    HALF_SPACE_FAN = 16,   /* children of a node */
    HALF_SPACE_QUERIES = 64, /* at most, of a search: one bit each */
    HALF_SPACE_CODED = 128 /* coordinates of points in codes, at most */
};

typedef struct {
    const void *points;     /* (n_blocks, d, 64); NaN where a lane holds no point */
    const int32_t *ids;     /* (n_blocks, 64) */
    const uint8_t *codes;   /* (n_blocks, (d + 1) / 2, 64, 2), or NULL: half_space_codes.h */
    const double *fits;     /* (n_blocks, 3) */
    const void *bounds;     /* (n_nodes, d, 2, 16): lowest and highest coordinates of 16 children */
    const void *items;      /* (n_leaves, d, 2, 8): those of the items of a leaf */
    const ptrdiff_t *first; /* (n_levels,): first node of each level in bounds */
    ptrdiff_t d;
    ptrdiff_t n_leaves;
    const void *A;          /* (n_queries, d) */
    const void *b;          /* (n_queries,) */
    ptrdiff_t n_queries;
    int32_t *hit_ids;       /* (n_queries, capacity) */
    void *hit_values;       /* (n_queries, capacity) */
    ptrdiff_t capacity;
    ptrdiff_t *counts;      /* (n_queries,): hits, whether there was room for them or not */
    ptrdiff_t n_tested;     /* items tested, summed over the queries */
} half_space_search;

typedef void (*half_space_fn)(half_space_search *, int level, ptrdiff_t first, ptrdiff_t last);
extern const half_space_fn half_space_f32[SQ_LEVELS];
extern const half_space_fn half_space_f64[SQ_LEVELS];

typedef void (*half_space_refit_f32_fn)(
    const float *block, ptrdiff_t d, float *bounds, float *items);
typedef void (*half_space_refit_f64_fn)(
    const double *block, ptrdiff_t d, double *bounds, double *items);
extern const half_space_refit_f32_fn half_space_refit_f32[SQ_LEVELS];
extern const half_space_refit_f64_fn half_space_refit_f64[SQ_LEVELS];

typedef void (*half_space_encode_f32_fn)(
    const float *block, ptrdiff_t d, uint8_t *codes, double *fit);
typedef void (*half_space_encode_f64_fn)(
    const double *block, ptrdiff_t d, uint8_t *codes, double *fit);
extern const half_space_encode_f32_fn half_space_encode_f32[SQ_LEVELS];
extern const half_space_encode_f64_fn half_space_encode_f64[SQ_LEVELS];

typedef void (*half_space_sort_fn)(
    const int32_t *ids, const void *values, ptrdiff_t count, int key_bits, uint64_t *scratch,
    ptrdiff_t *out_ids, void *out_values);
extern const half_space_sort_fn half_space_sort_f32[SQ_LEVELS];
extern const half_space_sort_fn half_space_sort_f64[SQ_LEVELS];

#endif
