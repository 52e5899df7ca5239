"""Probabilities of the classes from scores, calibrated by scores that no row had a part in.

Least squares on indicators tells classes apart, but its outputs are no probabilities. For a fit
with a closed form the score that each training row has without itself costs next to nothing; on
these scores a logistic model of few parameters is fitted, [P99] for two classes.

[P99] Platt, Probabilistic outputs for support vector machines, 1999.
"""

import numpy as np
from scipy.optimize import minimize
from scipy.special import logsumexp, softmax
from sklearn.utils.validation import check_is_fitted

from subquad.estimators._base import OutputsClassifier
from subquad.solvers.exact import DampedCholesky

# Norm of the gradient of the mean log-loss, in units in which scores have the size 1.
_GRADIENT = 1e-10

CALIBRATION = """
    calibration_ : ndarray, shape (n_classes + 1,), or None
        t and b of the probabilities: see `predict_proba`. None where there are no leave-one-out
        scores to find them by."""


class CalibratedClassifier(OutputsClassifier):
    """A classifier whose fit knows leave-one-out errors, of some rows or all."""

    _needs_errors = True

    def predict_proba(self, X):
        """Return the probabilities of the classes.

        Parameters
        ----------
        X : array_like, shape (n, n_features)

        Returns
        -------
        ndarray, shape (n, n_classes)
            exp(t f_c + b_c) of each class c, divided by their sum; f is the `decision_function`,
            of two classes minus and plus its half.

        Raises
        ------
        NotFittedError, ValueError
            If the model is not fitted, X is not finite or has other features, there were no
            leave-one-out scores to calibrate by, or the model was saved by a version that kept no
            calibration.

        Notes
        -----
        t >= 0 and b minimise the log-loss of the training rows, each with the f of the fit without
        it, under that fit's sample weights. Labels count as wrong with a chance of one in N_c + 2,
        N_c rows being of the class, so that t is finite where scores tell all classes apart
        (Platt, 1999). The class of largest probability may differ from that of `predict` where
        the two are close.
        """
        check_is_fitted(self, self._FITTED)
        return probabilities(self._outputs(X), self._known_calibration())

    def _known_calibration(self):
        """t and b, or the reason why there are none."""
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
        """Find t and b, given leave-one-out errors of scaled targets; None if there are none.

        Of repeated rows, T (n, C) are the mean targets, and the errors are those of observations.
        """
        self.calibration_ = None
        if errors is None or not np.isfinite(errors).all():
            return
        if repeats is not None:
            units = repeats.shares * repeats.totals[repeats.points]
            weights, n = repeats.weights, (repeats.weights / units).sum()
            T = T[repeats.points] + repeats.deviations
        else:
            n = len(T)
        targets, scores = self._scaling.unscaled(T), self._scaling.unscaled(T - errors)
        counts = weights / weights.max()
        self.calibration_ = calibration(scores, _two(targets).argmax(axis=1), counts, n)


def probabilities(scores, calibration):
    """Return the probabilities (n, n_classes) of scores (n, n_classes), or (n, 1) of two."""
    return softmax(calibration[0] * _two(scores) + calibration[1:], axis=1)


def calibration(scores, labels, weights, n):
    """Return t and b, shape (n_classes + 1,), of least log-loss.

    Parameters
    ----------
    scores : ndarray, shape (n_rows, n_classes), or (n_rows, 1) for two classes
    labels : ndarray of int, shape (n_rows,)
    weights : ndarray, shape (n_rows,)
    n : float
        How many observations the rows stand for.
    """
    S = _two(scores)
    S = S - S.mean(axis=1, keepdims=True)
    weights = weights / weights.sum()
    targets = _softened(labels, weights, n, S.shape[1])
    frequencies = np.log(weights @ targets)
    size = np.abs(S).max()
    if size > 0:
        size *= np.sqrt(weights @ np.square(S / size).mean(axis=1))
    if not size > 0:
        return np.append(0.0, frequencies - frequencies.mean())
    log_loss = _LogLoss(S / size, targets, weights)
    start = np.append(0.0, frequencies[1:] - frequencies[0])
    found = minimize(
        log_loss.value,
        start,
        jac=log_loss.gradient,
        hess=log_loss.hessian,
        method="trust-exact",
        options={"gtol": _GRADIENT},
    ).x
    if not found[0] > 0:  # scores that mislead tell nothing: of t >= 0, 0 is the best
        found = start
    b = np.append(0.0, found[1:])
    return np.append(found[0] / size, b - b.mean())


def left_out_errors(gram, T, mu, weights, repeats):
    """Return leave-one-out errors (n_observations, C), or None of a singular system."""
    factor = DampedCholesky(gram, mu, weights)
    if factor.singular:
        return None
    alpha, diagonal = factor.solve(T), factor.inverse_diagonal()
    if repeats is None:
        return alpha / diagonal[:, None]
    return repeats.errors(alpha, diagonal, mu)


class _LogLoss:
    """Mean log-loss of t and b_1, b_2, ... with b_0 = 0, and its derivatives."""

    def __init__(self, scores, targets, weights):
        self._scores, self._targets, self._weights = scores, targets, weights

    def value(self, theta):
        """Mean over rows."""
        z = self._logits(theta)
        return float(self._weights @ (logsumexp(z, axis=1) - (self._targets * z).sum(axis=1)))

    def gradient(self, theta):
        """Shape (n_classes,)."""
        lacks = softmax(self._logits(theta), axis=1) - self._targets
        slope = self._weights @ (lacks * self._scores).sum(axis=1)
        return np.append(slope, (self._weights @ lacks)[1:])

    def hessian(self, theta):
        """Shape (n_classes, n_classes)."""
        P, w = softmax(self._logits(theta), axis=1), self._weights[:, None]
        centred = self._scores - (P * self._scores).sum(axis=1, keepdims=True)
        H = np.diag((w * P).sum(axis=0)) - P.T @ (w * P)
        H[0, 0] = (w * P * np.square(centred)).sum()
        H[0, 1:] = H[1:, 0] = (w * P * centred).sum(axis=0)[1:]
        return H

    def _logits(self, theta):
        return theta[0] * self._scores + np.append(0.0, theta[1:])


def _softened(labels, weights, n, n_classes):
    """Indicators of the classes of which each has one row more that is of another class."""
    members = n * np.bincount(labels, weights, minlength=n_classes)
    wrong = 1.0 / (members[labels] + 2.0)
    targets = np.repeat(wrong[:, None] / (n_classes - 1), n_classes, axis=1)
    targets[np.arange(len(labels)), labels] = 1.0 - wrong
    return targets


def _two(scores):
    """Scores of each class; of two classes minus and plus the half of a single one."""
    return scores * [-0.5, 0.5] if scores.shape[1] == 1 else scores
