/* Random words and what is made of them, for the current level; knows no dtype.

   Word w of column j, with the keys (a odd, b, c) of that column, is

       x = b + w a;  x ^= x >> 16;  x *= M1;  x ^= (x >> 15) ^ c;  x *= M2;  x ^= x >> 15

   in 32-bit arithmetic. In the table law the words 16 k .. 16 k + 15 make the entries 64 k .. 64 k
   + 63 of the column: byte t of word 16 k + l, counted from the lowest, is entry 64 k + 16 t + l.
   Its bits 0 to 6 choose one of 128 numbers, bit 7 the sign. (So bytes become reals by shifts of
   whole words, without moving between lanes.) Normals take a word each: see sq_normals. Both laws
   give the same bits on every machine and at every level. */
#define WORDS (SQ_BYTES / 4)
#define COLUMNS_AT_ONCE 16 /* whose words are made, and then used, by loops of their own */
#define words LEVEL_NAME(sq_words)
#define ints LEVEL_NAME(sq_ints)
#define floats LEVEL_NAME(sq_floats)
#define INLINE static inline __attribute__((always_inline))

typedef uint32_t words __attribute__((vector_size(SQ_BYTES)));
typedef int32_t ints __attribute__((vector_size(SQ_BYTES)));
typedef float floats __attribute__((vector_size(SQ_BYTES)));

INLINE words LEVEL_NAME(sq_load_words)(const uint32_t *p) {
    words x;
    __builtin_memcpy(&x, p, sizeof x);
    return x;
}

/* 0, 1, 2, ... */
INLINE words LEVEL_NAME(sq_iota)(void) {
    static const uint32_t count[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    return LEVEL_NAME(sq_load_words)(count);
}

INLINE words LEVEL_NAME(sq_mix)(words x, words c) {
    x ^= x >> 16;
    x *= 0x21F0AAADu;
    x ^= (x >> 15) ^ c;
    x *= 0x735A2D97u;
    return x ^ (x >> 15);
}

#if SQ_LEVEL == SQ_AVX2
/* Bytes of b where the highest bit of those of `which` is set, and of a elsewhere. In assembly,
   since GCC compares `which` with 0 first where several choices share it. */
INLINE __m256i sq_choose_avx2(__m256i a, __m256i b, __m256i which) {
    __m256i chosen;
    __asm__("vpblendvb %3, %2, %1, %0" : "=x"(chosen) : "x"(a), "x"(b), "x"(which));
    return chosen;
}

INLINE __m256i sq_four_pieces_avx2(const __m256i *piece, __m256i low, __m256i b4, __m256i b5) {
    return sq_choose_avx2(sq_choose_avx2(_mm256_shuffle_epi8(piece[0], low),
                                         _mm256_shuffle_epi8(piece[1], low), b4),
                          sq_choose_avx2(_mm256_shuffle_epi8(piece[2], low),
                                         _mm256_shuffle_epi8(piece[3], low), b4), b5);
}

/* The table in pieces of 16 numbers, each in both halves of a vector. */
INLINE void sq_cut_avx2(const int8_t *table, __m256i *piece) {
    for (int i = 0; i < 8; i++)
        piece[i] = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)table + i));
}

/* Of eight pieces, bits 4, 5 and 6 choose one. Sums shift them to the highest: more units add than
   shift. */
INLINE __m256i sq_find_avx2(__m256i index, const __m256i *piece) {
    __m256i low = _mm256_and_si256(index, _mm256_set1_epi8(15));
    __m256i b6 = _mm256_add_epi8(index, index), b5 = _mm256_add_epi8(b6, b6);
    __m256i b4 = _mm256_add_epi8(b5, b5);
    __m256i entry = sq_choose_avx2(sq_four_pieces_avx2(piece, low, b4, b5),
                                   sq_four_pieces_avx2(piece + 4, low, b4, b5), b6);
    return _mm256_sign_epi8(entry, _mm256_or_si256(index, _mm256_set1_epi8(1)));
}
#endif

