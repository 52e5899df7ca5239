"""Folds of rows: (those to fit on, those held out), which are those that scikit-learn makes."""

import numpy as np


def plain(n, n_folds, order=None):
    """Return folds of consecutive rows out of n, or of rows that are consecutive in an order."""
    order = np.arange(n) if order is None else order
    return _folds(n, np.array_split(order, n_folds))


def stratified(y, n_folds):
    """Return folds in each of which a class is as frequent as in y, to within one row."""
    _, first, labels = np.unique(y, return_index=True, return_inverse=True)
    labels = np.argsort(np.argsort(first))[labels]  # numbered as they first come
    ordered, held_out = np.sort(labels), [[] for _ in range(n_folds)]
    shares = [np.bincount(ordered[i::n_folds], minlength=len(first)) for i in range(n_folds)]
    for label, counts in enumerate(np.transpose(shares)):
        parts = np.split(np.flatnonzero(labels == label), np.cumsum(counts)[:-1])
        for rows, part in zip(held_out, parts, strict=True):
            rows.extend(part)
    return _folds(len(y), held_out)


def _folds(n, held_out):
    """The folds whose rows are held out, both sides in order."""
    every = np.arange(n)
    return [(np.setdiff1d(every, rows), np.sort(rows)) for rows in held_out]
