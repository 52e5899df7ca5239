"""How far a Gauss-Newton step may go: two rules, for the papers' objective and a regularised one.

For the change J^T g, L = J vec(W - W(0)) and G = J J^T: |J^T g|^2 = g . G g, and its inner product
with W - W(0) is g . L, so that the size of a change needs no m x m array. The file is longer than
others since the two rules stand beside each other, as a trainer sees them.
"""

import math
from collections import deque

import numpy as np

from subquad.training._gauss_newton._fit import Move, ratio
from subquad.training._gauss_newton._kinks import KinkSearch

# A damping that grows tenfold from 1e-8 of the mean eigenvalue ends far above the largest one.
_MAX_TRIALS = 13
# Far from a minimum, where a tenth of the objective is promised, a regularised step must go down;
# near it, where kinks are left, it may go up, but not above the largest of three objectives. With
# one it ends .3 % higher, and with three from the start it takes twice the steps.
_FAR, _RECENT = 0.1, 3
# Damp less where a step reached nine tenths of what was promised, more where not half of it.
_RIGHT, _WRONG = 0.9, 0.5
# Refine a rough solution so many times at most before a fit settles on it.
_REFINEMENTS = 3
# With other losses than the squared one, weights change with the fit, and leave-one-out tells of
# each mu where its own fit ends: where no more than this part of |r_0|^2 is promised, or after so
# many steps. From ten mean eigenvalues down, each mu is by this factor smaller than the one before,
# until the error rises by 2 %, or has not fallen three times: below, where nearly all rows are
# fitted, it may fall again, but is wrong. The largest mu is taken whose error is alike.
_NEAR, _STEPS_OF_A_CHOICE, _ALIKE, _PATIENCE = 1e-3, 6, 1.02, 3
_LARGEST_CHOICE, _RATIO_OF_CHOICES, _SMALLEST_CHOICE = 10.0, math.sqrt(10.0), 1e-9
_NEEDS_GRAM = "regularization must be a number where no Gram matrix is formed; got 'loo'."
# Curvatures of the loss are not raised by less than this part of what is safe, and by three times
# less after each step that does as promised, nine times more after one that does not: with factors
# of 10 and 100 the Huber loss took twice the steps.
_LEAST_CAUTION, _CAUTION = 1e-2, 3.0
_EPS = np.finfo(np.float64).eps


class LevenbergMarquardt:
    """Non-monotone Levenberg-Marquardt for |f - y|^2.

    A step is accepted if |r| falls below the largest of the last five, and if the factors of the
    change give its f in their precision; otherwise mu grows tenfold. J of data points that are
    almost multiples of each other is almost singular: what one coefficient adds, another then takes
    away, and rounding leaves of it what it will.
    mu is 0 to begin with: plain Gauss-Newton is not monotone in hard cases, but ends sooner there
    than any monotone rule.
    """

    regularization, caution = 0.0, 1.0
    settled = searching = False
    stationarity = None

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
            if fit.norm_of(trial.outputs) <= bound and fit.is_sound(trial):
                square = fit.square_of_change + equation.quadratic(g)
                square -= 2 * float(np.vdot(g, fit.state.linear))
                self._damping = mu / 10 if mu / 10 >= 1e-9 * equation.mean_eigenvalue else 0.0
                return Move(trial, mu, 1.0, trials, iterations, square, -g)
            mu = max(10 * mu, 1e-8 * equation.mean_eigenvalue)
        self.stuck = True
        return Move(None, mu, 0.0, _MAX_TRIALS, iterations)

    def search(self, fit):
        """Begin no search around kinks; return whether there is one."""
        return False

    def linearise(self, fit, equation):
        """There is nothing to know of a linearisation but its step."""

    def loo_error(self):
        """There is none for interpolation."""
        return None

    loo_residuals = loo_error

    def state(self):
        """What the next step depends on, as plain values."""
        return {"damping": self._damping, "stuck": self.stuck}

    def restore(self, state):
        """Return to a `state`."""
        self._damping, self.stuck = state["damping"], state["stuck"]


