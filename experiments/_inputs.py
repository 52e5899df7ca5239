"""Data, labels and small formulas that several experiments share."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def sphere(n: int, d: int, seed: int) -> NDArray[np.float64]:
    """Return n points, uniform on the unit sphere of R^d, as rows."""
    X = np.random.default_rng([seed, 1]).standard_normal((n, d))
    return X / np.linalg.norm(X, axis=1, keepdims=True)


def signs(n: int, seed: int) -> NDArray[np.float64]:
    """Return n labels, each 1 or -1."""
    return np.random.default_rng([seed, 2]).choice([-1.0, 1.0], n)


def slope(x: Sequence[float], y: Sequence[float]) -> float:
    """Return the exponent p of the power law y ~ x^p by least squares on logarithms."""
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])
