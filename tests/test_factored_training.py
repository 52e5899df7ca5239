"""FactoredGradientDescent takes the steps of the definition, and says how it went."""

import warnings

import numpy as np
import pytest
from layers import quietly
from reference_factored import Factored

from subquad.activations import ShiftedReLU
from subquad.networks import FactoredNetwork, LastLayer
from subquad.training import (
    FactoredGaussNewton,
    FactoredGradientDescent,
    LastLayerGaussNewton,
    TrainingWarning,
)

KINDS = [
    {"outer_size": None},
    {"outer_size": 64},
    {"outer_size": 64, "sketch": "gaussian"},
]

TRAINERS = [FactoredGradientDescent, FactoredGaussNewton]


@pytest.fixture(params=KINDS, ids=["BC", "ABC", "ABC gaussian"])
def kind(request):
    return request.param


def points(n, d, seed=0):
    X = np.random.default_rng(seed).standard_normal((n, d))
    return X / np.linalg.norm(X, axis=1, keepdims=True)


def problem(kind, n=24, d=16, n_outputs=1, width=1024, dtype=np.float64, **options):
    """Network, X and y: points on the sphere, normal targets."""
    options = {"inner_size": 16, "rng": 7, **kind, **options}
    network = FactoredNetwork(d, width=width, n_outputs=n_outputs, dtype=dtype, **options)
    y = np.random.default_rng(1).standard_normal((n, n_outputs))
    return network, points(n, d).astype(dtype), y.astype(dtype)


@pytest.mark.parametrize("n_outputs", [1, 3])
@pytest.mark.parametrize("activation", [None, ShiftedReLU(0.5)], ids=["ReLU", "shifted"])
def test_gradient_steps_are_those_of_the_definition(kind, n_outputs, activation):
    network, X, y = problem(kind, n_outputs=n_outputs, activation=activation)
    trainer = FactoredGradientDescent(network, X, y)
    dense = Factored.of(network)
    for _ in range(5):
        trainer.step()
        dense.B = dense.gradient_step(X, y, trainer.learning_rate)
        np.testing.assert_allclose(trainer.weights, dense.B, atol=1e-11)
        np.testing.assert_allclose(trainer.outputs, dense.outputs(X), atol=1e-11)


@pytest.mark.parametrize("n_outputs", [1, 3])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_step_size_is_one_over_the_largest_eigenvalue(kind, n_outputs, weighted):
    network, X, y = problem(kind, n_outputs=n_outputs)
    weights = np.random.default_rng(3).uniform(0.5, 2, len(X)) if weighted else None
    trainer = FactoredGradientDescent(network, X, y, sample_weight=weights)
    J = Factored.of(network).jacobian(X)
    if weighted:
        J *= np.tile(np.sqrt(weights), n_outputs)[:, None]
    largest = np.linalg.eigvalsh(J @ J.T)[-1]
    assert 1.0 <= trainer.learning_rate * largest * (1 + 1e-12) <= 1.002


def test_a_single_data_point_has_an_eigenvalue_too(kind):
    network, X, y = problem(kind, n=1)
    trainer = FactoredGradientDescent(network, X, y)
    assert trainer.learning_rate == pytest.approx(1 / network.jacobian(X).gram()[0, 0])


@pytest.mark.parametrize("n_outputs", [1, 3])
def test_a_gauss_newton_step_is_the_least_change_that_fits_the_linearisation(kind, n_outputs):
    network, X, y = problem(kind, n_outputs=n_outputs)
    trainer = FactoredGaussNewton(network, X, y)
    trainer.step()
    dense = Factored.of(network)
    r = (y - dense.outputs(X)).T.reshape(-1)
    change = np.linalg.lstsq(dense.jacobian(X), r, rcond=None)[0]
    np.testing.assert_allclose(trainer.weights - dense.B, change.reshape(dense.B.shape), atol=1e-6)
    assert trainer.change_norm == pytest.approx(np.linalg.norm(change), rel=1e-6)


