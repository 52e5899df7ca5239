"""Equal rows merged into one, and text told from numbers."""

import numpy as np


def merge_duplicates(X, T, weights):
    """Return each distinct row of X once, with its total weight and its weighted mean target.

    sum_i w_i (f - t_i)^2 over equal rows is W (f - mean)^2 plus a constant, so the least-squares
    problem is the same; but its Gram matrix stays regular, and leave-one-out leaves out a row with
    all its copies, which makes a weight of two and a row given twice one and the same.
    """
    kept = weights > 0
    X, T, weights = X[kept], T[kept], weights[kept]
    rows, group = np.unique(X, axis=0, return_inverse=True)
    group = group.ravel()
    total = np.bincount(group, weights, minlength=len(rows))
    mean = np.column_stack(
        [np.bincount(group, weights * column, minlength=len(rows)) / total for column in T.T]
    )
    return rows, mean, total


def holds_text(X):
    """Whether an array has entries that are no numbers."""
    try:
        np.asarray(X, dtype=np.float64)
    except ValueError:
        return True
    return False
