"""The fast Walsh-Hadamard transform of arrays, in natural order."""

import math

import numpy as np

from subquad._kernels import hadamard
from subquad._parallel import blocks, resolve_worth
from subquad._validation import as_array, integer, require_memory, require_output

__all__ = ["fwht", "next_length"]

# A length may have the order of one of these Hadamard matrices as a factor, beside a power of two.
_ORDERS = (1, 12, 20, 28)
# A kernel call transforms this many reals: a quarter of a second in float64, on one thread.
_REALS_PER_CALL = 1 << 26
# Give each thread at least this many reals, .2 ms of work: a thread that waits costs more.
_REALS_PER_THREAD = 1 << 20
# Cut a long vector into pieces of this many reals: 8 MB in float32, which the last cache holds.
_REALS_PER_PIECE = 1 << 21
# Ask for the available memory before a result of more bytes than this is allocated.
_LARGE = 1 << 27


def fwht(x, axis=-1, orthonormal=False, out=None, n_threads=None):
    """Return H_m x along an axis, or H_m x / sqrt(m).

    H_m = H_o (x) H_2 (x) ... (x) H_2 for m = o 2^k, o = 1, 12, 20 or 28, H_2 = [[1, 1], [1, -1]]:
    entries of +-1, symmetric, H_m H_m = m I, in natural (Sylvester, Kronecker) order. For m = 2^k
    it is `scipy.linalg.hadamard(m)`.

    Parameters
    ----------
    x : array_like, any shape
        Real numbers in float32 or float64; all vectors along `axis` are transformed. Not inspected
        for NaN and infinity, which spread over the vector they stand in.
    axis : int
        Its length m is 2^k, or 12, 20 or 28 times 2^k.
    orthonormal : bool
        Divide by sqrt(m): the transform is then its own inverse, and keeps norms.
    out : ndarray, optional
        Where to put the result: shape and dtype of x. `out=x` transforms in place.
    n_threads : int, optional
        None means all available; as in scikit-learn otherwise. The result does not depend on it.

    Returns
    -------
    ndarray, shape and dtype of x
        `out` if it was given.

    Raises
    ------
    TypeError
        If x is not float32 or float64, or `out` is not an array of the same dtype.
    ValueError
        If there is no such axis, no H_m for its length (the nearest lengths are named), or `out`
        has another shape or may not be written to.

    Notes
    -----
    m log2(m) additions a vector, and no memory beyond the result if x and `out` are contiguous.
    Along the last axis a vector stays in the cache; along others the array is read and written
    once for every three levels, which takes about twice as long.

    To first order, the error is at most (1 + k / 2) eps |H_m x| in 2-norm for m = 2^k, and 27 eps
    |H_m x| more for the other lengths. Bitwise the same for every instruction set.

    H_o is [[C + I, C - I], [C - I, -C - I]] with the symmetric conference matrix
    C = [[A, B], [B, -A]] of order o / 2, made of circulants with the first rows

        o = 12   A: 0 + +             B: - + +
        o = 20   A: 0 + - - +         B: - + + + +
        o = 28   A: 0 + + - - + +     B: + - + + + + -

    Examples
    --------
    >>> fwht(np.array([1.0, 0.0, 1.0, 0.0]))
    array([2., 2., 0., 0.])
    >>> x = np.array([3.0, 4.0])
    >>> bool(np.allclose(fwht(fwht(x, orthonormal=True), orthonormal=True), x))
    True
    """
    x = as_array(x, "x")
    axis = _axis(axis, x.ndim)
    m = x.shape[axis]
    order = _order(m, axis)
    result = out if out is not None else _empty(x)
    require_output(result, x.shape, x.dtype, like="x")
    target = result if _fits(result, x) else np.empty_like(x)
    scale = m**-0.5 if orthonormal else 1.0
    n_threads = resolve_worth(n_threads, x.size, _REALS_PER_THREAD)
    _fwht(x, target, axis, order, scale, n_threads)
    if target is not result:
        result[...] = target
    return result


