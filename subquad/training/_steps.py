"""How long a Gauss-Newton step may be: two rules, for the papers' objective and a regularised one.

With B = (U diag g)^T V for U the readouts of the fired neurons, L = J vec(W - W(0)) and G = J J^T:
||B||^2 = g . G g and <B, W - W(0)> = g . L, so that the size of a change needs no m x m array.
"""

from dataclasses import dataclass

import numpy as np

_MAX_TRIALS = 13


@dataclass(frozen=True)
class Move:
    """A step to take; no `trial` if there is none worth taking."""

    trial: object
    damping: float
    length: float
    n_trials: int
    n_iterations: int
    square_of_change: float = 0.0


class LevenbergMarquardt:
    """Non-monotone Levenberg-Marquardt for |f - y|^2.

    A step is accepted if |r| falls below the largest of the last five; otherwise mu grows tenfold.
    mu is 0 to begin with: plain Gauss-Newton is not monotone in hard cases, but ends sooner there
    than any monotone rule.
    """

    regularization = 0.0
    settled = False

    def __init__(self, damping):
        self._damping = damping
        self.stuck = False

    def move(self, fit, equation, watch):
        """Return the first acceptable `Move`."""
        residual, mu, iterations = fit.residual, self._damping, 0
        bound = (1 - 1e-4) * max(fit.recent)
        for trials in range(1, _MAX_TRIALS + 1):
            with watch.phase("solve"):
                g, more = equation.solve(residual, mu)
            iterations += more
            with watch.phase("move"):
                trial = fit.state.propose(-g, keep=1.0)
            if fit.norm_of(trial.outputs) <= bound:
                square = fit.square_of_change + equation.quadratic(g)
                square -= 2 * float(np.vdot(g, fit.state.linear))
                self._damping = mu / 10 if mu / 10 >= 1e-9 * equation.mean_eigenvalue else 0.0
                return Move(trial, mu, 1.0, trials, iterations, square)
            mu = max(10 * mu, 1e-8 * equation.mean_eigenvalue)
        self.stuck = True
        return Move(None, mu, 0.0, _MAX_TRIALS, iterations)

    def loo_error(self):
        """There is none for interpolation."""
        return None


class ProximalStep:
    """Backtracking for |f - y|^2 + mu ||W - W(0)||^2.

    The linearised objective has its minimum at A = (U diag g) with (G + mu I) g = y - f + L; the
    step goes from the present A towards it, halved until the objective falls.
    """

    stuck = False

    def __init__(self, regularization, tol):
        self.regularization = None if regularization == "loo" else regularization
        self._tol = tol
        self.settled = False
        self._last = None

    def linearise(self, fit, equation):
        """Return what the linearised fit aims at, and choose mu for it if that is still open."""
        target = fit.state.linear - fit.residual
        if self.regularization is None:
            self.regularization = _chosen_regularization(equation, target)
        self._last = equation, target
        return target

    def move(self, fit, equation, watch):
        """Return the longest acceptable `Move`, and notice when the fit has settled."""
        with watch.phase("solve"):
            target = self.linearise(fit, equation)
            mu = self.regularization
            g, iterations = equation.solve(target, mu)
        before = fit.objective(mu)
        promised = before - mu * float(np.vdot(g, target))
        negligible = self._tol * fit.initial_norm**2
        if promised > negligible:
            for trials in range(1, _MAX_TRIALS + 1):
                length = 0.5 ** (trials - 1)
                with watch.phase("move"):
                    trial = fit.state.propose(length * g, keep=1 - length)
                square = self._square_of_change(fit, equation, g, length)
                after = fit.norm_of(trial.outputs) ** 2 + mu * square
                if after <= before - 1e-4 * length * promised:
                    self.settled = before - after <= negligible
                    return Move(trial, 0.0, length, trials, iterations, square)
        self.settled = True
        return Move(None, 0.0, 0.0, 0, iterations)

    def loo_error(self):
        """Mean squared leave-one-out error of the last linearised fit; None before the first."""
        if self._last is None:
            return None
        equation, target = self._last
        return equation.leave_one_out(target, self.regularization)

    @staticmethod
    def _square_of_change(fit, equation, g, length):
        """||(1 - t) A + t B||^2 by its three parts."""
        keep = 1 - length
        square = length**2 * equation.quadratic(g)
        if keep:
            square += keep**2 * fit.square_of_change
            square += 2 * length * keep * float(np.vdot(g, fit.state.linear))
        return square


def _chosen_regularization(equation, target):
    """The mu of least leave-one-out error."""
    if equation.mean_eigenvalue == 0:
        raise ValueError(
            "layer must have a neuron that fires at some data point; got none. Raise width or "
            "lower shift."
        )
    return equation.choose_regularization(target)
