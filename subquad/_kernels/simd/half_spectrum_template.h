/* The spectrum X of a real row x of s = 2 h entries, from the transform Z of the h complex numbers
   x[2 j] + i x[2 j + 1], and back. With w_k = exp(-2 pi i k / s), for 0 < k < h / 2,

       E = Z[k] + conj Z[h - k]     2 X[k]          = E + w_k (-i) D
       D = Z[k] - conj Z[h - k]     2 conj X[h - k] = E - w_k (-i) D

   and X[0] = Re Z[0] + Im Z[0], X[h] = Re Z[0] - Im Z[0], X[h / 2] = conj Z[h / 2]. A spectrum is
   kept in s reals: X[0], X[h], for even h X[h / 2], all X[k], all conj X[h - k], as complex numbers
   from the third on. The way back gives 2 Z.

   Complex numbers lie interleaved in vectors, so that w (-i D) is two products with tables:
   swap(D) o (cos, -cos) + D o (sin, sin), where w_k = cos + i sin. */
#include "lanes.h"

#define LOWER_OF_PAIR(l, d) ((l) & ~1)
#define UPPER_OF_PAIR(l, d) ((l) | 1)
#define SWAPPED(l, d) ((l) ^ 1)
#define REVERSED(l, d) (LANES_COUNT - 2 - ((l) & ~1) + ((l) & 1))
#define SWAP(v) PICK_LANES(v, v, SWAPPED, 0)
#define REVERSE(v) PICK_LANES(v, v, REVERSED, 0)
#define SIGN(l, d) ((l) & 1 ? (real)-1 : (real)1)
#define CONJUGATE(v) ((v) * (vec){EVERY_LANE(SIGN, 0)})

static void NAME(spectrum_of_half)(
    const real *z, ptrdiff_t half, const real *cosines, const real *sines, real *out) {
    ptrdiff_t pairs = (half - 1) / 2, k = 1;
    out[0] = z[0] + z[1];
    out[1] = z[0] - z[1];
    out += 2;
    if (half % 2 == 0) {
        out[0] = z[half];
        out[1] = -z[half + 1];
        out += 2;
    }
    const vec one_half = broadcast((real)0.5);
    for (; k + LANES / 2 <= pairs + 1; k += LANES / 2) {
        ptrdiff_t at = 2 * (k - 1);
        vec up = load(z + 2 * k);
        vec down = CONJUGATE(REVERSE(load(z + 2 * (half - k + 1) - LANES)));
        vec sum = (up + down) * one_half, difference = (up - down) * one_half;
        vec turned = SWAP(difference) * load(cosines + at) + difference * load(sines + at);
        store(out + at, sum + turned);
        store(out + 2 * pairs + at, sum - turned);
    }
    for (; k <= pairs; k++) {
        ptrdiff_t at = 2 * (k - 1);
        const real *up = z + 2 * k, *down = z + 2 * (half - k);
        real e_re = (up[0] + down[0]) / 2, e_im = (up[1] - down[1]) / 2;
        real d_re = (up[0] - down[0]) / 2, d_im = (up[1] + down[1]) / 2;
        real t_re = d_im * cosines[at] + d_re * sines[at];
        real t_im = d_re * cosines[at + 1] + d_im * sines[at + 1];
        out[at] = e_re + t_re;
        out[at + 1] = e_im + t_im;
        out[2 * pairs + at] = e_re - t_re;
        out[2 * pairs + at + 1] = e_im - t_im;
    }
}

static void NAME(half_of_spectrum)(
    const real *x, ptrdiff_t half, const real *cosines, const real *sines, real *z) {
    ptrdiff_t pairs = (half - 1) / 2, k = 1;
    z[0] = x[0] + x[1];
    z[1] = x[0] - x[1];
    x += 2;
    if (half % 2 == 0) {
        z[half] = 2 * x[0];
        z[half + 1] = -2 * x[1];
        x += 2;
    }
    for (; k + LANES / 2 <= pairs + 1; k += LANES / 2) {
        ptrdiff_t at = 2 * (k - 1);
        vec up = load(x + at), down = load(x + 2 * pairs + at);
        vec sum = up + down, difference = up - down;
        vec turned = difference * load(sines + at) - SWAP(difference) * load(cosines + at);
        store(z + 2 * k, sum + turned);
        store(z + 2 * (half - k + 1) - LANES, REVERSE(CONJUGATE(sum - turned)));
    }
    for (; k <= pairs; k++) {
        ptrdiff_t at = 2 * (k - 1);
        const real *up = x + at, *down = x + 2 * pairs + at;
        real d_re = up[0] - down[0], d_im = up[1] - down[1];
        real t_re = d_re * sines[at] - d_im * cosines[at];
        real t_im = d_im * sines[at + 1] - d_re * cosines[at + 1];
        z[2 * k] = up[0] + down[0] + t_re;
        z[2 * k + 1] = up[1] + down[1] + t_im;
        z[2 * (half - k)] = up[0] + down[0] - t_re;
        z[2 * (half - k) + 1] = -(up[1] + down[1] - t_im);
    }
}

/* x = x y, two (for odd size one) real numbers and then complex ones. */
static void NAME(multiply_spectra)(real *x, const real *y, ptrdiff_t size) {
    ptrdiff_t at = 0;
    for (; at < 2 - size % 2; at++) x[at] *= y[at];
    for (; at + LANES <= size; at += LANES) {
        vec a = load(x + at), b = load(y + at);
        vec imaginary = PICK_LANES(b, b, UPPER_OF_PAIR, 0);
        store(x + at, a * PICK_LANES(b, b, LOWER_OF_PAIR, 0) - SWAP(a) * CONJUGATE(imaginary));
    }
    for (; at < size; at += 2) {
        real re = x[at] * y[at] - x[at + 1] * y[at + 1];
        x[at + 1] = x[at + 1] * y[at] + x[at] * y[at + 1];
        x[at] = re;
    }
}

#undef LOWER_OF_PAIR
#undef UPPER_OF_PAIR
#undef SWAPPED
#undef REVERSED
#undef SWAP
#undef REVERSE
#undef SIGN
#undef CONJUGATE
