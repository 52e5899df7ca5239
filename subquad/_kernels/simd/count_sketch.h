/* Signed sums of entries and of rows by bucket: see count_sketch_template.h.

   A code is 2 * bucket + (1 where the sign is -1). */
#ifndef SUBQUAD_COUNT_SKETCH_H
#define SUBQUAD_COUNT_SKETCH_H
#include <stddef.h>
#include <stdint.h>
#include "levels.h"

#define SQ_SKETCH_ROWS 8 /* at most so many rows are sketched together: f32 in 32 bytes */

#define SQ_DECLARE(dtype, real)                                                                    \
    typedef void (*sketch_rows_##dtype##_fn)(                                                      \
        const real *x, ptrdiff_t x_stride, ptrdiff_t rows, ptrdiff_t m, const int32_t *code,       \
        real *out, ptrdiff_t s, real *scratch);                                                    \
    typedef void (*sketch_entries_##dtype##_fn)(                                                   \
        const ptrdiff_t *indices, const real *values, ptrdiff_t count, const int32_t *code,        \
        real *out);                                                                                \
    typedef void (*add_signed_##dtype##_fn)(const real *x, ptrdiff_t m, int negative, real *out);  \
    extern const sketch_rows_##dtype##_fn sketch_rows_##dtype[SQ_LEVELS];                          \
    extern const sketch_entries_##dtype##_fn sketch_entries_##dtype[SQ_LEVELS];                    \
    extern const add_signed_##dtype##_fn add_signed_##dtype[SQ_LEVELS];
SQ_DECLARE(f32, float)
SQ_DECLARE(f64, double)
#undef SQ_DECLARE

#endif
