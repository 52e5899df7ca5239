"""The tangent kernel of a shifted-ReLU network on a finite set of points, and SGD in its space."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, ndtr, owens_t


def limit(X: NDArray, shift: float) -> NDArray:
    """Return K(x, x') = <x, x'> P(both fire) at unit rows, for infinitely many neurons."""
    r = np.clip(X @ X.T, -1, 1)
    with np.errstate(divide="ignore"):
        slopes = np.sqrt((1 - r) / (1 + r))
    return r * (ndtr(-shift) - 2 * owens_t(shift, slopes))


def cone(n: int, d: int, seed: int) -> NDArray[np.float64]:
    """Return n unit rows around one direction, whose R of Definition 1.1 is near sqrt(d)."""
    X = 0.5 * np.random.default_rng([seed, 4]).standard_normal((n, d)) / np.sqrt(d)
    X[:, 0] += 1
    return X / np.linalg.norm(X, axis=1, keepdims=True)


def spread(X: NDArray) -> float:
    """Return R of Definition 1.1 for the uniform distribution on the rows."""
    return float(np.sqrt(X.shape[1] * np.linalg.eigvalsh(X.T @ X / len(X))[-1]))


def logistic_path(
    K: NDArray, log_odds: NDArray, eta: float, n_steps: int, seed: int
) -> Iterator[tuple[int, float, NDArray]]:
    """Yield the point, its label and f before each step of SGD on the logistic loss.

    A step on the point i moves f at all points by -η l'(f_i) K[:, i]: it is the step of the weights
    of features with the kernel K, seen at the points. Labels are 1 with the given log-odds.
    """
    rng = np.random.default_rng([seed, 5])
    points, chance = rng.integers(len(K), size=n_steps), rng.random(n_steps)
    labels = np.where(chance < expit(log_odds[points]), 1.0, -1.0)
    f = np.zeros(len(K))
    for i, y in zip(points, labels, strict=True):
        yield i, y, f
        f = f + eta * y * expit(-y * f[i]) * K[:, i]


def excess(f: NDArray, log_odds: NDArray) -> float:
    """Return the mean logistic loss of f less that of the log-odds, labels averaged out."""
    p = expit(log_odds)
    gain = p * (np.logaddexp(0, -f) - np.logaddexp(0, -log_odds))
    return float(np.mean(gain + (1 - p) * (np.logaddexp(0, f) - np.logaddexp(0, log_odds))))
