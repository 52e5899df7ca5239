"""Gram matrices of all layers, and how far finite widths are from their limits."""

import numpy as np
from numpy.typing import NDArray

from experiments.szz24._network import Law, backward, draw, forward, readout


def layer_grams(X: NDArray, m: int, depth: int, law: Law, seed: int) -> list[NDArray]:
    """Return G_l / m = (U_l U_l^T) o (V_l V_l^T) / m for l = 1, ..., L."""
    weights = draw(X.shape[1], m, depth, seed)
    layers = forward(weights, X, law)
    rows = backward(weights, layers, law, readout(m, seed))
    return [
        (U @ U.T) * (layer.inputs @ layer.inputs.T) / m
        for U, layer in zip(rows, layers, strict=True)
    ]


def least_eigenvalues(X: NDArray, m: int, depth: int, law: Law, seed: int) -> list[float]:
    """Return the least eigenvalue of G_l / m for l = 1, ..., L."""
    return [float(np.linalg.eigvalsh(G)[0]) for G in layer_grams(X, m, depth, law, seed)]


def distance(H: NDArray, K: NDArray) -> float:
    """Return |H - K| over a quarter of the least eigenvalue of K: 1 is what the lemmas need."""
    return float(4 * np.linalg.norm(H - K, 2) / np.linalg.eigvalsh(K)[0])
