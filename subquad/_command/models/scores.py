"""How well a fit predicts, and how well ridge does on the network's own features."""

import time

import numpy as np

from subquad._command.models import linear
from subquad._parallel import blas_threads_for

# Ridge tries these penalties, as multiples of the mean eigenvalue of the centred Gram matrix.
PENALTIES = np.logspace(-8, 2, 21)


def of_fit(estimator, split):
    """Return the scores on the training and the test rows; None for a part without rows."""
    return _both(estimator, estimator.predict, split)


def of_ridge(estimator, split):
    """Return the scores of ridge on the features that the fitted layer reads.

    Leave-one-out chooses its penalty, which is returned with them, as are the seconds it took.
    """
    started = time.monotonic()
    with blas_threads_for(len(split.y)):
        F = _features(estimator, split.X)
        mean_eigenvalue = max(F.var(axis=0).sum(), np.finfo(np.float64).tiny)
        fit = linear.ridge_of_classes if hasattr(estimator, "classes_") else linear.ridge
        ridge = fit(F, split.y, mean_eigenvalue * PENALTIES)

    def predict(X):
        return ridge.predict(F if X is split.X else _features(estimator, X))

    both = _both(estimator, predict, split)
    return {**both, "penalty": ridge.penalty, "seconds": time.monotonic() - started}


def _features(estimator, X):
    """Hidden features (rows, width) that the last layer reads, in float64."""
    return estimator.network_.features(estimator._rows(X)).astype(np.float64)


def _both(estimator, predict, split):
    """Scores of a prediction function on both parts."""
    score = _accuracy if hasattr(estimator, "classes_") else _r2_and_rmse
    parts = {"train": (split.X, split.y), "test": (split.X_test, split.y_test)}
    return {name: score(y, predict(X)) if len(y) else None for name, (X, y) in parts.items()}


def measure(y, predicted, task):
    """Return the scores of predictions."""
    return _accuracy(y, predicted) if task == "classification" else _r2_and_rmse(y, predicted)


def _accuracy(y, predicted):
    """Fraction of rows predicted right."""
    return {"accuracy": float(np.mean(predicted == y))}


def _r2_and_rmse(y, predicted):
    """R^2 and the root mean squared error; None for what is undefined.

    R^2 needs a target that varies, and both need predictions that are finite.
    """
    if not np.isfinite(predicted).all():
        return {"r2": None, "rmse": None}
    rmse = float(np.sqrt(np.mean(np.square(y - predicted))))
    r2 = 1.0 - (rmse / float(np.std(y))) ** 2 if np.ptp(y) > 0 else None
    return {"r2": r2, "rmse": rmse}
