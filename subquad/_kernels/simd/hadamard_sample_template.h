/* Chosen entries of Walsh-Hadamard transforms of columns, as many columns as fill some cache lines.

   The levels run from the lowest stride to the highest as in hadamard_template.h, each a sum and a
   difference, so that an entry has the bits that it has there. The lowest levels are computed whole,
   in the cache. Of later ones only those entries are computed that the chosen ones depend on: with
   s chosen entries, no more than s of a block, however long it is.

   Rows of all arrays but x and the last output lie `stride` reals apart: the width, rounded up to
   whole vectors. What lies beyond the width is computed and not used. */
#include "hadamard_mix.h"

/* Memory is asked for the rows that come so many rows later: each is a short piece of a long row,
   which no processor foresees. */
#define ROWS_AHEAD 16

SQ_INLINE ptrdiff_t NAME(whole_vectors)(ptrdiff_t width) {
    return (width + LANES - 1) / LANES * LANES;
}

/* out = H x across `radix` rows, each multiplied by its sign. */
SQ_INLINE void NAME(mix_signed)(
    const real *x, ptrdiff_t x_stride, const int8_t *signs, ptrdiff_t stride, real *out,
    const int radix, const int is_far) {
    vec sign[8];
    for (int r = 0; r < radix; r++) sign[r] = broadcast(signs[r]);
    for (ptrdiff_t j = 0; j < stride; j += LANES) {
        vec v[8];
#pragma GCC unroll 8
        for (int r = 0; r < radix; r++) {
            const real *row = x + r * x_stride + j;
            v[r] = load(row) * sign[r];
            if (is_far)
                __builtin_prefetch(
                    (const real *)((uintptr_t)row + ROWS_AHEAD * x_stride * sizeof(real)));
        }
        NAME(mix)(v, radix, SQ_LEVEL > SQ_BASELINE);
#pragma GCC unroll 8
        for (int r = 0; r < radix; r++) store(out + r * stride + j, v[r]);
    }
}

/* The lowest level, from the rows of x that follow row `first`, of which there is at least one. */
static void NAME(sample_rows)(
    const sq_levels_of_sample *plan, const real *x, ptrdiff_t x_stride, ptrdiff_t width,
    ptrdiff_t first, real *room, real *out) {
    const ptrdiff_t radix = plan->radices[0], stride = NAME(whole_vectors)(width);
    const ptrdiff_t rows = plan->m - first < radix ? plan->m - first : radix;
    const int8_t *signs = plan->signs + first;
    int8_t some[8] = {0};
    x += first * x_stride;
    if (rows < radix || width < stride) {
        __builtin_memset(room, 0, (size_t)(radix * stride) * sizeof(real));
        for (ptrdiff_t r = 0; r < rows; r++)
            __builtin_memcpy(room + r * stride, x + r * x_stride, (size_t)width * sizeof(real));
        __builtin_memcpy(some, signs, (size_t)rows);
        signs = some;
        x = room;
        x_stride = stride;
    }
    switch (radix) {
    case 1: NAME(mix_signed)(x, x_stride, signs, stride, out, 1, 0); break;
    case 2: NAME(mix_signed)(x, x_stride, signs, stride, out, 2, 0); break;
    case 4: NAME(mix_signed)(x, x_stride, signs, stride, out, 4, 0); break;
    case 8: NAME(mix_signed)(x, x_stride, signs, stride, out, 8, 1); break;
    }
}

/* H across `radix` parts of n reals that follow each other, in place. */
SQ_INLINE void NAME(mix_parts)(real *out, ptrdiff_t n, const int radix) {
    for (ptrdiff_t i = 0; i < n; i += LANES) {
        vec v[8];
#pragma GCC unroll 8
        for (int r = 0; r < radix; r++) v[r] = load(out + r * n + i);
        NAME(mix)(v, radix, SQ_LEVEL > SQ_BASELINE);
#pragma GCC unroll 8
        for (int r = 0; r < radix; r++) store(out + r * n + i, v[r]);
    }
}

SQ_INLINE void NAME(store_scaled)(real *out, vec v, real scale, ptrdiff_t count) {
    v *= scale;
    if (count >= LANES)
        store(out, v);
    else
        __builtin_memcpy(out, &v, (size_t)count * sizeof(real));
}

