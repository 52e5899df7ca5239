/* Panels of W @ H for sparse rows of H: see column_product_template.h. */
#ifndef SUBQUAD_COLUMN_PRODUCT_H
#define SUBQUAD_COLUMN_PRODUCT_H
#include <stddef.h>
#include "levels.h"

#define SQ_DECLARE(real, dtype)                                                                    \
    typedef void (*column_panel_##dtype##_fn)(                                                     \
        const real *columns, ptrdiff_t m_in, ptrdiff_t m_out, ptrdiff_t first, ptrdiff_t width,    \
        ptrdiff_t n, const ptrdiff_t *indptr, const ptrdiff_t *indices, const real *values,        \
        real *out, ptrdiff_t *cursor);                                                             \
    extern const column_panel_##dtype##_fn column_panel_##dtype[SQ_LEVELS];
SQ_DECLARE(float, f32)
SQ_DECLARE(double, f64)
#undef SQ_DECLARE

#endif
