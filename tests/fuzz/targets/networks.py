"""Networks against their formulas, with the weights that they drew."""

import numpy as np

from subquad.activations import ReLU, ShiftedReLU
from subquad.networks import (
    FactoredNetwork,
    LastLayer,
    PairedNetwork,
    TwoLayerNetwork,
    WideNetwork,
    is_separable,
)

from ..cases import target
from ..draws import as_float64, dtype_of
from ..sparse_draws import dense, rows_of
from .activations import activation, values

# An error of a pre-activation may decide whether a neuron fires, and ReLU is continuous: errors of
# outputs are those of pre-activations times what the layers above multiply them by.
_GROWTH = 64


def options(draw, *, odd=True, **own):
    """Keywords that networks share."""
    found = {"width": draw.integer((8, 12, 32, 64)), "n_outputs": draw.integer((1, 1, 2, 3))}
    if draw.chance(0.7):
        found["rng"] = draw.rng()
    if draw.chance(0.4):
        found["dtype"] = draw.dtype_argument()
    if odd and draw.chance(0.3):
        found["activation"] = draw.option((ReLU(), ShiftedReLU(0.5), None))
    return found | own


def _fixed_thresholds(draw):
    """An activation as printed, which loses norms; those that jump have no rounding to speak of."""
    scaling = draw.choice(("norm", "none"))
    return ShiftedReLU(draw.choice((0.3, 1.0)), relative=draw.chance(0.5), scaling=scaling)


def _rows(draw, n_features):
    return draw.array((draw.size(9), n_features), scales=draw.chance(0.2))


def _cast(X, dtype):
    with np.errstate(over="ignore"):
        return dense(X).astype(dtype).astype(float)


def _outputs_close(attempt, value, expected, size, network, dtype=None):
    """Compare outputs; `size` bounds what each layer adds up."""
    dtype = network.dtype if dtype is None else dtype
    eps = float(np.finfo(network.dtype).eps) / float(np.finfo(dtype).eps)
    terms = network.width + network.n_features
    attempt.close(value, expected, _GROWTH * eps * size, terms, dtype=dtype)


def _factors(draw, width, m_in):
    """A pair of factors, or something else."""
    if draw.goes_wrong():
        return draw.choice((3, (), (np.ones((1, width)),), "ab", [1, 2, 3], np.ones((2, width))))
    r = draw.between(1, 3)
    return tuple(draw.array((r, m), scales=False) for m in (width, m_in))


def _norms(X):
    largest = np.abs(X).max(axis=1, initial=0.0)
    unit = X / np.where(largest > 0, largest, 1.0)[:, None]
    return largest * np.linalg.norm(unit, axis=1)


def _response(phi, X, W, readout, std):
    """readout phi(W x), and the same of absolute values."""
    tau = phi.thresholds(_norms(X), std)
    size = (np.abs(X) @ np.abs(W).T + tau[:, None]) @ np.abs(readout).T * phi.scale
    return values(phi, X @ W.T, tau) @ readout.T, size


@target(
    *("networks.TwoLayerNetwork" + name for name in ("", ".outputs", ".last_layer", ".jacobian")),
    share=30,
)
def two_layer(draw, attempt):
    network = attempt(TwoLayerNetwork, draw.integer((1, 3, 9)), **options(draw))
    X = _rows(draw, network.n_features)
    if draw.chance(0.2):
        layer = attempt(network.last_layer, X)
        Z = _cast(X, network.dtype)
        size = np.abs(Z) @ np.abs(as_float64(network.weights)).T
        Z = Z @ as_float64(network.weights).T
        attempt.close(layer.preactivations, Z, size, network.n_features, dtype=network.dtype)
        return
    if draw.chance(0.2):
        _jacobian(draw, attempt, network, X)
        return
    factors = _factors(draw, network.width, network.n_features) if draw.chance(0.3) else None
    value = attempt(network.outputs, X, factors)
    with np.errstate(all="ignore"):
        X, W = _cast(X, network.dtype), as_float64(network.weights)
        if factors is not None:
            A, V = (_cast(x, network.dtype) for x in factors)
            W = W + A.T @ V
        a = as_float64(network.readout)
        expected, size = _response(network.activation, X, W, a, network.weight_std)
        if factors is not None:
            size = (
                size
                + np.abs(X) @ (np.abs(V).T @ np.abs(A)) @ np.abs(a).T * network.activation.scale
            )
    _outputs_close(attempt, value, expected, size, network)


