"""Kernels of infinite width against their definitions, in every layout, and what they refuse."""

import os
from pathlib import Path

import numpy as np
import pytest
import reference_ntk
import scipy.sparse

from subquad.activations import ReLU, ShiftedReLU, ThresholdedReLU
from subquad.ntk import DualActivation, last_layer_ntk, layer_kernels, ntk

KERNELS = [layer_kernels, last_layer_ntk, ntk]


@pytest.fixture
def X(rng):
    """Rows of different norms."""
    return rng.standard_normal((40, 6)) * rng.uniform(0.3, 3.0, (40, 1))


def images(n):
    """Rows of the largest data set there is."""
    if "SUBQUAD_DATA" in os.environ:
        with np.load(Path(os.environ["SUBQUAD_DATA"]) / "mnist10k.npz") as arrays:
            return arrays["X"][:n].astype(float) / 255
    return pytest.importorskip("sklearn.datasets").load_digits().data[:n] / 16


@pytest.mark.parametrize("depth", [1, 2, 3, 5])
def test_relu_kernels_of_images_are_those_of_the_published_recursion(depth):
    rows = images(60)
    expected = reference_ntk.relu_kernels(rows, depth)
    scale = expected[-1][1].max()
    np.testing.assert_allclose(ntk(rows, depth=depth), expected[-1][1], rtol=0, atol=1e-13 * scale)
    for found, (K, _) in zip(layer_kernels(rows, depth=depth), expected, strict=True):
        np.testing.assert_allclose(found, K, rtol=0, atol=1e-13 * scale)


def recursion(X, depth, activation):
    """(K_0 .. K_L, slopes) for relative thresholds, pair by pair, from `DualActivation`."""
    norms = np.linalg.norm(X, axis=1)
    dual = DualActivation(activation)
    K = X @ X.T
    kernels, slopes = [K], []
    for _ in range(depth):
        r = np.clip(K / np.outer(norms, norms), -1, 1)
        np.fill_diagonal(r, 1)
        values, slope = dual.moments(norms[:, None], norms, r)
        K = 2 * values
        kernels.append(K)
        slopes.append(2 * slope)
    return kernels, slopes


@pytest.mark.parametrize(
    "activation", [ShiftedReLU(1.0), ShiftedReLU(0.03), ThresholdedReLU(1.0)], ids=str
)
def test_shifted_kernels_are_those_of_the_definition(X, activation):
    kernels, slopes = recursion(X, 3, activation)
    np.testing.assert_allclose(
        layer_kernels(X, depth=3, activation=activation), kernels, rtol=0, atol=1e-11
    )
    np.testing.assert_allclose(
        last_layer_ntk(X, depth=3, activation=activation),
        kernels[2] * slopes[2] / 2,
        rtol=0,
        atol=1e-11,
    )
    total = kernels[0]
    for K, slope in zip(kernels[1:], slopes, strict=True):
        total = total * slope + K
    np.testing.assert_allclose(ntk(X, depth=3, activation=activation), total, rtol=0, atol=1e-10)


