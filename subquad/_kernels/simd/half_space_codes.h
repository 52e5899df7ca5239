/* Part of half_space_template.h: blocks in codes of 8 bits, which tell most points apart from hits.

   x = step q + e in whole numbers |q[j]| <= 127, and likewise a = step' q' + e', |q'[j]| <= 63. Then

       |<x, a> - step step' <q, q'>| <= |e| |a| + |step q| |e'|,

   and a point is tested by the sum that defines <x, a> only where this, and what rounding may add,
   leave that possible: where <q, q'> exceeds a bound of the block and the query. Steps are chosen
   such that |q| < 252 and |q'| < 128 for d <= 128, so that <q, q'> has 16 bits; sums may wrap on
   their way. Codes are q + 128. */
/* Squares of smaller numbers may underflow, and sums of products that reach CODE_MOST overflow. */
#define CODE_LEAST (SQ_IS_F32 ? (real)1e-15 : (real)1e-120)
#define CODE_MOST (SQ_IS_F32 ? 1e37 : 1e307)
#define CODE_EPSILON (SQ_IS_F32 ? 1.2e-7 : 2.3e-16)
#define CODE_TINY (SQ_IS_F32 ? 1.2e-38 : 2.3e-308)

/* Return the length of the longest vector whose squared length is in one of the lanes, and more. */
static inline double NAME(half_space_longest)(const vec *squares, int n) {
    real largest = 0;
    for (int v = 0; v < n; v++)
        for (int k = 0; k < LANES; k++) largest = squares[v][k] > largest ? squares[v][k] : largest;
    return sqrt((double)largest) * (1 + 1.0 / 1024) + CODE_LEAST;
}

/* Write the codes of a block, those of coordinates 2p and 2p + 1 of a point side by side, and
   fit = (1 / step, bound of |x|, bound of |e|). */
static void NAME(half_space_encode)(
    const real *block, ptrdiff_t d, uint8_t *codes, double *fit) {
    enum { VECTORS = HALF_SPACE_LANES / LANES };
    typedef int32_t whole __attribute__((vector_size(4 * LANES)));
    __typeof__((vec){0} < (vec){0}) larger;
    vec squares[VECTORS] = {{0}}, errors[VECTORS] = {{0}}, high = {0};
    real largest = 0;
    for (ptrdiff_t j = 0; j < d; j++)
        for (int v = 0; v < VECTORS; v++) {
            vec x = load(block + j * HALF_SPACE_LANES + v * LANES);
            x = (vec)((__typeof__(larger))x & (x == x)); /* a lane without a point is NaN */
            squares[v] += x * x;
            x = (vec)((__typeof__(larger))x & ~(__typeof__(larger))broadcast(-(real)0));
            larger = x > high;
            high = (vec)(((__typeof__(larger))x & larger) | ((__typeof__(larger))high & ~larger));
        }
    for (int k = 0; k < LANES; k++) largest = high[k] > largest ? high[k] : largest;
    fit[1] = NAME(half_space_longest)(squares, VECTORS);
    real step = (real)fmax(largest / 127, fit[1] / 246);
    if (!(largest > CODE_LEAST && fit[1] < INFINITY)) step = 1, largest = 0;
    const real inverse = largest > 0 ? 1 / step : 0;
    for (ptrdiff_t j = 0; j < d + (d & 1); j++)
        for (int v = 0; v < VECTORS; v++) {
            vec x = j < d ? load(block + j * HALF_SPACE_LANES + v * LANES) : (vec){0};
            x = (vec)((__typeof__(larger))x & (x == x));
            whole code = __builtin_convertvector(x * inverse + (real)128.5, whole);
            vec e = x - (__builtin_convertvector(code, vec) - 128) * step;
            errors[v] += e * e;
            for (int k = 0; k < LANES; k++)
                codes[(j / 2 * HALF_SPACE_LANES + v * LANES + k) * 2 + j % 2] = (uint8_t)code[k];
        }
    fit[0] = 1 / (double)step;
    fit[2] = NAME(half_space_longest)(errors, VECTORS) + 4 * CODE_EPSILON * fit[1];
    fit[1] += fit[2];
}

