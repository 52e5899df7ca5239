"""Tangent kernels of finite networks, without their Jacobians."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from subquad._parallel import blocks, resolve_threads
from subquad._products import gemm
from subquad._validation import as_array, as_matrix, integer, require_memory
from subquad.ntk._of_jacobians import holds_jacobians, kernel_of_jacobians

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from subquad._ranks import Communicator
    from subquad._typing import FloatArray, Linearisable


# The factors of all layers take at most so many bytes for one block of points.
_BYTES_PER_BLOCK = 2**27


def empirical_ntk(
    network: Linearisable,
    X: ArrayLike | None = None,
    Y: ArrayLike | None = None,
    layer: int | str | None = None,
    *,
    output: int = 0,
    n_threads: int | None = None,
    comm: Communicator | None = None,
) -> FloatArray:
    """Return the tangent kernel of a network: of one hidden layer, or of all.

    G_l = J_l J_l^T for the Jacobian J_l of an output with respect to W_l, whose rows are of rank
    one, so that G_l = (U U^T) o (V V^T); divided by the width m for a `WideNetwork`, whose readout
    has entries of size 1.

    Parameters
    ----------
    network : WideNetwork, TwoLayerNetwork, FactoredNetwork or PairedNetwork
        With weights as drawn. Or a Jacobian, or a mapping of layer names to Jacobians, such as
        `interop.capture` returns.
    X : array_like, shape (n, n_features)
        For Jacobians, those of the points that the columns belong to: the kernel between train
        and test is ``empirical_ntk(J_train, J_test)``. The same points by default.
    Y : array_like, shape (k, n_features), optional
        X by default. None for Jacobians.
    layer : int, str or None
        Of a `WideNetwork`: l, from 1 to the depth, or counted back from -1, the last hidden layer
        and the default; "all" is 2 (G_1 + ... + G_L) + h_L h_L^T, with the part of the readout.
        Of a mapping: a name; "all", the sum over its layers, is the default. The others have one.
    output : int
        Which output of the network. Jacobians are taken as they are: with rows (sample, output),
        in this order, so are the rows and columns of the kernel.
    n_threads : int or None
        Threads of the forward pass; BLAS keeps its own.
    comm : mpi4py.MPI.Intracomm, optional
        Its ranks share the products with the implicit weights of a `WideNetwork`, each calling
        this with the same arguments; all else each of them does.

    Returns
    -------
    ndarray, shape (n, k)
        In the dtype of a `WideNetwork`, in float64 for all others.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described, or ranks of `comm` have different ones.
    MemoryError
        If the kernel does not fit.

    Notes
    -----
    As the width grows and for unit rows, the last layer's tends to `last_layer_ntk` and "all" to
    `ntk`, with relative errors of order 1 / sqrt(m Q(b)); divided by n_outputs for an output of a
    partitioned readout. The layers' division by their norms is part of the derivative.

    Points are taken in blocks whose factors fit 128 MiB; the blocks of Y are passed through the
    network once for each block of X. 2 n k m operations per layer. Jacobians of several layers:
    [SZZ24], Remark C.6.

    Examples
    --------
    >>> from subquad.activations import ReLU
    >>> from subquad.networks import WideNetwork
    >>> from subquad.ntk import last_layer_ntk
    >>> network = WideNetwork(2, width=4096, activation=ReLU(), rng=0)
    >>> G, limit = empirical_ntk(network, np.eye(2)), last_layer_ntk(np.eye(2), depth=2)
    >>> bool(abs(G - limit).max() < 0.05)
    True
    >>> J = network.jacobian(np.eye(2))
    >>> bool(np.allclose(empirical_ntk({"last": J}), 4096 * G))
    True
    """
    if comm is not None and not hasattr(network, "_shared"):
        raise ValueError(
            "comm must be None but for a WideNetwork, whose weights ranks can make; got a "
            f"{type(network).__name__}."
        )
    if holds_jacobians(network):
        if Y is not None or output != 0:
            raise TypeError("Y and output must be left out for Jacobians, which have their rows.")
        return kernel_of_jacobians(network, X, layer)
    if not hasattr(network, "jacobian"):
        raise TypeError(
            "network must be a network of subquad.networks, a Jacobian, or a mapping of names to "
            f"Jacobians; got {type(network).__name__}."
        )
    layer = -1 if layer is None else layer
    if hasattr(network, "_tangents"):
        X = network._as_inputs(X)
        if comm is not None:
            network, ranks = network._shared(X, comm)
            ranks.require_same(Y=None if Y is None else as_array(Y, "Y"), layer=(layer, output))
        return _of_wide_network(network, X, Y, layer, output, resolve_threads(n_threads))
    left = network.jacobian(X, layer=layer, output=output)
    return left.gram(None if Y is None else network.jacobian(Y, layer=layer, output=output))


def _of_wide_network(network, X, Y, layer, output, n_threads):
    """The kernel of a network whose layers are normalised, by blocks of points."""
    output = integer(output, "output", minimum=0, maximum=network.n_outputs - 1)
    chosen = range(1, network.depth + 1) if _is_all(layer) else [_number(network, layer)]
    columns = (
        X if Y is None else as_matrix(Y, "Y", n_columns=network.n_features, dtype=network.dtype)
    )
    n_bytes = len(X) * len(columns) * network.dtype.itemsize
    remedy = "Give a block of rows as X and all of them as Y, one block after the other."
    require_memory(n_bytes, f"A kernel of shape {(len(X), len(columns))}", remedy)
    out = np.empty((len(X), len(columns)), network.dtype)
    n_factors = 2 * (network.depth + 1 - min(chosen)) + 2
    step = max(1, _BYTES_PER_BLOCK // (n_factors * network.width * network.dtype.itemsize))
    for rows in blocks(len(X), step):
        left = network._tangents(X[rows], output, chosen, n_threads)
        for others in blocks(len(columns), step):
            if Y is None and others.start < rows.start:
                continue
            same = Y is None and others == rows
            right = left if same else network._tangents(columns[others], output, chosen, n_threads)
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


def _is_all(layer):
    return isinstance(layer, str) and layer == "all"


def _number(network, layer):
    """The number of a layer, counted from 1."""
    if isinstance(layer, str):
        raise ValueError(f"layer must be an integer or 'all'; got {layer!r}.")
    return network._layer_number(layer)
