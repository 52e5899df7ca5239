"""What the theory promises, measured on the package: exact identities, rates and laws.

One file, so that the facts can be read as one list, here in the order of the tests. A2, orthant
probabilities, and A3, layer correlations, are closed forms, held to known numbers in
``test_reference``; A8, all layers trained through `LowRankMaintenance`, is in ``test_lowrank``.

A1  norm-preserving constants            A9   one-third rate, in fact far better
A4  the golden network                   A10  first ratio ~ width^-1/2
A5  Gram = J J^T, exact counts           A11  the hard threshold breaks the rate
A6  low-rank maintenance, any budget     A12  layer norms over depth
A7  size of the change, scale invariance A13  precision reached in float32 and float64
A3  Gram / m tends to K_{L-1} o Kdot_L   A14  contradictory labels, silent samples
                                         A22  several outputs
"""

import numpy as np
import pytest
import reference
from scipy.special import ndtri

from subquad.activations import ReLU, ShiftedReLU, ThresholdedReLU
from subquad.jacobian import KhatriRao
from subquad.lowrank import LowRankMaintenance
from subquad.networks import LastLayer, WideNetwork
from subquad.training import LastLayerGaussNewton, TrainingWarning
from subquad.training.last_layer._dense import DenseState

KINDS = ["sphere", "digits"]


def points(kind, n, seed, d=16):
    """Return n unit rows: uniform on the sphere of R^d, or handwritten digits drawn at random."""
    rng = np.random.default_rng([seed, 99])
    if kind == "sphere":
        return reference.sphere(n, d, rng)
    datasets = pytest.importorskip("sklearn.datasets")
    X = datasets.load_digits().data
    return reference.unit_rows(X[rng.permutation(len(X))[:n]])


def signs(n, seed):
    """Return n labels +-1."""
    return np.random.default_rng([seed, 98]).choice([-1.0, 1.0], n)


def last_layer(X, width, shift, seed, depth=2, activation=ShiftedReLU, dtype=np.float64, **kwargs):
    """Return the last layer of a fresh network on the rows of X."""
    network = WideNetwork(
        X.shape[1],
        width=width,
        depth=depth,
        activation=activation(shift),
        rng=seed,
        dtype=dtype,
        **kwargs,
    )
    return network.last_layer(X.astype(dtype))


def shift_for(alpha, width):
    """b = sqrt(2 alpha log m)."""
    return ShiftedReLU.for_sparsity(alpha, width).shift


def explicit_gram(layer, Z):
    """G = s^2 K o (D D^T) of a one-output layer at pre-activations Z, by dense products."""
    D = (Z > layer.thresholds[:, None]).astype(float)
    V = layer.features.astype(float)
    return layer.activation.scale**2 * (V @ V.T) * ((D * layer.readout**2) @ D.T)


def final_preactivations(layer, trainer):
    """Z of the best iterate from the factors of its change."""
    A, V = trainer.factors
    return layer.preactivations + (layer.features @ V.T) @ A


def ratios(trainer):
    return np.array([record.ratio for record in trainer.history])


def norms(trainer, layer, y):
    """|r_0|, |r_1|, ... where r_0 is measured before any step."""
    y = np.reshape(y, (layer.n, -1))
    start = np.linalg.norm(layer.outputs() - y)
    return np.array([start] + [record.residual_norm for record in trainer.history])


# A1 ---------------------------------------------------------------------------------------------
CONSTANTS = [
    (0.5, 1.031842234262, 2.385049441310),
    (1.0, 1.248046873879, 6.636599918512),
    (1.5, 1.915095433112, 21.884701163221),
    (2.0, 3.824616402237, 86.674239350168),
    (3.0, 34.140311827329, 2457.786527295499),
]


