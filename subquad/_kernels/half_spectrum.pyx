"""Spectra of real rows of even length s, by complex transforms of length s / 2.

A row x is read as s / 2 complex numbers x[2 j] + i x[2 j + 1]. Their transform Z becomes the
spectrum X of x, in s reals: X[0] and X[s / 2], then complex numbers, each frequency between 0 and
s / 2 once, some conjugated. Products of spectra in this order are spectra in this order. For odd s,
which has no half transform, a spectrum is X[0] and then complex numbers.
"""
from subquad._kernels._simd cimport simd_level
from subquad._kernels._types cimport intp_t, real_t

cdef extern from "half_spectrum.h" nogil:
    ctypedef void (*half_spectrum_f32_fn)(const float *, intp_t, const float *, const float *,
                                          float *) noexcept nogil
    ctypedef void (*half_spectrum_f64_fn)(const double *, intp_t, const double *, const double *,
                                          double *) noexcept nogil
    ctypedef void (*multiply_spectra_f32_fn)(float *, const float *, intp_t) noexcept nogil
    ctypedef void (*multiply_spectra_f64_fn)(double *, const double *, intp_t) noexcept nogil
    const multiply_spectra_f32_fn *multiply_spectra_f32
    const multiply_spectra_f64_fn *multiply_spectra_f64
    const half_spectrum_f32_fn *spectrum_of_half_f32
    const half_spectrum_f64_fn *spectrum_of_half_f64
    const half_spectrum_f32_fn *half_of_spectrum_f32
    const half_spectrum_f64_fn *half_of_spectrum_f64


def spectrum_of_half(
    const real_t[:, ::1] Z not None,        # IN   (n, s): s / 2 complex numbers a row
    const real_t[::1] cosines not None,     # IN   cos, -cos of 2 pi k / s for 0 < k < s / 4
    const real_t[::1] sines not None,       # IN   -sin, -sin
    real_t[:, ::1] out not None,            # OUT  (n, s)
):
    """The spectra of rows whose half transforms are Z. One thread."""
    with nogil:
        convert(Z, cosines, sines, out, False)


def half_of_spectrum(
    const real_t[:, ::1] X not None,        # IN   (n, s)
    const real_t[::1] cosines not None,     # IN   as above
    const real_t[::1] sines not None,       # IN
    real_t[:, ::1] out not None,            # OUT  (n, s): 2 Z
):
    """Twice the half transforms of rows with spectra X. One thread."""
    with nogil:
        convert(X, cosines, sines, out, True)


cdef void convert(
    const real_t[:, ::1] source, const real_t[::1] cosines, const real_t[::1] sines,
    real_t[:, ::1] out, bint back,
) noexcept nogil:
    """Spectra of half transforms, or back."""
    cdef:
        intp_t i
        intp_t half = source.shape[1] // 2
        int level = simd_level()
        # Rows of 2 and of 4 have no frequency in the tables.
        const real_t *c = &cosines[0] if cosines.shape[0] else NULL
        const real_t *s = &sines[0] if sines.shape[0] else NULL
    for i in range(source.shape[0]):
        if real_t is float:
            (half_of_spectrum_f32 if back else spectrum_of_half_f32)[level](
                &source[i, 0], half, c, s, &out[i, 0])
        else:
            (half_of_spectrum_f64 if back else spectrum_of_half_f64)[level](
                &source[i, 0], half, c, s, &out[i, 0])


def multiply_spectra(
    real_t[:, ::1] X not None,              # IN/OUT  (n, s)
    const real_t[:, ::1] Y not None,        # IN      (n, s)
):
    """X = spectra with the products of the coefficients of X and Y; s may be odd. One thread."""
    cdef:
        intp_t i
        intp_t n = X.shape[0]
        intp_t size = X.shape[1]
        int level = simd_level()
    with nogil:
        for i in range(n):
            if real_t is float:
                multiply_spectra_f32[level](&X[i, 0], &Y[i, 0], size)
            else:
                multiply_spectra_f64[level](&X[i, 0], &Y[i, 0], size)
