"""The logistic loss of a network whose outputs are log-odds in other units."""

import numpy as np
from scipy.special import expit

from subquad._validation import one_of
from subquad.estimators._stepped import TARGET_DEVIATION
from subquad.training import HuberLoss, LogisticLoss, SquaredLoss, as_loss

# Log-odds in units of an output: networks whose outputs stay small are fitted near their
# linearisation, where leave-one-out chooses mu.
LOG_ODDS = 50.0
# A fit by log-loss ends when its linearisation promises no more than this part of the first loss.
LOGISTIC_TOL = 1e-3
# With other losses than the squared one, mu is chosen on so many rows at most: each candidate is a
# fit of its own.
ROWS_OF_A_PATH = 512
# Take a class of no weight to have this share of it.
_LEAST_SHARE = 1e-6


class LogOdds(LogisticLoss):
    """l(f, y) of the log-odds t f: -q log p - (1 - q) log (1 - p), p = 1 / (1 + exp(-t f)).

    q = (1 + y) / 2 is 0 or 1 for the labels -1 and 1, and between them for rows that several
    observations share, whose mean loss it gives: equal rows are merged.

    Parameters
    ----------
    scale : float
        t.
    """

    def __init__(self, scale):
        self.scale = float(scale)
        self.lipschitz, self.curvature = self.scale, 0.25 * self.scale**2

    def _admitted(self, y):
        if (np.abs(y) > 1).any():
            raise ValueError(f"y must be from -1 to 1; got {y[np.abs(y) > 1].flat[0]}.")
        return y

    def _value(self, f, y):
        odds, q = self.scale * f, 0.5 * (1.0 + y)
        return q * np.logaddexp(0.0, -odds) + (1.0 - q) * np.logaddexp(0.0, odds)

    def _derivative(self, f, y):
        odds, q = self.scale * f, 0.5 * (1.0 + y)
        return self.scale * ((1.0 - q) * expit(odds) - q * expit(-odds))

    def _second_derivative(self, f, y):
        return self.scale**2 * super()._second_derivative(self.scale * f, y)

    def _safe_curvature(self, f, y):
        return self.scale**2 * super()._safe_curvature(self.scale * f, y)

    def __repr__(self):
        """Name of the class, with its parameters."""
        return f"LogOdds(scale={self.scale})"


def fitted_loss(loss, names):
    """Return what is minimised in the units of the network, for a loss by its name."""
    if "log_loss" in names:
        one_of(loss, "loss", names)
        return LogOdds(LOG_ODDS) if loss == "log_loss" else SquaredLoss()
    loss = as_loss(loss, names)
    return HuberLoss(loss.delta * TARGET_DEVIATION) if loss.name == "huber" else loss


def prior_log_odds(T, weights):
    """Return the log-odds of the classes' weights; of none or all of the weight, finite ones."""
    shares = weights @ (0.5 * (1.0 + T)) / weights.sum()
    shares = np.clip(shares, _LEAST_SHARE, 1.0 - _LEAST_SHARE)
    return np.log(shares / (1.0 - shares))
