/* Walsh-Hadamard transforms of contiguous rows, in natural order.

   The levels run from the lowest stride to the highest whatever the blocking, and each is a sum
   and a difference: an entry is bitwise the same at every instruction set and thread count.

   A row of up to 2^(LOG_LANES + 2 LOG_RADIX) reals takes two passes: from the input to scratch in
   the first-level cache, with the levels inside vectors and LOG_RADIX levels across, and from there
   to the output. A longer row is eight shorter ones, transformed depth first, and a pass across
   them; not sixteen: the lines of a column, a power of two apart, share a set of the cache. */
#include "hadamard_mix.h"
#include "hadamard_columns.h"

#define LOG_RADIX 4
#define LOG_BLOCK (LOG_LANES + 2 * LOG_RADIX)
#define PAGE 4096
/* Of so many levels across vectors, the first pass takes this many: 16 vectors at once pay where
   there are registers for them, or no other way. */
#define FIRST(levels) (AT_ONCE == 16 || (levels) == 2 * LOG_RADIX ? LOG_RADIX : 3)

/* Asks memory for `count` vectors. */
SQ_INLINE void NAME(ask_for)(const real *x, const int count) {
    for (int r = 0; r < count; r++) __builtin_prefetch(x + r * LANES);
}

SQ_INLINE void NAME(load_vectors)(
    const real *x, vec *v, const int count, real scale, const int scaled) {
    for (int r = 0; r < count; r++) v[r] = load(x + r * LANES);
    if (scaled)
        for (int r = 0; r < count; r++) v[r] *= scale;
}

/* The levels inside and across `count` vectors, n reals in all. Meanwhile, unless `ahead` is NULL,
   memory is asked for n / 2 reals there. */
SQ_INLINE void NAME(first_levels)(
    const real *x, real *out, ptrdiff_t n, const int count, real scale, const int scaled,
    const real *ahead) {
    const int part = count < AT_ONCE ? count : AT_ONCE;
    for (ptrdiff_t i = 0; i < n; i += count * LANES) {
        vec v[1 << LOG_RADIX];
#pragma GCC unroll 2
        for (int first = 0; first < count; first += part) {
            NAME(load_vectors)(x + i + first * LANES, v + first, part, scale, scaled);
            /* Later parts leave registers to the first one. */
            const int some = (first == 0) || part < 4 ? part : part / 2;
#pragma GCC unroll 2
            for (int r = first; r < first + part; r += some)
                NAME(mix_lanes)(v + r, some, LOG_LANES);
            NAME(mix)(v + first, part, 0);
        }
        if (part < count) LEVEL(v, count, part);
        if (ahead) NAME(ask_for)(ahead + i / 2, count / 2);
        for (int r = 0; r < count; r++) store(out + i + r * LANES, v[r]);
    }
}

#if SQ_LEVEL == SQ_AVX512
/* The same for 16 vectors, eight ahead in the 32 registers; out does not overlap x. */
SQ_INLINE void NAME(first_levels_ahead)(
    const real *x, real *out, ptrdiff_t n, real scale, const int scaled, const real *ahead) {
    vec low[8], high[8], next[8];
    NAME(load_vectors)(x, low, 8, scale, scaled);
    NAME(mix_lanes)(low, 8, LOG_LANES);
    for (ptrdiff_t i = 0; i < n; i += 16 * LANES) {
        NAME(load_vectors)(x + i + 8 * LANES, high, 8, scale, scaled);
        NAME(mix_both)(high, low);
        NAME(load_vectors)(i + 16 * LANES < n ? x + i + 16 * LANES : x, next, 8, scale, scaled);
        NAME(mix_both)(next, high);
        if (ahead) NAME(ask_for)(ahead + i / 2, 8);
        for (int r = 0; r < 8; r++) {
            store(out + i + r * LANES, low[r] + high[r]);
            store(out + i + (8 + r) * LANES, low[r] - high[r]);
            low[r] = next[r];
        }
    }
}
#define FIRST_LEVELS(scaled) NAME(first_levels_ahead)(x, scratch, n, scale, scaled, next)
#else
#define FIRST_LEVELS(scaled)                                                                       \
    NAME(first_levels)(x, scratch, n, 1 << log_first, scale, scaled, next)
#endif

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

/* Two passes over rows of 2^levels vectors that follow each other, n reals in all, which `room`
   holds. Short rows are taken together, since each pass begins with a wait for the end of the one
   before. `fetch` keeps memory busy: each pass asks for half of what lies 16 KiB ahead. */
SQ_INLINE void NAME(two_passes)(
    const real *x, real *out, ptrdiff_t n, const int levels, real scale, int fetch, char *room) {
    const int log_first = FIRST(levels), order = 1 << (levels - log_first);
    const ptrdiff_t stride = LANES << log_first;
    /* Lines of scratch begin where those of out do. A load waits for a store under way whose
       address has the same last 12 bits: the passes read half a stride away from their stores. */
    uintptr_t start = ((uintptr_t)room + PAGE - 1) / PAGE * PAGE;
    start += ((uintptr_t)out - (uintptr_t)stride * sizeof(real) / 2) % PAGE;
    if (order * stride < WHOLE_LINES) start -= start % SQ_BYTES; /* out is stored to as it comes */
    real *scratch = (real *)start;
    const real *next = fetch ? NAME(later)(x, 1 << 14) : NULL;
    if (scale != 1)
        FIRST_LEVELS(1);
    else
        FIRST_LEVELS(0);
    for (ptrdiff_t i = 0; i < n; i += order * stride)
        if (next)
            NAME(any_columns)(scratch + i, stride, out + i, stride, stride, order,
                              next + (n + i) / 2, 2);
        else
            NAME(any_columns)(scratch + i, stride, out + i, stride, stride, order, NULL, 1);
}

