"""How a regularised fit goes on that has come to a kink of its objective.

Where neurons begin or cease to fire F has kinks, and a fit that takes only steps down ends at one of
them, up to a third above the least value around. So all steps are taken here, down or not, while
their damping grows: the change of weights then averages the derivatives on both sides of the kinks.
"""

import math

import numpy as np

from subquad.training._fit import Move

# Three legs of so many steps each: with 50 some fits end 3 % higher.
_LEG = 100
# Where these gained more than 1 %, F has many minima, and a fourth leg of so many is worth it.
_LONG_LEG, _MUCH = 200, 0.01
# The places of W(0), of the fourth leg, and of the return to the best iterate.
_START, _FOURTH = _LEG, 3 * _LEG + 1
_RETURN = _FOURTH + _LONG_LEG
# Over mu: as far as a step damped so goes, neighbouring minima are left for better ones.
_LEAST = 0.3
# A leg ends at so many mu and so many mean eigenvalues, where F changes no more,
_MOST_OVER_MU, _MOST_OVER_EIGENVALUE = 1e3, 10.0
# and one from W(0) begins with steps that follow the gradient: these cross the fewest kinks.
_GENTLE = 30.0


class KinkSearch:
    """Steps of the subgradient method in the metric of Gauss-Newton, with a damping set in advance.

    The step of `RegularisedStep`, w + d = keep w + J^T g with keep = lam / (mu + lam), is taken
    wherever it leads, but not above |r_0|^2. lam grows geometrically on a first leg from the
    present iterate, falls on a second one that begins at W(0), and grows again on a third, and on a
    fourth, slower one if the others gained much. Then the fit returns to the best iterate and takes
    ordinary steps.

    The legs end at different minima. Far from linear, at small widths, the first is lower than the
    third; else the third, which has crossed fewer kinks.
    """

    def __init__(self):
        self._place = self._eigenvalue = self._before = None

    @property
    def begun(self):
        """Whether there is, or was, a search."""
        return self._place is not None

    @property
    def under_way(self):
        """Whether steps are left, among them a last ordinary one at the best iterate."""
        return self.begun and self._place <= _RETURN + 1

    def begin(self, best):
        """Take the first step next; `best` is the least objective before."""
        self._place, self._before = 0, best

    def move(self, fit, equation, mu, model, watch):
        """Return the next `Move`; None where it is an ordinary step's turn.

        `model` is that of `RegularisedStep`: of g and keep, the square of the change comes second.
        """
        eigenvalue = equation.mean_eigenvalue  # formed now: its bits are overwritten later
        if self._eigenvalue is None:
            self._eigenvalue = eigenvalue
        if self._place == _FOURTH and fit.best.objective > (1 - _MUCH) * self._before:
            self._place = _RETURN
        place = self._place
        self._place += 1
        if place > _RETURN:
            return None
        if place == _RETURN:
            fit.return_to_best(mu)
            return Move(None, 0.0, 0.0, 0, 0)
        if place == _START:
            return _to_the_start(fit)
        return self._step(fit, equation, mu, self._damping(place, mu), model, watch)

    def state(self):
        """What the next step depends on, as plain values."""
        return {"place": self._place, "eigenvalue": self._eigenvalue, "before": self._before}

    def restore(self, state):
        """Return to a `state`."""
        self._place, self._eigenvalue = state["place"], state["eigenvalue"]
        self._before = state["before"]

    def _damping(self, place, mu):
        """The damping of a step; 0 where float64 does not hold it."""
        least = _LEAST * mu
        most = max(_MOST_OVER_MU * mu, _MOST_OVER_EIGENVALUE * self._eigenvalue)
        if place < _START:
            return _between(least, most, place / (_LEG - 1))
        if place >= _FOURTH:
            return _between(least, most, (place - _FOURTH) / (_LONG_LEG - 1))
        place -= _START + 1
        if place >= _LEG:
            return _between(least, most, (place - _LEG) / (_LEG - 1))
        return _between(_GENTLE * max(mu, self._eigenvalue), least, place / (_LEG - 1))

    def _step(self, fit, equation, mu, damping, model, watch):
        """The damped step, unless it ends above the start."""
        none = Move(None, damping, 0.0, 1, 0)
        if not 0 < damping < math.inf:
            return none
        keep = damping / (mu + damping)
        with watch.phase("solve"):
            g, iterations = equation.solve(
                (1 - keep) * fit.state.linear - fit.residual, mu + damping
            )
            _, square, _ = model(fit, equation, g, keep)
        with watch.phase("move"):
            trial = fit.state.propose(g, keep=keep)
        if not fit.norm_of(trial.outputs) ** 2 + mu * square <= fit.initial_norm**2:
            return none
        return Move(trial, damping, 1.0, 1, iterations, square, g, keep)


def _to_the_start(fit):
    """W(0), as a change that keeps nothing and adds nothing."""
    nothing = np.zeros_like(fit.residual)
    trial = fit.state.propose(nothing, keep=0.0)
    return Move(trial, 0.0, 1.0, 1, 0, 0.0, nothing, 0.0)


def _between(first, last, t):
    """first^(1 - t) last^t, and 0 where that does not exist."""
    if not (0 < first < math.inf and 0 < last < math.inf):
        return 0.0
    return math.exp((1 - t) * math.log(first) + t * math.log(last))
