"""The reference kernels of infinite width are right: known numbers, integrals and a wide layer."""

import numpy as np
import pytest
import reference_limit as reference
import reference_network as network
from scipy.stats import multivariate_normal

ORTHANTS = [
    (1, 1, 0.5, 0.062514094710),
    (1.5, 0.5, -0.3, 0.008694874486),
    (2, 2, 0.9, 0.013361256127),
    (0, 1, 0.3, 0.108274520924),
    (-1, 0.5, 0.7, 0.305347146493),
    (0, 0, 0.5, 1 / 3),
    (-1, -1, -1, 0.682689492137),
    (1, 2, -1, 0.0),
]


@pytest.mark.parametrize(("h", "k", "r", "value"), ORTHANTS)
def test_orthant_probability_known_values(h, k, r, value):
    assert reference.orthant(float(h), float(k), r) == pytest.approx(value, abs=1e-10)


def test_orthant_probability_is_the_bivariate_normal_integral():
    rng = np.random.default_rng(7)
    edges = [
        (0.0, 0.7, 0.4),
        (0.0, -0.7, 0.4),
        (-0.7, 0.0, -0.4),
        (0.6, 0.0, -0.9),
        (1.0, -1.0, 0.2),
    ]
    draws = [(*rng.uniform(-2, 2, 2), rng.uniform(-0.95, 0.95)) for _ in range(40)]
    for h, k, r in edges + draws:
        expected = multivariate_normal.cdf([-h, -k], cov=[[1.0, r], [r, 1.0]])
        assert reference.orthant(h, k, r) == pytest.approx(expected, abs=1e-9)


CORRELATIONS = [-0.5, 0.0, 0.3, 0.7, 0.95]
KAPPA = [
    (1.0, False, [0.005271300893, 0.092135487138, 0.230903633639, 0.566630727985, 0.908212687463]),
    (2.0, False, [0.000025044653, 0.012497043888, 0.072843884597, 0.368628583932, 0.841876189608]),
    (1.0, True, [0.016695433312, 0.146145868400, 0.293547860725, 0.589414979868, 0.878898676239]),
    (0.0, False, [0.108997781044, 1 / np.pi, 0.482744283835, 0.750090409253, 0.953363737205]),
    (0.0, True, [0.108997781044, 1 / np.pi, 0.482744283835, 0.750090409253, 0.953363737205]),
]


@pytest.mark.parametrize(("b", "jumps", "values"), KAPPA)
def test_layer_correlation_known_values(b, jumps, values):
    found = [reference.kappa(b, r, jumps) for r in CORRELATIONS]
    np.testing.assert_allclose(found, values, rtol=0, atol=1e-9)
    assert reference.kappa(b, 1.0, jumps) == 1.0
    # Continuous there: no step between the formula and the value written for r = 1.
    assert reference.kappa(b, 1.0 - 1e-12, jumps) == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("jumps", [False, True])
def test_limit_kernels_keep_the_diagonal(jumps):
    X = np.random.default_rng(8).standard_normal((6, 4))  # not unit rows
    previous, limit = reference.limit_kernels(X, 4, 1.2, jumps)
    np.testing.assert_allclose(np.diag(previous), np.square(X).sum(axis=1), rtol=1e-12)
    constant = network.hard_constant(1.2) if jumps else network.shifted_constant(1.2)
    expected = np.diag(previous) * constant * network.tail(1.2)
    np.testing.assert_allclose(np.diag(limit), expected, rtol=1e-12)


def test_limit_kernel_is_the_limit():
    # Gram / m of one wide layer (L = 1: K_0 = X X^T) against the closed form. Entry ij is K_ij c
    # times the mean of m independent 0/1 numbers of probability p: 5 standard errors, 36 distinct
    # entries, false alarm about 2e-5.
    rng = np.random.default_rng(9)
    m, b = 20000, 1.0
    X = network.sphere(8, 3, rng)
    std = np.sqrt(2.0 / m)
    constant = network.shifted_constant(b)
    layer = network.Layer(
        V=X,
        W=std * rng.standard_normal((m, 3)),
        readout=np.where(rng.random((1, m)) < 0.5, -1.0, 1.0),
        tau=np.full(8, std * b),
        scale=np.sqrt(constant),
    )
    kernel, limit = reference.limit_kernels(X, 1, b)
    p = np.clip(limit / (kernel * constant), 0.0, 1.0)
    error = np.abs(network.gram(layer, layer.W) / m - limit)
    assert np.all(error <= 5.0 * np.abs(kernel) * constant * np.sqrt(p * (1.0 - p) / m) + 1e-12)
