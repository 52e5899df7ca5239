/* One pass over the neurons of a Gauss-Newton step: see gauss_newton_template.h. */
#ifndef SUBQUAD_GAUSS_NEWTON_H
#define SUBQUAD_GAUSS_NEWTON_H
#include <stddef.h>
#include <stdint.h>
#include "levels.h"

/* A tile of data points is this many bytes of reals. */
enum { SQ_TILE_BYTES = 512 };

#define SQ_DECLARE(real, dtype)                                                                    \
    typedef ptrdiff_t (*move_neurons_##dtype##_fn)(                                                     \
        const real *base, const real *change, const uint64_t *fired, const double *gram,           \
        const double *weights, const double *readout, double keep, const double *jump,             \
        ptrdiff_t count, ptrdiff_t n, ptrdiff_t ld, real *new_change, uint64_t *new_fired,         \
        double *outputs, double *linear, real *moves);                                             \
    extern const move_neurons_##dtype##_fn move_neurons_##dtype[SQ_LEVELS];
SQ_DECLARE(float, f32)
SQ_DECLARE(double, f64)
#undef SQ_DECLARE

#endif
