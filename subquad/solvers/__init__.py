"""Solvers. Each returns a `Solution`, which says how it went.

Of the Gauss-Newton equation (G + mu W^-1) g = c, with G = J J^T the n x n Gram matrix of the data
points, mu >= 0 the damping or regularisation and W the diagonal of the sample weights
    gram_solve                          exact, sketched, or by conjugate gradients
    solve_damped, DampedCholesky        exact, for a matrix G
    choose_regularization               mu by leave-one-out, of points or of their `Repeats`
    influence, predictive_variance      what leaving out an observation changes, and how sure f is
    NystromSolver                       least squares on M landmark rows, for n too large for n^2

Of problems with a tall matrix A
    fast_regression                     min |A^T A x - y|
    fast_least_squares                  min |A x - b|
    fast_newton                         min sum_i loss(a_i^T x) + penalty

    pcg                                 conjugate gradients
"""

from subquad.solvers._repeats import Repeats, merge_repeats
from subquad.solvers._solution import Solution, SolverWarning
from subquad.solvers.conjugate_gradient import pcg
from subquad.solvers.exact import DampedCholesky, solve_damped
from subquad.solvers.fast_newton import NewtonRecord, fast_newton
from subquad.solvers.fast_regression import fast_least_squares, fast_regression
from subquad.solvers.gram import (
    AutoSolver,
    ExactSolver,
    PcgSolver,
    SketchSolver,
    Solver,
    gram_solve,
)
from subquad.solvers.influence import influence, predictive_variance
from subquad.solvers.leave_one_out import choose_regularization, loo_residuals
from subquad.solvers.nystrom import NystromFit, NystromSolver

__all__ = [
    "AutoSolver",
    "DampedCholesky",
    "ExactSolver",
    "NewtonRecord",
    "NystromFit",
    "NystromSolver",
    "PcgSolver",
    "Repeats",
    "SketchSolver",
    "Solution",
    "Solver",
    "SolverWarning",
    "choose_regularization",
    "fast_least_squares",
    "fast_newton",
    "fast_regression",
    "gram_solve",
    "influence",
    "loo_residuals",
    "merge_repeats",
    "pcg",
    "predictive_variance",
    "solve_damped",
]
