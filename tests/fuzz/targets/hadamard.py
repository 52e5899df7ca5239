"""Walsh-Hadamard transforms against the matrix."""

import functools
import math

import numpy as np

from subquad.hadamard import fwht, ifwht, next_length

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


def ordered(m, order):
    """H_m with its rows in another order."""
    H, k = matrix(m), max(1, m.bit_length() - 1)
    if order == "natural" or m == 1:
        return H
    rows = [i if order == "dyadic" else i ^ (i >> 1) for i in range(m)]
    return H[[int(f"{i:0{k}b}"[::-1], 2) for i in rows]]


@target("hadamard.fwht", share=100)
def transform(draw, attempt):
    _transform(draw, attempt, fwht)


@target("hadamard.ifwht", share=40)
def inverse(draw, attempt):
    _transform(draw, attempt, ifwht)


def _transform(draw, attempt, function):
    shape, along = _axes(draw)
    x = _array(draw, shape)
    axes = along.get("axes", (along.get("axis", -1),))
    options = along | _options(draw, x, shape, axes, function)
    if draw.chance(0.3):
        options["out"] = _destination(draw, x)
    if draw.chance(0.3):
        options["n_threads"] = draw.n_threads()
    given = np.array(x, copy=True) if isinstance(x, np.ndarray) else x
    out = options.get("out")
    attempt.may_change = isinstance(x, np.ndarray) and out is not None and _overlap(out, x)
    value = attempt(function, x, **options)
    if out is not None:
        attempt.holds(value is options["out"], "the value must be out")
    _check(attempt, given, value, options, function)


def _axes(draw):
    """A shape, and the axis or axes of it to transform."""
    if draw.chance(0.7):
        axis = draw.between(0, 2)
        shape = [draw.size(9) for _ in range(axis)] + [draw.choice(LENGTHS)]
        shape += [draw.size(5)] * draw.between(0, 1)
        axis = axis if draw.chance(0.5) else axis - len(shape)
        return tuple(shape), {"axis": draw.integer((axis,))}
    shape = [draw.choice((1, 2, 4, 8, 12)) for _ in range(draw.between(1, 3))]
    axes = draw.random.sample(range(len(shape)), draw.between(1, len(shape)))
    return tuple(shape), {
        "axes": draw.option((tuple(axes), axes, tuple(i - len(shape) for i in axes)))
    }


def _array(draw, shape):
    """Floats, or numbers of the other dtypes that are taken."""
    x = draw.array(shape, finite=False)
    dtype = getattr(x, "dtype", np.dtype(bool))
    taken = dtype.name in ("float16", "int64")
    other = dtype.kind == "f" and draw.chance(0.2)
    if (taken or other) and draw.wrong == "of a wrong dtype":
        draw.wrong = None
    if not other:
        return x
    kind = draw.choice(("f2", "i4", "i8"))
    with np.errstate(all="ignore"):
        if kind == "f2":
            draw.extreme = True
            return x.astype(kind)
        x = np.clip(np.nan_to_num(x), -100, 100) * draw.choice((1, 100, 2**20, 2**50))
        draw.hostile |= bool(np.abs(x).sum() > 2**30)
        return x.astype(kind)


def _options(draw, x, shape, axes, function):
    """How to scale, number the rows, and multiply."""
    options = {}
    whole = getattr(x, "dtype", np.dtype(bool)).kind not in "f"
    if function is ifwht and whole:
        options["norm"] = draw.option(("forward",))
    elif draw.chance(0.5) and not whole:
        options["norm"] = draw.option((None, "backward", "ortho", "forward"))
    elif draw.chance(0.3) and function is fwht and not whole:
        options["orthonormal"] = draw.chance(0.9)
    if draw.chance(0.3):
        options["order"] = draw.option(("natural", "sequency", "dyadic"))
        draw.hostile |= any(n % 3 == 0 or n % 5 == 0 or n % 7 == 0 for n in shape)
    if draw.chance(0.3):
        options["signs"] = _signs(draw, shape, axes, whole, function)
    return options


