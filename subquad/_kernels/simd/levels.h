/* The instruction-set levels and the highest one that this processor and this build have. */
#ifndef SUBQUAD_LEVELS_H
#define SUBQUAD_LEVELS_H

/* Macros and not an enum, since templates ask for the level in #if. */
#define SQ_BASELINE 0
#define SQ_AVX2 1
#define SQ_AVX512 2
#define SQ_LEVELS 3

#if (defined(__x86_64__) || defined(__i386__)) && defined(__GNUC__)
#define SQ_X86 1
#else
#define SQ_X86 0
#endif

static inline int sq_best_level(void) {
#if SQ_X86
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")
        || !__builtin_cpu_supports("bmi") || !__builtin_cpu_supports("bmi2")
        || !__builtin_cpu_supports("popcnt"))
        return SQ_BASELINE;
    if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw")
        || !__builtin_cpu_supports("avx512dq") || !__builtin_cpu_supports("avx512vl")
        || !__builtin_cpu_supports("avx512vbmi") || !__builtin_cpu_supports("avx512vpopcntdq"))
        return SQ_AVX2;
    return SQ_AVX512;
#else
    return SQ_BASELINE;
#endif
}

#endif
