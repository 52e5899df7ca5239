"""What Gauss-Newton on a last layer promises: the golden run, invariances and precision."""

import numpy as np
import pytest
import reference_network as reference
from layers import residual_norms
from reference_gauss_newton import gauss_newton
from wide_layers import KINDS, explicit_gram, last_layer, points, signs

from subquad.activations import ShiftedReLU
from subquad.lowrank import LowRankMaintenance
from subquad.networks import LastLayer, WideNetwork
from subquad.training import LastLayerGaussNewton, TrainingWarning


def golden_layer():
    _, _, golden, y, _ = reference.golden()
    layer = LastLayer(golden.V, golden.V @ golden.W.T, golden.readout[0], ShiftedReLU(0.5))
    return golden, layer, y


def golden_run(layer, y):
    with pytest.warns(TrainingWarning):  # 10 neurons expected, 3 at the least: small on purpose
        return LastLayerGaussNewton(layer, y, tol=1e-12, min_active=1).run()


def test_golden_network_before_training():
    golden, layer, _ = golden_layer()
    np.testing.assert_allclose(layer.thresholds, golden.tau, rtol=1e-12)
    assert layer.activation.scale == pytest.approx(golden.scale, rel=1e-12)
    np.testing.assert_allclose(
        layer.outputs().ravel(),
        [0.532433883297, 1.133823151041, 0.071763255752, 0.233806848556],
        rtol=1e-9,
    )


