"""The reference is right: known numbers, finite differences, quadrature and brute force.

One file for one module, however long, since every other test rests on it.
"""

import numpy as np
import pytest
import reference
from scipy.integrate import quad
from scipy.stats import multivariate_normal

BOUND = 40.0  # beyond it the normal density is 0 in float64


def gaussian_mean(function, start):
    """E[function(z); z > start] by quadrature."""
    return quad(lambda z: function(z) * reference.density(z), start, BOUND, epsabs=0, epsrel=1e-12)[
        0
    ]


def small_layer(rng, n=7, m_in=5, m=24, n_outputs=1, b=0.4, jumps=False):
    """A layer with features that are not unit rows and a readout that is not +-1."""
    constant = reference.hard_constant(b) if jumps else reference.shifted_constant(b)
    V = rng.standard_normal((n, m_in))
    std = np.sqrt(2.0 / m)
    return reference.Layer(
        V=V,
        W=std * rng.standard_normal((m, m_in)),
        readout=rng.standard_normal((n_outputs, m)),
        tau=std * b * np.linalg.norm(V, axis=1),
        scale=np.sqrt(constant),
        jumps=jumps,
    )


@pytest.mark.parametrize("b", [0.0, 0.5, 1.0, 1.9, 3.0])
def test_activation_constants_preserve_the_second_moment(b):
    # b = 3 loses three digits to the cancellation in (1 + b^2) Q - b pdf.
    assert 2 * reference.hard_constant(b) * gaussian_mean(lambda z: z * z, b) == pytest.approx(
        1.0, rel=1e-11
    )
    assert 2 * reference.shifted_constant(b) * gaussian_mean(
        lambda z: (z - b) ** 2, b
    ) == pytest.approx(1.0, rel=1e-10)
    assert reference.tail(b) == pytest.approx(gaussian_mean(lambda z: 1.0, b), rel=1e-11)


def test_golden_network_before_training():
    X, W1, layer, _, norms = reference.golden()
    assert W1.shape == (32, 3)
    np.testing.assert_allclose(np.linalg.norm(X, axis=1), 1.0, rtol=1e-15)
    np.testing.assert_allclose(
        norms, [1.014312658155, 0.935304909573, 1.013715713727, 0.992189009398], rtol=1e-9
    )
    np.testing.assert_allclose(
        layer.outputs(layer.W).ravel(),
        [0.532433883297, 1.133823151041, 0.071763255752, 0.233806848556],
        rtol=1e-9,
    )
    assert reference.coactivation(layer.mask(layer.W)).tolist() == [
        [12, 4, 1, 2],
        [4, 10, 0, 0],
        [1, 0, 3, 3],
        [2, 0, 3, 4],
    ]


def test_golden_network_by_the_general_forward_pass():
    X, W1, layer, _, _ = reference.golden()
    for relative in (True, False):  # unit rows: the two thresholds are the same
        h1, h2 = reference.forward(X, [W1, layer.W], 0.5, layer.scale, relative=relative)
        np.testing.assert_allclose(h1, layer.V, rtol=0, atol=1e-14)
        np.testing.assert_allclose(h2 @ layer.readout.T, layer.outputs(layer.W), rtol=0, atol=1e-13)


def test_golden_gram_by_formula_and_by_the_explicit_jacobian():
    _, _, layer, _, _ = reference.golden()
    J, G = layer.jacobian(layer.W), reference.gram(layer, layer.W)
    np.testing.assert_allclose(J @ J.T, G, rtol=1e-12, atol=1e-12)
    known = {(0, 0): 28.620593295716, (0, 1): 1.891470577239}
    known |= {(2, 3): 5.926813005691, (3, 3): 9.540197765239}
    for entry, value in known.items():
        assert G[entry] == pytest.approx(value, rel=1e-9)


def test_golden_trajectory_with_explicit_jacobians():
    _, _, layer, y, _ = reference.golden()
    norms, W = reference.gauss_newton(layer, y, 3)
    np.testing.assert_allclose(
        norms[:3], [2.841591855059, 1.109003650475, 0.06608258499615], rtol=1e-9
    )
    assert norms[3] <= 1e-12
    assert np.linalg.matrix_rank(W - layer.W) <= len(y)


def test_golden_network_is_far_from_every_kink():
    # What makes the golden numbers robust: no rounding can flip a neuron.
    _, _, layer, y, _ = reference.golden()
    for n_steps in range(3):
        _, W = reference.gauss_newton(layer, y, n_steps)
        assert np.abs(layer.V @ W.T - layer.tau[:, None]).min() > 1e-4


@pytest.mark.parametrize("jumps", [False, True])
@pytest.mark.parametrize("n_outputs", [1, 3])
def test_jacobian_is_the_derivative(jumps, n_outputs):
    rng = np.random.default_rng(0)
    layer = small_layer(rng, n_outputs=n_outputs, jumps=jumps)
    step = 1e-7
    assert np.abs(layer.V @ layer.W.T - layer.tau[:, None]).min() > 10 * step  # no kink in reach
    for _ in range(5):
        direction = rng.standard_normal(layer.W.shape)
        direction /= np.linalg.norm(direction)
        change = layer.outputs(layer.W + step * direction) - layer.outputs(
            layer.W - step * direction
        )
        np.testing.assert_allclose(
            layer.jacobian(layer.W) @ direction.ravel(), change.ravel() / (2 * step), atol=1e-7
        )


