"""Direct solvers of the Gram equation: by G itself, and by the Gram matrix of a sketch."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import numpy as np

from subquad._validation import generator
from subquad.jacobian import kept_gram
from subquad.solvers._solution import Solution
from subquad.solvers.exact import DampedCholesky
from subquad.solvers.gram._common import (
    drawn_sketch,
    in_symmetric_form,
    require_square,
    residual_norm,
    singular,
    sketched,
    tolerance,
)
from subquad.solvers.gram.sizes import (
    SKETCHED,
    as_kind,
    as_size,
    at_least_n,
    error_of,
    size_for,
    theorem_precision,
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
    """G replaced by the Gram matrix of a sketch: one factorisation, no iteration.

    Parameters
    ----------
    sketch_size : int, optional
        s >= n; 16 n by default.
    kind : {"TensorSketch", "TensorSRHT"}
        The sketch.
    epsilon : float in [1e-6, 3] or "theorem", optional
        In place of a size: the eps of below, s = n / (sqrt(1 + eps) - 1)^2, and never more than
        all coordinates of a TensorSRHT. "theorem" is sqrt(lambda / n), at most 1/6, with lambda the
        least eigenvalue of G + mu I over the mean diagonal entry, as a sketch of 16 n columns
        estimates it: the precision that [SZZ24], Algorithm 2, line 17, asks for, with some
        4 n^2 / lambda columns. Steps converge as fast with far fewer.
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

    In a trainer each step takes off all of the residual but about that part. Of fits of 64 and 128
    digits and points on the sphere, none converged with s = 4 n, and all from s = 8 n on: in 31 to
    36 steps, with 16 n in 19 to 21, exactly solved in 4 to 6.

    Examples
    --------
    >>> SketchSolver(rng=0).name
    'sketch'
    """

    name = "sketch"

    _kind, _epsilon = "TensorSketch", None  # of solvers that older versions pickled

    def __init__(
        self,
        sketch_size: int | None = None,
        *,
        kind: Literal["TensorSketch", "TensorSRHT"] = "TensorSketch",
        epsilon: float | Literal["theorem"] | None = None,
        rng: int | np.random.Generator | None = None,
        rtol: float = 1e-10,
        verify: bool = True,
    ) -> None:
        self._sketch_size, self._epsilon = as_size(sketch_size, epsilon)
        self._rng, self._kind = generator(rng), as_kind(kind)
        self._rtol, self._verify = tolerance(rtol), verify

    def solve(
        self, J: Jacobian, c: ArrayLike, damping: float = 0.0, weights: ArrayLike | None = None
    ) -> Solution:
        """Return a `Solution` of (G + damping W^-1) x = c, up to the error of the sketch."""
        return in_symmetric_form(self._solve, J, c, damping, weights)

    def _solve(self, J, c, damping):
        s = self._size(J, damping)
        factor = self._factored(J, s, damping)
        x = factor.apply(c)
        residual = residual_norm(J, x, c, damping) if self._verify else math.nan
        goal = self._rtol * np.linalg.norm(c)
        kappa = factor.condition_estimate**2
        info = {"method": self.name, "sketch_size": s, "condition": kappa, "rank": factor.rank}
        info["epsilon"] = error_of(s, J.n)
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

    def _factored(self, J, s, damping):
        """A new sketch of s columns, factored."""
        return sketched(J, s, damping, lambda: drawn_sketch(J, s, self._rng, self._kind))

    def _size(self, J, damping):
        """How many columns the sketch has."""
        epsilon = self._epsilon
        if epsilon is None:
            return at_least_n(self._sketch_size or SKETCHED * J.n, J.n, sketched=True)
        if epsilon == "theorem":
            pilot = self._factored(J, size_for(error_of(SKETCHED, 1), J, self._kind), damping)
            least = (pilot.norm_estimate / pilot.condition_estimate) ** 2
            epsilon = theorem_precision(least, float(J.diagonal().mean()) + damping, J.n)
        return size_for(epsilon, J, self._kind)
