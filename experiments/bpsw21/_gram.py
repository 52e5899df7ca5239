"""The Gram matrix of a two-layer ReLU network, its limit, and the worst nearby weights."""

import numpy as np
from numpy.typing import NDArray


def limit(X: NDArray) -> NDArray:
    """Return K, equation (5), at unit rows: <x, x'> (pi - angle) / 2 pi."""
    cosines = np.clip(X @ X.T, -1, 1)
    return cosines * (np.pi - np.arccos(cosines)) / (2 * np.pi)


def gram(X: NDArray, W: NDArray) -> NDArray:
    """Return G = J Jᵀ for readouts of 1 or -1 over sqrt(m)."""
    fired = (X @ W.T >= 0).astype(float)
    return (X @ X.T) * (fired @ fired.T) / len(W)


def least(G: NDArray) -> float:
    """Return the least eigenvalue."""
    return float(np.linalg.eigvalsh(G)[0])


def near(X: NDArray, W: NDArray, radius: float) -> NDArray:
    """Return at which points a row of W can change sides when it moves by the radius."""
    return np.abs(X @ W.T) <= radius


def pushed(X: NDArray, W: NDArray, radius: float) -> NDArray:
    """Return W with each row moved by the radius, against the points it is nearest to.

    A row moves along the mean of the points at which it can change sides, turned so that it
    does: the best move where those points agree, and a good one otherwise.
    """
    return _moved(W, radius, -(near(X, W, radius) * np.sign(X @ W.T)).T @ X)


def fired(X: NDArray, W: NDArray, radius: float) -> NDArray:
    """Return W with rows moved by the radius so that they fire at more points, and no fewer.

    Nothing cancels in the Gram matrix then, whose entries are sums over the rows.
    """
    return _moved(W, radius, (near(X, W, radius) & (X @ W.T < 0)).astype(float).T @ X)


def _moved(W: NDArray, radius: float, directions: NDArray) -> NDArray:
    """W with rows moved along directions, those that are 0 left out."""
    norms = np.linalg.norm(directions, axis=1, keepdims=True)
    # A row exactly on the border would stay on it for half of the points.
    return W + 1.000001 * radius * directions / np.where(norms > 0, norms, 1.0)
