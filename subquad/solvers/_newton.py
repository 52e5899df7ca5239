"""One step after another of an inexact Newton method, and why it ends."""

import math
from dataclasses import dataclass

import numpy as np

from subquad._validation import as_vector
from subquad.solvers._solution import Solution
from subquad.solvers._tall.matrices import as_tall
from subquad.solvers._tall.normal_cg import System, conjugate_gradients

# A step is computed to this relative accuracy at least.
_FORCING = 0.1
_ARMIJO = 1e-4
_HALVINGS = 40
_EPS = np.finfo(np.float64).eps
# Rounding may raise the objective by this fraction of it.
_SLACK = 64 * _EPS
# Rounding of a long sum may hide a relative decrement of this size.
_HIDDEN = 1e-9
# A fit has not settled where a step moves a linear predictor by more than this.
_RUNNING = 0.1
# Rounding is judged by the largest of the last so many objectives.
_MEMORY = 5


@dataclass(frozen=True)
class NewtonRecord:
    """One step of `fast_newton`.

    Attributes
    ----------
    step : int
        Counts from 1.
    value : float
        f after the step.
    gradient_norm : float
        Before the step.
    decrement : float
        p^T H p / 2 for the Newton step p: about f(x) - min f before the step.
    step_length : float
        1 unless the objective asked for backtracking.
    cg_iterations : int
    forcing : float
        Relative accuracy that p was solved to.
    preconditioner : str
        "exact" or the name of the sketch, or "kept" if an older one served.
    sketch_size : int
        Rows of the sketch; 0 for "exact".
    condition_estimate : float
        Of the root of the Hessian, as the preconditioner in use has it.
    """

    step: int
    value: float
    gradient_norm: float
    decrement: float
    step_length: float
    cg_iterations: int
    forcing: float
    preconditioner: str
    sketch_size: int
    condition_estimate: float


