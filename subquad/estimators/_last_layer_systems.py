"""Gram matrices of the last hidden layer where a fit ended, within and across sets of rows."""

import numpy as np

from subquad._parallel import blocks
from subquad._products import gemm
from subquad._validation import require_memory
from subquad.jacobian import cross_gram
from subquad.networks import is_separable

# Cast the firing of so many neurons to float64 at a time.
_NEURONS_PER_BLOCK = 1024


def last_layer_systems(network, factors, V, X, n_threads):
    """Yield (outputs, G, K_*, diagonal) for the outputs of a network, coupled or one at a time.

    Parameters
    ----------
    network : WideNetwork
    factors : pair of ndarray
        (A, V'): the last hidden layer is changed by A^T V'.
    V : ndarray, shape (n, width)
        Inputs of that layer at the training rows.
    X : ndarray, shape (k, n_features)
        Rows of the network.
    n_threads : int
    """
    n, k, C = len(V), len(X), network.n_outputs
    separable = is_separable(network.readout)
    size = 1 if separable else C
    n_bytes = 8 * size**2 * (3 * n * n + 3 * n * k) + network.width * (10 * n + 26 * k)
    require_memory(n_bytes, f"Gram matrices of {n} and {k} rows", "Give fewer rows.")
    at_training = _side(network, factors, network._layer_above(V, n_threads))
    at_tests = _side(network, factors, network._last_layer(X, n_threads))
    a = network.readout.astype(np.float64) * network.activation.scale
    within, across = (cross_gram(side[0], at_training[0]) for side in (at_training, at_tests))
    squares = np.einsum("ij,ij->i", at_tests[0], at_tests[0], dtype=np.float64)
    fired = at_training[1], at_tests[1]
    if separable:
        for c in range(C):
            part = fired, a[c], a[c]
            prior = squares * (fired[1] @ a[c] ** 2)
            yield slice(c, c + 1), *_grams(within, across, *part), prior
        return
    G, K = np.empty((n, C, n, C)), np.empty((k, C, n, C))
    for c in range(C):
        for other in range(C):
            pair = _grams(within, across, fired, a[c], a[other])
            G[:, c, :, other], K[:, c, :, other] = pair
    prior = squares[:, None] * (fired[1] @ (a**2).T)
    yield slice(None), G.reshape(n * C, n * C), K.reshape(k * C, n * C), prior.ravel()


def _side(network, factors, layer):
    """(v_i, which neurons fire) of a set of rows under the changed weights."""
    A, V = factors
    Z = layer.preactivations + gemm(gemm(layer.features, V.T), A)
    return layer.features, network.activation._derivative(Z, layer.thresholds) > 0


def _grams(within, across, fired, a, b):
    """G and K_* of two outputs: inner products times sums of a_r b_r over neurons that fire."""
    at_training, at_tests = fired
    neurons = np.flatnonzero(a * b)
    counts, cross_counts = np.zeros_like(within), np.zeros_like(across)
    for some in blocks(len(neurons), _NEURONS_PER_BLOCK):
        block = neurons[some]
        D = at_training[:, block].astype(np.float64)
        weighted = D * (a * b)[block]
        counts += weighted @ D.T
        cross_counts += at_tests[:, block].astype(np.float64) @ weighted.T
    return within * counts, across * cross_counts
