/* Who fires, as bits, and counts[i, j] = popcount(A[i] & B[j]): how many fire at both points. AVX-512
   has an instruction for it; AVX2 looks nibbles up (coactivation_nibbles.h), but for a few rows. */
#if SQ_IS_F32

#if SQ_LEVEL == SQ_AVX512
/* A tile of 4 x 4 pairs at a time: 8 loads serve 16 popcounts. */
static inline __attribute__((always_inline)) void LEVEL_NAME(popcount_tile)(
    const uint64_t *A, const uint64_t *B, ptrdiff_t words, int32_t *counts, ptrdiff_t ld,
    const int rows_a, const int rows_b) {
    __m512i sum[4][4];
    for (int i = 0; i < rows_a; i++)
        for (int j = 0; j < rows_b; j++) sum[i][j] = _mm512_setzero_si512();
    for (ptrdiff_t w = 0; w < words; w += 8) {
        __mmask8 some = words - w >= 8 ? 0xFF : (__mmask8)((1u << (words - w)) - 1);
        __m512i b[4];
        for (int j = 0; j < rows_b; j++) b[j] = _mm512_maskz_loadu_epi64(some, B + j * words + w);
        for (int i = 0; i < rows_a; i++) {
            __m512i a = _mm512_maskz_loadu_epi64(some, A + i * words + w);
            for (int j = 0; j < rows_b; j++)
                sum[i][j] = _mm512_add_epi64(
                    sum[i][j], _mm512_popcnt_epi64(_mm512_and_si512(a, b[j])));
        }
    }
    for (int i = 0; i < rows_a; i++)
        for (int j = 0; j < rows_b; j++)
            counts[i * ld + j] = (int32_t)_mm512_reduce_add_epi64(sum[i][j]);
}
#else
#if SQ_LEVEL == SQ_AVX2
#include "coactivation_nibbles.h"
#endif
static inline int64_t LEVEL_NAME(popcount_word)(uint64_t x) {
#if SQ_LEVEL == SQ_AVX2
    return __builtin_popcountll(x);
#else
    /* Sums of 2, 4 and 8 bits in parallel; the baseline has no instruction for it. */
    x -= (x >> 1) & 0x5555555555555555ull;
    x = (x & 0x3333333333333333ull) + ((x >> 2) & 0x3333333333333333ull);
    x = (x + (x >> 4)) & 0x0F0F0F0F0F0F0F0Full;
    return (int64_t)((x * 0x0101010101010101ull) >> 56);
#endif
}

static inline __attribute__((always_inline)) void LEVEL_NAME(popcount_tile)(
    const uint64_t *A, const uint64_t *B, ptrdiff_t words, int32_t *counts, ptrdiff_t ld,
    const int rows_a, const int rows_b) {
    for (int i = 0; i < rows_a; i++) {
        int64_t sum[4] = {0, 0, 0, 0};
        for (ptrdiff_t w = 0; w < words; w++) {
            uint64_t a = A[i * words + w];
            for (int j = 0; j < rows_b; j++)
                sum[j] += LEVEL_NAME(popcount_word)(a & B[j * words + w]);
        }
        for (int j = 0; j < rows_b; j++) counts[i * ld + j] = (int32_t)sum[j];
    }
}
#endif

/* Tiles of 4 x 4 pairs from row `first` on, then what is left over. */
static void LEVEL_NAME(popcount_rows)(
    const uint64_t *A, ptrdiff_t first, ptrdiff_t rows_a, const uint64_t *B, ptrdiff_t rows_b,
    ptrdiff_t words, int32_t *counts, ptrdiff_t ld) {
    ptrdiff_t i = first;
    for (; i + 4 <= rows_a; i += 4) {
        ptrdiff_t j = 0;
        for (; j + 4 <= rows_b; j += 4)
            LEVEL_NAME(popcount_tile)(A + i * words, B + j * words, words, counts + i * ld + j,
                                      ld, 4, 4);
        for (; j < rows_b; j++)
            LEVEL_NAME(popcount_tile)(A + i * words, B + j * words, words, counts + i * ld + j,
                                      ld, 4, 1);
    }
    for (; i < rows_a; i++)
        for (ptrdiff_t j = 0; j < rows_b; j++)
            LEVEL_NAME(popcount_tile)(A + i * words, B + j * words, words, counts + i * ld + j,
                                      ld, 1, 1);
}

static void LEVEL_NAME(popcount_block)(
    const uint64_t *A, ptrdiff_t rows_a, const uint64_t *B, ptrdiff_t rows_b, ptrdiff_t words,
    int32_t *counts, ptrdiff_t ld) {
    ptrdiff_t first = 0;
#if SQ_LEVEL == SQ_AVX2
    first = nibbles_block(A, rows_a, B, rows_b, words, counts, ld);
#endif
    LEVEL_NAME(popcount_rows)(A, first, rows_a, B, rows_b, words, counts, ld);
}

#endif

#include "lanes_above.h"

/* fired = the bits of z > threshold; returns how many there are. */
static ptrdiff_t NAME(mark_row)(const real *z, ptrdiff_t m, real threshold, uint64_t *fired) {
    const vec least = broadcast(threshold);
    ptrdiff_t r = 0, count = 0;
    for (; r + 64 <= m; r += 64) {
        uint64_t bits = 0;
        for (int k = 0; k < 64; k += LANES)
            bits |= NAME(lanes_above)(load(z + r + k), least) << k;
        fired[r / 64] = bits;
        count += __builtin_popcountll(bits);
    }
    if (r == m) return count;
    fired[r / 64] = 0;
    for (; r < m; r++) fired[r / 64] |= (uint64_t)(z[r] > threshold) << r % 64;
    return count + __builtin_popcountll(fired[(m - 1) / 64]);
}
