"""The moments of two correlated normals: closed forms, relative errors, quadrature, Monte Carlo."""

import numpy as np
import pytest
import reference_ntk
from scipy import special

from subquad.activations import ReLU, ShiftedReLU, ThresholdedReLU
from subquad.ntk import DualActivation

R = np.concatenate([-1 + np.logspace(-15, -0.01, 60), 1 - np.logspace(-15, -0.01, 60)])
KINDS = [ReLU(), ShiftedReLU(0.7), ShiftedReLU(3.0), ThresholdedReLU(0.7)]


def reference_values(activation, h, k, r):
    """2 E phi phi and 2 E phi' phi' of unit normals by the bracket of moments."""
    moment = reference_ntk.rectified_moment
    if activation.jumps:
        moment = lambda *x: reference_ntk.first_and_product_moments(*x)[2]  # noqa: E731
    c = activation.norm_constant
    return 2 * c * moment(h, k, r), 2 * c * reference_ntk.orthant(h, k, r)


def test_relu_is_the_arc_cosine_kernel_to_1e_13():
    angle = np.linspace(0, np.pi, 1001)
    values, slopes = DualActivation(ReLU()).moments(1.0, 1.0, angle=angle)
    arc_cosine = (np.sin(angle) + (np.pi - angle) * np.cos(angle)) / np.pi
    np.testing.assert_allclose(2 * values, arc_cosine, rtol=0, atol=1e-15)
    np.testing.assert_allclose(2 * slopes, (np.pi - angle) / np.pi, rtol=0, atol=1e-15)


@pytest.mark.parametrize("activation", KINDS, ids=str)
@pytest.mark.parametrize(("p", "q"), [(1.0, 1.0), (0.4, 2.5)])
@pytest.mark.parametrize("relative", [True, False])
def test_values_are_the_brackets_of_owens_t_function(activation, p, q, relative):
    if isinstance(activation, ReLU):
        relative = True
    else:
        activation = type(activation)(activation.shift, relative)
    h, k = (activation.shift / (1 if relative else x) for x in (p, q))
    r = np.linspace(-0.99, 0.99, 23)
    values, slopes = DualActivation(activation).moments(p, q, r)
    wanted = np.array([reference_values(activation, h, k, x) for x in r]).T
    scale = max(activation.norm_constant, 1.0)  # of the rounding errors of the bracket
    np.testing.assert_allclose(2 * slopes, wanted[1], rtol=0, atol=4e-15 * scale)
    np.testing.assert_allclose(2 * values, p * q * wanted[0], rtol=0, atol=1e-14 * scale)


@pytest.mark.parametrize(("h", "k"), [(0.0, 0.0), (0.02, 0.02), (1.0, 1.0), (0.3, 1.1), (8.0, 8.0)])
def test_relative_errors_are_below_1e_14_from_one_end_to_the_other(h, k):
    mpmath = pytest.importorskip("mpmath")
    from subquad.ntk._moments import orthant_moments

    for angle in (1e-7, 0.01, 1.5) + (2.4,) * (h < 2):
        L, M = orthant_moments(h, k, angle, float(mpmath.pi - mpmath.mpf(angle)))
        exact_L, exact_M = reference_ntk.precise_orthant_moments(h, k, angle)
        assert abs(float(L / exact_L - 1)) < 1e-14
        assert abs(float(M / exact_M - 1)) < 1e-14


