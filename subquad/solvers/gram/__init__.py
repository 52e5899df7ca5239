"""The Gauss-Newton equation (J J^T + mu I) x = c, for J whose rows are vec(u_i v_i^T).

gram_solve                                              one call
ExactSolver, SketchSolver, PcgSolver, AutoSolver        its methods, as objects a trainer can hold
"""

from subquad.solvers.gram._solve import gram_solve
from subquad.solvers.gram._solvers import (
    AutoSolver,
    ExactSolver,
    PcgSolver,
    SketchSolver,
    Solver,
)

__all__ = ["AutoSolver", "ExactSolver", "PcgSolver", "SketchSolver", "Solver", "gram_solve"]
