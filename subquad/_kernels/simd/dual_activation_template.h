/* One row of a kernel f(angle) from the correlations r of unit points.

   A piece covers y in [2^e (1 + p / 32), 2^e (1 + (p + 1) / 32)) for y = s + offset and half the
   chord s = sqrt((1 - |r|) / 2), so that pieces are short where s is small, down to the offset: the
   exponent and the leading bits of y are the number of the piece, and the other bits the place in
   it. In s everything is smooth at r = 1 and r = -1, where the angle is not in r.
   Where r has lost the digits of 1 - |r|, they come from the points: s = |x - y| / 2, or |x + y| / 2
   for r < 0. Points that differ by rounding alone have angle 0 and its value exactly, which the first
   piece only comes near. All arithmetic is in double. */
typedef double NAME(dvec) __attribute__((vector_size(SQ_BYTES)));
typedef int64_t NAME(ivec) __attribute__((vector_size(SQ_BYTES)));

enum { NAME(DOUBLES) = SQ_BYTES / 8, NAME(CHUNK) = 128 };

static inline NAME(dvec) NAME(root)(NAME(dvec) v) {
#if SQ_LEVEL == SQ_AVX512
    return (NAME(dvec))_mm512_sqrt_pd((__m512d)v);
#elif SQ_LEVEL == SQ_AVX2
    return (NAME(dvec))_mm256_sqrt_pd((__m256d)v);
#elif SQ_X86
    return (NAME(dvec))_mm_sqrt_pd((__m128d)v);
#else
    for (int k = 0; k < NAME(DOUBLES); k++) v[k] = __builtin_sqrt(v[k]);
    return v;
#endif
}

/* The coefficients of the pieces that begin at these places of the table: c[k] for power k. A gather
   for each power takes three times as long as loading whole pieces and transposing them. */
static inline void NAME(coefficients)(const double *table, NAME(ivec) place, NAME(dvec) *c) {
    int64_t at[NAME(DOUBLES)];
    __builtin_memcpy(at, &place, sizeof at);
#if SQ_LEVEL == SQ_AVX512
    __m512d rows[8], pairs[8], quads[8];
    for (int k = 0; k < 8; k++) rows[k] = _mm512_loadu_pd(table + at[k]);
    for (int k = 0; k < 8; k += 2) {
        pairs[k] = _mm512_unpacklo_pd(rows[k], rows[k + 1]);
        pairs[k + 1] = _mm512_unpackhi_pd(rows[k], rows[k + 1]);
    }
    for (int k = 0; k < 8; k += 4)
        for (int l = 0; l < 2; l++) {
            quads[k + l] = _mm512_shuffle_f64x2(pairs[k + l], pairs[k + l + 2], 0x88);
            quads[k + l + 2] = _mm512_shuffle_f64x2(pairs[k + l], pairs[k + l + 2], 0xdd);
        }
    for (int l = 0; l < 2; l++)
        for (int k = 0; k < 2; k++) {
            c[2 * k + l] = (NAME(dvec))_mm512_shuffle_f64x2(quads[2 * k + l], quads[2 * k + l + 4],
                                                            0x88);
            c[2 * k + l + 4] = (NAME(dvec))_mm512_shuffle_f64x2(quads[2 * k + l],
                                                                quads[2 * k + l + 4], 0xdd);
        }
#elif SQ_LEVEL == SQ_AVX2
    for (int half = 0; half < 8; half += 4) {
        __m256d rows[4], pairs[4];
        for (int k = 0; k < 4; k++) rows[k] = _mm256_loadu_pd(table + at[k] + half);
        for (int k = 0; k < 4; k += 2) {
            pairs[k] = _mm256_unpacklo_pd(rows[k], rows[k + 1]);
            pairs[k + 1] = _mm256_unpackhi_pd(rows[k], rows[k + 1]);
        }
        for (int k = 0; k < 2; k++) {
            c[half + k] = (NAME(dvec))_mm256_permute2f128_pd(pairs[k], pairs[k + 2], 0x20);
            c[half + k + 2] = (NAME(dvec))_mm256_permute2f128_pd(pairs[k], pairs[k + 2], 0x31);
        }
    }
#else
    for (int k = 0; k < SQ_PROFILE_TERMS; k++) {
        double term[NAME(DOUBLES)];
        for (int l = 0; l < NAME(DOUBLES); l++) term[l] = table[at[l] + k];
        __builtin_memcpy(c + k, term, sizeof term);
    }
#endif
}