/* Rows of 2^log_size reals, more than LANES << LOG_RADIX: n in all, at most 2^LOG_BLOCK. */
static void NAME(block)(
    const real *x, real *out, ptrdiff_t n, int log_size, real scale, int fetch) {
    char room[(sizeof(real) << LOG_BLOCK) + 2 * PAGE];
    switch (log_size - LOG_LANES) {
    case 5: NAME(two_passes)(x, out, n, 5, scale, fetch, room); break;
    case 6: NAME(two_passes)(x, out, n, 6, scale, fetch, room); break;
    case 7: NAME(two_passes)(x, out, n, 7, scale, fetch, room); break;
    case 8: NAME(two_passes)(x, out, n, 8, scale, fetch, room); break;
    }
}

#define ONE_PASS(log_count)                                                                        \
    case log_count:                                                                                \
        if (scale != 1)                                                                            \
            NAME(first_levels)(x, out, n, 1 << log_count, scale, 1, NULL);                         \
        else                                                                                       \
            NAME(first_levels)(x, out, n, 1 << log_count, scale, 0, NULL);                         \
        break

/* Rows of LANES to LANES << LOG_RADIX reals that follow each other, n reals in all. */
static void NAME(middle_rows)(const real *x, real *out, ptrdiff_t n, int log_size, real scale) {
    switch (log_size - LOG_LANES) {
        ONE_PASS(0);
        ONE_PASS(1);
        ONE_PASS(2);
        ONE_PASS(3);
        ONE_PASS(4);
    }
}

/* One row of more than 2^LOG_BLOCK reals, or as in block. */
static void NAME(row)(const real *x, real *out, int log_size, real scale, int fetch) {
    const ptrdiff_t n = (ptrdiff_t)1 << log_size;
    if (log_size <= LOG_BLOCK) {
        NAME(block)(x, out, n, log_size, scale, fetch);
        return;
    }
    for (int r = 0; r < 8; r++)
        NAME(row)(x + r * (n / 8), out + r * (n / 8), log_size - 3, scale, fetch);
    NAME(columns)(out, n / 8, out, n / 8, n / 8, 8);
}

/* Rows of 2^log_size reals that follow each other, n reals in all. */
static void NAME(rows)(
    const real *x, real *out, ptrdiff_t n, int log_size, real scale, int fetch) {
    const ptrdiff_t most = (ptrdiff_t)1 << LOG_BLOCK;
    if (log_size < LOG_LANES)
        NAME(short_rows)(x, out, n, log_size, scale);
    else if (log_size <= LOG_LANES + LOG_RADIX)
        NAME(middle_rows)(x, out, n, log_size, scale);
    else if (log_size <= LOG_BLOCK)
        for (ptrdiff_t i = 0; i < n; i += most)
            NAME(block)(x + i, out + i, n - i < most ? n - i : most, log_size, scale, fetch);
    else
        for (ptrdiff_t i = 0; i < n; i += (ptrdiff_t)1 << log_size)
            NAME(row)(x + i, out + i, log_size, scale, fetch);
}

/* out = scale * (H_order (x) H_(2^log_size)) x for `count` rows; out may be x. `fetch` for rows
   that come from memory. */
static void NAME(hadamard_rows)(
    const real *x, ptrdiff_t x_stride, real *out, ptrdiff_t out_stride, int order, int log_size,
    ptrdiff_t count, real scale, int fetch) {
    const ptrdiff_t size = (ptrdiff_t)1 << log_size, m = order * size;
    if (order == 1 && x_stride == m && out_stride == m) {
        NAME(rows)(x, out, count * m, log_size, scale, fetch);
        return;
    }
    for (ptrdiff_t i = 0; i < count; i++, x += x_stride, out += out_stride) {
        NAME(rows)(x, out, m, log_size, scale, fetch);
        if (order > 1) NAME(columns)(out, size, out, size, size, order);
    }
}

/* out = x * signs; out may be x. */
static void NAME(hadamard_signs)(const real *x, const real *signs, real *out, ptrdiff_t n) {
    ptrdiff_t i = 0;
    for (; i + LANES <= n; i += LANES) store(out + i, load(x + i) * load(signs + i));
    for (; i < n; i++) out[i] = x[i] * signs[i];
}

/* out = (H_order (x) I) out across rows `stride` apart, `width` columns of them. */
static void NAME(hadamard_columns)(real *out, ptrdiff_t stride, ptrdiff_t width, int order) {
    NAME(columns)(out, stride, out, stride, width, order);
}

#undef LOG_RADIX
#undef LOG_BLOCK
#undef PAGE
#undef SELECT
#undef HIDE
#undef FAR_SPAN
#undef FAR_AHEAD
#undef WHOLE_LINES
#undef FIRST_LEVELS
#undef FIRST
#undef ONE_PASS
#include "hadamard_mix_end.h"
