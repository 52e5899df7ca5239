"""Count-sketch kernels: products with a matrix of one sign a column, bitwise the same everywhere.

Products are compared on small integers, whose sums have no rounding.
"""

import numpy as np
import pytest
import scipy.sparse
from reference_sketch import count_sketch_matrix

from subquad._kernels import _simd, count_sketch

SHAPES = [(1, 1, 1), (1, 7, 3), (3, 2, 9), (16, 16, 16), (17, 33, 5), (35, 100, 67), (8, 300, 1)]
GUARD = 99.0


def problem(rng, shape, dtype):
    """(X, code, matrix) for n rows of m entries and s buckets."""
    n, m, s = shape
    buckets, signs = rng.integers(0, s, m), rng.choice([-1, 1], m)
    code = (2 * buckets + (signs < 0)).astype(np.int32)
    X = rng.integers(-8, 9, (n, m)).astype(dtype)
    return X, code, count_sketch_matrix(buckets, signs, s)


def csr(X):
    """(indptr, indices, values) with row pointers that do not begin at 0."""
    X = scipy.sparse.csr_array(X)
    first = 3
    indices = np.concatenate([np.full(first, -(2**40)), X.indices.astype(np.intp)])
    return (
        X.indptr.astype(np.intp) + first,
        indices,
        np.concatenate([np.full(first, np.nan, X.dtype), X.data]),
    )


def rows(X, code, s, n_threads=1):
    out = np.full((len(X), s), GUARD, X.dtype)
    scratch = np.full(n_threads * count_sketch.ROWS * s, np.nan, X.dtype)
    count_sketch.sketch_rows(X, code, out, scratch, n_threads)
    return out


def csr_rows(X, code, s, n_threads=1):
    out = np.full((len(X), s), GUARD, X.dtype)
    count_sketch.sketch_csr_rows(*csr(X), code, out, n_threads)
    return out


def columns(A, code, s, n_threads=1):
    out = np.zeros((s, A.shape[1]), A.dtype)
    count_sketch.add_columns(A, code, out, n_threads)
    return out


def csr_columns(A, code, s, n_threads=1):
    out = np.zeros((s, A.shape[1]), A.dtype)
    count_sketch.add_csr_columns(*csr(A), code, out, n_threads)
    return out


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("sketch", [rows, csr_rows])
def test_rows_are_multiplied_by_the_matrix(rng, dtype, simd_level, sketch, shape):
    X, code, S = problem(rng, shape, dtype)
    X[rng.random(X.shape) < 0.5] = 0
    X.flags.writeable = code.flags.writeable = False
    np.testing.assert_array_equal(sketch(X, code, len(S)), X @ S.T)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("sketch", [columns, csr_columns])
def test_columns_are_multiplied_by_the_matrix(rng, dtype, simd_level, sketch, shape):
    X, code, S = problem(rng, shape, dtype)
    A = np.ascontiguousarray(X.T)
    A[rng.random(A.shape) < 0.5] = 0
    A.flags.writeable = code.flags.writeable = False
    np.testing.assert_array_equal(sketch(A, code, len(S)), S @ A)


@pytest.mark.parametrize("shape", [(1, 50, 4), (37, 129, 20)], ids=str)
def test_every_way_gives_the_same_bits(rng, dtype, simd_level, n_threads, shape):
    X, code, S = problem(rng, shape, dtype)
    X = rng.standard_normal(X.shape).astype(dtype)
    A = np.ascontiguousarray(X.T)
    _simd.use_level("baseline")
    expected = rows(X, code, len(S))
    _simd.use_level(simd_level)
    for threads in (1, n_threads):
        np.testing.assert_array_equal(rows(X, code, len(S), threads), expected)
        np.testing.assert_array_equal(csr_rows(X, code, len(S), threads), expected)
        np.testing.assert_array_equal(columns(A, code, len(S), threads), expected.T)
        np.testing.assert_array_equal(csr_columns(A, code, len(S), threads), expected.T)


def test_columns_are_added_to_what_is_there(rng, dtype, simd_level):
    X, code, S = problem(rng, (6, 11, 4), dtype)
    A = np.ascontiguousarray(X.T)
    for add, matrix in ((count_sketch.add_columns, (A,)), (count_sketch.add_csr_columns, csr(A))):
        out = np.ones((4, 6), dtype)
        add(*matrix, code, out, 2)
        np.testing.assert_array_equal(out, 1 + S @ A)


@pytest.mark.parametrize("shape", [(0, 5, 4), (3, 0, 4)], ids=str)
def test_nothing_is_taken(rng, dtype, shape):
    X, code, S = problem(rng, shape, dtype)
    A = np.ascontiguousarray(X.T)
    if shape[1]:
        np.testing.assert_array_equal(rows(X, code, len(S)), np.zeros((0, 4)))
    np.testing.assert_array_equal(csr_rows(X, code, len(S)), np.zeros((shape[0], 4)))
    np.testing.assert_array_equal(columns(A, code, len(S), 2), np.zeros((4, shape[0])))
    np.testing.assert_array_equal(csr_columns(A, code, len(S), 2), np.zeros((4, shape[0])))