class RegularisedStep:
    """Levenberg-Marquardt for F(W) = |f - y|^2 + mu ||W - W(0)||^2.

    F has kinks, where neurons begin or cease to fire: a step shortened along one direction stops at
    the first of them, and a damped one goes around. With w = vec(W - W(0)) and L = J w, the step d
    minimises

        |f - y + J d|^2 + mu |w + d|^2 + lam |d|^2,

    whose damping lam pulls towards the present iterate. It has w + d = keep w + J^T g for
    keep = lam / (mu + lam) and (G + (mu + lam) W^-1) g = y - f + (1 - keep) L.

    lam starts at 0, and follows the ratio of the decrease of F to the one that the linearisation
    promised. A step is accepted if F falls, near a minimum below the largest of its last three
    values. Where none is, a `KinkSearch` looks around, once.

    Attributes
    ----------
    caution : float
        How far curvatures of the loss are raised, from 1 down to 0 while steps do what was
        promised. The squared loss needs none.
    stationarity : float or None
        What the linearisation without damping promises as the decrease of F, as a fraction of
        |r_0|^2: 0 at a minimum that lies on no kink. The fit has settled where it is at most `tol`.
        None while kinks are searched.
        Of other losses F is 2 sum_i w_i l(f_i, y_i) + mu ||W - W(0)||^2, its linearisation is that
        of f under the parabolas of l, and |r|^2 is twice the loss.
        A solver that leaves a residual rho = y - f + L - (G + mu W^-1) g hides up to rho . W rho
        more, which counts; a fit that would settle but for this has its g refined first.
    """

    def __init__(self, regularization, tol, repeats=None, search_kinks=True, curved=False):
        self._repeats = repeats
        # Steps in all, when mu was last changed, and since.
        self._n_moves = self.chosen_at = self._n_steps = 0
        self._choosing, self._path = curved and regularization == "loo", []
        self.caution = 1.0 if curved else 0.0
        self._most_cautious = self.caution
        self.regularization = None if regularization == "loo" else regularization
        self._tol, self._damping = tol, 0.0
        self.settled = self.stuck = False
        self.stationarity = None
        self._last, self._errors = None, None
        self._recent = deque(maxlen=_RECENT)
        self._search, self._may_search = KinkSearch(), search_kinks

    @property
    def searching(self):
        """Whether the next step looks around kinks, whatever F does, or for another mu."""
        return self._search.under_way or self._choosing

    def search(self, fit):
        """Look around the kink that the fit stands at, unless it did; return whether it will."""
        has_kinks = self._may_search and getattr(fit.state, "has_kinks", False)
        if self._search.begun or not has_kinks:
            return False
        self._search.begin(fit.best.objective)
        self.stuck, self.stationarity = False, None
        return True

    def linearise(self, fit, equation):
        """Return what the linearised fit aims at, and choose mu for it if that is still open."""
        target = fit.state.linear - fit.residual
        if self.regularization is None and self._choosing:
            self.regularization = _largest_choice(equation)
        if self.regularization is None:
            self.regularization = _chosen_regularization(fit, equation, target, self._repeats)
        self._last, self._errors = (equation, target, fit.misfit), None
        return target

    def move(self, fit, equation, watch):
        """Return the first acceptable `Move`, or notice that the fit has settled."""
        self._n_moves += 1
        if self._search.under_way:
            self.linearise(fit, equation)
            move = self._search.move(fit, equation, self.regularization, self._model, watch)
            if move is not None:
                return move
            self._damping, self._recent = 0.0, deque(maxlen=1)  # from here on F must fall
        with watch.phase("solve"):
            target = self.linearise(fit, equation)
            g, model, square, iterations = self._undamped(fit, equation, target)
        if self._choosing and self._chooses(fit):
            return Move(None, 0.0, 0.0, 0, iterations)
        mu, now = self.regularization, fit.objective(self.regularization)
        self._recent.append(now)
        if self.stationarity <= self._tol and not self._choosing:
            if self.caution:  # raised curvatures promise less than there may be
                self.caution = 0.0
                return Move(None, 0.0, 0.0, 0, iterations)
            return self._settle(fit, mu, iterations)
        bound = now if now - model > _FAR * now else max(self._recent)
        for trials in range(1, _MAX_TRIALS + 1):
            keep = self._damping / (mu + self._damping)
            if keep or trials > 1:
                with watch.phase("solve"):
                    aim = (1 - keep) * fit.state.linear - fit.residual
                    g, more = equation.solve(aim, mu + self._damping)
                iterations += more
                model, square, _ = self._model(fit, equation, g, keep)
            with watch.phase("move"):
                trial = fit.state.propose(g, keep=keep)
            after = fit.norm_of(trial.outputs) ** 2 + mu * square
            damping, promise = self._damping, now - model
            sound = fit.is_sound(trial)
            if sound and 0 < promise and after <= bound - 1e-4 * promise:
                self._adapt(ratio(now - after, promise), equation)
                return Move(trial, damping, 1.0, trials, iterations, square, g, keep)
            if self.caution < self._most_cautious:
                self.caution = self._more_caution()
                return Move(None, damping, 0.0, trials, iterations)
            self._damping = max(10 * damping, self._least_damping(equation))
        self.stuck = True
        return Move(None, damping, 0.0, _MAX_TRIALS, iterations)

    def _chooses(self, fit):
        """Go on to the next mu, if this fit tells enough of the present one; return whether so."""
        self._n_steps += 1
        near = self.stationarity <= _NEAR or self._n_steps > _STEPS_OF_A_CHOICE
        if not (self._choosing and near):
            return False
        error, mu = self.loo_error(), self.regularization
        if error is None:  # no Gram matrix may be formed
            raise ValueError(_NEEDS_GRAM)
        self._path.append((mu, error))
        mu, self._choosing = _next_choice(self._path)
        self.regularization, self._damping, self._n_steps = mu, 0.0, 0
        self._recent, self.stationarity, self._errors = deque(maxlen=_RECENT), None, None
        self.chosen_at, self.stuck = self._n_moves, False
        fit.return_to_best(mu)
        return True

    def _undamped(self, fit, equation, target):
        """Solve without damping, and well enough to tell whether the fit has settled."""
        mu, goal = self.regularization, self._tol * fit.initial_norm**2
        now, iterations = fit.objective(mu), 0
        g = rho = 0.0
        for solutions in range(1 + _REFINEMENTS):
            correction, more = equation.solve(rho if solutions else target, mu)
            g, iterations = g + correction, iterations + more
            model, square, rho = self._model(fit, equation, g, keep=0.0)
            promise = now - model
            hidden = self._hidden(fit, equation, rho, goal - promise)
            if not promise <= goal < promise + hidden:
                break
        possible = max(promise + hidden, 0.0) / (fit.initial_norm**2 or 1.0)
        self.stationarity = possible if math.isfinite(possible) else math.inf
        return g, model, square, iterations

    def _hidden(self, fit, equation, rho, bearable):
        """At most what a better solution of the equation promises beyond g: rho . W rho.

        With S = W^1/2 G W^1/2 it is rho . W^1/2 S (S + mu)^-1 W^1/2 rho, which is no more. Nothing
        where rho lies in the null space of S to rounding, as it may for repeated data points.
        """
        square = fit.misfit.weighted_norm(rho) ** 2
        if not square > max(bearable, 0.0):
            return square
        v = fit.misfit.times_weights(rho)
        v = v / math.sqrt(float(np.abs(rho * v).max()))  # the largest entry of W^1/2 rho is 1
        size = equation.mean_eigenvalue * rho.size
        vanishes = float(np.vdot(v, equation.product(v))) <= _EPS * rho.size**2 * size
        return 0.0 if vanishes else square

    def loo_error(self):
        """Mean squared leave-one-out error of the last linearised fit; None before the first."""
        return self._left_out()[1]

    def loo_residuals(self):
        """The errors one by one, shape (n_observations, C); None before the first."""
        return self._left_out()[0]

    def _left_out(self):
        """Leave-one-out errors of the last linearised fit and their mean, found once, or None."""
        if self._last is None:
            return None, None
        if self._errors is None:
            equation, target, misfit = self._last
            self._errors = misfit.left_out(equation, target, self.regularization, self._repeats)
        return self._errors

    def state(self):
        """What the next step depends on but the last linearisation, as plain values."""
        return {
            **{"regularization": self.regularization, "damping": self._damping},
            **{"settled": self.settled, "stuck": self.stuck, "stationarity": self.stationarity},
            **{"recent": list(self._recent), "n_recent": self._recent.maxlen},
            "caution": self.caution,
            "choice": [self._n_moves, self.chosen_at, self._n_steps, self._choosing],
            "path": [list(choice) for choice in self._path],
            "search": self._search.state(),
        }

    def restore(self, state):
        """Return to a `state`."""
        self.regularization, self._damping = state["regularization"], state["damping"]
        self.settled, self.stuck = state["settled"], state["stuck"]
        self.stationarity = state["stationarity"]
        self._recent = deque(state["recent"], maxlen=state["n_recent"])
        self._search.restore(state["search"])
        # Of the squared loss, which earlier versions knew alone, nothing is chosen anew.
        self.caution = state.get("caution", 0.0)
        *counts, self._choosing = state.get("choice", (0, 0, 0, False))
        self._n_moves, self.chosen_at, self._n_steps = counts
        self._path = [tuple(choice) for choice in state.get("path", ())]

    def _settle(self, fit, mu, iterations):
        """End here, or at the best iterate if that is another one: then look around there."""
        if fit.best.objective < fit.objective(mu):
            fit.return_to_best(mu)
            self._recent = deque(maxlen=1)  # from here on F must fall
        else:
            self.settled = True
        return Move(None, 0.0, 0.0, 0, iterations)

    def _adapt(self, reached, equation):
        """Trust the linearisation as far as it was right."""
        if reached > _RIGHT:
            caution = self.caution / _CAUTION
            self.caution = caution if caution >= _LEAST_CAUTION else 0.0
            damping = self._damping / 10
            self._damping = damping if damping >= 1e-9 * equation.mean_eigenvalue else 0.0
        elif reached < _WRONG and self.caution < self._most_cautious:
            self.caution = self._more_caution()
        elif reached < _WRONG:
            self._damping = max(2 * self._damping, self._least_damping(equation))

    def _more_caution(self):
        return min(max(_CAUTION**2 * self.caution, _LEAST_CAUTION), 1.0)

    def _least_damping(self, equation):
        return max(1e-6 * equation.mean_eigenvalue, 1e-3 * self.regularization)

    def _model(self, fit, equation, g, keep):
        """F at keep w + J^T g as the linearisation has it, ||keep w + J^T g||^2, and rho.

        True of any g, also one that solves its equation but roughly.
        """
        product = equation.product(g)
        square = float(np.vdot(g, product))
        if keep:
            square += keep**2 * fit.square_of_change
            square += 2 * keep * float(np.vdot(g, fit.state.linear))
        misfit = fit.misfit
        modelled, left = misfit.model(fit.state.outputs, (1 - keep) * fit.state.linear, product)
        rho = left - self.regularization * misfit.over_weights(g)
        return modelled + self.regularization * square, square, rho


def _next_choice(path):
    """The mu to try after those of a path with their errors, or to take; and whether to try it."""
    errors = [error for _, error in path]
    least = min(errors)
    rises = errors[-1] > _ALIKE * least or least not in errors[-_PATIENCE:]
    if rises or path[-1][0] < _SMALLEST_CHOICE * path[0][0]:
        return next(mu for mu, error in path if error <= _ALIKE * least), False
    return path[-1][0] / _RATIO_OF_CHOICES, True


def _largest_choice(equation):
    """The mu from which a choice goes down."""
    _require_firing(equation)
    return _LARGEST_CHOICE * equation.mean_eigenvalue


def _chosen_regularization(fit, equation, target, repeats):
    """The mu of least leave-one-out error."""
    _require_firing(equation)
    return fit.misfit.choose_regularization(equation, target, repeats)


def _require_firing(equation):
    """Refuse a choice of mu where there is nothing to regularise."""
    if equation.mean_eigenvalue == 0:
        raise ValueError(
            "layer must have a neuron that fires at some data point; got none. Raise width or "
            "lower shift."
        )
