"""What every solver returns."""

from dataclasses import dataclass, field

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
