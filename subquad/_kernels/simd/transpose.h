/* transpose(v): LANES vectors of LANES reals in place, by log2(LANES) rounds of shuffles of pairs.

   A round of distance d exchanges, for each pair of vectors r and r + d (bit d of r clear), the
   upper lanes of the first with the lower lanes of the second, upper and lower by bit d too. */
#define TRANSPOSE_LOWER(l, d) ((l) & (d) ? SQ_BYTES / (int)sizeof(real) + (l) - (d) : (l))
#define TRANSPOSE_UPPER(l, d) ((l) & (d) ? SQ_BYTES / (int)sizeof(real) + (l) : (l) + (d))
#define LANES_2(f, d, i) f(i, d), f(i + 1, d)
#define LANES_4(f, d, i) LANES_2(f, d, i), LANES_2(f, d, i + 2)
#define LANES_8(f, d, i) LANES_4(f, d, i), LANES_4(f, d, i + 4)
#if SQ_BYTES == 64 && SQ_IS_F32
#define EVERY_LANE(f, d) LANES_8(f, d, 0), LANES_8(f, d, 8)
#elif SQ_BYTES == 64 || (SQ_BYTES == 32 && SQ_IS_F32)
#define EVERY_LANE(f, d) LANES_8(f, d, 0)
#elif SQ_BYTES == 32 || SQ_IS_F32
#define EVERY_LANE(f, d) LANES_4(f, d, 0)
#else
#define EVERY_LANE(f, d) LANES_2(f, d, 0)
#endif

#if defined(__clang__) || __GNUC__ >= 12
#define PICK_LANES(a, b, f, d) __builtin_shufflevector(a, b, EVERY_LANE(f, d))
#else
#if SQ_IS_F32
typedef int32_t NAME(lane_numbers) __attribute__((vector_size(SQ_BYTES)));
#else
typedef int64_t NAME(lane_numbers) __attribute__((vector_size(SQ_BYTES)));
#endif
#define PICK_LANES(a, b, f, d) __builtin_shuffle(a, b, (NAME(lane_numbers)){EVERY_LANE(f, d)})
#endif

#define TRANSPOSE_ROUND(v, d)                                                                      \
    if ((d) < LANES)                                                                               \
        for (int r = 0; r < LANES; r++)                                                            \
            if (!(r & (d))) {                                                                      \
                vec lower = PICK_LANES(v[r], v[r + (d)], TRANSPOSE_LOWER, (d) % LANES_COUNT);      \
                v[r + (d)] = PICK_LANES(v[r], v[r + (d)], TRANSPOSE_UPPER, (d) % LANES_COUNT);     \
                v[r] = lower;                                                                      \
            }
#define LANES_COUNT (SQ_BYTES / (int)sizeof(real))

static inline __attribute__((always_inline)) void NAME(transpose)(vec *v) {
    TRANSPOSE_ROUND(v, 1)
    TRANSPOSE_ROUND(v, 2)
    TRANSPOSE_ROUND(v, 4)
    TRANSPOSE_ROUND(v, 8)
}

#undef TRANSPOSE_LOWER
#undef TRANSPOSE_UPPER
#undef LANES_2
#undef LANES_4
#undef LANES_8
#undef EVERY_LANE
#undef PICK_LANES
#undef TRANSPOSE_ROUND
#undef LANES_COUNT
