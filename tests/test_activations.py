"""Activations keep norms, fire as often as they say, and have the derivative they claim."""

import dataclasses
import math
import pickle

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from subquad.activations import ReLU, ShiftedReLU, ThresholdedReLU

SHIFTS = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0, 8.0]
ALL = [ReLU(), ShiftedReLU(1.2), ThresholdedReLU(1.2)]
SHIFTED = [ShiftedReLU, ThresholdedReLU]
EPS = {np.float32: 1e-6, np.float64: 1e-14}


def tail_integral(f, b):
    """Integral of f(z) over z > b against the normal density, without cancellation.

    With z = b + t the density is pdf(b) exp(-b t - t^2 / 2).
    """
    value, _ = quad(
        lambda t: f(b + t) * math.exp(-b * t - t * t / 2), 0, np.inf, epsabs=0, epsrel=1e-13
    )
    return norm.pdf(b) * value


@pytest.mark.parametrize(
    ("shift", "thresholded", "shifted"),
    [
        (0.0, 1.0, 1.0),
        (0.5, 1.031842234262, 2.385049441310),
        (1.0, 1.248046873879, 6.636599918512),
        (1.5, 1.915095433112, 21.884701163221),
        (2.0, 3.824616402237, 86.674239350168),
        (3.0, 34.140311827329, 2457.786527295499),
    ],
)
def test_norm_constants_agree_with_tabulated_values(shift, thresholded, shifted):
    assert ThresholdedReLU(shift).norm_constant == pytest.approx(thresholded, rel=1e-10)
    assert ShiftedReLU(shift).norm_constant == pytest.approx(shifted, rel=1e-10)


@pytest.mark.parametrize("shift", SHIFTS)
def test_the_second_moment_is_one_half_up_to_the_largest_shift(shift):
    """Lemma G.6 of [SZZ24]: 2 E[phi(z)^2] = 1, by quadrature of positive integrands."""
    shifted, thresholded = ShiftedReLU(shift), ThresholdedReLU(shift)
    moment = tail_integral(lambda z: (z - shift) ** 2, shift)
    assert 2 * shifted.norm_constant * moment == pytest.approx(1, rel=1e-12)
    moment = tail_integral(lambda z: z**2, shift)
    assert 2 * thresholded.norm_constant * moment == pytest.approx(1, rel=1e-12)
    assert shifted.scale**2 == pytest.approx(shifted.norm_constant, rel=1e-15)


@pytest.mark.parametrize("activation", ALL, ids=repr)
def test_a_wide_layer_keeps_the_norm_and_fires_as_often_as_promised(activation):
    """Bounds: 5 standard errors; each of the two fails by chance with probability below 1e-6."""
    width, b = 1 << 18, activation.shift
    h = np.array([[3.0, 4.0]])
    W = np.sqrt(2 / width) * np.random.default_rng(0).standard_normal((width, 2))
    Z, tau = h @ W.T, activation.thresholds([5.0], math.sqrt(2 / width))
    offset = 0.0 if activation.jumps else b
    fourth = activation.scale**4 * tail_integral(lambda z: (z - offset) ** 4, b)
    error = math.sqrt((4 * fourth - 1) / width)  # of the mean of 2 phi^2, whose mean is 1
    norm_ratio = np.sum(activation(Z, tau) ** 2) / 25
    assert abs(norm_ratio - 1) < 5 * error

    q = activation.firing_probability
    fired = np.count_nonzero(activation.derivative(Z, tau))
    assert abs(fired - activation.expected_active(width)) < 5 * math.sqrt(width * q * (1 - q))


@pytest.mark.parametrize(("alpha", "expected"), [(0.1, 735), (0.2, 236), (0.32, 66.9), (0.5, 11.0)])
@pytest.mark.parametrize("kind", SHIFTED)
def test_a_sparsity_is_a_shift_and_its_bound_holds(kind, alpha, expected):
    activation = kind.for_sparsity(alpha, 8192, relative=False)
    assert activation.shift == pytest.approx(math.sqrt(2 * alpha * math.log(8192)))
    assert activation.expected_active(8192) == pytest.approx(expected, rel=5e-3)
    assert activation.expected_active(8192) < 8192 ** (1 - alpha)
    assert not activation.relative


