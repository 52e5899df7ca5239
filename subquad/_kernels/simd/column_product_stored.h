/* The numbers of W as they are stored, and what sums are made from: reals, or pairs.

   A pair is a vector of words that hold two bfloat16 numbers each: in the lower halves those of one
   vector of outputs, in the upper halves those of the next. A shift gives the first vector and a
   mask the second. Compact columns are staged so, since eight-bit integers are bfloat16 numbers
   too: they take half the cache, and are decoded once for all rows. */
enum {
    NAME(TILE) = 8, /* vectors */
    NAME(TILE_WIDTH) = NAME(TILE) * SQ_BYTES / sizeof(real),
};

static inline __attribute__((always_inline)) ptrdiff_t NAME(stored_bytes)(const int storage) {
    return storage == SQ_STORED_INT8 ? 1 : storage == SQ_STORED_BFLOAT16 ? 2 : sizeof(real);
}

/* LANES numbers, decoded. The compilers' own conversions of short vectors go by way of single
   numbers, hence the intrinsics. */
static inline __attribute__((always_inline)) vec NAME(decoded)(const char *from,
                                                               const int storage) {
#if SQ_IS_F32
    vec number;
#if SQ_LEVEL == SQ_AVX512
    if (storage == SQ_STORED_BFLOAT16)
        return (vec)_mm512_slli_epi32(
            _mm512_cvtepu16_epi32(_mm256_loadu_si256((const void *)from)), 16);
    if (storage == SQ_STORED_INT8)
        return (vec)_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const void *)from)));
#elif SQ_LEVEL == SQ_AVX2
    if (storage == SQ_STORED_BFLOAT16)
        return (vec)_mm256_slli_epi32(
            _mm256_cvtepu16_epi32(_mm_loadu_si128((const void *)from)), 16);
    if (storage == SQ_STORED_INT8)
        return (vec)_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const void *)from)));
#endif
    if (storage == SQ_STORED_BFLOAT16) {
        uint32_t word[LANES];
        for (int l = 0; l < LANES; l++) word[l] = (uint32_t)((const uint16_t *)from)[l] << 16;
        __builtin_memcpy(&number, word, sizeof number);
        return number;
    }
    if (storage == SQ_STORED_INT8) {
        for (int l = 0; l < LANES; l++) number[l] = ((const int8_t *)from)[l];
        return number;
    }
#endif
    return load((const real *)from);
}

#if SQ_IS_F32
typedef uint32_t NAME(words) __attribute__((vector_size(SQ_BYTES)));

/* 2 LANES numbers as a pair. */
static inline __attribute__((always_inline)) NAME(words) NAME(paired)(const char *from,
                                                                      const int storage) {
#if SQ_LEVEL == SQ_AVX2
    if (storage == SQ_STORED_BFLOAT16) { /* two shuffles in place of two conversions */
        const __m256i order = _mm256_setr_epi8(
            0, 1, 8, 9, 2, 3, 10, 11, 4, 5, 12, 13, 6, 7, 14, 15,
            0, 1, 8, 9, 2, 3, 10, 11, 4, 5, 12, 13, 6, 7, 14, 15);
        const __m256i halves = _mm256_loadu_si256((const void *)from);
        return (NAME(words))_mm256_shuffle_epi8(_mm256_permute4x64_epi64(halves, 0xD8), order);
    }
#endif
    return (NAME(words))NAME(decoded)(from, storage) >> 16
           | (NAME(words))NAME(decoded)(from + LANES * NAME(stored_bytes)(storage), storage);
}
#endif

/* Write a tile of a column as it is staged. */
static inline __attribute__((always_inline)) void NAME(stage_tile)(const char *from, char *to,
                                                                   const int storage) {
#if SQ_IS_F32
    const ptrdiff_t pair_bytes = 2 * LANES * NAME(stored_bytes)(storage);
    if (storage != SQ_STORED_AS_IS) {
        for (int v = 0; v < NAME(TILE); v += 2, from += pair_bytes, to += SQ_BYTES) {
            const NAME(words) pair = NAME(paired)(from, storage);
            __builtin_memcpy(to, &pair, sizeof pair);
        }
        return;
    }
#endif
    for (int v = 0; v < NAME(TILE); v++)
        store((real *)to + v * LANES, load((const real *)from + v * LANES));
}

/* sum += factor * column for a tile that is staged. */
static inline __attribute__((always_inline)) void NAME(add_column)(
    vec *sum, const char *column, vec factor, const int packed) {
#if SQ_IS_F32
    if (packed) {
        for (int v = 0; v < NAME(TILE); v += 2) {
            NAME(words) pair;
            __builtin_memcpy(&pair, column + v / 2 * SQ_BYTES, sizeof pair);
            sum[v] += factor * (vec)(pair << 16);
            sum[v + 1] += factor * (vec)(pair & 0xFFFF0000u);
        }
        return;
    }
#endif
    for (int v = 0; v < NAME(TILE); v++)
        sum[v] += factor * load((const real *)column + v * LANES);
}
