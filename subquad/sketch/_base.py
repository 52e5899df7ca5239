"""What all sketches share: they are frozen, know their size, and write where they are told."""

from typing import NamedTuple

import numpy as np

from subquad._parallel import resolve_threads
from subquad._validation import integer, real, require_memory

MAX_SIZE = 2**30  # of a sketch: a bucket and a sign are one number of 32 bits
_LARGE = 2**27  # bytes of a result before which available memory is asked for
_WORK_PER_THREAD = 2**18  # additions, about .1 ms; for less, a thread that has to wait costs more


class Guarantee(NamedTuple):
    """|S x|^2 is within epsilon |x|^2 of |x|^2 in n_points dimensions, but for delta."""

    n_points: int
    epsilon: float
    delta: float


class Frozen:
    """Attributes are set once, arrays among them read-only, also after unpickling."""

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


def useful_threads(n_threads, work):
    """Return the number of threads for so many additions."""
    useful = work // _WORK_PER_THREAD
    if n_threads is not None or useful > 1:  # asking for all takes .1 ms
        n_threads = min(resolve_threads(n_threads), useful)
    return max(1, n_threads or 1)


def write(out, shape, dtype, inputs, compute):
    """Return `out`, or a new array of this shape and dtype, after compute(array) has filled it."""
    if out is None:
        n_bytes = dtype.itemsize * shape[0] * shape[1]
        if n_bytes > _LARGE:
            require_memory(n_bytes, "The result", "Sketch fewer rows at a time.")
        out = np.empty(shape, dtype)
        compute(out)
        return out
    _require_output(out, shape, dtype)
    direct = out.flags.c_contiguous and out.flags.aligned and out.dtype.isnative
    if direct and not any(np.may_share_memory(out, x) for x in inputs):
        compute(out)
        return out
    target = np.empty(shape, dtype)
    compute(target)
    out[...] = target
    return out


def blocks(count, reals, limit):
    """Slices of range(count) with at most `limit` reals in all, each member having `reals`."""
    step = max(1, limit // max(1, reals))
    return (slice(first, min(first + step, count)) for first in range(0, count, step))


def _fraction(value, name):
    value = real(value, name, minimum=0.0, exclusive_minimum=True)
    if value >= 1.0:
        raise ValueError(f"{name} must be less than 1; got {value}.")
    return value


def _require_output(out, shape, dtype):
    """Raise unless `out` can take the result."""
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out must be an ndarray; got {type(out).__name__}.")
    if out.dtype.type is not dtype.type:
        raise TypeError(f"out must be a {dtype} array; got {out.dtype}.")
    if out.shape != shape:
        raise ValueError(f"out must have shape {shape}; got {out.shape}.")
    if not out.flags.writeable:
        raise ValueError("out must be writeable; got a read-only array.")
