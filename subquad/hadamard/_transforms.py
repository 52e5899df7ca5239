"""`fwht` and its inverse: arguments in, an array out.

Long for the docstrings of these two, which name every option.
"""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from subquad._validation import as_array, require_memory, require_output
from subquad.hadamard._arguments import as_axes, as_signs, require_lengths, scale_of
from subquad.hadamard._exact import transform_integers
from subquad.hadamard._levels import transform, transform_last, useful_threads
from subquad.hadamard._orders import in_order, positions

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Literal

    from numpy.typing import ArrayLike

    from subquad._typing import FloatArray


# Accept these beside float32 and float64; bfloat16 is that of the package ml_dtypes.
_ALSO = ("float16", "bfloat16", "int32", "int64")
# The dtypes of the kernels.
_FLOATS = (np.dtype(np.float32), np.dtype(np.float64))
# Ask for the available memory before an array of more bytes than this is allocated.
_LARGE = 1 << 27


def fwht(
    x: ArrayLike,
    axis: int = -1,
    orthonormal: bool = False,
    out: FloatArray | None = None,
    n_threads: int | None = None,
    *,
    axes: Sequence[int] | None = None,
    norm: Literal["backward", "ortho", "forward"] | None = None,
    order: Literal["natural", "sequency", "dyadic"] = "natural",
    signs: ArrayLike | None = None,
) -> FloatArray:
    """Return H_m D x along an axis, or along several, D = diag(signs); scaled as `norm` says.

    H_m = H_o (x) H_2 (x) ... (x) H_2 for m = o 2^k, o = 1, 12, 20 or 28, H_2 = [[1, 1], [1, -1]]:
    entries of +-1, symmetric, H_m H_m = m I, in natural (Sylvester, Kronecker) order. For m = 2^k
    it is `scipy.linalg.hadamard(m)`.

    Parameters
    ----------
    x : array_like, any shape
        Real numbers in float32, float64, float16, bfloat16 (of the package ml_dtypes), int32 or
        int64; all vectors along `axis` are transformed. Not inspected for NaN and infinity, which
        spread over the vector they stand in.
    axis : int
        Its length m is 2^k, or 12, 20 or 28 times 2^k.
    orthonormal : bool
        As norm="ortho".
    out : ndarray, optional
        Where to put the result: shape and dtype of x. `out=x` transforms in place.
    n_threads : int, optional
        None means all available; as in scikit-learn otherwise. The result does not depend on it.
    axes : tuple of int, optional
        Transform along all of these, in place of `axis`: (0, 1) is H X H^T for a matrix X. m is
        the product of their lengths.
    norm : None, "backward", "ortho" or "forward"
        As in `scipy.fft`: the result is multiplied by 1, 1, 1 / sqrt(m) or 1 / m. With "ortho" the
        transform is its own inverse (without `signs`) and keeps norms. Integers take the first two.
    order : "natural", "sequency" or "dyadic"
        Number the rows of H_m in another way, for lengths 2^k: row i of "sequency" (Walsh) has i
        changes of sign, and row i of "dyadic" (Paley) is row i of "natural" with the bits of i
        reversed. The matrix is symmetric in all three.
    signs : array_like, shape (m,), or that of the axes in the order of `axes`
        Multiply x by these before the transform: +-1 for random rotations, or any other real and
        finite numbers; +-1 alone for integers.

    Returns
    -------
    ndarray, shape and dtype of x
        `out` if it was given.

    Raises
    ------
    TypeError
        If x has another dtype, `out` is not an array of the same dtype, or `signs` are not real.
    ValueError
        If there is no such axis, no H_m for its length (the nearest lengths are named) or not in
        this `order`, an option is unknown, `signs` have another shape or are not finite, `out` has
        another shape or may not be written to, or x holds integers that the norm would scale, or
        whose sums its dtype might not hold.

    Notes
    -----
    m log2(m) additions a vector, and no memory beyond the result if x and `out` are contiguous
    floats in natural order. Along the last axis a vector stays in the cache; along others the array
    is read and written once for every three levels, which takes about twice as long. `signs` along
    the last axis are multiplied in the cache, and take one pass over the array along others;
    another `order` takes one for each axis, several where a vector is longer than the caches, and a
    copy of x where `out` is x.

    To first order, the error is at most (1 + k / 2) eps |H_m x| in 2-norm for m = 2^k, and 27 eps
    |H_m x| more for the other lengths, where x is what the signs left. Bitwise the same for every
    instruction set. float16 and bfloat16 are transformed in float32 and rounded once, to infinity
    where they are too large for the dtype.

    Integers give exact integers: refused unless sum |x| over the entries that are transformed
    together is at most the largest number of the dtype, which then holds every result. They are
    transformed in float32 or float64 copies whose sums are exact, int64 above 2^50 in two parts.

    H_o is [[C + I, C - I], [C - I, -C - I]] with the symmetric conference matrix
    C = [[A, B], [B, -A]] of order o / 2, made of circulants with the first rows

        o = 12   A: 0 + +             B: - + +
        o = 20   A: 0 + - - +         B: - + + + +
        o = 28   A: 0 + + - - + +     B: + - + + + + -

    Examples
    --------
    >>> fwht(np.array([1.0, 0.0, 1.0, 0.0]))
    array([2., 2., 0., 0.])
    >>> fwht(np.eye(4, dtype=np.int32), order="sequency")
    array([[ 1,  1,  1,  1],
           [ 1,  1, -1, -1],
           [ 1, -1, -1,  1],
           [ 1, -1,  1, -1]], dtype=int32)
    >>> x = np.array([3.0, 4.0])
    >>> bool(np.allclose(fwht(fwht(x, norm="ortho"), norm="ortho"), x))
    True
    """
    options = axis, axes, norm, orthonormal, order, signs
    return _transformed(x, *options, out, n_threads, inverse=False)


