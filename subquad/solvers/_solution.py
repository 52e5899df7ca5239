"""What every solver returns."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray


# Numbers below this one lose digits: they underflow.
_TINY = np.finfo(np.float64).tiny


class SolverWarning(UserWarning):
    """A solver did not reach the accuracy asked for; the message says why, and what to do."""


@dataclass(frozen=True, eq=False)
class Solution:
    """The solution of a linear system, and how it was reached.

    Parameters
    ----------
    x : ndarray
        The solution, or the best approximation found.
    n_iterations : int
        Products with the matrix that were spent; 0 for a direct solver.
    residual_norm : float
        Euclidean norm of the true residual at x, computed from the system itself.
    converged : bool
        Whether x solves the system to the accuracy asked for.
    message : str
        One sentence: what happened, its likely cause and what to do about it.
    info : dict
        What else the solver knows about its run.
    """

    x: NDArray[np.float64]
    n_iterations: int
    residual_norm: float
    converged: bool
    message: str
    info: dict[str, Any] = field(default_factory=dict)


def solved_in_range(solve, c):
    """Return `solve(c)`, a Solution, for c of any size: a linear system may be scaled.

    Outside 1e-140 to 1e140 squares of c overflow or vanish, so that norms would be no evidence of
    anything. c is then solved for over a power of two, which changes no digit.
    """
    largest = float(np.abs(c).max(initial=0.0))
    in_range = largest == 0.0 or 1e-140 <= largest <= 1e140
    size = 1.0 if in_range else 2.0 ** math.floor(math.log2(largest))
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        solution = solve(c if in_range else c / size)
        return in_units(solution, size)


def in_units(solution, size):
    """Return the solution times `size`: not converged where float64 cannot hold it."""
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        x, residual = solution.x * size, solution.residual_norm * size
    problem = ""
    if not np.isfinite(x).all() or math.isinf(residual):
        problem = "The solution overflows float64: scale the system. "
    elif size != 1.0 and np.any(solution.x) and np.abs(x).max() < _TINY:
        problem = "The solution underflows float64: scale the system. "
    return replace(
        solution,
        x=x,
        residual_norm=residual,
        converged=solution.converged and not problem and not math.isnan(residual),
        message=problem + solution.message,
    )
