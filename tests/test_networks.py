"""A WideNetwork is what its definition says, and its last layer is a part of it."""

import pickle
import tracemalloc

import numpy as np
import pytest
import reference_network as reference

from subquad.activations import ReLU, ShiftedReLU, ThresholdedReLU
from subquad.networks import WideNetwork, _last_layer, _wide

TOLERANCE = {np.dtype(np.float32): 3e-6, np.dtype(np.float64): 1e-12}


def inputs(n=9, d=6, seed=0, dtype=np.float64):
    """Rows that are not of unit length."""
    return np.random.default_rng(seed).standard_normal((n, d)).astype(dtype)


def dense_weights(network):
    return [W.to_dense().astype(float) for W in network.weights]


@pytest.mark.parametrize("depth", [2, 3, 5])
@pytest.mark.parametrize(
    "activation",
    [ReLU(), ShiftedReLU(0.8), ThresholdedReLU(0.8), ShiftedReLU(0.8, relative=False)],
    ids=repr,
)
def test_outputs_follow_the_definition(depth, activation, dtype):
    X = inputs(dtype=dtype)
    network = WideNetwork(
        6, width=70, depth=depth, n_outputs=3, activation=activation, rng=1, dtype=dtype
    )
    layers = reference.forward(
        X.astype(float),
        dense_weights(network),
        activation.shift,
        activation.scale,
        jumps=isinstance(activation, ThresholdedReLU),
        relative=activation.relative,
    )
    expected = layers[-1] @ network.readout.T.astype(float)
    tolerance = 10 * depth * TOLERANCE[dtype]
    np.testing.assert_allclose(network.features(X), layers[-2], rtol=0, atol=tolerance)
    np.testing.assert_allclose(network.outputs(X), expected, rtol=0, atol=70 * tolerance)
    assert network.features(X).dtype == network.outputs(X).dtype == dtype


def test_weights_have_the_shapes_and_the_law_of_the_definition():
    width, d = 600, 6
    network = WideNetwork(d, width=width, depth=3, rng=2)
    shapes = [W.shape for W in network.weights]
    assert shapes == [(width, d), (width, width), (width, width)]
    for W in dense_weights(network):
        z = W.ravel() * np.sqrt(width / 2)
        # Mean, variance and fourth moment of unit normals at 5 standard errors: 9 comparisons,
        # false alarm 5e-6.
        assert abs(z.mean()) < 5 / np.sqrt(z.size)
        assert abs(np.square(z).mean() - 1) < 5 * np.sqrt(2 / z.size)
        assert abs((z**4).mean() - 3) < 5 * np.sqrt(96 / z.size)


def test_partitioned_readout_gives_every_output_its_own_neurons():
    network = WideNetwork(6, width=103, n_outputs=4, rng=3)
    readout = network.readout
    assert readout.shape == (4, 103)
    np.testing.assert_array_equal(np.count_nonzero(readout, axis=0), 1)  # each neuron feeds one
    assert set(np.unique(readout)) == {-1.0, 0.0, 1.0}
    for row in readout:
        neurons = np.flatnonzero(row)
        np.testing.assert_array_equal(neurons, np.arange(neurons[0], neurons[-1] + 1))
        assert 25 <= len(neurons) <= 26


def test_dense_readout_is_a_matrix_of_signs():
    readout = WideNetwork(6, width=5000, n_outputs=2, readout="dense", rng=4).readout
    assert readout.shape == (2, 5000)
    assert set(np.unique(readout)) == {-1.0, 1.0}
    # Sums of 5000 signs, and of their products: 5 standard errors, 3 sums, false alarm 2e-6.
    assert np.abs(readout.sum(axis=1)).max() < 5 * np.sqrt(5000)
    assert abs(readout[0] @ readout[1]) < 5 * np.sqrt(5000)


@pytest.mark.parametrize("shift", [0.0, 1.0, 1.5])
def test_neurons_fire_with_the_announced_probability(shift):
    width, n = 4096, 16
    activation = ShiftedReLU(shift)
    network = WideNetwork(32, width=width, activation=activation, rng=5)
    layer = network.last_layer(reference.sphere(n, 32, np.random.default_rng(5)))
    active = (layer.preactivations > layer.thresholds[:, None]).sum(axis=1)
    k = activation.expected_active(width)
    # Binomial(4096, Q) for each point given its features: 5 standard errors, 16 points, 1e-5.
    assert np.abs(active - k).max() < 5 * np.sqrt(k * (1 - k / width))


