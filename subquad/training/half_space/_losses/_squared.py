"""The squared loss."""

import numpy as np

from subquad.training.half_space._losses._loss import Loss


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
