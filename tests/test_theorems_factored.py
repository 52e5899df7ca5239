"""What [AS22] claims, and what was measured to hold, at small sizes."""

import numpy as np
import pytest

from subquad.networks import FactoredNetwork
from subquad.sketch import SRHT, GaussianSketch
from subquad.training import FactoredGradientDescent


def sphere(n, d, seed=0):
    X = np.random.default_rng(seed).standard_normal((n, d))
    return X / np.linalg.norm(X, axis=1, keepdims=True)


def signs(n, seed=1):
    return np.random.default_rng(seed).choice([-1.0, 1.0], n)


def kernel(network, X):
    """H of the network as drawn."""
    return network.jacobian(X).gram()


def relative_distance(H, reference):
    return np.linalg.norm(H - reference, 2) / np.linalg.norm(reference, 2)


def test_the_inner_factor_keeps_inner_products_on_average():
    # Over 200 draws an entry of the mean of C^T C has standard deviation sqrt(2 / (200 * 64)) =
    # .0125 on the diagonal and .0088 beside it: .06 is 4.8 of the larger one, so that a false
    # alarm has probability 1e-4 at most; the draws are fixed.
    mean = np.zeros((32, 32))
    for seed in range(200):
        C = GaussianSketch(32, 64, rng=seed).matrix()
        mean += C.T @ C / 200
    assert np.abs(mean - np.eye(32)).max() < 0.06


@pytest.mark.parametrize("sketch", ["srht", "gaussian"])
def test_so_does_that_of_a_network(sketch):
    # The same for l = 16: .025 and .0177. .12 is 4.8 standard deviations.
    mean = np.zeros((32, 32))
    for seed in range(200):
        network = FactoredNetwork(32, width=64, inner_size=16, sketch=sketch, rng=seed)
        C = network.inner_matrix()
        mean += C.T @ C / 200
    assert np.abs(mean - np.eye(32)).max() < 0.12


@pytest.mark.parametrize("sketch", ["srht", "gaussian"])
def test_rows_of_the_outer_factor_have_unit_norm_on_average(sketch):
    # 4096 rows of 64 entries: the mean square norm has standard error sqrt(2 / 64 / 4096) = .0028.
    network = FactoredNetwork(4, width=4096, inner_size=4, outer_size=64, sketch=sketch, rng=0)
    squares = np.sum(network.outer_matrix() ** 2, axis=1)
    assert abs(squares.mean() - 1) < 0.014


@pytest.mark.parametrize("d", [1, 2, 16, 256])
def test_a_square_transform_of_a_power_of_two_is_an_isometry(d):
    C = SRHT(d, d, rng=0).matrix()
    np.testing.assert_allclose(C.T @ C, np.eye(d), atol=1e-12)
    X = np.random.default_rng(0).standard_normal((5, d))
    V = FactoredNetwork(d, width=64, inner_size=d, rng=0).features(X)
    np.testing.assert_allclose(V @ V.T, X @ X.T, atol=1e-11)


@pytest.mark.parametrize("outer_size", [None, 32])
@pytest.mark.parametrize("sketch", ["srht", "gaussian"])
def test_the_gradient_is_that_of_finite_differences(outer_size, sketch):
    X, y = sphere(12, 16), signs(12)[:, None]
    network = FactoredNetwork(
        16, width=256, inner_size=8, outer_size=outer_size, sketch=sketch, rng=2
    )
    trainer = FactoredGradientDescent(network, X, y, learning_rate=1.0)
    trainer.step()
    # A step of size 1, undone: minus the gradient of |f - y|^2 / 2.
    gradient = -trainer._fit.state.terms
    direction = np.random.default_rng(3).standard_normal(network.weights.shape)

    def loss(t):
        return 0.5 * np.sum((network.outputs(X, network.weights + t * direction) - y) ** 2)

    h = 1e-7  # so small that few of the 3072 pre-activations change sign
    difference = (loss(h) - loss(-h)) / (2 * h)
    assert np.vdot(gradient, direction) == pytest.approx(difference, rel=1e-5)


@pytest.mark.parametrize("outer_size", [None, 64, 256])
@pytest.mark.parametrize("sketch", ["srht", "gaussian"])
def test_gradient_descent_does_not_increase_with_a_step_size_of_its_own(outer_size, sketch):
    network = FactoredNetwork(
        64, width=2048, inner_size=32, outer_size=outer_size, sketch=sketch, rng=0
    )
    trainer = FactoredGradientDescent(network, sphere(50, 64), signs(50))
    norms = [trainer.residual_norm] + [trainer.step().residual_norm for _ in range(200)]
    checked = [norms[step] for step in (0, 10, 50, 100, 200)]
    assert checked == sorted(checked, reverse=True)
    assert checked[-1] < 0.1 * checked[0]


def test_the_printed_sign_ascends():
    X, y = sphere(50, 64), signs(50)[:, None]
    network = FactoredNetwork(64, width=2048, inner_size=32, outer_size=64, rng=0)
    eta = FactoredGradientDescent(network, X, y).learning_rate
    B = network.weights.copy()
    norms = []
    for _ in range(10):
        J = network.jacobian(X, B)
        residual = network.outputs(X, B) - y
        norms.append(np.linalg.norm(residual))
        A, V = J.adjoint(residual[:, 0])
        B += eta * A.T @ V
    assert norms[-1] > 10 * norms[0]


def limit(V):
    """H of infinitely many independent ReLU neurons on the inputs v_i = C x_i."""
    norms = np.linalg.norm(V, axis=1)
    cosines = np.clip(V @ V.T / np.outer(norms, norms), -1, 1)
    return (V @ V.T) * (np.pi - np.arccos(cosines)) / (2 * np.pi)


@pytest.mark.parametrize("sketch", ["srht", "gaussian"])
def test_the_kernel_approaches_its_limit_like_the_root_of_k(sketch):
    X, sizes = sphere(40, 64), (16, 64, 256)
    distances = np.zeros((6, len(sizes)))
    for seed, k in np.ndindex(distances.shape):
        network = FactoredNetwork(
            64, width=4096, inner_size=32, outer_size=sizes[k], sketch=sketch, rng=seed
        )
        distances[seed, k] = relative_distance(kernel(network, X), limit(network.features(X)))
    means = distances.mean(axis=0)
    # By the law each quotient is 2; the standard errors of the means, as seen, are 8 to 20 %.
    assert 1.3 < means[0] / means[1] < 3.5
    assert 1.3 < means[1] / means[2] < 3.5
    assert means[2] < 0.2


def test_small_inner_factors_raise_the_largest_eigenvalue():
    # Why the step size must be the network's own.
    X = sphere(100, 256)
    dense, small = (
        np.linalg.eigvalsh(kernel(FactoredNetwork(256, width=4096, inner_size=size, rng=0), X))[-1]
        for size in (256, 8)
    )
    assert small > 1.9 * dense
