/* Spectra of real rows from complex transforms of half the length: see half_spectrum_template.h. */
#ifndef SUBQUAD_HALF_SPECTRUM_H
#define SUBQUAD_HALF_SPECTRUM_H
#include <stddef.h>
#include <stdint.h>
#include "levels.h"

#define SQ_DECLARE(dtype, real)                                                                    \
    typedef void (*half_spectrum_##dtype##_fn)(                                                    \
        const real *in, ptrdiff_t half, const real *cosines, const real *sines, real *out);        \
    typedef void (*multiply_spectra_##dtype##_fn)(real *x, const real *y, ptrdiff_t size);         \
    extern const multiply_spectra_##dtype##_fn multiply_spectra_##dtype[SQ_LEVELS];                \
    extern const half_spectrum_##dtype##_fn spectrum_of_half_##dtype[SQ_LEVELS];                   \
    extern const half_spectrum_##dtype##_fn half_of_spectrum_##dtype[SQ_LEVELS];
SQ_DECLARE(f32, float)
SQ_DECLARE(f64, double)
#undef SQ_DECLARE

#endif