@pytest.mark.parametrize("n_outputs", [1, 3])
def test_gauss_newton_interpolates_in_a_few_steps(kind, n_outputs):
    network, X, y = problem(kind, n_outputs=n_outputs)
    trainer = FactoredGaussNewton(network, X, y).run()
    assert trainer.converged
    assert trainer.relative_residual < 1e-10
    assert len(trainer.history) <= 8
    np.testing.assert_allclose(network.outputs(X, trainer.weights), y, atol=1e-9)


def test_without_outer_factor_it_is_the_training_of_a_last_layer():
    network, X, y = problem({"outer_size": None})
    V = network.features(X)
    layer = LastLayer(
        V, V @ network.weights.T, network.readout / np.sqrt(network.width), weight_std=1.0
    )
    options = {"regularization": "loo", "centred": True}
    ours = quietly(FactoredGaussNewton(network, X, y, **options).run)
    theirs = quietly(LastLayerGaussNewton(layer, y, **options).run)
    A, V = theirs.factors
    np.testing.assert_allclose(ours.weights - network.weights, A.T @ V, atol=1e-8)
    assert ours.regularization_ == pytest.approx(theirs.regularization_)
    assert ours.loo_error == pytest.approx(theirs.loo_error)
    assert ours.change_norm == pytest.approx(theirs.change_norm)
    assert [r.flips for r in ours.history] == [r.flips for r in theirs.history]


def test_float32_follows_float64(kind):
    trainers = []
    for dtype in (np.float32, np.float64):
        network, X, y = problem(kind, dtype=np.float64)
        if dtype == np.float32:
            network, X, y = problem(kind, dtype=dtype)
        trainers.append(FactoredGaussNewton(network, X, y, tol=1e-5))
        trainers[-1].run()
        assert trainers[-1].converged
    assert trainers[0].weights.dtype == np.float32
    assert np.isfinite(trainers[0].outputs).all()


def test_a_weight_of_two_is_a_point_given_twice(kind):
    network, X, y = problem(kind)
    weights = np.where(np.arange(len(X)) < 5, 2.0, 1.0)
    twice = np.concatenate([X, X[:5]]), np.concatenate([y, y[:5]])
    one = FactoredGradientDescent(network, X, y, sample_weight=weights, learning_rate=0.2)
    other = FactoredGradientDescent(network, *twice, learning_rate=0.2)
    for _ in range(3):
        assert one.step().residual_norm == pytest.approx(other.step().residual_norm, rel=1e-12)
    np.testing.assert_allclose(one.weights, other.weights, atol=1e-12)


@pytest.mark.parametrize("trainer_class", TRAINERS)
def test_a_point_of_weight_zero_is_not_there(kind, trainer_class):
    network, X, y = problem(kind)
    weights = np.where(np.arange(len(X)) < 3, 0.0, 1.0)
    one = trainer_class(network, X, y, sample_weight=weights)
    other = trainer_class(network, X[3:], y[3:])
    for _ in range(2):
        one.step(), other.step()
    np.testing.assert_allclose(
        one.weights, other.weights, atol=2e-4 if trainer_class is FactoredGradientDescent else 1e-7
    )


def test_equal_points_with_different_targets_end_at_their_mean(kind):
    network, X, y = problem(kind)
    X[1] = X[0]
    with pytest.warns(TrainingWarning, match="Of equal rows this is the least-squares value"):
        trainer = FactoredGaussNewton(network, X, y).run()
    expected = abs(y[0, 0] - y[1, 0]) / np.sqrt(2)
    assert trainer.residual_norm == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("trainer_class", TRAINERS)
def test_centred_training_starts_from_zero(kind, trainer_class):
    network, X, y = problem(kind)
    trainer = trainer_class(network, X, y, centred=True)
    assert trainer.residual_norm == pytest.approx(np.linalg.norm(y))
    trainer.step()
    centred = network.outputs(X, trainer.weights, centred=True)
    np.testing.assert_allclose(centred, trainer.outputs, atol=1e-12)


