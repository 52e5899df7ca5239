"""Kernels of two-layer networks with W = BC and W = ABC, and pushes of their weights."""

import numpy as np
from numpy.typing import NDArray

from subquad.networks import FactoredNetwork


def limit(V: NDArray) -> NDArray:
    """Return H_inf, equation (4), at rows v_i = C x_i of any norm: <v, v'> (pi - angle) / 2 pi."""
    norms = np.linalg.norm(V, axis=1)
    products = V @ V.T
    cosines = np.clip(products / np.outer(norms, norms), -1, 1)
    return products * (np.pi - np.arccos(cosines)) / (2 * np.pi)


def kernel(network: FactoredNetwork, X: NDArray, weights: NDArray | None = None) -> NDArray:
    """Return H, equation (5) or (21), at the weights B."""
    return network.jacobian(X, weights).gram()


def least(H: NDArray) -> float:
    """Return the least eigenvalue."""
    return float(np.linalg.eigvalsh(H)[0])


def norm(H: NDArray) -> float:
    """Return the spectral norm of a symmetric matrix."""
    return float(np.abs(np.linalg.eigvalsh(H)).max())


def drawn_kernels(network: FactoredNetwork, X: NDArray, n_draws: int, seed: int) -> NDArray:
    """Return H for n_draws draws of B, with the A and C of a network; shape (n_draws, n, n)."""
    rng = np.random.default_rng([seed, 10])
    draws = (rng.standard_normal(network.weights.shape) for _ in range(n_draws))
    return np.array([kernel(network, X, B) for B in draws])


def averaged_kernel(network: FactoredNetwork, X: NDArray, n_draws: int, seed: int) -> NDArray:
    """Return H_inf, equation (20), for the A and C of a network: H averaged over draws of B."""
    return drawn_kernels(network, X, n_draws, seed).mean(axis=0)


def pushed_rows(network: FactoredNetwork, X: NDArray, radius: float) -> NDArray:
    """Return B of W = BC whose rows of W move by the radius to where they fire more often.

    A row moves along the sum of the points at which it nearly fires, so that nothing cancels in H.
    """
    V, C = network.features(X), network.inner_matrix()
    Z = network.weights @ V.T
    sizes = np.linalg.norm(V @ C, axis=1)  # |v_i C|: a move of W by r along it moves z by more
    reach = radius * np.sum(V * V, axis=1) / sizes
    directions = ((Z < 0) & (Z >= -reach)) @ V
    lengths = np.linalg.norm(directions @ C, axis=1, keepdims=True)
    return network.weights + 1.000001 * radius * directions / np.where(lengths > 0, lengths, 1.0)


def pushed_all(network: FactoredNetwork, X: NDArray, radius: float, seed: int) -> NDArray:
    """Return B of W = ABC moved at random, so far that the row of W that moves most does by radius.

    B alone moves, so that rows cannot be pushed one by one.
    """
    change = np.random.default_rng([seed, 11]).standard_normal(network.weights.shape)
    moves = np.linalg.norm(network.outer_matrix() @ (change @ network.inner_matrix()), axis=1)
    return network.weights + radius / moves.max() * change
