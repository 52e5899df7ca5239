"""Nothing about a fit depends on threads, sizes or aliasing; bad arguments are refused by name."""

import pickle

import numpy as np
import pytest
import reference_network as reference
from layers import OUTPUTS, change, fit, problem, quietly

from subquad.lowrank import LowRankMaintenance
from subquad.networks import LastLayer
from subquad.training import LastLayerGaussNewton


# invariances --------------------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "options",
    [
        {"n": 70, "m": 300},
        {"n": 33, "m": 331, "n_outputs": 3, "readout": "partition"},
        {"n": 33, "m": 301, "n_outputs": 2, "readout": "dense"},
        {"n": 33, "m": 301, "readout": "real"},
    ],
    ids=["one", "partition", "dense", "real"],
)
@pytest.mark.parametrize("regularization", [0.0, 1.0])
def test_result_does_not_depend_on_n_threads(dtype, options, regularization):
    layer, _, y = problem(20, **options)
    layer = LastLayer(
        layer.features.astype(dtype), layer.preactivations, layer.readout, layer.activation
    )

    def result(n_threads):
        trainer = LastLayerGaussNewton(
            layer, y.astype(dtype), regularization=regularization, n_threads=n_threads
        )
        for _ in range(3):
            quietly(trainer.step)
        return trainer

    one = result(1)
    for n_threads in (2, 3, 8, -1):
        other = result(n_threads)
        np.testing.assert_array_equal(other.factors[0], one.factors[0])
        np.testing.assert_array_equal(other.outputs, one.outputs)
        assert [r.residual_norm for r in other.history] == [r.residual_norm for r in one.history]


