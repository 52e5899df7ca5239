/* transpose(v): LANES vectors of LANES reals in place, by log2(LANES) rounds of shuffles of pairs.

   A round of distance d exchanges, for each pair of vectors r and r + d (bit d of r clear), the
   upper lanes of the first with the lower lanes of the second, upper and lower by bit d too. */
#include "lanes.h"

#define TRANSPOSE_LOWER(l, d) ((l) & (d) ? LANES_COUNT + (l) - (d) : (l))
#define TRANSPOSE_UPPER(l, d) ((l) & (d) ? LANES_COUNT + (l) : (l) + (d))
#define TRANSPOSE_ROUND(v, d)                                                                      \
    if ((d) < LANES)                                                                               \
        for (int r = 0; r < LANES; r++)                                                            \
            if (!(r & (d))) {                                                                      \
                vec lower = PICK_LANES(v[r], v[r + (d)], TRANSPOSE_LOWER, (d) % LANES_COUNT);      \
                v[r + (d)] = PICK_LANES(v[r], v[r + (d)], TRANSPOSE_UPPER, (d) % LANES_COUNT);     \
                v[r] = lower;                                                                      \
            }

static inline __attribute__((always_inline)) void NAME(transpose)(vec *v) {
    TRANSPOSE_ROUND(v, 1)
    TRANSPOSE_ROUND(v, 2)
    TRANSPOSE_ROUND(v, 4)
    TRANSPOSE_ROUND(v, 8)
}

#undef TRANSPOSE_LOWER
#undef TRANSPOSE_UPPER
#undef TRANSPOSE_ROUND
