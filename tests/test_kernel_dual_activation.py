"""apply_profile evaluates a function of the angle for every pair of points; mirror completes it."""

import numpy as np
import pytest
import reference_ntk
import scipy.sparse

from subquad._kernels import dual_activation as kernels

OCTAVES = 6
OFFSET = 2.0**-OCTAVES
SIZES = [(1, 1), (1, 3), (2, 7), (3, 8), (5, 9), (4, 127), (3, 128), (9, 129), (17, 300)]


def random_table(rng):
    """Pieces of no particular function: each is told apart from its neighbours."""
    return rng.standard_normal((2 * OCTAVES * kernels.PIECES_PER_OCTAVE, kernels.TERMS))


def unit_rows(rng, n, d, dtype):
    X = rng.standard_normal((n, d))
    return (X / np.linalg.norm(X, axis=1)[:, None]).astype(dtype)


def apply(
    table, gram, X, Y, *, at_zero=0.0, close=0.0, equal=-1.0, diagonal=-1, out=None, n_threads=1,
    norms=None,
):  # fmt: skip
    """Call the kernel with dense or sparse points."""
    out = np.full_like(gram, np.nan) if out is None else out
    left, right = (np.ones(len(gram)), np.ones(gram.shape[1])) if norms is None else norms
    kernels.apply_profile(
        table, OFFSET, at_zero, close, equal, gram, *parts(X), *parts(Y), X.shape[1], left, right,
        diagonal, out, n_threads,
    )  # fmt: skip
    return out


def parts(X):
    if not scipy.sparse.issparse(X):
        return X.reshape(-1), None, None
    return X.data, X.indptr.astype(np.intp), X.indices.astype(np.intp)


def expected(table, gram, norms):
    """The definition, entry by entry, from the correlations."""
    r = gram.astype(np.float64)
    values = np.array(
        [
            reference_ntk.evaluate_profile(
                table, OFFSET, np.sqrt(max(0.5 - 0.5 * abs(x), 0.0)), np.signbit(x)
            )
            for x in r.flat
        ]
    )
    return norms[0][:, None] * norms[1] * values.reshape(r.shape)


@pytest.mark.parametrize(("n", "k"), SIZES)
def test_every_entry_is_the_polynomial_of_its_piece(simd_level, dtype, rng, n, k):
    table = random_table(rng)
    gram = rng.uniform(-1, 1, (n, k)).astype(dtype)
    norms = rng.uniform(0, 3, n), rng.uniform(0, 3, k)
    X, Y = unit_rows(rng, n, 4, dtype), unit_rows(rng, k, 4, dtype)
    found = apply(table, gram, X, Y, norms=norms)
    # Where y falls on the edge of a piece to rounding, either neighbour is right.
    near = np.isclose(found, expected(table, gram, norms), rtol=0, atol=1e-4)
    if dtype == np.float64:
        near = np.isclose(found, expected(table, gram, norms), rtol=1e-9, atol=1e-9)
    assert np.count_nonzero(~near) <= 1 + n * k // 1000


def test_the_ends_of_the_range_are_in_the_table(simd_level, dtype, rng):
    table = random_table(rng)
    gram = np.array([[1.0, -1.0, 0.0, -0.0, 1.0000001, -1.0000001]], dtype)
    X, Y = unit_rows(rng, 1, 4, dtype), unit_rows(rng, 6, 4, dtype)
    found = apply(table, gram, X, Y)
    wanted = expected(table, gram, (np.ones(1), np.ones(6)))
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)
    assert np.isfinite(found).all()


def identity_table():
    """Pieces of f = half chord for r >= 0, and 2 + half chord for r < 0."""
    table = np.zeros((2, OCTAVES, kernels.PIECES_PER_OCTAVE, kernels.TERMS))
    start = 2.0 ** (np.arange(OCTAVES)[:, None] - OCTAVES)
    piece = np.arange(kernels.PIECES_PER_OCTAVE) + 0.5
    table[..., 0] = start * (1 + piece / kernels.PIECES_PER_OCTAVE) - OFFSET
    table[..., 1] = start / kernels.PIECES_PER_OCTAVE / 2
    table[1, ..., 0] += 2
    return table.reshape(-1, kernels.TERMS)


