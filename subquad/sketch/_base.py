"""What all sketches share: attributes that stay, a size or a guarantee, and a place for results."""

from typing import NamedTuple

import numpy as np

from subquad._parallel import resolve_worth
from subquad._validation import integer, real, require_memory, require_output

# A sketch has at most this many rows, since a bucket and its sign share one number of 32 bits.
MAX_SIZE = 2**30
# Ask for the available memory before a result of more bytes than this is allocated.
_LARGE = 2**27
# Drawing a sketch takes at most so many bytes for each coordinate of its vectors.
_BYTES_PER_FEATURE = 24
# Give each thread at least this many additions, .1 ms of work: a thread that waits costs more.
_WORK_PER_THREAD = 2**18

# The parameters that size and draw a sketch, and the errors of every constructor.
SIZE_PARAMETERS = """
    n_points, epsilon, delta : int, float, float, optional
        In place of `sketch_size`: with probability at least 1 - delta,
        (1 - epsilon) |x|^2 <= |S x|^2 <= (1 + epsilon) |x|^2 for all x of any one subspace of
        `n_points` dimensions that was fixed before S was drawn. The Notes say for which s.
    rng : int, numpy.random.Generator or None
        The seed or generator that S is drawn from, once, by the constructor.
"""
RAISES = """
    Raises
    ------
    TypeError, ValueError
        If a parameter has the wrong kind or value, or both or neither of `sketch_size` and
        (n_points, epsilon, delta) are given.
"""


class Guarantee(NamedTuple):
    """What a sketch promises of subspaces of n_points dimensions: see SIZE_PARAMETERS."""

    n_points: int
    epsilon: float
    delta: float


class Frozen:
    """An object whose attributes are set once; arrays are read-only, also after unpickling."""

    def _set(self, **attributes):
        for name, value in attributes.items():
            for part in value if isinstance(value, tuple) else (value,):
                if isinstance(part, np.ndarray):
                    part.flags.writeable = False
            object.__setattr__(self, name, value)

    def __setattr__(self, name, value):
        raise AttributeError(f"A {type(self).__name__} cannot be changed; draw another one.")

    def __delattr__(self, name):
        raise AttributeError(f"A {type(self).__name__} cannot be changed; draw another one.")

    def __setstate__(self, state):
        self._set(**state)


def resolve_size(sketch_size, n_points, epsilon, delta, required):
    """Return (sketch_size, Guarantee or None); `required` maps a Guarantee to its size."""
    asked = (n_points, epsilon, delta)
    if sketch_size is not None:
        if asked != (None, None, None):
            raise ValueError(
                "sketch_size must be None where n_points, epsilon and delta are given; "
                f"got {sketch_size}."
            )
        return integer(sketch_size, "sketch_size", maximum=MAX_SIZE), None
    if None in asked:
        raise ValueError(
            "sketch_size must be given, or else all of n_points, epsilon and delta; got "
            f"n_points={n_points}, epsilon={epsilon}, delta={delta}."
        )
    guarantee = Guarantee(
        integer(n_points, "n_points"), _fraction(epsilon, "epsilon"), _fraction(delta, "delta")
    )
    size = required(guarantee)
    if size > MAX_SIZE:
        raise ValueError(
            f"epsilon must be such that the sketch has at most {MAX_SIZE} rows; it would need "
            f"{size}. Pass a larger epsilon or delta, or a sketch_size."
        )
    return size, guarantee


def require_room(n_features):
    """Refuse a sketch of vectors so long that their signs and buckets do not fit."""
    n_bytes = _BYTES_PER_FEATURE * n_features
    if n_bytes > _LARGE:
        what = f"A sketch of vectors of {n_features} entries"
        require_memory(n_bytes, what, "Sketch shorter vectors.")


def useful_threads(n_threads, work):
    """Return the number of threads to use for `work` additions."""
    return resolve_worth(n_threads, work, _WORK_PER_THREAD)


def destination(out, shape, dtype, inputs):
    """Return the array to compute a result in: `out` where a kernel may write to it, or a new one.

    A new array stands in where `out` is None, has a layout that kernels do not take, or shares
    memory with one of the inputs. `deliver` then brings the result to `out`.
    """
    if out is None:
        n_bytes = dtype.itemsize * shape[0] * shape[1]
        if n_bytes > _LARGE:
            require_memory(n_bytes, "The result", "Sketch fewer rows at a time.")
        return np.empty(shape, dtype)
    require_output(out, shape, dtype)
    direct = out.flags.c_contiguous and out.flags.aligned and out.dtype.isnative
    if direct and not any(np.may_share_memory(out, x) for x in inputs):
        return out
    return np.empty(shape, dtype)


def deliver(result, out):
    """Return the result in `out`, or itself where there is no `out`."""
    if out is None or result is out:
        return result
    out[...] = result
    return out


def _fraction(value, name):
    value = real(value, name, minimum=0.0, exclusive_minimum=True)
    if value >= 1.0:
        raise ValueError(f"{name} must be less than 1; got {value}.")
    return value
