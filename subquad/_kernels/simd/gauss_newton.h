/* One pass over the neurons of a Gauss-Newton step: see gauss_newton_template.h. */
#ifndef SUBQUAD_GAUSS_NEWTON_H
#define SUBQUAD_GAUSS_NEWTON_H
#include <stddef.h>
#include <stdint.h>
#include "levels.h"

enum {
    SQ_TILE_BYTES = 512, /* of reals: a tile of data points */
    /* Words of data points j whose moves all neurons of a run use before the next ones: 32 kB. With
       all words at once a pass over 4096 points took 1.7 times as long, with 2 and 4 of them 1.3
       and 1.6 times (AVX2). */
    SQ_WORDS_PER_PASS = 1,
};

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