/* Sums over 2, 4 or 8 parts (or 1), `step` reals apart, pairwise as levels of butterflies. */
SQ_INLINE void NAME(sum_powers)(
    const real *parts, ptrdiff_t step, const int order, const sq_sum *sums, ptrdiff_t n_sums,
    ptrdiff_t width, real scale, real *out, ptrdiff_t out_stride) {
    const ptrdiff_t stride = NAME(whole_vectors)(width);
    for (ptrdiff_t i = 0; i < n_sums; i++) {
        const real *from = parts + sums[i].source * stride;
        real *to = out + sums[i].target * out_stride;
        const vec first = broadcast(sums[i].row & 1 ? -1 : 1);
        const vec second = broadcast(sums[i].row & 2 ? -1 : 1);
        const vec third = broadcast(sums[i].row & 4 ? -1 : 1);
        for (ptrdiff_t j = 0; j < stride; j += LANES) {
            vec v[8];
#pragma GCC unroll 8
            for (int r = 0; r < order; r += 2) {
                v[r] = load(from + r * step + j);
                if (order > 1) v[r] += first * load(from + (r + 1) * step + j);
            }
#pragma GCC unroll 2
            for (int r = 0; r + 2 < order; r += 4) v[r] += second * v[r + 2];
            if (order == 8) v[0] += third * v[4];
            NAME(store_scaled)(to + j, v[0], scale, width - j);
        }
    }
}

/* Sums over 12, 20 or 28 parts. */
SQ_INLINE void NAME(sum_orders)(
    const real *parts, ptrdiff_t step, const int order, const sq_sum *sums, ptrdiff_t n_sums,
    ptrdiff_t width, real scale, real *out, ptrdiff_t out_stride) {
    const ptrdiff_t stride = NAME(whole_vectors)(width);
    for (ptrdiff_t i = 0, next; i < n_sums; i = next) {
        const real *from = parts + sums[i].source * stride;
        for (next = i; next < n_sums && sums[next].source == sums[i].source;) next++;
        for (ptrdiff_t j = 0; j < stride; j += LANES) {
            vec v[28];
            for (int r = 0; r < order; r++) v[r] = load(from + r * step + j);
            NAME(mix_order)(v, order);
            for (ptrdiff_t k = i; k < next; k++)
                NAME(store_scaled)(out + sums[k].target * out_stride + j, v[sums[k].row], scale,
                                   width - j);
        }
    }
}

/* out = scale * sums over `order` parts, `step` reals apart. */
static void NAME(sample_sums)(
    const real *parts, ptrdiff_t step, int order, const sq_sum *sums, ptrdiff_t n_sums,
    ptrdiff_t width, real scale, real *out, ptrdiff_t out_stride) {
#define SUMS(order, by)                                                                            \
    case order: NAME(by)(parts, step, order, sums, n_sums, width, scale, out, out_stride); break
    switch (order) {
        SUMS(1, sum_powers);
        SUMS(2, sum_powers);
        SUMS(4, sum_powers);
        SUMS(8, sum_powers);
        SUMS(12, sum_orders);
        SUMS(20, sum_orders);
        SUMS(28, sum_orders);
    }
#undef SUMS
}

/* The known entries of the block of rows of x from row `first` on, at a level. */
static void NAME(sample_block)(
    const sq_levels_of_sample *plan, int level, const real *x, ptrdiff_t x_stride, ptrdiff_t width,
    ptrdiff_t first, real *room, real *out) {
    const ptrdiff_t stride = NAME(whole_vectors)(width), count = plan->counts[level];
    if (first >= plan->m) {
        __builtin_memset(out, 0, (size_t)(count * stride) * sizeof(real));
        return;
    }
    if (level == 0) {
        NAME(sample_rows)(plan, x, x_stride, width, first, room, out);
        return;
    }
    const ptrdiff_t radix = plan->radices[level], span = plan->spans[level - 1];
    const ptrdiff_t n = plan->counts[level - 1] * stride;
    const int is_whole = level <= plan->last_whole;
    real *parts = is_whole ? out : room;
    if (!is_whole) room += radix * n;
    for (ptrdiff_t r = 0; r < radix; r++)
        NAME(sample_block)(plan, level - 1, x, x_stride, width, first + r * span, room,
                           parts + r * n);
    if (!is_whole)
        NAME(sample_sums)(parts, n, (int)radix, plan->sums + plan->firsts[level], count, stride, 1,
                          out, stride);
    else if (radix == 8)
        NAME(mix_parts)(out, n, 8);
    else if (radix == 4)
        NAME(mix_parts)(out, n, 4);
    else
        NAME(mix_parts)(out, n, 2);
}

#undef ROWS_AHEAD
#include "hadamard_mix_end.h"
