"""Facts that any correct tangent kernel has: orthants, dual activations, and the limit of width."""

import numpy as np
import pytest

from subquad.activations import ReLU, ShiftedReLU, ThresholdedReLU
from subquad.networks import WideNetwork
from subquad.ntk import DualActivation, empirical_ntk, last_layer_ntk, layer_kernels, ntk

# P(z1 > h, z2 > k) at correlation r.
ORTHANTS = [
    (1, 1, 0.5, 0.062514094710),
    (1.5, 0.5, -0.3, 0.008694874486),
    (2, 2, 0.9, 0.013361256127),
    (0, 1, 0.3, 0.108274520924),
    (0, 0, 0.5, 1 / 3),
    (1, 2, -1, 0.0),
]
CORRELATIONS = [-0.5, 0.0, 0.3, 0.7, 0.95]
KAPPAS = {
    ShiftedReLU(1.0): [
        0.005271300893,
        0.092135487138,
        0.230903633639,
        0.566630727985,
        0.908212687463,
    ],
    ShiftedReLU(2.0): [
        0.000025044653,
        0.012497043888,
        0.072843884597,
        0.368628583932,
        0.841876189608,
    ],
    ThresholdedReLU(1.0): [
        0.016695433312,
        0.146145868400,
        0.293547860725,
        0.589414979868,
        0.878898676239,
    ],
    ReLU(): [0.108997781044, 1 / np.pi, 0.482744283835, 0.750090409253, 0.953363737205],
}


@pytest.mark.parametrize(("h", "k", "r", "probability"), ORTHANTS)
def test_orthant_probabilities(h, k, r, probability):
    # A fixed threshold of 1 at deviations 1 / h and 1 / k; no deviation stands for a threshold 0.
    if 0 in (h, k):
        from subquad.ntk._moments import orthant_moments

        L, _ = orthant_moments(h, k, np.arccos(r), np.pi - np.arccos(r))
    else:
        activation = ShiftedReLU(1.0, relative=False)
        _, slopes = DualActivation(activation).moments(1 / h, 1 / k, r)
        L = slopes / activation.norm_constant
    assert float(L) == pytest.approx(probability, abs=1e-10)


@pytest.mark.parametrize("activation", KAPPAS, ids=str)
def test_dual_activations_have_the_tabulated_values_and_keep_norms(activation):
    values, _ = DualActivation(activation).moments(1.0, 1.0, [*CORRELATIONS, 1.0])
    np.testing.assert_allclose(2 * values, [*KAPPAS[activation], 1.0], rtol=0, atol=1e-9)
    X = np.random.default_rng(0).standard_normal((5, 3))
    for K in layer_kernels(X, depth=1 if activation.jumps else 4, activation=activation):
        np.testing.assert_allclose(K.diagonal(), np.sum(X**2, axis=1), rtol=1e-12)


def sphere(n, d, seed=0):
    X = np.random.default_rng(seed).standard_normal((n, d))
    return X / np.linalg.norm(X, axis=1)[:, None]


@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_kernels_of_finite_networks_converge_at_the_root_of_the_width(shift):
    # Mean over 8 networks of the relative Frobenius error at m = 128 and m = 2048: their ratio is 4
    # if the law is m^-1/2. Its logarithm has a deviation of 0.10 (shift 0), 0.08 (0.5); the bounds
    # are 4.5 of them away: a false alarm in 10^5 seeds.
    X, activation = sphere(16, 8), ShiftedReLU(shift)
    limit = last_layer_ntk(X, depth=2, activation=activation)
    errors = []
    for width in (128, 2048):
        networks = [
            WideNetwork(8, width=width, activation=activation, rng=seed) for seed in range(8)
        ]
        differences = [empirical_ntk(network, X) - limit for network in networks]
        errors.append(np.mean([np.linalg.norm(G) for G in differences]) / np.linalg.norm(limit))
    assert 2.5 < errors[0] / errors[1] < 6.4
    assert errors[1] < 0.07


def test_the_kernel_of_all_layers_converges_too():
    X = sphere(12, 6)
    limit = ntk(X, depth=3)
    errors = [
        np.mean(
            [
                np.linalg.norm(
                    empirical_ntk(
                        WideNetwork(6, width=m, depth=3, activation=ReLU(), rng=s), X, layer="all"
                    )
                    - limit
                )
                for s in range(4)
            ]
        )
        / np.linalg.norm(limit)
        for m in (256, 2048)
    ]
    assert errors[1] < 0.06
    assert 1.6 < errors[0] / errors[1] < 5.0  # sqrt(8) = 2.83


def test_the_last_layers_kernel_is_regular_where_points_differ_and_singular_where_they_repeat():
    X = sphere(30, 6)
    smallest = [
        np.linalg.eigvalsh(last_layer_ntk(X, depth=depth, activation=ShiftedReLU(shift)))[0]
        for depth, shift in ((2, 0.0), (3, 0.0), (2, 1.0), (3, 1.0))
    ]
    assert min(smallest) > 0.01
    assert smallest[2] > smallest[0]  # sparser layers tell points further apart
    X[1] = X[0]
    assert abs(np.linalg.eigvalsh(last_layer_ntk(X, depth=2))[0]) < 1e-14