@pytest.mark.parametrize(("b", "hard", "shifted"), CONSTANTS)
def test_activation_constants_are_those_that_preserve_norms(b, hard, shifted):
    assert ThresholdedReLU(b).norm_constant == pytest.approx(hard, rel=1e-10)
    assert ShiftedReLU(b).norm_constant == pytest.approx(shifted, rel=1e-10)
    for activation in (ThresholdedReLU(b), ShiftedReLU(b)):
        assert activation.scale == pytest.approx(np.sqrt(activation.norm_constant), rel=1e-14)
        assert activation.firing_probability == pytest.approx(reference.tail(b), rel=1e-12)


def test_without_a_shift_the_three_activations_are_one():
    for activation in (ReLU(), ShiftedReLU(0.0), ThresholdedReLU(0.0)):
        assert activation.norm_constant == pytest.approx(1.0, rel=1e-14)
        assert activation.scale == pytest.approx(1.0, rel=1e-14)
        assert activation.firing_probability == pytest.approx(0.5, rel=1e-14)


@pytest.mark.parametrize(("alpha", "k"), [(0.1, 735), (0.2, 236), (0.32, 66.9), (0.5, 11.0)])
def test_expected_active_neurons_is_width_times_firing_probability(alpha, k):
    activation = ShiftedReLU.for_sparsity(alpha, 8192)
    assert activation.expected_active(8192) == pytest.approx(k, rel=5e-3)
    assert activation.expected_active(8192) < 8192 ** (1 - alpha)  # only an upper bound


# A4 ---------------------------------------------------------------------------------------------
def golden_layer():
    _, _, golden, y, _ = reference.golden()
    layer = LastLayer(golden.V, golden.V @ golden.W.T, golden.readout[0], ShiftedReLU(0.5))
    return golden, layer, y


def golden_run(layer, y):
    with pytest.warns(TrainingWarning):  # 10 neurons expected, 3 at the least: small on purpose
        return LastLayerGaussNewton(layer, y, tol=1e-12, min_active=1).run()


def test_golden_network_before_training():
    golden, layer, _ = golden_layer()
    np.testing.assert_allclose(layer.thresholds, golden.tau, rtol=1e-12)
    assert layer.activation.scale == pytest.approx(golden.scale, rel=1e-12)
    np.testing.assert_allclose(
        layer.outputs().ravel(),
        [0.532433883297, 1.133823151041, 0.071763255752, 0.233806848556],
        rtol=1e-9,
    )


