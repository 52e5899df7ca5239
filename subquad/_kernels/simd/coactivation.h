/* Fired neurons as bits, and counts of common bits: see coactivation_template.h. */
#ifndef SUBQUAD_COACTIVATION_H
#define SUBQUAD_COACTIVATION_H
#include <stddef.h>
#include <stdint.h>
#include "levels.h"

typedef void (*popcount_block_fn)(
    const uint64_t *A, ptrdiff_t rows_a, const uint64_t *B, ptrdiff_t rows_b, ptrdiff_t words,
    int32_t *counts, ptrdiff_t ld);
extern const popcount_block_fn popcount_block[SQ_LEVELS];

#define SQ_DECLARE(real, dtype)                                                                    \
    typedef ptrdiff_t (*mark_row_##dtype##_fn)(                                                    \
        const real *z, ptrdiff_t m, real threshold, uint64_t *fired);                              \
    extern const mark_row_##dtype##_fn mark_row_##dtype[SQ_LEVELS];
SQ_DECLARE(float, f32)
SQ_DECLARE(double, f64)
#undef SQ_DECLARE

/* Transpose a 64 x 64 block of bits in place: bit c of x[r] and bit r of x[c] change places. */
static inline void transpose_64(uint64_t x[64]) {
    uint64_t mask = 0x00000000FFFFFFFFull;
    for (int half = 32; half != 0; half >>= 1, mask ^= mask << half)
        for (int r = 0; r < 64; r = ((r | half) + 1) & ~half) {
            uint64_t swap = ((x[r] >> half) ^ x[r | half]) & mask;
            x[r] ^= swap << half;
            x[r | half] ^= swap;
        }
}

#endif
