"""Chosen entries of transforms of columns: those of the whole transforms, bitwise, by every way."""

import itertools

import numpy as np
import pytest
from hadamard_matrices import butterfly, matrix, of_order, split

from subquad._kernels import _simd, hadamard_sample
from subquad.sketch import _sampled

GUARD = 99.0
LENGTHS = [1, 2, 4, 8, 12, 16, 20, 28, 32, 40, 64, 96, 128, 448, 512, 1024]


def sampled(A, signs, rows, length, scale=1.0, n_threads=1, width=16, out=None):
    """The chosen entries, by calls for some blocks at a time, in chunks of so many columns."""
    sample = _sampled.sample_of(np.asarray(rows), length)
    n_chunks = -(-A.shape[1] // width)
    parts = np.full((n_chunks, sample.order, sample.count, width), np.nan, A.dtype)
    rooms = np.full((n_threads, sample.room * width), np.nan, A.dtype)
    if out is None:
        out = np.full((len(rows), A.shape[1]), np.nan, A.dtype)
    plan = sample.levels, sample.sums, parts, rooms, sample.last_whole
    for first, last in itertools.pairwise([0, sample.order // 2, sample.order]):
        hadamard_sample.sample_blocks(A, signs, *plan, first, last, n_threads)
    hadamard_sample.join_blocks(parts, sample.across, scale, out, n_threads)
    return out


def transformed(A, signs, length, scale=1.0):
    """H D A by butterflies, with the bits of the kernel hadamard."""
    order, size = split(length)
    padded = np.zeros((A.shape[1], length), A.dtype)
    padded[:, : len(A)] = (A * signs[:, None]).T
    blocks = butterfly(padded, size).reshape(-1, order, size)
    return scale * (of_order(order).astype(A.dtype) @ blocks).reshape(-1, length).T


def problem(rng, m, k, dtype):
    A = rng.integers(-8, 9, (m, k)).astype(dtype)
    return A, 1 - 2 * rng.integers(0, 2, m, dtype=np.int8)


def choices(rng, length):
    """One row, few, half of them, and all."""
    counts = sorted({1, min(length, 3), -(-length // 2), length})
    return [np.sort(rng.choice(length, count, replace=False)) for count in counts]


@pytest.mark.parametrize("length", LENGTHS)
def test_columns_are_multiplied_by_rows_of_the_matrix(rng, dtype, simd_level, length):
    H = matrix(length)
    for m in sorted({1, length // 2 + 1, length}):
        A, signs = problem(rng, m, 19, dtype)
        A.flags.writeable = signs.flags.writeable = False
        for rows in choices(rng, length):
            expected = H[rows, :m] @ (A * signs[:, None])
            np.testing.assert_array_equal(sampled(A, signs, rows, length), expected)


@pytest.mark.parametrize("length", [1 << 15, 12 << 11, 20 << 10, 28 << 10])
def test_long_columns_are_pruned_on_several_levels(rng, dtype, simd_level, length):
    A, signs = problem(rng, length - length // 5, 5, dtype)
    expected = transformed(A, signs, length)
    for count in (1, 9, 100, 1500):
        rows = np.sort(rng.choice(length, count, replace=False))
        np.testing.assert_array_equal(sampled(A, signs, rows, length), expected[rows])


@pytest.mark.parametrize("k", [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 64, 65])
def test_any_number_of_columns_and_nothing_else_is_written(rng, dtype, simd_level, k):
    A, signs = problem(rng, 300, k, dtype)
    wide = np.full((300, k + 3), np.nan, dtype)
    wide[:, 2 : 2 + k] = A
    rows = choices(rng, 320)[1]
    expected = 0.5 * transformed(A, signs, 320)[rows]
    for width in (16, 64):
        out = np.full((2 * len(rows), k + 5), GUARD, dtype)
        some = out[::2, 1 : 1 + k]
        sampled(wide[:, 2 : 2 + k], signs, rows, 320, 0.5, 1, width, some)
        np.testing.assert_array_equal(some, expected)
        some[:] = GUARD
        np.testing.assert_array_equal(out, GUARD)


@pytest.mark.parametrize("length", [64, 1024, 4096, 5120])
def test_neither_threads_nor_instructions_nor_chunks_change_a_bit(
    rng, dtype, simd_level, n_threads, length
):
    _, signs = problem(rng, length - 7, 1, dtype)
    A = rng.standard_normal((length - 7, 37)).astype(dtype)
    rows = choices(rng, length)[1]
    result = sampled(A, signs, rows, length, 0.3, n_threads)
    np.testing.assert_array_equal(sampled(A, signs, rows, length, 0.3, width=48), result)
    _simd.use_level("baseline")
    np.testing.assert_array_equal(sampled(A, signs, rows, length, 0.3), result)


@pytest.mark.parametrize("length", [8, 256, 4096])
def test_entries_have_the_bits_of_butterflies(rng, dtype, simd_level, length):
    A, (_, signs) = rng.standard_normal((length, 6)).astype(dtype), problem(rng, length, 1, dtype)
    expected = transformed(A, signs, length)
    for rows in choices(rng, length):
        np.testing.assert_array_equal(sampled(A, signs, rows, length), expected[rows])


def test_no_columns_are_taken(dtype):
    signs = np.ones(5, np.int8)
    assert sampled(np.ones((5, 0), dtype), signs, [0, 3], 8).shape == (2, 0)


def test_nan_spreads_over_its_column_alone(rng, dtype, simd_level):
    A, signs = problem(rng, 1000, 20, dtype)
    A[777, 3] = np.nan
    result = sampled(A, signs, [0, 5, 600], 1024)
    assert np.isnan(result[:, 3]).all()
    assert np.isfinite(np.delete(result, 3, axis=1)).all()
