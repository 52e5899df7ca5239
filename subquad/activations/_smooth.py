"""Activations without a threshold, whose derivative is not 0 or a constant.

Values and derivatives are evaluated in float64 and rounded once to the dtype of Z. The formulas
use the logistic function s(z) = 1 / (1 + exp(-z)), for which 1 - s(z) = s(-z): nothing cancels in
the tails, and nothing overflows at any finite z.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from scipy.special import expit, ndtr

from subquad._validation import as_array, one_of, real, require_finite
from subquad.activations._shifted import _Activation

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from subquad._typing import FloatArray
    from subquad.activations._kinds import Activation


# Beyond so many deviations both forms of GELU equal z or 0 in float64, derivatives 1 or 0.
_FAR = 40.0
# Beyond this the derivative of tanh is 0 in float64.
_TANH_FAR = 400.0
# The coefficients of the approximation of the normal distribution function by tanh.
_ROOT, _CUBIC = math.sqrt(2 / math.pi), 0.044715


class _Smooth(ABC):
    """What the smooth activations share; a subclass adds its two formulas, for float64."""

    # What a `LastLayer` asks of every activation.
    jumps: ClassVar[bool] = False
    scale: ClassVar[float] = 1.0
    firing_probability: ClassVar[float] = 1.0

    def __call__(self, Z: ArrayLike) -> FloatArray:
        """Return phi(Z).

        Parameters
        ----------
        Z : array_like of float32 or float64, any shape

        Returns
        -------
        ndarray, shape and dtype of Z

        Raises
        ------
        TypeError, ValueError
            If Z is no finite array of real numbers in float32 or float64.
        """
        return self._apply(_checked(Z))

    def derivative(self, Z: ArrayLike) -> FloatArray:
        """Return phi'(Z); arguments as in a call."""
        return self._derivative(_checked(Z))

    def thresholds(self, input_norms: ArrayLike, weight_std: float) -> NDArray[np.float64]:
        """Return zeros: there is no threshold."""
        return np.zeros(len(input_norms))

    def _apply(self, Z, thresholds=None):
        """Trusted twin of a call."""
        return self._value(Z.astype(np.float64, copy=False)).astype(Z.dtype, copy=False)

    def _derivative(self, Z, thresholds=None):
        """Trusted twin of `derivative`."""
        return self._slope(Z.astype(np.float64, copy=False)).astype(Z.dtype, copy=False)

    @abstractmethod
    def _value(self, Z):
        """phi(Z) in float64."""

    @abstractmethod
    def _slope(self, Z):
        """phi'(Z) in float64."""


@dataclass(frozen=True)
class GELU(_Smooth):
    """phi(z) = z P(N(0, 1) <= z), or its approximation by tanh.

    Parameters
    ----------
    approximate : {"none", "tanh"}
        "tanh" is z (1 + tanh(sqrt(2 / pi) (z + 0.044715 z^3))) / 2, which GPT-2 and many others
        use. The name is that of torch.

    Examples
    --------
    >>> phi = GELU()
    >>> np.round(phi([[-1.0, 0.0, 1.0]]), 4), phi.derivative([[0.0]])
    (array([[-0.1587,  0.    ,  0.8413]]), array([[0.5]]))
    """

    approximate: str = "none"

    def __post_init__(self):
        """Refuse an approximation that does not exist."""
        one_of(self.approximate, "approximate", ("none", "tanh"))

    def _value(self, Z):
        if self.approximate == "none":
            return Z * ndtr(Z)
        return Z * expit(_twice_argument(np.clip(Z, -_FAR, _FAR)))

    def _slope(self, Z):
        near = np.clip(Z, -_FAR, _FAR)
        if self.approximate == "none":
            return ndtr(Z) + near * np.exp(-0.5 * near * near) / math.sqrt(2 * math.pi)
        u = _twice_argument(near)
        growth = 2 * _ROOT * (1 + 3 * _CUBIC * near * near)
        return expit(u) * (1 + near * growth * expit(-u))


@dataclass(frozen=True)
class SiLU(_Smooth):
    """phi(z) = z s(z), with the logistic function s.

    Examples
    --------
    >>> np.round(SiLU()([[-1.0, 0.0, 1.0]]), 4)
    array([[-0.2689,  0.    ,  0.7311]])
    """

    def _value(self, Z):
        return Z * expit(Z)

    def _slope(self, Z):
        return expit(Z) * (1 + Z * expit(-Z))


@dataclass(frozen=True)
class Tanh(_Smooth):
    """phi(z) = tanh(z), with phi'(z) = 4 s(2 z) s(-2 z).

    Examples
    --------
    >>> Tanh().derivative([[0.0]])
    array([[1.]])
    """

    def _value(self, Z):
        return np.tanh(Z)

    def _slope(self, Z):
        near = np.clip(Z, -_TANH_FAR, _TANH_FAR)
        return 4 * expit(2 * near) * expit(-2 * near)


@dataclass(frozen=True)
class Sigmoid(_Smooth):
    """phi(z) = s(z) = 1 / (1 + exp(-z)), with phi'(z) = s(z) s(-z).

    Examples
    --------
    >>> Sigmoid()([[0.0]]), Sigmoid().derivative([[0.0]])
    (array([[0.5]]), array([[0.25]]))
    """

    def _value(self, Z):
        return expit(Z)

    def _slope(self, Z):
        return expit(Z) * expit(-Z)


@dataclass(frozen=True)
class LeakyReLU(_Smooth):
    """phi(z) = z above 0, negative_slope z below; the derivative at 0 is `negative_slope`.

    Parameters
    ----------
    negative_slope : float

    Examples
    --------
    >>> LeakyReLU(0.1)([[-1.0, 0.0, 1.0]])
    array([[-0.1,  0. ,  1. ]])
    """

    negative_slope: float = 0.01

    def __post_init__(self):
        """Refuse a slope that is no finite number."""
        real(self.negative_slope, "negative_slope")

    def _value(self, Z):
        return np.where(Z > 0, Z, self.negative_slope * Z)

    def _slope(self, Z):
        return np.where(Z > 0, 1.0, float(self.negative_slope))


def as_activation(
    activation: Activation | None, default: Activation, *, smooth: bool = False
) -> Activation:
    """Return an activation of this package, `default` for None; anything else is a TypeError.

    Without `smooth` it must have a threshold.
    """
    if activation is None:
        return default
    if not isinstance(activation, (_Activation, _Smooth) if smooth else _Activation):
        only = "" if smooth else " with a threshold (ReLU, ShiftedReLU or ThresholdedReLU)"
        raise TypeError(
            f"activation must be one of subquad.activations{only}; got {type(activation).__name__}."
        )
    return activation


def has_threshold(activation: object) -> bool:
    """Whether it is one of those whose moments and firing are known in closed form."""
    return isinstance(activation, _Activation)


def is_smooth(activation: object) -> bool:
    """Whether its derivative must be kept as numbers: it is no ReLU, shifted or not."""
    return isinstance(activation, _Smooth)


def _twice_argument(Z):
    """2 u for the u in (1 + tanh(u)) / 2 = s(2 u)."""
    return 2 * _ROOT * (Z + _CUBIC * Z * Z * Z)


def _checked(Z):
    """Return Z in trusted form."""
    Z = as_array(Z, "Z")
    require_finite(Z, "Z")
    return Z
