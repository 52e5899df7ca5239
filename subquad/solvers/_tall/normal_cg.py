"""Conjugate gradients on (A^T A + diag(mu)) x = y + A^T b, preconditioned, with refinement.

A round starts from the residual of x computed anew and solves for a correction, until its
recursive residual meets the goal. What rounding had hidden shows when the next round starts; a
round that does not halve the residual is the last: rounding keeps it where it is.
"""

from dataclasses import dataclass, field

import numpy as np
from scipy.linalg import eigvalsh_tridiagonal

_MAX_ROUNDS = 8
_TINY = np.finfo(np.float64).tiny
# Residuals of conjugate gradients exceed earlier ones by the root of a condition number at most.
# One that exceeds them by 1 / eps is made of rounding errors, and the next ones overflow.
_EPS = float(np.finfo(np.float64).eps)
# A round ends after so many iterations without a new least residual.
_PATIENCE = 60
# A sketch of k rows leaves A N a least singular value of 1/2, one of 8 k rows 3/4: below 1/4 the
# sketch was no embedding, and N^T r is no bound on A (x - x*) before it is divided by that value.
_EMBEDDED = 0.25
# A residual that meets the goal from the start is reduced by this factor, which shows how large
# A N is: where N is far too small, N^T r is small whatever r.
_REDUCED = 0.01


@dataclass
class System:
    """(A^T A + diag(damping)) x = y + A^T b; y or b is None.

    A residual counts by its norm, or, if natural, by that of N^T r, which bounds A (x - x*) where
    A N is nearly orthonormal; by that over the least singular value of A N seen, where it is not.
    """

    tall: object
    y: np.ndarray | None
    b: np.ndarray | None
    damping: float | np.ndarray = 0.0
    natural: bool = False

    def residual(self, x):
        """Return y + A^T (b - A x) - damping x, and ||b - A x|| if there is a b."""
        product, square = self.tall.normal(x, self.b)
        r = product if self.b is not None else self.y - product
        return r - self.damping * x, float(np.sqrt(square))

    def norm(self, M, r, z=None):
        """Return the norm of the residual r that the goal speaks of; z = N^T r if at hand."""
        if not self.natural:
            return float(np.linalg.norm(M.project(r)))
        return float(np.linalg.norm(M.solve_transposed(r) if z is None else z))

    def multiply(self, p):
        """Return (A^T A + diag(damping)) p and p^T (that)."""
        product, square = self.tall.normal(p)
        damped = self.damping * p
        return product + damped, square + float(p @ damped)


@dataclass
class Progress:
    """Where a solution stands."""

    x: np.ndarray
    n_iterations: int = 0
    norm: float = np.inf  # of the true residual, as `System.norm` has it
    full_norm: float = np.inf  # its Euclidean norm, outside the row space of the sketch too
    outside: float = 0.0  # the norm of what is outside
    misfit: float = 0.0  # ||b - A x||
    stopped: str = "limit"  # or "tolerance", "rounding"
    steps: list = field(default_factory=list)  # (alpha, beta) of the first round
    gain: float | None = None  # what `norm` multiplies |N^T r| by, once it is known

    def preconditioned_condition(self):
        """Estimate of the condition number of A N, from the Lanczos matrix of the first round."""
        if not self.steps:
            return 1.0
        least, largest = _extreme_ritz_values(self.steps)
        return float(np.sqrt(largest / least))

    def learn(self, system, steps):
        """Take the gain from the steps of a round."""
        least = _extreme_ritz_values(steps)[0] if system.natural and steps else 1.0
        gain = 1.0 if least >= _EMBEDDED**2 else 1.0 / float(np.sqrt(least))
        before, self.gain = self.gain or 1.0, max(gain, self.gain or 1.0)
        self.norm *= self.gain / before


def _extreme_ritz_values(steps):
    """The least and the largest Ritz value of N^T (A^T A + mu) N, from (alpha, beta) of a round."""
    alpha, beta = np.array(steps).T
    diagonal = 1 / alpha
    diagonal[1:] += beta[:-1] / alpha[:-1]
    if not np.isfinite(diagonal).all():
        return _TINY, np.inf
    ritz = eigvalsh_tridiagonal(diagonal, np.sqrt(beta[:-1]) / alpha[:-1])
    return max(ritz[0], _TINY), ritz[-1]


def refine(system, M, goal, limit, x):
    """Return the Progress from x towards a residual of norm `goal`, by at most limit iterations."""
    best = Progress(x)
    for _ in range(_MAX_ROUNDS):
        r, misfit = system.residual(x)
        norm = (best.gain or 1.0) * system.norm(M, r)
        halved = norm <= 0.5 * best.norm
        if norm < best.norm:
            best.x, best.norm, best.misfit = x, norm, misfit
            best.full_norm = float(np.linalg.norm(r))
            best.outside = float(np.linalg.norm(M.null_space.T @ r))
        if norm <= goal and (best.gain is not None or not (system.natural and norm)):
            best.stopped = "tolerance"
        elif not halved:
            best.stopped = "rounding"
        if best.stopped != "limit" or best.n_iterations >= limit:
            break
        target = (goal if norm > goal else _REDUCED * norm) / (best.gain or 1.0)
        dx, steps, _ = conjugate_gradients(system, M, r, target, limit - best.n_iterations)
        best.learn(system, steps)
        best.n_iterations += len(steps)
        best.steps = best.steps or steps
        x = best.x + dx
    return best


def conjugate_gradients(system, M, r, goal, limit):
    """Return x, (alpha, beta) of each step, and success, from 0 and without refinement."""
    dx, r, steps = np.zeros_like(r), r.copy(), []
    z = M.solve_transposed(r)
    gamma, direction = float(z @ z), z
    least, age = np.inf, 0
    norm = system.norm(M, r, z)
    while norm > goal and len(steps) < limit and gamma > 0 and age < _PATIENCE:
        p = M.solve(direction)
        q, curvature = system.multiply(p)
        if not 0 < curvature < np.inf:
            break
        alpha = gamma / curvature
        dx += alpha * p
        r -= alpha * q
        z = M.solve_transposed(r)
        gamma, before = float(z @ z), gamma
        steps.append((alpha, gamma / before))
        direction = z + (gamma / before) * direction
        norm = system.norm(M, r, z)
        least, age = (norm, 0) if norm < least else (least, age + 1)
        if norm > least / _EPS:
            break
    return dx, steps, norm <= goal
