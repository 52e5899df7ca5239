"""Factors u_i (x) v_i, and how far a sketch of their Gram matrix is from it."""

import numpy as np
import scipy.linalg
from numpy.typing import NDArray


def factors(n: int, m: int, seed: int, density: float = 0.1) -> NDArray[np.float64]:
    """Return U and V, (2, n, m): Gaussian, a tenth of the entries kept, no row empty."""
    rng = np.random.default_rng([seed, 3])
    kept = rng.random((2, n, m)) < density
    kept[:, :, 0] = True
    return rng.standard_normal((2, n, m)) * kept


def gram(U: NDArray, V: NDArray) -> NDArray:
    """Return J Jᵀ of the rows u_i (x) v_i."""
    return (U @ U.T) * (V @ V.T)


def whitened(G: NDArray, sketched: NDArray) -> NDArray:
    """Return the eigenvalues of G^-1/2 (sketched G) G^-1/2: squares of kept norms."""
    return scipy.linalg.eigh(sketched, G, eigvals_only=True)


def distortion(U: NDArray, V: NDArray, sketched: NDArray) -> float:
    """Return the largest error of |S Jᵀ x| / |Jᵀ x| over all x, that of norms."""
    squares = np.maximum(whitened(gram(U, V), sketched), 0.0)
    return float(np.abs(np.sqrt(squares) - 1).max())
