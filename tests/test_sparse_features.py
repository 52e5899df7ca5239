"""A last layer of which few neurons fire keeps its inputs as a list of them, and nothing else."""

import pickle

import numpy as np
import pytest
import scipy.sparse
from layers import quietly

import subquad.networks._wide
import subquad.training.last_layer._separable as separable
from subquad.activations import ShiftedReLU
from subquad.networks import WideNetwork
from subquad.training import LastLayerGaussNewton

POINTS = np.random.default_rng(0).standard_normal((40, 5))
Y = np.random.default_rng(1).standard_normal(40)
BOTH = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def layers(monkeypatch, dtype, points=POINTS, **options):
    """The same last layer with its inputs listed, and dense."""
    options = {"width": 4608, "activation": ShiftedReLU(2.0), "rng": 3, **options}
    options.setdefault("weights", "implicit")
    network = WideNetwork(5, dtype=dtype, **options)
    listed = network.last_layer(points)
    with monkeypatch.context() as patch:
        patch.setattr(subquad.networks._wide, "SPARSE_GRAM_DENSITY", 0.0)
        dense = network.last_layer(points)
    assert scipy.sparse.issparse(listed._inputs)
    assert isinstance(dense._inputs, np.ndarray)
    return listed, dense


@BOTH
@pytest.mark.parametrize("weights", ["dense", "implicit"])
def test_the_layer_is_the_same(monkeypatch, dtype, weights):
    listed, dense = layers(monkeypatch, dtype, weights=weights, depth=3, width=2048)
    for name in ("features", "preactivations", "thresholds", "readout"):
        np.testing.assert_array_equal(getattr(listed, name), getattr(dense, name))
    assert (listed.n, listed.width, listed.dtype) == (40, 2048, dtype)
    factors = np.random.default_rng(2).standard_normal((2, 3, 2048))
    np.testing.assert_array_equal(listed.outputs(), dense.outputs())
    np.testing.assert_array_equal(
        listed.outputs((factors[0], factors[1])), dense.outputs((factors[0], factors[1]))
    )
    K = listed.gram()
    np.testing.assert_array_equal(K, K.T)
    # Sums of squares of unit rows: 2048 terms of float64, in another order.
    np.testing.assert_allclose(K, dense.gram(), rtol=0, atol=1e-13)


def test_features_are_made_once(monkeypatch):
    listed, _ = layers(monkeypatch, np.float32)
    assert listed.features is listed.features
    copy = pickle.loads(pickle.dumps(listed))
    np.testing.assert_array_equal(copy.features, listed.features)


def test_lists_of_many_points_are_joined(monkeypatch):
    whole, _ = layers(monkeypatch, np.float32)
    monkeypatch.setattr(subquad.networks._wide, "_FEWEST_POINTS", 7)
    monkeypatch.setattr(subquad.networks._wide, "_ENTRIES_PER_LIST", 1)
    parts, _ = layers(monkeypatch, np.float32)
    np.testing.assert_array_equal(parts.features, whole.features)
    np.testing.assert_array_equal(parts.preactivations, whole.preactivations)


@BOTH
@pytest.mark.parametrize("solver", ["exact", "pcg", "sketch"])
@pytest.mark.parametrize("readout", ["partition", "dense"])
def test_a_fit_is_the_same_to_rounding(monkeypatch, dtype, solver, readout):
    y = np.stack([Y, Y[::-1]], axis=1)
    listed, dense = layers(monkeypatch, dtype, n_outputs=2, readout=readout)
    tol = 1e-5
    fits = [
        quietly(LastLayerGaussNewton(layer, y, tol=tol, solver=solver).run)
        for layer in (listed, dense)
    ]
    assert all(fit.converged for fit in fits)
    # Both stop within tol of the targets, whichever way rounding sent them.
    scale = np.linalg.norm(fits[0].outputs - y) + np.linalg.norm(fits[1].outputs - y)
    assert np.linalg.norm(fits[0].outputs - fits[1].outputs) <= scale + 1e-12
    A, V = fits[0].factors
    np.testing.assert_array_equal(V, dense.features)
    moved = listed.outputs((A, V))
    assert np.linalg.norm(moved - y) <= 2 * tol * fits[0]._fit.initial_norm


@BOTH
@pytest.mark.parametrize("n_threads", [2, 3])
def test_a_fit_does_not_depend_on_n_threads(monkeypatch, dtype, n_threads):
    monkeypatch.setattr(separable, "_OPERATIONS_PER_THREAD", 1.0)
    monkeypatch.setattr("subquad._products._MULTIPLY_ADDS_PER_THREAD", 1.0)
    layer, _ = layers(monkeypatch, dtype)
    one, several = (
        quietly(LastLayerGaussNewton(layer, Y, n_threads=k).run) for k in (1, n_threads)
    )
    np.testing.assert_array_equal(several.outputs, one.outputs)
    np.testing.assert_array_equal(several.factors[0], one.factors[0])


def test_rows_are_equal_in_a_list_where_they_are_equal(monkeypatch):
    points = POINTS[[0, 1, 2, 1, 3, 0, 1]]
    for inputs in (layer._inputs for layer in layers(monkeypatch, np.float32, points)):
        S = separable.sums_of_equal_rows(inputs).toarray()
        expected = np.zeros((7, 7))
        expected[[0, 1, 2, 1, 4, 0, 1], np.arange(7)] = 1
        np.testing.assert_array_equal(S, expected)
    assert separable.sums_of_equal_rows(layers(monkeypatch, np.float32)[0]._inputs) is None


@BOTH
@pytest.mark.parametrize("readout", ["partition", "shuffled"])
def test_factors_that_are_added_up_in_parts_are_the_same(monkeypatch, dtype, readout):
    y = np.stack([Y, Y[::-1], Y**2], axis=1)
    layer, _ = layers(monkeypatch, dtype, n_outputs=3)
    if readout == "shuffled":
        layer.readout = layer.readout[:, np.random.default_rng(4).permutation(layer.width)].copy()
    whole = quietly(LastLayerGaussNewton(layer, y, tol=1e-5).run)
    monkeypatch.setattr(separable, "_ENTRIES_PER_SUM", 1)
    parts = quietly(LastLayerGaussNewton(layer, y, tol=1e-5).run)
    np.testing.assert_array_equal(parts.factors[0], whole.factors[0])
    np.testing.assert_array_equal(parts.outputs, whole.outputs)
