"""Products of spectra of real rows of even length s, kept as complex transforms of length s / 2.

A row x is read as s / 2 complex numbers x[2 j] + i x[2 j + 1]; its half transform Z, s / 2 complex
numbers too, stands for the spectrum of x. The product here is that of the spectra, so it stands for
the cyclic convolution of two rows. No spectrum is formed on the way.
"""
from subquad._kernels._simd cimport simd_level
from subquad._kernels._types cimport intp_t, real_t

cdef extern from "half_spectrum.h" nogil:
    ctypedef void (*multiply_halves_f32_fn)(float *, const float *, intp_t,
                                            const float *) noexcept nogil
    ctypedef void (*multiply_halves_f64_fn)(double *, const double *, intp_t,
                                            const double *) noexcept nogil
    const multiply_halves_f32_fn *multiply_halves_f32
    const multiply_halves_f64_fn *multiply_halves_f64


def multiply_halves(
    real_t[:, ::1] X not None,          # IN/OUT  (n, s): s / 2 complex numbers a row
    const real_t[:, ::1] Y not None,    # IN      (n, s)
    const real_t[::1] turns not None,   # IN      (1 + exp(-4 pi i k / s)) / 4 for 0 < k < s / 4
):
    """X = half transforms of the convolutions of the rows that X and Y stand for. One thread."""
    cdef:
        intp_t i
        intp_t half = X.shape[1] // 2
        int level = simd_level()
        # Rows of 2 and of 4 have no frequency in the table.
        const real_t *t = &turns[0] if turns.shape[0] else NULL
    with nogil:
        for i in range(X.shape[0]):
            if real_t is float:
                multiply_halves_f32[level](&X[i, 0], &Y[i, 0], half, t)
            else:
                multiply_halves_f64[level](&X[i, 0], &Y[i, 0], half, t)