#if SQ_LEVEL == SQ_AVX2
typedef struct {
    int32_t pairs[HALF_SPACE_QUERIES][(HALF_SPACE_CODED + 1) / 2]; /* q'[2p], q'[2p + 1], twice */
    uint16_t start[HALF_SPACE_QUERIES];                            /* -128 times the sum of q' */
    double b[HALF_SPACE_QUERIES], inverse[HALF_SPACE_QUERIES];     /* 1 / step' */
    double length[HALF_SPACE_QUERIES], error[HALF_SPACE_QUERIES];  /* |a| and |e'| */
} NAME(half_space_coded);

/* Write query number q in codes. */
static void NAME(half_space_encode_query)(
    const real *a, real b, ptrdiff_t d, NAME(half_space_coded) *queries, int q) {
    double largest = 0, squares = 0, errors = 0, step;
    int sum = 0;
    for (ptrdiff_t j = 0; j < d; j++) {
        largest = fmax(largest, fabs((double)a[j]));
        squares += (double)a[j] * a[j];
    }
    queries->length[q] = sqrt(squares) * (1 + 1e-9) + CODE_LEAST;
    step = fmax(largest / 63, queries->length[q] / 122);
    if (!(largest > CODE_LEAST && squares < INFINITY)) step = INFINITY;
    for (ptrdiff_t p = 0; p < (d + 1) / 2; p++) {
        uint32_t codes[2];
        for (ptrdiff_t j = 2 * p; j < 2 * p + 2; j++) {
            double x = j < d ? a[j] : 0;
            int code = step < INFINITY ? (int)floor(x / step + 0.5) : 0;
            double e = code == 0 ? x : x - code * step;
            errors += e * e;
            sum += code;
            codes[j % 2] = (uint8_t)code;
        }
        queries->pairs[q][p] = (int32_t)((codes[0] | codes[1] << 8) * 0x00010001u);
    }
    queries->start[q] = (uint16_t)(-128 * sum);
    queries->b[q] = b;
    queries->inverse[q] = step < INFINITY ? 1 / step : 1;
    queries->error[q] =
        sqrt(errors) * (1 + 1e-9) + CODE_LEAST + 4 * CODE_EPSILON * queries->length[q];
}

/* least[q] = the largest <q, q'> that rules a hit out. NaN, to which max prefers the other argument,
   rules none out. */
static inline void NAME(half_space_rule_out)(
    const NAME(half_space_coded) *queries, int n, const double *fit, ptrdiff_t d,
    int32_t *restrict least) {
    const double inverse = fit[0], length = fit[1], error = fit[2];
    const double rounding = (double)(d + 2) * CODE_EPSILON, tiny = (double)(d + 2) * CODE_TINY;
    const __m256d lowest = _mm256_set1_pd(-32768), highest = _mm256_set1_pd(32767);
    for (int q = 0; q < n; q += 4) {
        __m256d a = _mm256_loadu_pd(queries->length + q);
        __m256d margin = (error + rounding * length) * a
            + length * _mm256_loadu_pd(queries->error + q) + tiny;
        __m256d x = (_mm256_loadu_pd(queries->b + q) - margin)
            * (inverse * _mm256_loadu_pd(queries->inverse + q)) - 1e-3;
        __m256d in_range = _mm256_cmp_pd(a * length, _mm256_set1_pd(CODE_MOST), _CMP_LT_OQ);
        x = _mm256_max_pd(_mm256_blendv_pd(lowest, x, in_range), lowest);
        x = _mm256_floor_pd(_mm256_min_pd(x, highest));
        _mm_storeu_si128((__m128i *)(least + q), _mm256_cvtpd_epi32(x));
    }
}

#endif

#undef CODE_LEAST
#undef CODE_MOST
#undef CODE_EPSILON
#undef CODE_TINY
