/* Walsh-Hadamard transforms: see hadamard_template.h. */
#ifndef SUBQUAD_HADAMARD_H
#define SUBQUAD_HADAMARD_H
#include <stddef.h>
#include "levels.h"

#define SQ_DECLARE(real, dtype)                                                                    \
    typedef void (*hadamard_rows_##dtype##_fn)(                                                    \
        const real *x, ptrdiff_t x_stride, real *out, ptrdiff_t out_stride, int order,             \
        int log_size, ptrdiff_t count, real scale, int fetch);                                     \
    typedef void (*hadamard_columns_##dtype##_fn)(                                                 \
        real *out, ptrdiff_t stride, ptrdiff_t width, int order);                                  \
    typedef void (*hadamard_signs_##dtype##_fn)(                                                   \
        const real *x, const real *signs, real *out, ptrdiff_t n);                                 \
    extern const hadamard_rows_##dtype##_fn hadamard_rows_##dtype[SQ_LEVELS];                      \
    extern const hadamard_signs_##dtype##_fn hadamard_signs_##dtype[SQ_LEVELS];                    \
    extern const hadamard_columns_##dtype##_fn hadamard_columns_##dtype[SQ_LEVELS];
SQ_DECLARE(float, f32)
SQ_DECLARE(double, f64)
#undef SQ_DECLARE

#endif
