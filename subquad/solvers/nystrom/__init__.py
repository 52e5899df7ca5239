"""Kernel regression on more rows than a kernel matrix has room for, by a few of them: landmarks.

NystromSolver(...).fit(K, r)     what happens:
    draw M landmarks Z            uniformly, or by randomly pivoted Cholesky (`_landmarks.py`)
    whiten K_ZZ = L L^T           features F = K_nZ L^-T, whose F F^T is the Nystrom kernel
    first pass over blocks        A = F^T W F and b = F^T W r, in float64
    second pass, of some rows     leave-one-out for every mu, from A = Q S Q^T
    solve                         (A + mu I) theta = b, coefficients L^-T theta

iterated(K, R, mu)               all of K kept, solved by conjugate gradients that the
                                 landmarks precondition: the answer is that of the exact solver
"""

from subquad.solvers.nystrom._iterated import iterated
from subquad.solvers.nystrom._solver import NystromFit, NystromSolver

__all__ = ["NystromFit", "NystromSolver", "iterated"]