class Newton:
    """The state of the iteration."""

    def __init__(self, objective, x, preconditioner):
        self.objective, self.x, self.preconditioner = objective, x, preconditioner
        self.damping = objective.damping
        self.value = float(objective.value(x))
        if not math.isfinite(self.value):
            raise ValueError(f"objective must be finite at x0; got {self.value}.")
        self.gradient = self._gradient()
        self.records, self.n_iterations, self.decrement = [], 0, math.inf

    def step(self, tol, limit):
        """Take a step; return why it was the last, or None."""
        tall = self._sqrt_hessian()
        p, source, solved = self._direction(tall, tol, limit)
        slope = float(self.gradient @ p)
        self.decrement, scale = max(-slope, 0.0) / 2, self._scale()
        small = solved and self.decrement <= max(tol, 4 * _EPS) * scale + self._rounding()
        vanished = self._hessian_vanishes()
        length = self._move(p, slope)
        self._record(length, source)
        if length > 0:
            self.gradient = self._gradient()
        if source == "kept" and (length < 1 or small):
            # p is solved in the norm of older weights, where a residual may be small that is not
            # small in today's: only g^T M^-1 g, M at most H over the ratio, bounds what is left.
            certain = self._energy / 2 <= tol * scale * self.preconditioner.least_ratio(tall)
            if length < 1 or not certain:
                self.preconditioner.expire()
                return None
        if small:
            return "flat" if vanished or self._runs_away(p) else "tolerance"
        if length == 0.0 or not p.any():
            return "rounding" if self.decrement <= _HIDDEN * scale else "stuck"
        return None

    def _record(self, length, source):
        """Append the record of the step just taken."""
        self.n_iterations += self._cg_iterations
        self.records.append(
            NewtonRecord(
                step=len(self.records) + 1,
                value=self.value,
                gradient_norm=float(np.linalg.norm(self.gradient)),
                decrement=self.decrement,
                step_length=length,
                cg_iterations=self._cg_iterations,
                forcing=self._accuracy,
                preconditioner=source,
                sketch_size=self.preconditioner.size_in_use,
                condition_estimate=self.preconditioner.M.condition_estimate,
            )
        )

    def _hessian_vanishes(self):
        """Whether part of the gradient lies where the preconditioner has no curvature."""
        outside = np.linalg.norm(self.preconditioner.M.null_space.T @ self.gradient)
        return bool(outside > 1e-6 * np.linalg.norm(self.gradient))

    def solution(self, stopped, tol):
        """The Solution, with a sentence on how it was reached."""
        norm, n_steps = float(np.linalg.norm(self.gradient)), len(self.records)
        relative = self.decrement / (self._scale() or 1.0)
        reason = "exact" if stopped == "tolerance" and relative > tol else stopped
        message = _REASONS[reason].format(n_steps=n_steps, decrement=relative, tol=tol)
        info = {
            "value": self.value,
            "decrement": self.decrement,
            "n_steps": n_steps,
            "n_preconditioners": self.preconditioner.n_built,
            "records": self.records,
        }
        converged = stopped == "tolerance"
        return Solution(self.x, self.n_iterations, norm, converged, message, info)

    def _direction(self, tall, tol, limit):
        """Solve (B^T B + damping) p = -gradient; return p, which preconditioner, and success."""
        system = System(tall, -self.gradient, None, self.damping, natural=True)
        keeper, self._cg_iterations = self.preconditioner, 0
        for fresh in (False, True):
            if fresh:
                keeper.build(tall, self.damping)
            elif not keeper.serves:
                continue
            self._energy = energy = float(np.sum(keeper.M.solve_transposed(self.gradient) ** 2))
            self._accuracy = self._forcing(energy, tol)
            goal = self._accuracy * math.sqrt(energy)
            allowed = limit if fresh else min(limit, keeper.patience)
            p, steps, solved = conjugate_gradients(system, keeper.M, system.y, goal, allowed)
            self._cg_iterations += len(steps)
            if solved:
                break
        keeper.account(tall, len(steps), fresh)
        return p, keeper.label if fresh else "kept", solved and math.isfinite(energy)

    def _forcing(self, energy, tol):
        """The accuracy that this step is worth: looser than tighter, down to what tol asks for."""
        if not energy:
            return _FORCING
        progress = math.sqrt(energy / (2 * self.decrement)) if 0 < self.decrement < math.inf else 1
        needed = math.sqrt(0.1 * tol * self._scale() / energy)
        return float(min(_FORCING, max(progress, needed, 1e-10)))

    def _move(self, p, slope):
        """Backtrack along p until f falls enough; return the step length, 0 if it never does."""
        length, slack = 1.0, _SLACK * self._scale()
        for _ in range(_HALVINGS):
            x = self.x + length * p
            value = float(self.objective.value(x))
            if value <= self.value + _ARMIJO * length * slope + slack:
                self.x, self.value = x, value
                return length
            length /= 2
        return 0.0

    def _rounding(self):
        """The decrement that rounding leaves, where the objective knows: a saturated f is 0."""
        known = getattr(self.objective, "_rounding", None)
        return 0.0 if known is None else known(self.x)

    def _runs_away(self, p):
        """Whether a step of next to no decrease still moves a prediction: it goes to infinity.

        Near a minimum steps shrink quadratically; where classes are separated along a direction
        without a penalty, each step moves the predictor by about 1 and the loss falls e-fold.
        """
        known = getattr(self.objective, "_displacement", None)
        return known is not None and known(np.where(self.damping == 0, p, 0.0)) > _RUNNING

    def _scale(self):
        """|f|; where f falls to 0, rounding of what it was a few steps ago."""
        recent = (abs(record.value) for record in self.records[-_MEMORY:])
        return max(abs(self.value), _EPS * max(recent, default=0.0))

    def _gradient(self):
        gradient = self.objective.gradient(self.x)
        return as_vector(gradient, "objective.gradient(x)", size=len(self.x), dtype=np.float64)

    def _sqrt_hessian(self):
        """B(x), without a copy of the design where the objective offers that."""
        if hasattr(self.objective, "_weighted_design"):
            return self.objective._weighted_design(self.x)
        tall = as_tall(
            self.objective.sqrt_hessian(self.x),
            "objective.sqrt_hessian(x)",
            self.preconditioner.n_threads,
        )
        if tall.shape[1] != len(self.x):
            raise ValueError(
                f"objective.sqrt_hessian(x) must have {len(self.x)} columns; got {tall.shape}."
            )
        return tall


_REASONS = {
    "tolerance": "fast_newton converged in {n_steps} steps: relative decrement {decrement:.1e}.",
    "exact": "fast_newton converged in {n_steps} steps: only rounding is left of the decrement.",
    "rounding": (
        "fast_newton stopped after {n_steps} steps at a relative decrement of {decrement:.1e}, "
        "above tol={tol:.0e}: rounding of f hides any further decrease. Raise tol."
    ),
    "stuck": (
        "fast_newton stopped after {n_steps} steps at a relative decrement of {decrement:.1e}: f "
        "does not fall along the Newton step. The Hessian is nearly singular (start elsewhere, "
        "or add a penalty), or the gradient or sqrt_hessian does not belong to f."
    ),
    "flat": (
        "fast_newton stopped after {n_steps} steps where the Hessian vanishes along part of the "
        "gradient: f may have no minimum. Add a penalty, or start nearer to the solution."
    ),
    "max_steps": (
        "fast_newton took max_steps={n_steps} steps and stopped at a relative decrement of "
        "{decrement:.1e}, above tol={tol:.0e}. f may have no minimum (separable classes?): add a "
        "penalty, or raise max_steps."
    ),
}
