"""Solvers of the Gauss-Newton equation (G + mu W^-1) g = c, one file each.

G = J J^T is the n x n Gram matrix of the data points, mu >= 0 the damping or regularisation and
W the diagonal of the sample weights. Every solver returns a `Solution`, which says how it went.
"""

from subquad.solvers._solution import Solution
from subquad.solvers.conjugate_gradient import pcg
from subquad.solvers.exact import DampedCholesky, solve_damped
from subquad.solvers.leave_one_out import choose_regularization, loo_residuals

__all__ = [
    "DampedCholesky",
    "Solution",
    "choose_regularization",
    "loo_residuals",
    "pcg",
    "solve_damped",
]
