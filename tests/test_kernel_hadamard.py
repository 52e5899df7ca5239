"""transform_rows and transform_columns multiply by Hadamard matrices, bitwise the same everywhere.

Matrices are compared on small integers, whose transforms have no rounding.
"""

import itertools

import numpy as np
import pytest
import scipy.sparse
from hadamard_matrices import FIRST_ROWS, LENGTHS, ORDERS, butterfly, matrix, of_order, split
from numpy.lib.stride_tricks import as_strided

from subquad._kernels import _simd, hadamard

POWERS = [9, 10, 11, 12, 13, 14, 15, 17, 19]  # around both passes of every instruction set
FAR = 46341**2  # reals: an offset that 32 bits do not hold
GUARD = 99.0


def integers(rng, shape, dtype):
    return rng.integers(-8, 9, shape).astype(dtype)


def at_offset(x, offset):
    """A copy of x that begins `offset` reals after a cache line, GUARD before and after it."""
    room = np.full(x.size + 64, GUARD, x.dtype)
    first = 16 + -(room.ctypes.data + 16 * x.itemsize) % 64 // x.itemsize + offset
    copy = room[first : first + x.size].reshape(x.shape)
    copy[:] = x
    return copy, room


def transformed(x, order=1, scale=1.0, n_threads=1):
    out = np.full_like(x, np.nan)
    hadamard.transform_rows(x, out, order, scale, n_threads)
    return out


@pytest.mark.parametrize("order", FIRST_ROWS)
def test_matrices_of_the_further_orders_are_symmetric_hadamard_matrices(order):
    H = of_order(order)
    np.testing.assert_array_equal(np.abs(H), 1)
    np.testing.assert_array_equal(H, H.T)
    np.testing.assert_array_equal(H @ H, order * np.eye(order))


@pytest.mark.parametrize("m", [m for m in LENGTHS if m <= 512])
def test_rows_are_multiplied_by_the_matrix(rng, dtype, simd_level, m):
    H, order = matrix(m), split(m)[0]
    for n in (1, 3, 19):
        x = integers(rng, (n, m), dtype)
        np.testing.assert_array_equal(transformed(x, order), x @ H)


@pytest.mark.parametrize("m", [1, 2, 8, 12, 40, 56, 64, 160, 256, 2048, 16384])
def test_any_alignment_will_do_and_nothing_else_is_written(rng, dtype, simd_level, m):
    order, size = split(m)
    x = integers(rng, (3, m), dtype)
    expected = butterfly(x, size).reshape(3, order, size)
    expected = (of_order(order) @ expected).reshape(3, m)
    for offset in (0, 1, 4, 7, 15):
        out, room = at_offset(np.full_like(x, GUARD), offset)
        hadamard.transform_rows(x, out, order, 1.0, 1)
        np.testing.assert_array_equal(out, expected)
        out[:] = x
        hadamard.transform_rows(out, out, order, 1.0, 1)
        np.testing.assert_array_equal(out, expected)
        out[:] = GUARD
        np.testing.assert_array_equal(room, GUARD)


@pytest.mark.parametrize("log_size", POWERS)
def test_long_rows_are_bitwise_what_butterflies_give(rng, dtype, simd_level, log_size):
    x = rng.standard_normal((2, 1 << log_size)).astype(dtype)
    np.testing.assert_array_equal(transformed(x), butterfly(x, x.shape[1]))


