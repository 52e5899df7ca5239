"""Products of half transforms are the half transforms of cyclic convolutions."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from subquad._kernels import half_spectrum

SIZES = [2, 4, 6, 8, 10, 12, 14, 16, 30, 32, 34, 36, 62, 64, 66, 100, 254, 256, 1024]


def turns(size, dtype):
    """(1 + w^2) / 4 for the frequencies whose partner is another one."""
    k = np.arange(1, (size // 2 - 1) // 2 + 1)
    t = (1 + np.exp(-4j * np.pi * k / size)) / 4
    return np.column_stack([t.real, t.imag]).ravel().astype(dtype)


def half_transform(x, dtype):
    """The transform of pairs as complex numbers, whose parts are interleaved."""
    Z = np.fft.fft(x[:, ::2] + 1j * x[:, 1::2])
    return np.column_stack([Z.real.ravel(), Z.imag.ravel()]).reshape(x.shape).astype(dtype)


def convolution(x, y):
    """z[r] = sum of x[i] y[j] over i + j = r mod size."""
    size = x.shape[1]
    shifted = np.stack([np.roll(y, i, axis=1) for i in range(size)], axis=1)
    return np.einsum("ni,nir->nr", x, shifted)


@pytest.mark.parametrize("size", SIZES)
def test_product_is_that_of_the_convolution(rng, dtype, simd_level, size):
    x, y = rng.uniform(-1, 1, (2, 3, size))
    X, Y, t = half_transform(x, dtype), half_transform(y, dtype), turns(size, dtype)
    Y.flags.writeable = t.flags.writeable = False
    # Three products of sums of two numbers, of which each was rounded to the dtype.
    tolerance = 32 * np.finfo(dtype).eps * np.abs(X).max() * np.abs(Y).max()
    half_spectrum.multiply_halves(X, Y, t)
    assert_allclose(X, half_transform(convolution(x, y), np.float64), rtol=0, atol=tolerance)


@pytest.mark.parametrize("size", SIZES)
def test_product_with_a_one_at_0_changes_nothing(rng, dtype, simd_level, size):
    X = rng.integers(-8, 9, (3, size)).astype(dtype)
    one = np.zeros((3, size), dtype)
    one[:, 0] = 1
    expected = X.copy()
    half_spectrum.multiply_halves(X, half_transform(one, dtype), turns(size, dtype))
    assert_allclose(X, expected, rtol=0, atol=64 * np.finfo(dtype).eps)


def test_no_rows_are_taken(dtype):
    none = np.ones((0, 8), dtype)
    half_spectrum.multiply_halves(none.copy(), none, turns(8, dtype))
