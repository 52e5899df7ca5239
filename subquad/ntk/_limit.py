"""Kernels of infinitely wide networks, a panel of rows at a time."""

import numpy as np

from subquad._kernels import dual_activation
from subquad._parallel import resolve_threads
from subquad._validation import integer, require_memory
from subquad.ntk._dual import as_dual
from subquad.ntk._moments import angles
from subquad.ntk._points import as_points
from subquad.ntk._profile import ANGLE, combine, profiles, require_firing

_MULTIPLY_ADDS_PER_CALL = 3e10  # of BLAS on one thread: .4 s in float32, .8 s in float64
_ENTRIES_PER_CALL = 5e7  # of the compiled kernel: a few tenths of a second
_PANELS = 8  # of a square matrix: of an outer product's entries 1 / 16 are then made in vain
_FEWEST_ROWS = 256
_PAIRS_PER_BLOCK = 2**14  # where deviations differ
# Squared half chords made from the points: above, a correlation has 2e-13 (float32: 1e-6) of the
# angle. No points but near duplicates are as close.
_CLOSE = {np.dtype(np.float64): 2.0**-21, np.dtype(np.float32): 2.0**-11}


def layer_kernels(X, Y=None, depth=1, activation=None, *, dtype=None, n_threads=None):
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

    Returns
    -------
    ndarray, shape (L + 1, n, k)

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described, or no neuron would fire on some row.
    MemoryError
        If the kernels do not fit.

    Notes
    -----
    One matrix product for all layers. For unit rows this is the limit of the layers of a
    `WideNetwork`, which divides each by its norm; for others the norms of the rows, which
    relative thresholds keep from layer to layer.

    Near duplicates get their angles from the rows themselves, since a correlation next to 1 or -1
    has lost them: kernels are good to 1e-12 of sqrt(K_ii K_jj) in float64 whatever the points, and
    to about 1e-6 in float32.

    Norms of rows factor out for relative thresholds, and otherwise where all rows have one norm;
    each pair of points then takes one short polynomial per kernel. Where they do not, a pair takes
    some microseconds and layer, a callable a thousand times as long. [SZZ24], Definition E.3.

    Examples
    --------
    >>> K = layer_kernels(np.eye(2), depth=2)
    >>> np.round(K[:, 0, 1], 6)
    array([0.      , 0.31831 , 0.493731])
    """
    depth = integer(depth, "depth")
    kinds = range(depth + 1)
    return np.array(_kernels(X, Y, depth, activation, kinds, dtype, n_threads))


def last_layer_ntk(X, Y=None, depth=1, activation=None, *, dtype=None, n_threads=None):
    """Return K_{L-1} o E phi'(u) phi'(v): the tangent kernel of the last hidden layer over m.

    Parameters
    ----------
    X, Y, depth, activation, dtype, n_threads
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
    >>> last_layer_ntk(np.eye(2), depth=2).round(6)
    array([[0.5     , 0.095989],
           [0.095989, 0.5     ]])
    """
    depth = integer(depth, "depth")
    return _kernels(X, Y, depth, activation, ["last"], dtype, n_threads)[0]


def ntk(X, Y=None, depth=1, activation=None, *, dtype=None, n_threads=None):
    """Return the tangent kernel of all layers, Theta_L, of an infinitely wide network.

    Theta_0 = K_0,  Theta_l = Theta_{l-1} o 2 E phi'(u) phi'(v) + K_l

    Parameters
    ----------
    X, Y, depth, activation, dtype, n_threads
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
    >>> ntk(np.eye(2), depth=2).round(6)
    array([[3.      , 0.685709],
           [0.685709, 3.      ]])
    """
    depth = integer(depth, "depth")
    return _kernels(X, Y, depth, activation, ["ntk"], dtype, n_threads)[0]


def _kernels(X, Y, depth, activation, kinds, dtype, n_threads):
    """Kernels of the given kinds, each an array (n, k)."""
    dual, n_threads = as_dual(activation), resolve_threads(n_threads)
    left = as_points(X, "X", dtype=dtype)
    right = None
    if Y is not None:
        right = as_points(Y, "Y", dtype=left.dtype, n_columns=left.n_columns, dense=not left.sparse)
        if left.sparse and not right.sparse:
            left = as_points(X, "X", dtype=dtype, dense=True)
    return limit_kernels(left, right, dual, depth, list(kinds), n_threads)


def limit_kernels(left, right, dual, depth, kinds, n_threads):
    """Trusted kernels of `Points`; right may be None for left itself."""
    shape = len(left), len(left if right is None else right)
    _require_room(len(kinds), shape, left.dtype)
    outs = [np.empty(shape, left.dtype) for _ in kinds]
    if dual.homogeneous:
        norms = [x.norms for x in (left, right or left)]
        _fill(left, right, profiles(dual, depth, kinds), norms, outs, n_threads)
        return outs
    norm = _common_norm(left, right)
    ones = [np.ones(size) for size in shape]
    if norm is not None:
        _fill(left, right, profiles(dual, depth, kinds, norm), ones, outs, n_threads)
        return outs
    if 0.0 in left.norms or (right is not None and 0.0 in right.norms):
        require_firing(0.0)
    between = np.empty(shape)
    _fill(left, right, profiles(as_dual(None), 0, [ANGLE]), ones, [between], n_threads)
    norms = [x.norms for x in (left, right or left)]
    _fill_pairs(dual, depth, kinds, between, norms, outs)
    return outs


def ntk_and_slope(rows, depth, activation, n_threads):
    """Return r, Theta_L and its derivative by r between unit rows: for gradients."""
    points, norms = as_points(rows, "rows"), [np.ones(len(rows))] * 2
    profile = profiles(as_dual(activation), depth, ["ntk"])[0]
    outs = [np.empty((len(rows), len(rows))) for _ in range(2)]
    _fill(points, None, [profile, profile.derivative()], norms, outs, resolve_threads(n_threads))
    r = np.clip(points.rows @ points.rows.T, -1.0, 1.0)
    half_chord = np.sqrt((1 - np.abs(r)) / 2)
    slope = -np.sign(r) * outs[1] / np.maximum(4 * half_chord, 1e-9)
    np.fill_diagonal(slope, 0.0)
    return r, outs[0], slope


def _require_room(n_kernels, shape, dtype):
    """Refuse kernels that do not fit, before they are made."""
    n_bytes = n_kernels * shape[0] * shape[1] * dtype.itemsize
    require_memory(
        n_bytes,
        f"{n_kernels} kernel{'s' * (n_kernels > 1)} of shape {shape}",
        "Give a block of rows as X and all of them as Y, one block after the other, "
        "or dtype=np.float32.",
    )


def _common_norm(left, right):
    """The norm that all rows share to rounding, or None."""
    norms = left.norms if right is None else np.concatenate([left.norms, right.norms])
    norm = float(norms.mean())
    tolerance = 8 * np.finfo(left.dtype).eps
    return norm if norm > 0 and np.ptp(norms) <= tolerance * norm else None


def _fill(left, right, made, norms, outs, n_threads):
    """outs[k] = the k-th profile of the angles, times the norms of both points."""
    columns, symmetric = right or left, right is None
    for start, stop in _panels(len(left), len(columns), left.n_columns, symmetric):
        rows = slice(start, stop)
        n_columns = stop if symmetric else len(columns)
        panels = [out[rows, :n_columns] for out in outs]
        gram = panels[-1]
        if gram.dtype != left.dtype:
            gram = np.empty(gram.shape, left.dtype)
        part, others = left.part(rows), columns.part(slice(n_columns))
        part.correlations(others, gram)
        if gram.dtype != panels[-1].dtype:
            gram = gram.astype(panels[-1].dtype)
            part, others = _cast(part, gram.dtype), _cast(others, gram.dtype)
        for profile, panel in zip(made, panels, strict=True):
            dual_activation.apply_profile(
                profile.table, profile.offset, _CLOSE[left.dtype], gram, *part.parts(),
                *others.parts(), left.n_columns, norms[0][rows], norms[1][:n_columns],
                start if symmetric else -1, panel, n_threads,
            )  # fmt: skip
    if symmetric:
        for profile, out in zip(made, outs, strict=True):
            out.flat[:: len(out) + 1] = profile.at_zero * norms[0] ** 2
            for start, stop in _panels(len(out), len(out), 1, True):
                dual_activation.mirror(out, start, stop, n_threads)


def _cast(points, dtype):
    """Points of another dtype."""
    return type(points)(points.rows.astype(dtype), points.norms)


def _panels(n, n_columns, n_inputs, symmetric):
    """(first row, last row + 1) of panels, each short enough for one call."""
    most = min(_MULTIPLY_ADDS_PER_CALL / n_inputs, _ENTRIES_PER_CALL) / n_columns
    size = max(_FEWEST_ROWS, -(-n // _PANELS)) if symmetric else n
    size = max(1, min(size, int(most)))
    return ((start, min(start + size, n)) for start in range(0, n, size))


def _fill_pairs(dual, depth, kinds, between, norms, outs):
    """Kernels where deviations differ from point to point, a block of rows at a time."""
    for size in norms:
        for p in _deviations(dual, depth, size):
            require_firing(p)
    left, right = (_deviations(dual, depth, size) for size in norms)
    step = max(1, _PAIRS_PER_BLOCK // between.shape[1])
    for start in range(0, len(between), step):
        rows = slice(start, start + step)
        p = [x[rows, None] for x in left]
        kernels, slopes = _pair_layers(dual, p, right, between[rows])
        for kind, out in zip(kinds, outs, strict=True):
            out[rows] = combine(kind, kernels, slopes)


def _deviations(dual, depth, p):
    """Deviations of the pre-activations of layers 1 .. L, and of what would be the next."""
    found = [p]
    for _ in range(depth):
        distinct, back = np.unique(found[-1], return_inverse=True)
        found.append(np.sqrt(dual._second_moments(distinct))[back])
    return found


def _pair_layers(dual, left, right, angle):
    """As `layers`, for deviations (rows, 1) and (columns,) of each layer."""
    same = (angle == 0) & (left[0] == right[0])
    supplement = np.pi - angle
    kernels, slopes = [left[0] * right[0] * np.cos(angle)], []
    for p, q, p_next, q_next in zip(left, right, left[1:], right[1:], strict=False):
        value, slope = dual._moments(*np.broadcast_arrays(p, q, angle, supplement))
        kernels.append(2 * value)
        slopes.append(2 * slope)
        r = np.clip(kernels[-1] / (p_next * q_next), -1.0, 1.0)
        angle, supplement = angles((1 - r) / 2, (1 + r) / 2)
        angle, supplement = np.where(same, 0.0, angle), np.where(same, np.pi, supplement)
    return kernels, slopes