def test_no_sparsity_is_no_shift():
    assert ShiftedReLU.for_sparsity(0.0, 100) == ShiftedReLU(0.0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("activation", ALL, ids=repr)
def test_an_activation_is_its_formula_in_the_dtype_of_its_input(activation, dtype):
    Z = np.random.default_rng(1).standard_normal((3, 40)).astype(dtype)
    tau = np.array([0.0, 0.5, 1.0])
    excess = Z if activation.jumps else Z - tau[:, None].astype(dtype)
    fired = Z > tau[:, None].astype(dtype)
    value, slope = activation(Z, tau), activation.derivative(Z, tau)
    assert value.dtype == slope.dtype == dtype
    np.testing.assert_allclose(value, activation.scale * excess * fired, rtol=EPS[dtype])
    np.testing.assert_allclose(slope, activation.scale * fired, rtol=EPS[dtype])


@pytest.mark.parametrize("activation", ALL, ids=repr)
def test_the_derivative_is_the_slope_away_from_the_threshold(activation):
    tau, step = np.array([0.7]), 1e-6
    Z = np.array([[-2.0, 0.0, 0.69, 0.71, 3.0]])
    slope = (activation(Z + step, tau) - activation(Z - step, tau)) / (2 * step)
    np.testing.assert_allclose(activation.derivative(Z, tau), slope, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("activation", ALL, ids=repr)
def test_only_the_thresholded_activation_jumps_and_by_scale_times_threshold(activation):
    tau = np.array([0.7])
    below, above = activation([[0.7]], tau), activation([[np.nextafter(0.7, 1)]], tau)
    jump = activation.scale * 0.7 if activation.jumps else 0.0
    assert below == 0.0
    assert above.item() == pytest.approx(jump, abs=1e-14)


@pytest.mark.parametrize("activation", ALL, ids=repr)
def test_a_relative_threshold_makes_the_layer_homogeneous(activation):
    Z, norms = np.random.default_rng(2).standard_normal((4, 30)), np.array([0.5, 1.0, 2.0, 4.0])
    scaled = activation(7 * Z, activation.thresholds(7 * norms, 0.1))
    np.testing.assert_allclose(scaled, 7 * activation(Z, activation.thresholds(norms, 0.1)))


def test_an_absolute_threshold_ignores_the_norm():
    assert ShiftedReLU(2.0, relative=False).thresholds([1.0, 9.0], 0.5).tolist() == [1.0, 1.0]
    assert ShiftedReLU(2.0).thresholds([1.0, 9.0], 0.5).tolist() == [1.0, 9.0]


def test_relu_is_the_shifted_relu_without_shift():
    Z = np.random.default_rng(3).standard_normal((2, 9))
    assert (ReLU().shift, ReLU().norm_constant, ReLU().scale) == (0.0, 1.0, 1.0)
    assert ReLU().firing_probability == 0.5
    np.testing.assert_array_equal(ReLU()(Z, np.zeros(2)), ShiftedReLU(0.0)(Z, np.zeros(2)))
    np.testing.assert_array_equal(ReLU()(Z, np.zeros(2)), np.maximum(Z, 0))


@pytest.mark.parametrize("activation", ALL, ids=repr)
def test_inputs_are_not_modified_and_the_trusted_twin_works_in_place(activation):
    Z, tau = np.random.default_rng(4).standard_normal((3, 8)), np.full(3, 0.4)
    for array in (Z, tau):
        array.flags.writeable = False
    expected, work = activation(Z, tau), Z.copy()
    assert activation._apply(work, tau, out=work) is work
    np.testing.assert_array_equal(work, expected)


@pytest.mark.parametrize("activation", ALL, ids=repr)
def test_activations_are_values(activation):
    assert pickle.loads(pickle.dumps(activation)) == activation
    assert eval(repr(activation)) == activation
    assert len({activation, dataclasses.replace(activation)}) == 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        activation.shift = 2.0


@pytest.mark.parametrize("kind", SHIFTED)
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"shift": -0.1}, ValueError, r"shift must be at least 0\.0; got -0\.1\."),
        ({"shift": 8.5}, ValueError, r"shift must be at most 8\.0; got 8\.5\."),
        ({"shift": float("nan")}, ValueError, r"shift must be finite; got nan\."),
        ({"shift": "1"}, TypeError, r"shift must be a real number; got '1' \(str\)\."),
        ({"relative": 1}, TypeError, r"relative must be True or False; got 1\."),
    ],
)
def test_a_shift_that_lets_nothing_fire_is_refused(kind, arguments, error, message):
    with pytest.raises(error, match=message):
        kind(**arguments)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ShiftedReLU.for_sparsity(1.5, 100), r"alpha must be at most 1\.0; got 1\.5\."),
        (lambda: ShiftedReLU.for_sparsity(0.1, 0), r"width must be at least 1; got 0\."),
        (lambda: ReLU().thresholds([1.0], 0.0), r"weight_std must be greater than 0\.0; got 0\.0"),
        (lambda: ReLU()([[1.0]], [0.0, 1.0]), r"thresholds must have shape \(1,\); got \(2,\)\."),
        (lambda: ReLU().derivative([[np.nan]], [0.0]), r"Z must be finite in float64; got 1 NaN"),
    ],
)
def test_bad_arguments_are_refused_by_name(call, message):
    with pytest.raises(ValueError, match=message):
        call()
