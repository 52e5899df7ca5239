"""Solvers of the Gauss-Newton equation (G + mu W^-1) g = c, one file each.

G = J J^T is the n x n Gram matrix of the data points, mu >= 0 the damping or regularisation and
W the diagonal of the sample weights. Every solver returns a `Solution`, which says how it went.
"""

from subquad.solvers._gram_solvers import (
    AutoSolver,
    ExactSolver,
    PcgSolver,
    SketchSolver,
    Solver,
)
from subquad.solvers._solution import Solution, SolverWarning
from subquad.solvers.conjugate_gradient import pcg
from subquad.solvers.exact import DampedCholesky, solve_damped
from subquad.solvers.fast_newton import NewtonRecord, fast_newton
from subquad.solvers.fast_regression import fast_least_squares, fast_regression
from subquad.solvers.gram import gram_solve
from subquad.solvers.leave_one_out import choose_regularization, loo_residuals

__all__ = [
    "AutoSolver",
    "DampedCholesky",
    "ExactSolver",
    "NewtonRecord",
    "PcgSolver",
    "SketchSolver",
    "Solution",
    "Solver",
    "SolverWarning",
    "choose_regularization",
    "fast_least_squares",
    "fast_newton",
    "fast_regression",
    "gram_solve",
    "loo_residuals",
    "pcg",
    "solve_damped",
]