def test_seed_determines_the_network():
    X = inputs()
    first = WideNetwork(6, width=50, n_outputs=2, rng=7)
    second = WideNetwork(6, width=50, n_outputs=2, rng=7)
    generator = WideNetwork(6, width=50, n_outputs=2, rng=np.random.default_rng(7))
    other = WideNetwork(6, width=50, n_outputs=2, rng=8)
    np.testing.assert_array_equal(first.outputs(X), second.outputs(X))
    np.testing.assert_array_equal(first.outputs(X), generator.outputs(X))
    assert np.abs(first.outputs(X) - other.outputs(X)).max() > 0


def test_global_random_state_is_not_used():
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    WideNetwork(6, width=50, rng=None).outputs(inputs())
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_pickle_keeps_the_network():
    X = inputs()
    network = WideNetwork(6, width=50, depth=3, n_outputs=2, rng=9)
    copy = pickle.loads(pickle.dumps(network))
    np.testing.assert_array_equal(copy.outputs(X), network.outputs(X))
    np.testing.assert_array_equal(copy.last_layer(X).outputs(), network.last_layer(X).outputs())


def test_inputs_are_neither_modified_nor_kept():
    X = inputs()
    network = WideNetwork(6, width=50, rng=10)
    expected = network.outputs(X)
    frozen = X.copy()
    frozen.flags.writeable = False
    np.testing.assert_array_equal(network.outputs(frozen), expected)
    layer = network.last_layer(X)
    before = layer.outputs().copy()
    X[...] = 0.0
    np.testing.assert_array_equal(layer.outputs(), before)


def test_outputs_of_one_point_do_not_depend_on_the_others():
    X = inputs(n=20)
    network = WideNetwork(6, width=80, depth=3, activation=ShiftedReLU(1.0), rng=11)
    together = network.outputs(X)
    for i in range(0, 20, 7):
        np.testing.assert_allclose(network.outputs(X[i : i + 1]), together[i : i + 1], atol=1e-12)


@pytest.mark.parametrize("factor", [1e-8, 7.0, 1e8])
def test_length_of_an_input_scales_nothing_behind_the_first_layer(factor):
    # Relative thresholds and unit layers: the features are those of x / ||x||.
    X = inputs()
    network = WideNetwork(6, width=80, depth=2, activation=ShiftedReLU(1.0), rng=12)
    np.testing.assert_allclose(network.features(factor * X), network.features(X), atol=1e-12)


def test_outputs_with_factors_are_those_of_the_changed_weights():
    X, new = inputs(seed=1), inputs(n=5, seed=2)
    rng = np.random.default_rng(13)
    network = WideNetwork(6, width=60, n_outputs=2, activation=ShiftedReLU(0.5), rng=13)
    V = network.features(X)
    A = 0.1 * rng.standard_normal((9, 60))
    weights = dense_weights(network)
    weights[-1] = weights[-1] + A.T @ V
    activation = ShiftedReLU(0.5)
    expected = reference.forward(new, weights, 0.5, activation.scale)[-1] @ network.readout.T
    np.testing.assert_allclose(network.outputs(new, (A, V)), expected, rtol=0, atol=1e-11)
    found = network.last_layer(new).outputs((A, V))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-11)
    changed = network.outputs(new, (A, V)) - network.outputs(new)
    assert np.abs(changed).max() > 1e-3  # the factors are really used


def test_last_layer_holds_what_the_network_computes(dtype):
    X = inputs(dtype=dtype)
    network = WideNetwork(6, width=90, depth=3, n_outputs=3, rng=14, dtype=dtype)
    layer = network.last_layer(X)
    assert (layer.n, layer.width, layer.n_outputs) == (9, 90, 3)
    np.testing.assert_array_equal(layer.features, network.features(X))
    np.testing.assert_array_equal(layer.readout, network.readout)
    Z0 = layer.features.astype(float) @ dense_weights(network)[-1].T
    np.testing.assert_allclose(layer.preactivations, Z0, rtol=0, atol=10 * TOLERANCE[dtype])
    np.testing.assert_allclose(
        layer.outputs(), network.outputs(X), rtol=0, atol=900 * TOLERANCE[dtype]
    )
    assert layer.features.dtype == layer.preactivations.dtype == dtype


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"depth": 1}, ValueError, "depth must be at least 2; got 1"),
        ({"width": 0}, ValueError, "width must be at least 1; got 0"),
        ({"width": 8.5}, TypeError, "width must be an integer; got 8.5"),
        ({"n_outputs": 0}, ValueError, "n_outputs must be at least 1; got 0"),
        (
            {"readout": "identity"},
            ValueError,
            "readout must be .*partition.*dense.*; got 'identity'",
        ),
        ({"activation": "relu"}, TypeError, "activation must be .*; got"),
        ({"rng": "seed"}, TypeError, "rng must be"),
        ({"rng": -1}, ValueError, "rng must be"),
        ({"dtype": np.dtype(np.int64)}, TypeError, "dtype must be float32 or float64; got dtype"),
        ({"dtype": np.int64}, TypeError, "dtype must be float32 or float64; got .*int64"),
        ({"dtype": np.float16}, TypeError, "dtype must be float32 or float64; got .*float16"),
        ({"width": 3, "n_outputs": 4}, ValueError, "width must"),
    ],
)
def test_bad_network_arguments_are_refused_by_name(arguments, error, message):
    with pytest.raises(error, match=message):
        WideNetwork(6, **({"width": 20, "rng": 0} | arguments))


