"""What `fwht` and `ifwht` accept, apart from x and the output."""

import numpy as np

from subquad._validation import even_array, integer, one_of, require_finite
from subquad.hadamard._levels import order_of
from subquad.hadamard._orders import ORDERS

_FLOAT32, _FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)
_NORMS = (None, "backward", "ortho", "forward")


def as_axes(axis, axes, shape):
    """Return the axes to transform, counted from the front, in the order in which they came."""
    ndim = len(shape)
    if ndim == 0:
        raise ValueError("x must have at least 1 dimension; got a scalar.")
    if axes is None:
        return (integer(axis, "axis", minimum=-ndim, maximum=ndim - 1) % ndim,)
    if integer(axis, "axis", minimum=None) != -1:
        raise ValueError(f"axis must be left out where axes is given; got {axis}.")
    if not isinstance(axes, (tuple, list, range)):
        raise TypeError(f"axes must be a tuple of integers; got {type(axes).__name__}.")
    found = tuple(integer(i, "axes", minimum=-ndim, maximum=ndim - 1) % ndim for i in axes)
    if len({*found}) < max(1, len(found)):
        raise ValueError(f"axes must be one or more different axes; got {axes}.")
    return found


def require_lengths(shape, axes, order):
    """Raise unless there is a matrix of this order for the length of every axis."""
    one_of(order, "order", ORDERS)
    for axis in axes:
        if order_of(shape[axis], axis) > 1 and order != "natural":
            raise ValueError(
                f"x must have 2^k entries along axis {axis} in {order} order; got {shape[axis]}. "
                "12, 20 and 28 times 2^k need order='natural'."
            )


def scale_of(norm, orthonormal, size, dtype, inverse):
    """Return the factor that a norm stands for, as in `scipy.fft`."""
    one_of(norm, "norm", _NORMS)
    if orthonormal and norm not in (None, "ortho"):
        raise ValueError(f"norm must be 'ortho' or None where orthonormal is set; got {norm!r}.")
    if orthonormal or norm == "ortho":
        scale, whole = size**-0.5 if size else 1.0, False
    else:
        whole = (norm == "forward") == inverse
        scale = 1.0 if whole or size == 0 else 1 / size
    if dtype.kind == "i" and not whole:
        name = "orthonormal" if orthonormal else "norm"
        unscaled = "False" if orthonormal else "'forward'" if inverse else "'backward'"
        raise ValueError(
            f"{name} must be {unscaled} for integers, which are not scaled; "
            f"got {True if orthonormal else norm!r}. Convert x with .astype(np.float64)."
        )
    return scale


def as_signs(signs, shape, axes, dtype, inverse):
    """Return signs as floats that broadcast against x, which has this shape and dtype."""
    values = even_array(signs, "signs")
    if isinstance(signs, np.ma.MaskedArray) or values.dtype.kind not in "iuf":
        kind = type(signs).__name__ if values.dtype == object else values.dtype
        raise TypeError(f"signs must be an array of real numbers, not masked; got {kind}.")
    lengths = tuple(shape[axis] for axis in axes)
    if values.shape != lengths:
        raise ValueError(f"signs must have shape {lengths}; got {values.shape}.")
    if dtype.kind == "i" and not ((values == 1) | (values == -1)).all():
        raise ValueError("signs must be 1 or -1 for integers; got others. Convert x to float64.")
    kind = _FLOAT64 if dtype == _FLOAT64 else _FLOAT32
    if values.dtype != kind:
        with np.errstate(all="ignore"):  # what float32 cannot hold becomes inf, and is then refused
            values = values.astype(kind)
    require_finite(values, "signs")
    if inverse and not values.all():
        zeros = values.size - np.count_nonzero(values)
        raise ValueError(f"signs must not be 0, since ifwht divides by them; got {zeros} zeros.")
    wide = [n if i in axes else 1 for i, n in enumerate(shape)]
    if len(axes) > 1:
        values = values.transpose(np.argsort(axes))
    return np.require(values, requirements="CA").reshape(wide)
