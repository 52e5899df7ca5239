"""Sample weights, regularised steps and leave-one-out, against their definitions."""

import numpy as np
import pytest
import reference_gauss_newton as reference
from layers import OUTPUTS, change, problem, quietly
from reference_network import gram

from subquad.activations import ShiftedReLU
from subquad.networks import LastLayer, WideNetwork
from subquad.training import LastLayerGaussNewton, TrainingWarning

# sample weights -----------------------------------------------------------------------------------
REPEATS = np.array([1, 2, 3] * 8)


def repeated(layer):
    """The layer with row i written REPEATS[i] times."""
    rows = np.repeat(np.arange(24), REPEATS)
    return rows, LastLayer(
        layer.features[rows], layer.preactivations[rows], layer.readout, layer.activation
    )


@pytest.mark.parametrize(("readout", "n_outputs"), OUTPUTS)
@pytest.mark.parametrize(
    "options", [{"regularization": 2.0}, {"damping": 2.0}, {"regularization": 2.0, "centred": True}]
)
def test_sample_weights_are_repetitions(readout, n_outputs, options):
    layer, _, y = problem(12, readout=readout, n_outputs=n_outputs, m=480)
    rows, longer = repeated(layer)
    weighted = LastLayerGaussNewton(layer, y, sample_weight=REPEATS.astype(float), **options)
    written = LastLayerGaussNewton(longer, y[rows], **options)
    for trainer in (weighted, written):
        for _ in range(3):
            quietly(trainer.step)
    np.testing.assert_allclose(weighted.outputs[rows], written.outputs, rtol=0, atol=1e-7)
    np.testing.assert_allclose(change(weighted), change(written), rtol=0, atol=1e-7)
    for first, second in zip(weighted.history, written.history, strict=True):
        assert first.residual_norm == pytest.approx(second.residual_norm, rel=1e-6)
        assert first.objective == pytest.approx(second.objective, rel=1e-6)


@pytest.mark.parametrize("regularization", [0.0, 1.5])
def test_sample_of_weight_zero_is_not_there(regularization):
    layer, _, y = problem(13)
    weights, kept = np.ones(24), np.delete(np.arange(24), [0, 5])
    weights[[0, 5]] = 0.0
    shorter = LastLayer(
        layer.features[kept], layer.preactivations[kept], layer.readout, layer.activation
    )
    weighted = LastLayerGaussNewton(layer, y, sample_weight=weights, regularization=regularization)
    without = LastLayerGaussNewton(shorter, y[kept], regularization=regularization)
    for trainer in (weighted, without):
        for _ in range(2):
            quietly(trainer.step)
    np.testing.assert_allclose(change(weighted), change(without), rtol=0, atol=1e-8)
    assert weighted.residual_norm == pytest.approx(without.residual_norm, rel=1e-6)


def test_sample_weights_without_regularisation_interpolate_all_the_same():
    layer, _, y = problem(14)
    weights = np.random.default_rng(0).uniform(0.1, 10.0, 24)
    trainer = LastLayerGaussNewton(layer, y, sample_weight=weights).run()
    assert trainer.converged
    np.testing.assert_allclose(trainer.outputs, y, rtol=0, atol=1e-7)


@pytest.mark.parametrize("size", [1e-30, 1e30])
def test_size_of_the_sample_weights_does_not_matter_to_interpolation(size):
    layer, _, y = problem(14)
    trainer = LastLayerGaussNewton(layer, y, sample_weight=np.full(24, size)).run()
    assert trainer.converged
    np.testing.assert_allclose(trainer.outputs, y, rtol=0, atol=1e-7)


# regularisation -----------------------------------------------------------------------------------
def damped_step(dense, W, y, mu, damping):
    """Return W + d for the d of least |r + J d|^2 + mu |w + d|^2 + damping |d|^2, w = W - W(0).

    Completing the square, the last two are (mu + damping) |d + pull w|^2 and a constant, with
    pull = mu / (mu + damping).
    """
    J, pull = dense.jacobian(W), mu / (mu + damping)
    w, r = (W - dense.W).ravel(), (dense.outputs(W) - y).ravel()
    g = np.linalg.solve(J @ J.T + (mu + damping) * np.eye(len(r)), pull * (J @ w) - r)
    return W + (J.T @ g - pull * w).reshape(W.shape)