def _jacobian(draw, attempt, network, X):
    """The Jacobian by the weights of the last hidden layer, which the outputs are linear in."""
    J = attempt(network.jacobian, X, draw.integer((-1,)), output=draw.integer((0,)))
    attempt.holds(J.n == len(dense(X)), f"{J.n} rows")
    attempt.equal(J.dtype, network.dtype)
    attempt.holds(np.isfinite(dense(J.U)).all(), "finite factors")


@target(*("networks.PairedNetwork" + name for name in ("", ".outputs", ".jacobian")), share=20)
def paired(draw, attempt):
    own = options(draw, odd=False)
    if draw.chance(0.3):
        own |= {"shift": draw.real((0.0, 1.0, 2)), "scale": draw.real((1.0, 8.0))}
    if draw.chance(0.2):
        own["pairs"] = draw.option(("opposite", "equal"))
    network = attempt(PairedNetwork, draw.integer((1, 3, 9)), **own)
    X = _rows(draw, network.n_features)
    if draw.chance(0.2):
        _jacobian(draw, attempt, network, X)
        return
    weights = None
    if draw.chance(0.5):
        weights = draw.array((network.width, network.n_features), scales=False)
    value = attempt(network.outputs, X, weights)
    with np.errstate(all="ignore"):
        X = _cast(X, network.dtype)
        W = as_float64(network.weights) if weights is None else _cast(weights, network.dtype)
        above = np.maximum(X @ W.T - network.shift, 0.0)
        a = network.factor * network.signs.astype(float)
        size = (np.abs(X) @ np.abs(W).T + network.shift) @ np.abs(a)
    _outputs_close(attempt, value, above @ a, size, network, np.float64)


@target(
    *(
        "networks.WideNetwork" + name
        for name in ("", ".outputs", ".features", ".last_layer", ".jacobian")
    ),
    "ntk.empirical_ntk",
    share=15,
)
def wide(draw, attempt):
    own = options(draw, depth=draw.integer((2, 3)), readout=draw.option(("partition", "dense")))
    if draw.chance(0.3):
        own["weights"] = draw.option(("dense", "implicit", "int8"))
        draw.hostile = True  # int8 needs float32
    if draw.chance(0.3):
        own["normalise"] = draw.chance(0.5)
        own["activation"] = _fixed_thresholds(draw)
    network = attempt(WideNetwork, draw.integer((1, 3, 9)), **own)
    X = draw.array((draw.size(9), network.n_features), scales=False)
    if draw.chance(0.2):
        _tangent_kernel(draw, attempt, network, X)
        return
    if draw.chance(0.2):
        _jacobian(draw, attempt, network, X)
        return
    name, factors, more = draw.choice(("features", "last_layer", "outputs")), None, ()
    if name == "outputs" and draw.chance(0.5):
        factors = _factors(draw, network.width, network.width)
        more = (factors,)
    value = attempt(getattr(network, name), X, *more)
    value = value.features if name == "last_layer" else value
    features, sure = _features(network, _cast(X, network.dtype))
    if name != "outputs":
        expected = features
        size = np.full(expected.shape, float(np.abs(expected).max(initial=1.0))) / sure
    else:
        W = as_float64(network.weights[-1].to_dense())
        if factors is not None:
            A, V = (_cast(x, network.dtype) for x in factors)
            W = W + A.T @ V
        a = as_float64(network.readout)
        expected, size = _response(network.activation, features, W, a, network.weight_std)
        size = np.abs(W).sum() * np.abs(a).sum() * network.activation.scale / sure
        size = np.broadcast_to(size, expected.shape)
    _outputs_close(attempt, value, expected, size, network)


def _features(network, X):
    """h_{L-1} of every row, and how well their norms are known: 0 where no neuron fires."""
    H, sure = X, np.ones((len(X), 1))
    for W in network.weights[:-1]:
        W, tau = (
            as_float64(W.to_dense()),
            network.activation.thresholds(_norms(H), network.weight_std),
        )
        size = (np.abs(H) @ np.abs(W).T + tau[:, None]).sum(axis=1, keepdims=True)
        H = values(network.activation, H @ W.T, tau)
        norms = _norms(H)[:, None]
        with np.errstate(all="ignore"):
            sure = sure * np.where(size > 0, norms / size, 1.0)
            if network.normalise:
                H = np.where(norms > 0, H / norms, 0.0)
    return H, np.maximum(sure, 1e-300)


def _tangent_kernel(draw, attempt, network, X):
    from subquad.ntk import empirical_ntk

    Y = draw.array((draw.size(5), network.n_features), scales=False) if draw.chance(0.4) else None
    layer = draw.integer((-1, 1, 2, "all"))
    output = draw.integer((0,))
    value = attempt(empirical_ntk, network, X, Y, layer, output=output)
    shape = len(dense(X)), len(dense(X if Y is None else Y))
    attempt.equal(value.shape, shape)
    if Y is None and np.isfinite(value).all():
        scale = float(np.abs(value).max(initial=0.0)) * network.width
        attempt.close(value, as_float64(value.T), np.full(shape, scale), 8, dtype=network.dtype)


