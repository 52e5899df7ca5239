/* Responses of a factored hidden layer, and their transpose: see factored_template.h. */
#ifndef SUBQUAD_FACTORED_H
#define SUBQUAD_FACTORED_H
#include <stddef.h>
#include <stdint.h>
#include "levels.h"

/* What all data points share. */
#define SQ_DECLARE(real, dtype)                                                                    \
    typedef struct {                                                                               \
        const real *signs;   /* (m,), of +-k^-1/2 or 0; NULL if there is no transform */           \
        const real *readout; /* (n_outputs, m) */                                                  \
        ptrdiff_t m;         /* neurons and padding: a multiple of the larger one of 64 and p */   \
        ptrdiff_t neurons;   /* the first so many may fire */                                      \
        ptrdiff_t n_outputs;                                                                       \
        ptrdiff_t p;    /* entries of a block, a power of two; m if there is no transform */       \
        int jumps;      /* whether what fires answers with z, and not with z - threshold */        \
    } factored_layer_##dtype;                                                                      \
    typedef void (*factored_forward_##dtype##_fn)(                                                 \
        const factored_layer_##dtype *layer, const real *x, const real *thresholds,                \
        ptrdiff_t count, const uint64_t *before, double *outputs, uint64_t *fired,                 \
        ptrdiff_t *active, ptrdiff_t *flips, real *scratch);                                       \
    typedef void (*factored_backward_##dtype##_fn)(                                                \
        const factored_layer_##dtype *layer, const uint64_t *fired, const double *weights,         \
        ptrdiff_t count, real *out, real *scratch);                                                \
    extern const factored_forward_##dtype##_fn factored_forward_##dtype[SQ_LEVELS];                \
    extern const factored_backward_##dtype##_fn factored_backward_##dtype[SQ_LEVELS];
SQ_DECLARE(float, f32)
SQ_DECLARE(double, f64)
#undef SQ_DECLARE

/* Neurons that are worked on at once: enough to amortise what is done once for them, few enough
   that they and their signs and readouts stay in the first-level cache. */
#define SQ_FACTORED_GROUP 1024

#endif
