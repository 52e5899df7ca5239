/* A bit for each lane of a vector, and back. */

/* Bit k says whether lane k is above zero. */
static inline uint64_t NAME(positive_lanes)(vec v) {
#if SQ_LEVEL == SQ_AVX512 && SQ_IS_F32
    return _mm512_cmp_ps_mask((__m512)v, _mm512_setzero_ps(), _CMP_GT_OQ);
#elif SQ_LEVEL == SQ_AVX512
    return _mm512_cmp_pd_mask((__m512d)v, _mm512_setzero_pd(), _CMP_GT_OQ);
#elif SQ_LEVEL == SQ_AVX2 && SQ_IS_F32
    return (unsigned)_mm256_movemask_ps((__m256)(v > 0));
#elif SQ_LEVEL == SQ_AVX2
    return (unsigned)_mm256_movemask_pd((__m256d)(v > 0));
#elif SQ_X86 && SQ_IS_F32
    return (unsigned)_mm_movemask_ps((__m128)(v > 0));
#elif SQ_X86
    return (unsigned)_mm_movemask_pd((__m128d)(v > 0));
#else
    uint64_t bits = 0;
    for (int k = 0; k < LANES; k++) bits |= (uint64_t)(v[k] > 0) << k;
    return bits;
#endif
}

#if SQ_IS_F32
typedef int32_t NAME(bit_int);
#else
typedef int64_t NAME(bit_int);
#endif
typedef NAME(bit_int) NAME(bit_ints) __attribute__((vector_size(SQ_BYTES)));

/* v where the bit of the lane is set, 0 elsewhere; further bits do not count. */
static inline vec NAME(keep_lanes)(vec v, uint64_t bits) {
#if SQ_LEVEL == SQ_AVX512 && SQ_IS_F32
    return (vec)_mm512_maskz_mov_ps((__mmask16)bits, (__m512)v);
#elif SQ_LEVEL == SQ_AVX512
    return (vec)_mm512_maskz_mov_pd((__mmask8)bits, (__m512d)v);
#else
    NAME(bit_ints) lane;
    for (int k = 0; k < LANES; k++) lane[k] = (NAME(bit_int))1 << k;
    const NAME(bit_ints) all = (NAME(bit_int))bits - (NAME(bit_ints)){0};
    return (vec)((NAME(bit_ints))v & ((all & lane) == lane));
#endif
}