def test_fixed_thresholds_follow_each_row_and_layer(X, monkeypatch):
    activation, depth = ShiftedReLU(0.6, relative=False), 2
    dual, K = DualActivation(activation), X @ X.T
    for layer in range(1, depth + 1):
        std = np.sqrt(np.diag(K))
        r = np.clip(K / np.outer(std, std), -1, 1)
        np.fill_diagonal(r, 1)
        K = 2 * dual.moments(std[:, None], std, r)[0]
        found = layer_kernels(X, depth=depth, activation=activation)[layer]
        np.testing.assert_allclose(found, K, rtol=1e-10, atol=1e-12)
    monkeypatch.setattr("subquad.ntk._pairs._PAIRS_PER_BLOCK", 300)
    blocks = layer_kernels(X, depth=depth, activation=activation)
    np.testing.assert_array_equal(blocks[-1], blocks[-1].T)
    np.testing.assert_allclose(blocks[-1], K, rtol=1e-10, atol=1e-12)
    both = layer_kernels(X[:9], X, depth=depth, activation=activation)
    np.testing.assert_allclose(both[-1], K[:9], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("kernel", KERNELS)
def test_fixed_and_relative_thresholds_agree_on_the_sphere(X, kernel):
    X /= np.linalg.norm(X, axis=1)[:, None]
    found = kernel(X, depth=2, activation=ShiftedReLU(0.6, relative=False))
    np.testing.assert_allclose(
        found, kernel(X, depth=2, activation=ShiftedReLU(0.6)), rtol=1e-10, atol=1e-14
    )


def test_a_function_gives_the_kernel_of_the_activation_it_is():
    rng = np.random.default_rng(3)
    few = rng.standard_normal((4, 5))
    units = few / np.linalg.norm(few, axis=1)[:, None]
    relu = DualActivation(lambda z: np.maximum(z, 0), lambda z: np.where(z > 0, 1.0, 0.0))
    np.testing.assert_allclose(
        ntk(units, depth=2, activation=relu), ntk(units, depth=2), rtol=1e-10
    )
    np.testing.assert_allclose(ntk(few, depth=2, activation=relu), ntk(few, depth=2), rtol=1e-7)


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_square_is_symmetric_and_agrees_with_two_arguments(X, dtype, kernel):
    X = X.astype(dtype)
    K = kernel(X, depth=2)
    assert K.dtype == dtype
    np.testing.assert_array_equal(K, np.swapaxes(K, -1, -2))
    tolerance = 100 * np.finfo(dtype).eps * K.max()
    np.testing.assert_allclose(kernel(X, X, depth=2), K, rtol=0, atol=tolerance)
    np.testing.assert_allclose(
        kernel(X[:7], X[5:], depth=2), K[..., :7, 5:], rtol=0, atol=tolerance
    )


@pytest.mark.parametrize("kernel", KERNELS)
def test_single_precision_is_near_double(X, kernel):
    found, wanted = kernel(X, depth=3, dtype=np.float32), kernel(X, depth=3)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=3e-6 * wanted.max())


@pytest.mark.parametrize("density", [0.01, 0.3])
def test_sparse_rows_give_the_kernel_of_dense_ones(rng, dtype, density):
    dense = rng.standard_normal((50, 400)) * (rng.random((50, 400)) < density)
    dense[3] = dense[4]
    dense[5] = -2 * dense[4]
    dense = dense.astype(dtype)
    sparse = scipy.sparse.csc_array(dense)
    tolerance = 30 * np.finfo(dtype).eps * ntk(dense).max()
    for X, Y in ((sparse, None), (sparse, dense), (dense, sparse), (sparse, sparse)):
        np.testing.assert_allclose(ntk(X, Y, depth=2), ntk(dense, depth=2), rtol=0, atol=tolerance)


def test_panels_and_threads_change_nothing(X, monkeypatch, n_threads):
    whole = ntk(X, depth=2, n_threads=1)
    np.testing.assert_array_equal(ntk(X, depth=2, n_threads=n_threads), whole)
    monkeypatch.setattr("subquad.ntk._panels._FEWEST_ROWS", 3)
    np.testing.assert_allclose(ntk(X, depth=2), whole, rtol=0, atol=1e-12)
    monkeypatch.setattr("subquad.ntk._panels._ENTRIES_PER_CALL", 100)
    np.testing.assert_allclose(ntk(X, X, depth=2), whole, rtol=0, atol=1e-12)


@pytest.mark.parametrize("layout", [np.asarray, scipy.sparse.csr_array])
def test_near_duplicates_keep_their_angles(layout):
    # In float64 a correlation knows angles to 1e-8; the slope 1 - angle / pi asks for more.
    gap = np.array([0.0, 1e-13, 1e-10, 1e-7, 1e-4])
    rows = np.zeros((5, 200))
    rows[:, 0], rows[:, 1] = 1.0, gap
    found = ntk(layout(rows), depth=1)[0]
    angle = np.arctan(gap)
    size = np.hypot(1, gap)
    series = angle**3 / (3 * np.pi)
    K = np.cos(angle) + series  # (sin - angle cos) / pi = angle^3 / (3 pi) - ...
    wanted = size * (np.cos(angle) * (1 - angle / np.pi) + K)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-14)


