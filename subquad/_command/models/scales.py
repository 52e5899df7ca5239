"""Centres and scales of the columns of a matrix, as they are or as the target demands.

"plain": numbers get deviation 1, and the indicators of a column's categories a variance of 1
together, so that a column of ten categories weighs as much as one number. "learned": divided by
scales that make the targets likely under a wide network's kernel, learned on some of the rows.
"""

import numpy as np

# A rare indicator is not enlarged beyond what one of a sixteenth of the rows is.
LEAST_DEVIATION = 0.25
# Learn scales on so many rows at most, of so many columns at most: a step takes n^3 operations, and
# of 300 columns 60 steps find little.
ROWS = 768
COLUMNS = 100


def plain(encoding, X):
    """Return the encoding with plain scales, measured on the matrix X (n, d) that it gives."""
    scale = X.std(axis=0)
    constant = scale < 1e-12 * np.maximum(np.abs(X).max(axis=0), 1e-300)
    indicator, labels = encoding.is_indicator, encoding.labels
    for name in {label[0] for label, is_one in zip(labels, indicator, strict=True) if is_one}:
        block = [j for j, label in enumerate(labels) if label[0] == name and indicator[j]]
        scale[block] = max(np.sqrt(np.square(scale[block]).sum()), LEAST_DEVIATION)
    return encoding.scaled(X.mean(axis=0), np.where(constant & ~indicator, 1.0, scale))


def learned(encoding, X, y, seed, n_threads, most=ROWS):
    """Return the encoding with learned scales, and the constant coordinate that they came with."""
    from subquad.estimators import TRUSTED

    some = np.random.default_rng(seed).permutation(len(X))[:most]
    options = {"scale_features": "marginal_likelihood", "depth": 1, "n_threads": n_threads}
    kernel = TRUSTED["NTKRegressor"](**options).fit(X[some], y[some])
    scale = kernel.feature_scales_
    encoding = encoding.scaled(X.mean(axis=0), scale)
    size = np.sqrt(np.mean(np.square((X - encoding.center) / scale)))
    varying = np.mean(np.ptp(X[some], axis=0) > 0)
    return encoding, float(np.sqrt(varying) / size) if size > 0 else 1.0
