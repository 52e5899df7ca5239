"""The fired neurons, as CSR rows and as bits, and exact counts of those common to two points."""

import numpy as np
import pytest
import reference_kernels
from reference_kernels import pack_bits, unpack_bits

from subquad._kernels import coactivation

WIDTHS = [1, 2, 63, 64, 65, 127, 255, 256, 257]
# Rows are counted in blocks of 32, tiles of 4; words in vectors of 8.
POINTS = [1, 2, 3, 4, 5, 15, 16, 17, 31, 32, 33, 63, 64, 65, 128, 129]


def preactivations(rng, n, m, dtype):
    """Z and thresholds with ties, which do not fire, and points at which all or none fire."""
    Z = rng.standard_normal((n, m)).astype(dtype)
    thresholds = rng.uniform(0, 1, n).astype(dtype)
    if n > 2:
        thresholds[:2] = -100, 100
    tie = rng.random((n, m)) < 0.1
    return np.where(tie, thresholds[:, None], Z).astype(dtype), thresholds


def mark(Z, thresholds, n_threads=1):
    """Bits and number of the fired neurons."""
    fired = np.full((len(Z), -(-Z.shape[1] // 64)), 2**64 - 1, np.uint64)
    counts = np.full(len(Z), -1, np.intp)
    coactivation.mark_fired(Z, thresholds, fired, counts, n_threads)
    return fired, counts


def gather(Z, thresholds, n_threads=1):
    """CSR rows of the fired neurons, by the two kernels."""
    fired, counts = mark(Z, thresholds, n_threads)
    indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.intp)
    indices = np.full(indptr[-1], -1, np.intp)
    values = np.full(indptr[-1], np.nan, Z.dtype)
    coactivation.gather_fired(Z, fired, indptr, indices, values, n_threads)
    return indptr, indices, values


@pytest.mark.parametrize("n", [1, 2, 16, 17])
@pytest.mark.parametrize("m", WIDTHS)
def test_fired_neurons_are_marked_counted_and_listed_in_order(rng, dtype, simd_level, n, m):
    Z, thresholds = preactivations(rng, n, m, dtype)
    D = reference_kernels.fired(Z, thresholds)
    fired, counts = mark(Z, thresholds)
    np.testing.assert_array_equal(unpack_bits(fired, m), D)
    np.testing.assert_array_equal(counts, D.sum(axis=1))
    indptr, indices, values = gather(Z, thresholds)
    np.testing.assert_array_equal(np.diff(indptr), D.sum(axis=1))
    np.testing.assert_array_equal(indices, np.nonzero(D)[1])
    np.testing.assert_array_equal(values, Z[D])


@pytest.mark.parametrize("m", [4, 64, 100])
def test_nan_does_not_fire_and_infinity_does(dtype, simd_level, m):
    Z = np.full((1, m), -1.0, dtype)
    Z[0, :4] = [np.nan, np.inf, -np.inf, 1.0]
    np.testing.assert_array_equal(gather(Z, np.zeros(1, dtype))[1], [1, 3])


@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (0, 0)], ids=str)
def test_gather_takes_empty_arrays(dtype, shape):
    indptr, indices, _ = gather(np.zeros(shape, dtype), np.zeros(shape[0], dtype))
    assert indptr.tolist() == [0] * (shape[0] + 1)
    assert indices.size == 0