def _signs(draw, shape, axes, whole, function):
    try:
        lengths = tuple(shape[int(axis)] for axis in axes) or (3,)
    except (TypeError, ValueError, IndexError, OverflowError, np.ma.MAError):
        lengths = (3,)  # there are no such axes
    if whole or draw.chance(0.5):
        signs = np.where(np.asarray(draw.values(lengths, scales=False)) > 0, 1, -1)
        return draw.option((signs, signs.astype(np.int8), signs.astype(float), signs.tolist()))
    signs = draw.array(lengths, scales=False)
    draw.hostile |= function is ifwht and not np.all(np.asarray(signs, object))
    if isinstance(signs, np.ndarray) and signs.dtype.kind in "iuf":
        draw.wrong = None if draw.wrong == "of a wrong dtype" else draw.wrong
    return signs


def _overlap(out, x):
    return isinstance(out, np.ndarray) and np.may_share_memory(out, x)


def _check(attempt, x, value, options, function):
    dtype, given = dtype_of(x), np.asarray(x)
    axes = options.get("axes")
    axes = [int(axis) for axis in ((options.get("axis", -1),) if axes is None else axes)]
    if given.size == 0:
        attempt.holds(value.shape == given.shape and value.dtype == dtype, "the shape must stay")
        return
    exact = given.dtype.kind == "i"
    m = math.prod(given.shape[axis] for axis in axes)
    x = given.astype(np.int64) if exact else as_float64(given)
    with np.errstate(all="ignore"):
        expected = _defined(x, axes, m, options, function)
        if exact:  # sums modulo 2^64 of numbers that fit
            attempt.equal(value.astype(dtype), expected.astype(dtype))
            return
        size = _defined(np.abs(x), axes, m, options, function, np.abs)
        # Butterflies make sums that overflow where the vector is nearly too long.
        size = np.where(np.isfinite(size), size, np.inf)
    attempt.close(value.astype(dtype), expected, size, 2 * m, dtype=dtype)


def _defined(x, axes, m, options, function, of_entries=lambda a: a):
    """The transform by its matrices."""
    norm = "ortho" if options.get("orthonormal") else options.get("norm") or "backward"
    power = {"backward": 0, "ortho": -0.5, "forward": -1}[norm]
    power = -1 - power if function is ifwht else power
    diagonal = 1
    if options.get("signs") is not None:
        signs = of_entries(np.asarray(options["signs"]).astype(x.dtype))
        places = [axis % x.ndim for axis in axes]
        signs = np.transpose(signs, np.argsort(places))
        diagonal = signs.reshape([n if i in places else 1 for i, n in enumerate(x.shape)])
    x = x * diagonal if function is fwht else x
    for axis in axes:
        H = of_entries(ordered(x.shape[axis], options.get("order", "natural"))).astype(x.dtype)
        x = np.moveaxis(np.tensordot(H, x, (1, axis)), 0, axis)
    x = x * float(m) ** power if power else x
    if function is fwht:
        return x
    return x * diagonal if x.dtype.kind == "i" else x / diagonal  # 1 / s = s


def _destination(draw, x):
    """An array for the result: new, x itself, overlapping it, or one that does not fit."""
    if not isinstance(x, np.ndarray) or draw.goes_wrong():
        draw.hostile = True
        return draw.choice(([], "out", np.empty(3), np.empty((2, 2), int), None))
    kind = draw.between(0, 3)
    if kind == 0:
        draw.hostile |= not x.flags.writeable
        return x
    if kind == 1 and x.ndim == 2 and x.flags.writeable:
        return x[::-1]
    out = np.empty(x.shape, x.dtype)
    return out if kind == 2 else np.asfortranarray(out)


@target("hadamard.next_length", share=30)
def length(draw, attempt):
    m = draw.integer(range(1, 5000))
    value = attempt(next_length, m)
    lengths = [order << k for order in _ORDERS for k in range(110)]
    attempt.equal(value, min(each for each in lengths if each >= m))
