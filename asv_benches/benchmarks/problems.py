"""The problem that whole steps are timed on: the last layer of a random network, and targets."""

from dataclasses import dataclass

import numpy as np

from subquad.activations import ShiftedReLU

N_INPUTS = 16
ALPHA = 0.1


@dataclass
class Problem:
    """The fit of y by a phi(W v_i) in float32: V (n, m) has unit rows, Z0 = V W^T; W or None."""

    V: np.ndarray
    Z0: np.ndarray
    readout: np.ndarray
    y: np.ndarray
    activation: ShiftedReLU
    thresholds: np.ndarray
    W: np.ndarray | None


def step_problem(n, width, *, depth=3, with_weights=False, seed=0):
    """Return n random points of a sphere, with random targets, at the last of `depth` layers.

    The shift is that of alpha = 0.1 at this width. Unless W is asked for, Z0 = V W^T is drawn from
    its distribution.
    """
    rng = np.random.default_rng(seed)
    activation = ShiftedReLU.for_sparsity(ALPHA, width)
    std = np.sqrt(2 / width)
    H = unit_rows(rng.standard_normal((n, N_INPUTS)))
    for _ in range(depth - 1):
        Z = _products_with_gaussian(H, width, std, rng)
        H = unit_rows(activation(Z, activation.thresholds(np.ones(n), std)))
    V = H.astype(np.float32)
    W = None
    if with_weights:
        W = rng.standard_normal((width, width), np.float32)
        W *= np.float32(std)
        Z0 = V @ W.T
    else:
        Z0 = _products_with_gaussian(H, width, std, rng).astype(np.float32)
    readout = rng.choice(np.array([-1, 1], np.float32), width)
    y = rng.standard_normal(n).astype(np.float32)
    return Problem(V, Z0, readout, y, activation, activation.thresholds(np.ones(n), std), W)


def _products_with_gaussian(H, width, std, rng):
    """Return rows W h_i for W with independent N(0, std^2) entries, without drawing W.

    Given H, the n products of a neuron are normal with covariance std^2 H H^T.
    """
    eigenvalues, Q = np.linalg.eigh(H @ H.T)
    root = Q * np.sqrt(np.maximum(eigenvalues, 0))
    return std * (root @ rng.standard_normal((len(H), width)))


def unit_rows(X):
    """Return the rows divided by their norms."""
    return X / np.linalg.norm(X, axis=1, keepdims=True)
