"""Equal rows merged into one, and text told from numbers."""

import numpy as np

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
        rows, points = np.unique(X[kept], axis=0, return_inverse=True)
    else:
        rows, points = X[kept], np.arange(np.count_nonzero(kept))
    places = np.full(len(X), -1)
    places[kept] = points.ravel()
    return rows, *merge_repeats(places[kept], T[kept], weights[kept]), places


def holds_text(X):
    """Whether an array has entries that are not numbers."""
    try:
        np.asarray(X, dtype=np.float64)
    except ValueError:
        return True
    return False
