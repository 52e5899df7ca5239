"""Probabilities of the classes from scores, calibrated by scores that no row had a part in.

Least squares on indicators tells classes apart, but its outputs are no probabilities. For a fit
with a closed form the score that each training row has without itself costs next to nothing: on
these scores the one parameter of a logistic model is found. A model with a constant for each class
measured no better, and its most probable class need not be the one that `predict` names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import expit, softmax

from subquad._validation import real
from subquad.estimators._base import OutputsClassifier, checked_weights, require_fitted
from subquad.solvers.exact import DampedCholesky
from subquad.solvers.leave_one_out import left_out_errors

if TYPE_CHECKING:
    from subquad._typing import FloatArray, MatrixLike


# Even where scores tell nothing, probabilities keep their order: t is at least this, in units in
# which the scores' differences from their mean have the root mean square 1.
_LEAST = 1e-6

CALIBRATION = """
    calibration_ : float, ndarray or None
        t of the probabilities: see `predict_proba`; of multilabel targets an ndarray, shape
        (n_labels,). None where there are no leave-one-out scores
        to find it by."""

_CLASS_WEIGHT = """
    class_weight : "balanced", dict or None
        By what the sample weights of each class's rows are multiplied: {label: factor}, 1 for
        labels that are not named; "balanced" gives all classes the same total weight.
        Probabilities are then those of data in which classes are as frequent as their weights."""


class CalibratedClassifier(OutputsClassifier):
    """A classifier whose fit knows leave-one-out errors, of some rows or all."""

    _needs_errors = True

    def predict_proba(self, X: MatrixLike) -> FloatArray:
        """Return the probabilities of the classes.

        Parameters
        ----------
        X : array_like, shape (n, n_features)

        Returns
        -------
        ndarray, shape (n, n_classes)
            For two classes 1 / (1 + exp(t f)) and 1 / (1 + exp(-t f)), f being the
            `decision_function`; for more, exp(t f_c) of each class c, divided by their sum. The
            class of largest probability is that of `predict`. Of multilabel targets (n, n_labels),
            the probability of each label by itself, 1 / (1 + exp(-t_c f_c)).

        Raises
        ------
        NotFittedError, ValueError
            If the model is not fitted, X is not finite or has other features, there were no
            leave-one-out scores to calibrate by, or the model was saved by a version that kept no
            calibration.

        Notes
        -----
        t > 0 minimises the log-loss of the training rows under their sample weights, each with the
        f of the fit without it: temperature scaling (Guo et al., 2017). Of N rows one is
        taken to be wrong, as in Platt (1999): a label counts with a chance of 1 / (N + 2) for the
        other classes, so that t is finite where scores tell all classes apart.
        """
        require_fitted(self, self._FITTED)
        scores, t = self._outputs(X), self._known_calibration()
        return expit(t * scores) if self._is_multilabel() else probabilities(scores, t)

    def _weights_by_class(self, y, sample_weight):
        """Sample weights times those of the classes."""
        if self.class_weight is None:
            return sample_weight
        if self._is_multilabel():
            raise ValueError(
                "class_weight must be None for multilabel y, whose rows have several labels; got "
                f"{self.class_weight!r}."
            )
        weights = checked_weights(sample_weight, y)
        labels = np.searchsorted(self.classes_, y)
        return weights * _class_factors(self.class_weight, self.classes_, labels, weights)[labels]

    def _known_calibration(self):
        """Return t, or give the reason why there is none."""
        name = type(self).__name__
        if not hasattr(self, "calibration_"):
            raise ValueError(
                f"{name} must know leave-one-out scores for predict_proba; it was saved by a "
                "version that kept none. Fit it again."
            )
        if self.calibration_ is None:
            raise ValueError(
                f"{name} must know leave-one-out scores for predict_proba; got {self._no_scores}."
            )
        return self.calibration_

    def _calibrate(self, errors, T, weights, repeats):
        """Find t, given leave-one-out errors (n_observations, C) of scaled targets, or None.

        Of repeated rows, T (n, C) are the mean targets, and the errors are those of observations.
        """
        self.calibration_ = None
        if errors is None:
            return
        n = len(T)
        if repeats is not None:
            units = repeats.shares * repeats.totals[repeats.points]
            weights, n = repeats.weights, (repeats.weights / units).sum()
            T = T[repeats.points] + repeats.deviations
        targets, scores = self._scored(T, T - errors)
        if np.isfinite(scores).all():
            self.calibration_ = self._calibrated(scores, targets, weights, n)

    def _calibrated(self, scores, targets, weights, n):
        """The t of the classes, or of each label."""
        if not self._is_multilabel():
            return calibration(scores, _of_classes(targets).argmax(axis=1), weights, n)
        columns = zip(scores.T, targets.T > 0, strict=True)
        each = [calibration(f[:, None], has.astype(int), weights, n) for f, has in columns]
        return np.array(each)

    def _scored(self, T, predictions):
        """Targets and leave-one-out predictions in the units of the `decision_function`."""
        return self._scaling.unscaled(T), self._scaling.unscaled(predictions)


def with_class_weight(parameters):
    """Return the documentation of parameters with one more at their end."""
    return parameters.replace("\n\n    Attributes", f"{_CLASS_WEIGHT}\n\n    Attributes")


def _class_factors(class_weight, classes, labels, weights):
    """By what the weights of each class are multiplied."""
    if isinstance(class_weight, str) and class_weight == "balanced":
        largest = weights.max() or 1.0  # sums of their ratios do not overflow
        totals = np.bincount(labels, weights / largest, minlength=len(classes))
        shares = totals / (totals.sum() or 1.0)
        present = shares > 0
        factors = np.zeros(len(classes))
        factors[present] = 1.0 / (np.count_nonzero(present) * shares[present])
        return factors
    if not isinstance(class_weight, dict):
        raise ValueError(f"class_weight must be 'balanced', a dict or None; got {class_weight!r}.")
    known = classes.tolist()
    unknown = [label for label in class_weight if label not in known]
    if unknown:
        raise ValueError(f"class_weight must name labels of y alone, {known}; got {unknown}.")
    factors = {
        label: real(factor, f"class_weight[{label!r}]", minimum=0.0)
        for label, factor in class_weight.items()
    }
    return np.array([factors.get(label, 1.0) for label in known])


def probabilities(scores, t):
    """Return the probabilities (n, n_classes) of scores (n, n_classes), or (n, 1) of two."""
    return softmax(t * _of_classes(scores), axis=1)


def calibration(scores, labels, weights, n):
    """Return the t of least log-loss.

    Parameters
    ----------
    scores : ndarray, shape (n_rows, n_classes), or (n_rows, 1) for two classes
    labels : ndarray of int, shape (n_rows,)
    weights : ndarray, shape (n_rows,)
    n : float
        How many observations the rows stand for.

    Returns
    -------
    float
    """
    S = _of_classes(scores)
    S = S - S.mean(axis=1, keepdims=True)
    weights = weights / weights.max()
    weights /= weights.sum()
    largest = np.abs(S).max()
    if not largest > 0:
        return _LEAST
    size = largest * np.sqrt(weights @ np.square(S / largest).mean(axis=1))
    S /= size
    wrong = 1.0 / (n + 2.0)
    targets = np.full(S.shape, wrong / (S.shape[1] - 1))
    targets[np.arange(len(S)), labels] = 1.0 - wrong

    def slope(t):
        return float(weights @ ((softmax(t * S, axis=1) - targets) * S).sum(axis=1))

    low, high = _LEAST, 1.0
    while slope(high) < 0:  # until the row that is taken to be wrong costs more than others gain
        low, high = high, 2 * high
    t = low if slope(low) >= 0 else _root(slope, low, high)
    return float(t / size)


def _root(function, low, high, rtol=1e-12):
    """Where a continuous function is 0 that is negative at low and not at high: the Illinois rule.

    Secants; the end that stays counts half of its value each time. scipy.optimize has the like,
    whose import takes longer than a fit.
    """
    below, above, side, x = function(low), function(high), 0, high
    while high - low > rtol * high:
        before, x = x, low - below * (high - low) / (above - below)
        value = function(x)
        if value == 0 or abs(x - before) <= rtol * x:
            break
        if value < 0:
            low, below = x, value
            above, side = above / 2 if side < 0 else above, -1
        else:
            high, above = x, value
            below, side = below / 2 if side > 0 else below, 1
    return x


def errors_of_fit(gram, T, mu, weights, repeats):
    """Return leave-one-out errors (n_observations, C), or None of a singular system."""
    factor = DampedCholesky(gram, mu, weights)
    return None if factor.singular else left_out_errors(factor, factor.solve(T), repeats)


def _of_classes(scores):
    """Scores of each class; of two classes minus and plus half of the single one."""
    return scores * [-0.5, 0.5] if scores.shape[1] == 1 else scores
