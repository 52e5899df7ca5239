"""Transforms of integers are exact or refused; those of half precision are rounded once."""

import numpy as np
import pytest
import scipy.linalg
from hadamard_matrices import matrix

from subquad.hadamard import fwht, ifwht

INTEGERS = [np.int32, np.int64]


class TestIntegers:
    @pytest.mark.parametrize("kind", INTEGERS)
    @pytest.mark.parametrize("m", [1, 2, 12, 28, 64, 20 * 8, 256])
    @pytest.mark.parametrize("bits", [4, 20, 30, 50, 63])
    def test_are_exact_up_to_the_largest_sum(self, rng, kind, m, bits):
        largest = min(int(np.iinfo(kind).max), 2**bits) // m
        x = rng.integers(-largest, largest, (5, m), dtype=kind, endpoint=True)
        x[0] = largest
        H = matrix(m).astype(int).astype(object)  # Python's integers
        np.testing.assert_array_equal(fwht(x).astype(object), x.astype(object) @ H)
        np.testing.assert_array_equal(fwht(x, axis=1, out=x.copy()), fwht(x))

    @pytest.mark.parametrize("kind", INTEGERS)
    def test_the_largest_sum_counts_and_not_the_largest_entry(self, kind):
        limit = int(np.iinfo(kind).max)
        x = np.zeros((2, 16), kind)
        x[0, 3], x[1, :3] = limit, (limit - 5, -3, 2)
        H = scipy.linalg.hadamard(16).astype(object)
        np.testing.assert_array_equal(fwht(x).astype(object), x.astype(object) @ H)
        x[0, 0] = 1
        with pytest.raises(ValueError, match=f"at most {limit}, which .* got {limit + 1}. Convert"):
            fwht(x)
        x[0, 0], x[0, 3] = 0, -limit - 1
        with pytest.raises(ValueError, match=f"got {limit + 1}"):
            fwht(x)
        np.testing.assert_array_equal(fwht(x[1]).astype(object), x[1].astype(object) @ H)

    def test_sums_go_over_all_transformed_axes(self):
        x = np.full((8, 8), 2**26, np.int32)
        assert fwht(x)[0, 0] == 2**29
        with pytest.raises(ValueError, match=rf"got {2**32}. Convert it with .astype\(np.int64\)"):
            fwht(x, axes=(0, 1))
        assert fwht(x.astype(np.int64), axes=(0, 1))[0, 0] == 2**32

    def test_twice_the_transform_is_m_times_the_array(self, rng):
        x = rng.integers(-(2**40), 2**40, (3, 256))
        np.testing.assert_array_equal(ifwht(fwht(x), norm="forward") // 256, x)

    @pytest.mark.parametrize(
        ("function", "options", "message"),
        [
            (fwht, {"norm": "ortho"}, "norm must be 'backward' for integers.* got 'ortho'"),
            (fwht, {"norm": "forward"}, "norm must be 'backward' for integers.* got 'forward'"),
            (fwht, {"orthonormal": True}, "orthonormal must be False for integers.* got True"),
            (ifwht, {}, "norm must be 'forward' for integers.* got None"),
            (fwht, {"signs": [1, 2]}, "signs must be 1 or -1 for integers"),
            (fwht, {"signs": [1, 0]}, "signs must be 1 or -1 for integers"),
        ],
    )
    def test_are_not_scaled(self, function, options, message):
        with pytest.raises(ValueError, match=message):
            function(np.array([1, 2]), **options)

    def test_the_output_has_their_dtype(self):
        with pytest.raises(TypeError, match="out must be an int64 array as x; got int32"):
            fwht(np.array([1, 2]), out=np.empty(2, np.int32))

    def test_copies_that_would_not_fit_are_refused(self, monkeypatch):
        monkeypatch.setattr("subquad.hadamard._transforms._LARGE", 100)
        monkeypatch.setattr("subquad._validation.available_memory", lambda: 1000)
        x = np.ones(256, int)
        with pytest.raises(MemoryError, match="A copy in floats must fit in memory"):
            fwht(x, out=x)


class TestHalfPrecision:
    def test_is_transformed_in_float32_and_rounded_once(self, rng):
        x = rng.standard_normal((4, 512)).astype(np.float16)
        expected = fwht(x.astype(np.float32), norm="ortho").astype(np.float16)
        np.testing.assert_array_equal(fwht(x, norm="ortho"), expected)
        np.testing.assert_array_equal(fwht(x, norm="ortho", out=x), expected)

    def test_beyond_its_range_is_infinite(self):
        x = np.full(4, 30000, np.float16)
        np.testing.assert_array_equal(fwht(x), [np.inf, 0, 0, 0])
        np.testing.assert_array_equal(fwht(x, norm="ortho"), [60000, 0, 0, 0])

    def test_bfloat16(self, rng):
        bfloat16 = pytest.importorskip("ml_dtypes").bfloat16
        x = rng.standard_normal((4, 96)).astype(bfloat16)
        expected = fwht(x.astype(np.float32), norm="ortho").astype(bfloat16)
        y = fwht(x, norm="ortho")
        assert y.dtype == bfloat16
        np.testing.assert_array_equal(y, expected)
        assert fwht(x, norm="ortho", out=x) is x
        np.testing.assert_array_equal(x, expected)