def current_change(trainer):
    """W - W(0) at the current iterate, which need not be the best one."""
    state = trainer._fit.state
    A, V = state.factors(state.terms)
    return A.T @ V


@pytest.mark.parametrize(("readout", "n_outputs"), OUTPUTS)
@pytest.mark.parametrize("mu", [1e-3, 3.0, 300.0])
def test_regularised_step_is_that_of_the_explicit_normal_equations(readout, n_outputs, mu):
    layer, dense, y = problem(15, readout=readout, n_outputs=n_outputs, m=480)
    y = np.reshape(y, (24, n_outputs))
    trainer = LastLayerGaussNewton(layer, y, regularization=mu, tol=0.0)
    W, dampings = dense.W, []
    for _ in range(4):
        record = trainer.step()
        promised = reference.objective(dense, W, y, mu) - _linearised_objective(dense, W, y, mu)
        size = np.linalg.norm(dense.outputs(dense.W) - y) ** 2
        assert record.stationarity == pytest.approx(promised / size, rel=1e-5, abs=1e-9)
        W = damped_step(dense, W, y, mu, record.damping)
        dampings.append(record.damping)
        assert record.objective == pytest.approx(reference.objective(dense, W, y, mu), rel=1e-6)
        np.testing.assert_allclose(current_change(trainer), W - dense.W, rtol=0, atol=1e-6)
    assert dampings[0] == 0.0
    assert trainer.regularization_ == mu


def _linearised_objective(dense, W, y, mu):
    """The least value of the objective with f replaced by its linearisation at W."""
    nearest = reference.regularised_step(dense, W, y, mu)
    J = dense.jacobian(W)
    r = (dense.outputs(W) - y).ravel() + J @ (nearest - W).ravel()
    return r @ r + mu * np.linalg.norm(nearest - dense.W) ** 2


@pytest.mark.parametrize("seed", range(3))
def test_regularised_fits_end_below_backtracking_and_say_where(seed):
    layer, dense, y = problem(seed, n=60, m=120, m_in=5, shift=0.0)
    mu = 0.5
    trainer = quietly(LastLayerGaussNewton(layer, y, regularization=mu, max_steps=60).run)
    objectives = np.array([record.objective for record in trainer.history])
    start = reference.objective(dense, dense.W, y, mu)
    rising = np.maximum.accumulate(np.array([start, *objectives])[::-1])[::-1]
    assert (objectives <= start).all()  # a step may go up a little, never above where it began
    assert rising[0] == start
    W = dense.W + change(trainer)
    found = reference.objective(dense, W, y, mu)
    assert found == pytest.approx(objectives.min(), rel=1e-6)
    assert found <= 1.001 * reference.regularised_descent(dense, y, mu, 40).norms[-1]
    assert trainer.converged is (trainer.stationarity <= 1e-6)


@pytest.mark.parametrize("mu", [1e-6, 1e-3, 1.0])
def test_a_regularised_fit_of_few_points_ends_near_the_least_objective(mu):
    """Fifty points on eight inputs, where steps halved along one direction end 6e5 times higher.

    A fit has settled where no more than tol |r_0|^2 is promised.
    """
    rng = np.random.default_rng(0)
    X = rng.standard_normal((50, 8))
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    y = rng.standard_normal(50)
    network = WideNetwork(8, width=1024, activation=ShiftedReLU(1.0), rng=0)
    trainer = quietly(
        LastLayerGaussNewton(network.last_layer(X), y, regularization=mu, tol=1e-8).run
    )
    interpolant = LastLayerGaussNewton(network.last_layer(X), y).run()
    upper = mu * interpolant.change_norm**2  # the objective at the interpolant
    assert trainer._fit.best.objective <= 1.05 * upper + 1e-8 * trainer._fit.initial_norm**2
    ordinary = [record for record in trainer.history if record.stationarity is not None]
    assert len(ordinary) <= 41  # one more after kinks were searched
    assert trainer.converged is (trainer.stationarity <= 1e-8)