@pytest.mark.parametrize("shape", [(1, 40), (2, 33), (63, 128), (64, 129), (65, 200), (130, 65)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_no_size_is_special(shape, dtype):
    # Words of 64 points, vectors of 16: sizes at, below and above the borders, n > m included.
    n, m = shape
    layer, dense, y = problem(21, n=n, m=m, m_in=9, shift=0.0)
    layer = LastLayer(
        layer.features.astype(dtype), layer.preactivations, layer.readout, layer.activation
    )
    trainer = quietly(LastLayerGaussNewton, layer, y.astype(dtype), damping=1.0, min_active=0)
    trainer.step()
    J = dense.jacobian(dense.W)
    g = np.linalg.solve(J @ J.T + np.eye(n), (dense.outputs(dense.W) - y).ravel())
    expected = -(J.T @ g).reshape(dense.W.shape)
    tolerance = 1e-9 if dtype == np.float64 else 1e-4
    np.testing.assert_allclose(change(trainer), expected, atol=tolerance * np.abs(expected).max())
    norm = np.linalg.norm(dense.outputs(dense.W + expected) - y)
    scale = np.linalg.norm(y)
    np.testing.assert_allclose(trainer.history[0].residual_norm, norm, atol=10 * tolerance * scale)


@pytest.mark.parametrize("seed", range(3))
def test_float32_residual_is_that_of_the_returned_factors(seed):
    # As many data points as neurons: 20 to 30 steps, each with its rounding.
    layer, dense, y = problem(seed, n=120, m=120, m_in=6, shift=0.0)
    layer = LastLayer(
        layer.features.astype(np.float32), layer.preactivations, layer.readout, layer.activation
    )
    trainer = fit(layer, y)
    A, V = (factor.astype(float) for factor in trainer.factors)
    Z = layer.preactivations.astype(float) + (layer.features.astype(float) @ V.T) @ A
    outputs = reference.activate(Z, layer.thresholds, dense.scale) @ dense.readout.T
    start = np.linalg.norm(layer.outputs() - y)
    assert abs(np.linalg.norm(outputs - y) - trainer.residual_norm) <= 1e-5 * start


def test_vector_and_column_targets_are_the_same():
    layer, _, y = problem(22)
    column, vector = fit(layer, y), fit(layer, y[:, 0])
    np.testing.assert_array_equal(column.outputs, vector.outputs)
    assert vector.outputs.shape == (24, 1)


def test_arguments_are_neither_modified_nor_kept():
    layer, _, y = problem(23)
    weights = np.linspace(0.5, 2.0, 24)
    expected = LastLayerGaussNewton(layer, y.copy(), sample_weight=weights.copy()).run()
    arrays = [layer.features, layer.preactivations, layer.readout, layer.thresholds, y, weights]
    copies = [array.copy() for array in arrays]
    for array in arrays:
        array.flags.writeable = False
    trainer = LastLayerGaussNewton(layer, y, sample_weight=weights)
    trainer.step()
    for array, copy in zip(arrays, copies, strict=True):
        np.testing.assert_array_equal(array, copy)
    y.flags.writeable = True
    y[...] = 0.0
    trainer.run()
    np.testing.assert_array_equal(trainer.outputs, expected.outputs)


@pytest.mark.parametrize(("readout", "n_outputs"), OUTPUTS)
def test_factors_are_the_callers_own(readout, n_outputs):
    layer, _, y = problem(23, readout=readout, n_outputs=n_outputs)
    expected = LastLayerGaussNewton(layer, y).run()
    trainer = LastLayerGaussNewton(layer, y)
    trainer.step()
    trainer.factors[0][...] = 0.0
    trainer.outputs[...] = 0.0
    trainer.run()
    np.testing.assert_array_equal(trainer.outputs, expected.outputs)
    np.testing.assert_array_equal(trainer.factors[0], expected.factors[0])


def test_pickled_trainer_goes_on_where_it_was():
    layer, _, y = problem(24)
    trainer = LastLayerGaussNewton(layer, y)
    trainer.step()
    copy = pickle.loads(pickle.dumps(trainer))
    trainer.run()
    copy.run()
    np.testing.assert_array_equal(copy.factors[0], trainer.factors[0])
    np.testing.assert_array_equal(copy.outputs, trainer.outputs)
    assert [r.residual_norm for r in copy.history] == [r.residual_norm for r in trainer.history]


# edges --------------------------------------------------------------------------------------------
def test_targets_already_met_take_no_step():
    layer, _, _ = problem(25)
    trainer = LastLayerGaussNewton(layer, layer.outputs()).run()
    assert trainer.converged
    assert trainer.history == []
    assert trainer.residual_norm <= 1e-12 * np.linalg.norm(trainer.outputs)
    np.testing.assert_array_equal(change(trainer), 0.0)


@pytest.mark.parametrize("factor", [1e-4, 1e6])
def test_size_of_the_targets_does_not_matter(factor):
    layer, _, y = problem(26, m=400)
    trainer = LastLayerGaussNewton(layer, factor * y, centred=True).run()
    assert trainer.converged
    assert len(trainer.history) <= 12


def test_one_sample_is_fitted():
    layer, _, y = problem(27, n=1)
    trainer = LastLayerGaussNewton(layer, y).run()
    assert trainer.converged
    np.testing.assert_allclose(trainer.outputs, y, rtol=1e-8)


@pytest.mark.parametrize("max_steps", [1, 3])
def test_max_steps_is_a_bound(max_steps):
    layer, _, y = problem(28, n=60, m=100, m_in=4)
    assert len(fit(layer, y, max_steps=max_steps).history) <= max_steps


def bad_targets():
    y = np.ones(24)
    nan, infinite = y.copy(), y.copy()
    nan[3], infinite[4] = np.nan, np.inf
    return [
        (np.ones(23), ValueError, r"y must have shape .*24.*; got \(23,\)"),
        (np.ones((24, 2)), ValueError, r"y must have shape .*; got \(24, 2\)"),
        (np.ones((1, 24)), ValueError, r"y must have shape .*; got \(1, 24\)"),
        (np.ones((24, 1, 1)), ValueError, r"y must have shape .*; got \(24, 1, 1\)"),
        (nan, ValueError, "y must be finite"),
        (infinite, ValueError, "y must be finite"),
        (np.ones(24, dtype=int), TypeError, "y must be a float32 or float64 array; got int64"),
        (np.ones(24, dtype=object), TypeError, "y must be a float32 or float64 array; got object"),
    ]


@pytest.mark.parametrize(("y", "error", "message"), bad_targets())
def test_bad_targets_are_refused_by_name(y, error, message):
    layer, _, _ = problem(29)
    with pytest.raises(error, match=message):
        LastLayerGaussNewton(layer, y)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"regularization": -1.0}, ValueError, "regularization must be at least 0"),
        ({"regularization": "cv"}, ValueError, "regularization must be .*loo.*; got 'cv'"),
        ({"regularization": np.nan}, ValueError, "regularization must be finite"),
        ({"damping": -1.0}, ValueError, "damping must be at least 0"),
        ({"tol": -1e-3}, ValueError, "tol must be"),
        ({"tol": np.inf}, ValueError, "tol must be finite"),
        ({"max_steps": -1}, ValueError, "max_steps must be at least 0; got -1"),
        ({"max_steps": 2.5}, TypeError, "max_steps must be an integer; got 2.5"),
        ({"sample_weight": np.ones(23)}, ValueError, r"sample_weight must have shape \(24,\)"),
        ({"sample_weight": -np.ones(24)}, ValueError, "sample_weight must be"),
        ({"sample_weight": np.zeros(24)}, ValueError, "sample_weight must"),
        ({"sample_weight": np.full(24, np.nan)}, ValueError, "sample_weight must be finite"),
        ({"n_threads": 0}, ValueError, "n_threads must"),
        ({"callback": 3}, TypeError, "callback must be"),
        ({"maintenance": np.eye(3)}, TypeError, "maintenance must be"),
        (
            {"maintenance": LowRankMaintenance(np.eye(5))},
            ValueError,
            r"maintenance must have shape \(360, 12\); got \(5, 5\)",
        ),
    ],
)
def test_bad_options_are_refused_by_name(options, error, message):
    layer, _, y = problem(29)
    with pytest.raises(error, match=message):
        LastLayerGaussNewton(layer, y, **options)


def test_layer_must_be_a_layer():
    with pytest.raises(TypeError, match="layer must be a LastLayer; got ndarray"):
        LastLayerGaussNewton(np.ones((3, 3)), np.ones(3))


def test_what_cannot_fit_is_refused_before_it_is_allocated(monkeypatch):
    layer, _, y = problem(29)
    monkeypatch.setattr("subquad._validation.available_memory", lambda: 10_000)
    with pytest.raises(MemoryError, match=r"must fit in memory; needs .* bytes"):
        LastLayerGaussNewton(layer, y)
