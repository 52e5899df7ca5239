"""Newton's method whose steps are solved by conjugate gradients, preconditioned by a sketch."""

import math
import warnings
from dataclasses import dataclass

import numpy as np

from subquad._parallel import blas_threads_for
from subquad._validation import as_vector, integer, real
from subquad.solvers._kept_preconditioner import KeptPreconditioner
from subquad.solvers._normal_cg import System, conjugate_gradients
from subquad.solvers._solution import Solution, SolverWarning
from subquad.solvers._tall import as_tall

_FORCING = 0.1  # loosest relative accuracy of a step
_ARMIJO = 1e-4
_HALVINGS = 40
_EPS = np.finfo(np.float64).eps
_SLACK = 64 * _EPS  # by which rounding may raise the objective
_HIDDEN = 1e-9  # a relative decrement that rounding of a long sum may hide
_MEMORY = 5  # steps


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


def fast_newton(
    objective,
    x0=None,
    *,
    tol=1e-10,
    max_steps=100,
    sketch=None,
    sketch_size=None,
    preconditioner="auto",
    max_iterations=200,
    callback=None,
    rng=None,
    n_threads=None,
):
    """Minimise a convex f, given its gradient and the root of its Hessian.

    Parameters
    ----------
    objective : Objective
        `Logistic`, `Poisson`, `LeastSquares`, or a user's own: n_parameters, damping, value(x),
        gradient(x), and sqrt_hessian(x) = B(x) with Hessian B^T B + diag(damping).
    x0 : array_like, shape (k,), optional
        Where to start. Default: 0.
    tol : float in [0, 1]
        Stop where the decrement, which estimates f(x) - min f, is at most tol |f(x)|. One last
        step is taken then.
    max_steps : int
    sketch, sketch_size, rng, n_threads
        As in `fast_regression`.
    preconditioner : {"auto", "sketch", "exact"}
        "exact" takes the Cholesky factor of the Hessian, N k^2 operations. "auto" takes it where
        a model of the costs forecasts that it is faster: for sparse B, and for dense B with k up to
        several hundreds.
    max_iterations : int
        Of conjugate gradients, in one step.
    callback : callable, optional
        Called with the `NewtonRecord` of each step.

    Returns
    -------
    Solution
        `n_iterations` counts products with the Hessian, `residual_norm` is the norm of the
        gradient at x, and `info` holds `value`, `decrement`, `n_steps`, `n_preconditioners` and
        `records`.

    Raises
    ------
    TypeError, ValueError
        If an argument has a wrong kind, shape or value, or f is not finite at x0.

    Warns
    -----
    SolverWarning
        If tol is not reached.

    Notes
    -----
    [BPSW21], Algorithm 3, with: conjugate gradients for the inner problem; its accuracy measured in
    the norm of the preconditioner, where a constant does what 1 / (4 kappa) does in the Euclidean
    norm, and tightened as the decrement falls, so that convergence is superlinear; backtracking, so
    that it converges from anywhere if f is convex; and a preconditioner that is kept while the
    iterations it costs are cheaper than a new one. Each iteration costs one pass over B.

    Examples
    --------
    >>> from subquad.solvers.objectives import Logistic
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((500, 4))
    >>> solution = fast_newton(Logistic(X, X[:, 0] > rng.standard_normal(500)), rng=0)
    >>> solution.converged, bool(solution.residual_norm < 1e-6)
    (True, True)
    """
    k = integer(objective.n_parameters, "objective.n_parameters")
    x = np.zeros(k) if x0 is None else as_vector(x0, "x0", size=k, dtype=np.float64).copy()
    tol = real(tol, "tol", minimum=0.0, maximum=1.0)
    max_steps = integer(max_steps, "max_steps")
    limit = integer(max_iterations, "max_iterations")
    preconditioner = KeptPreconditioner(sketch, sketch_size, preconditioner, rng, n_threads)
    newton, stopped = _Newton(objective, x, preconditioner), None
    while stopped is None and len(newton.records) < max_steps:
        with blas_threads_for(k):
            stopped = newton.step(tol, limit)
        if callback is not None:
            callback(newton.records[-1])
    solution = newton.solution(stopped or "max_steps", tol)
    if not solution.converged:
        warnings.warn(solution.message, SolverWarning, stacklevel=2)
    return solution


class _Newton:
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
        p, forcing, n_iterations, source = self._direction(tall, tol, limit)
        slope = float(self.gradient @ p)
        self.decrement = max(-slope, 0.0) / 2
        scale = self._scale()
        done = self.decrement <= max(tol, 4 * _EPS) * scale or not np.any(self.gradient)
        length = self._move(p, slope)
        M = self.preconditioner.M
        self.n_iterations += n_iterations
        self.records.append(
            NewtonRecord(
                len(self.records) + 1,
                self.value,
                float(np.linalg.norm(self.gradient)),
                self.decrement,
                length,
                n_iterations,
                forcing,
                source,
                self.preconditioner.size_in_use,
                M.condition_estimate,
            )
        )
        outside = float(np.linalg.norm(M.null_space.T @ self.gradient))
        lost = outside > 1e-6 * np.linalg.norm(self.gradient)
        if length > 0:
            self.gradient = self._gradient()
        if done:
            return "flat" if lost else "tolerance"
        if length == 0.0:
            return "rounding" if self.decrement <= _HIDDEN * scale else "stuck"
        return None

    def solution(self, stopped, tol):
        """The Solution, with a sentence on how it was reached."""
        norm, n_steps = float(np.linalg.norm(self.gradient)), len(self.records)
        relative = self.decrement / (self._scale() or 1.0)
        message = _REASONS[stopped].format(n_steps=n_steps, decrement=relative, tol=tol)
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
        """Solve (B^T B + damping) p = -gradient; return p, accuracy, iterations, preconditioner."""
        system = System(tall, -self.gradient, None, self.damping, natural=True)
        total, fresh = 0, not self.preconditioner.serves
        while True:
            if fresh:
                self.preconditioner.build(tall, self.damping)
            M = self.preconditioner.M
            energy = float(np.sum(M.solve_transposed(self.gradient) ** 2))
            forcing = self._forcing(energy, tol)
            allowed = limit if fresh else min(limit, self.preconditioner.patience)
            p, steps = conjugate_gradients(
                system, M, system.y, forcing * math.sqrt(energy), allowed
            )
            total += len(steps)
            if fresh or len(steps) < allowed:
                break
            fresh = True
        self.preconditioner.account(tall, len(steps), fresh)
        source = self.preconditioner.label if fresh else "kept"
        return p, forcing, total, source

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
    "rounding": (
        "fast_newton stopped after {n_steps} steps at a relative decrement of {decrement:.1e}, "
        "above tol={tol:.0e}: rounding of f hides any further decrease. Raise tol."
    ),
    "stuck": (
        "fast_newton stopped after {n_steps} steps at a relative decrement of {decrement:.1e}: f "
        "does not fall along the Newton step. The gradient or sqrt_hessian may not belong to f."
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
