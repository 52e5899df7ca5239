/* PICK_LANES(a, b, f, d): the vector of lanes f(0, d), f(1, d), ... of a, and from LANES on of b. */
#undef LANES_2
#undef LANES_4
#undef LANES_8
#undef EVERY_LANE
#undef LANES_COUNT
#undef PICK_LANES

#define LANES_COUNT (SQ_BYTES / (int)sizeof(real))
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
typedef int32_t NAME(lane_number);
#else
typedef int64_t NAME(lane_number);
#endif
typedef NAME(lane_number) NAME(lane_numbers) __attribute__((vector_size(SQ_BYTES)));
#define PICK_LANES(a, b, f, d) __builtin_shuffle(a, b, (NAME(lane_numbers)){EVERY_LANE(f, d)})
#endif
