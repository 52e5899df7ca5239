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
    mean = np.average(A, axis=0, weights=weights)
    std = np.sqrt(np.average(np.square(A - mean), axis=0, weights=weights))
    rounding = 1e-12 * np.abs(A).max(axis=0)
    return mean, np.where(std > rounding, std, 1.0)


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
