"""The reference network is right: known numbers, quadrature, finite differences and brute force."""

import numpy as np
import pytest
import reference_network as reference
from scipy.integrate import quad

# Beyond this number of standard deviations the normal density is 0 in float64.
BOUND = 40.0


def gaussian_mean(function, start):
    """E[function(z); z > start] by quadrature."""
    return quad(lambda z: function(z) * reference.density(z), start, BOUND, epsabs=0, epsrel=1e-12)[
        0
    ]


@pytest.mark.parametrize("b", [0.0, 0.5, 1.0, 1.9, 3.0])
def test_activation_constants_preserve_the_second_moment(b):
    # b = 3 loses three digits to the cancellation in (1 + b^2) Q - b pdf.
    assert 2 * reference.hard_constant(b) * gaussian_mean(lambda z: z * z, b) == pytest.approx(
        1.0, rel=1e-11
    )
    assert 2 * reference.shifted_constant(b) * gaussian_mean(
        lambda z: (z - b) ** 2, b
    ) == pytest.approx(1.0, rel=1e-10)
    assert reference.tail(b) == pytest.approx(gaussian_mean(lambda z: 1.0, b), rel=1e-11)


def test_golden_network_before_training():
    X, W1, layer, _, norms = reference.golden()
    assert W1.shape == (32, 3)
    np.testing.assert_allclose(np.linalg.norm(X, axis=1), 1.0, rtol=1e-15)
    np.testing.assert_allclose(
        norms, [1.014312658155, 0.935304909573, 1.013715713727, 0.992189009398], rtol=1e-9
    )
    np.testing.assert_allclose(
        layer.outputs(layer.W).ravel(),
        [0.532433883297, 1.133823151041, 0.071763255752, 0.233806848556],
        rtol=1e-9,
    )
    assert reference.coactivation(layer.mask(layer.W)).tolist() == [
        [12, 4, 1, 2],
        [4, 10, 0, 0],
        [1, 0, 3, 3],
        [2, 0, 3, 4],
    ]


def test_golden_network_by_the_general_forward_pass():
    X, W1, layer, _, _ = reference.golden()
    for relative in (True, False):  # unit rows: the two thresholds are the same
        h1, h2 = reference.forward(X, [W1, layer.W], 0.5, layer.scale, relative=relative)
        np.testing.assert_allclose(h1, layer.V, rtol=0, atol=1e-14)
        np.testing.assert_allclose(h2 @ layer.readout.T, layer.outputs(layer.W), rtol=0, atol=1e-13)


def test_golden_gram_by_formula_and_by_the_explicit_jacobian():
    _, _, layer, _, _ = reference.golden()
    J, G = layer.jacobian(layer.W), reference.gram(layer, layer.W)
    np.testing.assert_allclose(J @ J.T, G, rtol=1e-12, atol=1e-12)
    known = {(0, 0): 28.620593295716, (0, 1): 1.891470577239}
    known |= {(2, 3): 5.926813005691, (3, 3): 9.540197765239}
    for entry, value in known.items():
        assert G[entry] == pytest.approx(value, rel=1e-9)


@pytest.mark.parametrize("jumps", [False, True])
@pytest.mark.parametrize("n_outputs", [1, 3])
def test_jacobian_is_the_derivative(jumps, n_outputs):
    rng = np.random.default_rng(0)
    layer = reference.random_layer(rng, n_outputs=n_outputs, jumps=jumps)
    step = 1e-7
    assert np.abs(layer.V @ layer.W.T - layer.tau[:, None]).min() > 10 * step  # no kink in reach
    for _ in range(5):
        direction = rng.standard_normal(layer.W.shape)
        direction /= np.linalg.norm(direction)
        change = layer.outputs(layer.W + step * direction) - layer.outputs(
            layer.W - step * direction
        )
        np.testing.assert_allclose(
            layer.jacobian(layer.W) @ direction.ravel(), change.ravel() / (2 * step), atol=1e-7
        )


@pytest.mark.parametrize("n_outputs", [1, 3])
def test_gram_is_the_explicit_product(n_outputs):
    layer = reference.random_layer(np.random.default_rng(1), n_outputs=n_outputs)
    J = layer.jacobian(layer.W)
    np.testing.assert_allclose(reference.gram(layer, layer.W), J @ J.T, rtol=1e-12, atol=1e-12)


def test_coactivation_counts_common_neurons():
    D = np.random.default_rng(2).random((9, 70)) < 0.3
    fired = [set(np.flatnonzero(row)) for row in D]
    assert reference.coactivation(D).tolist() == [[len(p & q) for q in fired] for p in fired]
