"""A loss as Gauss-Newton steps see it: its value, and the least squares that it resembles nearby.

The objective is 2 sum_i w_i l(f_i, y_i) + mu |W - W(0)|^2, for the squared loss |f - y|^2 + ... .
By the generalised Gauss-Newton method (Schraudolph, 2002) a step minimises, with slopes l' and
second derivatives h in the outputs and the change s = J d of these,

    sum_i w_i (2 l'_i s_i + h_i s_i^2) + mu |w + d|^2,

which is least squares with the weights w h and the residuals l' / h: the equation of the squared
loss, (G + mu (W H)^-1) g = L - l' / h, with other weights and another right side.
"""

from dataclasses import dataclass, replace

import numpy as np

from subquad.training._losses._labels import LabelLoss
from subquad.training._losses._loss import Loss

# Where the loss is flat, its curvature is raised to this part of what damping by mu is: the step
# then is one that is damped by a millionth of mu more, and l' / h stays finite.
_LEAST_OF_DAMPING = 1e-6
# Raise curvatures to at least this part of the largest possible one, whatever mu is.
_LEAST = 1e-30
# Without regularisation nothing else bounds the weights' ratios: rows whose loss has all but
# vanished count as if they had this part of the largest curvature.
_LEAST_OF_LARGEST = 1e-4


class SquaredMisfit:
    """|f - y|^2, which is its own model.

    Parameters
    ----------
    y, offset : ndarray, shape (n, C)
        Targets, and what is subtracted from the outputs before.
    weights : ndarray, shape (n,), or None
        Sample weights.
    """

    def __init__(self, y, offset, weights):
        self.target = y + offset
        self._roots = None if weights is None else np.sqrt(weights)[:, None]

    def norm_of(self, outputs):
        """|outputs - target|, weighted."""
        return self.weighted_norm(outputs - self.target)

    def residual(self, outputs):
        """f - target, shape (n, C)."""
        return outputs - self.target

    def rounding(self):
        """Below this a residual is rounding of the sums behind f: nothing is left to reduce."""
        return 16 * np.finfo(np.float64).eps * self.weighted_norm(self.target)

    def change_by(self, errors):
        """By how much errors of the outputs may change the norm at most."""
        return self.weighted_norm(errors)

    def linearise(self, equation, outputs, mu, caution):
        """Return the equation of a step."""
        return equation

    def model(self, outputs, aim, product):
        """|f + s - target|^2 for s = product - aim, and -(f + s - target)."""
        left = aim - self.residual(outputs) - product
        return self.weighted_norm(left) ** 2, left

    def weighted_norm(self, residual):
        """|residual|, each row times the root of its weight."""
        with np.errstate(over="ignore", invalid="ignore"):
            weighted = residual if self._roots is None else self._roots * residual
            return float(np.linalg.norm(weighted))

    def times_weights(self, v):
        """W v, v of shape (n, C)."""
        return v if self._roots is None else self._roots**2 * v

    def over_weights(self, v):
        """W^-1 v; 0 where the weight is 0."""
        if self._roots is None:
            return v
        return np.divide(v, self._roots**2, out=np.zeros_like(v), where=self._roots > 0)

    def separates(self, outputs):
        """Whether outputs of all rows tell their labels, which larger ones would tell better."""
        return False

    def choose_regularization(self, equation, target, repeats):
        """Return the mu of least leave-one-out error."""
        return equation.choose_regularization(target, repeats)

    def left_out(self, equation, target, mu, repeats):
        """Return leave-one-out errors (n_observations, C) and their mean square, or None twice."""
        errors = equation.leave_one_out(target, mu, repeats)
        return (None, None) if errors is None else (errors.T, equation.mean_square(errors, repeats))


@dataclass(frozen=True)
class Parabolas:
    """The loss near some outputs: slopes, curvatures, and weights of the least squares."""

    outputs: np.ndarray
    slopes: np.ndarray
    curvatures: np.ndarray
    weights: np.ndarray


