/* Part of half_space_template.h: which lanes are hits, and where they go. */
/* Bit k is set if lane k is at least b. */
static inline __attribute__((always_inline)) uint32_t NAME(half_space_hits)(vec scores, real b) {
#if SQ_LEVEL == SQ_AVX512 && SQ_IS_F32
    return _mm512_cmp_ps_mask((__m512)scores, _mm512_set1_ps(b), _CMP_GE_OQ);
#elif SQ_LEVEL == SQ_AVX512
    return _mm512_cmp_pd_mask((__m512d)scores, _mm512_set1_pd(b), _CMP_GE_OQ);
#elif SQ_LEVEL == SQ_AVX2 && SQ_IS_F32
    return (uint32_t)_mm256_movemask_ps(
        _mm256_cmp_ps((__m256)scores, _mm256_set1_ps(b), _CMP_GE_OQ));
#elif SQ_LEVEL == SQ_AVX2
    return (uint32_t)_mm256_movemask_pd(
        _mm256_cmp_pd((__m256d)scores, _mm256_set1_pd(b), _CMP_GE_OQ));
#elif SQ_X86 && defined(__SSE2__) && SQ_IS_F32
    return (uint32_t)_mm_movemask_ps(_mm_cmpge_ps((__m128)scores, _mm_set1_ps(b)));
#elif SQ_X86 && defined(__SSE2__)
    return (uint32_t)_mm_movemask_pd(_mm_cmpge_pd((__m128d)scores, _mm_set1_pd(b)));
#else
    uint32_t hits = 0;
    for (int k = 0; k < LANES; k++) hits |= (uint32_t)(scores[k] >= b) << k;
    return hits;
#endif
}

/* Bit k is set if lane k holds a point. */
static inline uint64_t NAME(half_space_there)(const real *points) {
    uint64_t there = 0;
    for (int k = 0; k < HALF_SPACE_LANES; k++) there |= (uint64_t)(points[k] == points[k]) << k;
    return there;
}

/* Write the scores of one vector whose bits are set, and their ids; whole vectors are written. */
static inline __attribute__((always_inline)) void NAME(half_space_compress)(
    vec scores, uint32_t hits, const int32_t *ids, int32_t *hit_ids, real *hit_values) {
#if SQ_LEVEL == SQ_AVX512 && SQ_IS_F32
    _mm512_storeu_ps(hit_values, _mm512_maskz_compress_ps((__mmask16)hits, (__m512)scores));
    _mm512_storeu_si512(
        hit_ids, _mm512_maskz_compress_epi32((__mmask16)hits, _mm512_loadu_si512(ids)));
#elif SQ_LEVEL == SQ_AVX512
    _mm512_storeu_pd(hit_values, _mm512_maskz_compress_pd((__mmask8)hits, (__m512d)scores));
    _mm256_storeu_si256((__m256i *)hit_ids, _mm256_maskz_compress_epi32(
        (__mmask8)hits, _mm256_loadu_si256((const __m256i *)ids)));
#elif SQ_LEVEL == SQ_AVX2 && SQ_IS_F32
    __m128i bytes = _mm_cvtsi64_si128((long long)half_space_order[hits]);
    __m256i order = _mm256_cvtepu8_epi32(bytes);
    _mm256_storeu_ps(hit_values, _mm256_permutevar8x32_ps((__m256)scores, order));
    _mm256_storeu_si256((__m256i *)hit_ids, _mm256_permutevar8x32_epi32(
        _mm256_loadu_si256((const __m256i *)ids), order));
#elif SQ_LEVEL == SQ_AVX2
    __m128i order = _mm_cvtepu8_epi32(_mm_cvtsi32_si128((int)half_space_order[hits]));
    _mm_storeu_ps((float *)hit_ids, _mm_permutevar_ps(_mm_loadu_ps((const float *)ids), order));
    /* A double is moved as two floats, 2 i and 2 i + 1. */
    __m256i twice = _mm256_cvtepu32_epi64(_mm_add_epi32(order, order));
    __m256i halves = _mm256_or_si256(twice, _mm256_slli_epi64(twice, 32));
    halves = _mm256_or_si256(halves, _mm256_set1_epi64x(1ll << 32));
    _mm256_storeu_ps((float *)hit_values, _mm256_permutevar8x32_ps((__m256)scores, halves));
#else
    for (; hits != 0; hits &= hits - 1) {
        int k = __builtin_ctz(hits);
        *hit_values++ = scores[k];
        *hit_ids++ = ids[k];
    }
#endif
}

/* Append the scores whose bits are set, and their ids. */
static inline void NAME(half_space_append)(
    const real *scores, uint64_t hits, const int32_t *ids, int32_t *hit_ids, real *hit_values) {
#if SQ_LEVEL >= SQ_AVX2
    enum { FEW = SQ_LEVEL == SQ_AVX512 ? 4 : 64 / LANES };
    if (__builtin_popcountll(hits) > FEW) {
        for (int k = 0; k < HALF_SPACE_LANES; k += LANES, hits >>= LANES) {
            uint32_t some = (uint32_t)hits & ((1u << LANES) - 1);
            NAME(half_space_compress)(load(scores + k), some, ids + k, hit_ids, hit_values);
            hit_values += __builtin_popcount(some);
            hit_ids += __builtin_popcount(some);
        }
        return;
    }
#endif
    for (; hits != 0; hits &= hits - 1) {
        int k = __builtin_ctzll(hits);
        *hit_values++ = scores[k];
        *hit_ids++ = ids[k];
    }
}
