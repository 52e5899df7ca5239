"""What the Gram matrix G = J J^T promises: exact counts, a limit, blocks of several outputs."""

import numpy as np
import pytest
import reference_network as reference
from reference_limit import limit_kernels
from wide_layers import explicit_gram, last_layer, points

from subquad.activations import ShiftedReLU
from subquad.jacobian import KhatriRao
from subquad.networks import WideNetwork
from subquad.training.last_layer._dense import DenseState


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_structured_gram_is_the_product_of_explicit_jacobians(dtype):
    X = points("sphere", 24, 0)
    layer = last_layer(X, 128, 0.7, 0, dtype=dtype)
    D = layer.preactivations > layer.thresholds[:, None]
    U = (layer.activation.scale * layer.readout * D).astype(dtype)
    jacobian = KhatriRao(U, layer.features)
    J = jacobian.to_dense().astype(float)
    tolerance = 1e-12 if dtype == np.float64 else 3e-6
    size = np.abs(J @ J.T).max()
    np.testing.assert_allclose(jacobian.gram(), J @ J.T, rtol=0, atol=tolerance * size)
    np.testing.assert_allclose(
        explicit_gram(layer, layer.preactivations), J @ J.T, rtol=0, atol=tolerance * size
    )


def test_float32_products_of_masks_are_exact_counts():
    # Sums of 0/1 below 2^24 are exact in float32, whatever the order of summation.
    D = np.random.default_rng(0).random((33, 5000)) < 0.3
    counts = reference.coactivation(D)
    np.testing.assert_array_equal(D.astype(np.float32) @ D.astype(np.float32).T, counts)


@pytest.mark.parametrize("depth", [2, 3])
def test_gram_over_width_tends_to_its_closed_form(depth):
    # Twelve points at widths 512 and 2048, medians over 3 networks of the largest error relative
    # to the diagonal. The law is width^-1/2: half. Seen: .23 to .11 and .21 to .08.
    X, b, errors = points("sphere", 12, 4, d=6), 1.0, {}
    _, limit = limit_kernels(X, depth, b)
    for width in (512, 2048):
        found = []
        for seed in range(3):
            layer = last_layer(X, width, b, seed, depth=depth)
            found.append(np.abs(explicit_gram(layer, layer.preactivations) / width - limit).max())
        errors[width] = np.median(found) / limit[0, 0]
    assert errors[512] < 0.35
    assert errors[2048] < 0.8 * errors[512]


def test_partitioned_outputs_have_exactly_zero_cross_blocks():
    X = points("sphere", 12, 8)
    network = WideNetwork(16, width=300, n_outputs=4, activation=ShiftedReLU(0.5), rng=8)
    layer = network.last_layer(X)
    dense = reference.Layer(
        layer.features,
        network.weights[-1].to_dense(),
        layer.readout,
        layer.thresholds,
        layer.activation.scale,
    )
    J = dense.jacobian(dense.W)
    G = (J @ J.T).reshape(12, 4, 12, 4)
    for c in range(4):
        for other in range(4):
            assert (np.abs(G[:, c, :, other]).max() == 0.0) == (c != other)


def test_coupled_outputs_are_multiplied_as_by_the_explicit_gram():
    X = points("sphere", 12, 9)
    network = WideNetwork(
        16, width=300, n_outputs=4, activation=ShiftedReLU(0.5), readout="dense", rng=9
    )
    layer = network.last_layer(X)
    W0, scale = network.weights[-1].to_dense(), layer.activation.scale
    dense = reference.Layer(layer.features, W0, layer.readout, layer.thresholds, scale)
    G = reference.gram(dense, dense.W)
    system = DenseState(layer, None).linearise()
    for g in np.random.default_rng(9).standard_normal((3, 12, 4)):
        product = (G @ g.ravel()).reshape(12, 4)
        tolerance = 1e-10 * np.abs(product).max()
        np.testing.assert_allclose(system.product(g), product, rtol=0, atol=tolerance)
        assert system.quadratic(g) == pytest.approx(np.vdot(g, product), rel=1e-10)
