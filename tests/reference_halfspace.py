"""The half-space report as a loop over all points: [QSY23], Algorithm 2, QUERY(a, b)."""

import itertools

import numpy as np


def inner_products(points, a):
    """<x, a> of every row, rounded after every product and every sum, coordinate by coordinate."""
    a = np.asarray(a, points.dtype)
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        total = points[:, 0] * a[0]
        for j in range(1, points.shape[1]):
            total = total + points[:, j] * a[j]
    return total


def half_space(points, a, b):
    """Indices and inner products of the points with <x, a> >= b, which are all for b = -inf.

    Otherwise a product that overflowed to NaN is not among them, nor is a row of NaN ever.
    """
    total = inner_products(points, a)
    with np.errstate(invalid="ignore"):
        hits = total.astype(np.float64) >= b
    indices = np.flatnonzero(hits if b != -np.inf else ~np.isnan(points[:, 0]))
    return indices, total[indices]


class Model:
    """A set of points that changes: rows by index, NaN where there is none."""

    def __init__(self, points):
        self.rows = points.copy()

    def __len__(self):
        return int(self.there().size)

    def there(self):
        """The indices of the points."""
        return np.flatnonzero(~np.isnan(self.rows[:, 0]))

    def insert(self, points):
        first = len(self.rows)
        self.rows = np.concatenate([self.rows, points])
        return np.arange(first, len(self.rows))

    def delete(self, indices):
        self.rows[indices] = np.nan

    def update(self, indices, points):
        self.rows[indices] = points

    def query(self, a, b):
        """Indices and inner products, as `half_space`."""
        return half_space(self.rows, a, b)


def rows_of(indptr, indices, values):
    """The (indices, values) of every row of a CSR triple."""
    return [(indices[i:j], values[i:j]) for i, j in itertools.pairwise(indptr)]
