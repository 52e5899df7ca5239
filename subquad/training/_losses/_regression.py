"""Losses of numbers: squared, absolute, and Huber's between them."""

from __future__ import annotations

import numpy as np

from subquad._validation import real
from subquad.training._losses._loss import Loss


class SquaredLoss(Loss):
    """l(f, y) = (f - y)^2 / 2, whose derivative is f - y; not Lipschitz, curvature 1.

    Targets are any finite numbers. Attributes are those of `Loss`.

    Examples
    --------
    >>> loss = SquaredLoss()
    >>> loss.value([0.0, 3.0], [1.0, 1.0]), loss.derivative([0.0, 3.0], [1.0, 1.0])
    (array([0.5, 2. ]), array([-1.,  2.]))
    """

    name = "squared"
    curvature = 1.0

    def _value(self, f, y):
        return 0.5 * np.square(f - y)

    def _derivative(self, f, y):
        return f - y

    def _second_derivative(self, f, y):
        return np.ones_like(f)


class AbsoluteLoss(Loss):
    """l(f, y) = |f - y|, whose derivative is the sign of f - y; Lipschitz constant 1.

    Its minimum is at the median of the targets. Where f = y, the derivative is given as 0. Targets
    are any finite numbers. Attributes are those of `Loss`.

    Examples
    --------
    >>> loss = AbsoluteLoss()
    >>> loss.value([0.0, 3.0], [1.0, 1.0]), loss.derivative([0.0, 3.0], [1.0, 1.0])
    (array([1., 2.]), array([-1.,  1.]))
    """

    name = "absolute"
    lipschitz = 1.0

    def _value(self, f, y):
        return np.abs(f - y)

    def _derivative(self, f, y):
        return np.sign(f - y)


class HuberLoss(Loss):
    """l = (f - y)^2 / 2 where |f - y| <= delta, and delta (|f - y| - delta / 2) beyond.

    The derivative is f - y, cut off at -delta and delta: the Lipschitz constant is delta, the
    curvature 1. The second derivative is 1, also where |f - y| = delta, and 0 beyond. Targets are
    any finite numbers.

    Parameters
    ----------
    delta : float, greater than 0
        Residuals beyond it pull no harder; in the units of the targets.

    Attributes
    ----------
    delta : float
    name, lipschitz, curvature
        As in `Loss`.

    Raises
    ------
    TypeError, ValueError
        If delta is no number greater than 0.

    Examples
    --------
    >>> loss = HuberLoss(delta=0.5)
    >>> loss.value([0.8, 3.0], [1.0, 1.0]).round(3), loss.derivative([0.8, 3.0], [1.0, 1.0])
    (array([0.02 , 0.875]), array([-0.2,  0.5]))
    """

    name = "huber"
    curvature = 1.0

    def __init__(self, delta: float = 1.0) -> None:
        self.delta = real(delta, "delta", minimum=0.0, exclusive_minimum=True)
        self.lipschitz = self.delta

    def _value(self, f, y):
        size = np.abs(f - y)
        near = np.minimum(size, self.delta)
        return near * (size - 0.5 * near)

    def _derivative(self, f, y):
        return np.clip(f - y, -self.delta, self.delta)

    def _second_derivative(self, f, y):
        return np.where(np.abs(f - y) <= self.delta, 1.0, 0.0)

    def _safe_curvature(self, f, y):
        return self.delta / np.maximum(np.abs(f - y), self.delta)

    def __repr__(self) -> str:
        """Name of the class, with its parameters."""
        return f"HuberLoss(delta={self.delta})"
