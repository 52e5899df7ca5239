"""LastLayerGaussNewton says what it did, when it is done, and why it is not."""

import pickle
import warnings

import numpy as np
import pytest
import reference_gauss_newton as reference
from layers import fit, problem, residual_norms
from reference_network import sphere

from subquad.activations import ReLU
from subquad.networks import LastLayer, WideNetwork
from subquad.solvers import PcgSolver, SketchSolver
from subquad.training import LastLayerGaussNewton, StepRecord, TrainingWarning


# what is reported ---------------------------------------------------------------------------------
def test_records_say_what_happened():
    layer, dense, y = problem(5)
    seen = []
    trainer = LastLayerGaussNewton(layer, y, callback=seen.append)
    assert trainer.run() is trainer
    assert seen == trainer.history
    assert all(isinstance(record, StepRecord) for record in seen)
    norms = residual_norms(trainer, layer, y)
    start = norms[0]
    D = dense.mask(dense.W)
    for number, record in enumerate(seen, start=1):
        assert record.step == number
        assert record.relative_residual == pytest.approx(record.residual_norm / start, rel=1e-9)
        assert record.ratio == pytest.approx(norms[number] / norms[number - 1], rel=1e-9)
        assert set(record.seconds) > {"total"}
        assert all(value >= 0.0 for value in record.seconds.values())
        phases = sum(value for key, value in record.seconds.items() if key != "total")
        assert phases <= record.seconds["total"] * (1 + 1e-9)
        assert record.active_fraction == pytest.approx(D.mean(), rel=1e-12)  # before the step
        assert record.min_active == D.sum(axis=1).min()
        after = dense.mask(reference.gauss_newton(dense, y, number)[1])
        assert record.flips == np.count_nonzero(after != D)
        D = after
    assert trainer.relative_residual == pytest.approx(trainer.residual_norm / start, rel=1e-9)
    assert trainer.converged is True
    assert trainer.message


def test_record_is_frozen_and_pickles():
    layer, _, y = problem(5)
    trainer = LastLayerGaussNewton(layer, y)
    record = trainer.step()
    with pytest.raises(AttributeError):
        record.step = 7
    assert pickle.loads(pickle.dumps(record)) == record


@pytest.mark.parametrize("tol", [1e-2, 1e-5, 1e-9])
def test_tolerance_ends_the_run(tol):
    layer, _, y = problem(6, n=60, m=400, m_in=10, shift=0.0)
    trainer = LastLayerGaussNewton(layer, y, tol=tol).run()
    relative = residual_norms(trainer, layer, y) / residual_norms(trainer, layer, y)[0]
    assert relative[-1] <= tol < relative[-2]
    assert trainer.converged


def test_default_tolerance_knows_the_precision():
    for dtype, tol in ((np.float32, 1e-6), (np.float64, 1e-10)):
        layer, _, y = problem(6)
        layer = LastLayer(
            layer.features.astype(dtype), layer.preactivations, layer.readout, layer.activation
        )
        trainer = LastLayerGaussNewton(layer, y.astype(dtype)).run()  # no warning
        assert trainer.converged
        assert trainer.history[-1].relative_residual <= tol < trainer.history[-2].relative_residual


def test_running_out_of_steps_is_a_warning_that_says_what_to_do():
    layer, _, y = problem(7, n=60, m=400, m_in=10, shift=0.0)
    trainer = LastLayerGaussNewton(layer, y, max_steps=2)
    with pytest.warns(TrainingWarning, match="max_steps") as caught:
        trainer.run()
    assert len(caught) == 1
    assert "2" in str(caught[0].message)
    assert len(trainer.history) == 2
    assert not trainer.converged
    assert "max_steps" in trainer.message


def test_stagnation_is_admitted_and_not_declared_early():
    # Twelve pairs of equal points with labels +-1: the least-squares value is reached, not zero.
    layer, _, _ = problem(8)
    rows = np.repeat(np.arange(12), 2)
    layer = LastLayer(
        layer.features[rows],
        layer.preactivations[rows],
        layer.readout,
        layer.activation,
    )
    y = np.tile([1.0, -1.0], 12)
    trainer = LastLayerGaussNewton(layer, y, max_steps=200)
    with pytest.warns(TrainingWarning):
        trainer.run()
    assert trainer.residual_norm == pytest.approx(np.sqrt(24.0), rel=1e-6)
    assert not trainer.converged
    assert trainer.message
    assert len(trainer.history) < 60  # it stopped by itself
    np.testing.assert_allclose(trainer.outputs, 0.0, atol=1e-3)


def test_near_duplicates_with_opposite_labels_settle_at_least_squares():
    # 1e-6 apart: plain Gauss-Newton jumps to thousands of times |r_0|.
    layer, dense, y = problem(9, n=20)
    V = np.concatenate([layer.features, layer.features[:4] + 1e-6])
    y = np.concatenate([np.sign(y), -np.sign(y[:4])])
    tau = np.full(24, dense.tau[0])
    layer = LastLayer(V, V @ dense.W.T, layer.readout, layer.activation, thresholds=tau)
    trainer = fit(layer, y)
    assert trainer.residual_norm <= np.sqrt(8.0) * 1.02
    assert max(residual_norms(trainer, layer, y)) <= residual_norms(trainer, layer, y)[0]