def test_a_value_of_every_shift_is_kept_at_correlation_one_and_gone_at_minus_one():
    for shift in (0.0, 1e-6, 0.01, 0.5, 2.0, 5.0, 8.0):
        for kind in (ShiftedReLU, ThresholdedReLU):
            dual = DualActivation(kind(shift))
            values, slopes = dual.moments(3.0, 3.0, [1.0, -1.0])
            np.testing.assert_allclose(2 * values, [9.0, 0.0], rtol=2e-13, atol=1e-15)
            firing = 2 * dual.activation.norm_constant * special.ndtr(-shift)
            np.testing.assert_allclose(2 * slopes, [firing, 0.0], rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("activation", KINDS, ids=str)
def test_angles_near_the_ends_lose_no_digits(activation):
    dual, b = DualActivation(activation), activation.shift
    angle = np.array([1e-12, 1e-9, 1e-6])
    _, slopes = dual.moments(1.0, 1.0, angle=np.append(0.0, angle))
    lost = (slopes[0] - slopes[1:]) / activation.norm_constant
    np.testing.assert_allclose(
        lost, np.exp(-b * b / 2) * angle / (2 * np.pi), rtol=1e-5, atol=1e-16
    )


@pytest.mark.parametrize("activation", KINDS, ids=str)
def test_what_a_step_loses_is_one_minus_its_value(activation):
    dual = DualActivation(activation)
    angle = np.array([1e-9, 1e-4, 0.01, 0.3, 1.0, 2.0])
    values, slopes, gaps = dual._steps(1.0, angle, np.pi - angle)
    np.testing.assert_allclose(gaps, 1 - values, rtol=0, atol=1e-13)
    if not activation.jumps:  # 1 - value = slope(1) angle^2 / 2 + ...
        np.testing.assert_allclose(gaps[0], slopes[0] * angle[0] ** 2 / 2, rtol=1e-8)


def test_monte_carlo_agrees_within_its_standard_error():
    # 12 comparisons at 4.5 standard errors: a false alarm once in 12,000 runs of a new seed.
    rng, n = np.random.default_rng(1), 400_000
    z = rng.standard_normal((2, n))
    for activation in (ShiftedReLU(0.8), ThresholdedReLU(0.8), ShiftedReLU(0.8, relative=False)):
        for p, q, r in ((1.0, 1.0, 0.6), (0.7, 1.8, -0.3)):
            u, v = p * z[0], q * (r * z[0] + np.sqrt(1 - r * r) * z[1])
            x, y = np.stack([u, v]), activation.thresholds([p, q], 1.0)
            phi, slope = activation(x, y), activation.derivative(x, y)
            dual = DualActivation(activation).moments(p, q, r)
            for sample, value in zip((phi[0] * phi[1], slope[0] * slope[1]), dual, strict=True):
                assert abs(sample.mean() - value) < 4.5 * sample.std() / np.sqrt(n)


def test_quadrature_of_a_kink_agrees_with_the_closed_form():
    dual = DualActivation(lambda z: np.maximum(z, 0), lambda z: np.where(z > 0, 1.0, 0.0))
    for p, q in ((1.0, 1.0), (0.3, 2.0)):
        for found, wanted in zip(
            dual.moments(p, q, R), DualActivation(ReLU()).moments(p, q, R), strict=True
        ):
            np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-14)


def test_quadrature_of_the_error_function_agrees_with_williams():
    # Williams (1997): E erf(u) erf(v) = 2/pi arcsin(2 cov / sqrt((1 + 2 p^2) (1 + 2 q^2))).
    p, q, r = 0.8, 1.2, np.linspace(-1, 1, 9)
    dual = DualActivation(special.erf, lambda z: 2 / np.sqrt(np.pi) * np.exp(-z * z))
    values, slopes = dual.moments(p, q, r)
    spread = (1 + 2 * p * p) * (1 + 2 * q * q)
    np.testing.assert_allclose(
        values, 2 / np.pi * np.arcsin(2 * r * p * q / np.sqrt(spread)), atol=1e-13
    )
    wanted = 4 / np.pi / np.sqrt(spread - (2 * r * p * q) ** 2)
    np.testing.assert_allclose(slopes, wanted, rtol=1e-12)
    differences = DualActivation(special.erf).moments(p, q, r)[1]
    np.testing.assert_allclose(differences, wanted, rtol=1e-9)


def test_normalised_callables_keep_unit_variance():
    dual = DualActivation(np.tanh, normalize=True)
    assert 2 * dual.moments(1.0, 1.0, 1.0)[0] == pytest.approx(1.0, rel=1e-14)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((1.0, 1.0, 1.1), ValueError, r"correlation must be finite and in \[-1, 1\]; got 1.1"),
        ((-1.0, 1.0, 0.0), ValueError, "std_x must be finite and in"),
        ((1.0, np.nan, 0.0), ValueError, "std_y must be finite and in"),
        ((1.0, "a", 0.0), TypeError, "std_y must hold real numbers"),
        ((1.0, 1.0), TypeError, "one of correlation and angle"),
    ],
)
def test_arguments_out_of_range_are_refused_by_name(arguments, error, message):
    with pytest.raises(error, match=message):
        DualActivation().moments(*arguments)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((ReLU,), TypeError, "activation must be one of subquad.activations or a function"),
        ((3,), TypeError, "activation must be one of subquad.activations or a function"),
        ((np.tanh, 3), TypeError, "and derivative a function"),
        ((ReLU(), np.tanh), TypeError, "derivative must be None"),
        ((np.zeros_like,), ValueError, "activation must have a finite second moment above 0"),
        ((lambda z: z / 0.0,), ValueError, "activation must give finite values"),
    ],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_what_is_no_activation_is_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        DualActivation(*arguments)
