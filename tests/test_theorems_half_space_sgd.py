"""What half-space SGD is known to do: what it learns, and Lemma 5.3 of [QSY23].

Seeds are fixed, so nothing here fails by chance; the bounds leave at least a factor of two to what
was measured with others.
"""

import numpy as np
import pytest
import reference_half_space_sgd as reference
from scipy.special import ndtr

from subquad.networks import PairedNetwork
from subquad.training import HalfSpaceSGD


def pair(X):
    return X[:, 0] * X[:, 1]


def triple(X):
    return X[:, 0] * X[:, 1] * X[:, 2]


def standardised(polynomial, d):
    """The polynomial with mean 0 and variance 1 on the sphere."""
    sample = polynomial(reference.sphere(20_000, d, np.random.default_rng(5)))
    return lambda X: (polynomial(X) - sample.mean()) / sample.std()


def fresh(polynomial, d, seed, b=32):
    """Mini-batches of new points, without end."""
    rng = np.random.default_rng([seed, 1])
    target = standardised(polynomial, d)
    while True:
        X = reference.sphere(b, d, rng)
        yield X, target(X)


def relative_mse(trainer, polynomial, d):
    X = reference.sphere(4000, d, np.random.default_rng(6))
    y = standardised(polynomial, d)(X)
    return np.square(trainer.outputs(X)[:, 0] - y).mean() / y.var()


@pytest.mark.parametrize("d", [3, 8])
@pytest.mark.parametrize("width", [512, 4096])
def test_the_network_is_zero_as_drawn_and_fires_as_often_as_a_normal_exceeds_b0(width, d):
    net = PairedNetwork(d, width=width, rng=0)
    X = reference.sphere(200, d, np.random.default_rng(0))
    assert np.abs(net.outputs(X)).max() <= 1e-12
    assert np.abs(HalfSpaceSGD(net).outputs(X)).max() <= 1e-12
    fraction = np.mean(X @ net.weights.T >= net.shift)
    assert fraction == pytest.approx(ndtr(-net.shift), rel=0.15)
    assert fraction < width**-0.2


@pytest.mark.parametrize("seed", [0, 1])
def test_an_even_polynomial_is_learned(seed):
    net = PairedNetwork(3, width=512, scale=8.0, rng=seed)
    trainer = HalfSpaceSGD(net).run(fresh(pair, 3, seed), max_steps=3000)
    assert relative_mse(trainer, pair, 3) < 0.01  # .0012 - .0016


def test_an_odd_polynomial_is_learned_with_a_shift_and_not_without():
    left = {}
    for shift in (0.0, 1.0):
        net = PairedNetwork(5, width=1024, shift=shift, scale=8.0, rng=1)
        trainer = HalfSpaceSGD(net).run(fresh(triple, 5, seed=3), max_steps=1500)
        left[shift] = relative_mse(trainer, triple, 5)
    assert left[0.0] > 0.9  # 1.02
    assert left[1.0] < 0.05  # .011


def test_lemma_5_3_training_tends_to_that_of_the_tangent_kernel_as_b_grows():
    X = reference.sphere(500, 3, np.random.default_rng(7))

    def trained(scale, dynamics):
        net = PairedNetwork(3, width=1024, scale=scale, rng=0)
        trainer = HalfSpaceSGD(net, dynamics=dynamics)
        return trainer.run(fresh(pair, 3, seed=0), max_steps=200).outputs(X)

    limit = trained(1.0, "kernel")
    np.testing.assert_allclose(trained(64.0, "kernel"), limit, rtol=0, atol=1e-9)
    scales = [4.0, 16.0, 64.0, 256.0, 1024.0]
    apart = [np.linalg.norm(trained(B, "network") - limit) for B in scales]
    apart = np.array(apart) / np.linalg.norm(limit)  # .073, .040, .019, .009, .004
    assert (np.diff(apart) < 0).all()
    assert apart[-1] < 0.01
    # Neurons move by O(1 / B) and so many flip, each with a sign of its own: B^(-1/2).
    exponent = np.polyfit(np.log(scales[1:]), np.log(apart[1:]), 1)[0]
    assert -0.7 < exponent < -0.35
