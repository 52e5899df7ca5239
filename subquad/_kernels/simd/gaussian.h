/* Entries of a random matrix as functions of their position: see gaussian_template.h. */
#ifndef SUBQUAD_GAUSSIAN_H
#define SUBQUAD_GAUSSIAN_H
#include <stddef.h>
#include <stdint.h>
#include "levels.h"

/* A tile is GAUSSIAN_TILE consecutive entries of one column, or of one row, of the matrix. A block
   is up to GAUSSIAN_BLOCK tiles; a run is up to GAUSSIAN_RUN entries of one data point in one
   block. */
enum { GAUSSIAN_TILE = 64, GAUSSIAN_BLOCK = 128, GAUSSIAN_RUN = 8 };

/* The law of the entries. Column j of the matrix is keyed by keys[j], keys[stride + j] and
   keys[2 stride + j]; stride is a multiple of GAUSSIAN_TILE. table, of 256 numbers of which
   table[128 + i] = -table[i], is NULL for normals. */
typedef struct {
    const uint32_t *keys;
    ptrdiff_t stride;
    const int8_t *table;
} sq_gaussian;

/* Sparse rows, block by block of the columns they need. groups + 9 b holds the first run of length
   8, 7, ..., 1 of block b, and then the end of the block; columns count within their block. */
typedef struct {
    const ptrdiff_t *sources, *groups;
    ptrdiff_t n_sources;
    const int32_t *points;
    const uint8_t *columns;
} sq_plan;

typedef void (*gaussian_column_i8_fn)(
    const sq_gaussian *law, ptrdiff_t column, ptrdiff_t n_rows, int8_t *entries);
extern const gaussian_column_i8_fn gaussian_column_i8[SQ_LEVELS];

#define SQ_DECLARE(real, dtype)                                                                    \
    typedef void (*gaussian_column_##dtype##_fn)(                                                  \
        const sq_gaussian *law, double scale, ptrdiff_t column, ptrdiff_t n_rows, real *entries);  \
    typedef void (*gaussian_panel_##dtype##_fn)(                                                   \
        const sq_gaussian *law, const sq_plan *plan, int transposed, const real *values,           \
        ptrdiff_t first, ptrdiff_t n, real *out, ptrdiff_t ld, real *scratch);                     \
    extern const gaussian_column_##dtype##_fn gaussian_column_##dtype[SQ_LEVELS];                  \
    extern const gaussian_panel_##dtype##_fn gaussian_panel_##dtype[SQ_LEVELS];
SQ_DECLARE(float, f32)
SQ_DECLARE(double, f64)
#undef SQ_DECLARE

#endif
