"""Transforms of integers, by transforms of floats that hold every sum."""

import math

import numpy as np

# Sums of integers are exact in floats while the |x| of a vector add up to at most so much: an
# eighth of what the floats hold, since lengths 12, 20 and 28 times 2^k have sums of up to 4 times
# the result on the way.
_IN_FLOAT32, _IN_FLOAT64 = 1 << 21, 1 << 50
# Transform the bits of longer integers from this one on, and those below it, apart.
_LOW_BITS = 16


def transform_integers(x, axes, of_floats):
    """Return the transform of an array of int32 or int64, as numbers of some dtype.

    `of_floats` returns that of an array of floats, which it may overwrite.
    """
    largest = _largest_sum(x, axes) if x.size else 0
    limit = int(np.iinfo(x.dtype).max)
    if largest > limit:
        wider = "int64" if x.dtype.itemsize == 4 else "float64"
        raise ValueError(
            f"x must have sums of |x| over the entries that are transformed together of at most "
            f"{limit}, which {x.dtype} holds; got {largest}. Convert it with .astype(np.{wider})."
        )
    if largest <= _IN_FLOAT32:
        return of_floats(x.astype(np.float32))
    if largest <= _IN_FLOAT64:
        return of_floats(x.astype(np.float64))
    # The sum of both is right modulo 2^64, and fits.
    result = of_floats((x >> _LOW_BITS).astype(np.float64)).astype(np.int64)
    result <<= _LOW_BITS
    result += of_floats((x & ((1 << _LOW_BITS) - 1)).astype(np.float64)).astype(np.int64)
    return result


def _largest_sum(x, axes):
    """The largest sum of |x| over `axes`, or a bound of it that x can hold."""
    bound = max(int(x.max()), -int(x.min())) * math.prod(x.shape[axis] for axis in axes)
    if bound <= np.iinfo(x.dtype).max:
        return bound
    magnitude = np.abs(x.astype(np.int64)).view(np.uint64)  # also of -2^63, which has no negative
    high = np.asarray((magnitude >> np.uint64(32)).sum(axis=axes))
    low = np.asarray((magnitude & np.uint64(2**32 - 1)).sum(axis=axes))
    high = high + (low >> np.uint64(32))
    low = (low & np.uint64(2**32 - 1))[high == high.max()]
    return (int(high.max()) << 32) + int(low.max())
