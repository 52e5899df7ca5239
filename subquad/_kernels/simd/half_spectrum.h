/* Products of real spectra that are kept as complex transforms of half the length: see
   half_spectrum_template.h. */
#ifndef SUBQUAD_HALF_SPECTRUM_H
#define SUBQUAD_HALF_SPECTRUM_H
#include <stddef.h>
#include <stdint.h>
#include "levels.h"

#define SQ_DECLARE(dtype, real)                                                                    \
    typedef void (*multiply_halves_##dtype##_fn)(                                                  \
        real *x, const real *y, ptrdiff_t half, const real *turns);                                \
    extern const multiply_halves_##dtype##_fn multiply_halves_##dtype[SQ_LEVELS];
SQ_DECLARE(f32, float)
SQ_DECLARE(f64, double)
#undef SQ_DECLARE

#endif
