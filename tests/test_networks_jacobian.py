"""Jacobians of the networks are their derivatives, and tangent kernels the products of these."""

import numpy as np
import pytest

from subquad.activations import ShiftedReLU, ThresholdedReLU
from subquad.jacobian import JacobianSum, KhatriRao, kept_gram
from subquad.networks import FactoredNetwork, PairedNetwork, TwoLayerNetwork, WideNetwork
from subquad.ntk import empirical_ntk
from subquad.weights import DenseWeights


@pytest.fixture
def X(rng):
    X = rng.standard_normal((7, 5))
    return X / np.linalg.norm(X, axis=1)[:, None]


def differences(outputs, W, output):
    """Central differences of an output by the entries of W: exact where it is linear nearby."""
    columns = []
    for entry in range(W.size):
        step = np.zeros(W.size)
        step[entry] = 1e-6
        moved = [outputs(W + sign * step.reshape(W.shape))[:, output] for sign in (1, -1)]
        columns.append((moved[0] - moved[1]) / 2e-6)
    return np.stack(columns, axis=1)


@pytest.mark.parametrize("output", [0, 1])
def test_jacobians_of_networks_of_one_layer_are_derivatives(X, output):
    two = TwoLayerNetwork(5, 12, activation=ShiftedReLU(0.3), n_outputs=2, rng=1)
    factors = np.ones((2, 12)) / 9, np.ones((2, 5)) / 7
    paired = PairedNetwork(5, width=12, n_outputs=2, shift=0.3, rng=1)
    factored = FactoredNetwork(5, width=12, inner_size=3, outer_size=6, n_outputs=2, rng=1)
    moved = two.weights + factors[0].T @ factors[1]

    def of_two(W):
        network = TwoLayerNetwork(5, 12, activation=ShiftedReLU(0.3), n_outputs=2, rng=1)
        network.weights = W
        return network.outputs(X)

    found = [
        (two.jacobian(X, output=output), of_two, two.weights),
        (two.jacobian(X, 1, factors=factors, output=output), of_two, moved),
        (paired.jacobian(X, output=output), lambda W: paired.outputs(X, W), paired.weights),
        (factored.jacobian(X, output=output), lambda W: factored.outputs(X, W), factored.weights),
    ]
    for J, outputs, W in found:
        assert isinstance(J, KhatriRao)
        expected = differences(outputs, W, output)
        np.testing.assert_allclose(J.to_dense(), expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("layer", [1, 2, -1])
def test_jacobians_of_a_wide_network_are_derivatives(X, layer):
    network = WideNetwork(5, width=10, depth=3, activation=ShiftedReLU(0.2), n_outputs=2, rng=1)
    kept = network.weights[layer if layer < 0 else layer - 1]

    def outputs(W):
        network.weights[layer if layer < 0 else layer - 1] = DenseWeights(W)
        return network.outputs(X)

    J = network.jacobian(X, layer, output=1)
    expected = differences(outputs, kept.to_dense(), 1)
    np.testing.assert_allclose(J.to_dense(), expected, rtol=1e-5, atol=1e-7)


def test_kernels_of_all_networks_are_grams_of_their_jacobians(X, dtype):
    networks = [
        (TwoLayerNetwork(5, 64, n_outputs=2, rng=1, dtype=dtype), 1),
        (PairedNetwork(5, width=64, n_outputs=2, rng=1, dtype=dtype), 1),
        (FactoredNetwork(5, width=64, inner_size=3, n_outputs=2, rng=1, dtype=dtype), 1),
        (WideNetwork(5, width=64, n_outputs=2, rng=1, dtype=dtype), 64),
    ]
    for network, width in networks:
        J, other = (network.jacobian(points, output=1).to_dense() for points in (X, X[:3]))
        close = {"rtol": 1e-4 if dtype == np.float32 else 1e-10, "atol": 1e-6}
        kernel = empirical_ntk(network, X, output=1)
        np.testing.assert_allclose(kernel, J @ J.T / width, **close)
        crossed = empirical_ntk(network, X, X[:3], output=1)
        np.testing.assert_allclose(crossed, J @ other.T / width, **close)


def test_kernels_of_jacobians_add_over_layers(X):
    network = WideNetwork(5, width=16, depth=3, activation=ThresholdedReLU(0.2), rng=1)
    train, test = (
        {f"layer {k}": network.jacobian(points, k) for k in (1, 2, 3)} for points in (X, X[:3])
    )
    by_layer = [empirical_ntk(network, X, layer=k) * 16 for k in (1, 2, 3)]
    np.testing.assert_allclose(empirical_ntk(train), sum(by_layer), rtol=1e-12)
    np.testing.assert_allclose(empirical_ntk(train, layer="all"), sum(by_layer), rtol=1e-12)
    np.testing.assert_allclose(empirical_ntk(train, layer="layer 2"), by_layer[1], rtol=1e-12)
    np.testing.assert_allclose(empirical_ntk(train, test), sum(by_layer)[:, :3], rtol=1e-12)
    sums = [JacobianSum(jacobians.values()) for jacobians in (train, test)]
    np.testing.assert_allclose(empirical_ntk(*sums), sum(by_layer)[:, :3], rtol=1e-12)
    np.testing.assert_allclose(empirical_ntk(train["layer 1"]), by_layer[0], rtol=1e-12)


def test_the_jacobians_of_a_kernel_are_not_changed(X):
    train = {name: TwoLayerNetwork(5, 64, rng=0).jacobian(X) for name in "ab"}
    expected = train["a"].gram()
    kept = kept_gram(train["a"])
    empirical_ntk(train)
    np.testing.assert_array_equal(kept, expected)


J = KhatriRao(np.ones((2, 3)), np.ones((2, 4)))


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        (({},), {}, ValueError, "at least one Jacobian; got an empty mapping"),
        (({"a": J}, J), {}, ValueError, r"X must hold Jacobians of the layers \['a'\]; got Khatri"),
        (({"a": J}, {"b": J}), {}, ValueError, r"of the layers \['a'\]; got \['b'\]"),
        (
            ({"a": J},),
            {"layer": "b"},
            ValueError,
            "or 'all'; got 'b'",
        ),
        (
            ({"a": np.ones((2, 3))},),
            {},
            TypeError,
            "must be a Jacobian; got ndarray",
        ),
        ((J,), {"layer": 1}, ValueError, "layer must be None for a Jacobian without names; got 1"),
        ((J, J, J), {}, TypeError, "Y and output must be left out"),
        ((J,), {"output": 1}, TypeError, "Y and output must be left out"),
        ((TwoLayerNetwork(4, 8, rng=0), np.eye(4)), {"layer": 2}, ValueError, "at most 1; got 2"),
        ((TwoLayerNetwork(4, 8, rng=0),), {}, TypeError, "X must be"),
        (
            (PairedNetwork(4, width=8, rng=0), np.eye(4)),
            {"output": 1},
            ValueError,
            "output must be",
        ),
    ],
)
def test_kernels_of_what_does_not_fit_are_refused(arguments, options, error, message):
    with pytest.raises(error, match=message):
        empirical_ntk(*arguments, **options)


@pytest.mark.parametrize("layer", [0, 2, 1.0, "all"])
def test_networks_of_one_layer_have_no_other(layer):
    for network in (
        TwoLayerNetwork(4, 8, rng=0),
        PairedNetwork(4, width=8, rng=0),
        FactoredNetwork(4, width=8, inner_size=2, rng=0),
    ):
        with pytest.raises((TypeError, ValueError), match="layer must be"):
            network.jacobian(np.eye(4), layer=layer)
