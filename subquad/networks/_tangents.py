"""The factors of a wide network's Jacobians: forward through the layers, and back."""

import numpy as np


def tangent_factors(network, X, output, chosen, n_threads):
    """Return ([(u_l, v_l) of the chosen layers, the last one first], h_L) of a block of points."""
    inputs, slopes, norms, H = [], [], [], X
    for W in network.weights:
        inputs.append(H)
        Z = network._apply(W, H, n_threads) if inputs[1:] else W._apply_dense(H, n_threads)
        thresholds = network.activation.thresholds(_norms(H), network.weight_std)
        slopes.append(network.activation._derivative(Z, thresholds))
        H = network.activation._apply(Z, thresholds, out=Z)
        norms.append(np.maximum(_norms(H), np.finfo(H.dtype).tiny)[:, None].astype(H.dtype))
        if len(inputs) < network.depth:
            H = H / norms[-1]
    U, pairs = slopes[-1] * network.readout[output], []
    for i in range(network.depth - 1, min(chosen) - 2, -1):
        if i + 1 in chosen:
            pairs.append((U, inputs[i]))
        if i + 1 > min(chosen):
            back = network.weights[i].apply_transposed(U)
            back -= inputs[i] * np.einsum("ij,ij->i", inputs[i], back)[:, None]
            U = slopes[i - 1] * (back / norms[i - 1])
    return pairs, H


def _norms(H):
    return np.sqrt(np.einsum("ij,ij->i", H, H, dtype=np.float64))
