"""Equal rows merged into one, and text told from numbers."""

import numpy as np
import scipy.sparse

from subquad.solvers import merge_repeats

REPEATED_ROWS = """
    Equal rows are merged into one with their total weight and mean target, which is the same
    least-squares problem. Leave-one-out still leaves out one row at a time. Weights that are
    whole numbers without a common divisor are counts: a weight of two and a row given twice give
    the same fit.
"""


def merge_duplicates(X, T, weights):
    """Return each distinct row of X once, its mean target and total weight, and its `Repeats`.

    sum_i w_i (f - t_i)^2 over equal rows is W (f - mean)^2 plus a constant, so the least-squares
    problem is the same, but its Gram matrix stays regular. Rows of weight 0 are left out.
    """
    return merge_observations(X, T, weights)[:-1]


def merge_observations(X, T, weights, merges=True):
    """Return what `merge_duplicates` does, and the place of each row of X: -1 if left out.

    Equal rows stay apart, in their order, unless it merges.
    """
    kept = weights > 0
    if merges:
        rows, points = _distinct(X[kept])
    else:
        rows, points = X[kept], np.arange(np.count_nonzero(kept))
    places = np.full(X.shape[0], -1)
    places[kept] = points.ravel()
    return rows, *merge_repeats(places[kept], T[kept], weights[kept]), places


def _distinct(X):
    """Return each distinct row of X once, and which of these each row is."""
    if not scipy.sparse.issparse(X):
        return np.unique(X, axis=0, return_inverse=True)
    seen, points = {}, np.empty(X.shape[0], dtype=np.intp)
    for i, (start, stop) in enumerate(zip(X.indptr[:-1], X.indptr[1:], strict=True)):
        row = X.indices[start:stop].tobytes(), X.data[start:stop].tobytes()
        points[i] = seen.setdefault(row, len(seen))
    first = np.unique(points, return_index=True)[1]
    return X[first], points


def holds_text(X):
    """Whether an array has entries that are not numbers."""
    try:
        np.asarray(X, dtype=np.float64)
    except ValueError:
        return True
    return False