def test_records_tell_what_happened(kind):
    network, X, y = problem(kind, n_outputs=2)
    seen = []
    trainer = FactoredGradientDescent(network, X, y, callback=seen.append)
    dense = Factored.of(network)
    before = dense.fired(X)
    first, second = trainer.step(), trainer.step()
    assert seen == trainer.history == [first, second]
    dense.B = dense.gradient_step(X, y, trainer.learning_rate)
    after = dense.fired(X)
    assert first.flips == np.count_nonzero(before != after)
    assert first.active_fraction == pytest.approx(before.mean())
    assert second.active_fraction == pytest.approx(after.mean())
    assert second.min_active == after.sum(axis=1).min()
    assert first.residual_norm == pytest.approx(np.linalg.norm(dense.outputs(X) - y))
    assert second.ratio == pytest.approx(second.residual_norm / first.residual_norm)
    assert first.seconds["total"] > 0


def test_threads_do_not_change_a_fit(kind, n_threads):
    network, X, y = problem(kind, n=200, width=16384)
    trainers = [
        FactoredGradientDescent(network, X, y, learning_rate=0.1, n_threads=count)
        for count in (1, n_threads)
    ]
    for trainer in trainers:
        trainer.step(), trainer.step()
    np.testing.assert_array_equal(trainers[0].weights, trainers[1].weights)


@pytest.mark.parametrize("trainer_class", TRAINERS)
def test_an_interrupted_run_keeps_its_best_iterate(kind, trainer_class):
    def interrupt(record):
        if record.step == 2:
            raise KeyboardInterrupt

    network, X, y = problem(kind)
    trainer = trainer_class(network, X, y, callback=interrupt)
    with pytest.raises(KeyboardInterrupt):
        trainer.run()
    assert trainer.message.startswith("Interrupted")
    assert trainer.relative_residual == trainer.history[-1].relative_residual < 1
    np.testing.assert_allclose(network.outputs(X, trainer.weights), trainer.outputs, atol=1e-12)


def test_a_run_that_ends_early_says_so(kind):
    network, X, y = problem(kind)
    trainer = FactoredGradientDescent(network, X, y, tol=1e-9, max_steps=3)
    with pytest.warns(TrainingWarning, match="stopped at max_steps=3"):
        trainer.run()
    assert len(trainer.history) == 3
    assert not trainer.converged


def test_a_learning_rate_that_diverges_is_named_and_the_best_iterate_kept(kind):
    network, X, y = problem(kind)
    rate = 40 * FactoredGradientDescent(network, X, y).learning_rate
    trainer = FactoredGradientDescent(network, X, y, learning_rate=rate)
    with pytest.warns(TrainingWarning, match="diverges.*Lower learning_rate"):
        trainer.run()
    assert trainer.relative_residual <= 1.0
    assert np.isfinite(trainer.weights).all()


def test_no_steps_leave_the_network_as_it_was(kind):
    network, X, y = problem(kind)
    trainer = FactoredGradientDescent(network, X, y, max_steps=0).run()
    np.testing.assert_array_equal(trainer.weights, network.weights)


def test_targets_that_are_met_need_no_step(kind):
    network, X, _ = problem(kind)
    trainer = FactoredGradientDescent(network, X, network.outputs(X)).run()
    assert trainer.converged
    assert not trainer.history


def test_points_at_which_nothing_fires_are_named(kind):
    network, X, y = problem(kind)
    X[[3, 5]] = 0.0
    with pytest.warns(TrainingWarning, match="No neuron fires at data point 3, 5:"):
        FactoredGradientDescent(network, X, y).step()


@pytest.mark.parametrize("trainer_class", TRAINERS)
def test_a_dead_network_is_refused(kind, trainer_class):
    network, X, y = problem(kind)
    with pytest.raises(ValueError, match="X must have a row at which some neuron fires; got none"):
        trainer_class(network, np.zeros_like(X), y)


