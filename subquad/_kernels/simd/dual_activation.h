/* Kernels that depend on the angle between two points: see dual_activation_template.h. */
#ifndef SUBQUAD_DUAL_ACTIVATION_H
#define SUBQUAD_DUAL_ACTIVATION_H
#include <stddef.h>
#include <stdint.h>
#include "levels.h"

/* Coefficients of a piece, a cache line; pieces in an octave, as a power of two. */
enum { SQ_PROFILE_TERMS = 8, SQ_PROFILE_LOG_PIECES = 5 };

/* A function of the angle, as pieces: first those of r >= 0, then those of r < 0. */
typedef struct {
    const double *table;
    double offset; /* a power of two */
    ptrdiff_t n_pieces;
    double at_zero; /* the function of angle 0 */
    double close;   /* squared half chords below it are computed from the points */
    double equal;   /* points of r > 0 with squared half chords up to it have angle 0 */
} sq_profile;

/* Points as rows: dense with n_columns entries where indptr is NULL, else CSR. */
typedef struct {
    const void *values;
    const ptrdiff_t *indptr, *indices;
    ptrdiff_t n_columns;
} sq_points;

#define SQ_DECLARE(real, dtype)                                                                    \
    typedef void (*profile_row_##dtype##_fn)(                                                      \
        const sq_profile *profile, const sq_points *left, ptrdiff_t i, const sq_points *right,     \
        ptrdiff_t n, const real *r, double left_norm, const double *right_norms, real *out);       \
    extern const profile_row_##dtype##_fn profile_row_##dtype[SQ_LEVELS];
SQ_DECLARE(float, f32)
SQ_DECLARE(double, f64)
#undef SQ_DECLARE

#endif
