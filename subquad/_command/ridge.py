"""Ridge regression on given features, the baseline of every fit; leave-one-out sets its penalty.

With centred features F = U S P^T and centred targets, ridge has the hat matrix
H = 1/n + U diag(s^2 / (s^2 + penalty)) U^T and leave-one-out residuals (y - H y) / (1 - diag H).
One eigendecomposition of the smaller of F F^T and F^T F serves every penalty and every target.
"""

from dataclasses import dataclass

import numpy as np

PENALTIES = np.logspace(-8, 2, 21)
SMALLEST_EIGENVALUE = 1e-12


@dataclass(frozen=True)
class Ridge:
    """A fitted ridge: predictions are ``(F - centre) @ coefficients + intercept``."""

    centre: np.ndarray
    coefficients: np.ndarray
    intercept: np.ndarray
    penalty: float

    def predict(self, F):
        """Predicted targets (rows, C) of feature rows."""
        return (F - self.centre) @ self.coefficients + self.intercept


def fit_ridge(F, targets):
    """Fit targets (n, C) on features (n, m), with penalties from 1e-8 to 100 mean eigenvalues."""
    centre, intercept = F.mean(axis=0), targets.mean(axis=0)
    F, Y = F - centre, targets - intercept
    U, eigenvalues = _left_singular(F)
    rotated = U.T @ Y
    scale = eigenvalues.sum() / len(F)
    penalties = scale * PENALTIES
    shrinks = eigenvalues[:, None] / (eigenvalues[:, None] + penalties)
    leverages = 1 / len(F) + np.square(U) @ shrinks
    errors = [
        np.mean(np.square((Y - U @ (shrink[:, None] * rotated)) / (1 - leverage)[:, None]))
        for shrink, leverage in zip(shrinks.T, leverages.T, strict=True)
    ]
    penalty = penalties[int(np.argmin(errors))]
    coefficients = F.T @ (U @ (rotated / (eigenvalues + penalty)[:, None]))
    return Ridge(centre, coefficients, intercept, float(penalty))


def one_hot(y, classes):
    """Targets +1 for the row's class and -1 for the others, one column per class."""
    return np.where(y[:, None] == classes, 1.0, -1.0)


def _left_singular(F):
    """U and s^2 of F, from the smaller Gram matrix; directions without weight are left out."""
    n, m = F.shape
    eigenvalues, vectors = np.linalg.eigh(F @ F.T if n <= m else F.T @ F)
    kept = eigenvalues > SMALLEST_EIGENVALUE * max(eigenvalues[-1], np.finfo(float).tiny)
    eigenvalues, vectors = eigenvalues[kept], vectors[:, kept]
    return (vectors if n <= m else F @ vectors / np.sqrt(eigenvalues)), eigenvalues
