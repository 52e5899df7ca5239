/* H across rows, a vector of columns at a time: H is Sylvester's of order 2, 4, 8 or 16, or that of
   order 12, 20 or 28. In all of it x is out, or does not overlap it. */

/* Hides where a pointer came from; GCC would keep one in a register for each row. */
#define HIDE(pointer) __asm__("" : "+r"(pointer))

/* More reals than these are asked for 2 KiB ahead in every row: what lies in no cache of one core.
   AMD's Zen 3, without AVX-512, is 15 % slower for that up to 16 MiB, which its last cache holds. */
#define FAR_SPAN ((ptrdiff_t)((1 << (SQ_LEVEL == SQ_AVX512 ? 20 : 24)) / sizeof(real)))
#define FAR_AHEAD 2048

/* The address so many bytes later, which nothing but a prefetch may use. */
SQ_INLINE const real *NAME(later)(const real *x, size_t bytes) {
    return (const real *)((uintptr_t)x + bytes);
}

SQ_INLINE void NAME(mix_rows)(vec *v, const int order) {
    if (order == 12 || order == 20 || order == 28)
        NAME(mix_order)(v, order);
    else
        NAME(mix)(v, order, SQ_LEVEL > SQ_BASELINE);
}

/* One vector of columns. Meanwhile, unless `ahead` is NULL, memory is asked for one row there for
   every `each` rows of x. */
SQ_INLINE void NAME(vector_column)(
    const real *x, ptrdiff_t x_stride, ptrdiff_t x_thrice, real *out, ptrdiff_t stride,
    ptrdiff_t thrice, const int order, const real *ahead, const int each) {
    const int part = order == 16 ? AT_ONCE : order;
    vec v[28];
#pragma GCC unroll 2
    for (int first = 0; first < order; first += part) {
#pragma GCC unroll 8
        for (int r = first; r < first + part; r += 4, x += 4 * x_stride) {
            HIDE(x);
#pragma GCC unroll 4
            for (int k = 0; k < 4 && k < order; k++) {
                vec row = load(x + (k == 3 ? x_thrice : k * x_stride));
                IN_REGISTER(row); /* or GCC reads it for the sum and again for the difference */
                v[r + k] = row;
                if (ahead && k % each == 0) __builtin_prefetch(ahead + (r + k) / each * x_stride);
            }
        }
        NAME(mix_rows)(v + first, part);
    }
    if (part < order) LEVEL(v, order, part);
#pragma GCC unroll 8
    for (int r = 0; r < order; r += 4, out += 4 * stride) {
        HIDE(out);
#pragma GCC unroll 4
        for (int k = 0; k < 4 && k < order; k++)
            store(out + (k == 3 ? thrice : k * stride), v[r + k]);
    }
}

/* `width` columns, a multiple of LANES. */
SQ_INLINE void NAME(whole_columns)(
    const real *x, ptrdiff_t x_stride, real *out, ptrdiff_t stride, ptrdiff_t width,
    const int order, const real *ahead, const int each) {
    ptrdiff_t x_thrice = 3 * x_stride, thrice = 3 * stride;
    HIDE(x_thrice);
    HIDE(thrice);
    for (ptrdiff_t j = 0; j < width; j += LANES)
        NAME(vector_column)(x + j, x_stride, x_thrice, out + j, stride, thrice, order,
                            ahead ? ahead + j : NULL, each);
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
    NAME(mix_rows)(v, order);
    for (int r = 0; r < order; r++)
        __builtin_memcpy(out + r * stride, &v[r], (size_t)width * sizeof(real));
}

#define SELECT(mask, a, b)                                                                         \
    ((vec)(((NAME(lane_ints))(a) & (mask)) | ((NAME(lane_ints))(b) & ~(mask))))

/* The columns of rows that follow each other in memory whose cache lines hold the end of one row
   and then `skip` reals of the next; the columns between have been done. */
SQ_INLINE void NAME(straddling_columns)(
    const real *x, real *out, ptrdiff_t width, ptrdiff_t skip, const int order) {
    const ptrdiff_t ends = LANES - skip, last = order * width - LANES;
    const NAME(lane_ints) lane = {EACH_LANE(LANE_INDEX, 0)};
    const NAME(lane_ints) in_end = lane < (NAME(lane_int))ends;
    const NAME(lane_ints) in_start = lane < (NAME(lane_int))skip;
    real shifted[2 * LANES] = {0};
    vec v[28], line, previous;
    store(shifted + ends, load(x));
    previous = load(shifted);
    for (int r = 0; r < order - 1; r++) {
        line = load(x + (r + 1) * width - ends);
        v[r] = SELECT(in_end, line, previous);
        previous = line;
    }
    store(shifted, load(x + last));
    v[order - 1] = SELECT(in_end, load(shifted + skip), previous);
    NAME(mix_rows)(v, order);
    store(shifted, v[0]);
    store(out, SELECT(in_start, load(shifted + ends), load(out)));
    for (int r = 0; r < order - 1; r++)
        store(out + (r + 1) * width - ends, SELECT(in_end, v[r], v[r + 1]));
    store(shifted + skip, v[order - 1]);
    store(out + last, SELECT(in_start, load(out + last), load(shifted)));
}

/* Any number of columns. Where it pays, stores go to whole cache lines: numpy aligns to 16 bytes,
   and a store that straddles two lines takes twice as long. */
SQ_INLINE void NAME(any_columns)(
    const real *x, ptrdiff_t x_stride, real *out, ptrdiff_t stride, ptrdiff_t width,
    const int order, const real *ahead, const int each) {
    const ptrdiff_t rest = width % LANES;
    const ptrdiff_t skip = (ptrdiff_t)(-(uintptr_t)out % SQ_BYTES / sizeof(real));
    const int contiguous = stride == width && x_stride == width;
    if (width < LANES) {
        NAME(few_columns)(x, x_stride, out, stride, width, order);
    } else if (skip > 0 && contiguous && rest == 0 && order * width >= 128 * LANES) {
        NAME(whole_columns)(x + skip, width, out + skip, width, width - LANES, order, ahead,
                            each);
        NAME(straddling_columns)(x, out, width, skip, order);
    } else if (rest == 0) {
        NAME(whole_columns)(x, x_stride, out, stride, width, order, ahead, each);
    } else {
        /* Overlaps the others: computed before they change x, stored after. */
        vec last[28];
        NAME(whole_columns)(x + width - LANES, x_stride, (real *)last, LANES, LANES, order, NULL,
                            1);
        NAME(whole_columns)(x, x_stride, out, stride, width - rest, order, ahead, each);
        for (int r = 0; r < order; r++) store(out + r * stride + width - LANES, last[r]);
    }
}

#define COLUMNS(order)                                                                             \
    static void NAME(columns_##order)(                                                             \
        const real *x, ptrdiff_t x_stride, real *out, ptrdiff_t stride, ptrdiff_t width) {         \
        if (order * stride > FAR_SPAN)                                                             \
            NAME(any_columns)(x, x_stride, out, stride, width, order,                              \
                              NAME(later)(x, FAR_AHEAD), 1);                                       \
        else                                                                                       \
            NAME(any_columns)(x, x_stride, out, stride, width, order, NULL, 1);                    \
    }
COLUMNS(2)
COLUMNS(4)
COLUMNS(8)
COLUMNS(12)
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
    case 20: NAME(columns_20)(x, x_stride, out, stride, width); break;
    case 28: NAME(columns_28)(x, x_stride, out, stride, width); break;
    }
}
