"""Rows that were transformed once for many products, and inner products of transformed rows."""

import numpy as np

from subquad._parallel import blocks

# One call of BLAS does at most this many multiply-adds, after which Ctrl-C is heard.
_MULTIPLY_ADDS_PER_CALL = 2**34


class Prepared:
    """The transforms of rows v_i by one sketch, as `prepare` returns them; slices take rows."""

    def __init__(self, transforms, dtype, sketch):
        self._transforms, self._sketch = transforms, sketch
        self.dtype = dtype

    @property
    def shape(self):
        """(n, m_v)."""
        return len(self._transforms), self._sketch.n_features[1]

    def __repr__(self):
        return f"Prepared(n={self.shape[0]}, dtype={self.dtype}, sketch={self._sketch!r})"

    def __getitem__(self, rows):
        return Prepared(self._transforms[rows], self.dtype, self._sketch)


def inner_products(P, Q):
    """Return P Q^T, by calls of bounded length; where Q is P, by half of the operations."""
    G = None
    for some in blocks(P.shape[1], _MULTIPLY_ADDS_PER_CALL // max(1, len(P) * len(Q))):
        part = P[:, some] @ (P if Q is P else Q)[:, some].T
        G = part if G is None else np.add(G, part, out=G)
    return G


def same_sketch(first, second):
    """Return whether two sketches are the same map."""
    if first is second:
        return True
    if type(first) is not type(second):
        return False
    mine, theirs = vars(first), vars(second)
    return all(_same(mine[key], theirs[key]) for key in mine)


def _same(x, y):
    if isinstance(x, tuple):
        return all(map(_same, x, y))
    return np.array_equal(x, y) if isinstance(x, np.ndarray) else x == y
