"""The dual of an activation: its second moments, and its derivative's, under correlated normals."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from subquad.activations import ReLU, ThresholdedReLU, has_threshold
from subquad.ntk import _moments
from subquad.ntk._distances import squared_distances
from subquad.ntk._quadrature import expectations

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeAlias

    from numpy.typing import ArrayLike, NDArray

    from subquad.activations import ThresholdActivation

    DualLike: TypeAlias = "ThresholdActivation | DualActivation | Callable[[Any], Any]"

# Differences take this step, about the cube root of the rounding error.
_DIFFERENCE = 6e-6
# At angles up to this one, moments are what they are at angle 0 without what they lose on the way.
_NEAR = 1.6


class DualActivation:
    """E phi(u) phi(v) and E phi'(u) phi'(v) for normal u, v of given deviations and correlation.

    Parameters
    ----------
    activation : ReLU, ShiftedReLU, ThresholdedReLU or callable
        An activation of `subquad.activations`, whose moments are known in closed form, or any
        function of an array that acts on each entry, whose moments are found by quadrature.
    derivative : callable, optional
        phi' of a callable; by default central differences of it, good to about 1e-10.
    normalize : bool
        Divide a callable by sqrt(2 E phi(z)^2), z standard normal, as the activations of
        `subquad.activations` are: 2 E phi(u)^2 = 1 for deviation 1.

    Raises
    ------
    TypeError
        If the activation or its derivative is not as described.
    ValueError
        If a callable gives values that are not finite, or cannot be normalised.

    Notes
    -----
    Thresholds are those of the activation for weight_std = 1: `shift` times the deviation, or
    `shift` if it is not relative. For these activations values and slopes are integrals of positive
    functions over the angle (Plackett, 1954), where the formulas with Owen's T function cancel;
    measured relative errors are below 2e-14 for correlations in [-1, 1] and shifts up to 8, except
    the values of `ThresholdedReLU` at negative correlations, whose errors are below 1e-15 of the
    value at correlation 1.

    Quadrature takes 8,192 evaluations for each pair of arguments. It is exact to rounding for
    smooth functions and for functions with a kink or jump at 0 alone, and good to about 1e-3 of the
    size of any other jump.

    [SZZ24], Definition E.3 and Lemma E.4. Departures: the arc-cosine formulas of the lemma hold for
    shift 0 alone, where these agree with them.

    Examples
    --------
    >>> values, slopes = DualActivation(ReLU()).moments(1.0, 1.0, [0.0, 1.0])
    >>> np.round(2 * values, 6), 2 * slopes
    (array([0.31831, 1.     ]), array([0.5, 1. ]))
    """

    def __init__(
        self,
        activation: ThresholdActivation | Callable[[Any], Any] | None = None,
        derivative: Callable[[Any], Any] | None = None,
        *,
        normalize: bool = False,
    ) -> None:
        self.activation = ReLU() if activation is None else activation
        self._exact = has_threshold(self.activation)
        if self._exact and derivative is not None:
            raise TypeError("derivative must be None for an activation of subquad; it has its own.")
        functions = (activation,) if derivative is None else (activation, derivative)
        if not self._exact and (isinstance(activation, type) or not all(map(callable, functions))):
            raise TypeError(
                "activation must be one of subquad.activations or a function, and derivative a "
                f"function; got {activation!r} and {derivative!r}."
            )
        self._function = activation
        self._derivative = self._differences if derivative is None else derivative
        self._scale = 1.0
        if not self._exact:
            square = self._second_moments(np.ones(1))[0]
            if not 0 < square < math.inf:
                raise ValueError(
                    "activation must have a finite second moment above 0; "
                    f"got E phi(z)^2 = {square / 2}."
                )
            self._scale = 1 / math.sqrt(square) if normalize else 1.0

    def __repr__(self) -> str:
        return f"DualActivation({self.activation!r})"

    def moments(
        self,
        std_x: ArrayLike,
        std_y: ArrayLike,
        correlation: ArrayLike | None = None,
        *,
        angle: ArrayLike | None = None,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return E phi(u) phi(v) and E phi'(u) phi'(v).

        Parameters
        ----------
        std_x, std_y : array_like
            Deviations of u and v, at least 0.
        correlation : array_like
            In [-1, 1]. All arguments broadcast.
        angle : array_like
            arccos(correlation) in [0, pi], instead of it: where the correlation is near 1, only the
            angle says how near.

        Returns
        -------
        values, slopes : ndarray of float64

        Raises
        ------
        TypeError, ValueError
            If an argument is out of range, or neither or both of the last two are given.
        """
        p, q = _numbers(std_x, "std_x", 0, math.inf), _numbers(std_y, "std_y", 0, math.inf)
        if (correlation is None) == (angle is None):
            raise TypeError("moments needs one of correlation and angle; got neither or both.")
        if angle is None:
            r = _numbers(correlation, "correlation", -1, 1)
            angle, supplement = _moments.angles((1 - r) / 2, (1 + r) / 2)
        else:
            angle = _numbers(angle, "angle", 0, math.pi)
            supplement = math.pi - angle
        try:
            arrays = np.broadcast_arrays(p, q, angle, supplement)
        except ValueError:
            shapes = f"{p.shape}, {q.shape} and {angle.shape}"
            raise ValueError(
                f"std_x, std_y and correlation must broadcast; got shapes {shapes}."
            ) from None
        return self._moments(*arrays)

    @property
    def homogeneous(self) -> bool:
        """Whether phi of a multiple is that multiple of phi: thresholds follow the deviation."""
        return self._exact and (self.activation.relative or self.activation.shift == 0)

    def _moments(self, p, q, angle, supplement):
        """Trusted twin of `moments`."""
        if not self._exact:
            return self._quadrature(p, q, angle, supplement)
        h, k = self._thresholds(p), self._thresholds(q)
        L, M = _moments.orthant_moments(h, k, angle, supplement)
        if isinstance(self.activation, ThresholdedReLU):
            M = _moments.product_moment(h, k, angle, supplement, L)
        c = self.activation.norm_constant
        return c * p * q * M, c * L

    def _thresholds(self, p):
        """Thresholds in deviations; finite, since 1e50 is as silent as infinity."""
        b = self.activation.shift
        if self.homogeneous:
            return np.full(np.shape(p), b)
        return np.minimum(b / np.maximum(p, 1e-300), 1e50)

    def _second_moments(self, p):
        """2 E phi(u)^2 for deviations p: what the diagonal of a kernel becomes in a layer."""
        if self.homogeneous:
            return np.square(p)
        zeros = np.zeros(np.shape(p))
        return 2 * self._moments(p, p, zeros, zeros + np.pi)[0]

    def _steps(self, p, angle, supplement):
        """Return 2 E phi phi, 2 E phi' phi' and what the first lacks of 2 E phi^2, at deviation p.

        The last is small at small angles and has its digits.
        """
        if not self._exact:
            values, slopes = self._moments(p, p, angle, supplement)
            gap = expectations([self._half_squared_difference(1.0, 1.0)], p, p, angle, supplement)[
                0
            ]
            return 2 * values, 2 * slopes, 2 * gap
        near, whole = angle < _NEAR, self._second_moments(np.asarray(p, float))
        lost_slopes, gap = self._losses(p, np.where(near, angle, 0.0))
        firing = special.ndtr(-self._thresholds(np.asarray(p)))
        slopes = 2 * self.activation.norm_constant * firing - lost_slopes
        values = whole - gap
        if not near.all():
            far = self._moments(p, p, angle[~near], supplement[~near])
            values[~near], slopes[~near] = (2 * moment for moment in far)
        return values, slopes, np.where(near, gap, whole - values)

    def _losses(self, p, angle):
        """Return what slopes and values lose from angle 0 to angles up to 1.6, at deviation p."""
        h, c = float(self._thresholds(np.asarray(p))), self.activation.norm_constant
        L, M = _moments.lost_moments(h, angle)
        if isinstance(self.activation, ThresholdedReLU):
            M = _moments.lost_product_moment(h, angle, L, M)
        return 2 * c * L, 2 * c * p * p * M

    def _squared_distances(self, p, q, after_p, after_q, angle):
        """2 E (phi(u) / after_p - phi(v) / after_q)^2 for vectors, and angles up to 1.6."""
        if self._exact:
            return squared_distances(self.activation, p, q, after_p, after_q, angle)
        out = np.empty(len(angle))
        for i, (P, Q) in enumerate(zip(after_p, after_q, strict=True)):
            square = self._half_squared_difference(1 / P, 1 / Q)
            out[i] = 4 * expectations([square], p[i], q[i], angle[i], np.pi - angle[i])[0]
        return out

    def _quadrature(self, p, q, angle, supplement):
        """Moments of a callable."""
        functions = [self._product(self._function), self._product(self._derivative)]
        values, slopes = expectations(functions, p, q, angle, supplement)
        return values * self._scale**2, slopes * self._scale**2

    def _product(self, f):
        return lambda u, v: _checked(f, u) * _checked(f, v)

    def _half_squared_difference(self, a, b):
        """Half of (a phi(u) - b phi(v))^2 as a function of u and v."""

        def half(u, v):
            difference = a * _checked(self._function, u) - b * _checked(self._function, v)
            return 0.5 * self._scale**2 * np.square(difference)

        return half

    def _differences(self, z):
        step = _DIFFERENCE * np.maximum(1.0, np.abs(z))
        return (self._function(z + step) - self._function(z - step)) / (2 * step)


def as_dual(activation):
    """Return an activation, or its dual, as a `DualActivation`."""
    return activation if isinstance(activation, DualActivation) else DualActivation(activation)


def _numbers(x, name, lowest, highest):
    """An array of numbers in a range."""
    try:
        x = np.asarray(x, dtype=np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must hold real numbers; got {x!r}.") from None
    wrong = ~((x >= lowest) & (x <= highest) & np.isfinite(x))
    if wrong.any():
        raise ValueError(
            f"{name} must be finite and in [{lowest}, {highest}]; got {x[wrong].flat[0]}."
        )
    return x


def _checked(function, u):
    """Return what a callable gives for u; refuse what it must not give."""
    values = np.asarray(function(u))
    if values.shape != u.shape or values.dtype.kind not in "fiub":
        raise ValueError(
            f"activation must give a real number for each entry of shape {u.shape}; got "
            f"{values.dtype} of shape {values.shape}."
        )
    if not np.isfinite(values).all():
        raise ValueError("activation must give finite values; got NaN or infinity.")
    return values
