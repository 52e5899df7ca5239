"""How fast Gauss-Newton on a last layer converges, and what breaks or improves the rate."""

import numpy as np
import pytest
import reference_network as reference
from scipy.special import ndtri
from wide_layers import KINDS, explicit_gram, last_layer, points, signs

from subquad.activations import ReLU, ThresholdedReLU
from subquad.networks import WideNetwork
from subquad.training import LastLayerGaussNewton


def final_preactivations(layer, trainer):
    """Z of the best iterate from the factors of its change."""
    A, V = trainer.factors
    return layer.preactivations + (layer.features @ V.T) @ A


def ratios(trainer):
    return np.array([record.ratio for record in trainer.history])


@pytest.mark.parametrize("seed", range(4))
def test_gauss_newton_is_far_faster_than_the_one_third_rate(seed):
    # Bands as wide as 1.5 to 2 times what 20 seeds gave (in brackets); no seed of those failed.
    X, y = points("sphere", 64, seed), signs(64, seed)
    layer = last_layer(X, 1024, 1.5, seed, depth=3)
    trainer = LastLayerGaussNewton(layer, y, tol=1e-10).run()
    assert trainer.converged
    assert len(trainer.history) <= 6  # (3 to 4)
    assert ratios(trainer).max() <= 0.15  # (.061 to .094)
    D = layer.preactivations > layer.thresholds[:, None]
    assert 62 <= D.sum(axis=1).mean() <= 75  # (mQ = 68.4)
    hidden = layer.activation(layer.preactivations, layer.thresholds)
    assert 0.85 <= np.square(hidden).sum(axis=1).mean() <= 1.15
    eigenvalues = np.linalg.eigvalsh(explicit_gram(layer, layer.preactivations)) / 1024
    assert 0.8 <= eigenvalues[0] <= 1.3
    assert eigenvalues[-1] < 3 * eigenvalues[0]
    changed = D != (final_preactivations(layer, trainer) > layer.thresholds[:, None])
    assert 0.05 <= changed.sum() / D.sum() <= 0.15
    assert 0.6 <= np.sqrt(np.square(layer.outputs()).mean()) <= 1.5


@pytest.mark.parametrize(
    ("kind", "width", "k"),
    [
        ("sphere", 512, 32),
        ("sphere", 512, 64),
        ("sphere", 2048, 32),
        ("sphere", 2048, 64),
        ("digits", 2048, 64),
    ],
)
def test_every_step_keeps_the_one_third_rate(kind, width, k):
    # Largest ratio of a run, 8 seeds: .14, .11, .14, .09, .25. Correlated data want more: digits at
    # width 512 reach .49, and with k = 16 some run of every kind misses a third or loses a sample.
    for seed in range(2):
        layer, y = (
            last_layer(points(kind, 64, seed), width, -ndtri(k / width), seed),
            signs(64, seed),
        )
        assert layer.activation.expected_active(width) == pytest.approx(k, rel=1e-6)
        trainer = LastLayerGaussNewton(layer, y, tol=1e-10).run()
        assert trainer.converged
        assert ratios(trainer).max() <= 1 / 3


@pytest.mark.parametrize("kind", KINDS)
def test_first_ratio_falls_like_the_inverse_root_of_the_width(kind):
    # Medians of 5 seeds; the law gives .5, seen .48 (sphere) and .45 (digits).
    medians = {}
    for width in (1024, 4096):
        first = []
        for seed in range(5):
            layer = last_layer(points(kind, 64, seed), width, 1.2, seed, dtype=np.float32)
            trainer = LastLayerGaussNewton(layer, signs(64, seed).astype(np.float32))
            first.append(trainer.step().ratio)
        medians[width] = np.median(first)
    assert 0.35 <= medians[4096] / medians[1024] <= 0.75


@pytest.mark.parametrize("kind", KINDS)
def test_hard_threshold_breaks_the_rate(kind):
    # All of 10 seeds break it. The continuous activation at the same shift keeps it, as above.
    for seed in range(10):
        layer = last_layer(points(kind, 64, seed), 1024, 1.5, seed, activation=ThresholdedReLU)
        trainer = LastLayerGaussNewton(layer, signs(64, seed))
        assert max(trainer.step().ratio for _ in range(6)) > 0.5


def test_ten_digits_are_fitted_and_recognised():
    # 4 seeds: relative residual .053 to .058, test accuracy .991 to .9925, training accuracy 1.
    datasets = pytest.importorskip("sklearn.datasets")
    digits = datasets.load_digits()
    order = np.random.default_rng(0).permutation(1797)
    train, test = order[:1000], order[1000:]
    X, targets = reference.unit_rows(digits.data), np.eye(10)[digits.target]
    network = WideNetwork(64, width=2048, n_outputs=10, activation=ReLU(), rng=0)
    layer = network.last_layer(X[train])
    trainer = LastLayerGaussNewton(layer, targets[train], max_steps=5, tol=1e-10)
    for _ in range(5):
        trainer.step()
    assert trainer.relative_residual < 0.1
    assert np.all(trainer.outputs.argmax(axis=1) == digits.target[train])
    predicted = network.outputs(X[test], trainer.factors).argmax(axis=1)
    assert np.mean(predicted == digits.target[test]) >= 0.975
