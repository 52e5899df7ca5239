/* Bit k says whether lane k of v is above lane k of t; no NaN is. */
static inline uint64_t NAME(lanes_above)(vec v, vec t) {
#if SQ_LEVEL == SQ_AVX512 && SQ_IS_F32
    return _mm512_cmp_ps_mask((__m512)v, (__m512)t, _CMP_GT_OQ);
#elif SQ_LEVEL == SQ_AVX512
    return _mm512_cmp_pd_mask((__m512d)v, (__m512d)t, _CMP_GT_OQ);
#elif SQ_LEVEL == SQ_AVX2 && SQ_IS_F32
    return (unsigned)_mm256_movemask_ps((__m256)(v > t));
#elif SQ_LEVEL == SQ_AVX2
    return (unsigned)_mm256_movemask_pd((__m256d)(v > t));
#elif SQ_X86 && SQ_IS_F32
    return (unsigned)_mm_movemask_ps((__m128)(v > t));
#elif SQ_X86
    return (unsigned)_mm_movemask_pd((__m128d)(v > t));
#else
    uint64_t bits = 0;
    for (int k = 0; k < LANES; k++) bits |= (uint64_t)(v[k] > t[k]) << k;
    return bits;
#endif
}
