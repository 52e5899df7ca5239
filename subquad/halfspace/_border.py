"""The border of the half-space report: its own checks of thresholds, indices and flags."""

import numbers

import numpy as np

from subquad._validation import even_array


def as_thresholds(b, n_queries, dtype):
    """Return one threshold for each query in dtype, rounded up, which changes no answer."""
    if not isinstance(b, (numbers.Real, np.ndarray, list, tuple)):
        raise TypeError(f"b must be a real number or an array of them; got {type(b).__name__}.")
    if isinstance(b, numbers.Rational) and not isinstance(b, (bool, np.generic)):
        return np.full(n_queries, _rounded_up(b, dtype))
    try:
        b = np.asarray(b)
    except ValueError:
        raise ValueError("b must be a number or an array of them; got a ragged one.") from None
    if b.dtype.kind not in "fiu":
        raise TypeError(f"b must hold real numbers; got {b.dtype}.")
    if b.shape not in ((), (n_queries,)):
        raise ValueError(f"b must be a number or have shape ({n_queries},); got {b.shape}.")
    if np.isnan(b).any():
        raise ValueError(f"b must not be NaN; got {np.isnan(b).sum()} NaN.")
    if b.dtype.kind == "f":
        with np.errstate(over="ignore"):
            rounded = b.astype(dtype)
            higher = np.nextafter(rounded, dtype.type(np.inf))
        rounded = np.where(rounded < b, higher, rounded)
    else:  # numpy compares integers with reals only after it has rounded them
        rounded = np.array([_rounded_up(x, dtype) for x in b.ravel().tolist()]).reshape(b.shape)
    return np.ascontiguousarray(np.broadcast_to(rounded, (n_queries,)), dtype)


def _rounded_up(x, dtype):
    """Return the least number of dtype that is not below the rational number x."""
    try:
        with np.errstate(over="ignore"):
            rounded = dtype.type(float(x))
    except OverflowError:
        rounded = dtype.type(np.inf if x > 0 else -np.inf)
    if float(rounded) < x:  # Python compares them exactly
        rounded = np.nextafter(rounded, dtype.type(np.inf))
    return rounded


def as_flag(value, name):
    """Return value as a bool; a number is refused, since it may be an argument out of place."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False; got {value!r}.")
    return bool(value)


def as_indices(indices, slots):
    """Return a copy of indices as intp: distinct, and of points that are there (slots[i] >= 0)."""
    indices = even_array(indices, "indices")
    if indices.ndim != 1:
        raise ValueError(f"indices must have shape (any,); got {indices.shape}.")
    if indices.size == 0:
        return np.empty(0, np.intp)
    if indices.dtype.kind not in "iu":
        raise TypeError(f"indices must hold integers; got {indices.dtype}.")
    # No other thread can change a copy after the checks.
    indices = np.array(indices, order="C")
    low, high = int(indices.min()), int(indices.max())
    if low < 0 or high >= slots.size:
        wrong = low if low < 0 else high
        raise ValueError(f"indices must be in [0, {slots.size}); got {wrong}.")
    indices = indices.astype(np.intp, copy=False)
    if (gone := slots[indices] < 0).any():
        raise ValueError(
            f"indices must name points that are there; got {indices[gone.argmax()]}, "
            "which was deleted."
        )
    if (indices[1:] <= indices[:-1]).any():
        rising = np.sort(indices)
        if (twice := rising[1:] == rising[:-1]).any():
            raise ValueError(f"indices must be distinct; got {rising[twice.argmax()]} twice.")
    return indices
