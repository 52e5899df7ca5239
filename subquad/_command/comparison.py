"""How well a fit predicts, and the same of ridge on the network's own features."""

import time

import numpy as np

from subquad._command.ridge import fit_ridge, one_hot
from subquad._parallel import blas_threads_for


def scores(estimator, split):
    """Scores on the training and the test rows; None for a part without rows."""
    return _score_both(split, estimator.predict, hasattr(estimator, "classes_"))


def ridge(estimator, split):
    """Scores of ridge on the features the fitted layer reads, its penalty and its seconds."""
    started = time.monotonic()
    classes = getattr(estimator, "classes_", None)
    targets = split.y[:, None] if classes is None else one_hot(split.y, classes)
    with blas_threads_for(len(targets)):
        model = fit_ridge(_features(estimator, split.X), targets)

    def predict(X):
        outputs = model.predict(_features(estimator, X))
        return outputs[:, 0] if classes is None else classes[outputs.argmax(axis=1)]

    both = _score_both(split, predict, classes is not None)
    return {**both, "penalty": model.penalty, "seconds": time.monotonic() - started}


def _features(estimator, X):
    """Hidden features (rows, width) of the last layer's input, in float64."""
    return estimator.network_.features(estimator._rows(X)).astype(np.float64)


def _score_both(split, predict, classifies):
    """Scores of a prediction function on both parts."""
    score = _accuracy if classifies else _r2_and_rmse
    parts = {"train": (split.X, split.y), "test": (split.X_test, split.y_test)}
    return {name: score(y, predict(X)) if len(y) else None for name, (X, y) in parts.items()}


def _accuracy(y, predicted):
    """Fraction of rows predicted right."""
    return {"accuracy": float(np.mean(y == predicted))}


def _r2_and_rmse(y, predicted):
    """R^2, undefined for a constant target, and the root mean squared error."""
    squares, spread = np.mean(np.square(y - predicted)), np.var(y)
    r2 = 1 - squares / spread if spread > 0 else float("nan")
    return {"r2": float(r2), "rmse": float(np.sqrt(squares))}
