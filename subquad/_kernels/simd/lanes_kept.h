/* Lanes chosen by bits: the way back from lanes_above.h. */
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
