"""Cholesky factors in place, against numpy's."""

import numpy as np
import pytest

from subquad._kernels import cholesky


def definite(n, rng):
    A = rng.standard_normal((n, n + 3))
    return A @ A.T


@pytest.mark.parametrize("n", [0, 1, 2, 5, 70, 133])
def test_the_factor_takes_the_place_of_the_lower_half(n, rng):
    A = definite(n, rng)
    L = np.tril(A) + np.triu(np.full((n, n), np.nan), 1)  # which nobody reads
    assert cholesky.factor(L) == 0
    np.testing.assert_array_equal(L, np.tril(L))
    np.testing.assert_allclose(L @ L.T, A, rtol=1e-12, atol=1e-12 * np.abs(A).max(initial=1))


@pytest.mark.parametrize("minor", [1, 3, 60])
def test_the_first_minor_that_is_not_positive_is_told(minor, rng):
    A = definite(70, rng)
    A[minor - 1, minor - 1] = -1.0
    assert cholesky.factor(A) == minor
