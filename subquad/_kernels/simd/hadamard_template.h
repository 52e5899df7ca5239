/* Walsh-Hadamard transforms of contiguous rows, in natural order.

   The levels run from the lowest stride to the highest whatever the blocking, and each is a sum
   and a difference: an entry is bitwise the same at every instruction set and thread count.

   A row of up to 2^(LOG_LANES + 2 LOG_RADIX) reals takes two passes: from the input to scratch in
   the first-level cache, with the levels inside vectors and LOG_RADIX levels across, and from there
   to the output. A longer row is eight shorter ones, transformed depth first, and a pass across
   them: not sixteen, since the lines of a column, a power of two apart, share a set of the cache. */
#include "hadamard_mix.h"
#include "hadamard_columns.h"

#define LOG_RADIX (SQ_LEVEL == SQ_AVX512 ? 4 : 3)
#define LOG_BLOCK (LOG_LANES + 2 * LOG_RADIX)
#define PAGE 4096

/* `count` vectors at a time, of n reals in all: the levels inside them and across them. `fetch`
   asks for what is needed 16 KiB later, so that memory is busy during the second pass, too. */
SQ_INLINE void NAME(first_levels)(
    const real *x, real *out, ptrdiff_t n, real scale, const int count, const int fetch,
    const int scaled) {
    for (ptrdiff_t i = 0; i < n; i += count * LANES) {
        vec v[1 << LOG_RADIX];
        for (int r = 0; r < count; r++) {
            const real *from = x + i + r * LANES;
            if (fetch) __builtin_prefetch((const void *)((uintptr_t)from + 16384), 0, 2);
            v[r] = load(from);
            if (scaled) v[r] *= scale;
        }
        NAME(mix_lanes)(v, count, LOG_LANES);
        NAME(mix)(v, count, 0);
        for (int r = 0; r < count; r++) store(out + i + r * LANES, v[r]);
    }
}

/* Rows of 2^log_size < LANES reals, n reals in all. */
static void NAME(short_rows)(const real *x, real *out, ptrdiff_t n, int log_size, real scale) {
    vec v;
    ptrdiff_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        v = scale * load(x + i);
        NAME(mix_lanes)(&v, 1, log_size);
        store(out + i, v);
    }
    if (i == n) return;
    v = broadcast(0);
    __builtin_memcpy(&v, x + i, (size_t)(n - i) * sizeof(real));
    v *= scale;
    NAME(mix_lanes)(&v, 1, log_size);
    __builtin_memcpy(out + i, &v, (size_t)(n - i) * sizeof(real));
}

/* Two passes over n reals, more than 2^(LOG_LANES + LOG_RADIX). */
static void NAME(two_passes)(const real *x, real *out, ptrdiff_t n, real scale, int fetch) {
    const ptrdiff_t stride = LANES << LOG_RADIX;
    char room[(sizeof(real) << LOG_BLOCK) + 2 * PAGE];
    /* Lines of scratch begin where those of out do. A load waits for a store under way whose
       address has the same last 12 bits: the passes read half a stride away from their stores. */
    uintptr_t start = ((uintptr_t)room + PAGE - 1) / PAGE * PAGE;
    start += ((uintptr_t)out - (uintptr_t)stride * sizeof(real) / 2) % PAGE;
    real *scratch = (real *)start;
#define FIRST_LEVELS(fetch, scaled)                                                                \
    NAME(first_levels)(x, scratch, n, scale, 1 << LOG_RADIX, fetch, scaled)
    if (fetch && scale != 1)
        FIRST_LEVELS(1, 1);
    else if (fetch)
        FIRST_LEVELS(1, 0);
    else if (scale != 1)
        FIRST_LEVELS(0, 1);
    else
        FIRST_LEVELS(0, 0);
#undef FIRST_LEVELS
    NAME(columns)(scratch, stride, out, stride, stride, (int)(n / stride));
}

/* One row of LANES or more reals. */
static void NAME(row)(const real *x, real *out, int log_size, real scale, int fetch) {
    const ptrdiff_t n = (ptrdiff_t)1 << log_size;
    if (log_size > LOG_BLOCK) {
        const int left = log_size - LOG_BLOCK, levels = left < 3 ? left : 3;
        for (int r = 0; r < 1 << levels; r++)
            NAME(row)(x + r * (n >> levels), out + r * (n >> levels), log_size - levels, scale,
                      fetch);
        NAME(columns)(out, n >> levels, out, n >> levels, n >> levels, 1 << levels);
        return;
    }
    switch (log_size - LOG_LANES) {
    case 0: NAME(first_levels)(x, out, n, scale, 1, 0, 1); break;
    case 1: NAME(first_levels)(x, out, n, scale, 2, 0, 1); break;
    case 2: NAME(first_levels)(x, out, n, scale, 4, 0, 1); break;
    case 3: NAME(first_levels)(x, out, n, scale, 8, 0, 1); break;
#if SQ_LEVEL == SQ_AVX512
    case 4: NAME(first_levels)(x, out, n, scale, 16, 0, 1); break;
#endif
    default: NAME(two_passes)(x, out, n, scale, fetch);
    }
}

/* out = scale * (H_order (x) H_(2^log_size)) x for `count` rows; out may be x. `fetch` for rows
   that come from memory. */
static void NAME(hadamard_rows)(
    const real *x, ptrdiff_t x_stride, real *out, ptrdiff_t out_stride, int order, int log_size,
    ptrdiff_t count, real scale, int fetch) {
    const ptrdiff_t size = (ptrdiff_t)1 << log_size, m = order * size;
    const int joined = log_size < LOG_LANES && x_stride == m && out_stride == m;
    if (joined) NAME(short_rows)(x, out, count * m, log_size, scale);
    for (ptrdiff_t i = 0; i < count; i++, x += x_stride, out += out_stride) {
        if (log_size >= LOG_LANES)
            for (int r = 0; r < order; r++)
                NAME(row)(x + r * size, out + r * size, log_size, scale, fetch);
        else if (!joined)
            NAME(short_rows)(x, out, m, log_size, scale);
        if (order > 1) NAME(columns)(out, size, out, size, size, order);
    }
}

/* out = (H_order (x) I) out across rows `stride` apart, `width` columns of them. */
static void NAME(hadamard_columns)(real *out, ptrdiff_t stride, ptrdiff_t width, int order) {
    NAME(columns)(out, stride, out, stride, width, order);
}

#undef LOG_LANES
#undef LOG_RADIX
#undef LOG_BLOCK
#undef PAGE
#undef SQ_INLINE
#undef EACH_LANE
#undef LANE_PARTNER
#undef LANE_SIGN
#undef LANE_LEVEL
#undef SWAP_LANES
#undef IN_REGISTER
#undef HIDE
