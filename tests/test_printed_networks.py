"""The papers' networks as printed, beside their definitions; what breaks, and that it is named."""

import warnings

import numpy as np
import pytest
import reference_network as reference
from layers import quietly

from subquad.activations import ReLU, ShiftedReLU, ThresholdedReLU
from subquad.io._codec import Reader, Writer
from subquad.networks import FactoredNetwork, NetworkWarning, PairedNetwork, WideNetwork
from subquad.training import (
    AllLayersGaussNewton,
    HalfSpaceSGD,
    LastLayerGaussNewton,
    LowRankGradientDescent,
    TrainingWarning,
)

B = 2.21
SECTION_2 = ShiftedReLU(B, relative=False, scaling="none")
DEFINITION_F3 = ThresholdedReLU(B, relative=False, scaling="printed")
LEMMA_G6 = ThresholdedReLU(B, relative=False)
RNG = np.random.default_rng(9)
X = reference.sphere(24, 8, RNG)


def printed(activation, *, width=512, depth=3, **options):
    return WideNetwork(
        8, width=width, depth=depth, activation=activation, normalise=False, rng=0, **options
    )


# ---- constants, and the forward pass
@pytest.mark.parametrize(
    ("activation", "scale"),
    [
        (SECTION_2, 1.0),
        (DEFINITION_F3, reference.hard_constant(B) ** 0.25),
        (LEMMA_G6, reference.hard_constant(B) ** 0.5),
        (ThresholdedReLU(B, scaling="none"), 1.0),
        (ShiftedReLU(B, relative=False), reference.shifted_constant(B) ** 0.5),
    ],
)
@pytest.mark.parametrize("normalise", [True, False])
def test_layers_are_those_of_the_definition(activation, scale, normalise):
    assert activation.scale == pytest.approx(scale, rel=1e-12)
    network = WideNetwork(8, width=512, depth=4, activation=activation, normalise=normalise, rng=0)
    matrices = [W.to_dense() for W in network.weights]
    rows = 1.7 * X
    options = {"jumps": activation.jumps, "relative": activation.relative}
    with np.errstate(invalid="ignore"):
        layers = reference.forward(rows, matrices, B, scale, normalised=normalise, **options)
    layers = [np.nan_to_num(h) for h in layers]  # the reference divides 0 by 0
    found = quietly(network._forward, rows, 1)
    for h, expected in zip([*found.inputs[1:], found.response], layers, strict=True):
        np.testing.assert_allclose(h, expected, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(quietly(network.features, rows), layers[-2], rtol=1e-10, atol=1e-12)
    expected = layers[-1] @ network.readout.T
    np.testing.assert_allclose(quietly(network.outputs, rows), expected, rtol=1e-9, atol=1e-10)


def test_defaults_are_what_they_were():
    assert repr(ShiftedReLU(1.0)) == "ShiftedReLU(shift=1.0, relative=True)"
    assert repr(ReLU()) == "ReLU()"
    assert repr(SECTION_2) == "ShiftedReLU(shift=2.21, relative=False, scaling='none')"
    assert "normalise" not in repr(WideNetwork(2, width=16, rng=0))
    assert "normalise=False" in repr(printed(LEMMA_G6))
    assert "scaling" not in repr(Writer().encode("x", ShiftedReLU(1.0)))
    assert "normalise" not in repr(Writer().encode("x", WideNetwork(2, width=16, rng=0)))


@pytest.mark.parametrize("activation", [SECTION_2, DEFINITION_F3, LEMMA_G6])
def test_networks_as_printed_are_saved(activation):
    network, writer = printed(activation), Writer()
    json = writer.encode("network", network)
    reader = Reader(writer.arrays)
    again = reader.decode(json)
    reader.finish()
    assert again.activation == activation
    assert not again.normalise
    np.testing.assert_array_equal(quietly(again.outputs, X), quietly(network.outputs, X))


@pytest.mark.parametrize("make", [
    lambda: ShiftedReLU(1.0, scaling="printed"),
    lambda: ThresholdedReLU(1.0, scaling="root"),
    lambda: ShiftedReLU(1.0, scaling=None),
])  # fmt: skip
def test_scalings_are_known_by_name(make):
    with pytest.raises(ValueError, match=r"^scaling must be 'norm'"):
        make()


def test_normalise_is_true_or_false():
    with pytest.raises(TypeError, match=r"^normalise must be True or False; got 1"):
        WideNetwork(2, width=16, normalise=1)


# ---- derivatives, and training
@pytest.mark.parametrize("layer", [1, 2, 3])
@pytest.mark.parametrize("relative", [True, False])
def test_derivatives_without_normalisation_are_those_of_the_printed_network(layer, relative):
    network = WideNetwork(
        8,
        width=48,
        depth=3,
        n_outputs=2,
        readout="dense",
        activation=ShiftedReLU(0.3, relative=False) if not relative else ReLU(),
        normalise=False,
        rng=1,
    )
    J = network.jacobian(X[:5], layer, output=1).to_dense()
    direction = np.random.default_rng(2).standard_normal(network.weights[layer - 1].shape)
    factors = [(np.zeros((1, 48)), np.zeros((1, W.shape[1]))) for W in network.weights]
    moved = []
    for step in (1e-6, -1e-6):
        # A change of full rank, as the factors of itself.
        factors[layer - 1] = step * direction.T, np.eye(direction.shape[1])
        moved.append(network.outputs(X[:5], factors)[:, 1])
    expected = (moved[0] - moved[1]) / 2e-6
    np.testing.assert_allclose(J @ direction.ravel(), expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("C", [1, 2])
def test_all_trainers_take_a_network_without_normalisation(C):
    network = printed(ShiftedReLU(0.5, relative=False), n_outputs=C, width=400)
    y = RNG.standard_normal((24, C))
    for trainer in (
        LastLayerGaussNewton(network.last_layer(X), y).run(),
        AllLayersGaussNewton(network, X, y).run(),
    ):
        assert trainer.converged
        np.testing.assert_allclose(network.outputs(X, trainer.factors), y, atol=1e-6)
    descent = LowRankGradientDescent(network, step_size="auto", rank_budget=np.inf)
    descent.run(X, y, max_steps=5)
    factors = [W.factors for W in descent.weights]
    np.testing.assert_allclose(network.outputs(X, factors), descent.outputs(X), atol=1e-10)
    assert descent.history[-1].loss < descent.history[0].loss


def test_gradient_descent_keeps_the_unit_of_thresholds():
    drawn = WideNetwork(8, width=300, rng=0)
    network = WideNetwork.from_weights(drawn.weights, drawn.readout, weight_std=0.02)
    trainer = LowRankGradientDescent(network, step_size=1.0, rank_budget=np.inf)
    np.testing.assert_allclose(trainer.outputs(X), network.outputs(X), rtol=1e-12)
    assert not np.allclose(network.outputs(X), drawn.outputs(X))


# ---- what breaks
def warned(function, *arguments):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        function(*arguments)
    return [w for w in caught if issubclass(w.category, NetworkWarning)]


def test_a_network_that_dies_is_warned_of_by_its_layer():
    network = printed(SECTION_2)
    for function in (network.features, network.last_layer, network.outputs, network.jacobian):
        (warning, *_) = warned(function, X)
        assert str(warning.message).startswith(
            "Layer 2 of the network is dead: no neuron fires at 24 of the 24 data points"
        )
        assert warning.filename == __file__
    # |h_1| = .08 makes the 2.21 standard deviations of the threshold 28: nothing fires.
    assert not quietly(network.outputs, X).any()


def test_definition_f3_dies_in_layer_3_at_the_latest():
    network = printed(DEFINITION_F3, depth=4, width=1024)
    numbers = {str(w.message).split()[1] for w in warned(network.outputs, X)}
    assert numbers & {"2", "3"}
    assert not quietly(network.outputs, X).any()


def test_the_corrected_networks_are_not_warned_of():
    for network in (
        printed(LEMMA_G6, width=1024),
        printed(ShiftedReLU(B, relative=True), width=1024),
        WideNetwork(8, width=512, depth=4, activation=SECTION_2, rng=0),
    ):
        assert not warned(network.outputs, X)
    assert not warned(printed(SECTION_2).outputs, np.zeros((3, 8)))  # rows of zeros are no news


def test_a_trainer_of_a_dead_layer_says_so():
    layer = quietly(printed(SECTION_2, depth=2, width=2048).last_layer, X)
    with pytest.warns(TrainingWarning, match=r"^No neuron fires at data point"):
        LastLayerGaussNewton(layer, np.ones(24), min_active=0).step()


def test_a_fixed_threshold_spreads_norms_and_a_relative_one_does_not():
    # Acceptance fact: std / mean of |h_3| is above .7 for 8 seeds (1.14 and more seen), against
    # .40 at most with a threshold that follows the norm.
    rows = reference.sphere(32, 16, np.random.default_rng(3))
    for relative, bound in ((False, "above"), (True, "below")):
        network = WideNetwork(
            16, width=2048, depth=3, activation=ShiftedReLU(B, relative), normalise=False, rng=5
        )
        norms = np.linalg.norm(network._forward(rows, 1).response, axis=1)
        spread = norms.std() / norms.mean()
        assert spread > 0.7 if bound == "above" else spread < 0.6


# ---- points of one direction
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_one_input_without_a_constant_is_named_as_the_cause(dtype):
    x = np.linspace(-1, 1, 40, dtype=dtype)[:, None]
    y = np.sin(3 * x[:, 0])
    network = WideNetwork(1, width=1024, rng=0, dtype=dtype)
    np.testing.assert_allclose(network.outputs(5 * x), network.outputs(x), atol=1e-4)
    trainers = (
        LastLayerGaussNewton(network.last_layer(x), y),
        AllLayersGaussNewton(network, x, y),
    )
    for trainer in trainers:
        quietly(trainer.run)
        assert "data points are multiples of those at others" in trainer.message
        assert "append a constant column to X" in trainer.message
        assert "Equal data points" not in trainer.message
    with_constant = np.column_stack([x, np.ones_like(x)])
    network = WideNetwork(2, width=1024, rng=0, dtype=dtype)
    cured = quietly(LastLayerGaussNewton(network.last_layer(with_constant), y).run)
    assert cured.relative_residual < 1e-2 * trainers[0].relative_residual


# ---- [QSY23], Definition 1.3
@pytest.mark.parametrize("n_outputs", [1, 2])
def test_pairs_of_equal_signs_do_not_cancel(n_outputs):
    networks = {
        pairs: PairedNetwork(8, width=512, n_outputs=n_outputs, pairs=pairs, rng=3)
        for pairs in ("opposite", "equal")
    }
    opposite, equal = networks["opposite"], networks["equal"]
    np.testing.assert_array_equal(equal.weights, opposite.weights)
    np.testing.assert_array_equal(equal.signs[:256], opposite.signs[:256])
    np.testing.assert_array_equal(equal.signs[256:], equal.signs[:256])
    assert np.abs(opposite.outputs(X)).max() < 1e-12
    fired = np.maximum(X @ equal.weights.T - equal.shift, 0)
    expected = equal.scale / np.sqrt(512) * fired @ equal.signs
    np.testing.assert_allclose(equal.outputs(X), expected, rtol=1e-12, atol=1e-12)
    assert np.abs(equal.outputs(X)).max() > 0.1


def test_equal_pairs_stay_equal_whatever_is_learned():
    trainer = HalfSpaceSGD(PairedNetwork(8, width=512, pairs="equal", rng=3), rng=0)
    trainer.run(X, RNG.standard_normal(24), n_epochs=5)
    np.testing.assert_allclose(trainer.weights[:256], trainer.weights[256:], atol=1e-12)
    with pytest.raises(ValueError, match=r"^pairs must be 'opposite' or 'equal'"):
        PairedNetwork(8, pairs="printed")


# ---- [AS22]
@pytest.mark.parametrize("sketch", ["srht", "gaussian", "fjlt"])
@pytest.mark.parametrize("outer_size", [None, 16, 24])
def test_printed_variances_are_larger_by_the_roots_of_the_sizes(sketch, outer_size):
    options = {"width": 200, "inner_size": 4, "outer_size": outer_size, "sketch": sketch, "rng": 6}
    right, as_printed = (FactoredNetwork(8, printed=p, **options) for p in (False, True))
    np.testing.assert_allclose(as_printed.inner_matrix(), 4**0.25 * right.inner_matrix())
    factor = 1.0 if outer_size is None else outer_size**0.25
    np.testing.assert_allclose(as_printed.outer_matrix(), factor * right.outer_matrix())
    np.testing.assert_allclose(as_printed.features(X), X @ as_printed.inner_matrix().T, atol=1e-12)
    Z = X @ as_printed.inner_matrix().T @ as_printed.weights.T @ as_printed.outer_matrix().T
    expected = np.maximum(Z, 0) @ as_printed.readout.T / np.sqrt(200)
    np.testing.assert_allclose(as_printed.outputs(X), expected, rtol=1e-9, atol=1e-10)


def test_the_outer_factor_may_be_one_transform():
    network = FactoredNetwork(8, width=256, inner_size=8, outer_size=64, sketch="fjlt", rng=1)
    A = network.outer_matrix()
    np.testing.assert_allclose(np.abs(A), 1 / 8, atol=1e-12)  # k^-1/2
    np.testing.assert_allclose(A.T @ A, 256 / 64 * np.eye(64), atol=1e-10)


def test_gaussian_factors_are_of_any_size():
    network = FactoredNetwork(5, width=64, inner_size=400, outer_size=90, sketch="gaussian", rng=1)
    assert network.inner_matrix().shape == (400, 5)
    C = network.inner_matrix()
    # Entries of C^T C have a standard deviation of sqrt(2 / l) at most: 6 of these are 1e-7 likely.
    assert np.abs(C.T @ C - np.eye(5)).max() < 6 * np.sqrt(2 / 400)
    assert network.outputs(X[:, :5]).shape == (24, 1)


def test_a_transform_reaches_its_order_and_is_then_an_isometry():
    network = FactoredNetwork(11, width=64, inner_size=12, rng=1)
    C = network.inner_matrix()
    np.testing.assert_allclose(C.T @ C, np.eye(11), atol=1e-12)
    with pytest.raises(ValueError, match=r"^inner_size must be at most n_features=11, or the next"):
        FactoredNetwork(11, width=64, inner_size=13)
