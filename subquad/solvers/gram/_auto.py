"""What a solver is, the cheaper of two by forecast, and the solver that a name stands for."""

from typing import Protocol, runtime_checkable

from subquad.solvers._solution import Solution
from subquad.solvers.gram import cost
from subquad.solvers.gram._common import tolerance
from subquad.solvers.gram._direct import ExactSolver, SketchSolver
from subquad.solvers.gram._pcg import PcgSolver


@runtime_checkable
class Solver(Protocol):
    """What a trainer asks of `solver=`: a name, and a way to solve (J J^T + mu W^-1) x = c.

    J is a `subquad.jacobian.Jacobian`; W, the diagonal of the sample weights, is the identity
    unless `weights` is given, which a trainer does only where it has sample weights. Where a weight
    is 0, so is the entry of x. The Solution's `info` may tell "sketch_size" and "condition".
    """

    name: str

    def solve(self, J, c, damping=0.0, weights=None):
        """Return a `Solution` of (J J^T + damping W^-1) x = c."""


class AutoSolver:
    """The cheaper of "exact" and "pcg" by forecast; never "sketch", whose error no size bounds.

    Parameters
    ----------
    sketch_size, rng, rtol
        As in `PcgSolver`.

    Notes
    -----
    The forecast counts operations and multiplies by rates measured once; `info["forecast"]` has
    the seconds of each method. A method whose arrays do not fit in memory is not chosen.

    Examples
    --------
    >>> AutoSolver().name
    'auto'
    """

    name = "auto"

    def __init__(self, sketch_size=None, *, rng=None, rtol=1e-3):
        self._rtol = tolerance(rtol)
        self._sketch_size = sketch_size
        self._solvers = {
            "exact": ExactSolver(rtol=rtol),
            "pcg": PcgSolver(sketch_size, rng=rng, rtol=rtol),
        }

    def solve(self, J, c, damping=0.0, weights=None):
        """Return the `Solution` of the method that is forecast to be the cheapest."""
        forecast = self.forecast(J)
        best = min(forecast, key=forecast.get)
        solution = self._solvers[best].solve(J, c, damping, weights)
        return Solution(**{**vars(solution), "info": {**solution.info, "forecast": forecast}})

    def forecast(self, J):
        """Return the seconds that each method is expected to take, inf where it cannot fit."""
        forecasts = {"exact": cost.exact(J), "pcg": self._pcg_forecast(J)}
        if not getattr(J, "forms_gram", True):
            del forecasts["exact"]
        return {name: cost.where_it_fits(value) for name, value in forecasts.items()}

    def _pcg_forecast(self, J):
        if self._sketch_size is None and J.n > cost.SKETCHED_POINTS:
            return cost.landmark_pcg(J, min(cost.LANDMARKS, J.n), self._rtol)
        return cost.pcg(J, self._sketch_size or 4 * J.n, self._rtol)


def as_solver(solver, rng=None):
    """Return the solver that a name stands for, or a user's own."""
    if isinstance(solver, str):
        if solver == "exact":
            return ExactSolver()
        makers = {"sketch": SketchSolver, "pcg": PcgSolver, "auto": AutoSolver}
        if solver in makers:
            return makers[solver](rng=rng)
        raise ValueError(f"solver must be 'exact', 'sketch', 'pcg' or 'auto'; got {solver!r}.")
    if isinstance(solver, type) or not isinstance(solver, Solver):
        raise TypeError(
            "solver must be a name or an object with `name` and `solve`; got "
            f"{solver.__name__ if isinstance(solver, type) else type(solver).__name__}."
        )
    return solver
