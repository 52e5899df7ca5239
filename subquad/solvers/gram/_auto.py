"""What a solver is, the cheaper of two by forecast, and the solver that a name stands for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

from subquad.solvers._solution import Solution
from subquad.solvers.gram import cost
from subquad.solvers.gram._common import tolerance
from subquad.solvers.gram._direct import ExactSolver, SketchSolver
from subquad.solvers.gram._pcg import PcgSolver

if TYPE_CHECKING:
    from typing import Literal

    import numpy as np
    from numpy.typing import ArrayLike

    from subquad.jacobian import Jacobian


@runtime_checkable
class Solver(Protocol):
    """What a trainer asks of `solver=`: a name, and a way to solve (J J^T + mu W^-1) x = c.

    J is a `subquad.jacobian.Jacobian`; W, the diagonal of the sample weights, is the identity
    unless `weights` is given, which a trainer does only where it has sample weights. Where a weight
    is 0, so is the entry of x. The Solution's `info` may tell "sketch_size" and "condition".
    """

    @property
    def name(self) -> str:
        """What a `StepRecord` calls it."""

    def solve(
        self, J: Jacobian, c: ArrayLike, damping: float = 0.0, weights: ArrayLike | None = None
    ) -> Solution:
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

    def __init__(
        self,
        sketch_size: int | None = None,
        *,
        rng: int | np.random.Generator | None = None,
        rtol: float = 1e-3,
    ) -> None:
        self._rtol = tolerance(rtol)
        self._sketch_size = sketch_size
        self._solvers = {
            "exact": ExactSolver(rtol=rtol),
            "pcg": PcgSolver(sketch_size, rng=rng, rtol=rtol),
        }

    def solve(
        self, J: Jacobian, c: ArrayLike, damping: float = 0.0, weights: ArrayLike | None = None
    ) -> Solution:
        """Return the `Solution` of the method that is forecast to be the cheapest."""
        forecast = self.forecast(J)
        best = min(forecast, key=forecast.get)
        solution = self._solvers[best].solve(J, c, damping, weights)
        return Solution(**{**vars(solution), "info": {**solution.info, "forecast": forecast}})

    def forecast(self, J: Jacobian) -> dict[str, float]:
        """Return the seconds that each method is expected to take, inf where it cannot fit."""
        forecasts = {"exact": cost.exact(J), "pcg": self._pcg_forecast(J)}
        if not getattr(J, "forms_gram", True):
            del forecasts["exact"]
        return {name: cost.where_it_fits(value) for name, value in forecasts.items()}

    def _pcg_forecast(self, J):
        if self._sketch_size is None and J.n > cost.SKETCHED_POINTS:
            return cost.landmark_pcg(J, min(cost.LANDMARKS, J.n), self._rtol)
        return cost.pcg(J, self._sketch_size or 4 * J.n, self._rtol)


def as_solver(
    solver: Literal["exact", "sketch", "pcg", "auto"] | Solver,
    rng: int | np.random.Generator | None = None,
) -> Solver:
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
