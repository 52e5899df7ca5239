"""Algorithm 2 of [SZZ24]: the step that all Gauss-Newton trainers take, and when they stop.

The file is longer than others since it holds both sides of one contract: `State`, what a trainer
asks of a network on its data, and `GaussNewtonTrainer`, which asks it. A trainer's own class checks
its arguments, builds the state and begins.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from subquad._parallel import blas_threads_for
from subquad._validation import integer, real, require_memory
from subquad.solvers.gram import sizes
from subquad.training import _arguments
from subquad.training._gauss_newton._fit import Fit, ratio
from subquad.training._gauss_newton._steps import LevenbergMarquardt, RegularisedStep
from subquad.training._records import (
    Origin,
    StepRecord,
    Stopwatch,
    TrainingWarning,
    parallel_rows,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Literal, Self

    from numpy.typing import ArrayLike, NDArray

    from subquad._typing import FloatArray
    from subquad.training._equation import Equation
    from subquad.training._losses import Loss


# Training stagnates when so many steps together gain less than 0.1 %.
_PATIENCE = 20
# A regularised fit stands at a kink when so many steps together gain less than 0.01 %.
_KINKED = 10
# Look for data points that share a direction among so many, which takes n^2 numbers.
_MOST_COMPARED = 4096
# With other losses some steps only learn how far curvatures may be trusted.
_KINKED_IF_CURVED = 20
# Rounding a change of weights may raise the objective by so many units in the last place.
_ROUNDINGS = 16.0


class State(Protocol):
    """A network on n data points, with weights W that move from W(0).

    Attributes
    ----------
    outputs : ndarray of float64, shape (n, C)
        f(x_i) at the current iterate.
    linear : ndarray of float64, shape (n, C)
        J vec(W - W(0)) at the current iterate.
    terms : object
        The current iterate W - W(0), in the form that this state keeps it. Never written to, so
        that an earlier one can be restored.
    has_kinks : bool, optional
        Whether a regularised fit that gains no more may take some 300 steps to look around kinks;
        False if there is none, or if `terms` would grow with them.
    firing : tuple of ndarray, optional
        Arrays of bool, or of words of bits, that say which neurons fire at which data points: what
        `Diagnostics` counts flips by.
    """

    def linearise(self) -> Equation:
        """Return the `Equation` (G + mu W^-1) g = r at the current iterate."""

    def propose(self, coefficients: FloatArray, keep: float) -> Any:
        """Return what W - W(0) = keep (W - W(0)) + J^T coefficients would give, a `Trial`.

        J is that of the last `linearise`, coefficients has shape (n, C); a trial has `outputs`,
        `flips` (how many neurons fire anew or no more) and `terms`, and is valid until the next.
        """

    def accept(self, trial: Any) -> None:
        """Make the last proposal the current iterate."""

    def restore(self, terms: Any) -> bool:
        """Make an earlier iterate the current one; return whether there was anything to do."""

    def factors(self, terms: Any) -> Any:
        """Return (A, V) with W = W(0) + A^T V at an iterate."""


@dataclass(frozen=True)
class Mark:
    """Where the last whole step ended: so many moves, one linearisation after so many, the rule."""

    n_moves: int
    linearised_at: int
    rule: dict


class GaussNewtonTrainer:
    """Safeguarded steps of a `State` towards its targets."""

    # Whether `state_dict` can be asked for, to which end the coefficients of all steps are kept.
    _resumable = False
    # Whether this process keeps a checkpoint, and not another that takes the same steps.
    _writes = True
    # What later iterates are compared with, where diagnostics are asked for.
    _diagnosed, _origin = False, None

    def _set_options(
        self,
        dtype,
        regularization,
        damping,
        tol,
        max_steps,
        callback,
        *,
        repeats=None,
        search_kinks=False,
        diagnostics=False,
        loss="squared",
    ):
        """Check what concerns the steps, whatever the network; nothing big is allocated yet."""
        self.loss = _arguments.gauss_newton_loss(loss, repeats)
        mu = _arguments.regularization(regularization)
        self._max_steps = integer(max_steps, "max_steps", minimum=0)
        self._tol = _arguments.tolerance(tol, dtype, regularized=mu != 0)
        self._dtype = np.dtype(dtype)
        self._floor = _ROUNDINGS * np.finfo(dtype).eps
        if callback is not None and not callable(callback):
            raise TypeError(f"callback must be callable; got {type(callback).__name__}.")
        self._callback, self._diagnosed = callback, bool(diagnostics)
        damping = real(damping, "damping", minimum=0.0)
        search_kinks = bool(search_kinks)
        if mu == 0:
            self._rule = LevenbergMarquardt(damping)
        else:
            curved = self.loss.name != "squared"  # and so not its own parabola
            self._rule = RegularisedStep(mu, self._tol, repeats, search_kinks, curved)
        self._options = {
            **{"dtype": np.dtype(dtype).name, "regularization": mu, "damping": damping},
            **{"tol": self._tol, "max_steps": self._max_steps, "search_kinks": search_kinks},
        }
        if self.loss.name != "squared":
            self._options["loss"] = repr(self.loss)
        self.history: list[StepRecord] = []
        self.message = "Not run."
        self._warned_silent = self._resumed = False
        self._first_of_run = 0

    def _begin(self, state, y, weights, centred):
        """Stand at the network as it came."""
        moves = [] if self._resumable else None
        self._fit = Fit(state, y, weights, centred, moves, self.loss)
        self._mark_step(0)
        if self._diagnosed:
            with blas_threads_for(len(y)), np.errstate(over="ignore", invalid="ignore"):
                self._origin = Origin(state, self._equation(), self._dtype)

    def _mark_step(self, linearised_at):
        """Remember where the last whole step ended, and after how many moves it linearised."""
        if self._resumable:
            self._mark = Mark(len(self._fit.moves), linearised_at, self._rule.state())

    def step(self) -> StepRecord:
        """Take one step, and return its `StepRecord`.

        Notes
        -----
        [SZZ24], Algorithm 2, lines 8-19. The rule solves the equation of line 17, tries the change
        of line 18, and damps the step until f comes closer to y.
        """
        fit, watch, before = self._fit, Stopwatch(), self._fit.norm
        n_moves, searching = len(fit.moves or ()), self._rule.searching
        # A trial that overflows is not accepted.
        with blas_threads_for(len(fit.target)), np.errstate(over="ignore", invalid="ignore"):
            with watch.phase("linearise"):
                # Lines 9, 12 and 16: v_i, D_i and u_i = a D_i, the rows u_i (x) v_i of J.
                equation = fit.linearise(self._rule)
            # Line 17: g solves (J J^T) g = f - y.
            # Lines 18, 11 and 14: W - sum_i g_i u_i v_i^T, and z and f there.
            move = self._rule.move(fit, equation, watch)
            if move.trial is not None:
                with watch.phase("move"):
                    fit.accept(move, self.regularization_)
        self._warn_silent(equation.active)
        self._first_of_run += searching  # `max_steps` does not count these
        return self._note(equation, move, before, watch, n_moves, self._diagnose(watch))

    def _diagnose(self, watch):
        """Return the `Diagnostics` of the present iterate, where they are asked for."""
        if self._origin is None:
            return None
        state = self._fit.state
        with watch.phase("diagnose"), blas_threads_for(len(self._fit.target)):
            with np.errstate(over="ignore", invalid="ignore"):
                return self._origin.compare(state, self._equation())

    def _note(self, equation, move, before, watch, n_moves, diagnostics):
        """Keep the record of a step, and show it."""
        fit = self._fit
        record = StepRecord(
            step=len(self.history) + 1,
            residual_norm=fit.norm,
            relative_residual=ratio(fit.norm, fit.initial_norm),
            ratio=ratio(fit.norm, before),
            objective=fit.objective(self.regularization_),
            active_fraction=equation.active_fraction,
            min_active=int(equation.active.min()),
            flips=0 if move.trial is None else move.trial.flips,
            damping=move.damping,
            step_length=move.length,
            n_trials=move.n_trials,
            n_iterations=move.n_iterations,
            stationarity=self.stationarity,
            **equation.report,
            seconds=watch.stop(),
            diagnostics=diagnostics,
        )
        self.history.append(record)
        self._mark_step(n_moves)
        if self._callback is not None:
            self._callback(record)
        return record

    def choose_regularization(self) -> float:
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
        if not isinstance(self._rule, RegularisedStep):
            raise ValueError("regularization must be positive or 'loo' for this; got 0.")
        with blas_threads_for(len(self._fit.target)):
            self._rule.linearise(self._fit, self._fit.linearise(self._rule))
            return self.loo_error

    def run(self) -> Self:
        """Take steps until convergence, stagnation or `max_steps`; return the trainer.

        Notes
        -----
        A regularised fit whose steps gain no more, although it has not settled, stands at a kink of
        the objective. With `search_kinks` damped steps then look around, once, whether or not they
        go down: 303 or 503 of them, which `max_steps` does not count.

        An interrupted run (Ctrl-C) keeps its best iterate: the exception passes, and every
        attribute is valid.
        """
        self.message = "Interrupted; the best iterate so far is kept."
        if not self._resumed:
            self._first_of_run = len(self.history)
        self._resumed = False
        with blas_threads_for(len(self._fit.target)):
            try:
                while len(self.history) - self._first_of_run < self._max_steps:
                    if self._is_done():
                        break
                    self.step()
            finally:
                self._fit.return_to_best(self.regularization_)
        self.message = self._closing_message() + self._sketch_message()
        if not self.converged and self._max_steps > 0:
            warnings.warn(self.message, TrainingWarning, stacklevel=2)
        return self

    def gram(self, output: int | None = None) -> NDArray[np.float64]:
        """Return G = J J^T, the tangent kernel of the data points at the present iterate.

        That is W(0) before the first step, where a step ended when it calls `callback`, and the
        best iterate after `run`: the G of which the next step solves (G + mu W^-1) g = f - y.

        Parameters
        ----------
        output : int, optional
            c, for the block of one output alone.

        Returns
        -------
        ndarray of float64, shape (n C, n C) or (n, n)
            Row i C + c belongs to output c of data point i; a block of one output has rows i. J is
            the derivative of f by the weights that move: sample weights, regularisation and damping
            are not in it.

        Raises
        ------
        TypeError, ValueError
            If `output` is not a number from 0 to C - 1.
        MemoryError
            If G does not fit.

        Notes
        -----
        Made anew in each call, also where the solver makes do without it.
        """
        n, C = self._fit.target.shape
        if output is not None:
            output = integer(output, "output", minimum=0, maximum=C - 1)
        rows = n * C if output is None else n
        require_memory(16 * rows**2, f"G of shape {(rows, rows)}", "Ask for one output's.")
        with blas_threads_for(n):
            return np.asarray(self._equation().gram(output), np.float64)

    def _equation(self):
        """The `Equation` at the present iterate."""
        return self._fit.state.linearise()

    @property
    def outputs(self) -> NDArray[np.float64]:
        """f, or f - f_0 if centred, at the best iterate, shape (n, C)."""
        return self._fit.best.outputs - self._fit.offset

    @property
    def linear_targets(self) -> NDArray[np.float64]:
        """What the linearised fit at the best iterate aims at, shape (n, C), once `run` has ended.

        y - f + J vec(W - W(0)), with f - f_0 for f if centred: the r of (G + mu W^-1) g = r, whose
        solution changes W(0) by J^T g. Of other losses -l' / h + J vec(W - W(0)), with weights w h.
        """
        return self._fit.state.linear - self._fit.residual

    @property
    def residual_norm(self) -> float:
        """|f - y| at the best iterate, with sample weights; of other losses sqrt(2 loss)."""
        return self._fit.best.norm

    @property
    def relative_residual(self) -> float:
        """`residual_norm` / that of f_0."""
        return ratio(self._fit.best.norm, self._fit.initial_norm)

    @property
    def change_norm(self) -> float:
        """||W - W(0)||_F of the best iterate."""
        return float(np.sqrt(max(self._fit.best.square_of_change, 0.0)))

    @property
    def stationarity(self) -> float | None:
        """Decrease of the objective that its linearisation still promises, over |r_0|^2.

        Before the last step; None before the first, while kinks are searched, and without
        regularisation.
        """
        return self._rule.stationarity

    @property
    def regularization_(self) -> float | None:
        """The mu in use; None before the first step of "loo"."""
        return self._rule.regularization

    @property
    def loo_error(self) -> float | None:
        """Mean squared leave-one-out error at the last linearisation; None if not regularised.

        Of other losses, twice the mean loss of the predictions that leave a row out.
        """
        return self._rule.loo_error()

    @property
    def loo_residuals(self) -> FloatArray | None:
        """The errors of which `loo_error` is the mean square or loss, shape (n, C); None as it is.

        Of repeated points, those of observations. y minus these is what the linearised fit without
        a row predicts for it.
        """
        return self._rule.loo_residuals()

    @property
    def converged(self) -> bool:
        """Whether the goal set by `tol` is reached."""
        if isinstance(self._rule, RegularisedStep):
            return self._rule.settled and self._fit.lost <= max(self._tol, self._floor)
        goal = max(self._tol * self._fit.initial_norm, self._fit.rounding)
        return bool(self._fit.best.norm <= goal)

    def _is_done(self):
        if self.converged:
            self._fit.return_to_best(self.regularization_)  # where float32 may prove it wrong
        if self.converged or self._rule.settled:
            return True
        if self._rule.searching or not (self._rule.stuck or self._stagnates()):
            return False
        return not self._rule.search(self._fit)

    def _stagnates(self):
        """Whether the last steps together gained next to nothing."""
        if isinstance(self._rule, RegularisedStep):
            since = self.history[self._rule.chosen_at :]
            patience = _KINKED if self.loss.name == "squared" else _KINKED_IF_CURVED
            values, gain = [r.objective for r in since], 1e-4
        else:
            values, patience, gain = [r.residual_norm for r in self.history], _PATIENCE, 1e-3
            values.insert(0, self._fit.initial_norm)
        if len(values) <= patience:
            return False
        return min(values[-patience:]) > (1 - gain) * min(values[:-patience])

    def _closing_message(self):
        steps, relative = len(self.history), self.relative_residual
        if self.converged:
            message = f"Converged after {steps} steps at relative residual {relative:.1e}."
            return message + self._on_separation()
        if isinstance(self._rule, RegularisedStep):
            return self._regularised_message()
        if not (self._rule.stuck or self._stagnates()):
            return (
                f"Training stopped at max_steps={self._max_steps} with relative residual "
                f"{relative:.1e}, above tol={self._tol:.0e}; raise max_steps or width."
            ) + self._on_separation()
        causes = self._shared_directions() or (
            "Equal data points may have different targets (this is then their least-squares "
            "value), some may have too few active neurons (raise width or lower shift), or the "
            "precision is exhausted (float32 ends near 3e-7)."
        )
        return (
            f"Training stagnates after {steps} steps at relative residual {relative:.1e}, above "
            f"tol={self._tol:.0e}. {causes}"
        )

    def _shared_directions(self):
        """Say so if most of the residual is at data points whose outputs can but move together."""
        n = len(self._fit.target)
        equation = self._equation()
        if n > _MOST_COMPARED or not getattr(equation, "jacobians", None):
            return None
        parallel = parallel_rows(np.asarray(equation.gram(0), np.float64))
        squares = np.square(self._fit.residual).sum(axis=1)
        shared = parallel >= 0
        if not squares[shared].sum() > squares.sum() / 2:
            return None
        first = int(np.flatnonzero(shared)[0])
        return (
            f"The derivatives of f at {np.count_nonzero(shared)} of {n} data points are multiples "
            f"of those at others, at {first} and {parallel[first]} for one: their outputs move "
            "together, and cannot meet different targets. So it is with rows of one direction, "
            "since without a bias f(5 x) is f(x), or 5 f(x): append a constant column to X, as "
            "`constant` of the estimators does. Of equal rows this is the least-squares value."
        )

    def _on_separation(self):
        """Say that a loss without regularisation has no minimum, if that is so."""
        if self._rule.regularization != 0 or not self._fit.misfit.separates(self._fit.best.outputs):
            return ""
        return (
            " The outputs separate the labels, so that the loss tends to 0 and has no minimum: "
            "outputs grow as long as steps are taken. Regularization gives one."
        )

    def _sketch_message(self):
        """Say that a sketch was too small, where a run that it solved for did not converge."""
        record, n = self.history[-1] if self.history else None, len(self._fit.target)
        if self.converged or record is None or record.solver != "sketch":
            return ""
        if record.sketch_size >= sizes.SKETCHED * n:
            return ""
        return (
            f" A sketch of {record.sketch_size} columns is small for {n} rows: steps converge from "
            f"{sizes.LEAST_SKETCHED * n} on, and {sizes.SKETCHED * n} is a good size."
        )

    def _regularised_message(self):
        """Why a regularised run ended before it settled."""
        promised = "no step was taken"
        if self.stationarity is not None:
            promised = f"its linearisation promises {self.stationarity:.1e} of |r_0|^2 more"
        if self._rule.settled:
            return (
                f"Training ends after {len(self.history)} steps at relative residual "
                f"{self.relative_residual:.1e}: rounding the change of weights to {self._dtype} "
                f"raises the objective by {self._fit.lost:.1e} of |r_0|^2, above "
                f"tol={self._tol:.0e}. Use float64, or raise regularization."
            )
        if not (self._rule.stuck or self._stagnates()):
            return (
                f"Training stopped at max_steps={self._max_steps} while the objective could still "
                f"fall: {promised}, above tol={self._tol:.0e}; raise max_steps or tol."
            )
        return (
            f"Training ends after {len(self.history)} steps in a narrow valley or at a kink of the "
            f"objective, where damped steps gain nothing: {promised}, above tol={self._tol:.0e}, "
            "but f bends, or neurons begin or cease to fire, on the way. Raise tol or "
            "regularization."
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


class StateGaussNewton(GaussNewtonTrainer):
    """Gauss-Newton steps of a `State` of any network: the trainer for what this package lacks.

    Parameters
    ----------
    state : State
        Which says how many outputs it has, `n_outputs`.
    y : array_like, shape (n, C) of `state.outputs`, or (n,)
    dtype : numpy.dtype
        The precision of `state.outputs`, which decides the default of `tol`.
    regularization, tol, max_steps, search_kinks, sample_weight, loss, callback, diagnostics
        As in `LastLayerGaussNewton`.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.

    Notes
    -----
    `state.linear` may be evaluated when it is asked for: always after `linearise`, before the state
    moves on.
    """

    def __init__(
        self,
        state: State,
        y: ArrayLike,
        dtype: np.dtype[Any],
        *,
        regularization: float | Literal["loo"] = 0.0,
        tol: float | None = None,
        max_steps: int = 50,
        search_kinks: bool = True,
        sample_weight: ArrayLike | None = None,
        loss: Literal["squared", "logistic", "huber"] | Loss = "squared",
        callback: Callable[[StepRecord], object] | None = None,
        diagnostics: bool = False,
    ) -> None:
        n = len(state.outputs)
        loss = _arguments.gauss_newton_loss(loss)
        y = _arguments.targets(y, state, n, loss)
        weights = _arguments.sample_weight(sample_weight, n)
        self._set_options(
            dtype,
            regularization,
            0.0,
            tol,
            max_steps,
            callback,
            search_kinks=search_kinks,
            diagnostics=diagnostics,
            loss=loss,
        )
        self._begin(state, y, weights, centred=False)

    @property
    def factors(self) -> Any:
        """(A, V) of the best iterate: W = W(0) + A^T V."""
        return self._fit.state.factors(self._fit.best.terms)
