"""The Gauss-Newton equation (J J^T + mu W^-1) x = c, for any Jacobian J.

gram_solve                                              one call
ExactSolver, SketchSolver, PcgSolver, AutoSolver        its methods, as objects a trainer can hold
Solver                                                  what yours must offer to be one of them
"""

from subquad.solvers.gram import cost, sizes
from subquad.solvers.gram._auto import AutoSolver, Solver, as_solver
from subquad.solvers.gram._direct import ExactSolver, SketchSolver
from subquad.solvers.gram._pcg import PcgSolver
from subquad.solvers.gram._solve import gram_solve

__all__ = [
    "AutoSolver",
    "ExactSolver",
    "PcgSolver",
    "SketchSolver",
    "Solver",
    "as_solver",
    "cost",
    "gram_solve",
    "sizes",
]