def ifwht(
    x: ArrayLike,
    axis: int = -1,
    *,
    axes: Sequence[int] | None = None,
    norm: Literal["backward", "ortho", "forward"] | None = None,
    order: Literal["natural", "sequency", "dyadic"] = "natural",
    signs: ArrayLike | None = None,
    out: FloatArray | None = None,
    n_threads: int | None = None,
) -> FloatArray:
    """Return D^-1 H_m^-1 x along an axis, or along several: x before `fwht` with these options.

    H_m^-1 = H_m / m, in every order.

    Parameters
    ----------
    x : array_like, any shape
        As in `fwht`.
    axis, axes, order, out, n_threads
        As in `fwht`.
    norm : None, "backward", "ortho" or "forward"
        That of the `fwht` to invert, as in `scipy.fft`: H_m x is multiplied by 1 / m, 1 / m,
        1 / sqrt(m) or 1. Integers take "forward" only: divide what comes out by m.
    signs : array_like, optional
        Divide by these after the transform; as in `fwht`, and not 0.

    Returns
    -------
    ndarray, shape and dtype of x
        `out` if it was given.

    Raises
    ------
    TypeError, ValueError
        As `fwht`; ValueError also if one of the `signs` is 0.

    Examples
    --------
    >>> x, signs = np.array([1.0, 2.0, 3.0, 4.0]), np.array([1, -1, -1, 1])
    >>> ifwht(fwht(x, signs=signs, order="sequency"), signs=signs, order="sequency")
    array([1., 2., 3., 4.])
    """
    options = axis, axes, norm, False, order, signs
    return _transformed(x, *options, out, n_threads, inverse=True)


class _Product(NamedTuple):
    """scale * W D, or scale * D^-1 W, along some axes; signs is the diagonal of D, or None."""

    axes: tuple
    order: str
    scale: float
    signs: object
    inverse: bool
    n_threads: int


