"""What a training step reports."""

import time
from contextlib import contextmanager
from dataclasses import dataclass, field

from subquad.training._records._diagnostics import Diagnostics


class TrainingWarning(UserWarning):
    """Training cannot reach, or did not reach, what was asked; the message says why."""


@dataclass(frozen=True)
class StepRecord:
    """One step of a trainer.

    Attributes
    ----------
    step : int
        Counts from 1.
    residual_norm : float
        |r|, r = f - y after the step, with sample weights if there are any. Of other losses than
        the squared one |r|^2 stands for 2 sum_i w_i l(f_i, y_i) throughout.
    relative_residual : float
        |r| / |r_0|.
    ratio : float
        |r| now / |r| before the step.
    objective : float
        |r|^2 + mu ||W - W(0)||_F^2.
    active_fraction : float
        Fraction of the neurons that fire, over data points, before the step.
    min_active : int
        Fewest neurons of one output that fire at one data point, before the step.
    flips : int
        Pairs of a neuron and a data point at which firing began or ended in the step.
    damping : float
        Levenberg-Marquardt damping of the accepted step.
    step_length : float
        1, or 0 if no step was accepted.
    n_trials : int
        Steps tried until one was accepted.
    n_iterations : int
        Iterations of the linear solver; 0 for a direct one.
    stationarity : float or None
        Decrease of the regularised objective that its linearisation promised before the step, as a
        fraction of |r_0|^2; None without regularisation, and for steps around kinks.
    seconds : dict of str to float
        "linearise", "solve", "move", "total"; "diagnose" where diagnostics are asked for.
    solver : str
        Name of what solved the linear system.
    sketch_size : int
        Columns of the sketch that it used; 0 for none.
    condition : float
        Estimate of the condition number of the damped system, to an order of magnitude; of the
        worst output if there are several. NaN where the solver does not tell.
    diagnostics : Diagnostics or None
        What theorems speak of, after the step; None unless it is asked for.
    """

    step: int
    residual_norm: float
    relative_residual: float
    ratio: float
    objective: float
    active_fraction: float
    min_active: int
    flips: int
    damping: float
    step_length: float
    n_trials: int
    n_iterations: int
    stationarity: float | None = None
    seconds: dict[str, float] = field(default_factory=dict, compare=False)
    solver: str = "exact"
    sketch_size: int = 0
    condition: float = float("nan")
    diagnostics: Diagnostics | None = None


class Stopwatch:
    """Seconds spent in named phases."""

    def __init__(self):
        self.seconds = {}
        self._start = time.perf_counter()

    @contextmanager
    def phase(self, name):
        """Add the time of the block to its phase."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start

    def stop(self):
        """Return the phases and their total."""
        return {**self.seconds, "total": time.perf_counter() - self._start}
