/* W @ H for sparse rows of H: its plan (column_product.c), its panels (the template). */
#ifndef SUBQUAD_COLUMN_PRODUCT_H
#define SUBQUAD_COLUMN_PRODUCT_H
#include <stddef.h>
#include <stdint.h>
#include "levels.h"

/* How the numbers of W are stored; compact storage belongs to a float32 product. */
enum { SQ_STORED_AS_IS, SQ_STORED_BFLOAT16, SQ_STORED_INT8 };

enum { SQ_COLUMN_BLOCK = 64 }; /* columns that lie side by side in the first-level cache */

/* How many of its entries a row of H has in one block of columns. */
typedef struct {
    int32_t row, count;
} sq_visit;

/* The entries of H in the order of their use.

   Blocked: blocks of columns; in them rows, those with few entries first, since a branch is
   predicted where the count stays the same; in them columns. Scattered: columns, in them rows.
   A column with no entry appears nowhere; the others are numbered. */
typedef struct {
    int scattered;
    ptrdiff_t width;       /* outputs of a panel */
    ptrdiff_t n_active;    /* columns with an entry */
    ptrdiff_t *active;     /* (n_active,) their positions in W */
    ptrdiff_t *starts;     /* of the entries of each block, or of each column, and the end */
    ptrdiff_t *origins;    /* (nnz,) where an entry stands in the CSR form */
    int32_t *places;       /* (nnz,) blocked: its column within the block; scattered: its row */
    void *values;          /* (nnz,) */
    sq_visit *visits;      /* blocked only, */
    ptrdiff_t *visit_starts; /* of each block, and the end */
    int32_t *numbers;      /* (m_in,) of the columns */
    sq_visit *by_row;      /* visits before they are sorted, */
    ptrdiff_t *firsts;     /* and the first entry of each in the CSR form */
    char *panels;          /* scratch of the threads, */
    ptrdiff_t panel_bytes; /* so much for each */
} sq_column_plan;

/* Choose the kind of plan and lay it out from `base`; returns how many bytes it takes. `stored` is
   the size of a number of W, `real_bytes` of one of the product. */
ptrdiff_t sq_lay_out_plan(sq_column_plan *plan, char *base, ptrdiff_t n, ptrdiff_t m_in,
                          ptrdiff_t m_out, ptrdiff_t nnz, ptrdiff_t stored, ptrdiff_t real_bytes,
                          ptrdiff_t n_threads);

/* Fill a plan that has been laid out; all but the values. */
void sq_fill_plan(sq_column_plan *plan, ptrdiff_t n, ptrdiff_t m_in, const ptrdiff_t *indptr,
                  const ptrdiff_t *indices);

/* out[:, first : first + width] += H @ columns[:, first : first + width] */
#define SQ_DECLARE(real, dtype)                                                                    \
    typedef void (*column_panel_##dtype##_fn)(                                                     \
        int storage, const void *columns, ptrdiff_t m_out, ptrdiff_t first, ptrdiff_t width,       \
        ptrdiff_t n, const sq_column_plan *plan, real *out, real *scratch);                        \
    extern const column_panel_##dtype##_fn column_panel_##dtype[SQ_LEVELS];
SQ_DECLARE(float, f32)
SQ_DECLARE(double, f64)
#undef SQ_DECLARE

#endif