def next_length(m):
    """Return the smallest length of at least m that `fwht` takes.

    Examples
    --------
    >>> next_length(100), next_length(4097)
    (112, 5120)
    """
    m = integer(m, "m")
    return min(_multiple(order, m) for order in _ORDERS)


def _fwht(x, out, axis, order, scale, n_threads):
    """`fwht` of contiguous arrays; out may be x."""
    m = x.shape[axis]
    columns = math.prod(x.shape[axis + 1 :])
    if x.size == 0:
        return
    if columns == 1:
        _transform_rows(x.reshape(-1, m), out.reshape(-1, m), order, scale, n_threads)
        return
    if scale != 1.0 or out is not x:
        np.multiply(x, x.dtype.type(scale), out=out)
    _transform_levels(out.reshape(-1, m * columns), columns, order, n_threads)


def _transform_rows(x, out, order, scale, n_threads):
    """H_m of every row, in calls of bounded length."""
    n, m = x.shape
    if m <= _REALS_PER_CALL and (n_threads == 1 or n >= n_threads):
        for rows in _calls(n, m):
            hadamard.transform_rows(x[rows], out[rows], order, scale, n_threads)
        return
    # One row at a time: pieces of it, which n_threads share, and then across the pieces.
    size = m // order
    while size > _REALS_PER_PIECE or (n_threads > 1 and 8 * size > m):
        size //= 8
    for i in range(n):
        pieces, result = x[i].reshape(-1, size), out[i].reshape(-1, size)
        for rows in _calls(len(pieces), size):
            hadamard.transform_rows(pieces[rows], result[rows], 1, scale, n_threads)
        _transform_levels(out[i : i + 1], size, order, n_threads)


def _transform_levels(rows, size, order, n_threads):
    """H_(m / size) (x) I_size of every row of m entries, in place."""
    left = rows.shape[1] // size
    while left > 1:
        radix = order if left == order else _radix(left // order)
        groups = rows.reshape(-1, radix, size)
        for group in _calls(len(groups), radix * size):
            for columns in _calls(size, radix):
                hadamard.transform_columns(groups[group, :, columns], n_threads)
        size, left = size * radix, left // radix


def _radix(power):
    """2, 4 or 8, such that the radices to follow are all 8."""
    return (8, 2, 4)[(power.bit_length() - 1) % 3]


def _calls(count, reals):
    """Return slices of range(count), each for one kernel call of bounded length.

    Every member of the range stands for `reals` entries.
    """
    return blocks(count, _REALS_PER_CALL // reals)


def _axis(axis, ndim):
    """Return the axis counted from the front."""
    if ndim == 0:
        raise ValueError("x must have at least 1 dimension; got a scalar.")
    return integer(axis, "axis", minimum=-ndim, maximum=ndim - 1) % ndim


def _order(m, axis):
    """Return o of m = o 2^k."""
    for order in _ORDERS:
        power, rest = divmod(m, order)
        if rest == 0 and power > 0 and power & (power - 1) == 0:
            return order
    halves = [(order, _multiple(order, m) // 2) for order in _ORDERS]
    lower = max((half for order, half in halves if half >= order), default=None)
    remedy = f"The nearest are {lower} and {next_length(m)}." if m > 0 else "The smallest is 1."
    raise ValueError(
        f"x must have 2^k, or 12, 20 or 28 times 2^k, entries along axis {axis}; got {m}. {remedy}"
    )


def _multiple(order, m):
    """Return the smallest order * 2^k of at least m."""
    return order << max(0, (-(-m // order) - 1).bit_length())


def _empty(x):
    """Return an array for the result, unless it would not fit in memory."""
    if x.nbytes > _LARGE:
        require_memory(x.nbytes, "The result", "Pass out=x to transform in place.")
    return np.empty_like(x)


def _fits(out, x):
    """Whether the kernels may write to `out` while they read the contiguous x."""
    if not (out.flags.c_contiguous and out.flags.aligned and out.dtype.isnative):
        return False
    return not np.may_share_memory(out, x) or out.ctypes.data == x.ctypes.data
