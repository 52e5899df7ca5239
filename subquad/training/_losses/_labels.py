"""Losses of labels: what they share, the logistic loss and the hinge loss."""

import numpy as np
from scipy.special import expit

from subquad._validation import even_array
from subquad.training._losses._loss import Loss


class LabelLoss(Loss):
    """A loss of the margin y f of a label y, which is -1 or 1."""

    def _numbers(self, y):
        """Return labels as floats; they may be integers or bools."""
        labels = y if isinstance(y, np.ma.MaskedArray) else even_array(y, "y")
        return labels.astype(np.float64) if labels.dtype.kind in "biu" else y

    def _admitted(self, y):
        """Return labels -1 and 1, for 0 and 1 as well."""
        low = -1 if (y == -1).any() else 0
        others = y[(y != low) & (y != 1)]
        if others.size:
            raise ValueError(
                f"y must be -1 or 1, or 0 or 1, for the {self.name} loss; got "
                f"{others.flat[0]:.6g}{' beside -1' if low else ''}."
            )
        return np.where(y > 0, 1.0, -1.0)


class LogisticLoss(LabelLoss):
    """l(f, y) = log(1 + exp(-y f)), with derivative -y / (1 + exp(y f)); Lipschitz constant 1.

    The second derivative is p (1 - p), at most 1/4, with p = 1 / (1 + exp(-f)), which estimates the
    probability of label 1. Labels are -1 and
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

    def _second_derivative(self, f, y):
        return expit(f) * expit(-f)

    def _safe_curvature(self, f, y):
        # Where the label is missed, that of the parabola of Jaakkola and Jordan (2000).
        size = np.maximum(np.abs(f), 1e-8)  # below, tanh(f / 2) / (2 f) is 1/4 to rounding
        touching = np.tanh(size / 2) / (2 * size)
        return np.where(y * f > 0, self._second_derivative(f, y), touching)


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
