"""The paired network as drawn."""

import math

import numpy as np
import pytest
import reference_half_space_sgd as reference

from subquad.networks import PairedNetwork
from subquad.weights import GaussianWeights


@pytest.mark.parametrize("n_outputs", [1, 4])
def test_neurons_come_in_pairs_that_cancel(dtype, rng, n_outputs):
    net = PairedNetwork(5, width=300, n_outputs=n_outputs, rng=0, dtype=dtype)
    np.testing.assert_array_equal(net.weights[:150], net.weights[150:])
    np.testing.assert_array_equal(net.signs[:150], -net.signs[150:])
    assert set(np.unique(net.signs)) == {-1, 1}
    assert net.weights.dtype == net.dtype == dtype
    assert (net.width, net.n_features, net.n_outputs) == (300, 5, n_outputs)


@pytest.mark.parametrize("n_outputs", [1, 3])
def test_outputs_follow_the_definition(rng, n_outputs):
    net = PairedNetwork(4, width=300, n_outputs=n_outputs, scale=3.0, rng=0)
    X, W = reference.sphere(40, 4, rng), rng.standard_normal((300, 4))
    expected = reference.outputs(W, 3.0 * net.signs, net.shift, X)
    np.testing.assert_allclose(net.outputs(X, W), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("d", [1, 2, 3, 9, 60])
def test_neurons_are_those_drawn_in_another_order(d):
    seed = int(np.random.default_rng(7).integers(2**64, dtype=np.uint64))
    drawn = GaussianWeights((500, d), seed, "float32").to_dense()
    rows = PairedNetwork(d, width=1000, rng=7).weights[:500]
    np.testing.assert_array_equal(rows[np.lexsort(rows.T[::-1])], drawn[np.lexsort(drawn.T[::-1])])


def test_neighbours_in_number_are_neighbours_in_space():
    rows = PairedNetwork(3, width=8192, rng=0).weights[:4096]
    steps = np.linalg.norm(np.diff(rows, axis=0), axis=1)
    assert np.median(steps) < 1.0  # 0.51; 2.2 in the order drawn


def test_shift_and_seed():
    assert PairedNetwork(3, width=512).shift == math.sqrt(0.4 * math.log(512))
    assert PairedNetwork(3, width=512, shift=0.0).firing_probability == 0.5
    a, b, c = (PairedNetwork(3, width=64, rng=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(a.weights, b.weights)
    np.testing.assert_array_equal(a.signs, b.signs)
    assert not np.array_equal(a.weights, c.weights)
    assert "width=64" in repr(a)


def test_what_is_drawn_cannot_be_written():
    net = PairedNetwork(3, width=64)
    for array in (net.weights, net.signs):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"width": 63}, ValueError, "width must be even, since neurons come in pairs; got 63"),
        ({"width": 2.5}, TypeError, "width must be an integer"),
        ({"shift": -1.0}, ValueError, "shift must be at least 0"),
        ({"shift": 9.0}, ValueError, "shift must be at most 8"),
        ({"scale": 0.0}, ValueError, "scale must be greater than 0"),
        ({"n_outputs": 0}, ValueError, "n_outputs must be at least 1"),
        ({"dtype": "int8"}, TypeError, "dtype must be float32 or float64"),
        ({"width": 2**31}, ValueError, "width must be at most"),
        ({"width": 2**30, "n_features": 2**20}, MemoryError, "Use fewer neurons"),
    ],
    ids=str,
)
def test_arguments_are_refused_by_name(options, error, message):
    with pytest.raises(error, match=message):
        PairedNetwork(**{"n_features": 3, **options})