@pytest.mark.parametrize("n_features", [0, -3])
def test_number_of_features_must_be_positive(n_features):
    with pytest.raises(ValueError, match=f"n_features must be at least 1; got {n_features}"):
        WideNetwork(n_features, width=20)


def bad_inputs():
    nan = inputs()
    nan[2, 3] = np.nan
    infinite = inputs()
    infinite[0, 0] = np.inf
    return [
        (inputs(d=5), ValueError, r"X must have shape \(any, 6\); got \(9, 5\)"),
        (inputs()[0], ValueError, r"X must have shape \(any, 6\); got \(6,\)"),
        (inputs()[:0], ValueError, "X must have at least 1 row"),
        (nan, ValueError, r"X must be finite.* \(2, 3\)"),
        (infinite, ValueError, r"X must be finite.* \(0, 0\)"),
        (np.ones((4, 6), dtype=int), TypeError, "X must be a float32 or float64 array; got int64"),
        (np.ones((4, 6), dtype=object), TypeError, "X must be a float32 or float64 array; got obj"),
        (
            np.ones((4, 6), dtype=complex),
            TypeError,
            "X must be a float32 or float64 array; got com",
        ),
    ]


@pytest.mark.parametrize(("X", "error", "message"), bad_inputs())
@pytest.mark.parametrize("method", ["outputs", "features", "last_layer"])
def test_bad_inputs_are_refused_by_name(method, X, error, message):
    network = WideNetwork(6, width=20, rng=0)
    with pytest.raises(error, match=message):
        getattr(network, method)(X)


def test_zero_input_has_zero_outputs():
    # No direction, hence no features: nothing may become NaN.
    X = inputs()
    X[4] = 0.0
    network = WideNetwork(6, width=50, activation=ShiftedReLU(0.5), rng=15)
    assert np.all(np.isfinite(network.features(X)))
    assert np.all(network.outputs(X)[4] == 0.0)


@pytest.mark.parametrize("weights", ["dense", "int8", "implicit"])
def test_points_taken_in_parts_give_the_same_layer(weights, monkeypatch):
    options = {"width": 70, "depth": 3, "weights": weights, "rng": 16, "dtype": np.float32}
    network = WideNetwork(6, activation=ShiftedReLU(1.0), **options)
    X = np.random.default_rng(17).standard_normal((40, 6))
    whole = network.last_layer(X)
    factors = whole.preactivations[:5], whole.features[:5]
    outputs, gram = whole.outputs(factors), whole.gram()
    monkeypatch.setattr(_wide, "_FEWEST_POINTS", 7)
    monkeypatch.setattr(_wide, "_ENTRIES_PER_LIST", 1)
    monkeypatch.setattr(_last_layer, "_ENTRIES_PER_BLOCK", 9 * 70)
    monkeypatch.setattr(_last_layer, "_ENTRIES_PER_CAST", 13 * 40)
    parts = network.last_layer(X)
    np.testing.assert_array_equal(parts.features, whole.features)
    np.testing.assert_array_equal(parts.preactivations, whole.preactivations)
    np.testing.assert_allclose(parts.outputs(factors), outputs, rtol=0, atol=1e-4)
    np.testing.assert_allclose(parts.gram(), gram, rtol=0, atol=1e-13)


def test_a_last_layer_takes_bounded_memory_besides_its_arrays():
    network = WideNetwork(2, width=512, rng=18, dtype=np.float32)
    X = np.random.default_rng(19).standard_normal((60_000, 2))
    tracemalloc.start()
    try:
        layer = network.last_layer(X)
        kept = layer.features.nbytes + layer.preactivations.nbytes
        assert tracemalloc.get_traced_memory()[1] < kept + 100e6
        layer.outputs()
        assert tracemalloc.get_traced_memory()[1] < kept + 100e6
    finally:
        tracemalloc.stop()
