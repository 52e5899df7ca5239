/* Let Z be the transform of the h complex numbers x[2 j] + i x[2 j + 1] of a real row x. Its
   spectrum X has, with w = exp(-2 pi i k / (2 h)),

       2 X[k] = (Z[k] + conj Z[h - k]) - i w (Z[k] - conj Z[h - k])

   For two rows with a = Z1[k], b = conj Z1[h - k], c = Z2[k], d = conj Z2[h - k], the half
   transform Z of the product of their spectra is, as one finds by inserting,

       Z[k]            = a c - p
       conj Z[h - k]   = b d - p      where p = t (a - b) (c - d),   t = (1 + w^2) / 4

   for 0 < k < h / 2. For k = 0, h - k stands for 0 too, and t = 1 / 2; for k = h / 2, t = 0.
   Complex numbers lie interleaved in vectors. */
#include "lanes.h"

#define LOWER_OF_PAIR(l, d) ((l) & ~1)
#define UPPER_OF_PAIR(l, d) ((l) | 1)
#define SWAPPED(l, d) ((l) ^ 1)
#define REVERSED(l, d) (LANES_COUNT - 2 - ((l) & ~1) + ((l) & 1))
#define SIGN(l, d) ((l) & 1 ? (real)-1 : (real)1)
#define CONJUGATE(v) ((v) * (vec){EVERY_LANE(SIGN, 0)})
/* The conjugates of complex numbers in reverse. */
#define MIRRORED(v) CONJUGATE(PICK_LANES(v, v, REVERSED, 0))

/* Complex products. */
static inline vec NAME(times)(vec x, vec y) {
    vec imaginary = PICK_LANES(y, y, UPPER_OF_PAIR, 0);
    return x * PICK_LANES(y, y, LOWER_OF_PAIR, 0)
           - PICK_LANES(x, x, SWAPPED, 0) * CONJUGATE(imaginary);
}

/* One frequency k and h - k, at x, y and x_down, y_down. */
static inline void NAME(multiply_pair)(
    real *x, real *x_down, const real *y, const real *y_down, const real *t) {
    real a = x[0], a_i = x[1], b = x_down[0], b_i = -x_down[1];
    real c = y[0], c_i = y[1], d = y_down[0], d_i = -y_down[1];
    real q = (a - b) * (c - d) - (a_i - b_i) * (c_i - d_i);
    real q_i = (a - b) * (c_i - d_i) + (a_i - b_i) * (c - d);
    real p = t[0] * q - t[1] * q_i, p_i = t[0] * q_i + t[1] * q;
    x[0] = (a * c - a_i * c_i) - p;
    x[1] = (a * c_i + a_i * c) - p_i;
    x_down[0] = (b * d - b_i * d_i) - p;
    x_down[1] = p_i - (b * d_i + b_i * d);
}

/* Z1 = Z, as above: x holds Z1, y holds Z2, turns holds t for 0 < k < h / 2. */
static void NAME(multiply_halves)(real *x, const real *y, ptrdiff_t half, const real *turns) {
    const ptrdiff_t pairs = (half - 1) / 2;
    ptrdiff_t k = 1;
    real re = x[0] * y[0] + x[1] * y[1];
    x[1] = x[0] * y[1] + x[1] * y[0];
    x[0] = re;
    if (half % 2 == 0) {
        re = x[half] * y[half] - x[half + 1] * y[half + 1];
        x[half + 1] = x[half] * y[half + 1] + x[half + 1] * y[half];
        x[half] = re;
    }
    for (; k + LANES / 2 <= pairs + 1; k += LANES / 2) {
        const ptrdiff_t down = 2 * (half - k + 1) - LANES;
        vec a = load(x + 2 * k), b = MIRRORED(load(x + down));
        vec c = load(y + 2 * k), d = MIRRORED(load(y + down));
        vec p = NAME(times)(NAME(times)(a - b, c - d), load(turns + 2 * (k - 1)));
        store(x + 2 * k, NAME(times)(a, c) - p);
        store(x + down, MIRRORED(NAME(times)(b, d) - p));
    }
    for (; k <= pairs; k++)
        NAME(multiply_pair)(x + 2 * k, x + 2 * (half - k), y + 2 * k, y + 2 * (half - k),
                            turns + 2 * (k - 1));
}

#undef LOWER_OF_PAIR
#undef UPPER_OF_PAIR
#undef SWAPPED
#undef REVERSED
#undef SIGN
#undef CONJUGATE
#undef MIRRORED