def test_a_network_that_is_expected_to_be_dead_is_refused(kind):
    network, X, y = problem(kind, activation=ShiftedReLU(4.0))
    with pytest.raises(ValueError, match="width must let more neurons fire"):
        FactoredGradientDescent(network, X, y)


@pytest.mark.parametrize(
    ("trainer_class", "options", "error", "message"),
    [
        *(
            (trainer_class, options, error, message)
            for trainer_class in TRAINERS
            for options, error, message in [
                ({"tol": -1.0}, ValueError, "tol must be at least 0"),
                ({"max_steps": 1.5}, TypeError, "max_steps must be an integer"),
                ({"callback": 3}, TypeError, "callback must be callable"),
                ({"sample_weight": -np.ones(24)}, ValueError, "sample_weight must be at least 0"),
                ({"n_threads": 0}, ValueError, "n_threads must be positive"),
            ]
        ),
        (
            FactoredGradientDescent,
            {"learning_rate": 0.0},
            ValueError,
            "learning_rate must be greater than 0",
        ),
        (
            FactoredGradientDescent,
            {"learning_rate": "big"},
            TypeError,
            "learning_rate must be a real number",
        ),
        (FactoredGaussNewton, {"regularization": "cv"}, ValueError, "must be 'loo'"),
        (FactoredGaussNewton, {"damping": -1.0}, ValueError, "damping must be at least 0"),
        (
            FactoredGaussNewton,
            {"solver": "qr"},
            ValueError,
            "^solver must be 'exact', 'sketch', 'pcg' or 'auto'",
        ),
        (FactoredGaussNewton, {"solver": 3}, TypeError, "^solver must be a name or an object"),
    ],
)
def test_impossible_options_are_refused_by_name(trainer_class, options, error, message):
    network, X, y = problem({"outer_size": 64})
    with pytest.raises(error, match=message):
        trainer_class(network, X, y, **options)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"network": "net"}, TypeError, "network must be a FactoredNetwork; got str"),
        ({"X": np.full((24, 16), np.inf)}, ValueError, "X must be finite"),
        ({"X": np.ones((24, 15))}, ValueError, r"X must have shape \(any, 16\)"),
        ({"y": np.ones(23)}, ValueError, r"y must have shape \(24,\); got \(23,\)"),
        ({"y": np.ones((24, 2))}, ValueError, r"y must have shape \(24, 1\); got \(24, 2\)"),
        ({"y": np.full(24, np.nan)}, ValueError, "y must be finite"),
    ],
)
def test_impossible_data_are_refused_by_name(change, error, message):
    network, X, y = problem({"outer_size": 64})
    arguments = {"network": network, "X": X, "y": y, **change}
    with pytest.raises(error, match=message):
        FactoredGradientDescent(**arguments)


def test_a_fit_that_does_not_fit_is_refused_with_its_bytes(monkeypatch):
    import subquad._validation

    network, X, y = problem({"outer_size": 64})
    monkeypatch.setattr(subquad._validation, "available_memory", lambda: 10_000)
    with pytest.raises(MemoryError, match=r"24 data points.*bytes.*Use fewer data points"):
        FactoredGradientDescent(network, X, y)


def test_all_rows_of_several_outputs_at_once_must_fit(monkeypatch):
    import subquad._validation

    network, X, y = problem({"outer_size": 64}, n=200, n_outputs=3)
    monkeypatch.setattr(subquad._validation, "available_memory", lambda: 10_000_000)
    FactoredGaussNewton(network, X, y)  # 200 x 200 blocks
    with pytest.raises(MemoryError, match=r"200 data points.*bytes"):
        FactoredGaussNewton(network, X, y, solver="auto")  # 600 x 600


def test_a_good_run_warns_of_nothing(kind):
    network, X, y = problem(kind)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        FactoredGradientDescent(network, X, y, tol=0.5).run()