def test_duplicates_with_equal_labels_are_no_problem():
    layer, _, y = problem(10)
    rows = np.concatenate([np.arange(24), np.arange(6)])
    layer = LastLayer(
        layer.features[rows], layer.preactivations[rows], layer.readout, layer.activation
    )
    trainer = LastLayerGaussNewton(layer, y[rows]).run()
    assert trainer.converged
    assert len(trainer.history) <= 8


# widths and active sets ---------------------------------------------------------------------------
def test_too_few_expected_neurons_are_refused_and_few_are_warned_of():
    X, y = sphere(8, 6, np.random.default_rng(0)), np.ones(8)

    def trainer(width, n_outputs=1):
        network = WideNetwork(
            6, width=width, n_outputs=n_outputs, activation=ReLU(), rng=1, dtype=np.float64
        )
        return LastLayerGaussNewton(network.last_layer(X), np.tile(y[:, None], n_outputs))

    with pytest.raises(ValueError, match=r"width must .* 15\.0 "):
        trainer(30)  # 15 expected
    with pytest.raises(ValueError, match=r"width must .* 15\.0 "):
        trainer(90, n_outputs=3)  # 15 expected per output
    with pytest.warns(TrainingWarning, match="31"):
        trainer(62)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trainer(66)  # 33 expected


@pytest.mark.parametrize("regularization", [0.0, 1.0])
def test_layer_that_never_fires_is_reported_and_stays_as_it_is(regularization):
    layer, _, y = problem(11)
    layer = LastLayer(
        layer.features, -np.ones_like(layer.preactivations), layer.readout, layer.activation
    )
    trainer = LastLayerGaussNewton(layer, y, regularization=regularization)
    with pytest.warns(TrainingWarning, match="No neuron fires at data point 0, 1, 2,"):
        trainer.step()
    assert trainer.residual_norm == pytest.approx(np.linalg.norm(y), rel=1e-12)
    np.testing.assert_array_equal(trainer.factors[0], 0.0)


def test_samples_without_active_neurons_are_named_and_the_others_are_fitted():
    layer, _, y = problem(11)
    Z0 = layer.preactivations.copy()
    Z0[[3, 17]] = -1.0
    layer = LastLayer(layer.features, Z0, layer.readout, layer.activation)
    trainer = LastLayerGaussNewton(layer, y)
    with (
        pytest.warns(TrainingWarning, match=r"point 3, 17\b"),
        pytest.warns(TrainingWarning, match="stagnates"),
    ):
        trainer.run()
    others = np.delete(np.arange(24), [3, 17])
    np.testing.assert_array_equal(trainer.outputs[[3, 17]], 0.0)
    np.testing.assert_allclose(trainer.outputs[others], y[others], rtol=0, atol=1e-6)
    expected = np.linalg.norm(y[[3, 17]])
    assert trainer.residual_norm == pytest.approx(expected, rel=1e-9)


# By name, a solver would draw another sketch in each run, and a few of them end further away.
SOLVERS = {
    "exact": lambda: "exact",
    "pcg": lambda: PcgSolver(rng=0),
    "sketch": lambda: SketchSolver(rng=2),
}


@pytest.mark.parametrize("name", SOLVERS)
@pytest.mark.parametrize("readout", ["dense", "partition"])
def test_factors_give_the_outputs_that_are_reported(readout, name):
    # Two points on one ray, targets that no multiple of one row fits: coefficients of 1e6 and more
    # solve the equation, whose rows cancel, and float32 has nothing left of them.
    V = np.array([[1.0, 0.0, 0.0], [0.0, 0.5, 0.0], [0.0, 1.0343264, 0.0], [0.0, 0.0, 0.7]])
    network = WideNetwork(
        3, width=96, n_outputs=2, rng=0, dtype=np.float32, readout=readout, activation=ReLU()
    )
    y = np.random.default_rng(0).standard_normal((4, 2))
    layer = network.last_layer(V.astype(np.float32))
    for steps in (1, 3, 50):
        options = {"regularization": 0.0, "solver": SOLVERS[name](), "min_active": 0}
        trainer = fit(layer, y, max_steps=steps, **options)
        assert np.linalg.norm(layer.outputs(trainer.factors) - trainer.outputs) <= 5e-3
        assert trainer.relative_residual < 0.8
    options = {"regularization": 0.0, "solver": SOLVERS[name](), "min_active": 0}
    trainer = LastLayerGaussNewton(layer, y, **options)
    trainer.step()
    assert np.linalg.norm(layer.outputs(trainer.factors) - trainer.outputs) <= 5e-3


def test_repeated_rows_of_float32_report_what_a_single_step_gives():
    rng = np.random.default_rng(114)
    rows = np.round(2 * rng.standard_normal((5, 3))).astype(np.float32)
    network = WideNetwork(
        3, width=96, n_outputs=2, rng=0, dtype=np.float32, readout="partition", activation=ReLU()
    )
    layer = network.last_layer(rows)
    trainer = LastLayerGaussNewton(
        layer, rng.standard_normal((5, 2)), regularization=0.0, min_active=0
    )
    trainer.step()
    assert np.linalg.norm(layer.outputs(trainer.factors) - trainer.outputs) <= 5e-3
