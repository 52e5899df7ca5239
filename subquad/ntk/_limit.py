"""Kernels of infinitely wide networks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from subquad._parallel import resolve_threads
from subquad._shapes import MAX_DEPTH
from subquad._validation import integer
from subquad.ntk._dual import as_dual
from subquad.ntk._panels import limit_kernels
from subquad.ntk._points import as_points
from subquad.ntk._shared import shared_kernels

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

    from subquad._ranks import Communicator
    from subquad._typing import FloatArray, MatrixLike
    from subquad.ntk._dual import DualLike


def layer_kernels(
    X: MatrixLike,
    Y: MatrixLike | None = None,
    depth: int = 1,
    activation: DualLike | None = None,
    *,
    dtype: DTypeLike | None = None,
    n_threads: int | None = None,
    comm: Communicator | None = None,
) -> FloatArray:
    """Return the covariances K_0, ..., K_L of the layers of an infinitely wide network.

    K_0 = X Y^T,  K_l = 2 E phi(u) phi(v)  with (u, v) ~ N(0, K_{l-1}) for each pair of points.

    Parameters
    ----------
    X : array_like or sparse array, shape (n, d)
    Y : array_like or sparse array, shape (k, d), optional
        X by default; the kernels are then symmetric, and half as much work.
    depth : int
        L, the number of hidden layers.
    activation : activation of subquad, DualActivation or callable, optional
        ReLU by default.
    dtype : float32 or float64, optional
        In which points are multiplied and kernels are stored, that of X by default. Everything
        between is computed in float64.
    n_threads : int or None
        Threads of the compiled kernel; BLAS keeps its own. Results do not depend on it.
    comm : mpi4py.MPI.Intracomm, optional
        Its ranks make blocks of 256 rows, each calling this with the same arguments; all then have
        the whole kernels, the same bits whatever their number is. Without `comm`, products of
        other shapes may round differently.

    Returns
    -------
    ndarray, shape (L + 1, n, k)

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described, no neuron would fire on some row, or ranks of `comm`
        have different arguments.
    MemoryError
        If the kernels do not fit.

    Notes
    -----
    One matrix product for all layers. For unit rows this is the limit of the layers of a
    `WideNetwork`, which divides each by its norm; for others the norms of the rows, which
    relative thresholds keep from layer to layer.

    A correlation next to 1 or -1 has lost the angle of its points: near duplicates get theirs from
    the rows themselves, and layers hand on chords, not correlations. For rows whose chords are 1e-8
    or more, kernels are good to 1e-12 of sqrt(K_ii K_jj) in float64, and to about 1e-6 in float32,
    at every depth and shift tested (up to 50 layers, and shift 4). Equal rows have the value at
    angle 0 exactly, and so have rows at angles up to 4 rounding errors (9e-16 in float64), which
    scaling to unit length may have made. Nearer than 1e-8, rounding of the rows themselves matters
    where layers magnify angles: by sqrt(2 c Q(b)) each for `ShiftedReLU`, 2.0 at shift 2, and
    `ThresholdedReLU` takes small angles to their square roots.

    Norms of rows factor out for relative thresholds, and otherwise where all rows have one norm;
    each pair of points then takes one short polynomial per kernel. Where they do not, a pair takes
    some 20 microseconds per layer, and a callable a hundred times as long. Tables are made once for
    each activation and depth, in milliseconds for a few layers and seconds for 50.

    [SZZ24], Definition E.3.

    Examples
    --------
    >>> import numpy as np
    >>> K = layer_kernels(np.eye(2), depth=2)
    >>> np.round(K[:, 0, 1], 6)
    array([0.      , 0.31831 , 0.493731])
    """
    depth = integer(depth, "depth", maximum=MAX_DEPTH)
    kinds = range(depth + 1)
    return _kernels(X, Y, depth, activation, kinds, dtype, n_threads, comm)


def last_layer_ntk(
    X: MatrixLike,
    Y: MatrixLike | None = None,
    depth: int = 1,
    activation: DualLike | None = None,
    *,
    dtype: DTypeLike | None = None,
    n_threads: int | None = None,
    comm: Communicator | None = None,
) -> FloatArray:
    """Return K_{L-1} o E phi'(u) phi'(v): the tangent kernel of the last hidden layer over m.

    Parameters
    ----------
    X, Y, depth, activation, dtype, n_threads, comm
        As in `layer_kernels`.

    Returns
    -------
    ndarray, shape (n, k)
        The limit of G / m for the Gram matrix G of the last hidden layer's Jacobian, width m.

    Notes
    -----
    [SZZ24], Definition E.3. Departures: the printed kernel of the last layer lacks the factor
    K_{L-1}, and its Lemma E.5 the factor m.

    Examples
    --------
    >>> import numpy as np
    >>> last_layer_ntk(np.eye(2), depth=2).round(6)
    array([[0.5     , 0.095989],
           [0.095989, 0.5     ]])
    """
    depth = integer(depth, "depth", maximum=MAX_DEPTH)
    return _kernels(X, Y, depth, activation, ["last"], dtype, n_threads, comm)[0]


def ntk(
    X: MatrixLike,
    Y: MatrixLike | None = None,
    depth: int = 1,
    activation: DualLike | None = None,
    *,
    dtype: DTypeLike | None = None,
    n_threads: int | None = None,
    comm: Communicator | None = None,
) -> FloatArray:
    """Return the tangent kernel of all layers, Theta_L, of an infinitely wide network.

    Theta_0 = K_0,  Theta_l = Theta_{l-1} o 2 E phi'(u) phi'(v) + K_l

    Parameters
    ----------
    X, Y, depth, activation, dtype, n_threads, comm
        As in `layer_kernels`.

    Returns
    -------
    ndarray, shape (n, k)

    Notes
    -----
    The kernel of Jacot, Gabriel and Hongler (2018), with weights of variance 2 over the inputs of a
    layer and no biases: that of hidden layers, 2 / m times the Gram matrix of their Jacobians, plus
    K_L, that of the readout. Its diagonal is (L + 1) ||x||^2 for ReLU.

    Examples
    --------
    >>> import numpy as np
    >>> ntk(np.eye(2), depth=2).round(6)
    array([[3.      , 0.685709],
           [0.685709, 3.      ]])
    """
    depth = integer(depth, "depth", maximum=MAX_DEPTH)
    return _kernels(X, Y, depth, activation, ["ntk"], dtype, n_threads, comm)[0]


def _kernels(X, Y, depth, activation, kinds, dtype, n_threads, comm):
    """Kernels of the given kinds, shape (n_kinds, n, k)."""
    dual, n_threads = as_dual(activation), resolve_threads(n_threads)
    left = as_points(X, "X", dtype=dtype)
    right = None
    if Y is not None:
        right = as_points(Y, "Y", dtype=left.dtype, n_columns=left.n_columns, dense=not left.sparse)
        if left.sparse and not right.sparse:
            left = as_points(X, "X", dtype=dtype, dense=True)
    data = left, right, dual, depth, list(kinds), n_threads
    return limit_kernels(*data) if comm is None else shared_kernels(comm, *data)
