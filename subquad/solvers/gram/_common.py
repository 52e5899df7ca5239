"""What the solvers of the Gram equation share: checks, a factored sketch, phrases."""

import numpy as np

from subquad._validation import real, require_memory
from subquad.jacobian import ScaledRows, gram_times, kept_gram, sketched_gram
from subquad.solvers._solution import Solution, solved_in_range
from subquad.solvers._tall.preconditioner import SketchPreconditioner
from subquad.solvers.gram import cost
from subquad.solvers.gram._completed import completed


def tolerance(rtol):
    """Return a relative tolerance in (0, 1]."""
    return real(rtol, "rtol", minimum=0.0, maximum=1.0, exclusive_minimum=True)


def in_symmetric_form(solve, J, c, damping, weights):
    """Solve (G + mu W^-1) x = c by (W^1/2 G W^1/2 + mu I) h = W^1/2 c, x = W^1/2 h.

    It needs no 1 / w, and a weight of 0 drops its equation. The residual is that of h. c may be of
    any size.
    """
    if weights is None:
        return solved_in_range(lambda c: solve(J, c, damping), c)
    roots = np.sqrt(weights)
    scaled = ScaledRows(J, roots)
    solution = solved_in_range(lambda c: solve(scaled, c, damping), roots * c)
    return Solution(**{**vars(solution), "x": roots * solution.x})


def drawn_sketch(J, sketch_size, rng, kind="TensorSketch"):
    """Return a sketch that `J.sketch` takes."""
    if not hasattr(J, "draw_sketch"):
        raise TypeError(
            f"J must have a method draw_sketch(sketch_size, rng) to be sketched; "
            f"{type(J).__name__} has none. Use 'exact', or 'pcg' with landmarks."
        )
    if kind == "TensorSketch":  # which a Jacobian of a user's own need not name
        return J.draw_sketch(sketch_size, rng)
    return J.draw_sketch(sketch_size, rng, kind)


def sketched(J, s, damping, sketch):
    """Factor (J S^T)(J S^T)^T + damping I; by QR of the sketch where Cholesky is not safe.

    `sketch` is a function that draws S, once the arrays are known to fit. Where S has a lower rank
    than G, G itself gives the rest.
    """
    n = J.n
    _require(8 * (3 * n * n + 2 * n * s), f"A sketch of {n} x {s}", "Use fewer rows.")
    sketch = sketch()
    G = sketched_gram(J, sketch)
    G.flat[:: n + 1] += damping
    factor = SketchPreconditioner.from_gram(G)
    if factor is None:
        factor = SketchPreconditioner.from_sketch(J.sketch(sketch).T, damping=damping)
    return completed(factor, J)


class Unformed:
    """A Jacobian whose Gram matrix must not be formed: [BPSW21] has products alone."""

    forms_gram = formed = False

    def __init__(self, J):
        self._J, self.n, self.shape, self.dtype = J, J.n, J.shape, J.dtype

    def __getattr__(self, name):
        return getattr(self._J, name)


def residual_norm(J, x, c, damping):
    """||c - (G + mu I) x||, by the cheaper kind of product."""
    if cost.forming_pays(J, 1):
        kept_gram(J)
    return float(np.linalg.norm(c - gram_times(J, x) - damping * x))


def require_square(n):
    """Refuse a Gram matrix that does not fit, with what factoring it takes."""
    _require(24 * n * n, f"The Gram matrix of {n} rows", "Use landmarks with 'pcg'.")


def _require(n_bytes, what, remedy):
    """Refuse what does not fit; asking the system takes longer than to solve what is small."""
    if n_bytes > cost.ALWAYS_THERE:
        require_memory(n_bytes, what, remedy)


def singular(rank, n):
    """Say that the matrix is singular, if it is."""
    if rank == n:
        return ""
    return (
        f"The Gram matrix is numerically singular, of rank {rank} for {n} rows (repeated or zero "
        "ones?): x solves its range; damping cures it. "
    )
