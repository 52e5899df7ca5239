"""Tangent kernels of finite networks, without their Jacobians."""

import numpy as np

from subquad._parallel import blocks, resolve_threads
from subquad._products import gemm
from subquad._validation import as_matrix, integer, require_memory

# The factors of all layers take at most so many bytes for one block of points.
_BYTES_PER_BLOCK = 2**27


def empirical_ntk(network, X, Y=None, layer=-1, *, output=0, n_threads=None):
    """Return the tangent kernel of a network: of one hidden layer, or of all.

    G_l = J_l J_l^T / m for the Jacobian J_l of an output with respect to W_l, whose rows are of
    rank one, so that G_l = (U U^T) o (V V^T) / m.

    Parameters
    ----------
    network : WideNetwork
        With weights as drawn.
    X : array_like, shape (n, n_features)
    Y : array_like, shape (k, n_features), optional
        X by default.
    layer : int or "all"
        l, from 1 to the depth, or counted back from -1, the last hidden layer. "all" is
        2 (G_1 + ... + G_L) + h_L h_L^T, with the part of the readout.
    output : int
        Which output of the network.
    n_threads : int or None
        Threads of the forward pass; BLAS keeps its own.

    Returns
    -------
    ndarray, shape (n, k), dtype of the network

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.
    MemoryError
        If the kernel does not fit.

    Notes
    -----
    As the width grows and for unit rows, the last layer's tends to `last_layer_ntk` and "all" to
    `ntk`, with relative errors of order 1 / sqrt(m Q(b)); divided by n_outputs for an output of a
    partitioned readout. The layers' division by their norms is part of the derivative.

    Points are taken in blocks whose factors fit 128 MiB; the blocks of Y are passed through the
    network once for each block of X. 2 n k m operations per layer.

    Examples
    --------
    >>> from subquad.activations import ReLU
    >>> from subquad.networks import WideNetwork
    >>> from subquad.ntk import last_layer_ntk
    >>> network = WideNetwork(2, width=4096, activation=ReLU(), rng=0)
    >>> G, limit = empirical_ntk(network, np.eye(2)), last_layer_ntk(np.eye(2), depth=2)
    >>> bool(abs(G - limit).max() < 0.05)
    True
    """
    depth, n_threads = _depth(network), resolve_threads(n_threads)
    output = integer(output, "output", minimum=0, maximum=network.n_outputs - 1)
    chosen = range(1, depth + 1) if _is_all(layer) else [_layer(layer, depth)]
    X = network._as_inputs(X)
    columns = (
        X if Y is None else as_matrix(Y, "Y", n_columns=network.n_features, dtype=network.dtype)
    )
    n_bytes = len(X) * len(columns) * network.dtype.itemsize
    remedy = "Give a block of rows as X and all of them as Y, one block after the other."
    require_memory(n_bytes, f"A kernel of shape {(len(X), len(columns))}", remedy)
    out = np.empty((len(X), len(columns)), network.dtype)
    n_factors = 2 * (depth + 1 - min(chosen)) + 2
    step = max(1, _BYTES_PER_BLOCK // (n_factors * network.width * network.dtype.itemsize))
    for rows in blocks(len(X), step):
        left = _factors(network, X[rows], output, chosen, n_threads)
        for others in blocks(len(columns), step):
            if Y is None and others.start < rows.start:
                continue
            same = Y is None and others == rows
            right = left if same else _factors(network, columns[others], output, chosen, n_threads)
            out[rows, others] = _kernel(left, right, network.width, _is_all(layer))
            if Y is None and not same:
                out[others, rows] = out[rows, others].T
    return out


def _kernel(left, right, width, all_layers):
    """The kernel between two blocks of points, from the factors (u, v) of each layer."""
    pairs, responses = zip(*(left, right), strict=True)
    total = 0.0
    for (U, V), (U_other, V_other) in zip(*pairs, strict=True):
        gram = gemm(U, U_other.T)
        gram *= gemm(V, V_other.T)
        total = total + gram
    total *= (2 if all_layers else 1) / width
    return total + gemm(responses[0], responses[1].T) if all_layers else total


def _factors(network, X, output, chosen, n_threads):
    """([(u_l, v_l) of the chosen layers], h_L) of a block of points."""
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


def _is_all(layer):
    return isinstance(layer, str) and layer == "all"


def _layer(layer, depth):
    """A layer counted from 1."""
    if isinstance(layer, str):
        raise ValueError(f"layer must be an integer or 'all'; got {layer!r}.")
    layer = integer(layer, "layer", minimum=-depth, maximum=depth)
    if layer == 0:
        raise ValueError(f"layer must be in [1, {depth}] or [-{depth}, -1]; got 0.")
    return layer if layer > 0 else depth + 1 + layer


def _depth(network):
    """Depth of a network of the one kind whose layers this file knows."""
    if not all(hasattr(network, name) for name in ("weights", "readout", "last_layer", "_apply")):
        raise TypeError(f"network must be a WideNetwork; got {type(network).__name__}.")
    return network.depth
