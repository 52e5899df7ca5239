"""A LastLayer of anybody's arrays is what its definition says."""

import pickle

import numpy as np
import pytest
import reference_network as reference

from subquad.activations import ReLU, ShiftedReLU, ThresholdedReLU
from subquad.networks import LastLayer

TOLERANCE = {np.dtype(np.float32): 3e-6, np.dtype(np.float64): 1e-12}


def layer_arrays(n=9, d=6, m=40, seed=0, dtype=np.float64):
    """V (n, d), Z0 (n, m) and a (m,) that come from no network of ours."""
    rng = np.random.default_rng(seed)
    V, Z0 = rng.standard_normal((n, d)), rng.standard_normal((n, m))
    return V.astype(dtype), Z0.astype(dtype), rng.choice([-1.0, 1.0], m).astype(dtype)


def test_layer_of_plain_arrays_follows_the_definition(dtype):
    V, Z0, a = layer_arrays(dtype=dtype)
    activation = ShiftedReLU(0.7)
    layer = LastLayer(V, Z0, a, activation, weight_std=0.3)
    thresholds = 0.3 * 0.7 * np.linalg.norm(V.astype(float), axis=1)
    np.testing.assert_allclose(layer.thresholds, thresholds, rtol=10 * TOLERANCE[dtype])
    expected = reference.activate(Z0.astype(float), thresholds, activation.scale) @ a.astype(float)
    np.testing.assert_allclose(
        layer.outputs(), expected[:, None], rtol=0, atol=400 * TOLERANCE[dtype]
    )
    assert (layer.n, layer.width, layer.n_outputs) == (9, 40, 1)


def test_default_weight_deviation_is_that_of_the_definition():
    V, Z0, a = layer_arrays()
    layer = LastLayer(V, Z0, a, ShiftedReLU(1.2))
    expected = np.sqrt(2 / 40) * 1.2 * np.linalg.norm(V, axis=1)
    np.testing.assert_allclose(layer.thresholds, expected, rtol=1e-12)


def test_given_thresholds_are_used():
    V, Z0, a = layer_arrays()
    tau = np.linspace(-0.5, 0.5, 9)
    activation = ThresholdedReLU(1.0)
    layer = LastLayer(V, Z0, a, activation, thresholds=tau)
    np.testing.assert_array_equal(layer.thresholds, tau)
    expected = reference.activate(Z0, tau, activation.scale, jumps=True) @ a
    np.testing.assert_allclose(layer.outputs()[:, 0], expected, rtol=0, atol=1e-12)


def test_any_readout_is_accepted_of_plain_arrays():
    V, Z0, _ = layer_arrays()
    readout = np.random.default_rng(1).standard_normal((3, 40))
    layer = LastLayer(V, Z0, readout, ReLU())
    expected = np.maximum(Z0, 0.0) @ readout.T
    assert layer.n_outputs == 3
    np.testing.assert_allclose(layer.outputs(), expected, rtol=0, atol=1e-11)


def test_layer_outputs_with_factors_move_the_preactivations():
    rng = np.random.default_rng(2)
    V, Z0, a = layer_arrays()
    V_train, A = rng.standard_normal((4, 6)), rng.standard_normal((4, 40))
    layer = LastLayer(V, Z0, a, ReLU())
    expected = np.maximum(Z0 + (V @ V_train.T) @ A, 0.0) @ a
    np.testing.assert_allclose(layer.outputs((A, V_train))[:, 0], expected, rtol=0, atol=1e-11)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"features": np.ones((8, 6))}, ValueError, r"must have shape \(.*\); got"),
        (
            {"preactivations": np.ones((9, 40), dtype=int)},
            TypeError,
            "preactivations must be a flo",
        ),
        ({"features": np.full((9, 6), np.nan)}, ValueError, "features must be finite"),
        ({"preactivations": np.full((9, 40), np.inf)}, ValueError, "preactivations must be finite"),
        ({"readout": np.ones(39)}, ValueError, r"readout must have shape .*40.*; got \(39,\)"),
        (
            {"readout": np.ones((2, 39))},
            ValueError,
            r"readout must have shape .*40.*; got \(2, 39\)",
        ),
        ({"readout": np.full(40, np.nan)}, ValueError, "readout must be finite"),
        ({"activation": np.tanh}, TypeError, "activation must be"),
        ({"weight_std": -1.0}, ValueError, "weight_std must be"),
        ({"thresholds": np.ones(8)}, ValueError, r"thresholds must have shape \(9,\); got \(8,\)"),
        ({"thresholds": np.full(9, np.nan)}, ValueError, "thresholds must be finite"),
    ],
)
def test_bad_layer_arguments_are_refused_by_name(change, error, message):
    V, Z0, a = layer_arrays()
    arguments = {"features": V, "preactivations": Z0, "readout": a, "activation": ReLU()}
    with pytest.raises(error, match=message):
        LastLayer(**(arguments | change))


def test_bad_factors_are_refused_by_name():
    V, Z0, a = layer_arrays()
    layer = LastLayer(V, Z0, a, ReLU())
    for factors in [
        (np.ones((4, 39)), np.ones((4, 6))),
        (np.ones((4, 40)), np.ones((3, 6))),
        (np.ones((4, 40)), np.ones((4, 5))),
    ]:
        with pytest.raises(ValueError, match="must have shape"):
            layer.outputs(factors)


def test_layer_neither_modifies_nor_is_changed_by_the_arrays_of_its_user():
    V, Z0, a = layer_arrays()
    for array in (V, Z0, a):
        array.flags.writeable = False
    layer = LastLayer(V, Z0, a, ShiftedReLU(0.3))
    layer.outputs()
    np.testing.assert_array_equal(Z0, layer_arrays()[1])


def test_pickle_keeps_the_layer():
    layer = LastLayer(*layer_arrays(), ShiftedReLU(0.3))
    copy = pickle.loads(pickle.dumps(layer))
    np.testing.assert_array_equal(copy.outputs(), layer.outputs())