@pytest.mark.parametrize("n_outputs", [1, 3])
def test_gram_is_the_explicit_product(n_outputs):
    layer = small_layer(np.random.default_rng(1), n_outputs=n_outputs)
    J = layer.jacobian(layer.W)
    np.testing.assert_allclose(reference.gram(layer, layer.W), J @ J.T, rtol=1e-12, atol=1e-12)


def test_coactivation_counts_common_neurons():
    D = np.random.default_rng(2).random((9, 70)) < 0.3
    fired = [set(np.flatnonzero(row)) for row in D]
    assert reference.coactivation(D).tolist() == [[len(p & q) for q in fired] for p in fired]


def test_levenberg_marquardt_is_plain_gauss_newton_where_that_works():
    _, _, layer, y, _ = reference.golden()
    plain, W = reference.gauss_newton(layer, y, 3)
    safe = reference.levenberg_marquardt(layer, y, 10)
    np.testing.assert_array_equal(safe.norms, plain)
    np.testing.assert_array_equal(safe.W, W)
    assert safe.steps.tolist() == [0.0, 0.0, 0.0]
    assert safe.n_evaluations == 4


def test_levenberg_marquardt_settles_conflicting_labels_at_least_squares():
    layer = small_layer(np.random.default_rng(3), n=6, m=64)
    twice = [0, 1, 2, 3, 4, 5, 5]
    layer = reference.Layer(layer.V[twice], layer.W, layer.readout, layer.tau[twice], layer.scale)
    y = np.array([0.5, -1.0, 1.0, 0.0, 2.0, 3.0, -1.0])
    run = reference.levenberg_marquardt(layer, y, 60)
    # The two copies are fitted at their mean, 1: the residual is |(2, -2)|.
    assert run.norms.min() == pytest.approx(np.sqrt(8.0), rel=1e-6)
    np.testing.assert_allclose(layer.outputs(run.W)[-2:], 1.0, atol=1e-3)


def test_regularised_step_minimises_the_linearised_objective():
    rng = np.random.default_rng(4)
    layer = small_layer(rng, n=10, m=64, n_outputs=2)
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
    layer, mu = small_layer(rng, n=10, m=64, n_outputs=2), 3.0
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
    layer, y, mu = small_layer(rng, n=5, m=48), rng.standard_normal(5), 0.5
    rows = np.repeat(np.arange(5), [1, 2, 1, 3, 1])
    again = reference.Layer(layer.V[rows], layer.W, layer.readout, layer.tau[rows], layer.scale)
    np.testing.assert_allclose(
        reference.regularised_step(layer, layer.W, y, mu, weights=[1.0, 2.0, 1.0, 3.0, 1.0]),
        reference.regularised_step(again, layer.W, y[rows], mu),
        rtol=1e-9,
        atol=1e-12,
    )


@pytest.mark.parametrize("mu", [1e-3, 0.3, 30.0])
def test_leaving_one_out_has_the_closed_form(mu):
    rng = np.random.default_rng(6)
    layer, r = small_layer(rng, n=12), rng.standard_normal(12)
    G = reference.gram(layer, layer.W)
    inverse = np.linalg.inv(G + mu * np.eye(12))
    np.testing.assert_allclose(
        reference.leave_one_out(G, r, mu), inverse @ r / np.diag(inverse), rtol=1e-8
    )


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
    constant = reference.hard_constant(1.2) if jumps else reference.shifted_constant(1.2)
    expected = np.diag(previous) * constant * reference.tail(1.2)
    np.testing.assert_allclose(np.diag(limit), expected, rtol=1e-12)


def test_limit_kernel_is_the_limit():
    # Gram / m of one wide layer (L = 1: K_0 = X X^T) against the closed form. Entry ij is K_ij c
    # times the mean of m independent 0/1 numbers of probability p: 5 standard errors, 36 distinct
    # entries, false alarm about 2e-5.
    rng = np.random.default_rng(9)
    m, b = 20000, 1.0
    X = reference.sphere(8, 3, rng)
    std = np.sqrt(2.0 / m)
    constant = reference.shifted_constant(b)
    layer = reference.Layer(
        V=X,
        W=std * rng.standard_normal((m, 3)),
        readout=np.where(rng.random((1, m)) < 0.5, -1.0, 1.0),
        tau=np.full(8, std * b),
        scale=np.sqrt(constant),
    )
    kernel, limit = reference.limit_kernels(X, 1, b)
    p = np.clip(limit / (kernel * constant), 0.0, 1.0)
    error = np.abs(reference.gram(layer, layer.W) / m - limit)
    assert np.all(error <= 5.0 * np.abs(kernel) * constant * np.sqrt(p * (1.0 - p) / m) + 1e-12)
