"""The orders in which the rows of a Hadamard matrix of length 2^k are numbered."""

import functools

import numpy as np

ORDERS = ("natural", "sequency", "dyadic")
# Keep the positions of lengths up to this one, of 2 MB each: larger ones are computed anew.
_KEPT_LENGTH = 1 << 18


def positions(order, m):
    """Return the p for which W x = H x[p], shape (m,), where row i of W is row q[i] of H.

    q[i] is i with its bits reversed in dyadic (Paley) order, and i ^ (i >> 1), the Gray code of i,
    with its bits reversed in sequency (Walsh) order. W is symmetric in both, so that
    W = W^T = H Q^T: the rows of H may be taken in another order, or else the entries of x.
    """
    return _kept(order, m) if m <= _KEPT_LENGTH else _computed(order, m)


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
