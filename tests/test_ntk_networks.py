"""Finite networks, spectra, widths and predictions."""

import numpy as np
import pytest

from subquad.activations import ReLU, ShiftedReLU
from subquad.networks import WideNetwork
from subquad.ntk import (
    DualActivation,
    Spectrum,
    empirical_ntk,
    last_layer_ntk,
    layer_kernels,
    ntk,
    predict,
    required_width,
    spectrum,
)
from subquad.ntk._predict import cholesky
from subquad.weights import DenseWeights


@pytest.fixture
def X(rng):
    X = rng.standard_normal((20, 5))
    return X / np.linalg.norm(X, axis=1)[:, None]


def jacobian(network, X, layer, output):
    """Central differences of an output by the entries of W_layer, one column each."""
    kept = network.weights[layer - 1]
    W, columns = kept.to_dense(), []
    for entry in range(W.size):
        outputs = []
        for step in (1e-6, -1e-6):
            moved = W.copy()
            moved.flat[entry] += step
            network.weights[layer - 1] = DenseWeights(moved)
            outputs.append(network.outputs(X)[:, output])
        columns.append((outputs[0] - outputs[1]) / 2e-6)
    network.weights[layer - 1] = kept
    return np.stack(columns, axis=1)


@pytest.mark.parametrize("readout", ["dense", "partition"])
def test_empirical_kernels_are_grams_of_jacobians(X, readout):
    network = WideNetwork(
        5, width=14, depth=3, n_outputs=2, activation=ShiftedReLU(0.2), readout=readout, rng=1
    )
    few, total = X[:3], 0.0
    for layer in (1, 2, 3):
        J = jacobian(network, few, layer, 1)
        found = empirical_ntk(network, few, layer=layer, output=1)
        np.testing.assert_allclose(found, J @ J.T / 14, rtol=1e-6, atol=1e-8)
        same = empirical_ntk(network, few, layer=layer - 4, output=1)
        np.testing.assert_array_equal(same, found)
        total = total + 2 * found
    last = network.last_layer(few)
    H = last.activation(last.preactivations, last.thresholds)
    whole = empirical_ntk(network, few, layer="all", output=1)
    np.testing.assert_allclose(whole, total + H @ H.T, rtol=1e-9)


def test_blocks_of_points_change_nothing(X, dtype, monkeypatch):
    network = WideNetwork(5, width=64, depth=2, rng=1, dtype=dtype)
    whole = empirical_ntk(network, X, layer="all")
    assert whole.dtype == dtype
    monkeypatch.setattr("subquad.ntk._empirical._BYTES_PER_BLOCK", 2**13)
    tolerance = 20 * np.finfo(dtype).eps * whole.max()
    blocks = empirical_ntk(network, X, layer="all")
    np.testing.assert_allclose(blocks, whole, rtol=0, atol=tolerance)
    np.testing.assert_array_equal(blocks, blocks.T)
    found = empirical_ntk(network, X[:6], X, layer="all")
    np.testing.assert_allclose(found, whole[:6], rtol=0, atol=tolerance)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"layer": 0}, ValueError, r"layer must be in \[1, 2\] or \[-2, -1\]; got 0"),
        ({"layer": 3}, ValueError, "layer must be at most 2"),
        ({"layer": "last"}, ValueError, "layer must be an integer or 'all'"),
        ({"output": 1}, ValueError, "output must be at most 0"),
        ({"Y": np.ones((2, 4))}, ValueError, r"Y must have shape \(any, 5\)"),
    ],
)
def test_empirical_kernels_refuse_arguments_by_name(X, options, error, message):
    with pytest.raises(error, match=message):
        empirical_ntk(WideNetwork(5, width=64, rng=1), X, **options)


def test_empirical_kernels_refuse_other_networks_and_sizes(X, monkeypatch):
    with pytest.raises(TypeError, match=r"network must be a network of .*; got ReLU"):
        empirical_ntk(ReLU(), X)
    network = WideNetwork(5, width=64, rng=1)
    monkeypatch.setattr("subquad._validation.available_memory", lambda: 1000)
    with pytest.raises(MemoryError, match=r"3200 bytes.*Give a block of rows as X"):
        empirical_ntk(network, X)


def test_spectrum_tells_eigenvalues_condition_and_rank():
    rng = np.random.default_rng(0)
    Q, _ = np.linalg.qr(rng.standard_normal((6, 6)))
    eigenvalues = np.array([8.0, 4.0, 2.0, 1.0, 0.5, 0.25])
    found = spectrum((Q * eigenvalues) @ Q.T)
    np.testing.assert_allclose(found.eigenvalues, eigenvalues)
    assert (found.largest, found.smallest) == pytest.approx((8.0, 0.25))
    assert found.condition == pytest.approx(32)
    assert found.effective_rank == pytest.approx(15.75**2 / np.sum(eigenvalues**2))
    assert spectrum(np.zeros((2, 2))).effective_rank == 0
    assert spectrum(np.ones((3, 3)) - 2 * np.eye(3)).condition == np.inf


@pytest.mark.parametrize(
    ("kernel", "message"),
    [
        (np.ones((2, 3)), r"kernel must have shape \(n, n\); got \(2, 3\)"),
        (np.array([[1.0, 0.0], [np.nan, 1.0]]), "kernel must be finite"),
    ],
)
def test_spectrum_refuses_what_is_no_kernel(kernel, message):
    with pytest.raises(ValueError, match=message):
        spectrum(kernel)


