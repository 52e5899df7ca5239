"""Structured random weights multiply as the matrix of their definition, of normal entries."""

import pickle

import numpy as np
import pytest
import scipy.linalg
import scipy.sparse
from layers import quietly

import subquad._structured
from subquad.networks import WideNetwork
from subquad.training import LastLayerGaussNewton
from subquad.weights import GaussianWeights, StructuredWeights

STRUCTURES = pytest.mark.parametrize("structure", ["circulant", "hadamard"])
BOTH = pytest.mark.parametrize("dtype", [np.float32, np.float64])
SHAPES = [(1, 1), (1, 9), (7, 1), (5, 3), (64, 64), (130, 67), (67, 130), (300, 20)]
# Products of transforms are accurate relative to |h|, not to each entry.
TOLERANCE = {np.float32: 5e-6, np.float64: 1e-14}


def circulant(shape, seed):
    """The matrix by its definition."""
    size = scipy.fft.next_fast_len(max(shape), real=True)
    g, other = GaussianWeights((size, 2), seed, "float32").columns(0, 2)
    places = np.subtract.outer(np.arange(shape[0]), np.arange(shape[1])) % size
    return g[places] * np.where(other[: shape[1]] < 0, -1, 1)


def hadamard(shape, seed):
    """The matrix by its definition."""
    p = 1 << (shape[1] - 1).bit_length()
    n_blocks, H = -(-shape[0] // p), scipy.linalg.hadamard(p).astype(float)
    drawn = GaussianWeights((p, 3 * n_blocks), seed, "float32").columns(0, 3 * n_blocks)
    blocks = []
    for g, order, signs in drawn.reshape(n_blocks, 3, p):
        P = np.eye(p)[np.argsort(order, kind="stable")]
        blocks.append(H @ np.diag(g) @ P @ H @ np.diag(np.where(signs < 0, -1, 1)) / np.sqrt(p))
    return np.concatenate(blocks)[: shape[0], : shape[1]]


MATRICES = {"circulant": circulant, "hadamard": hadamard}


@BOTH
@STRUCTURES
@pytest.mark.parametrize("shape", SHAPES)
def test_products_are_those_of_the_definition(dtype, structure, shape, monkeypatch):
    W = StructuredWeights(shape, 5, structure, std=0.5, dtype=dtype)
    matrix = 0.5 * MATRICES[structure](shape, 5)
    rng, largest = np.random.default_rng(1), np.linalg.norm(matrix, 2)
    assert W.to_dense().dtype == dtype
    np.testing.assert_allclose(W.to_dense(), matrix, rtol=0, atol=largest * TOLERANCE[dtype])
    for part in (2**22, 1):
        monkeypatch.setattr(subquad._structured, "_NUMBERS_PER_BLOCK", part)
        H, G = (rng.standard_normal((3, k)).astype(dtype) for k in shape[::-1])
        H[:, ::2] = 0
        for form in (np.asarray, scipy.sparse.csr_array):
            product, back = W.apply(form(H)), W.apply_transposed(form(G))
            assert product.dtype == back.dtype == dtype
            bound = largest * TOLERANCE[dtype] * max(np.linalg.norm(H), np.linalg.norm(G))
            np.testing.assert_allclose(product, H @ matrix.T, rtol=0, atol=bound)
            np.testing.assert_allclose(back, G @ matrix, rtol=0, atol=bound)


@STRUCTURES
def test_entries_are_normal_over_seeds(structure):
    """Each of 2000 seeds gives three entries far apart; all moments within 5 standard errors."""
    drawn = np.array(
        [
            StructuredWeights((20, 12), seed, structure, std=2.0).to_dense()[[0, 7, 19], [0, 5, 11]]
            for seed in range(2000)
        ]
    )
    drawn /= 2.0
    # Two entries of one matrix are uncorrelated; false alarm below 1e-5 in all.
    error = 5 / np.sqrt(2000)
    assert (np.abs(drawn.mean(axis=0)) < error).all()
    assert (np.abs((drawn**2).mean(axis=0) - 1) < error * np.sqrt(2)).all()
    assert (np.abs((drawn**4).mean(axis=0) - 3) < error * np.sqrt(96)).all()
    assert np.abs((drawn[:, [0, 0, 1]] * drawn[:, [1, 2, 2]]).mean(axis=0)).max() < error


@BOTH
@STRUCTURES
def test_results_do_not_depend_on_n_threads_nor_on_a_pickle(dtype, structure):
    W = StructuredWeights((300, 200), 7, structure, dtype=dtype)
    H = np.random.default_rng(2).standard_normal((40, 200))
    expected = W.apply(H, 1)
    for n_threads in (2, 3, None):
        np.testing.assert_array_equal(W.apply(H, n_threads), expected)
    copy = pickle.loads(pickle.dumps(W))
    np.testing.assert_array_equal(copy.apply(H), expected)
    assert repr(copy) == repr(W)
    assert 0 < W.nbytes < 40 * 1024


@STRUCTURES
def test_a_network_of_them_is_fitted_like_any_other(structure):
    shapes = (1024, 6), (1024, 1024)
    std = np.sqrt(2 / 1024)
    layers = [StructuredWeights(s, i, structure, std=std) for i, s in enumerate(shapes)]
    network = WideNetwork.from_weights(layers, np.where(np.arange(1024) % 2, 1.0, -1.0))
    X, y = np.random.default_rng(3).standard_normal((2, 20, 6))
    trainer = quietly(LastLayerGaussNewton(network.last_layer(X), y[:, 0], tol=1e-8).run)
    assert trainer.converged
    moved = network.outputs(X, trainer.factors)
    assert np.linalg.norm(moved[:, 0] - y[:, 0]) < 1e-7 * trainer._fit.initial_norm


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"shape": 5}, ValueError, r"shape must be a pair \(m_out, m_in\); got 5"),
        ({"shape": (2**31, 5)}, ValueError, "shape must be at most 2147483647; got 2147483648"),
        ({"seed": 1.5}, TypeError, "seed must be an integer; got 1.5"),
        ({"seed": -1}, ValueError, "seed must be at least 0; got -1"),
        ({"structure": "toeplitz"}, ValueError, "structure must be 'circulant' or 'hadamard'; got"),
        ({"std": np.inf}, ValueError, "std must be finite; got inf"),
        ({"dtype": np.int8}, TypeError, "dtype must be float32 or float64; got"),
    ],
)
def test_unusable_arguments_are_refused(change, error, message):
    with pytest.raises(error, match=message):
        StructuredWeights(**{"shape": (3, 2), "seed": 0, **change})


@STRUCTURES
def test_rows_are_checked_and_changes_refused(structure):
    W = StructuredWeights((3, 2), 0, structure)
    with pytest.raises(ValueError, match=r"H must have shape \(any, 2\); got \(1, 3\)"):
        W.apply(np.ones((1, 3)))
    with pytest.raises(ValueError, match="G must be finite"):
        W.apply_transposed(np.full((1, 3), np.nan))
    with pytest.raises(TypeError, match=r"must be DenseWeights .*got StructuredWeights"):
        W.add_low_rank(np.ones((1, 3)), np.ones((1, 2)))
