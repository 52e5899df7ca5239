"""Conjugate gradients for the Gram equation, preconditioned by a sketch of it."""

import numpy as np

from subquad._validation import generator, integer
from subquad.sketch import TensorSketch
from subquad.solvers._solution import Solution
from subquad.solvers.conjugate_gradient import pcg
from subquad.solvers.gram import _cost as cost
from subquad.solvers.gram._common import (
    at_least_n,
    require_square,
    residual_norm,
    singular,
    sketched,
    tolerance,
)
from subquad.solvers.gram._landmarks import LandmarkPreconditioner

SKETCHED_POINTS = 2048  # above, n x n arrays cost more than the iterations they save
LANDMARKS = 512
_MAX_ITERATIONS = 1000
_MOST_SKETCHES = 4


class PcgSolver:
    """Conjugate gradients, preconditioned by a sketch of G.

    Parameters
    ----------
    sketch_size : int, optional
        s >= n of a TensorSketch; 4 n by default.
    landmarks : int, optional
        Precondition by so many columns of G instead: memory linear in n. The default (512) for
        more than 2048 points, unless a sketch_size is given.
    rng : int, numpy.random.Generator or None
        The sketch is drawn at the first `solve` and kept while sizes stay the same: one half of
        it, that of V, is then prepared once. Landmarks and what is made of them are kept while the
        iterations stay as few as at first.
    rtol : float in (0, 1]
        Relative residual to stop at. 1e-3 suffices for a Gauss-Newton step.

    Notes
    -----
    [BPSW21], Algorithm 2, with conjugate gradients for its gradient descent, which needs
    s > 39 n. For a sketch of s = c n the error falls by about sqrt(c) per iteration, whatever the
    condition number. G is formed where the expected products with it are cheaper that way; else
    each takes 4 n m_u m_v operations.

    With p landmarks G is close to F F^T, F (n, p) from p columns (the Nystrom approximation); the
    rest counts as its mean eigenvalue. That is no sketch of the papers, which all ask for s > n.

    Examples
    --------
    >>> PcgSolver(rng=0).name
    'pcg'
    """

    name = "pcg"

    def __init__(self, sketch_size=None, *, landmarks=None, rng=None, rtol=1e-3):
        self._sketch_size = None if sketch_size is None else integer(sketch_size, "sketch_size")
        self.landmarks = None if landmarks is None else integer(landmarks, "landmarks")
        if sketch_size is not None and landmarks is not None:
            raise ValueError("landmarks must be None where sketch_size is given; got both.")
        self._rng = generator(rng)
        self._rtol = tolerance(rtol)
        self._sketches = {}
        self._factor, self._iterations = None, (0, 0)

    def solve(self, system, c, damping=0.0):
        """Return a `Solution` of (G + damping I) x = c."""
        by_landmarks = self.landmarks is not None or (
            self._sketch_size is None and (system.n > SKETCHED_POINTS or not system.forms_gram)
        )
        if by_landmarks:
            return self._by_landmarks(system, c, damping)
        s = at_least_n(self._sketch_size or 4 * system.n, system.n)
        if cost.forming_pays(system, cost.pcg_iterations(system.n, s, self._rtol) + 1):
            require_square(system.n)
            system.gram()
        factor = sketched(system, s, damping, self._sketch_for(system, s))
        info = {"sketch_size": s, "condition": factor.condition_estimate**2, "rank": factor.rank}
        return self._iterate(system, c, factor.project(c), damping, factor, info)

    def _by_landmarks(self, system, c, damping):
        """Solve with a factor that is kept from call to call while it serves as well as it did."""
        first, last = self._iterations
        factor = self._factor
        fresh = factor is None or not factor.suits(system.n, damping) or last > 1.25 * first + 2
        if fresh:
            count = min(self.landmarks or LANDMARKS, system.n)
            points = np.sort(self._rng.choice(system.n, count, replace=False))
            self._factor = factor = LandmarkPreconditioner(system, points, damping)
        projected = c if damping > 0 else np.where(system.diagonal() > 0, c, 0.0)
        rank = system.n if damping > 0 else np.count_nonzero(system.diagonal())
        info = {"sketch_size": factor.size, "condition": factor.condition_estimate, "rank": rank}
        solution = self._iterate(system, c, projected, damping, factor, info)
        count = solution.n_iterations
        self._iterations = (count if fresh else first, count)
        return solution

    def _iterate(self, system, c, projected, damping, factor, info):
        with np.errstate(over="ignore", invalid="ignore"):  # a singular system may run away
            solution = pcg(
                lambda x: system.product(x) + damping * x,
                projected,
                preconditioner=factor.apply,
                rtol=self._rtol,
                max_iterations=_MAX_ITERATIONS,
            )
        if not solution.residual_norm <= np.linalg.norm(projected):  # zero is better
            nothing = {"x": np.zeros(system.n), "residual_norm": float(np.linalg.norm(projected))}
            solution = Solution(**{**vars(solution), **nothing})
        info = {"method": self.name, **info, "formed": system.formed}
        if info["rank"] == system.n:
            return Solution(**{**vars(solution), "info": info})
        residual = residual_norm(system, solution.x, c, damping)
        converged = bool(residual <= self._rtol * np.linalg.norm(c))
        message = f"{singular(info['rank'], system.n)}{solution.message}"
        return Solution(solution.x, solution.n_iterations, residual, converged, message, info)

    def _sketch_for(self, system, s):
        """The sketch for these sizes: outputs of one network may have two numbers of neurons."""
        sizes = (system.m_u, system.m_v, s)
        if sizes not in self._sketches:
            if len(self._sketches) == _MOST_SKETCHES:
                self._sketches.clear()
            self._sketches[sizes] = TensorSketch(sizes[:2], s, rng=self._rng)
        return self._sketches[sizes]
