"""The orders in which the rows of a Hadamard matrix of length 2^k are numbered."""

import functools
import math

import numpy as np

from subquad._parallel import blocks

ORDERS = ("natural", "sequency", "dyadic")
# Keep the positions of lengths up to this one, of 512 KB each: longer ones come from two of them.
_KEPT_LENGTH = 1 << 16
# Move this many reals in one call of numpy, during which Ctrl-C waits: a tenth of a second.
_REALS_PER_CALL = 1 << 24
# Take so many parts of a long vector at once: their entries of one column fill cache lines.
_PARTS = 32


def in_order(order, x, axis, out):
    """Put x[p], p = positions(order, m) along an axis, into `out`.

    Both are contiguous and do not overlap.
    """
    n, m, columns = shape = math.prod(x.shape[:axis]), x.shape[axis], math.prod(x.shape[axis + 1 :])
    x, out = x.reshape(shape), out.reshape(shape)
    if columns == 1 and m > _KEPT_LENGTH:
        for i in range(n):
            _long_in_order(order, x[i, :, 0], out[i, :, 0])
        return
    p = positions(order, m)
    if m * columns <= _REALS_PER_CALL:
        for some in blocks(n, _REALS_PER_CALL // max(1, m * columns)):
            np.take(x[some], p, axis=1, out=out[some], mode="clip")
        return
    for i in range(n):
        for some in blocks(m, _REALS_PER_CALL // columns):
            np.take(x[i], p[some], axis=0, out=out[i, some], mode="clip")


def _long_in_order(order, x, out):
    """`in_order` of one vector, through the cache: a transposition of parts that are in order.

    By the formula of `_joined`.
    """
    parts, size = _split(x.size)
    outer, inner = positions(order, parts), positions(order, size)
    x, out = x.reshape(parts, size), out.reshape(size, parts)
    for some in blocks(parts, _PARTS):
        rows = x[outer[some]]
        if order == "sequency":
            odd = outer[some] & 1 == 1
            rows[odd] = rows[odd, ::-1]
        out[:, some] = np.take(rows, inner, axis=1).T


def positions(order, m):
    """Return the p for which W x = H x[p], shape (m,), where row i of W is row q[i] of H.

    q[i] is i with its bits reversed in dyadic (Paley) order, and i ^ (i >> 1), the Gray code of i,
    with its bits reversed in sequency (Walsh) order. W is symmetric in both, so that
    W = W^T = H Q^T: the rows of H may be taken in another order, or else the entries of x.
    """
    return _kept(order, m) if m <= _KEPT_LENGTH else _joined(order, m)


def _split(m):
    """Two powers of two near sqrt(m) whose product is m."""
    size = 1 << (m.bit_length() // 2)
    return m // size, size


def _joined(order, m):
    """p for m = a b from those for a and b: p_m[i a + j] = b p_a[j] + p_b[i], i < b, j < a.

    Reversed, the high bits of a position are its low ones. In sequency order the reversed bits are
    then summed modulo 2 from the highest on: all of the lower ones are complemented where the sum
    of the higher ones, the lowest bit of p_b[i], is odd.
    """
    parts, size = _split(m)
    outer, inner = positions(order, parts), positions(order, size)[:, None]
    if order == "sequency":
        inner = inner ^ (outer & 1) * (size - 1)
    return (outer * size + inner).ravel()


def _computed(order, m):
    reversed_bits = np.zeros(1, np.intp)
    while reversed_bits.size < m:
        reversed_bits = np.concatenate([2 * reversed_bits, 2 * reversed_bits + 1])
    if order == "dyadic":
        return reversed_bits
    i = np.arange(m)
    p = np.empty(m, np.intp)
    p[reversed_bits[i ^ (i >> 1)]] = i
    return p


@functools.lru_cache(maxsize=16)
def _kept(order, m):
    p = _computed(order, m)
    p.flags.writeable = False
    return p
