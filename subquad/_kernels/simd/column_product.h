/* W @ H for sparse rows of H: its plan (column_product.c), its panels (the template). */
#ifndef SUBQUAD_COLUMN_PRODUCT_H
#define SUBQUAD_COLUMN_PRODUCT_H
#include <stddef.h>
#include <stdint.h>
#include "levels.h"

/* How the numbers of W are stored; compact storage belongs to a float32 product. */
enum { SQ_STORED_AS_IS, SQ_STORED_BFLOAT16, SQ_STORED_INT8 };

enum {
    SQ_LOG_BLOCK = 6, /* of the columns that lie side by side in the first-level cache, */
    SQ_LOG_PACKED_BLOCK = 7, /* and of those of half the size: compact ones */
    SQ_MOST_IN_BLOCK = 1 << SQ_LOG_PACKED_BLOCK,
    SQ_ROW_GROUP = 16,    /* rows of W that are read together, if any of them is needed */
};

/* Sizes of a product: n rows of H, m_in columns of H, m_out columns of the product. */
typedef struct {
    int transposed; /* W^T is applied: its columns are m_in rows of W, across W's memory */
    int level;      /* of instructions, levels.h */
    ptrdiff_t n, m_in, m_out, nnz;
    ptrdiff_t stored, real_bytes; /* of a number of W, and of one of the product */
    ptrdiff_t n_threads;
} sq_product_sizes;

/* How many of its entries a row of H has in one block of columns. */
typedef struct {
    int32_t row, count;
} sq_visit;

/* The entries of H in the order of their use.

   Blocked: blocks of columns; in them rows, those with few entries first, since a branch is
   predicted where the count stays the same; in them columns. Scattered: columns, in them rows.
   A column with no entry appears nowhere (transposed: a group without any); the others are
   numbered. */
typedef struct {
    int scattered, transposed;
    int log_block;         /* of the columns of a block */
    ptrdiff_t width;       /* outputs of a panel */
    ptrdiff_t n_active;    /* columns with an entry, or in a group with one */
    ptrdiff_t *active;     /* (n_active,) their positions in W */
    ptrdiff_t *starts;     /* of the entries of each block, or of each column, and the end */
    ptrdiff_t *origins;    /* (nnz,) where an entry stands in the CSR form */
    int32_t *places;       /* (nnz,) blocked: its column within the block; scattered: its row */
    void *values;          /* (nnz,) */
    sq_visit *visits;      /* blocked only, and one more, */
    ptrdiff_t *visit_starts; /* of each block, and the end */
    int32_t *numbers;      /* (m_in,) of the columns */
    sq_visit *by_row;      /* visits before they are sorted, */
    ptrdiff_t *firsts;     /* and the first entry of each in the CSR form */
    char *panels;          /* scratch of the threads, */
    ptrdiff_t panel_bytes; /* so much for each */
} sq_column_plan;

/* Choose the kind of plan and lay it out from `base`; returns how many bytes it takes. */
ptrdiff_t sq_lay_out_plan(sq_column_plan *plan, char *base, const sq_product_sizes *sizes);

/* Fill a plan that has been laid out; all but the values. */
void sq_fill_plan(sq_column_plan *plan, ptrdiff_t n, ptrdiff_t m_in, const ptrdiff_t *indptr,
                  const ptrdiff_t *indices);

/* out[:, first : first + width] += H @ columns[:, first : first + width], or, transposed, H @
   columns[first : first + width, :]^T. `across` is how many numbers a row of `columns` has. */
#define SQ_DECLARE(real, dtype)                                                                    \
    typedef void (*column_panel_##dtype##_fn)(                                                     \
        int storage, const void *columns, ptrdiff_t across, ptrdiff_t first, ptrdiff_t width,      \
        ptrdiff_t n, ptrdiff_t m_out, const sq_column_plan *plan, real *out, real *scratch);       \
    extern const column_panel_##dtype##_fn column_panel_##dtype[SQ_LEVELS];
SQ_DECLARE(float, f32)
SQ_DECLARE(double, f64)
#undef SQ_DECLARE

#endif
