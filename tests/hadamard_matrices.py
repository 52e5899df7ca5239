"""Hadamard matrices and transforms by their definitions, for the tests of the transforms."""

import numpy as np
import scipy.linalg

FIRST_ROWS = {  # of the circulants A and B
    12: ([0, 1, 1], [-1, 1, 1]),
    20: ([0, 1, -1, -1, 1], [-1, 1, 1, 1, 1]),
    28: ([0, 1, 1, -1, -1, 1, 1], [1, -1, 1, 1, 1, 1, -1]),
}
ORDERS = (1, *FIRST_ROWS)
LENGTHS = sorted(order << k for order in ORDERS for k in range(20))


def split(m):
    """(order, 2^k) with m = order 2^k."""
    return next((order, m // order) for order in ORDERS if m % order == 0 and power(m // order))


def power(size):
    return size > 0 and size & (size - 1) == 0


def of_order(order):
    """The matrix of order 1, 12, 20 or 28."""
    if order == 1:
        return np.ones((1, 1))
    A, B = (scipy.linalg.circulant(row) for row in FIRST_ROWS[order])
    C, identity = np.block([[A, B], [B, -A]]), np.eye(order // 2)
    return np.block([[C + identity, C - identity], [C - identity, -C - identity]])


def matrix(m):
    """H_m."""
    order, size = split(m)
    return np.kron(of_order(order), scipy.linalg.hadamard(size))


def butterfly(x, size):
    """H_size of every `size` entries of the rows of x, in the dtype of x, level by level."""
    x = x.copy()
    stride = 1
    while stride < size:
        pairs = x.reshape(-1, 2, stride)
        pairs[:] = np.stack([pairs[:, 0] + pairs[:, 1], pairs[:, 0] - pairs[:, 1]], axis=1)
        stride *= 2
    return x
