"""Walsh-Hadamard transforms against the matrix."""

import functools

import numpy as np

from subquad.hadamard import fwht, next_length

from ..cases import target
from ..draws import as_float64, dtype_of

_ORDERS = (1, 12, 20, 28)
LENGTHS = [order << k for order in _ORDERS for k in range(7) if order << k <= 128]
_CIRCULANTS = {
    12: ("0++", "-++"),
    20: ("0+--+", "-++++"),
    28: ("0++--++", "+-++++-"),
}
_SIGNS = {"+": 1, "-": -1, "0": 0}


@functools.cache
def matrix(m):
    """H_m by its definition."""
    order = next(o for o in (12, 20, 28, 1) if m % o == 0 and (m // o) & (m // o - 1) == 0)
    H = np.ones((1, 1)) if order == 1 else _base(order)
    while len(H) < m:
        H = np.kron(H, np.array([[1.0, 1.0], [1.0, -1.0]]))
    return H


def _base(order):
    """H_o of a symmetric conference matrix of two circulants."""
    A, B = (
        np.array([np.roll([_SIGNS[sign] for sign in row], k) for k in range(len(row))])
        for row in _CIRCULANTS[order]
    )
    C, unit = np.block([[A, B], [B, -A]]), np.eye(order // 2)
    return np.block([[C + unit, C - unit], [C - unit, -C - unit]]).astype(float)


@target("hadamard.fwht", share=100)
def transform(draw, attempt):
    m, orthonormal = draw.choice(LENGTHS), draw.chance(0.3)
    axis = draw.between(0, 2)
    shape = [draw.size(9) for _ in range(axis)] + [m] + [draw.size(5)] * draw.between(0, 1)
    axis = axis if draw.chance(0.5) else axis - len(shape)
    x = draw.array(tuple(shape), finite=False)
    options = {"axis": draw.integer((axis,)), "orthonormal": orthonormal}
    if draw.chance(0.3):
        options["out"] = _destination(draw, x)
    if draw.chance(0.3):
        options["n_threads"] = draw.n_threads()
    given = np.array(x, copy=True) if isinstance(x, np.ndarray) else x
    out = options.get("out")
    attempt.may_change = isinstance(x, np.ndarray) and out is not None and _overlap(out, x)
    value = attempt(fwht, x, **options)
    if out is not None:
        attempt.holds(value is options["out"], "the value must be out")
    _check(attempt, given, value, options)


def _overlap(out, x):
    return isinstance(out, np.ndarray) and np.may_share_memory(out, x)


def _check(attempt, x, value, options):
    dtype, x = dtype_of(x), as_float64(x)
    axis = int(options["axis"])
    m = x.shape[axis]
    H = matrix(m) if x.size else np.zeros((m, m))
    H = H / np.sqrt(m) if options["orthonormal"] else H
    with np.errstate(all="ignore"):
        expected = np.moveaxis(np.tensordot(H, x, (1, axis)), 0, axis)
        size = np.moveaxis(np.tensordot(np.abs(H), np.abs(x), (1, axis)), 0, axis)
        # Butterflies make sums that overflow where the vector is nearly too long.
        size = np.where(np.isfinite(size), size, np.inf)
    attempt.close(value.astype(dtype), expected, size, 2 * m, dtype=dtype)


def _destination(draw, x):
    """An array for the result: new, x itself, overlapping it, or one that does not fit."""
    if not isinstance(x, np.ndarray) or draw.goes_wrong():
        draw.hostile = True
        return draw.choice(([], "out", np.empty(3), np.empty((2, 2), int), None))
    kind = draw.between(0, 3)
    if kind == 0:
        draw.hostile |= not x.flags.writeable or x.dtype.kind != "f"
        return x
    if kind == 1 and x.ndim == 2 and x.flags.writeable and x.dtype.kind == "f":
        return x[::-1]
    out = np.empty(x.shape, x.dtype)
    return out if kind == 2 else np.asfortranarray(out)


@target("hadamard.next_length", share=30)
def length(draw, attempt):
    m = draw.integer(range(1, 5000))
    value = attempt(next_length, m)
    lengths = [order << k for order in _ORDERS for k in range(110)]
    attempt.equal(value, min(each for each in lengths if each >= m))
