"""Huber's loss."""

from __future__ import annotations

import numpy as np

from subquad._validation import real
from subquad.training.half_space._losses._loss import Loss


class HuberLoss(Loss):
    """l = (f - y)^2 / 2 where |f - y| <= delta, and delta (|f - y| - delta / 2) beyond.

    The derivative is f - y, cut off at -delta and delta: the Lipschitz constant is delta, the
    curvature 1. Targets are any finite numbers.

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

    def __repr__(self) -> str:
        """Name of the class, with its parameters."""
        return f"HuberLoss(delta={self.delta})"