class LossMisfit(SquaredMisfit):
    """2 sum_i w_i l(f_i, y_i); parameters as of `SquaredMisfit`, and the `Loss`."""

    def __init__(self, loss: Loss, y, offset, weights):
        super().__init__(y, offset, weights)
        self.loss, self._y, self._offset, self._least = loss, y, offset, 0.0
        self._samples = np.ones((len(y), 1)) if weights is None else weights[:, None]
        self._near, self._regularized, self._caution = None, True, 1.0

    def norm_of(self, outputs):
        """The root of twice the loss."""
        with np.errstate(over="ignore", invalid="ignore"):
            losses = self.loss._value(outputs - self._offset, self._y)
            return float(np.sqrt(2.0 * np.sum(self._samples * losses)))

    def residual(self, outputs):
        """l' / h, shape (n, C)."""
        near = self._at(outputs)
        return near.slopes / near.curvatures

    def rounding(self):
        """As of `SquaredMisfit`; 0 of losses that tend to 0 at infinity."""
        if isinstance(self.loss, LabelLoss):
            return 0.0
        return 16 * np.finfo(np.float64).eps * self._sampled_norm(self.target)

    def change_by(self, errors):
        """By how much errors of the outputs may change the norm, at the largest curvature."""
        return float(np.sqrt(self.loss.curvature)) * self._sampled_norm(errors)

    def linearise(self, equation, outputs, mu, caution):
        """Return the equation with the weights of the parabolas at these outputs.

        Caution is 0 for the second derivatives as they are, and 1 for curvatures with which steps
        do not go too far where these vanish.
        """
        scale = equation.mean_eigenvalue
        self._regularized, self._caution = mu != 0, caution
        bound = self.loss.curvature
        if mu and mu < bound * scale:
            bound = mu / scale
        self._least = max(_LEAST_OF_DAMPING * bound, _LEAST * self.loss.curvature)
        self._near = self._parabolas(outputs)
        return equation._weighted(self._near.weights)

    def model(self, outputs, aim, product):
        """Twice the parabolas at f + s for s = product - aim, and -(l' / h + s)."""
        near, s = self._at(outputs), product - aim
        change = np.sum(self._samples * s * (2.0 * near.slopes + near.curvatures * s))
        return self.norm_of(outputs) ** 2 + float(change), -near.slopes / near.curvatures - s

    def weighted_norm(self, residual):
        """|residual|, each entry times the root of its weight w h."""
        with np.errstate(over="ignore", invalid="ignore"):
            return float(np.linalg.norm(np.sqrt(self._near.weights) * residual))

    def times_weights(self, v):
        """W H v, v of shape (n, C)."""
        return self._near.weights * v

    def over_weights(self, v):
        """(W H)^-1 v; 0 where the weight is 0."""
        weights = self._near.weights
        return np.divide(v, weights, out=np.zeros_like(v), where=weights > 0)

    def separates(self, outputs):
        """Whether outputs of all rows tell their labels, which larger ones would tell better."""
        if not isinstance(self.loss, LabelLoss):
            return False
        margins = self._y * (outputs - self._offset)
        return bool((margins[self._samples[:, 0] > 0] > 0).all())

    def left_out(self, equation, target, mu, repeats):
        """Return y - f^(-i) for each observation, and twice their mean loss; or None twice."""
        observed = self._observed(repeats)
        errors = equation.leave_one_out(target, mu, observed.repeats)
        if errors is None:
            return None, None
        predictions = np.column_stack([observed.predictions(e, c) for c, e in enumerate(errors)])
        weights = np.broadcast_to(observed.weights[:, None], predictions.shape)
        losses = self.loss._value(predictions, observed.y)
        return observed.y - predictions, 2.0 * float(np.average(losses, weights=weights))

    def _observed(self, repeats):
        """What was observed, with the working responses of the present parabolas."""
        near = self._near
        f = near.outputs - self._offset
        base = f - near.slopes / near.curvatures
        if repeats is None:
            return Observed(self.loss, self._y, self._samples[:, 0], base, None)
        # Observations of a point share its h; their slopes differ by that of their targets.
        p, y = repeats.points, self._y[repeats.points] + repeats.deviations
        slopes = self.loss._derivative(f[p], y)
        deviations = (near.slopes[p] - slopes) / near.curvatures[p]
        of_outputs = [
            replace(
                repeats,
                weights=repeats.weights * near.curvatures[p, c],
                totals=near.weights[:, c],
                deviations=deviations[:, c : c + 1],
            )
            for c in range(y.shape[1])
        ]
        return Observed(self.loss, y, repeats.weights, base[p] + deviations, of_outputs)

    def _sampled_norm(self, v):
        with np.errstate(over="ignore", invalid="ignore"):
            return float(np.linalg.norm(np.sqrt(self._samples) * v))

    def _at(self, outputs):
        """The parabolas at some outputs, most often those of the last linearisation."""
        if self._near is not None and self._near.outputs is outputs:
            return self._near
        return self._parabolas(outputs)

    def _parabolas(self, outputs):
        f = outputs - self._offset
        slopes = self.loss._derivative(f, self._y)
        curvatures = self.loss._second_derivative(f, self._y)
        if self._caution:
            safe = self.loss._safe_curvature(f, self._y)
            curvatures = np.maximum(curvatures, self._caution * safe)
        if self._regularized:
            curvatures = np.maximum(curvatures, self._least)
            return Parabolas(outputs, slopes, curvatures, self._samples * curvatures)
        largest = float(curvatures.max()) or 1.0
        curvatures = np.maximum(curvatures, _LEAST_OF_LARGEST * largest)
        return Parabolas(outputs, slopes, curvatures, self._samples * (curvatures / largest))


@dataclass(frozen=True)
class Observed:
    """Observations, with what the linearised fit aims at for each: shapes (n_observations, C)."""

    loss: Loss
    y: np.ndarray
    weights: np.ndarray
    base: np.ndarray
    repeats: list | None

    def predictions(self, errors, c):
        """f^(-j) of output c, from leave-one-out errors of the linearised fit."""
        return self.base[:, c] - errors
