/* Chosen entries of Walsh-Hadamard transforms of columns: see hadamard_sample_template.h. */
#ifndef SUBQUAD_HADAMARD_SAMPLE_H
#define SUBQUAD_HADAMARD_SAMPLE_H
#include <stddef.h>
#include <stdint.h>
#include "levels.h"

/* One entry of a sum over the parts of a block: row `source` of each part, with the signs of row
   `row` of Sylvester's matrix (for the last sum: row `row` of the matrix of the order), goes to
   row `target`. Sums are sorted by their sources. */
typedef struct {
    ptrdiff_t source, row, target;
} sq_sum;

/* Level l joins radices[l] blocks of spans[l - 1] rows, of which counts[l - 1] entries are known,
   to one of spans[l] rows and counts[l] known entries: all of them up to level `last_whole`, and
   then those of the counts[l] sums from firsts[l] on. */
typedef struct {
    ptrdiff_t m; /* rows there are; those after them are zeros */
    const int8_t *signs;
    int last_whole;
    const ptrdiff_t *radices, *spans, *counts, *firsts;
    const sq_sum *sums;
} sq_levels_of_sample;

#define SQ_DECLARE(real, dtype)                                                                    \
    typedef void (*sample_block_##dtype##_fn)(                                                     \
        const sq_levels_of_sample *plan, int level, const real *x, ptrdiff_t x_stride,             \
        ptrdiff_t width, ptrdiff_t first, real *room, real *out);                                  \
    typedef void (*sample_sums_##dtype##_fn)(                                                      \
        const real *parts, ptrdiff_t step, int order, const sq_sum *sums, ptrdiff_t n_sums,       \
        ptrdiff_t width, real scale, real *out, ptrdiff_t out_stride);                             \
    extern const sample_block_##dtype##_fn sample_block_##dtype[SQ_LEVELS];                        \
    extern const sample_sums_##dtype##_fn sample_sums_##dtype[SQ_LEVELS];
SQ_DECLARE(float, f32)
SQ_DECLARE(double, f64)
#undef SQ_DECLARE

#endif
