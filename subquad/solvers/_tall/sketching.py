"""Which sketch preconditions A^T A, and how large it is."""

import numpy as np

from subquad import sketch as sketches
from subquad._validation import integer, one_of, require_memory
from subquad.solvers._tall.matrices import KhatriRaoTall
from subquad.solvers._tall.preconditioner import SketchPreconditioner

NAMES = ("count", "srht", "gaussian")

# An operation of a QR factorisation (12800 x 200) takes so many nanoseconds.
_QR_NS = 0.066
# A sketch of k columns has one of these numbers times k rows.
_FACTORS = (8, 16, 32, 64)
_LOG_ACCURACY = np.log(1e12)
# The second, stronger sketch has so many blocks.
_BLOCKS = 4


class BlockSketch:
    """[S_1; ...; S_b] / sqrt(b): b nonzeros in a column, where one left too many collisions."""

    def __init__(self, sketches):
        self.sketches = sketches
        self.sketch_size = sum(sketch.sketch_size for sketch in sketches)

    def apply_columns(self, A, n_threads=None):
        """Return S A."""
        parts = [sketch.apply_columns(A, n_threads=n_threads) for sketch in self.sketches]
        return np.vstack(parts) / np.sqrt(len(parts))


def default_size(tall):
    """The multiple of k for which QR and iterations together cost least."""
    k = tall.shape[1]
    return k * min(_FACTORS, key=lambda c: sketch_ns(tall, c * k))


def sketch_ns(tall, size):
    """Forecast nanoseconds of sketch, QR and iterations with a sketch of so many rows."""
    n, k = tall.shape
    iterations = expected_iterations(size / k) if size < n else 2
    return build_ns(tall, size) + iterations * tall.pass_ns


def build_ns(tall, size):
    """Forecast nanoseconds of sketch and QR."""
    n, k = tall.shape
    return 2 * min(size, n) * k**2 * _QR_NS + 2 * tall.pass_ns


def prefers_gram(tall, size):
    """Whether A^T A is forecast to cost at most a quarter more than such a sketch.

    Passes over A suffer more than products where other work wants the memory.
    """
    return tall.gram_ns + 3 * tall.pass_ns < 1.25 * sketch_ns(tall, size)


def expected_iterations(c):
    """Iterations to a relative accuracy of 1e-12 with a sketch of c k rows."""
    return _LOG_ACCURACY / np.log(np.sqrt(max(c, 1.5)))


def factored(tall, choice, size, damping, rng, n_threads):
    """Return the SketchPreconditioner, and what S was: a name and its number of rows.

    choice is a name, or a sketch; a size that would not compress A means A itself.
    """
    n, k = tall.shape
    if isinstance(choice, str) and size >= n:
        SA, label, size = tall.dense(), "none", n
    else:
        sketch = _drawn(tall, choice, size, rng) if isinstance(choice, str) else choice
        SA = tall.sketched(sketch, n_threads)
        label = type(sketch).__name__ if not isinstance(choice, str) else choice
    tolerance = max(k, 16) * tall.eps
    return SketchPreconditioner.from_sketch(SA, tolerance, damping), label, size


def checked_choice(sketch, sketch_size, tall):
    """Return (choice, size, fixed) from the arguments; fixed: the user has chosen."""
    n, k = tall.shape
    if isinstance(sketch, str) or sketch is None:
        name = "count" if sketch is None else sketch
        if name not in NAMES:
            raise ValueError(f"sketch must be one of {', '.join(NAMES)}; got {sketch!r}.")
        if name == "gaussian" and isinstance(tall, KhatriRaoTall):
            raise ValueError("sketch must be 'count' or 'srht' for a KhatriRao; got 'gaussian'.")
        if sketch_size is None:
            return name, default_size(tall), False
        size = integer(sketch_size, "sketch_size")
    else:
        name, size = sketch, _size_of(sketch, sketch_size, tall)
    if size < min(n, k):
        raise ValueError(
            f"sketch_size must be at least {min(n, k)}, the rank that A can have; got {size}. "
            f"{2 * k} is the smallest sensible size, {8 * k} a good one."
        )
    return name, size, True


def _size_of(sketch, sketch_size, tall):
    """Number of rows of a sketch that the user made."""
    product = "apply" if isinstance(tall, KhatriRaoTall) else "apply_columns"
    if not hasattr(sketch, product) or not hasattr(sketch, "sketch_size"):
        raise TypeError(
            f"sketch must be a name or have sketch_size and {product}; got {type(sketch).__name__}."
        )
    if sketch_size not in (None, sketch.sketch_size):
        raise ValueError(
            f"sketch_size must be {sketch.sketch_size}, that of the sketch, or None; "
            f"got {sketch_size}."
        )
    width = getattr(sketch, "n_features", None)
    if isinstance(width, (int, np.integer)) and width != tall.shape[0]:
        raise ValueError(f"sketch must have n_features {tall.shape[0]}, rows of A; got {width}.")
    return integer(sketch.sketch_size, "sketch.sketch_size")


def _drawn(tall, name, size, rng):
    """A new sketch."""
    if isinstance(tall, KhatriRaoTall):
        kind = sketches.TensorSketch if name.startswith("count") else sketches.TensorSRHT
        return kind((tall.J.U.shape[1], tall.J.V.shape[1]), size, rng=rng)
    n = tall.shape[0]
    if name == "blocks":
        part = -(-size // _BLOCKS)
        return BlockSketch([sketches.CountSketch(n, part, rng=rng) for _ in range(_BLOCKS)])
    kinds = {"srht": sketches.SRHT, "gaussian": sketches.GaussianSketch}
    return kinds.get(name, sketches.CountSketch)(n, size, rng=rng)


def stronger(tall, name):
    """The choice that follows a name which preconditioned badly."""
    return "blocks" if name == "count" and not isinstance(tall, KhatriRaoTall) else name


def wants_gram(preconditioner, tall, size, asked):
    """Whether to begin with A^T A; asked: the user has named a sketch."""
    one_of(preconditioner, "preconditioner", ("auto", "sketch", "exact"))
    if preconditioner == "auto":
        return not asked and prefers_gram(tall, size)
    return preconditioner == "exact"


def require_room(tall, size):
    """Forecast S A, its copy in QR, and a few k x k matrices."""
    n, k = tall.shape
    rows = min(size, n)
    require_memory(
        8 * k * (2 * rows + 4 * k), f"A sketch of shape ({rows}, {k})", "Give a sketch_size."
    )


def is_null(tall, M):
    """Whether A maps to nothing what the sketch maps to nothing."""
    if not M.null_space.size:
        return True
    k, lost = M.null_space.shape
    tolerance = 16 * max(k, 16) * tall.eps * M.norm_estimate * np.sqrt(lost)
    return bool(np.linalg.norm(tall.multiply(M.null_space)) <= tolerance)


def factored_gram(tall, damping):
    """The preconditioner of A^T A + diag(damping) by Cholesky; None where that breaks down."""
    G = tall.gram().copy()
    G.flat[:: len(G) + 1] += damping
    return SketchPreconditioner.from_gram(G)
