"""What activations promise: constants that keep norms, thresholds that keep depth alive."""

import numpy as np
import pytest
import reference_network as reference
from wide_layers import points

from subquad.activations import ReLU, ShiftedReLU, ThresholdedReLU
from subquad.networks import WideNetwork

CONSTANTS = [
    (0.5, 1.031842234262, 2.385049441310),
    (1.0, 1.248046873879, 6.636599918512),
    (1.5, 1.915095433112, 21.884701163221),
    (2.0, 3.824616402237, 86.674239350168),
    (3.0, 34.140311827329, 2457.786527295499),
]


@pytest.mark.parametrize(("b", "hard", "shifted"), CONSTANTS)
def test_activation_constants_are_those_that_preserve_norms(b, hard, shifted):
    assert ThresholdedReLU(b).norm_constant == pytest.approx(hard, rel=1e-10)
    assert ShiftedReLU(b).norm_constant == pytest.approx(shifted, rel=1e-10)
    for activation in (ThresholdedReLU(b), ShiftedReLU(b)):
        assert activation.scale == pytest.approx(np.sqrt(activation.norm_constant), rel=1e-14)
        assert activation.firing_probability == pytest.approx(reference.tail(b), rel=1e-12)


def test_without_a_shift_the_three_activations_are_one():
    for activation in (ReLU(), ShiftedReLU(0.0), ThresholdedReLU(0.0)):
        assert activation.norm_constant == pytest.approx(1.0, rel=1e-14)
        assert activation.scale == pytest.approx(1.0, rel=1e-14)
        assert activation.firing_probability == pytest.approx(0.5, rel=1e-14)


@pytest.mark.parametrize(("alpha", "k"), [(0.1, 735), (0.2, 236), (0.32, 66.9), (0.5, 11.0)])
def test_expected_active_neurons_is_width_times_firing_probability(alpha, k):
    activation = ShiftedReLU.for_sparsity(alpha, 8192)
    assert activation.expected_active(8192) == pytest.approx(k, rel=5e-3)
    assert activation.expected_active(8192) < 8192 ** (1 - alpha)  # only an upper bound


def three_layers(seed, activation, *, normalise=False):
    """Return h_1, h_2, h_3 of a plain network built from the package's activation."""
    rng = np.random.default_rng(seed)
    h, layers, width = reference.sphere(32, 16, rng), [], 2048
    std = np.sqrt(2.0 / width)
    for _ in range(3):
        W = std * rng.standard_normal((width, h.shape[1]), dtype=np.float32)
        thresholds = activation.thresholds(np.linalg.norm(h, axis=1), std)
        h = activation((h.astype(np.float32) @ W.T).astype(float), thresholds)
        if normalise:
            h = reference.unit_rows(h)
        layers.append(h)
    return layers


@pytest.mark.parametrize("seed", range(4))
def test_absolute_thresholds_spread_the_norms_over_depth_and_relative_ones_do_not(seed):
    # 8 seeds: absolute 1.14 and more, relative .40 and less.
    def spread(relative):
        h = three_layers(seed, ShiftedReLU(2.21, relative=relative))[-1]
        size = np.linalg.norm(h, axis=1)
        return size.std() / size.mean()

    assert spread(relative=False) > 0.7
    assert spread(relative=True) < 0.6


def test_normalised_layers_have_unit_rows():
    for h in three_layers(0, ShiftedReLU(2.21), normalise=True):
        np.testing.assert_allclose(np.linalg.norm(h, axis=1), 1.0, rtol=1e-12)
    network = WideNetwork(16, width=2048, depth=3, activation=ShiftedReLU(2.21), rng=0)
    V = network.features(points("sphere", 32, 0))
    np.testing.assert_allclose(np.linalg.norm(V, axis=1), 1.0, rtol=1e-12)


def test_without_the_scale_the_network_dies_by_the_third_layer():
    rng = np.random.default_rng(0)
    h, width, b = reference.sphere(32, 16, rng), 2048, 2.21
    std = np.sqrt(2.0 / width)
    for _ in range(3):
        W = std * rng.standard_normal((width, h.shape[1]))
        h = np.maximum(h @ W.T - std * b, 0.0)
    assert np.count_nonzero(h) == 0
