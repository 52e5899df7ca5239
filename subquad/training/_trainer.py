"""What all Gauss-Newton trainers do: steps, stopping, records.

A subclass builds the state, which holds the network, and says what its factors are.
"""

import warnings

import numpy as np

from subquad._parallel import blas_threads_for
from subquad._validation import integer, real
from subquad.training import _checks
from subquad.training._fit import Fit, ratio
from subquad.training._record import StepRecord, Stopwatch, TrainingWarning
from subquad.training._safeguards import LevenbergMarquardt, ProximalStep

_PATIENCE = 20  # steps without a gain of 0.1 % that count as stagnation


class GaussNewtonTrainer:
    """Safeguarded steps of a state towards its targets."""

    def _set_options(self, dtype, regularization, damping, tol, max_steps, callback):
        """Check what concerns the steps, whatever the network; nothing big is allocated yet."""
        mu = _checks.regularization(regularization)
        self._max_steps = integer(max_steps, "max_steps", minimum=0)
        self._tol = _checks.tolerance(tol, dtype, regularized=mu != 0)
        if callback is not None and not callable(callback):
            raise TypeError(f"callback must be callable; got {type(callback).__name__}.")
        self._callback = callback
        damping = real(damping, "damping", minimum=0.0)
        self._rule = LevenbergMarquardt(damping) if mu == 0 else ProximalStep(mu, self._tol)
        self.history, self.message = [], "Not run."
        self._warned_silent = False

    def _begin(self, state, y, weights, centred):
        """Stand at the network as it came."""
        self._fit = Fit(state, y, weights, centred)

    def step(self):
        """Take one step, and return its `StepRecord`.

        Notes
        -----
        [SZZ24], Algorithm 2, lines 8-19. Lines 9-15 (forward computation, D, u) are the state's
        `linearise`, line 17 the system's `solve`, lines 18 and 11 the state's `propose`.
        """
        fit, watch = self._fit, Stopwatch()
        before = fit.norm
        with watch.phase("linearise"):
            system = fit.state.linearise()
        self._warn_silent(system.active)
        move = self._rule.move(fit, system, watch)
        if move.trial is not None:
            with watch.phase("move"):
                fit.accept(move, self.regularization_)
        record = StepRecord(
            step=len(self.history) + 1,
            residual_norm=fit.norm,
            relative_residual=ratio(fit.norm, fit.initial_norm),
            ratio=ratio(fit.norm, before),
            objective=fit.objective(self.regularization_),
            active_fraction=system.active_fraction,
            min_active=int(system.active.min()),
            flips=0 if move.trial is None else move.trial.flips,
            damping=move.damping,
            step_length=move.length,
            n_trials=move.n_trials,
            n_iterations=move.n_iterations,
            **system.report,
            seconds=watch.stop(),
        )
        self.history.append(record)
        if self._callback is not None:
            self._callback(record)
        return record

    def choose_regularization(self):
        """Fix mu, if it is still to be chosen, and return the leave-one-out error it has here.

        Returns
        -------
        float
            Mean squared leave-one-out error of the fit linearised at the present iterate: what
            hyperparameters outside the trainer can be compared by, without a step.

        Raises
        ------
        ValueError
            If the trainer interpolates.
        """
        if not isinstance(self._rule, ProximalStep):
            raise ValueError("regularization must be positive or 'loo' for this; got 0.")
        self._rule.linearise(self._fit, self._fit.state.linearise())
        return self.loo_error

    def run(self):
        """Take steps until convergence, stagnation or `max_steps`; return the trainer.

        Notes
        -----
        An interrupted run (Ctrl-C) keeps its best iterate: the exception passes, and every
        attribute is valid.
        """
        self.message = "Interrupted; the best iterate so far is kept."
        with blas_threads_for(len(self._fit.target)):
            try:
                for _ in range(self._max_steps):
                    if self._is_done():
                        break
                    self.step()
            finally:
                self._fit.return_to_best(self.regularization_)
        self.message = self._closing_message()
        if not self.converged and self._max_steps > 0:
            warnings.warn(self.message, TrainingWarning, stacklevel=2)
        return self

    @property
    def outputs(self):
        """f, or f - f_0 if centred, at the best iterate, shape (n, C)."""
        return self._fit.best.outputs - self._fit.offset

    @property
    def residual_norm(self):
        """|f - y| at the best iterate, with sample weights if there are any."""
        return self._fit.best.norm

    @property
    def relative_residual(self):
        """|f - y| at the best iterate / |f_0 - y|."""
        return ratio(self._fit.best.norm, self._fit.initial_norm)

    @property
    def change_norm(self):
        """||W - W(0)||_F of the best iterate."""
        return float(np.sqrt(max(self._fit.best.square_of_change, 0.0)))

    @property
    def regularization_(self):
        """The mu in use; None before the first step of "loo"."""
        return self._rule.regularization

    @property
    def loo_error(self):
        """Mean squared leave-one-out error at the last linearisation; None if not regularised."""
        return self._rule.loo_error()

    @property
    def converged(self):
        """Whether the goal set by `tol` is reached."""
        if isinstance(self._rule, ProximalStep):
            return self._rule.settled
        goal = max(self._tol * self._fit.initial_norm, self._fit.rounding)
        return bool(self._fit.best.norm <= goal)

    def _is_done(self):
        if self.converged:
            self._fit.return_to_best(self.regularization_)  # where float32 may prove it wrong
        return self.converged or self._rule.stuck or self._stagnates()

    def _stagnates(self):
        """Whether the last steps together gained less than 0.1 %."""
        norms = [self._fit.initial_norm] + [record.residual_norm for record in self.history]
        if len(norms) <= _PATIENCE or isinstance(self._rule, ProximalStep):
            return False
        return min(norms[-_PATIENCE:]) > (1 - 1e-3) * min(norms[:-_PATIENCE])

    def _closing_message(self):
        steps, relative = len(self.history), self.relative_residual
        if self.converged:
            return f"Converged after {steps} steps at relative residual {relative:.1e}."
        if isinstance(self._rule, ProximalStep):
            return (
                f"Training stopped at max_steps={self._max_steps} while the objective still fell "
                f"by more than tol={self._tol:.0e} of its first value per step; raise max_steps "
                "or tol."
            )
        if not (self._rule.stuck or self._stagnates()):
            return (
                f"Training stopped at max_steps={self._max_steps} with relative residual "
                f"{relative:.1e}, above tol={self._tol:.0e}; raise max_steps or width."
            )
        return (
            f"Training stagnates after {steps} steps at relative residual {relative:.1e}, above "
            f"tol={self._tol:.0e}. Equal data points may have different targets (this is then "
            "their least-squares value), some may have too few active neurons (raise width or "
            "lower shift), or the precision is exhausted (float32 ends near 3e-7)."
        )

    def _warn_silent(self, active):
        """Name, once, the data points whose residual cannot move."""
        if active.all() or self._warned_silent:
            return
        self._warned_silent = True
        points = np.flatnonzero((active == 0).any(axis=1))
        named = ", ".join(map(str, points[:10])) + (", ..." if len(points) > 10 else "")
        warnings.warn(
            f"No neuron fires at data point {named}: its residual cannot change. Raise width, "
            "lower shift, or remove a row of zeros.",
            TrainingWarning,
            stacklevel=4,
        )
