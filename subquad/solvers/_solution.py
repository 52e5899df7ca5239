"""What every solver returns."""

import math
from dataclasses import dataclass, field, replace

import numpy as np


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

    x: np.ndarray
    n_iterations: int
    residual_norm: float
    converged: bool
    message: str
    info: dict = field(default_factory=dict)


def solved_in_range(solve, c):
    """Return `solve(c)`, a Solution, for c of any size: a linear system may be scaled.

    Outside 1e-140 to 1e140 squares of c overflow or vanish, so that norms would be no evidence of
    anything. c is then solved for over a power of two, which changes no digit.
    """
    largest = float(np.abs(c).max(initial=0.0))
    if largest == 0.0 or 1e-140 <= largest <= 1e140:
        return solve(c)
    size = 2.0 ** math.floor(math.log2(largest))
    solution = solve(c / size)
    with np.errstate(over="ignore"):
        x, residual = solution.x * size, solution.residual_norm * size
    if np.isfinite(x).all() and math.isfinite(residual):
        return replace(solution, x=x, residual_norm=residual)
    message = "The solution overflows float64: scale the system. " + solution.message
    return replace(solution, x=x, residual_norm=residual, converged=False, message=message)
