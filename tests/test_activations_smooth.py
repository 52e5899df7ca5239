"""Smooth activations and their derivatives, against mpmath on the whole line."""

import pickle

import mpmath
import numpy as np
import pytest

from subquad.activations import GELU, LeakyReLU, Sigmoid, SiLU, Tanh
from subquad.networks import FactoredNetwork, WideNetwork


def logistic(z):
    return 1 / (1 + mpmath.exp(-z))


def tanh_gelu(z):
    u = mpmath.sqrt(2 / mpmath.pi) * (z + mpmath.mpf(0.044715) * z**3)
    return z * logistic(2 * u)


EXACT = {
    GELU(): lambda z: z * mpmath.ncdf(z),
    GELU("tanh"): tanh_gelu,
    SiLU(): lambda z: z * logistic(z),
    Tanh(): mpmath.tanh,
    Sigmoid(): logistic,
    LeakyReLU(): lambda z: z if z > 0 else mpmath.mpf(0.01) * z,
    LeakyReLU(-0.5): lambda z: z if z > 0 else mpmath.mpf(-0.5) * z,
}
# Zeros of derivatives are not among them: there only the absolute error can be small.
POINTS = np.r_[-30:-2.5:56j, -2.4:3.0:28j, 3.5:30:54j, 1e-8, -1e-8]
ALL = pytest.mark.parametrize("phi", EXACT, ids=repr)


def derivative(f, z):
    """f'(z) by a difference in 120 digits, where no rounding is left."""
    with mpmath.workdps(120):
        h, z = mpmath.mpf(10) ** -40, mpmath.mpf(z)
        return (f(z + h) - f(z - h)) / (2 * h)


def scale_of(exact):
    """The exact numbers in float64, and which of them it holds as normal ones."""
    numbers = np.array([float(x) for x in exact])
    return numbers, np.abs(numbers) > 1e-300


@ALL
def test_values_are_right_to_a_few_roundings_of_z_in_both_tails(phi):
    # exp(-z^2 / 2) has the rounding of z^2 / 2 as its relative error: 450 eps at 30 deviations.
    with mpmath.workdps(60):
        exact, normal = scale_of([EXACT[phi](mpmath.mpf(z)) for z in POINTS])
    error = np.abs(phi(POINTS) - exact)
    bound = 4e-16 * (4 + np.minimum(POINTS**2, 750)) * np.abs(exact)
    if phi == GELU("tanh"):  # the argument of exp is a cubic, and ends at -745
        bound = 4e-16 * 750 * np.abs(exact)
    assert (error[normal] <= bound[normal]).all()
    assert (error[~normal] <= 1e-299).all()


@ALL
def test_derivatives_are_right_where_value_and_slope_go_to_zero_together(phi):
    exact, normal = scale_of([derivative(EXACT[phi], z) for z in POINTS])
    error = np.abs(phi.derivative(POINTS) - exact)
    middle = np.abs(POINTS) < 3
    assert (error[middle] <= 1e-15).all()
    tail = normal & ~middle
    assert (error[tail] <= 4e-13 * np.abs(exact[tail])).all()
    assert (error[~normal] <= 1e-299).all()


@ALL
def test_float32_is_the_float64_result_rounded_once(phi):
    Z = POINTS.astype(np.float32)
    for function in (phi, phi.derivative):
        assert function(Z).dtype == np.float32
        expected = function(Z.astype(np.float64)).astype(np.float32)
        np.testing.assert_array_equal(function(Z), expected)


@ALL
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_nothing_overflows_or_is_undefined_at_the_ends(phi, dtype):
    largest = float(np.finfo(dtype).max)
    Z = np.array([[-largest, -1e30, -710.0, -89.0, -0.0, 0.0, 89.0, 710.0, 1e30, largest]], dtype)
    before = Z.copy()
    with np.errstate(all="raise", under="ignore"):
        values, slopes = phi(Z), phi.derivative(Z)
    assert np.isfinite(values).all()
    assert np.isfinite(slopes).all()
    np.testing.assert_array_equal(Z, before)
    ends = [float(EXACT[phi](mpmath.mpf(float(z)))) for z in (Z[0, 1], Z[0, -2])]
    np.testing.assert_allclose(values[0, [1, -2]], ends, rtol=1e-6)


@ALL
def test_an_activation_is_a_value(phi):
    assert pickle.loads(pickle.dumps(phi)) == phi
    assert hash(phi) == hash(type(phi)(**vars(phi)))


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match=r"^approximate must be 'none' or 'tanh'; got 'erf'"):
        GELU("erf")
    with pytest.raises(ValueError, match=r"^negative_slope must be finite; got nan"):
        LeakyReLU(np.nan)
    with pytest.raises(TypeError, match=r"^Z must be a float32 or float64 array; got int64"):
        SiLU()([[1, 2]])
    with pytest.raises(ValueError, match=r"^Z must be finite in float64; got 1 NaN"):
        Tanh()([[1.0, np.nan]])


@pytest.mark.parametrize("make", [WideNetwork, FactoredNetwork])
def test_networks_of_the_papers_take_activations_with_a_threshold_alone(make):
    options = {"width": 64} if make is WideNetwork else {"width": 64, "inner_size": 2}
    with pytest.raises(TypeError, match=r"^activation must be one of .* threshold .*; got GELU"):
        make(4, activation=GELU(), **options)
