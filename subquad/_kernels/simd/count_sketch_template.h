/* Signed sums by bucket. Each sum runs over its entries in their order, and a sign changes no bit
   but the first: results do not depend on the instruction set, nor on whether zeros are stored. */
#include "transpose.h"

/* -x if the code is odd, else x. */
static inline real NAME(with_sign)(real x, int32_t code) {
#if SQ_IS_F32
    uint32_t bits;
    __builtin_memcpy(&bits, &x, sizeof bits);
    bits ^= (uint32_t)code << 31;
#else
    uint64_t bits;
    __builtin_memcpy(&bits, &x, sizeof bits);
    bits ^= (uint64_t)(uint32_t)code << 63;
#endif
    __builtin_memcpy(&x, &bits, sizeof x);
    return x;
}

#if SQ_LEVEL != SQ_AVX512
/* out[bucket(j)] += sign(j) x[j]. */
static void NAME(sketch_row)(const real *x, ptrdiff_t m, const int32_t *code, real *out) {
    for (ptrdiff_t j = 0; j < m; j++) out[code[j] >> 1] += NAME(with_sign)(x[j], code[j]);
}

/* LANES rows at once: the sums of one bucket, of all rows, are a vector, and so are the entries of
   one column once tiles of x are transposed. */
static void NAME(sketch_lanes)(
    const real *x, ptrdiff_t x_stride, ptrdiff_t m, const int32_t *code, real *out, ptrdiff_t s,
    real *sums) {
    const real signs[2] = {1, -1};
    vec v[SQ_SKETCH_ROWS];
    __builtin_memset(sums, 0, (size_t)(s * LANES) * sizeof(real));
    ptrdiff_t j = 0;
    for (; j + LANES <= m; j += LANES) {
        for (int r = 0; r < LANES; r++) v[r] = load(x + r * x_stride + j);
        NAME(transpose)(v);
        for (int r = 0; r < LANES; r++) {
            real *sum = sums + (ptrdiff_t)(code[j + r] >> 1) * LANES;
            store(sum, load(sum) + v[r] * broadcast(signs[code[j + r] & 1]));
        }
    }
    for (; j < m; j++) {
        real *sum = sums + (ptrdiff_t)(code[j] >> 1) * LANES;
        for (int r = 0; r < LANES; r++) sum[r] += NAME(with_sign)(x[r * x_stride + j], code[j]);
    }
    ptrdiff_t b = 0;
    for (; b + LANES <= s; b += LANES) {
        for (int r = 0; r < LANES; r++) v[r] = load(sums + (b + r) * LANES);
        NAME(transpose)(v);
        for (int r = 0; r < LANES; r++) store(out + r * s + b, v[r]);
    }
    for (; b < s; b++)
        for (int r = 0; r < LANES; r++) out[r * s + b] = sums[b * LANES + r];
}

/* out = X S^T for `rows` rows; the scratch holds SQ_SKETCH_ROWS s reals. */
static void NAME(sketch_rows)(
    const real *x, ptrdiff_t x_stride, ptrdiff_t rows, ptrdiff_t m, const int32_t *code, real *out,
    ptrdiff_t s, real *scratch) {
    ptrdiff_t i = 0;
    for (; i + LANES <= rows; i += LANES)
        NAME(sketch_lanes)(x + i * x_stride, x_stride, m, code, out + i * s, s, scratch);
    for (; i < rows; i++) {
        __builtin_memset(out + i * s, 0, (size_t)s * sizeof(real));
        NAME(sketch_row)(x + i * x_stride, m, code, out + i * s);
    }
}

#endif

/* out[bucket(j)] += sign(j) value for the stored entries of one row. */
static void NAME(sketch_entries)(
    const ptrdiff_t *indices, const real *values, ptrdiff_t count, const int32_t *code, real *out) {
    for (ptrdiff_t p = 0; p < count; p++) {
        int32_t c = code[indices[p]];
        out[c >> 1] += NAME(with_sign)(values[p], c);
    }
}

/* out += x or out -= x. */
static void NAME(add_signed)(const real *x, ptrdiff_t m, int negative, real *out) {
    if (negative)
        for (ptrdiff_t j = 0; j < m; j++) out[j] -= x[j];
    else
        for (ptrdiff_t j = 0; j < m; j++) out[j] += x[j];
}