/* Each byte replaced by its number of the table. */
INLINE words LEVEL_NAME(sq_look_up)(words x, const int8_t *table) {
#if SQ_LEVEL == SQ_AVX512
    __m512i index = (__m512i)x;
    __m512i low = _mm512_loadu_si512(table), high = _mm512_loadu_si512(table + 64);
    __m512i entry = _mm512_permutex2var_epi8(low, index, high);
    __mmask64 negative = _mm512_movepi8_mask(index);
    return (words)_mm512_mask_sub_epi8(entry, negative, _mm512_setzero_si512(), entry);
#elif SQ_LEVEL == SQ_AVX2
    __m256i piece[8];
    sq_cut_avx2(table, piece);
    return (words)sq_find_avx2((__m256i)x, piece);
#else
    uint32_t entry[4];
    for (int i = 0; i < 4; i++)
        entry[i] = (uint32_t)(uint8_t)table[x[i] & 255]
                 | (uint32_t)(uint8_t)table[x[i] >> 8 & 255] << 8
                 | (uint32_t)(uint8_t)table[x[i] >> 16 & 255] << 16
                 | (uint32_t)(uint8_t)table[x[i] >> 24] << 24;
    return (words){entry[0], entry[1], entry[2], entry[3]};
#endif
}

/* Bytes 0 to 3 of every word, as signed numbers. */
INLINE void LEVEL_NAME(sq_split)(words x, ints *byte) {
#if SQ_LEVEL == SQ_AVX2
    /* By products, which other units make than those that shift: there are shifts enough above. */
    const __m256i first = _mm256_set1_epi32(1), second = _mm256_set1_epi32(0x10000);
    __m256i even = _mm256_maddubs_epi16(_mm256_set1_epi16(1), (__m256i)x);
    __m256i odd = _mm256_srai_epi16((__m256i)x, 8);
    byte[0] = (ints)_mm256_madd_epi16(even, first);
    byte[1] = (ints)_mm256_madd_epi16(odd, first);
    byte[2] = (ints)_mm256_madd_epi16(even, second);
    byte[3] = (ints)_mm256_madd_epi16(odd, second);
#else
    for (int t = 0; t < 4; t++) byte[t] = (ints)(x << (24 - 8 * t)) >> 24;
#endif
}

/* tile[16 t + l] = byte t of word l, l < 16. */
INLINE void LEVEL_NAME(sq_sort_bytes)(const uint32_t *word, int8_t *tile) {
#if SQ_LEVEL == SQ_AVX512
    static const uint8_t order[64] = {
        0, 4, 8,  12, 16, 20, 24, 28, 32, 36, 40, 44, 48, 52, 56, 60,
        1, 5, 9,  13, 17, 21, 25, 29, 33, 37, 41, 45, 49, 53, 57, 61,
        2, 6, 10, 14, 18, 22, 26, 30, 34, 38, 42, 46, 50, 54, 58, 62,
        3, 7, 11, 15, 19, 23, 27, 31, 35, 39, 43, 47, 51, 55, 59, 63};
    __m512i bytes = _mm512_loadu_si512(word);
    _mm512_storeu_si512(tile, _mm512_permutexvar_epi8(_mm512_loadu_si512(order), bytes));
#elif SQ_LEVEL == SQ_AVX2
    /* Four words with equal t first, then the fours of words 0 and 4, 8 and 12 side by side. */
    const __m256i fours = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
    const __m256i pairs = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    __m256i low = _mm256_loadu_si256((const __m256i *)word);
    __m256i high = _mm256_loadu_si256((const __m256i *)(word + 8));
    low = _mm256_permutevar8x32_epi32(_mm256_shuffle_epi8(low, fours), pairs);
    high = _mm256_permutevar8x32_epi32(_mm256_shuffle_epi8(high, fours), pairs);
    __m256i even = _mm256_unpacklo_epi64(low, high), odd = _mm256_unpackhi_epi64(low, high);
    _mm256_storeu_si256((__m256i *)tile, _mm256_permute2x128_si256(even, odd, 0x20));
    _mm256_storeu_si256((__m256i *)(tile + 32), _mm256_permute2x128_si256(even, odd, 0x31));
#else
    for (int t = 0; t < 4; t++)
        for (int l = 0; l < 16; l++) tile[16 * t + l] = (int8_t)(word[l] >> 8 * t);
#endif
}

/* Forces a product to be rounded before it is used: a compiler must not fuse what it cannot see.
   Unlike FP_CONTRACT, every compiler and setting respects it, and it costs no instruction. */
#if SQ_LEVEL == SQ_AVX512
#define ROUND(x) __asm__("" : "+v"(x))
#elif defined(__SSE2__)
#define ROUND(x) __asm__("" : "+x"(x))
#elif defined(__aarch64__)
#define ROUND(x) __asm__("" : "+w"(x))
#else
#define ROUND(x) __asm__("" : "+m"(x))
#endif

