/* columns += V^T U for few rows of U and V: see low_rank_template.h. */
#ifndef SUBQUAD_LOW_RANK_H
#define SUBQUAD_LOW_RANK_H
#include <stddef.h>
#include <stdint.h>
#include "levels.h"

enum { SQ_FLUSH_TILE_BYTES = 256, SQ_FLUSH_RANK = 64 }; /* of a tile of outputs; largest rank */

#define SQ_DECLARE(real, dtype)                                                                    \
    typedef void (*flush_rows_##dtype##_fn)(                                                       \
        real *columns, ptrdiff_t m_in, ptrdiff_t m_out, ptrdiff_t first, ptrdiff_t last,           \
        const real *packed, const real *V, ptrdiff_t rank);                                        \
    extern const flush_rows_##dtype##_fn flush_rows_##dtype[SQ_LEVELS];
SQ_DECLARE(float, f32)
SQ_DECLARE(double, f64)
#undef SQ_DECLARE

#endif
