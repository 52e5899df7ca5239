"""What the solvers of the Gram equation share: checks, a factored sketch, phrases."""

import numpy as np

from subquad._validation import real, require_memory
from subquad.sketch import TensorSketch
from subquad.solvers._tall.preconditioner import SketchPreconditioner
from subquad.solvers.gram import _cost as cost


def tolerance(rtol):
    """Return a relative tolerance in (0, 1]."""
    return real(rtol, "rtol", minimum=0.0, maximum=1.0, exclusive_minimum=True)


def at_least_n(sketch_size, n):
    """Return a sketch size that is at least n; a smaller one cannot embed n rows."""
    if sketch_size < n:
        raise ValueError(
            f"sketch_size must be at least n={n}, the number of rows; got {sketch_size}. "
            f"{2 * n} is the smallest sensible size, {4 * n} a good one."
        )
    return sketch_size


def sketched(system, s, damping, sketch):
    """Factor (J S^T)(J S^T)^T + damping I; by QR of the sketch where Cholesky is not safe."""
    n = system.n
    _require(8 * (3 * n * n + 2 * n * s), f"A sketch of {n} x {s}", "Use fewer rows.")
    if isinstance(sketch, np.random.Generator):
        sketch = TensorSketch((system.m_u, system.m_v), s, rng=sketch)
    G = system.sketched_gram(sketch)
    G.flat[:: n + 1] += damping
    factor = SketchPreconditioner.from_gram(G)
    if factor is None:
        factor = SketchPreconditioner.from_sketch(system.sketched(sketch).T, damping=damping)
    return factor


def residual_norm(system, x, c, damping):
    """||c - (G + mu I) x||, by the cheaper kind of product."""
    if cost.forming_pays(system, 1):
        system.gram()
    return float(np.linalg.norm(c - system.product(x) - damping * x))


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