@pytest.mark.parametrize("log_size", range(1, 13))
def test_rows_that_are_taken_together_are_bitwise_those_taken_alone(
    rng, dtype, simd_level, log_size
):
    m = 1 << log_size
    x = rng.standard_normal(((3 << 12) // m + 3, m)).astype(dtype)
    for scale in (1.0, 0.3):
        expected = butterfly(x * dtype.type(scale), m)
        np.testing.assert_array_equal(transformed(x, scale=scale), expected)
        alone = np.vstack([transformed(x[i : i + 1], scale=scale) for i in range(len(x))])
        np.testing.assert_array_equal(alone, expected)


@pytest.mark.parametrize("m", [1, 2, 12, 64, 448, 4096, 1 << 15])
def test_input_is_multiplied_by_signs(rng, dtype, simd_level, n_threads, m):
    x, order = rng.standard_normal((7, m)).astype(dtype), split(m)[0]
    for n in (1, 7):
        signs = rng.standard_normal((n, m)).astype(dtype)
        expected = transformed(x * signs, order, 0.3)
        signs.flags.writeable = False
        out = np.full_like(x, np.nan)
        hadamard.transform_rows(x, out, order, 0.3, n_threads, signs)
        np.testing.assert_array_equal(out, expected)
        out[:] = x
        hadamard.transform_rows(out, out, order, 0.3, 1, signs)
        np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("m", [4, 96, 1024, 28 * 1024, 1 << 14])
def test_every_instruction_set_gives_the_same_bits(rng, dtype, simd_level, m):
    x, order = rng.standard_normal((3, m)).astype(dtype), split(m)[0]
    result = transformed(x, order, 0.3)
    _simd.use_level("baseline")
    np.testing.assert_array_equal(result, transformed(x, order, 0.3))


@pytest.mark.parametrize("m", [1, 8, 12, 64, 448, 4096, 1 << 13])
def test_input_is_scaled_first(rng, dtype, simd_level, m):
    x, order = rng.standard_normal((5, m)).astype(dtype), split(m)[0]
    scaled = x * dtype.type(0.37)
    np.testing.assert_array_equal(transformed(x, order, 0.37), transformed(scaled, order))


@pytest.mark.parametrize("m", [2, 12, 256, 4096, 40960])
def test_rows_do_not_depend_on_n_threads(rng, dtype, simd_level, n_threads, m):
    x, order = rng.standard_normal((37, m)).astype(dtype), split(m)[0]
    np.testing.assert_array_equal(transformed(x, order, n_threads=n_threads), transformed(x, order))


def test_more_than_the_caches_hold_is_fetched_ahead_all_the_same(rng, dtype, simd_level):
    x = integers(rng, (1 << 9, 1 << 11), dtype)
    expected = butterfly(x, x.shape[1])
    np.testing.assert_array_equal(transformed(x), expected)
    hadamard.transform_rows(x, x, 1, 1.0, 1)
    np.testing.assert_array_equal(x, expected)


@pytest.mark.parametrize("m", [4, 12, 16, 128, 4096])
def test_rows_may_lie_apart_and_be_read_only(rng, dtype, simd_level, m):
    wide, order = integers(rng, (7, m + 5), dtype), split(m)[0]
    out = np.full_like(wide, GUARD)
    expected = transformed(wide[::2, 3 : 3 + m].copy(), order)
    wide.flags.writeable = False
    hadamard.transform_rows(wide[::2, 3 : 3 + m], out[::2, :m], order, 1.0, 1)
    np.testing.assert_array_equal(out[::2, :m], expected)
    np.testing.assert_array_equal(out[:, m:], GUARD)
    np.testing.assert_array_equal(out[1::2], GUARD)


@pytest.mark.parametrize("order", [2, 4, 8, *FIRST_ROWS])
def test_columns_are_multiplied_by_the_matrix(rng, dtype, simd_level, order):
    wide = integers(rng, (3, order, 304), dtype)
    widths = [1, 2, 3, 7, 15, 16, 17, 31, 33, 64, 127, 128, 129, 300]
    for width, first in itertools.product(widths, range(4)):
        some = np.s_[:, :, first : first + width]
        out, expected = wide.copy(), wide.copy()
        expected[some] = matrix(order) @ wide[some]
        hadamard.transform_columns(out[some], 1)
        np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("shape", [(1, 8, 1000), (1, 12, 3), (3, 4, 257), (40, 2, 16)], ids=str)
def test_columns_do_not_depend_on_n_threads(rng, dtype, simd_level, n_threads, shape):
    x = rng.standard_normal(shape).astype(dtype)
    one, several = x.copy(), x.copy()
    hadamard.transform_columns(one, 1)
    hadamard.transform_columns(several, n_threads)
    np.testing.assert_array_equal(one, several)


@pytest.mark.parametrize("order", ORDERS)
def test_nothing_is_taken(dtype, order):
    hadamard.transform_rows(np.ones((0, 4 * order), dtype), np.ones((0, 4 * order), dtype), order,
                            1.0, 1)  # fmt: skip
    hadamard.transform_columns(np.ones((0, 8, 5), dtype), 1)
    hadamard.transform_columns(np.ones((3, 8, 0), dtype), 1)


def test_offsets_of_more_than_32_bits_are_reached(rng, dtype, simd_level, tmp_path):
    size = 64
    with open(tmp_path / "sparse", "w+b") as file:
        file.truncate((FAR + size) * dtype.itemsize)
        room = np.memmap(file, dtype, "r+")
        ends = as_strided(room, (2, size), (FAR * dtype.itemsize, dtype.itemsize))
        x = ends[:] = integers(rng, (2, size), dtype)
        hadamard.transform_rows(ends, ends, 1, 1.0, 1)
        np.testing.assert_array_equal(ends, x @ matrix(size))
        hadamard.transform_columns(ends[None], 1)
        np.testing.assert_array_equal(ends, matrix(2) @ x @ matrix(size))


def sampled(form, x, signs, picks, length, n_threads=1):
    """Chosen entries of transforms of rows, by the kernel for dense rows or that for CSR."""
    out = np.full((len(x), len(picks)), np.nan, x.dtype)
    scratch = np.full((n_threads, max(length, 512)), np.nan, x.dtype)
    if form == "dense":
        rows, kernel = (x,), hadamard.sample_rows
    else:
        csr = scipy.sparse.csr_array(x)
        rows = csr.indptr.astype(np.intp), csr.indices.astype(np.intp), csr.data
        kernel = hadamard.sample_csr_rows
    kernel(*rows, signs, picks, length, split(length)[0], 0.3, scratch, out, n_threads)
    return out


@pytest.mark.parametrize("form", ["dense", "csr"])
@pytest.mark.parametrize("length", [1, 2, 12, 40, 64, 448, 4096])
def test_chosen_entries_of_rows_are_those_of_the_whole(
    rng, dtype, simd_level, n_threads, form, length
):
    order = split(length)[0]
    for m in sorted({1, length // 2 + 1, length}):
        x = np.zeros((11, length), dtype)
        x[:, :m] = rng.standard_normal((11, m)) * (rng.random((11, m)) < 0.7)
        signs = rng.choice([-1, 1], m).astype(dtype)
        picks = rng.integers(0, length, 5)
        whole = transformed(x * np.pad(signs, (0, length - m)), order)
        some = np.ascontiguousarray(x[:, :m])
        for array in (some, signs, picks):
            array.flags.writeable = False
        expected = dtype.type(0.3) * whole[:, picks]
        for threads in (1, n_threads):
            result = sampled(form, some, signs, picks, length, threads)
            np.testing.assert_array_equal(result, expected)
        assert sampled(form, some[:0], signs, picks, length).shape == (0, 5)
