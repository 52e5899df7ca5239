"""Gradient descent as a rule for steps, beside those of `_safeguards`."""

import numpy as np

from subquad.training._safeguards import Move

_DIVERGED = 10.0  # times the first residual


class GradientStep:
    """B <- B - eta J^T W (f - y) ([AS22], Sections 4 and 5, with the sign corrected)."""

    regularization = 0.0
    settled = False

    def __init__(self, learning_rate, weights):
        self.learning_rate = learning_rate
        self._weights = 1.0 if weights is None else weights[:, None]
        self.diverged = self.stuck = False

    def move(self, fit, system, watch):
        """Return the step down the gradient."""
        with watch.phase("move"):
            trial = fit.state.propose(-self.learning_rate * self._weights * fit.residual, keep=1.0)
        norm = fit.norm_of(trial.outputs)
        if not norm <= _DIVERGED * fit.initial_norm:  # or NaN
            self.diverged = self.stuck = True
            return Move(None, 0.0, 0.0, 1, 0)
        change = trial.terms
        square = float(np.einsum("kl,kl->", change, change, dtype=np.float64))
        self.stuck = change is fit.state.terms or np.array_equal(change, fit.state.terms)
        return Move(trial, 0.0, 1.0, 1, 0, square)

    def loo_error(self):
        """There is none."""
        return None