def test_required_width_is_the_law_and_never_fewer_than_16_fired_neurons():
    values = Spectrum(np.linspace(0.5, 0.02, 256))
    found = required_width(values, 2)
    assert found.theory == pytest.approx((256 / 0.02) ** 4 * 2)
    assert found.theory_initialization == pytest.approx((256 / 0.02) ** 2 * 4)
    assert found.firing == 32
    assert 0.16 * 256**0.35 / found.measured**0.38 / 0.02**0.5 == pytest.approx(1 / 3, rel=1e-3)
    sparse = required_width(values, 2, ShiftedReLU(1.5))
    assert sparse.measured == sparse.firing == 240
    with pytest.raises(
        ValueError, match="kernel must be positive definite; got the smallest eigenvalue"
    ):
        required_width(np.ones((4, 4)), 2)


@pytest.mark.parametrize("kernel", ["ntk", "nngp"])
def test_predictions_are_those_of_dense_formulas(X, kernel):
    rng, mu = np.random.default_rng(1), 0.3
    tests, y = rng.standard_normal((7, 5)), rng.standard_normal((20, 2))
    options = {"depth": 2, "activation": ShiftedReLU(0.4)}
    both = np.vstack([X, tests])
    P = layer_kernels(both, **options)[-1]
    T = P if kernel == "nngp" else ntk(both, **options)
    weights = np.linalg.solve(T[:20, :20] + mu * np.eye(20), T[:20, 20:])
    mean, variance = predict(
        X, y, tests, **options, kernel=kernel, regularization=mu, return_variance=True
    )
    np.testing.assert_allclose(mean, weights.T @ y, atol=1e-12)
    if kernel == "nngp":
        expected = P[20:, 20:] - weights.T @ P[:20, 20:]
    else:
        cross = weights.T @ P[:20, 20:]
        expected = P[20:, 20:] + weights.T @ P[:20, :20] @ weights - cross - cross.T
    np.testing.assert_allclose(variance, expected.diagonal(), atol=1e-11)
    single, none = predict(X, y[:, 0], tests, **options, kernel=kernel, regularization=mu)
    np.testing.assert_allclose(single, mean[:, 0], atol=1e-13)
    assert none is None


def test_without_regularization_the_data_are_met_with_certainty(X):
    y = np.arange(20.0)
    mean, variance = predict(X, y, X, depth=2, return_variance=True)
    np.testing.assert_allclose(mean, y, atol=1e-9)
    np.testing.assert_allclose(variance, 0, atol=1e-9)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_repeated_rows_are_refused_with_eigenvalue_and_remedy(X, dtype):
    rows = np.vstack([X, X[:1]]).astype(dtype)
    with pytest.raises(ValueError, match="kernel must be positive definite; got the smallest") as e:
        predict(rows, np.ones(21), X)
    remedy = float(str(e.value).split("regularization of about ")[1].split(" ")[0])
    mean, _ = predict(rows, np.ones(21), X, regularization=remedy)
    np.testing.assert_allclose(mean, 1.0, atol=1e-2)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("factor", [1.0, 3.0])
def test_repeated_rows_are_found_however_sums_are_rounded(factor, dtype):
    """The kernel of ReLU does not tell a row from its multiple, but by length."""
    for seed in range(50):
        rows = np.random.default_rng(seed).standard_normal((20, 5))
        rows = np.vstack([rows, factor * rows[7:8]]).astype(dtype)
        with pytest.raises(ValueError, match="Remove repeated rows, such as 7 and 20"):
            predict(rows, np.ones(21), rows)
        mean, _ = predict(rows, np.ones(21), rows, regularization=1e-4)
        assert np.isfinite(mean).all()


def test_the_regularization_that_a_refusal_names_is_enough():
    # The null vectors of this kernel are spread over all rows: |A^-1| in the 1-norm, which LAPACK
    # estimates, is then sqrt(n) times what the smallest eigenvalue says.
    Q, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((400, 200)))
    with pytest.raises(ValueError, match="kernel must be positive definite") as e:
        cholesky(Q @ Q.T, 0.0, "kernel")
    remedy = float(str(e.value).split("regularization of about ")[1].split(" ")[0])
    factor = cholesky(Q @ Q.T, remedy, "kernel")
    np.testing.assert_allclose(factor @ factor.T, Q @ Q.T, rtol=0, atol=1e-11)


def test_rows_that_nearly_repeat_are_fitted():
    rows = np.random.default_rng(0).standard_normal((20, 5))
    rows = np.vstack([rows, rows[7:8] + 1e-5])
    y = np.arange(21.0)
    mean, _ = predict(rows, y, rows)
    np.testing.assert_allclose(mean, y, atol=1e-4)


def test_predict_refuses_arguments_by_name(X):
    with pytest.raises(ValueError, match="kernel must be 'ntk' or 'nngp'; got 'rbf'"):
        predict(X, np.ones(20), X, kernel="rbf")
    with pytest.raises(ValueError, match="y must have shape"):
        predict(X, np.ones(19), X)
    with pytest.raises(ValueError, match=r"X_test must have shape \(any, 5\)"):
        predict(X, np.ones(20), X[:, :3])
    with pytest.raises(ValueError, match="regularization must be at least 0"):
        predict(X, np.ones(20), X, regularization=-1.0)


def test_a_dual_activation_may_stand_for_its_activation(X):
    np.testing.assert_array_equal(
        ntk(X, activation=DualActivation(ShiftedReLU(1.0))), ntk(X, activation=ShiftedReLU(1.0))
    )
    smooth = last_layer_ntk(X[:3], activation=np.tanh)
    assert smooth.shape == (3, 3)