def test_a_fit_that_ends_at_a_kink_says_so():
    layer, _, y = problem(2, n=60, m=120, m_in=5, shift=0.0)
    trainer = LastLayerGaussNewton(layer, y, regularization=0.5, tol=1e-12, max_steps=200)
    with pytest.warns(TrainingWarning, match=r"kink of the objective.*promises .* of \|r_0\|\^2"):
        trainer.run()
    assert not trainer.converged
    assert sum(record.stationarity is not None for record in trainer.history) < 200


def test_no_regularisation_is_the_limit_of_little():
    layer, _, y = problem(16)
    plain = LastLayerGaussNewton(layer, y)
    plain.step()
    little = LastLayerGaussNewton(layer, y, regularization=1e-9)
    little.step()
    np.testing.assert_allclose(change(little), change(plain), rtol=0, atol=1e-7)


def loo_mean(dense, W, y, mu):
    """Mean squared error of leaving out one, for f linearised at W and targets y - f(W(0))."""
    n, n_outputs = y.shape
    change = (dense.jacobian(W) @ (W - dense.W).ravel()).reshape(y.shape)
    targets = y + dense.outputs(dense.W) - dense.outputs(W) + change
    G = gram(dense, W).reshape(n, n_outputs, n, n_outputs)
    errors = [reference.leave_one_out(G[:, c, :, c], targets[:, c], mu) for c in range(n_outputs)]
    return np.mean(np.square(errors))


def loo_problem(readout, n_outputs):
    """Something to learn, and noise."""
    layer, dense, y = problem(17, readout=readout, n_outputs=n_outputs, m=480)
    return layer, dense, 3.0 * dense.V[:, :n_outputs] + 0.5 * y


ONE_AND_PARTITION = [("single", 1), ("partition", 3)]


@pytest.mark.parametrize(("readout", "n_outputs"), ONE_AND_PARTITION)
def test_leave_one_out_error_is_what_leaving_out_one_by_one_gives(readout, n_outputs):
    layer, dense, y = loo_problem(readout, n_outputs)
    trainer = LastLayerGaussNewton(layer, y, regularization="loo", centred=True)
    W = dense.W
    for _ in range(3):  # at the linearisation of each step
        trainer.step()
        expected = loo_mean(dense, W, y, trainer.regularization_)
        assert trainer.loo_error == pytest.approx(expected, rel=1e-6)
        assert trainer.loo_residuals.shape == y.shape
        assert np.mean(np.square(trainer.loo_residuals)) == pytest.approx(expected, rel=1e-6)
        W = dense.W + current_change(trainer)


@pytest.mark.parametrize(("readout", "n_outputs"), ONE_AND_PARTITION)
def test_regularisation_is_chosen_by_leaving_out_one_at_the_start(readout, n_outputs):
    layer, dense, y = loo_problem(readout, n_outputs)
    trainer = LastLayerGaussNewton(layer, y, regularization="loo", centred=True)
    assert trainer.regularization_ is None
    trainer.step()
    mu = trainer.regularization_
    mean_eigenvalue = np.trace(gram(dense, dense.W)) / y.size
    assert 0.99e-8 <= mu / mean_eigenvalue <= 10.01
    least = loo_mean(dense, dense.W, y, mu)
    for other in mu * 10.0 ** np.arange(-2, 2.1, 0.25):  # the candidates are four a decade
        if 1e-8 <= other / mean_eigenvalue <= 10:
            assert loo_mean(dense, dense.W, y, other) >= least * (1 - 1e-9)
    trainer.step()
    assert trainer.regularization_ == mu


def test_centred_output_starts_at_zero_and_fits_the_difference():
    layer, dense, y = problem(18, n_outputs=3, readout="partition", m=480)
    trainer = LastLayerGaussNewton(layer, y, centred=True)
    start = dense.outputs(dense.W)
    np.testing.assert_allclose(trainer.outputs, 0.0, atol=1e-12)
    assert trainer.residual_norm == pytest.approx(np.linalg.norm(y), rel=1e-9)
    trainer.run()
    np.testing.assert_allclose(trainer.outputs, y, rtol=0, atol=1e-7)
    np.testing.assert_allclose(layer.outputs(trainer.factors) - start, y, rtol=0, atol=1e-7)