def test_golden_network_is_trained_as_by_hand():
    golden, layer, y = golden_layer()
    trainer = golden_run(layer, y)
    found = norms(trainer, layer, y)
    np.testing.assert_allclose(
        found[:3], [2.841591855059, 1.109003650475, 0.06608258499615], rtol=1e-9
    )
    assert len(found) == 4
    assert found[3] <= 1e-12
    assert trainer.converged
    _, W = reference.gauss_newton(golden, y, 3)
    A, V = trainer.factors
    np.testing.assert_allclose(A.T @ V, W - golden.W, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(trainer.outputs.ravel(), y, rtol=0, atol=1e-12)


def test_golden_network_reports_its_active_neurons():
    golden, layer, y = golden_layer()
    trainer = golden_run(layer, y)
    D = golden.mask(golden.W)
    assert D.sum(axis=1).tolist() == [12, 10, 3, 4]
    for n_steps, record in enumerate(trainer.history):  # firing is that before the step
        _, W = reference.gauss_newton(golden, y, n_steps)
        active = golden.mask(W)
        assert record.active_fraction == pytest.approx(active.mean(), rel=1e-12)
        assert record.min_active == active.sum(axis=1).min()


# A5 ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_structured_gram_is_the_product_of_explicit_jacobians(dtype):
    X = points("sphere", 24, 0)
    layer = last_layer(X, 128, 0.7, 0, dtype=dtype)
    D = layer.preactivations > layer.thresholds[:, None]
    U = (layer.activation.scale * layer.readout * D).astype(dtype)
    jacobian = KhatriRao(U, layer.features)
    J = jacobian.to_dense().astype(float)
    tolerance = 1e-12 if dtype == np.float64 else 3e-6
    size = np.abs(J @ J.T).max()
    np.testing.assert_allclose(jacobian.gram(), J @ J.T, rtol=0, atol=tolerance * size)
    np.testing.assert_allclose(
        explicit_gram(layer, layer.preactivations), J @ J.T, rtol=0, atol=tolerance * size
    )


def test_float32_products_of_masks_are_exact_counts():
    # Sums of 0/1 below 2^24 are exact in float32, whatever the order of summation.
    D = np.random.default_rng(0).random((33, 5000)) < 0.3
    counts = reference.coactivation(D)
    np.testing.assert_array_equal(D.astype(np.float32) @ D.astype(np.float32).T, counts)


# A6 ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize("rank_budget", [1, 8, 128, np.inf])
def test_maintenance_gives_the_same_trajectory_at_every_rank_budget(rank_budget):
    X, y, width = points("sphere", 32, 1), signs(32, 1), 512
    network = WideNetwork(16, width=width, activation=ShiftedReLU(1.0), rng=1)
    W0 = network.weights[-1].to_dense().copy()
    layer = network.last_layer(X)
    plain = LastLayerGaussNewton(layer, y, tol=1e-12).run()
    maintained = LowRankMaintenance(W0, rank_budget=rank_budget)
    trainer = LastLayerGaussNewton(layer, y, tol=1e-12, maintenance=maintained).run()
    assert len(trainer.history) == len(plain.history)
    np.testing.assert_allclose(norms(trainer, layer, y), norms(plain, layer, y), rtol=0, atol=1e-10)
    np.testing.assert_allclose(trainer.outputs, plain.outputs, rtol=0, atol=1e-10)
    A, V = plain.factors
    change = maintained.to_dense() - W0
    np.testing.assert_allclose(change, A.T @ V, rtol=0, atol=1e-10)
    singular_values = np.linalg.svd(change, compute_uv=False)
    assert np.count_nonzero(singular_values > 1e-10 * singular_values[0]) <= 32


# A7 ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", KINDS)
def test_first_step_moves_the_weights_by_the_inverse_gram_norm_of_the_residual(kind):
    layer, y = last_layer(points(kind, 48, 2), 512, 0.8, 2), signs(48, 2)
    trainer = LastLayerGaussNewton(layer, y, max_steps=1, tol=1e-12)
    trainer.step()
    A, V = trainer.factors
    r = layer.outputs().ravel() - y
    G = explicit_gram(layer, layer.preactivations)
    moved = np.sum(A * ((V @ V.T) @ A))
    assert moved == pytest.approx(np.linalg.norm(A.T @ V) ** 2, rel=1e-9)
    assert moved == pytest.approx(r @ np.linalg.solve(G, r), rel=1e-9)


@pytest.mark.parametrize("c", [0.01, 3.0, 1000.0])
def test_rescaling_the_parameters_changes_no_residual(c):
    layer, y = last_layer(points("sphere", 32, 3), 256, 0.8, 3), signs(32, 3)
    scaled = LastLayer(
        layer.features,
        c * layer.preactivations,
        layer.readout / c,
        layer.activation,
        thresholds=c * layer.thresholds,
    )
    plain = LastLayerGaussNewton(layer, y, tol=1e-9).run()
    trainer = LastLayerGaussNewton(scaled, y, tol=1e-9).run()
    size = np.linalg.norm(y)
    np.testing.assert_allclose(
        norms(trainer, scaled, y), norms(plain, layer, y), rtol=1e-9, atol=1e-9 * size
    )


# A3 ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize("depth", [2, 3])
def test_gram_over_width_tends_to_its_closed_form(depth):
    # Twelve points at widths 512 and 2048, medians over 3 networks of the largest error relative
    # to the diagonal. The law is width^-1/2: half. Seen: .23 to .11 and .21 to .08.
    X, b, errors = points("sphere", 12, 4, d=6), 1.0, {}
    _, limit = reference.limit_kernels(X, depth, b)
    for width in (512, 2048):
        found = []
        for seed in range(3):
            layer = last_layer(X, width, b, seed, depth=depth)
            found.append(np.abs(explicit_gram(layer, layer.preactivations) / width - limit).max())
        errors[width] = np.median(found) / limit[0, 0]
    assert errors[512] < 0.35
    assert errors[2048] < 0.8 * errors[512]


# A9 ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize("seed", range(4))
def test_gauss_newton_is_far_faster_than_the_one_third_rate(seed):
    # Bands as wide as 1.5 to 2 times what 20 seeds gave (in brackets); no seed of those failed.
    X, y = points("sphere", 64, seed), signs(64, seed)
    layer = last_layer(X, 1024, 1.5, seed, depth=3)
    trainer = LastLayerGaussNewton(layer, y, tol=1e-10).run()
    assert trainer.converged
    assert len(trainer.history) <= 6  # (3 to 4)
    assert ratios(trainer).max() <= 0.15  # (.061 to .094)
    D = layer.preactivations > layer.thresholds[:, None]
    assert 62 <= D.sum(axis=1).mean() <= 75  # (mQ = 68.4)
    hidden = layer.activation(layer.preactivations, layer.thresholds)
    assert 0.85 <= np.square(hidden).sum(axis=1).mean() <= 1.15
    eigenvalues = np.linalg.eigvalsh(explicit_gram(layer, layer.preactivations)) / 1024
    assert 0.8 <= eigenvalues[0] <= 1.3
    assert eigenvalues[-1] < 3 * eigenvalues[0]
    changed = D != (final_preactivations(layer, trainer) > layer.thresholds[:, None])
    assert 0.05 <= changed.sum() / D.sum() <= 0.15
    assert 0.6 <= np.sqrt(np.square(layer.outputs()).mean()) <= 1.5


@pytest.mark.parametrize(
    ("kind", "width", "k"),
    [
        ("sphere", 512, 32),
        ("sphere", 512, 64),
        ("sphere", 2048, 32),
        ("sphere", 2048, 64),
        ("digits", 2048, 64),
    ],
)
def test_every_step_keeps_the_one_third_rate(kind, width, k):
    # Largest ratio of a run, 8 seeds: .14, .11, .14, .09, .25. Correlated data want more: digits at
    # width 512 reach .49, and with k = 16 some run of every kind misses a third or loses a sample.
    for seed in range(2):
        layer, y = (
            last_layer(points(kind, 64, seed), width, -ndtri(k / width), seed),
            signs(64, seed),
        )
        assert layer.activation.expected_active(width) == pytest.approx(k, rel=1e-6)
        trainer = LastLayerGaussNewton(layer, y, tol=1e-10).run()
        assert trainer.converged
        assert ratios(trainer).max() <= 1 / 3


# A10 --------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", KINDS)
def test_first_ratio_falls_like_the_inverse_root_of_the_width(kind):
    # Medians of 5 seeds; the law gives .5, seen .48 (sphere) and .45 (digits).
    medians = {}
    for width in (1024, 4096):
        first = []
        for seed in range(5):
            layer = last_layer(points(kind, 64, seed), width, 1.2, seed, dtype=np.float32)
            trainer = LastLayerGaussNewton(layer, signs(64, seed).astype(np.float32))
            first.append(trainer.step().ratio)
        medians[width] = np.median(first)
    assert 0.35 <= medians[4096] / medians[1024] <= 0.75


# A11 --------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", KINDS)
def test_hard_threshold_breaks_the_rate(kind):
    # 10 of 10 seeds; the continuous activation at the same shift keeps it (two tests above).
    for seed in range(10):
        layer = last_layer(points(kind, 64, seed), 1024, 1.5, seed, activation=ThresholdedReLU)
        trainer = LastLayerGaussNewton(layer, signs(64, seed))
        assert max(trainer.step().ratio for _ in range(6)) > 0.5


# A12 --------------------------------------------------------------------------------------------
def three_layers(seed, activation, *, normalise=False):
    """Return h_1, h_2, h_3 of a plain network built from the package's activation."""
    rng = np.random.default_rng(seed)
    h, layers, width = reference.sphere(32, 16, rng), [], 2048
    std = np.sqrt(2.0 / width)
    for _ in range(3):
        W = std * rng.standard_normal((width, h.shape[1]), dtype=np.float32)
        thresholds = activation.thresholds(np.linalg.norm(h, axis=1), std)
        h = activation((h.astype(np.float32) @ W.T).astype(float), thresholds)
        if normalise:
            h = reference.unit_rows(h)
        layers.append(h)
    return layers


@pytest.mark.parametrize("seed", range(4))
def test_absolute_thresholds_spread_the_norms_over_depth_and_relative_ones_do_not(seed):
    # 8 seeds: absolute 1.14 and more, relative .40 and less.
    def spread(relative):
        h = three_layers(seed, ShiftedReLU(2.21, relative=relative))[-1]
        size = np.linalg.norm(h, axis=1)
        return size.std() / size.mean()

    assert spread(relative=False) > 0.7
    assert spread(relative=True) < 0.6


def test_normalised_layers_have_unit_rows():
    for h in three_layers(0, ShiftedReLU(2.21), normalise=True):
        np.testing.assert_allclose(np.linalg.norm(h, axis=1), 1.0, rtol=1e-12)
    network = WideNetwork(16, width=2048, depth=3, activation=ShiftedReLU(2.21), rng=0)
    V = network.features(points("sphere", 32, 0))
    np.testing.assert_allclose(np.linalg.norm(V, axis=1), 1.0, rtol=1e-12)


def test_without_the_scale_the_network_dies_by_the_third_layer():
    rng = np.random.default_rng(0)
    h, width, b = reference.sphere(32, 16, rng), 2048, 2.21
    std = np.sqrt(2.0 / width)
    for _ in range(3):
        W = std * rng.standard_normal((width, h.shape[1]))
        h = np.maximum(h @ W.T - std * b, 0.0)
    assert np.count_nonzero(h) == 0


# A13 --------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("dtype", "tol"), [(np.float32, 1e-6), (np.float64, 1e-12)])
@pytest.mark.parametrize("kind", KINDS)
def test_each_precision_reaches_its_floor(kind, dtype, tol):
    # Floors seen: 7e-8 to 3e-7 in float32, 2e-16 to 2e-14 in float64.
    layer = last_layer(points(kind, 64, 6), 2048, shift_for(0.2, 2048), 6, dtype=dtype)
    y = signs(64, 6).astype(dtype)
    trainer = LastLayerGaussNewton(layer, y, tol=tol).run()
    assert trainer.converged
    assert trainer.relative_residual <= tol
    A, V = trainer.factors
    assert A.dtype == V.dtype == dtype
    # Recomputed from the factors, in float64: what is reported is true of what is returned. The
    # factors rounded to float32 carry an error of their own size, eps |Z|.
    outputs = layer.outputs((A, V)).ravel()
    assert np.linalg.norm(outputs - y) <= 3 * tol * np.linalg.norm(layer.outputs().ravel() - y)


# A14 --------------------------------------------------------------------------------------------
@pytest.mark.parametrize("seed", range(3))
def test_contradictory_labels_end_at_the_least_squares_value(seed):
    # 8 pairs (1, -1): each pair is fitted at 0, the residual is sqrt(16) = 4. 5 seeds gave 4.0000.
    X, y = points("sphere", 64, seed), signs(64, seed)
    X, y = np.concatenate([X, X[:8]]), np.concatenate([y, -y[:8]])
    trainer = LastLayerGaussNewton(last_layer(X, 1024, 1.0, seed), y)
    with pytest.warns(TrainingWarning):
        trainer.run()
    assert trainer.residual_norm == pytest.approx(4.0, rel=0.02)
    assert all(np.isfinite(record.residual_norm) for record in trainer.history)
    assert not trainer.converged
    assert trainer.message


def test_sample_without_active_neurons_is_named_and_keeps_its_residual():
    layer = last_layer(points("sphere", 24, 7), 1024, 1.0, 7)
    Z0 = layer.preactivations.copy()
    Z0[5] = -np.abs(Z0[5]) - 1.0
    layer = LastLayer(layer.features, Z0, layer.readout, layer.activation)
    y = 0.1 * signs(24, 7)
    y[5] = 3.0
    with (
        pytest.warns(TrainingWarning, match=r"point 5\b"),
        pytest.warns(TrainingWarning, match="stagnates"),
    ):
        trainer = LastLayerGaussNewton(layer, y).run()
    assert layer.outputs()[5, 0] == 0.0
    assert trainer.outputs[5, 0] - y[5] == -3.0
    assert trainer.residual_norm == pytest.approx(3.0, rel=1e-6)


# A22 --------------------------------------------------------------------------------------------
def test_partitioned_outputs_have_exactly_zero_cross_blocks():
    X = points("sphere", 12, 8)
    network = WideNetwork(16, width=300, n_outputs=4, activation=ShiftedReLU(0.5), rng=8)
    layer = network.last_layer(X)
    dense = reference.Layer(
        layer.features,
        network.weights[-1].to_dense(),
        layer.readout,
        layer.thresholds,
        layer.activation.scale,
    )
    J = dense.jacobian(dense.W)
    G = (J @ J.T).reshape(12, 4, 12, 4)
    for c in range(4):
        for other in range(4):
            assert (np.abs(G[:, c, :, other]).max() == 0.0) == (c != other)


def test_coupled_outputs_are_multiplied_as_by_the_explicit_gram():
    X = points("sphere", 12, 9)
    network = WideNetwork(
        16, width=300, n_outputs=4, activation=ShiftedReLU(0.5), readout="dense", rng=9
    )
    layer = network.last_layer(X)
    W0, scale = network.weights[-1].to_dense(), layer.activation.scale
    dense = reference.Layer(layer.features, W0, layer.readout, layer.thresholds, scale)
    G = reference.gram(dense, dense.W)
    system = DenseState(layer, None).linearise()
    for g in np.random.default_rng(9).standard_normal((3, 12, 4)):
        product = (G @ g.ravel()).reshape(12, 4)
        tolerance = 1e-10 * np.abs(product).max()
        np.testing.assert_allclose(system._product(g), product, rtol=0, atol=tolerance)
        assert system.quadratic(g) == pytest.approx(np.vdot(g, product), rel=1e-10)


def test_ten_digits_are_fitted_and_recognised():
    # 4 seeds: relative residual .053 to .058, test accuracy .991 to .9925, training accuracy 1.
    datasets = pytest.importorskip("sklearn.datasets")
    digits = datasets.load_digits()
    order = np.random.default_rng(0).permutation(1797)
    train, test = order[:1000], order[1000:]
    X, targets = reference.unit_rows(digits.data), np.eye(10)[digits.target]
    network = WideNetwork(64, width=2048, n_outputs=10, activation=ReLU(), rng=0)
    layer = network.last_layer(X[train])
    trainer = LastLayerGaussNewton(layer, targets[train], max_steps=5, tol=1e-10)
    for _ in range(5):
        trainer.step()
    assert trainer.relative_residual < 0.1
    assert np.all(trainer.outputs.argmax(axis=1) == digits.target[train])
    predicted = network.outputs(X[test], trainer.factors).argmax(axis=1)
    assert np.mean(predicted == digits.target[test]) >= 0.975
