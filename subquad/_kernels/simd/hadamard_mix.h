/* Walsh-Hadamard transforms of vectors in registers: inside each vector, and across vectors.

   A level of stride s replaces each pair (x[i], x[i + s]), bit s of i clear, by its sum and its
   difference. Inside a vector the partner of every lane comes by a shuffle, and its own sign by a
   multiplication with 1 or -1, which is exact: one fused multiply-add. */
#define LOG_LANES (SQ_BYTES == 64 ? 3 + SQ_IS_F32 : SQ_BYTES == 32 ? 2 + SQ_IS_F32 : 1 + SQ_IS_F32)
/* Mix so many vectors at once: half as many as there are registers. */
#define AT_ONCE (SQ_X86 && SQ_LEVEL != SQ_AVX512 ? 8 : 16)
#define SQ_INLINE static inline __attribute__((always_inline))

#if SQ_BYTES == 64 && SQ_IS_F32
#define EACH_LANE(f, s)                                                                            \
    f(0, s), f(1, s), f(2, s), f(3, s), f(4, s), f(5, s), f(6, s), f(7, s), f(8, s), f(9, s),      \
        f(10, s), f(11, s), f(12, s), f(13, s), f(14, s), f(15, s)
#elif SQ_BYTES == 64 || (SQ_BYTES == 32 && SQ_IS_F32)
#define EACH_LANE(f, s) f(0, s), f(1, s), f(2, s), f(3, s), f(4, s), f(5, s), f(6, s), f(7, s)
#elif SQ_BYTES == 32 || SQ_IS_F32
#define EACH_LANE(f, s) f(0, s), f(1, s), f(2, s), f(3, s)
#else
#define EACH_LANE(f, s) f(0, s), f(1, s)
#endif
#define LANE_INDEX(i, s) i
#define LANE_PARTNER(i, s) (((i) ^ (s)) % LANES)
#define LANE_SIGN(i, s) ((i) & (s) ? (real)-1 : (real)1)

#if SQ_IS_F32
typedef int32_t NAME(lane_int);
#else
typedef int64_t NAME(lane_int);
#endif
typedef NAME(lane_int) NAME(lane_ints) __attribute__((vector_size(SQ_BYTES)));

#if defined(__clang__) || __GNUC__ >= 12
#define SWAP_LANES(v, s) __builtin_shufflevector(v, v, EACH_LANE(LANE_PARTNER, s))
#else
#define SWAP_LANES(v, s) __builtin_shuffle(v, (NAME(lane_ints)){EACH_LANE(LANE_PARTNER, s)})
#endif

/* Keeps a vector in a register, and its origin from the compiler. */
#if SQ_X86
#define IN_REGISTER(v) __asm__("" : "+v"(v))
#else
#define IN_REGISTER(v) (void)(v)
#endif

/* One level inside each of `count` vectors. */
#define LANE_LEVEL(v, s)                                                                           \
    for (int r = 0; r < count; r++)                                                                \
        v[r] = v[r] * (vec){EACH_LANE(LANE_SIGN, s)} + SWAP_LANES(v[r], s)

/* One level across `count` vectors. */
#define LEVEL(v, count, s)                                                                         \
    _Pragma("GCC unroll 16")                                                                       \
    for (int i = 0; i < (count); i++)                                                              \
        if (!(i & (s))) {                                                                          \
            vec difference = v[i] - v[i + (s)];                                                    \
            v[i] += v[i + (s)];                                                                    \
            v[i + (s)] = difference;                                                               \
        }

/* The lowest `levels` levels, inside each of `count` vectors: all of them at one level before any
   at the next, so that none waits for its own last result. */
SQ_INLINE void NAME(mix_lanes)(vec *v, const int count, const int levels) {
    if (levels > 0) LANE_LEVEL(v, 1);
    if (levels > 1) LANE_LEVEL(v, 2);
    if (levels > 2) LANE_LEVEL(v, 4);
    if (levels > 3) LANE_LEVEL(v, 8);
}

/* All levels inside each of eight vectors, and beside them the levels across eight others. The
   first take units that shuffle and multiply-add, the second those that add. */
SQ_INLINE void NAME(mix_both)(vec *inside, vec *across) {
    const int count = 8;
    LANE_LEVEL(inside, 1);
    LEVEL(across, count, 1);
    if (LANES > 2) LANE_LEVEL(inside, 2);
    LEVEL(across, count, 2);
    if (LANES > 4) LANE_LEVEL(inside, 4);
    LEVEL(across, count, 4);
    if (LANES > 8) LANE_LEVEL(inside, 8);
}

/* out = C w for the conference matrix C = [[A, B], [B, -A]], C C = (2 n - 1) I, of the circulants
       n = 3   A = J - I                   B = J - 2 I
       n = 5   A = J - I - 2 (S^2 + S^3)   B = J - 2 I
       n = 7   A = J - I - 2 (S^3 + S^4)   B = J - 2 (S + S^6)
   where J is all ones and S shifts by one. By sums over everything: 3 to 6 additions an entry. */
SQ_INLINE void NAME(conference)(const vec *w, vec *out, const int n) {
    const vec *p = w, *q = w + n;
    vec sum_p = p[0], sum_q = q[0];
    for (int i = 1; i < n; i++) {
        sum_p += p[i];
        sum_q += q[i];
    }
    const vec sum = sum_p + sum_q, difference = sum_p - sum_q;
    for (int i = 0; i < n; i++) {
        vec twice_up = n < 7 ? q[i] : q[(i + 1) % n] + q[(i + n - 1) % n];
        vec twice_down = n < 7 ? p[i] : p[(i + 1) % n] + p[(i + n - 1) % n];
        if (n > 3) {
            twice_up += p[(i + n / 2) % n] + p[(i + n / 2 + 1) % n];
            twice_down -= q[(i + n / 2) % n] + q[(i + n / 2 + 1) % n];
        }
        out[i] = (sum - p[i]) - 2 * twice_up;
        out[n + i] = (difference + q[i]) - 2 * twice_down;
    }
}

/* v = H v for H = [[C + I, C - I], [C - I, -C - I]], symmetric of order 12, 20 or 28. */
SQ_INLINE void NAME(mix_order)(vec *v, const int order) {
    const int half = order / 2;
    vec sum[14], difference[14], image[14];
    for (int i = 0; i < half; i++) {
        sum[i] = v[i] + v[half + i];
        difference[i] = v[i] - v[half + i];
    }
    NAME(conference)(sum, image, half / 2);
    for (int i = 0; i < half; i++) v[i] = image[i] + difference[i];
    NAME(conference)(difference, image, half / 2);
    for (int i = 0; i < half; i++) v[half + i] = image[i] - sum[i];
}

/* v = H v for Sylvester's matrix of order `count`, a power of two. With `fused`, two levels take
   their differences by a fused multiply-add with one, which is exact too: processors that add on
   two units and multiply-add on two others use all four. */
SQ_INLINE void NAME(mix)(vec *v, const int count, const int fused) {
    vec one = broadcast(1);
    IN_REGISTER(one);
#pragma GCC unroll 8
    for (int s = 1; s < count; s *= 2)
#pragma GCC unroll 32
        for (int i = 0; i < count; i++)
            if (!(i & s)) {
                vec difference = fused && (s & 6) ? v[i] - v[i + s] * one : v[i] - v[i + s];
                v[i] += v[i + s];
                v[i + s] = difference;
            }
}
