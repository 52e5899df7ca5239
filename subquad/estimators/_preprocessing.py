"""From a raw table to the rows and targets of a network. Plain arrays, so that models are data."""

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


def weighted_moments(A, weights):
    """Return mean and standard deviation of the columns; 1 for a deviation that is rounding."""
    size = np.abs(A).max(axis=0)
    size[size == 0] = 1.0  # in units of it no square overflows or underflows
    mean = np.average(A / size, axis=0, weights=weights)
    std = np.sqrt(np.average(np.square(A / size - mean), axis=0, weights=weights))
    return mean * size, np.where(std > 1e-12, std * size, 1.0)


def root_mean_square(A, weights):
    """Return sqrt(mean A_ij^2), the rows weighted."""
    size = np.abs(A).max() or 1.0
    squares = np.square(A / size).mean(axis=1)
    return float(size * np.sqrt(np.average(squares, weights=weights)))


def holds_text(X):
    """Whether an array has entries that are no numbers."""
    try:
        np.asarray(X, dtype=np.float64)
    except ValueError:
        return True
    return False


def unit_rows(X, center, scale, constant):
    """Return ((X - center) / scale, constant), each row divided by its norm."""
    rows = np.empty((len(X), X.shape[1] + 1))
    np.divide(X - center, scale, out=rows[:, :-1])
    rows[:, -1] = constant
    largest = np.abs(rows).max(axis=1, keepdims=True)
    rows /= np.where(largest > 0, largest, 1.0)  # so that no square overflows
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    rows /= np.where(norms > 0, norms, 1.0)
    return rows
