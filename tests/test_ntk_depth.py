"""Kernels of many layers, large shifts and near points, against mpmath."""

import numpy as np
import pytest
import reference_ntk

from subquad.activations import ReLU, ShiftedReLU, ThresholdedReLU
from subquad.ntk import DualActivation, last_layer_ntk, layer_kernels, ntk
from subquad.ntk._dual import as_dual
from subquad.ntk._moments import angles
from subquad.ntk._profile import combine, layers, profiles

ANGLES = [1e-8, 1e-3, 0.1, 2.0]
# (activation, depth): K_L, then Theta_L over its value at angle 0, at each of the angles, from
# reference_ntk.precise_layers with 50 digits.
PRECISE = {
    (ReLU(), 4): (
        [1, 0.9999995004242522, 0.9954085737841166, 0.6346879333951166],
        [0.9999999936338022, 0.9993632183733681, 0.935102542554485, 0.2329870325942605],
    ),
    (ReLU(), 10): (
        [1, 0.9999995010595565, 0.9959285771553309, 0.8610619418539027],
        [0.9999999840845059, 0.9984104815939969, 0.8593262091704077, 0.2967913746732682],
    ),
    (ReLU(), 50): (
        [1, 0.9999995052641144, 0.9978859711732943, 0.9875904335732956],
        [0.9999999204225353, 0.9921101881463684, 0.5857155202278178, 0.2833273815772042],
    ),
    (ShiftedReLU(0.5), 4): (
        [0.9999999999999998, 0.9999976579799889, 0.9801152723735146, 0.3468004732406806],
        [0.9999999819618842, 0.9981972031163611, 0.8301891206557653, 0.048236878182757],
    ),
    (ShiftedReLU(0.5), 10): (
        [0.9999999999999977, 0.9999763583778906, 0.8869015608489247, 0.4470787047931732],
        [0.9999998873367039, 0.9888096396475714, 0.3645016100029903, 0.009744360705476095],
    ),
    (ShiftedReLU(1.0), 4): (
        [0.999999999999999, 0.99999019721782, 0.9275972708230235, 0.1414570038933746],
        [0.9999999599093238, 0.995997676977356, 0.6618104013358379, 0.00584441467305676],
    ),
    (ShiftedReLU(1.0), 10): (
        [0.9999999999999143, 0.9991729138615384, 0.2961420544639409, 0.1525513003679183],
        [0.999999463886375, 0.9479071180752789, 0.01539256387977717, 8.637735101762156e-05],
    ),
    (ShiftedReLU(1.0), 50): (
        [0.7183550376720014, 0.1526578921675822, 0.1526578920557407, 0.1526578920557335],
        [0.2180104028685904, 1.005256743171236e-17, 1.003691270898604e-17, 1.003691270885448e-17],
    ),
    (ShiftedReLU(2.0), 4): (
        [0.9999999999999879, 0.9998801775350822, 0.5234670145816526, 0.01377057870580952],
        [0.999999864626818, 0.9865369643600358, 0.2240251968263635, 4.698128529288712e-05],
    ),
    (ShiftedReLU(2.0), 10): (
        [0.9999999999545005, 0.7509758366112588, 0.01378518105498527, 0.01378248757808673],
        [0.9999908534237065, 0.3861969048213376, 1.361333787472809e-08, 1.251790211350142e-08],
    ),
    (ShiftedReLU(2.0), 50): (
        [0.01378248758793162, 0.01378248758793162, 0.01378248758793162, 0.01378248758793162],
        [1.82576693875929e-32, 1.825463915540278e-32, 1.825463915540278e-32, 1.825463915540278e-32],
    ),
    (ShiftedReLU(3.0), 4): (
        [0.9999999999999031, 0.9990535604816506, 0.03964776781104994, 0.0007243931892467987],
        [0.9999996455035305, 0.9649972075738117, 0.008550530989680333, 3.202610515622252e-07],
    ),
    (ShiftedReLU(3.0), 10): (
        [0.9999999917264815, 0.0009925387999914835, 0.0007243937199747847, 0.0007243937199486912],
        [0.9998931036761634, 8.009427018082426e-06, 3.751638040884366e-12, 3.751637958407928e-12],
    ),
    (ShiftedReLU(4.0), 4): (
        [0.9999999999994483, 0.9947708423008913, 7.949555330641663e-05, 1.652681512440695e-05],
        [0.9999992056484766, 0.9225322672332281, 4.030561680324452e-06, 1.352189074123049e-09],
    ),
    (ShiftedReLU(4.0), 10): (
        [0.999999361011674, 1.652682079771264e-05, 1.652681512497258e-05, 1.652681512497258e-05],
        [0.9991343058799484, 4.137509805684381e-15, 1.166727379507698e-15, 1.166727379507698e-15],
    ),
    (ShiftedReLU(4.0), 50): (
        [
            1.652681512497258e-05,
            1.652681512497258e-05,
            1.652681512497258e-05,
            1.652681512497258e-05,
        ],
        [4.36389983613713e-56, 4.36389983613713e-56, 4.36389983613713e-56, 4.36389983613713e-56],
    ),
    (ThresholdedReLU(1.0), 4): (
        [0.9858160021567856, 0.9120447663472658, 0.7188424684236279, 0.2470574565927749],
        [0.977903992905672, 0.8721763386212963, 0.629993473273564, 0.1644824308536687],
    ),
    (ThresholdedReLU(1.0), 10): (
        [0.4645182460403524, 0.3742019134195342, 0.3176430824238919, 0.2832959039453741],
        [0.3555434260869224, 0.2707953361306737, 0.2210532274949604, 0.1921806398175067],
    ),
    (ThresholdedReLU(1.0), 50): (
        [0.2846010959913733, 0.2846010959568157, 0.284601095939416, 0.2846010959301138],
        [0.1932512791907268, 0.1932512791621678, 0.1932512791477883, 0.1932512791401008],
    ),
    (ThresholdedReLU(2.0), 4): (
        [0.9082575258633128, 0.5209987299268857, 0.1152615483496747, 0.0257966976131607],
        [0.9018480891937429, 0.4985282667432075, 0.1015430224979887, 0.02140672194184321],
    ),
    (ThresholdedReLU(2.0), 10): (
        [0.02613017995739667, 0.02588868349553144, 0.02587154325658534, 0.02587048372156814],
        [0.02168897138505845, 0.02148208480844933, 0.02146740445152987, 0.02146649699084793],
    ),
    (ThresholdedReLU(4.0), 4): (
        [0.5946526272848904, 0.005898191799482045, 3.216704854601616e-05, 3.160659801779851e-05],
        [0.5924120596589991, 0.005693707729022268, 3.037201094173888e-05, 2.984117486720728e-05],
    ),
    (ThresholdedReLU(4.0), 10): (
        [
            3.160659802356977e-05,
            3.160659802356697e-05,
            3.160659802356697e-05,
            3.160659802356697e-05,
        ],
        [
            2.984115864500367e-05,
            2.984115864500102e-05,
            2.984115864500102e-05,
            2.984115864500102e-05,
        ],
    ),
}


