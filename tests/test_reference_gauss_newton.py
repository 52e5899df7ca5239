"""The reference Gauss-Newton is right: known numbers, optimality conditions and brute force."""

import numpy as np
import pytest
import reference_gauss_newton as reference
from reference_network import Layer, golden, gram, random_layer


def test_golden_trajectory_with_explicit_jacobians():
    _, _, layer, y, _ = golden()
    norms, W = reference.gauss_newton(layer, y, 3)
    np.testing.assert_allclose(
        norms[:3], [2.841591855059, 1.109003650475, 0.06608258499615], rtol=1e-9
    )
    assert norms[3] <= 1e-12
    assert np.linalg.matrix_rank(W - layer.W) <= len(y)


def test_golden_network_is_far_from_every_kink():
    # What makes the golden numbers robust: no rounding can flip a neuron.
    _, _, layer, y, _ = golden()
    for n_steps in range(3):
        _, W = reference.gauss_newton(layer, y, n_steps)
        assert np.abs(layer.V @ W.T - layer.tau[:, None]).min() > 1e-4


def test_levenberg_marquardt_is_plain_gauss_newton_where_that_works():
    _, _, layer, y, _ = golden()
    plain, W = reference.gauss_newton(layer, y, 3)
    safe = reference.levenberg_marquardt(layer, y, 10)
    np.testing.assert_array_equal(safe.norms, plain)
    np.testing.assert_array_equal(safe.W, W)
    assert safe.steps.tolist() == [0.0, 0.0, 0.0]
    assert safe.n_evaluations == 4


def test_levenberg_marquardt_settles_conflicting_labels_at_least_squares():
    layer = random_layer(np.random.default_rng(3), n=6, m=64)
    twice = [0, 1, 2, 3, 4, 5, 5]
    layer = Layer(layer.V[twice], layer.W, layer.readout, layer.tau[twice], layer.scale)
    y = np.array([0.5, -1.0, 1.0, 0.0, 2.0, 3.0, -1.0])
    run = reference.levenberg_marquardt(layer, y, 60)
    # The two copies are fitted at their mean, 1: the residual is |(2, -2)|.
    assert run.norms.min() == pytest.approx(np.sqrt(8.0), rel=1e-6)
    np.testing.assert_allclose(layer.outputs(run.W)[-2:], 1.0, atol=1e-3)


def test_regularised_step_minimises_the_linearised_objective():
    rng = np.random.default_rng(4)
    layer = random_layer(rng, n=10, m=64, n_outputs=2)
    y, mu, w = rng.standard_normal((10, 2)), 3.0, rng.uniform(0.5, 2.0, 10)
    start = layer.W + 0.1 * rng.standard_normal(layer.W.shape)
    W = reference.regularised_step(layer, start, y, mu, weights=w)
    J = layer.jacobian(start)
    linearised = layer.outputs(start) + (J @ (W - start).ravel()).reshape(y.shape)
    # Half the gradient of the linearised objective.
    pull = J.T @ (w[:, None] * (y - linearised)).ravel()
    np.testing.assert_allclose(mu * (W - layer.W).ravel(), pull, rtol=1e-9, atol=1e-9)


def test_regularised_descent_is_one_step_where_no_neuron_flips_and_falls_everywhere():
    rng = np.random.default_rng(10)
    layer, mu = random_layer(rng, n=10, m=64, n_outputs=2), 3.0
    near = layer.outputs(layer.W) + 1e-4 * rng.standard_normal((10, 2))
    run = reference.regularised_descent(layer, near, mu, 5)
    assert run.steps[0] == 1.0
    pull = layer.jacobian(run.W).T @ (near - layer.outputs(run.W)).ravel()
    np.testing.assert_allclose(mu * (run.W - layer.W).ravel(), pull, atol=1e-12)
    # Far targets end at a kink of f, with ever shorter steps: the objective is not smooth.
    far = reference.regularised_descent(layer, rng.standard_normal((10, 2)), mu, 20)
    assert np.all(np.diff(far.norms) < 0)


def test_regularised_weights_are_repetitions():
    rng = np.random.default_rng(5)
    layer, y, mu = random_layer(rng, n=5, m=48), rng.standard_normal(5), 0.5
    rows = np.repeat(np.arange(5), [1, 2, 1, 3, 1])
    again = Layer(layer.V[rows], layer.W, layer.readout, layer.tau[rows], layer.scale)
    np.testing.assert_allclose(
        reference.regularised_step(layer, layer.W, y, mu, weights=[1.0, 2.0, 1.0, 3.0, 1.0]),
        reference.regularised_step(again, layer.W, y[rows], mu),
        rtol=1e-9,
        atol=1e-12,
    )


@pytest.mark.parametrize("mu", [1e-3, 0.3, 30.0])
def test_leaving_one_out_has_the_closed_form(mu):
    rng = np.random.default_rng(6)
    layer, r = random_layer(rng, n=12), rng.standard_normal(12)
    G = gram(layer, layer.W)
    inverse = np.linalg.inv(G + mu * np.eye(12))
    np.testing.assert_allclose(
        reference.leave_one_out(G, r, mu), inverse @ r / np.diag(inverse), rtol=1e-8
    )
