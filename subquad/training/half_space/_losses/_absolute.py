"""The absolute loss."""

import numpy as np

from subquad.training.half_space._losses._loss import Loss


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