/* Normals are made of so many pairs of vectors side by side: each is a long chain of operations. */
#define CHAINS 2

/* y = c[0] + c[1] x + ... + c[degree] x^degree, each operation rounded. */
INLINE void LEVEL_NAME(sq_polynomials)(const floats *x, const float *c, int degree, floats *y) {
    for (int i = 0; i < CHAINS; i++) y[i] = x[i] * c[degree];
    for (int k = degree - 1; k >= 0; k--)
        for (int i = 0; i < CHAINS; i++) {
            ROUND(y[i]);
            y[i] += c[k];
            if (k > 0) y[i] *= x[i];
        }
}

INLINE floats LEVEL_NAME(sq_sqrt)(floats x) {
#if SQ_LEVEL == SQ_AVX512
    return (floats)_mm512_sqrt_ps((__m512)x);
#elif SQ_LEVEL == SQ_AVX2
    return (floats)_mm256_sqrt_ps((__m256)x);
#elif defined(__SSE2__)
    return (floats)_mm_sqrt_ps((__m128)x);
#else
    for (int i = 0; i < WORDS; i++) x[i] = __builtin_sqrtf(x[i]);
    return x;
#endif
}

/* sqrt(-2 log u) for u = (k + 1/2) / 2^31 with the upper 31 bits k of each word.

   u 2^31 = 2^e (1 + f) with sqrt(1/2) <= 1 + f < sqrt(2), and log(1 + f) is f times a polynomial
   (minimax, error 3.5e-7 |f|); e = 31 comes only with f <= 0, so nothing cancels. */
INLINE void LEVEL_NAME(sq_radii)(const words *x, floats *radius) {
    static const float log_of_square[8] = {
        -1.9999998807907104f, 1.000006914138794f,    -0.6667121648788452f, 0.49943119287490845f,
        -0.39768484234809875f, 0.3442489206790924f, -0.3267618715763092f, 0.20757167041301727f};
    ints e[CHAINS];
    floats f[CHAINS], log[CHAINS];
    for (int i = 0; i < CHAINS; i++) {
        floats u = __builtin_convertvector((ints)(x[i] >> 1), floats) + 0.5f;
        e[i] = ((ints)u - 0x3F3504F3) >> 23;
        f[i] = (floats)((ints)u - (ints)((words)e[i] << 23)) - 1.0f;
    }
    LEVEL_NAME(sq_polynomials)(f, log_of_square, 7, log);
    for (int i = 0; i < CHAINS; i++) {
        floats tail = f[i] * log[i];
        ROUND(tail);
        floats head = __builtin_convertvector(31 - e[i], floats) * 1.3862943649291992f;
        ROUND(head);
        radius[i] = LEVEL_NAME(sq_sqrt)(head + tail);
    }
}

/* Box and Muller's pairs (R cos t, R sin t), R from x and the angle t from y: 30 bits of y for an
   angle in [-pi/4, pi/4), one to exchange the pair and one for the sign of the cosine. */
INLINE void LEVEL_NAME(sq_normals)(const words *x, const words *y, words *first, words *second) {
    static const float cosine[4] = {1.0f, -0.4999985694885254f, 0.041655026376247406f,
                                    -0.0013585909036919475f};
    static const float sine[4] = {1.0f, -0.16666650772094727f, 0.008332036435604095f,
                                  -0.00019504022202454507f};
    floats radius[CHAINS], angle[CHAINS], square[CHAINS], u[CHAINS], v[CHAINS];
    LEVEL_NAME(sq_radii)(x, radius);
    for (int i = 0; i < CHAINS; i++) {
        angle[i] = __builtin_convertvector((ints)(y[i] << 2), floats) * 0x1.921fb6p-32f;
        ROUND(angle[i]);
        square[i] = angle[i] * angle[i];
        ROUND(square[i]);
    }
    LEVEL_NAME(sq_polynomials)(square, cosine, 3, u);
    LEVEL_NAME(sq_polynomials)(square, sine, 3, v);
    for (int i = 0; i < CHAINS; i++) {
        words c = (words)(u[i] * radius[i]) ^ (y[i] & 0x80000000u);
        words s = (words)(v[i] * angle[i] * radius[i]);
        words exchange = (c ^ s) & (words)((ints)(y[i] << 1) >> 31);
        first[i] = c ^ exchange;
        second[i] = s ^ exchange;
    }
}
