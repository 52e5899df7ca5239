"""The orders in which the rows of a Hadamard matrix of length 2^k are numbered."""

import functools
import math

import numpy as np

from subquad._parallel import blocks

ORDERS = ("natural", "sequency", "dyadic")
# Keep the positions of lengths up to this one, of 2 MB each: larger ones are computed anew.
_KEPT_LENGTH = 1 << 18
# Move this many reals in one call of numpy, during which Ctrl-C waits: a tenth of a second.
_REALS_PER_CALL = 1 << 24


def positions(order, m):
    """Return the p for which W x = H x[p], shape (m,), where row i of W is row q[i] of H.

    q[i] is i with its bits reversed in dyadic (Paley) order, and i ^ (i >> 1), the Gray code of i,
    with its bits reversed in sequency (Walsh) order. W is symmetric in both, so that
    W = W^T = H Q^T: the rows of H may be taken in another order, or else the entries of x.
    """
    return _kept(order, m) if m <= _KEPT_LENGTH else _computed(order, m)


def take(x, p, axis, out):
    """Put x[p], p along an axis, into `out`; both are contiguous and do not overlap."""
    shape = (math.prod(x.shape[:axis]), x.shape[axis], math.prod(x.shape[axis + 1 :]))
    x, out = x.reshape(shape), out.reshape(shape)
    n, m, columns = shape
    if m * columns <= _REALS_PER_CALL:
        for some in blocks(n, _REALS_PER_CALL // max(1, m * columns)):
            np.take(x[some], p, axis=1, out=out[some], mode="clip")
        return
    for i in range(n):
        for some in blocks(m, _REALS_PER_CALL // columns):
            np.take(x[i], p[some], axis=0, out=out[i, some], mode="clip")


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