def pair(angle):
    """Two unit rows."""
    return np.array([[1.0, 0.0], [np.cos(angle), np.sin(angle)]])


@pytest.mark.parametrize(("activation", "depth"), PRECISE, ids=str)
def test_kernels_are_those_of_fifty_digits(activation, depth):
    for angle, K, theta in zip(ANGLES, *PRECISE[activation, depth], strict=True):
        rows = pair(angle)
        found = layer_kernels(rows, depth=depth, activation=activation)[-1]
        assert found[0, 1] == pytest.approx(K, rel=0, abs=1e-12)
        found = ntk(rows, depth=depth, activation=activation)
        assert found[0, 1] / found[0, 0] == pytest.approx(theta, rel=0, abs=1e-12)


@pytest.mark.parametrize("activation", [ReLU(), ShiftedReLU(1.0), ThresholdedReLU(1.0)], ids=str)
@pytest.mark.parametrize("angle", [1e-8, 0.3, np.pi])
def test_kernels_are_those_of_the_textbook_with_digits_to_spare(activation, angle):
    pytest.importorskip("mpmath")
    wanted = reference_ntk.precise_layers(activation, 3, angle)
    rows = pair(angle)
    found = layer_kernels(rows, depth=3, activation=activation)[:, 0, 1]
    np.testing.assert_allclose(found, [float(K) for K, _ in wanted], rtol=0, atol=1e-13)
    slope = last_layer_ntk(rows, depth=3, activation=activation)
    scale = slope[0, 0]
    exact = float(wanted[2][0] * wanted[3][1] / 2)
    assert slope[0, 1] / scale == pytest.approx(exact / scale, rel=0, abs=1e-13)


@pytest.mark.parametrize(
    ("activation", "depth"),
    [
        (ReLU(), 300),
        (ShiftedReLU(2.0), 10),
        (ShiftedReLU(3.0), 8),
        (ShiftedReLU(4.0), 30),
        (ThresholdedReLU(1.0), 4),
    ],
    ids=str,
)
@pytest.mark.parametrize("kernel", [layer_kernels, last_layer_ntk, ntk])
def test_equal_and_parallel_rows_have_the_value_at_angle_zero(activation, depth, dtype, kernel):
    rows = np.random.default_rng(0).standard_normal((9, 4)).astype(dtype)
    rows[1], rows[2], rows[3] = rows[0], 4 * rows[0], 3 * rows[0]
    K = kernel(rows, depth=depth, activation=activation)
    np.testing.assert_array_equal(K[..., 0, 1], K[..., 0, 0])
    np.testing.assert_array_equal(K[..., 0, 2], 4 * K[..., 0, 0])
    np.testing.assert_allclose(K[..., 0, 3], 3 * K[..., 0, 0], rtol=4 * np.finfo(dtype).eps)
    across = kernel(rows[:1], rows, depth=depth, activation=activation)
    np.testing.assert_array_equal(across[..., 0, :3], K[..., 0, :3])