@pytest.mark.parametrize("layout", ["dense", "sparse"])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_near_duplicates_get_their_distance_from_the_rows(simd_level, dtype, rng, layout, sign):
    d, gaps = 33, np.array([0.0, 1e-6, 1e-5, 1e-4, 1e-3])
    x = unit_rows(rng, 1, d, np.float64)[0]
    x[::3] = 0
    Y = np.repeat(x[None], len(gaps), axis=0)
    Y[:, 0] = gaps  # x has nothing there, and Y has nothing where its last entry was
    X, Y = x[None].astype(dtype), (sign * Y).astype(dtype)
    distances = np.linalg.norm(X.astype(float) - sign * Y.astype(float), axis=1)
    gram = np.full((1, len(gaps)), sign, dtype)
    if layout == "sparse":
        X, Y = scipy.sparse.csr_array(X), scipy.sparse.csr_array(Y)
    found = apply(identity_table(), gram, X, Y, close=1e-5)[0]
    wanted = distances / 2 + (2 if sign < 0 else 0)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=4 * np.finfo(dtype).eps)


@pytest.mark.parametrize("layout", ["dense", "sparse"])
def test_points_that_differ_by_rounding_have_the_value_at_angle_zero(
    simd_level, dtype, rng, layout
):
    k, eps = 300, np.finfo(dtype).eps
    X, Y = unit_rows(rng, 1, 6, dtype), unit_rows(rng, k, 6, dtype)
    Y[::3], Y[1::9] = X, -X
    Y[3, np.argmax(abs(X))] *= 1 + eps
    gram = X @ Y.T
    if layout == "sparse":
        X, Y = scipy.sparse.csr_array(X), scipy.sparse.csr_array(Y)
    found = apply(identity_table(), gram, X, Y, at_zero=7.0, close=1e-5, equal=(2 * eps) ** 2)[0]
    equal = np.arange(k) % 3 == 0
    np.testing.assert_array_equal(found[equal], 7.0)
    assert (found[~equal] < 3).all()
    np.testing.assert_allclose(found[1::9], 2.0, rtol=0, atol=4 * eps)


def test_a_triangle_is_filled_to_its_diagonal_and_mirrored(dtype, rng, n_threads):
    n, start, table = 70, 20, random_table(rng)
    X = unit_rows(rng, n, 5, dtype)
    gram = X @ X.T
    whole = apply(table, gram, X, X)
    out = np.full((n, n), np.nan, dtype)
    apply(table, gram[:start, :start], X, X, diagonal=0, out=out[:start, :start])
    apply(table, gram[start:], X[start:], X, diagonal=start, out=out[start:])
    lower = np.tri(n, dtype=bool)
    np.testing.assert_array_equal(out[lower], whole[lower])
    assert np.isnan(out[:start, :start][~lower[:start, :start]]).all()
    kernels.mirror(out, 0, start, n_threads)
    kernels.mirror(out, start, n, n_threads)
    np.testing.assert_array_equal(out, np.where(lower, whole, whole.T))


def test_results_may_replace_the_gram_matrix_and_threads_change_nothing(dtype, rng, n_threads):
    table, X = random_table(rng), unit_rows(rng, 50, 5, dtype)
    gram = X @ X.T
    one = apply(table, gram, X, X, close=1e-6)
    many = apply(table, gram, X, X, close=1e-6, n_threads=n_threads)
    np.testing.assert_array_equal(many, one)
    apply(table, gram, X, X, close=1e-6, out=gram, n_threads=n_threads)
    np.testing.assert_array_equal(gram, one)


def test_nothing_is_done_for_no_points(dtype, rng):
    table, X = random_table(rng), unit_rows(rng, 3, 5, dtype)
    assert apply(table, np.empty((0, 3), dtype), X[:0], X).size == 0
    assert apply(table, np.empty((3, 0), dtype), X, X[:0]).size == 0
    kernels.mirror(np.empty((0, 0), dtype), 0, 0, 1)
