"""Products with H_m along axes, by calls of the kernels; and the lengths that there are."""

from __future__ import annotations

import functools
import itertools
import math

import numpy as np

from subquad._kernels import hadamard
from subquad._parallel import blocks, resolve_worth
from subquad._validation import integer

# A length may have the order of one of these Hadamard matrices as a factor, beside a power of two.
_ORDERS = (1, 12, 20, 28)
# A kernel call transforms this many reals: a quarter of a second in float64, on one thread.
_REALS_PER_CALL = 1 << 26
# Give each thread at least this many reals, .2 ms of work: a thread that waits costs more.
_REALS_PER_THREAD = 1 << 20
# Cut a long vector into pieces of this many reals: 8 MB in float32, which the last cache holds.
_REALS_PER_PIECE = 1 << 21


def next_length(m: int) -> int:
    """Return the smallest length of at least m that `fwht` takes.

    Examples
    --------
    >>> next_length(100), next_length(4097)
    (112, 5120)
    """
    m = integer(m, "m")
    return min(_multiple(order, m) for order in _ORDERS)


def useful_threads(n_threads, n_reals):
    """Return how many threads to transform so many reals by; `n_threads` is checked in any case."""
    return resolve_worth(n_threads, n_reals, _REALS_PER_THREAD)


def transform(x, out, axes, scale, n_threads):
    """Put scale * H x along every one of some axes into `out`, which may be x.

    Both are contiguous; `n_threads` comes from `useful_threads`.
    """
    if x.size == 0:
        return
    for first, stop in _runs(x.shape, sorted(axes)) if len(axes) > 1 else [(axes[0], axes[0] + 1)]:
        _transform_run(x, out, first, stop, scale, n_threads)
        x, scale = out, 1.0


def transform_last(x, out, scale, n_threads, signs=None):
    """Put scale * H (signs * x) along the last axis into `out`, as `transform` does.

    `signs` is a contiguous vector of the dtype of x, or None.
    """
    m = x.shape[-1]
    order = order_of(m, x.ndim - 1)
    if x.size:
        rows, results = (x, out) if x.ndim == 2 else (x.reshape(-1, m), out.reshape(-1, m))
        _transform_rows(rows, results, order, scale, n_threads, signs)


def _runs(shape, axes):
    """Return the (first, stop) of axes that one product transforms.

    H_m (x) H_s = H_(m s) for s = 2^k, so axes that follow each other are one longer axis.
    """
    starts = [
        i
        for i, axis in enumerate(axes)
        if i == 0 or axis != axes[i - 1] + 1 or order_of(shape[axis], axis) > 1
    ]
    ends = itertools.pairwise([*starts, len(axes)])
    return [(axes[start], axes[end - 1] + 1) for start, end in ends]


def _transform_run(x, out, first, stop, scale, n_threads):
    """H x along the axes from `first` to `stop`, taken as one."""
    m = math.prod(x.shape[first:stop])
    order = order_of(m, first)
    columns = math.prod(x.shape[stop:])
    if columns == 1:
        _transform_rows(x.reshape(-1, m), out.reshape(-1, m), order, scale, n_threads)
        return
    if scale != 1.0 or out is not x:
        np.multiply(x, x.dtype.type(scale), out=out)
    _transform_levels(out.reshape(-1, m * columns), columns, order, n_threads)


def _transform_rows(x, out, order, scale, n_threads, signs=None):
    """H_m of every row, in calls of bounded length."""
    n, m = x.shape
    if m <= _REALS_PER_CALL and (n_threads == 1 or n >= n_threads):
        same = None if signs is None else signs[None]
        if n * m <= _REALS_PER_CALL:
            hadamard.transform_rows(x, out, order, scale, n_threads, same)
            return
        for rows in _calls(n, m):
            hadamard.transform_rows(x[rows], out[rows], order, scale, n_threads, same)
        return
    # One row at a time: pieces of it, which n_threads share, and then across the pieces.
    size = m // order
    while size > _REALS_PER_PIECE or (n_threads > 1 and 8 * size > m):
        size //= 8
    signs = None if signs is None else signs.reshape(-1, size)
    for i in range(n):
        pieces, result = x[i].reshape(-1, size), out[i].reshape(-1, size)
        for rows in _calls(len(pieces), size):
            some = None if signs is None else signs[rows]
            hadamard.transform_rows(pieces[rows], result[rows], 1, scale, n_threads, some)
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


def order_of(m, axis):
    """Return o of m = o 2^k, the length of an axis."""
    if order := _order(m):
        return order
    halves = [(order, _multiple(order, m) // 2) for order in _ORDERS]
    lower = max((half for order, half in halves if half >= order), default=None)
    remedy = f"The nearest are {lower} and {next_length(m)}." if m > 0 else "The smallest is 1."
    raise ValueError(
        f"x must have 2^k, or 12, 20 or 28 times 2^k, entries along axis {axis}; got {m}. {remedy}"
    )


@functools.lru_cache(maxsize=256)
def _order(m):
    """o of m = o 2^k, or 0 where there is none."""
    for order in _ORDERS:
        power, rest = divmod(m, order)
        if rest == 0 and power > 0 and power & (power - 1) == 0:
            return order
    return 0


def _multiple(order, m):
    """Return the smallest order * 2^k of at least m."""
    return order << max(0, (-(-m // order) - 1).bit_length())
