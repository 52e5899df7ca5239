/* Includes SQ_TEMPLATE (a file name in quotes) once for each instruction set and dtype.

   Inside the template:
     real          float or double             NAME(f)     f_f32_avx2, f_f64_baseline, ...
     SQ_LEVEL      SQ_BASELINE, ...            SQ_IS_F32   1 or 0
     SQ_BYTES      bytes of a vector           vec         a vector of LANES reals
   For bodies that know no dtype, guard with SQ_IS_F32 and use LEVEL_NAME(f): f_avx2, ...

   SQ_TABLE(f_f32) lists the compiled versions of f_f32 in the order of the levels. */
#include <stddef.h>
#include <stdint.h>
#include "levels.h"
#if SQ_X86
#include <immintrin.h>
#endif

#define SQ_JOIN_(a, b) a##_##b
#define SQ_JOIN(a, b) SQ_JOIN_(a, b)
#define LEVEL_NAME(f) SQ_JOIN(f, SQ_SUFFIX)
#define NAME(f) SQ_JOIN(SQ_JOIN(f, SQ_DTYPE), SQ_SUFFIX)

#define SQ_LEVEL SQ_BASELINE
#define SQ_SUFFIX baseline
#define SQ_BYTES 16
#include "each_dtype.h"
#undef SQ_LEVEL
#undef SQ_SUFFIX
#undef SQ_BYTES

#if SQ_X86

#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx2,fma,bmi,bmi2,popcnt"))), \
                             apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma,bmi,bmi2,popcnt")
#endif
#define SQ_LEVEL SQ_AVX2
#define SQ_SUFFIX avx2
#define SQ_BYTES 32
#include "each_dtype.h"
#undef SQ_LEVEL
#undef SQ_SUFFIX
#undef SQ_BYTES
#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#ifdef __clang__
#pragma clang attribute push(                                                                  \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vpopcntdq,"    \
                          "avx2,fma,bmi,bmi2,popcnt"))),                                       \
    apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vpopcntdq")
#pragma GCC target("avx2,fma,bmi,bmi2,popcnt,prefer-vector-width=512")
#endif
#define SQ_LEVEL SQ_AVX512
#define SQ_SUFFIX avx512
#define SQ_BYTES 64
#include "each_dtype.h"
#undef SQ_LEVEL
#undef SQ_SUFFIX
#undef SQ_BYTES
#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#define SQ_TABLE(f) { f##_baseline, f##_avx2, f##_avx512 }
#else
#define SQ_TABLE(f) { f##_baseline, f##_baseline, f##_baseline }
#endif
