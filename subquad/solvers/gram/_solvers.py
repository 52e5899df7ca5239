"""The methods of `gram_solve`, as objects that a trainer can hold.

A solver has a `name` and `solve(system, c, damping) -> Solution` for a `GramSystem`.
"""

from typing import Protocol, runtime_checkable

from subquad.solvers._solution import Solution
from subquad.solvers.gram import _cost as cost
from subquad.solvers.gram._common import tolerance
from subquad.solvers.gram._direct import ExactSolver, SketchSolver
from subquad.solvers.gram._pcg import LANDMARKS, SKETCHED_POINTS, PcgSolver


@runtime_checkable
class Solver(Protocol):
    """What a trainer asks of `solver=`: a name, and a way to solve (G + mu I) x = c.

    `system` offers n, `gram()`, `product(g)`, `columns(points)`, `diagonal()` and
    `sketched_gram(sketch)`; the Solution's `info` may tell "sketch_size" and "condition".
    """

    name: str

    def solve(self, system, c, damping=0.0):
        """Return a `Solution` of (G + damping I) x = c."""


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

    def solve(self, system, c, damping=0.0):
        """Return the `Solution` of the method that is forecast to be the cheapest."""
        forecast = self.forecast(system)
        best = min(forecast, key=forecast.get)
        solution = self._solvers[best].solve(system, c, damping)
        return Solution(**{**vars(solution), "info": {**solution.info, "forecast": forecast}})

    def forecast(self, system):
        """Return the seconds that each method is expected to take, inf where it cannot fit."""
        forecasts = {"exact": cost.exact(system), "pcg": self._pcg_forecast(system)}
        if not system.forms_gram:
            del forecasts["exact"]
        return {name: cost.where_it_fits(value) for name, value in forecasts.items()}

    def _pcg_forecast(self, system):
        if self._sketch_size is None and system.n > SKETCHED_POINTS:
            return cost.landmark_pcg(system, min(LANDMARKS, system.n), self._rtol)
        return cost.pcg(system, self._sketch_size or 4 * system.n, self._rtol)


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
