"""The hinge loss."""

import numpy as np

from subquad.training.half_space._losses._labels import LabelLoss


class HingeLoss(LabelLoss):
    """l(f, y) = max(0, 1 - y f), with derivative -y where y f < 1, else 0; Lipschitz constant 1.

    That of support vector machines. Labels are -1 and 1, or 0 and 1. Attributes are those of
    `Loss`.

    Examples
    --------
    >>> loss = HingeLoss()
    >>> loss.value([0.0, 2.0], [1, 1]), loss.derivative([0.0, 2.0], [1, 1])
    (array([1., 0.]), array([-1.,  0.]))
    """

    name = "hinge"
    lipschitz = 1.0

    def _value(self, f, y):
        return np.maximum(0.0, 1.0 - y * f)

    def _derivative(self, f, y):
        return np.where(y * f < 1.0, -y, 0.0)
