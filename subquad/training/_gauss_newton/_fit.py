"""Where a fit stands: its state, its targets, and the best iterate so far."""

import math
from collections import deque
from dataclasses import dataclass, field, replace

import numpy as np

from subquad.training._losses._misfit import LossMisfit, SquaredMisfit

# A step is compared with the largest of so many accepted residuals.
_MEMORY = 5
# A step is refused whose factors, rounded, may change f by this part of |f_0 - y|.
_LARGEST_ROUNDING = 1e-3


@dataclass(frozen=True)
class Trial:
    """What a proposed change gives; valid until the next proposal.

    `outputs` and `linear` are f and J vec(W - W(0)), shape (n, C); `flips` counts the neurons that
    fire anew or no more, over data points; `terms` is the iterate in the form of its state.
    `rounding`, of the shape of f, estimates how far f at the factors (A, V) of the iterate depends
    on the rounding of V and A to their dtype; None where A is no larger than the change is.
    """

    outputs: np.ndarray
    linear: np.ndarray
    flips: int
    terms: object
    rounding: object = field(default=None, kw_only=True)


@dataclass(frozen=True)
class Move:
    """A step to take; no `trial` if there is none worth taking.

    It changes W - W(0) to keep (W - W(0)) + J^T coefficients.
    """

    trial: object
    damping: float
    length: float
    n_trials: int
    n_iterations: int
    square_of_change: float = 0.0
    coefficients: object = None
    keep: float = 1.0


@dataclass(frozen=True)
class Best:
    """The iterate of least objective."""

    terms: object
    outputs: np.ndarray
    norm: float
    objective: float
    square_of_change: float


class Fit:
    """A state on its way to its targets.

    Attributes
    ----------
    target : ndarray, shape (n, C)
        y, or y + f_0 if centred; or y and what is subtracted from the outputs otherwise.
    norm, initial_norm, rounding : float
        |f - target|, each row times the root of its sample weight: now, at first, at the least. Of
        other losses than the squared one, the root of twice the loss.
    misfit : SquaredMisfit
        The loss, its targets, and what it is near the last linearisation.
    recent : deque of float
        Norms of the last accepted iterates.
    square_of_change : float
        ||W - W(0)||_F^2.
    best : Best
    lost : float
        By how much rounding the best iterate to the factors it is given as raised its objective,
        over |f_0 - target|^2; as of the last `return_to_best`.
    start : ndarray, shape (n, C)
        The outputs at first.
    moves : list of (Move or None, mu), or None
        What the state went through, where that is kept: a `Move`, or None where it returned to the
        best iterate.
    """

    def __init__(self, state, y, weights, centred, moves=None, loss=None):
        self.state = state
        if isinstance(centred, np.ndarray):
            self.offset = centred
        else:
            self.offset = state.outputs.copy() if centred else np.zeros_like(y)
        if loss is None or loss.name == "squared":
            self.misfit = SquaredMisfit(y, self.offset, weights)
        else:
            self.misfit = LossMisfit(loss, y, self.offset, weights)
        self.target = self.misfit.target
        self.square_of_change = 0.0
        with np.errstate(over="ignore", invalid="ignore"):
            self.norm = self.initial_norm = self.norm_of(state.outputs)
        if not math.isfinite(self.norm):
            raise ValueError(
                "X, or the layer, must give outputs whose squares float64 holds; got a residual of "
                f"norm {self.norm}. Scale the rows."
            )
        self.rounding = self.misfit.rounding()
        self.recent = deque([self.norm], maxlen=_MEMORY)
        self.lost = 0.0
        self.start, self.moves = state.outputs, moves
        self._remember(0.0)
        self._first = self.best

    @property
    def residual(self):
        """f - target, shape (n, C); of other losses than the squared one l' / h."""
        return self.misfit.residual(self.state.outputs)

    def norm_of(self, outputs):
        """|outputs - target|, weighted; of other losses the root of twice the loss."""
        return self.misfit.norm_of(outputs)

    def linearise(self, rule):
        """Return the equation of a step at the present iterate, as a rule wants it.

        Until the next one, `misfit` stands for the loss near these outputs.
        """
        equation, mu = self.state.linearise(), rule.regularization
        return self.misfit.linearise(equation, self.state.outputs, mu, rule.caution)

    def objective(self, mu):
        """|f - target|^2 + mu ||W - W(0)||^2."""
        return self.norm**2 + (mu or 0.0) * self.square_of_change

    def is_sound(self, trial):
        """Whether the factors of a trial, in the precision they are given in, give its outputs."""
        rounding = getattr(trial, "rounding", None)
        if rounding is None:
            return True
        return self.misfit.change_by(rounding) <= _LARGEST_ROUNDING * self.initial_norm

    def accept(self, move, mu):
        """Move the state, and remember it if it is the best so far."""
        state = self.state
        state.accept(move.trial)
        self.square_of_change = move.square_of_change
        self.norm = self.norm_of(state.outputs)
        self.recent.append(self.norm)
        self._keep(replace(move, trial=None), mu)
        if self.objective(mu) < self.best.objective:
            self._remember(mu)

    def begin_at(self, terms, mu):
        """Begin at another iterate than W(0), if its objective is lower."""
        if not self.state.restore(terms):
            return
        with np.errstate(over="ignore", invalid="ignore"):
            self.square_of_change = self.state.squared_change()
            self.norm = self.norm_of(self.state.outputs)
            if not self.objective(mu) < self._first.objective:
                self._evaluate_anew(self._first, mu)
        self.recent = deque([self.norm], maxlen=_MEMORY)
        self._remember(mu)

    def return_to_best(self, mu):
        """Go back to the best iterate, evaluated anew from the factors that it will be given as.

        In float32 these carry rounding that the change kept while training does not. Where that
        leaves it worse than the start, the start is the best there is.
        """
        self._keep(None, mu)
        believed = self.best.norm**2 + (mu or 0.0) * self.best.square_of_change
        with np.errstate(over="ignore", invalid="ignore"):
            if not self._evaluate_anew(self.best, mu):
                if mu != self._mu:
                    self._remember(mu)
                return
            raised = self.best.objective - believed
            self.lost = ratio(raised, self.initial_norm**2)
            if not self.best.objective <= self._first.objective:
                self._evaluate_anew(self._first, mu)

    def _evaluate_anew(self, iterate, mu):
        """Make an iterate the state's, and the best; return whether it was another one."""
        if not self.state.restore(iterate.terms):
            return False
        self.square_of_change = iterate.square_of_change
        self.norm = self.norm_of(self.state.outputs)
        self._remember(mu)
        return True

    def _keep(self, move, mu):
        if self.moves is not None:
            self.moves.append((move, mu))

    def _remember(self, mu):
        state, self._mu = self.state, mu
        self.best = Best(
            state.terms, state.outputs, self.norm, self.objective(mu), self.square_of_change
        )


def ratio(a, b):
    """a / b, and 0 where there was nothing to reduce."""
    return a / b if b > 0 else 0.0
