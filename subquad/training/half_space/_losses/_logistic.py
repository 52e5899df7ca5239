"""The logistic loss."""

import numpy as np
from scipy.special import expit

from subquad.training.half_space._losses._labels import LabelLoss


class LogisticLoss(LabelLoss):
    """l(f, y) = log(1 + exp(-y f)), with derivative -y / (1 + exp(y f)); Lipschitz constant 1.

    The curvature is 1/4. 1 / (1 + exp(-f)) estimates the probability of label 1. Labels are -1 and
    1, or 0 and 1. Attributes are those of `Loss`.

    Examples
    --------
    >>> loss = LogisticLoss()
    >>> loss.value([0.0, 2.0], [1, -1]).round(3), loss.derivative([0.0, 2.0], [1, -1]).round(3)
    (array([0.693, 2.127]), array([-0.5  ,  0.881]))
    """

    name = "logistic"
    lipschitz, curvature = 1.0, 0.25

    def _value(self, f, y):
        return np.logaddexp(0.0, -y * f)

    def _derivative(self, f, y):
        return -y * expit(-y * f)
