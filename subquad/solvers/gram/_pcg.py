"""Conjugate gradients for the Gram equation, preconditioned by a sketch of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from subquad._validation import generator, integer
from subquad.jacobian import gram_times, kept_gram
from subquad.solvers._solution import Solution
from subquad.solvers.conjugate_gradient import pcg
from subquad.solvers.gram import cost
from subquad.solvers.gram._common import (
    Unformed,
    drawn_sketch,
    in_symmetric_form,
    require_square,
    residual_norm,
    singular,
    sketched,
    tolerance,
)
from subquad.solvers.gram._landmarks import LandmarkPreconditioner
from subquad.solvers.gram.sizes import (
    PRECONDITIONED,
    as_kind,
    at_least_n,
    is_theorem,
    theorem_precision,
)

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from subquad.jacobian import Jacobian


_MAX_ITERATIONS = 1000
_MOST_SKETCHES = 4


class PcgSolver:
    """Conjugate gradients, preconditioned by a sketch of G.

    Parameters
    ----------
    sketch_size : int, optional
        s >= n; 4 n by default.
    landmarks : int, optional
        Precondition by so many columns of G instead: memory linear in n. The default (512) for
        more than 2048 points, unless a sketch_size is given or forms_gram is False.
    kind : {"TensorSketch", "TensorSRHT"}
        The sketch.
    forms_gram : bool
        False: products with G are J (J^T x) without G, always, and the sketch has its 4 n columns
        whatever n: [BPSW21] at its own cost, 4 nnz(U) m_v for a product and n s numbers. True takes
        what is forecast to be faster.
    rng : int, numpy.random.Generator or None
        The sketch is drawn at the first `solve` and kept while sizes stay the same: one half of
        it, that of V, is then prepared once. Landmarks and what is made of them are kept while the
        iterations stay as few as at first.
    rtol : float in (0, 1] or "theorem"
        Relative residual to stop at. 1e-3 suffices for a Gauss-Newton step. "theorem" is
        sqrt(lambda / n), at most 1/6, with lambda the least eigenvalue of G + mu I over the mean
        diagonal entry, as the preconditioner estimates it: what [SZZ24], Algorithm 2, line 17, and
        [BPSW21], Algorithm 1, line 5, ask for; `info["rtol"]` has it.

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

    # Of solvers that older versions pickled.
    _kind, forms_gram = "TensorSketch", True

    def __init__(
        self,
        sketch_size: int | None = None,
        *,
        landmarks: int | None = None,
        kind: Literal["TensorSketch", "TensorSRHT"] = "TensorSketch",
        forms_gram: bool = True,
        rng: int | np.random.Generator | None = None,
        rtol: float = 1e-3,
    ) -> None:
        self._sketch_size = None if sketch_size is None else integer(sketch_size, "sketch_size")
        self.landmarks = None if landmarks is None else integer(landmarks, "landmarks")
        if sketch_size is not None and landmarks is not None:
            raise ValueError("landmarks must be None where sketch_size is given; got both.")
        self._rng, self._kind, self.forms_gram = generator(rng), as_kind(kind), bool(forms_gram)
        self._rtol = rtol if is_theorem(rtol, "rtol") else tolerance(rtol)
        self._sketches = {}
        self._factor, self._iterations = None, (0, 0)

    def solve(
        self, J: Jacobian, c: ArrayLike, damping: float = 0.0, weights: ArrayLike | None = None
    ) -> Solution:
        """Return a `Solution` of (G + damping W^-1) x = c."""
        return in_symmetric_form(self._solve, J, c, damping, weights)

    def _size(self, n):
        """Return the columns of a sketch of n rows."""
        return at_least_n(self._sketch_size or PRECONDITIONED * n, n, sketched=False)

    def _solve(self, J, c, damping):
        unsketched = J.n > cost.SKETCHED_POINTS or not getattr(J, "forms_gram", True)
        unsketched &= self._sketch_size is None and self.forms_gram
        J = J if self.forms_gram else Unformed(J)
        if self.landmarks is not None or unsketched:
            return self._by_landmarks(J, c, damping)
        s, rtol = self._size(J.n), 0.1 if self._rtol == "theorem" else self._rtol
        if cost.forming_pays(J, cost.pcg_iterations(J.n, s, rtol) + 1):
            require_square(J.n)
            kept_gram(J)
        factor = sketched(J, s, damping, lambda: self._sketch_for(J, s))
        info = {"sketch_size": s, "condition": factor.condition_estimate**2, "rank": factor.rank}
        return self._iterate(J, c, factor.project(c), damping, factor, info)

    def _by_landmarks(self, J, c, damping):
        """Solve with a factor that is kept from call to call while it serves as well as it did."""
        first, last = self._iterations
        factor = self._factor
        fresh = factor is None or not factor.suits(J.n, damping) or last > 1.25 * first + 2
        if fresh:
            self._factor = factor = None  # makes room for the new one, n numbers for each landmark
            count = min(self.landmarks or cost.LANDMARKS, J.n)
            points = np.sort(self._rng.choice(J.n, count, replace=False))
            self._factor = factor = LandmarkPreconditioner(J, points, damping)
        projected = c if damping > 0 else np.where(J.diagonal() > 0, c, 0.0)
        rank = J.n if damping > 0 else np.count_nonzero(J.diagonal())
        info = {"sketch_size": factor.size, "condition": factor.condition_estimate, "rank": rank}
        solution = self._iterate(J, c, projected, damping, factor, info)
        count = solution.n_iterations
        self._iterations = (count if fresh else first, count)
        return solution

    def _iterate(self, J, c, projected, damping, factor, info):
        rtol = self._rtol
        if rtol == "theorem":
            least = factor.norm_estimate**2 / info["condition"]
            rtol = theorem_precision(least, float(J.diagonal().mean()) + damping, J.n)
            info["rtol"] = rtol
        with np.errstate(over="ignore", invalid="ignore"):  # a singular J may run away
            solution = pcg(
                lambda x: gram_times(J, x) + damping * x,
                projected,
                preconditioner=factor.apply,
                rtol=rtol,
                max_iterations=_MAX_ITERATIONS,
            )
        if not solution.residual_norm <= np.linalg.norm(projected):  # zero is better
            nothing = {"x": np.zeros(J.n), "residual_norm": float(np.linalg.norm(projected))}
            solution = Solution(**{**vars(solution), **nothing})
        info = {"method": self.name, **info, "formed": getattr(J, "formed", False)}
        if info["rank"] == J.n:
            return Solution(**{**vars(solution), "info": info})
        residual = residual_norm(J, solution.x, c, damping)
        converged = bool(residual <= rtol * np.linalg.norm(c))
        message = f"{singular(info['rank'], J.n)}{solution.message}"
        return Solution(solution.x, solution.n_iterations, residual, converged, message, info)

    def _sketch_for(self, J, s):
        """The sketch for these sizes: outputs of one network may have two numbers of neurons."""
        layers = getattr(J, "parts", (J,))
        sizes = (*((layer.m_u, layer.m_v) for layer in layers if hasattr(layer, "m_u")), s)
        if sizes not in self._sketches:
            if len(self._sketches) == _MOST_SKETCHES:
                self._sketches.clear()
            self._sketches[sizes] = drawn_sketch(J, s, self._rng, self._kind)
        return self._sketches[sizes]
