"""Spectra of real rows out of half transforms are those of numpy's rfft, in another order."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from subquad._kernels import half_spectrum

SIZES = [2, 4, 6, 8, 10, 12, 14, 16, 30, 32, 34, 36, 62, 64, 66, 100, 254, 256, 1024]


def tables(size, dtype):
    k = np.arange(1, (size // 2 - 1) // 2 + 1)
    w = np.exp(-2j * np.pi * k / size)
    return (
        np.column_stack([w.real, -w.real]).ravel().astype(dtype),
        np.column_stack([w.imag, w.imag]).ravel().astype(dtype),
    )


def interleaved(Z, dtype):
    """Complex rows as rows of reals."""
    Z = np.ascontiguousarray(Z, np.result_type(dtype, np.complex64))
    return Z.view(dtype)


def ordered(Y, size, dtype):
    """The spectrum of rows as the kernels keep it, from what numpy.fft.rfft returns."""
    half = size // 2
    k = np.arange(1, (half - 1) // 2 + 1)
    middle = Y[:, half // 2 : half // 2 + 1] if half % 2 == 0 else Y[:, :0]
    complex_part = np.concatenate([middle, Y[:, k], Y[:, half - k].conj()], axis=1)
    return np.concatenate([Y[:, [0, half]].real, interleaved(complex_part, np.float64)], axis=1)


def half_transform(x):
    return np.fft.fft(x[:, ::2] + 1j * x[:, 1::2])


def tolerance(dtype, size):
    return {"rtol": 0, "atol": 8 * np.finfo(dtype).eps * size}


@pytest.mark.parametrize("size", SIZES)
def test_spectrum_is_that_of_the_real_rows(rng, dtype, simd_level, size):
    x = rng.uniform(-1, 1, (3, size))
    Z = interleaved(half_transform(x), dtype)
    Z.flags.writeable = False
    out = np.full((3, size), np.nan, dtype)
    half_spectrum.spectrum_of_half(Z, *tables(size, dtype), out)
    assert_allclose(out, ordered(np.fft.rfft(x), size, dtype), **tolerance(dtype, size))


@pytest.mark.parametrize("size", SIZES)
def test_the_way_back_gives_twice_the_half_transform(rng, dtype, simd_level, size):
    x = rng.uniform(-1, 1, (3, size))
    X = ordered(np.fft.rfft(x), size, dtype).astype(dtype, order="C")
    X.flags.writeable = False
    out = np.full((3, size), np.nan, dtype)
    half_spectrum.half_of_spectrum(X, *tables(size, dtype), out)
    assert_allclose(out, 2 * interleaved(half_transform(x), np.float64), **tolerance(dtype, size))


@pytest.mark.parametrize("size", [1, 3, 5, 9, 33, 101, *SIZES])
def test_products_are_those_of_the_coefficients(rng, dtype, simd_level, size):
    X, Y = rng.integers(-8, 9, (2, 3, size)).astype(dtype)
    first = 2 - size % 2
    pairs = [A[:, first::2] + 1j * A[:, first + 1 :: 2] for A in (X, Y)]
    expected = np.concatenate(
        [X[:, :first] * Y[:, :first], interleaved(pairs[0] * pairs[1], dtype)], axis=1
    )
    Y.flags.writeable = False
    half_spectrum.multiply_spectra(X, Y)
    np.testing.assert_array_equal(X, expected)


def test_no_rows_are_taken(dtype):
    none = np.ones((0, 8), dtype)
    half_spectrum.spectrum_of_half(none, *tables(8, dtype), none.copy())
    half_spectrum.half_of_spectrum(none, *tables(8, dtype), none.copy())
    half_spectrum.multiply_spectra(none.copy(), none)