@target(
    *("networks.FactoredNetwork" + name for name in (
        "", ".outputs", ".features", ".jacobian", ".inner_matrix", ".outer_matrix")),
    share=20,
)  # fmt: skip
def factored(draw, attempt):
    d = draw.choice((1, 4, 9))
    own = options(
        draw, inner_size=draw.integer((1, min(d, 4))), outer_size=draw.integer((None, 1, 8))
    )
    own["sketch"] = draw.option(("srht", "gaussian", "fjlt"))
    own["printed"] = draw.chance(0.3)
    network = attempt(FactoredNetwork, draw.integer((d,)), **own)
    C, A = attempt(network.inner_matrix), attempt(network.outer_matrix)
    X = rows_of(draw, (draw.size(9), network.n_features), scales=False)
    name = draw.choice(("outputs", "features", "jacobian"))
    draw.hostile |= name != "features"
    value = attempt(getattr(network, name), X)
    V = _cast(X, network.dtype) @ C.T
    size = np.abs(_cast(X, network.dtype)).sum(axis=1, keepdims=True)
    size = np.broadcast_to(size * np.abs(C).sum(), V.shape)
    if name == "features":
        _outputs_close(attempt, value, V, size, network)
    elif name == "outputs":
        W = A @ as_float64(network.weights)
        a = as_float64(network.readout) / np.sqrt(network.width)
        expected, _ = _response(network.activation, V, W, a, 1.0)
        size = size[:, :1] * np.abs(A).sum() * np.abs(network.weights).sum() * np.abs(a).sum()
        size = np.broadcast_to(size * network.activation.scale, expected.shape)
        _outputs_close(attempt, value, expected, size, network, np.float64)
    else:
        attempt.equal(value.shape, (len(V), network.weights.size))


@target(
    *("networks.LastLayer" + name for name in ("", ".gram", ".jacobian", ".outputs")),
    "networks.is_separable",
    share=30,
)
def last_layer(draw, attempt):
    n, d, m = draw.size(17), draw.size(9), draw.size(33)
    scales = draw.chance(0.2)
    V, Z = draw.array((n, d), scales=scales), draw.array((n, m), scales=scales)
    C = draw.between(1, 3)
    readout = (
        draw.array((C, m), scales=False) if draw.chance(0.6) else draw.array((m,), scales=False)
    )
    phi = draw.option((activation(draw), None))
    own = {}
    if draw.chance(0.3):
        own["weight_std"] = draw.real((None, 1.0, 1e-3))
    if draw.chance(0.3):
        own["thresholds"] = draw.array((n,), scales=False)
    layer = attempt(LastLayer, V, Z, readout, phi, **own)
    if draw.chance(0.3):
        value, V = attempt(layer.gram), as_float64(layer.features)
        with np.errstate(all="ignore"):
            attempt.close(value, V @ V.T, np.abs(V) @ np.abs(V).T, V.shape[1])
        return
    if draw.chance(0.1):
        draw.hostile = True  # factors may overflow
        J = attempt(layer.jacobian, output=draw.integer((0,)))
        attempt.equal(J.n, layer.n)
        attempt.holds(np.isfinite(dense(J.U)).all(), "finite factors")
        return
    if draw.chance(0.1):
        alone = all(np.count_nonzero(column) <= 1 for column in layer.readout.T)
        attempt.equal(attempt(is_separable, layer.readout), alone)
    attempt.equal(layer.dtype, dtype_of(V))
    factors = _factors(draw, layer.width, layer.features.shape[1]) if draw.chance(0.4) else None
    value = attempt(layer.outputs, factors)
    with np.errstate(all="ignore"):
        V, Z, a = (as_float64(x) for x in (layer.features, layer.preactivations, layer.readout))
        tau = layer.thresholds.astype(layer.dtype).astype(float)
        size = np.abs(Z)
        if factors is not None:
            A, B = (_cast(x, layer.dtype) for x in factors)
            Z, size = Z + V @ B.T @ A, size + np.abs(V) @ np.abs(B).T @ np.abs(A)
        expected = values(layer.activation, Z, tau) @ a.T
        size = (size + np.abs(tau)[:, None]) @ np.abs(a).T * layer.activation.scale
        if layer.activation.jumps and factors is not None:
            return
    attempt.close(value, expected, _GROWTH * size, m + 8, dtype=layer.dtype)
