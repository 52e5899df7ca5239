"""Kernel regression on more rows than a kernel matrix has room for, by a few of them: landmarks.

What happens when `NystromSolver(...).fit(K, r)` is called:

    draw M landmarks Z        uniformly, or by randomly pivoted Cholesky (`_landmarks.py`)
    whiten K_ZZ = L L^T       features F = K_nZ L^-T, whose F F^T is the Nystrom kernel
    first pass over blocks    A = F^T W F and b = F^T W r, in float64
    second pass, some rows    leave-one-out for every mu, from A = Q S Q^T
    solve                     (A + mu I) theta = b; the coefficients are L^-T theta

Where all of K is kept, landmarks precondition: `iterated` has the answer of the exact solver, and
`RepeatablePcgSolver` does the same for the steps of a trainer. `GrowingEquations` takes more rows.
"""

from subquad.solvers.nystrom._growing import GrowingEquations
from subquad.solvers.nystrom._iterated import RepeatablePcgSolver, iterated
from subquad.solvers.nystrom._solver import NystromFit, NystromSolver

__all__ = ["GrowingEquations", "NystromFit", "NystromSolver", "RepeatablePcgSolver", "iterated"]