@pytest.mark.parametrize("side", [1, -1])
@pytest.mark.parametrize("depth", [1, 3, 12])
@pytest.mark.parametrize(
    "activation",
    [ReLU(), ShiftedReLU(0.03), ShiftedReLU(2.0), ShiftedReLU(4.0), ThresholdedReLU(2.0)],
    ids=str,
)
def test_tables_are_the_layers_at_chords_of_all_sizes(activation, depth, side):
    rng, dual = np.random.default_rng(depth), as_dual(activation)
    s = np.append(np.exp(rng.uniform(np.log(1e-15), np.log(0.7), 200)), rng.uniform(0, 0.7, 50))
    near, far = s * s, 1 - s * s
    made = layers(dual, depth, 1.0, *(angles(near, far) if side > 0 else angles(far, near)))
    kinds = ["ntk", "last", depth]
    for kind, profile in zip(kinds, profiles(dual, depth, kinds), strict=True):
        found = [
            reference_ntk.evaluate_profile(profile.table, profile.offset, x, side < 0) for x in s
        ]
        np.testing.assert_allclose(
            found, combine(kind, *made), rtol=0, atol=3e-14 * profile.at_zero
        )


def test_correlations_are_trusted_only_where_they_know_enough():
    """Pairs at 0.02 to 0.06 among rows of many columns, whose correlations err by rounding."""
    rng, activation = np.random.default_rng(0), ShiftedReLU(2.0)
    x = rng.standard_normal((50, 400))
    rows = np.vstack([x, x + rng.uniform(0.01, 0.06, (50, 1)) * rng.standard_normal((50, 400))])
    found = ntk(rows, depth=8, activation=activation)
    units = rows / np.linalg.norm(rows, axis=1)[:, None]
    half = np.linalg.norm(units[:50] - units[50:], axis=1) / 2
    made = layers(as_dual(activation), 8, 1.0, *angles(half**2, 1 - half**2))
    norms = np.linalg.norm(rows, axis=1)
    theta = np.diag(found[:50, 50:]) / norms[:50] / norms[50:]
    largest = found[0, 0] / norms[0] ** 2
    np.testing.assert_allclose(theta, combine("ntk", *made), rtol=0, atol=1e-12 * largest)


def test_a_kernel_that_overflows_is_refused():
    with pytest.raises(ValueError, match=r"depth must keep the kernel below 1.8e\+308"):
        ntk(np.full((2, 1), 1e150), depth=6, activation=ShiftedReLU(8.0))
    with pytest.raises(ValueError, match=r"below 3.4e\+38 in float32; got an entry of 2e\+40"):
        ntk(np.full((2, 1), 1e20, np.float32))


NEAR = [(1e-8, 1e-6), (1e-6, 1e-10), (1e-3, 1e-4), (0.05, 0.01)]


@pytest.mark.parametrize("kind", [ShiftedReLU, ThresholdedReLU])
@pytest.mark.parametrize(("angle", "longer"), NEAR)
def test_fixed_thresholds_keep_near_points_apart(kind, angle, longer):
    pytest.importorskip("mpmath")
    activation, size = kind(1.0, relative=False), 1.1 * (1 + longer)
    x, y = np.array([1.1, 0.0]), size * np.array([np.cos(angle), np.sin(angle)])
    K, *squares = reference_ntk.precise_pair(activation, 3, x, y)
    found = layer_kernels([x, y], depth=3, activation=activation)[-1]
    np.testing.assert_allclose(found.diagonal(), np.array(squares, float), rtol=1e-13)
    distance = float(squares[0] + squares[1] - 2 * K)
    assert found[0, 1] == pytest.approx(float(K), rel=1e-12)
    if distance > 1e-6:  # otherwise the entries do not tell it
        assert found[0, 0] + found[1, 1] - 2 * found[0, 1] == pytest.approx(distance, rel=1e-8)


def test_a_function_keeps_near_points_apart():
    relu = DualActivation(lambda z: np.maximum(z, 0), lambda z: np.where(z > 0, 1.0, 0.0))
    rows = np.array([[1.0, 0.0], [2.0, 2e-9], [1.5, 1e-5], [1.0 + 1e-9, 1e-3], [0.5, 0.5]])
    found, wanted = ntk(rows, depth=3, activation=relu), ntk(rows, depth=3)
    np.testing.assert_allclose(found, wanted, rtol=1e-12)