def test_opposite_rows_have_correlation_minus_one(X):
    both = ntk(np.vstack([X, -3 * X]), depth=1)
    np.testing.assert_allclose(np.diag(both[:40, 40:]), 0.0, atol=1e-12)
    np.testing.assert_allclose(np.diag(both), 2 * np.sum(np.vstack([X, -3 * X]) ** 2, axis=1))


def test_rows_of_zeros_have_kernel_zero(X):
    X[3] = 0
    for kernel in KERNELS:
        K = kernel(X, depth=2, activation=ShiftedReLU(1.0))
        assert not K[..., 3, :].any()
        assert np.isfinite(K).all()


def test_norms_from_1e_100_to_1e100_factor_out(X):
    sizes = np.logspace(-100, 100, len(X))
    units = X / np.linalg.norm(X, axis=1)[:, None]
    K = ntk(units * sizes[:, None], depth=2) / sizes[:, None] / sizes
    np.testing.assert_allclose(K, ntk(units, depth=2), rtol=0, atol=1e-13)


def test_input_of_any_layout_is_taken_and_left_alone(X):
    wanted, kept = ntk(X, depth=2), X.copy()
    X.flags.writeable = False
    wide = np.zeros((40, 12))
    wide[:, ::2] = X
    for same in (X, np.asfortranarray(X), wide[:, ::2], X.astype(">f8")):
        np.testing.assert_allclose(ntk(same, depth=2), wanted, rtol=0, atol=1e-13)
    np.testing.assert_array_equal(X, kept)


def test_one_row_is_a_kernel(dtype):
    np.testing.assert_allclose(ntk(np.ones((1, 1), dtype), depth=3), [[4.0]])


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"depth": 0}, ValueError, "depth must be at least 1; got 0"),
        ({"depth": 1.5}, TypeError, "depth must be an integer"),
        ({"activation": "relu"}, TypeError, "activation must be one of subquad.activations"),
        ({"dtype": np.float16}, TypeError, "dtype must be float32 or float64"),
        ({"Y": np.ones((3, 5))}, ValueError, r"Y must have shape \(any, 6\)"),
    ],
)
@pytest.mark.parametrize("kernel", KERNELS)
def test_arguments_are_refused_by_name(X, kernel, options, error, message):
    with pytest.raises(error, match=message):
        kernel(X, **options)


def test_rows_that_are_not_finite_or_too_long_are_refused(X):
    X[2, 1] = np.nan
    with pytest.raises(ValueError, match=r"X must be finite.*\(2, 1\)"):
        ntk(X)
    with pytest.raises(ValueError, match="Y must be finite"):
        ntk(np.ones((2, 6)), X)
    X[2, 1] = 1e200
    with pytest.raises(ValueError, match="X must have rows of norm at most 1e"):
        ntk(X)


@pytest.mark.parametrize("rows", [np.full((3, 2), 1e-3), np.diag([1e-3, 1.0])])
def test_thresholds_that_no_neuron_reaches_are_refused(rows):
    with pytest.raises(ValueError, match="activation must let neurons fire on every row"):
        ntk(rows, depth=2, activation=ShiftedReLU(2.0, relative=False))


def test_a_kernel_that_does_not_fit_names_its_bytes_and_what_to_do(X, monkeypatch):
    monkeypatch.setattr("subquad._validation.available_memory", lambda: 12_799)
    with pytest.raises(MemoryError, match=r"12800 bytes.*Give a block of rows as X"):
        ntk(X)
    ntk(X[:39])


def test_a_kernel_takes_little_memory_beside_itself():
    import tracemalloc

    rows = np.random.default_rng(0).standard_normal((1200, 8))
    ntk(rows[:2], depth=3)  # tabulates
    for kernel, n_kernels in ((ntk, 1), (layer_kernels, 4)):
        tracemalloc.start()
        kernel(rows, depth=3)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < (n_kernels + 0.1) * 8 * 1200**2


def test_relu_is_the_default(X):
    np.testing.assert_array_equal(ntk(X), ntk(X, activation=ReLU()))
    np.testing.assert_array_equal(ntk(X, activation=ShiftedReLU(0.0)), ntk(X))
