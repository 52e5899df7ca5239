/* H across rows, a vector of columns at a time: H is Sylvester's of order 2, 4, 8 or 16, or that of
   order 12, 20 or 28. */

/* Hides where a pointer came from; GCC would keep one in a register for each row. */
#define HIDE(pointer) __asm__("" : "+r"(pointer))

/* `width` columns, a multiple of LANES. */
SQ_INLINE void NAME(whole_columns)(
    const real *x, ptrdiff_t x_stride, real *out, ptrdiff_t stride, ptrdiff_t width,
    const int order) {
    for (ptrdiff_t j = 0; j < width; j += LANES) {
        vec v[28];
        const real *from = x + j;
        real *to = out + j;
        for (int r = 0; r < order; r += 4, from += 4 * x_stride) {
            HIDE(from);
            for (int k = 0; k < 4 && k < order; k++) {
                vec row = load(from + k * x_stride);
                IN_REGISTER(row); /* or GCC reads it for the sum and again for the difference */
                v[r + k] = row;
            }
        }
        if (order % 8 == 4 && order > 4)
            NAME(mix_order)(v, order);
        else
            NAME(mix)(v, order, SQ_LEVEL > SQ_BASELINE);
        for (int r = 0; r < order; r += 4, to += 4 * stride) {
            HIDE(to);
            for (int k = 0; k < 4 && k < order; k++) store(to + k * stride, v[r + k]);
        }
    }
}

/* Fewer columns than LANES. */
SQ_INLINE void NAME(few_columns)(
    const real *x, ptrdiff_t x_stride, real *out, ptrdiff_t stride, ptrdiff_t width,
    const int order) {
    vec v[28];
    for (int r = 0; r < order; r++) {
        v[r] = broadcast(0);
        __builtin_memcpy(&v[r], x + r * x_stride, (size_t)width * sizeof(real));
    }
    NAME(whole_columns)((real *)v, LANES, (real *)v, LANES, LANES, order);
    for (int r = 0; r < order; r++)
        __builtin_memcpy(out + r * stride, &v[r], (size_t)width * sizeof(real));
}

/* Any number of columns; x is out, or does not overlap it. Stores go to whole cache lines: numpy
   aligns to 16 bytes, and a store that straddles two lines takes twice as long. */
SQ_INLINE void NAME(any_columns)(
    const real *x, ptrdiff_t x_stride, real *out, ptrdiff_t stride, ptrdiff_t width,
    const int order) {
    if (width < LANES) {
        NAME(few_columns)(x, x_stride, out, stride, width, order);
        return;
    }
    const ptrdiff_t skip = (ptrdiff_t)(-(uintptr_t)out % SQ_BYTES / sizeof(real));
    if (width % LANES == 0 && (skip == 0 || width < 8 * LANES)) {
        NAME(whole_columns)(x, x_stride, out, stride, width, order);
        return;
    }
    /* The first and the last vector overlap those between them: computed before these change x,
       stored after. */
    vec first[28], last[28];
    const ptrdiff_t between = (width - skip) / LANES * LANES, end = width - LANES;
    NAME(whole_columns)(x, x_stride, (real *)first, LANES, LANES, order);
    NAME(whole_columns)(x + end, x_stride, (real *)last, LANES, LANES, order);
    NAME(whole_columns)(x + skip, x_stride, out + skip, stride, between, order);
    for (int r = 0; r < order; r++) {
        store(out + r * stride, first[r]);
        store(out + r * stride + end, last[r]);
    }
}

#define COLUMNS(order)                                                                             \
    static void NAME(columns_##order)(                                                             \
        const real *x, ptrdiff_t x_stride, real *out, ptrdiff_t stride, ptrdiff_t width) {         \
        NAME(any_columns)(x, x_stride, out, stride, width, order);                                 \
    }
COLUMNS(2)
COLUMNS(4)
COLUMNS(8)
COLUMNS(12)
#if SQ_LEVEL == SQ_AVX512
COLUMNS(16)
#endif
COLUMNS(20)
COLUMNS(28)
#undef COLUMNS

static void NAME(columns)(
    const real *x, ptrdiff_t x_stride, real *out, ptrdiff_t stride, ptrdiff_t width, int order) {
    switch (order) {
    case 2: NAME(columns_2)(x, x_stride, out, stride, width); break;
    case 4: NAME(columns_4)(x, x_stride, out, stride, width); break;
    case 8: NAME(columns_8)(x, x_stride, out, stride, width); break;
    case 12: NAME(columns_12)(x, x_stride, out, stride, width); break;
#if SQ_LEVEL == SQ_AVX512
    case 16: NAME(columns_16)(x, x_stride, out, stride, width); break;
#endif
    case 20: NAME(columns_20)(x, x_stride, out, stride, width); break;
    case 28: NAME(columns_28)(x, x_stride, out, stride, width); break;
    }
}