def test_gather_does_not_depend_on_n_threads(rng, dtype, n_threads):
    Z, thresholds = preactivations(rng, 50, 300, dtype)
    one, several = gather(Z, thresholds), gather(Z, thresholds, n_threads)
    for a, b in zip(one, several, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("n", [1, 2, 63, 64, 65, 129])
@pytest.mark.parametrize("m", WIDTHS)
def test_transpose_bits_transposes(rng, n, m):
    D = rng.random((m, n)) < 0.4
    transposed = np.full((n, -(-m // 64)), 7, np.uint64)
    coactivation.transpose_bits(pack_bits(D), transposed, 1)
    np.testing.assert_array_equal(unpack_bits(transposed, m), D.T)


def test_transpose_bits_does_not_depend_on_n_threads(rng, n_threads):
    bits = pack_bits(rng.random((700, 130)) < 0.4)
    one, several = np.empty((2, 130, 11), np.uint64)
    coactivation.transpose_bits(bits, one, 1)
    coactivation.transpose_bits(bits, several, n_threads)
    np.testing.assert_array_equal(one, several)


@pytest.mark.parametrize("shape", [(0, 5), (5, 0)], ids=str)
def test_transpose_bits_takes_empty_arrays(shape):
    m, n = shape
    transposed = np.zeros((n, -(-m // 64)), np.uint64)
    coactivation.transpose_bits(pack_bits(np.zeros((m, n), bool)), transposed, 1)


def random_bits(rng, n, m):
    """D (n, m), with an empty and a full row where there are enough."""
    D = rng.random((n, m)) < 0.3
    if n > 2:
        D[0], D[1] = False, True
    return D


def gram_of(D, K, scale, n_threads=1):
    G = np.full((len(D), len(D)), np.nan)
    scratch = np.full((n_threads, coactivation.GRAM_COUNTS), -1, np.int32)
    coactivation.coactivation_gram(pack_bits(D), K, scale, G, scratch, n_threads)
    return G


def counts_of(D, n_threads=1):
    """The counts that the Gram matrix is made of, by giving it inner products of one."""
    return gram_of(D, np.ones((len(D), len(D))), 1.0, n_threads)


@pytest.mark.parametrize("n", POINTS)
def test_counts_are_exact_for_every_number_of_points(rng, simd_level, n):
    D = random_bits(rng, n, 321)
    np.testing.assert_array_equal(counts_of(D), reference_kernels.coactivation_counts(D))


@pytest.mark.parametrize("m", [*WIDTHS, 511, 512, 513, 1024, 1087])
def test_counts_are_exact_for_every_width(rng, simd_level, m):
    D = random_bits(rng, 37, m)
    np.testing.assert_array_equal(counts_of(D), reference_kernels.coactivation_counts(D))


def test_counts_reach_the_full_width(simd_level):
    width = 2**21 + 3
    bits = np.full((2, width // 64 + 1), 2**64 - 1, np.uint64)
    bits[:, -1] = 7
    G, scratch = np.empty((2, 2)), np.empty((1, coactivation.GRAM_COUNTS), np.int32)
    coactivation.coactivation_gram(bits, np.ones((2, 2)), 1.0, G, scratch, 1)
    np.testing.assert_array_equal(G, width)


def test_counts_do_not_depend_on_n_threads(rng, n_threads):
    D = random_bits(rng, 200, 300)
    np.testing.assert_array_equal(counts_of(D, n_threads), counts_of(D))


@pytest.mark.parametrize("n", [1, 2, 17])
@pytest.mark.parametrize("m", [*WIDTHS, 511, 512, 513])
def test_count_bits_counts_each_row(rng, simd_level, n, m):
    D = random_bits(rng, n, m)
    counts = np.full(n, -1, np.int32)
    coactivation.count_bits(pack_bits(D), counts, 1)
    np.testing.assert_array_equal(counts, D.sum(axis=1))


def test_count_bits_does_not_depend_on_n_threads(rng, n_threads):
    bits = pack_bits(random_bits(rng, 50, 300))
    one, several = np.empty((2, 50), np.int32)
    coactivation.count_bits(bits, one, 1)
    coactivation.count_bits(bits, several, n_threads)
    np.testing.assert_array_equal(one, several)


def inner_products(rng, n):
    V = rng.standard_normal((n, 20))
    return np.asarray(V @ V.T)


@pytest.mark.parametrize("n", POINTS)
def test_gram_is_the_scaled_hadamard_product(rng, simd_level, n):
    D, K = random_bits(rng, n, 321), inner_products(rng, n)
    G = gram_of(D, K, 0.7)
    expected = 0.7 * K * reference_kernels.coactivation_counts(D)
    np.testing.assert_allclose(G, expected, rtol=2 * reference_kernels.gamma(2, np.float64), atol=0)
    np.testing.assert_array_equal(G, G.T)


def test_gram_does_not_depend_on_n_threads(rng, n_threads):
    D, K = random_bits(rng, 200, 300), inner_products(rng, 200)
    np.testing.assert_array_equal(gram_of(D, K, 0.7, n_threads), gram_of(D, K, 0.7))


def weighted_gram_of(D, weights, K, n_threads=1):
    G = np.full(K.shape, np.nan)
    coactivation.weighted_gram(pack_bits(D), weights, K, G, n_threads)
    return G


@pytest.mark.parametrize("n", [1, 2, 16, 63, 64, 65, 129])
@pytest.mark.parametrize("m", [1, 64, 257])
def test_weighted_gram_is_the_weighed_sum_of_outer_products(rng, n, m):
    D, weights = random_bits(rng, m, n), rng.standard_normal(m)
    K = rng.standard_normal((n, n))
    expected = reference_kernels.weighted_gram(D, weights, K)
    actual = weighted_gram_of(D, weights, K)
    reference_kernels.assert_within_rounding(actual, expected, m, np.float64)


def test_weighted_gram_with_equal_weights_is_the_counts(rng):
    D = random_bits(rng, 90, 70)
    S = weighted_gram_of(np.ascontiguousarray(D.T), np.ones(70), np.ones((90, 90)))
    np.testing.assert_array_equal(S, counts_of(D))


def test_weighted_gram_does_not_depend_on_n_threads(rng, n_threads):
    D, weights, K = random_bits(rng, 150, 80), rng.standard_normal(150), inner_products(rng, 80)
    several = weighted_gram_of(D, weights, K, n_threads)
    np.testing.assert_array_equal(several, weighted_gram_of(D, weights, K))


def test_no_points_or_no_neurons_are_taken(simd_level):
    none = np.zeros((0, 40), bool)
    counts = np.full(3, -1, np.int32)
    coactivation.count_bits(pack_bits(none), counts[:0], 1)
    coactivation.count_bits(pack_bits(np.zeros((3, 0), bool)), counts, 1)
    np.testing.assert_array_equal(counts, 0)
    assert counts_of(none).shape == (0, 0)
    assert gram_of(none, np.zeros((0, 0)), 1.0).shape == (0, 0)
    np.testing.assert_array_equal(counts_of(np.zeros((3, 0), bool)), np.zeros((3, 3)))
    np.testing.assert_array_equal(gram_of(np.zeros((3, 0), bool), np.ones((3, 3)), 1.0), 0)
    K = np.ones((3, 3))
    np.testing.assert_array_equal(weighted_gram_of(np.zeros((0, 3), bool), np.ones(0), K), 0)
    assert weighted_gram_of(np.zeros((4, 0), bool), np.ones(4), np.zeros((0, 0))).shape == (0, 0)


def test_inputs_may_be_read_only_and_are_not_modified(rng, dtype):
    Z, thresholds = preactivations(rng, 5, 70, dtype)
    bits, K, weights = pack_bits(Z > 0), inner_products(rng, 5), rng.standard_normal(5)
    inputs = [Z, thresholds, bits, K, weights]
    copies = [x.copy() for x in inputs]
    for x in inputs:
        x.flags.writeable = False
    gather(Z, thresholds)
    coactivation.count_bits(bits, np.empty(5, np.int32), 1)
    scratch = np.empty((1, coactivation.GRAM_COUNTS), np.int32)
    coactivation.coactivation_gram(bits, K, 1.0, np.empty((5, 5)), scratch, 1)
    coactivation.transpose_bits(bits, np.empty((70, 1), np.uint64), 1)
    coactivation.weighted_gram(bits, weights, np.ones((70, 70)), np.empty((70, 70)), 1)
    for x, copy in zip(inputs, copies, strict=True):
        np.testing.assert_array_equal(x, copy)
