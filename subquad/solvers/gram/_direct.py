"""Direct solvers of the Gram equation: by G itself, and by the Gram matrix of a sketch."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from subquad._validation import generator, integer
from subquad.jacobian import kept_gram
from subquad.solvers._solution import Solution
from subquad.solvers.exact import DampedCholesky
from subquad.solvers.gram._common import (
    at_least_n,
    in_symmetric_form,
    require_square,
    residual_norm,
    singular,
    sketched,
    tolerance,
)

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from subquad.jacobian import Jacobian


class ExactSolver:
    """G formed and factored by Cholesky, by eigenvalues where it is singular.

    Parameters
    ----------
    rtol : float in (0, 1]
        Relative residual that counts as converged.

    Examples
    --------
    >>> ExactSolver().name
    'exact'
    """

    name = "exact"

    def __init__(self, *, rtol: float = 1e-10) -> None:
        self._rtol = tolerance(rtol)

    def solve(
        self, J: Jacobian, c: ArrayLike, damping: float = 0.0, weights: ArrayLike | None = None
    ) -> Solution:
        """Return a `Solution` of (G + damping W^-1) x = c; n^3 / 3 operations beside G."""
        return in_symmetric_form(self._solve, J, c, damping, weights)

    def _solve(self, J, c, damping):
        require_square(J.n)
        factor = DampedCholesky(kept_gram(J), damping)
        x = factor._solve(c)
        residual = residual_norm(J, x, c, damping)
        converged = bool(residual <= self._rtol * np.linalg.norm(c))
        info = {"method": self.name, "rank": factor.rank, "condition": factor.condition}
        return Solution(x, 0, residual, converged, factor.message, info)


class SketchSolver:
    """G replaced by the Gram matrix of a TensorSketch: one factorisation, no iteration.

    Parameters
    ----------
    sketch_size : int, optional
        s >= n; 16 n by default.
    rng : int, numpy.random.Generator or None
        Every `solve` draws a new sketch from it.
    rtol : float in (0, 1]
        Relative residual that counts as converged.
    verify : bool
        Whether to compute the true residual. Where U and V are both wide, that takes G itself, and
        more time than all the rest. If not, `residual_norm` is NaN and nothing counts as converged.

    Notes
    -----
    [SZZ24], Theorem D.10. The relative residual is about eps sqrt(kappa), eps = (1 + sqrt(n/s))^2
    - 1 and kappa the condition number of G, where the theorem has eps; `info["error_estimate"]`
    gives it.

    Examples
    --------
    >>> SketchSolver(rng=0).name
    'sketch'
    """

    name = "sketch"

    def __init__(
        self,
        sketch_size: int | None = None,
        *,
        rng: int | np.random.Generator | None = None,
        rtol: float = 1e-10,
        verify: bool = True,
    ) -> None:
        self._sketch_size = None if sketch_size is None else integer(sketch_size, "sketch_size")
        self._rng = generator(rng)
        self._rtol, self._verify = tolerance(rtol), verify

    def solve(
        self, J: Jacobian, c: ArrayLike, damping: float = 0.0, weights: ArrayLike | None = None
    ) -> Solution:
        """Return a `Solution` of (G + damping W^-1) x = c, up to the error of the sketch."""
        return in_symmetric_form(self._solve, J, c, damping, weights)

    def _solve(self, J, c, damping):
        s = at_least_n(self._sketch_size or 16 * J.n, J.n)
        factor = sketched(J, s, damping, self._rng)
        x = factor.apply(c)
        residual = residual_norm(J, x, c, damping) if self._verify else math.nan
        goal = self._rtol * np.linalg.norm(c)
        kappa = factor.condition_estimate**2
        info = {"method": self.name, "sketch_size": s, "condition": kappa, "rank": factor.rank}
        info["epsilon"] = (1 + math.sqrt(J.n / s)) ** 2 - 1
        info["error_estimate"] = info["epsilon"] * math.sqrt(kappa)
        converged = bool(residual <= goal) and factor.rank == J.n
        relative = residual / (np.linalg.norm(c) or 1.0)
        left = f"left relative residual {relative:.1e}" if self._verify else "was not verified"
        message = (
            f"The sketched solution {left}; its error is of the order "
            f"eps sqrt(kappa) = {info['error_estimate']:.1e}."
        )
        if not converged:
            message += f" {singular(factor.rank, J.n)}Use 'pcg' or 'exact' for accuracy."
        return Solution(x, 0, residual, converged, message, info)
