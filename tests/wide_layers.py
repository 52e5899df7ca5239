"""Points, labels and last layers of wide networks, on which the theorem tests measure."""

import numpy as np
import pytest
from reference_network import sphere, unit_rows

from subquad.activations import ShiftedReLU
from subquad.networks import WideNetwork

KINDS = ["sphere", "digits"]


def points(kind, n, seed, d=16):
    """Return n unit rows: uniform on the sphere of R^d, or handwritten digits drawn at random."""
    rng = np.random.default_rng([seed, 99])
    if kind == "sphere":
        return sphere(n, d, rng)
    datasets = pytest.importorskip("sklearn.datasets")
    X = datasets.load_digits().data
    return unit_rows(X[rng.permutation(len(X))[:n]])


def signs(n, seed):
    """Return n labels, each 1 or -1."""
    return np.random.default_rng([seed, 98]).choice([-1.0, 1.0], n)


def last_layer(X, width, shift, seed, depth=2, activation=ShiftedReLU, dtype=np.float64, **kwargs):
    """Return the last layer of a fresh network on the rows of X."""
    network = WideNetwork(
        X.shape[1],
        width=width,
        depth=depth,
        activation=activation(shift),
        rng=seed,
        dtype=dtype,
        **kwargs,
    )
    return network.last_layer(X.astype(dtype))


def explicit_gram(layer, Z):
    """G = s^2 K o (D D^T) of a one-output layer at pre-activations Z, by dense products."""
    D = (Z > layer.thresholds[:, None]).astype(float)
    V = layer.features.astype(float)
    return layer.activation.scale**2 * (V @ V.T) * ((D * layer.readout**2) @ D.T)