def _transformed(x, axis, axes, norm, orthonormal, order, signs, out, n_threads, *, inverse):
    """Check all arguments of `fwht` or `ifwht`, and return the result."""
    divides = inverse and signs is not None
    if axes is None and not divides and _is_plain(x, axis, order, out):
        scale = scale_of(norm, orthonormal, x.shape[-1], x.dtype, inverse)
        if signs is not None:
            signs = as_signs(signs, x.shape, (x.ndim - 1,), x.dtype, inverse).ravel()
        n_threads = useful_threads(n_threads, x.size)
        result = _empty(x) if out is None else x
        transform_last(x, result, scale, n_threads, signs)
        return result
    x = as_array(x, "x", also=_ALSO)
    axes = as_axes(axis, axes, x.shape)
    require_lengths(x.shape, axes, order)
    m = math.prod(x.shape[axis] for axis in axes)
    scale = scale_of(norm, orthonormal, m, x.dtype, inverse)
    if signs is not None:
        signs = as_signs(signs, x.shape, axes, x.dtype, inverse)
    result = out if out is not None else _empty(x)
    require_output(result, x.shape, x.dtype, like="x")
    n_threads = useful_threads(n_threads, x.size)  # before anything is written to out
    product = _Product(axes, order, scale, signs, inverse, n_threads)
    target = _apply(product, x, result)
    if target is not result:
        with np.errstate(over="ignore"):
            result[...] = target
    return result


def _is_plain(x, axis, order, out):
    """Whether one call of a kernel does what is asked of x, apart from its length.

    Most calls are such, of a few short vectors: all the checks would take longer than a transform.
    """
    return (
        type(x) is np.ndarray
        and x.dtype in _FLOATS
        and (out is None or (out is x and x.flags.writeable))
        and x.flags.c_contiguous
        and x.flags.aligned
        and type(order) is str
        and order == "natural"
        and x.ndim > 0
        and type(axis) is int
        and axis in (-1, x.ndim - 1)
    )


def _apply(product, x, result):
    """Return the product in an array, which is `result` where the kernels may write to that."""
    if x.dtype.kind == "f" and x.dtype.itemsize > 2:
        target = result if _fits(result, x) else np.empty_like(x)
        return _apply_to_floats(product, x, target)
    _require(x.size * 8 if x.dtype.kind == "i" else x.size * 4, "A copy in floats")
    if x.dtype.kind == "i":
        return transform_integers(x, product.axes, partial(_overwrite, product))
    return _overwrite(product, x.astype(np.float32))


def _overwrite(product, x):
    return _apply_to_floats(product, x, x)


def _apply_to_floats(product, x, target):
    """Put the product into the contiguous `target`, which is x or does not overlap it."""
    source, signs = x, product.signs
    before, after = (None, signs) if product.inverse else (signs, None)
    if product.order != "natural":
        for axis in product.axes:
            into = target
            if np.may_share_memory(source, target):
                _require(x.nbytes, "A copy in another order")
                into = np.empty_like(x)
            in_order(product.order, source, axis, into)
            source = into
            if before is not None:
                before = np.take(before, positions(product.order, x.shape[axis]), axis=axis)
    if before is not None and product.axes == (x.ndim - 1,):
        signs = before.ravel().astype(x.dtype, copy=False)
        transform_last(source, target, product.scale, product.n_threads, signs)
        return target
    if before is not None:
        source = _quietly(np.multiply, source, before, target)
    transform(source, target, product.axes, product.scale, product.n_threads)
    if after is not None:
        _quietly(np.divide, target, after, target)
    return target


def _quietly(function, x, y, out):
    """Put function(x, y) into `out`, which overflows without a warning, as transforms do."""
    with np.errstate(all="ignore"):
        return function(x, y, out=out)


def _empty(x):
    """Return an array for the result, unless it would not fit in memory."""
    _require(x.nbytes, "The result", "Pass out=x to transform in place.")
    return np.empty_like(x)


def _require(n_bytes, what, remedy="Transform fewer vectors at once."):
    """Raise MemoryError where an array does not fit in memory."""
    if n_bytes > _LARGE:
        require_memory(n_bytes, what, remedy)


def _fits(out, x):
    """Whether the kernels may write to `out` while they read the contiguous x."""
    if not (out.flags.c_contiguous and out.flags.aligned and out.dtype.isnative):
        return False
    return out is x or not np.may_share_memory(out, x) or out.ctypes.data == x.ctypes.data