def test_golden_network_is_trained_as_by_hand():
    golden, layer, y = golden_layer()
    trainer = golden_run(layer, y)
    found = residual_norms(trainer, layer, y)
    np.testing.assert_allclose(
        found[:3], [2.841591855059, 1.109003650475, 0.06608258499615], rtol=1e-9
    )
    assert len(found) == 4
    assert found[3] <= 1e-12
    assert trainer.converged
    _, W = gauss_newton(golden, y, 3)
    A, V = trainer.factors
    np.testing.assert_allclose(A.T @ V, W - golden.W, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(trainer.outputs.ravel(), y, rtol=0, atol=1e-12)


def test_golden_network_reports_its_active_neurons():
    golden, layer, y = golden_layer()
    trainer = golden_run(layer, y)
    D = golden.mask(golden.W)
    assert D.sum(axis=1).tolist() == [12, 10, 3, 4]
    for n_steps, record in enumerate(trainer.history):  # firing is that before the step
        _, W = gauss_newton(golden, y, n_steps)
        active = golden.mask(W)
        assert record.active_fraction == pytest.approx(active.mean(), rel=1e-12)
        assert record.min_active == active.sum(axis=1).min()


@pytest.mark.parametrize("rank_budget", [1, 8, 128, np.inf])
def test_maintenance_gives_the_same_trajectory_at_every_rank_budget(rank_budget):
    X, y, width = points("sphere", 32, 1), signs(32, 1), 512
    network = WideNetwork(16, width=width, activation=ShiftedReLU(1.0), rng=1)
    W0 = network.weights[-1].to_dense().copy()
    layer = network.last_layer(X)
    plain = LastLayerGaussNewton(layer, y, tol=1e-12).run()
    maintained = LowRankMaintenance(W0, rank_budget=rank_budget)
    trainer = LastLayerGaussNewton(layer, y, tol=1e-12, maintenance=maintained).run()
    assert len(trainer.history) == len(plain.history)
    np.testing.assert_allclose(
        residual_norms(trainer, layer, y), residual_norms(plain, layer, y), rtol=0, atol=1e-10
    )
    np.testing.assert_allclose(trainer.outputs, plain.outputs, rtol=0, atol=1e-10)
    A, V = plain.factors
    change = maintained.to_dense() - W0
    np.testing.assert_allclose(change, A.T @ V, rtol=0, atol=1e-10)
    singular_values = np.linalg.svd(change, compute_uv=False)
    assert np.count_nonzero(singular_values > 1e-10 * singular_values[0]) <= 32


@pytest.mark.parametrize("kind", KINDS)
def test_first_step_moves_the_weights_by_the_inverse_gram_norm_of_the_residual(kind):
    layer, y = last_layer(points(kind, 48, 2), 512, 0.8, 2), signs(48, 2)
    trainer = LastLayerGaussNewton(layer, y, max_steps=1, tol=1e-12)
    trainer.step()
    A, V = trainer.factors
    r = layer.outputs().ravel() - y
    G = explicit_gram(layer, layer.preactivations)
    moved = np.sum(A * ((V @ V.T) @ A))
    assert moved == pytest.approx(np.linalg.norm(A.T @ V) ** 2, rel=1e-9)
    assert moved == pytest.approx(r @ np.linalg.solve(G, r), rel=1e-9)


@pytest.mark.parametrize("c", [0.01, 3.0, 1000.0])
def test_rescaling_the_parameters_changes_no_residual(c):
    layer, y = last_layer(points("sphere", 32, 3), 256, 0.8, 3), signs(32, 3)
    scaled = LastLayer(
        layer.features,
        c * layer.preactivations,
        layer.readout / c,
        layer.activation,
        thresholds=c * layer.thresholds,
    )
    plain = LastLayerGaussNewton(layer, y, tol=1e-9).run()
    trainer = LastLayerGaussNewton(scaled, y, tol=1e-9).run()
    size = np.linalg.norm(y)
    np.testing.assert_allclose(
        residual_norms(trainer, scaled, y),
        residual_norms(plain, layer, y),
        rtol=1e-9,
        atol=1e-9 * size,
    )


@pytest.mark.parametrize(("dtype", "tol"), [(np.float32, 1e-6), (np.float64, 1e-12)])
@pytest.mark.parametrize("kind", KINDS)
def test_each_precision_reaches_its_floor(kind, dtype, tol):
    # Floors seen: 7e-8 to 3e-7 in float32, 2e-16 to 2e-14 in float64.
    layer = last_layer(
        points(kind, 64, 6), 2048, ShiftedReLU.for_sparsity(0.2, 2048).shift, 6, dtype=dtype
    )
    y = signs(64, 6).astype(dtype)
    trainer = LastLayerGaussNewton(layer, y, tol=tol).run()
    assert trainer.converged
    assert trainer.relative_residual <= tol
    A, V = trainer.factors
    assert A.dtype == V.dtype == dtype
    # Recomputed from the factors, in float64: what is reported is true of what is returned. The
    # factors rounded to float32 carry an error of their own size, eps |Z|.
    outputs = layer.outputs((A, V)).ravel()
    assert np.linalg.norm(outputs - y) <= 3 * tol * np.linalg.norm(layer.outputs().ravel() - y)


@pytest.mark.parametrize("seed", range(3))
def test_contradictory_labels_end_at_the_least_squares_value(seed):
    # 8 pairs (1, -1): each pair is fitted at 0, the residual is sqrt(16) = 4. 5 seeds gave 4.0000.
    X, y = points("sphere", 64, seed), signs(64, seed)
    X, y = np.concatenate([X, X[:8]]), np.concatenate([y, -y[:8]])
    trainer = LastLayerGaussNewton(last_layer(X, 1024, 1.0, seed), y)
    with pytest.warns(TrainingWarning):
        trainer.run()
    assert trainer.residual_norm == pytest.approx(4.0, rel=0.02)
    assert all(np.isfinite(record.residual_norm) for record in trainer.history)
    assert not trainer.converged
    assert trainer.message


def test_sample_without_active_neurons_is_named_and_keeps_its_residual():
    layer = last_layer(points("sphere", 24, 7), 1024, 1.0, 7)
    Z0 = layer.preactivations.copy()
    Z0[5] = -np.abs(Z0[5]) - 1.0
    layer = LastLayer(layer.features, Z0, layer.readout, layer.activation)
    y = 0.1 * signs(24, 7)
    y[5] = 3.0
    with (
        pytest.warns(TrainingWarning, match=r"point 5\b"),
        pytest.warns(TrainingWarning, match="stagnates"),
    ):
        trainer = LastLayerGaussNewton(layer, y).run()
    assert layer.outputs()[5, 0] == 0.0
    assert trainer.outputs[5, 0] - y[5] == -3.0
    assert trainer.residual_norm == pytest.approx(3.0, rel=1e-6)