/* f at squared half chords; the sign bit of one is that of r. */
static inline NAME(dvec) NAME(look_up)(const sq_profile *profile, NAME(dvec) square) {
    const int shift = 52 - SQ_PROFILE_LOG_PIECES;
    const int64_t below = ((int64_t)1 << shift) - 1, one = (int64_t)1023 << 52;
    union { double number; int64_t bits; } offset = {profile->offset};
    NAME(ivec) signs = (NAME(ivec))square;
    NAME(ivec) opposite = signs >> 63;
    NAME(dvec) y = NAME(root)((NAME(dvec))(signs & INT64_MAX)) + profile->offset;
    NAME(ivec) bits = (NAME(ivec))y;
    NAME(ivec) place = (bits >> shift) - (offset.bits >> shift);
    place = (place + (opposite & (int64_t)profile->n_pieces)) * SQ_PROFILE_TERMS;
    NAME(dvec) x = (NAME(dvec))((bits & below) | one);
    const double middle = 1 + 0.5 / (1 << SQ_PROFILE_LOG_PIECES);
    x = (x - middle) * (double)(2 << SQ_PROFILE_LOG_PIECES);
    NAME(dvec) c[SQ_PROFILE_TERMS];
    NAME(coefficients)(profile->table, place, c);
    NAME(dvec) square_x = x * x;
    NAME(dvec) low = (c[0] + x * c[1]) + square_x * (c[2] + x * c[3]);
    NAME(dvec) high = (c[4] + x * c[5]) + square_x * (c[6] + x * c[7]);
    return low + square_x * square_x * high;
}

/* |x_i - sign y_j|^2. */
static double NAME(dense_distance)(const real *x, const real *y, ptrdiff_t size, double sign) {
    double sums[8] = {0}, sum = 0;
    ptrdiff_t k = 0;
    for (; k + 8 <= size; k += 8)
        for (int l = 0; l < 8; l++) {
            const double difference = (double)x[k + l] - sign * (double)y[k + l];
            sums[l] += difference * difference;
        }
    for (; k < size; k++) {
        const double difference = (double)x[k] - sign * (double)y[k];
        sum += difference * difference;
    }
    for (int l = 0; l < 8; l++) sum += sums[l];
    return sum;
}

static double NAME(sparse_distance)(const sq_points *left, ptrdiff_t i, const sq_points *right,
                                    ptrdiff_t j, double sign) {
    const real *x = left->values, *y = right->values;
    ptrdiff_t a = left->indptr[i], b = right->indptr[j];
    const ptrdiff_t a_end = left->indptr[i + 1], b_end = right->indptr[j + 1];
    double sum = 0;
    while (a < a_end || b < b_end) {
        const ptrdiff_t column_a = a < a_end ? left->indices[a] : PTRDIFF_MAX;
        const ptrdiff_t column_b = b < b_end ? right->indices[b] : PTRDIFF_MAX;
        double difference = 0;
        if (column_a <= column_b) difference = (double)x[a++];
        if (column_b <= column_a) difference -= sign * (double)y[b++];
        sum += difference * difference;
    }
    return sum;
}

static double NAME(distance)(const sq_points *left, ptrdiff_t i, const sq_points *right,
                             ptrdiff_t j, double sign) {
    if (left->indptr) return NAME(sparse_distance)(left, i, right, j, sign);
    const real *x = left->values, *y = right->values;
    const ptrdiff_t size = left->n_columns;
    return NAME(dense_distance)(x + i * size, y + j * size, size, sign);
}

/* out[j] = left_norm * right_norms[j] * f(angle between points i and j) for n points. */
static void NAME(profile_row)(
    const sq_profile *profile, const sq_points *left, ptrdiff_t i, const sq_points *right,
    ptrdiff_t n, const real *r, double left_norm, const double *right_norms, real *out) {
    double square[NAME(CHUNK)], value[NAME(CHUNK)];
    for (ptrdiff_t first = 0; first < n; first += NAME(CHUNK)) {
        const ptrdiff_t size = n - first < NAME(CHUNK) ? n - first : NAME(CHUNK);
        for (ptrdiff_t j = size; j < NAME(CHUNK); j++) square[j] = 0.5;
        int any_close = 0, any_equal = 0;
        for (ptrdiff_t j = 0; j < size; j++) {
            const double correlation = (double)r[first + j];
            double t = 0.5 - 0.5 * __builtin_fabs(correlation);
            t = t > 0 ? t : 0;
            any_close |= t < profile->close;
            square[j] = __builtin_copysign(t, correlation);
        }
        for (ptrdiff_t j = 0; any_close && j < size; j++)
            if (__builtin_fabs(square[j]) < profile->close) {
                const double sign = __builtin_copysign(1.0, square[j]);
                double t = 0.25 * NAME(distance)(left, i, right, first + j, sign);
                t = t < 0.5 ? t : 0.5;
                if (sign > 0 && t <= profile->equal) {
                    any_equal = 1;
                    t = 0;
                }
                square[j] = __builtin_copysign(t, sign);
            }
        for (ptrdiff_t j = 0; j < size; j += NAME(DOUBLES)) {
            NAME(dvec) v;
            __builtin_memcpy(&v, square + j, sizeof v);
            v = NAME(look_up)(profile, v);
            __builtin_memcpy(value + j, &v, sizeof v);
        }
        for (ptrdiff_t j = 0; any_equal && j < size; j++)
            if (square[j] == 0 && !__builtin_signbit(square[j])) value[j] = profile->at_zero;
        for (ptrdiff_t j = 0; j < size; j++)
            out[first + j] = (real)(value[j] * left_norm * right_norms[first + j]);
    }
}
