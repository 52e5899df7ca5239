"""Gauss-Newton on the last layer, as Algorithm 2 with its sign corrected and no safeguard."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from experiments.szz24._network import Law, Layer, phi


def gauss_newton(
    layer: Layer, law: Law, a: NDArray, y: NDArray, steps: int, floor: float = 1e-8
) -> Iterator[tuple[NDArray, NDArray]]:
    """Yield Z and A of W_t = W(0) + A^T V, t = 0, 1, ..., until |f - y| <= floor |f_0 - y|."""
    K, Z, A = layer.inputs @ layer.inputs.T, layer.Z.copy(), np.zeros_like(layer.Z)
    first = None
    for _ in range(steps + 1):
        yield Z, A
        U = law.scale * (layer.thresholds[:, None] < Z) * a
        r = phi(Z, layer.thresholds, law) @ a - y
        first = first or np.linalg.norm(r)
        if np.linalg.norm(r) <= floor * first:
            return
        g = np.linalg.lstsq((U @ U.T) * K, r, rcond=1e-13)[0]
        A = A - g[:, None] * U
        Z = layer.Z + K @ A


def ratios(
    layer: Layer, law: Law, a: NDArray, y: NDArray, steps: int = 10, floor: float = 1e-8
) -> NDArray:
    """Return |f_{t+1} - y| / |f_t - y| of each step."""
    norms = [
        np.linalg.norm(phi(Z, layer.thresholds, law) @ a - y)
        for Z, _ in gauss_newton(layer, law, a, y, steps, floor)
    ]
    return np.array(norms[1:]) / np.array(norms[:-1])
