"""Gradient descent of all layers, which must end in finite weights and tell its own losses."""

import math

import numpy as np

from subquad.networks import WideNetwork
from subquad.training import LowRankGradientDescent

from ..cases import target
from ..draws import as_float64

_NAME = "training.LowRankGradientDescent"
_METHODS = ("run", "step", "partial_fit", "gradient", "gram", "tangents")
_WIDTH = 48


def _options(draw):
    found = {"step_size": draw.real((1.0, 0.5, "auto", 1e-3))}
    if draw.chance(0.5):
        found["rank_budget"] = draw.integer((None, 1, 2, math.inf))
        found["when_full"] = draw.option(("flush", "recompress"))
        found["rtol"] = draw.real((None, 0.0, 1e-6))
    if draw.chance(0.1):
        found["diagnostics"] = True
    if draw.chance(0.3):
        found |= {"batch_size": draw.integer((None, 1, 2, 32)), "rng": draw.rng()}
    if draw.chance(0.2):
        found |= {
            "callback": draw.choice((None, len, 3, "callback")),
            "n_threads": draw.n_threads(),
        }
        draw.hostile = True  # `len` takes no record
        found["callback"] = None if found["callback"] is len else found["callback"]
    return found


@target(_NAME, f"{_NAME}.outputs", *(f"{_NAME}.{name}" for name in _METHODS), share=8)
def descent(draw, attempt):
    C, depth = draw.between(1, 2), draw.choice((2, 3))
    options = {"weights": draw.choice(("dense", "implicit"))} if draw.chance(0.3) else {}
    network = WideNetwork(
        3, width=_WIDTH, depth=depth, n_outputs=C, rng=0, dtype=draw.dtype(), **options
    )
    given = network
    if draw.goes_wrong():
        given = draw.choice((None, 3, WideNetwork, np.eye(3), LowRankGradientDescent))
    draw.hostile |= bool(options)  # implicit weights take no flush
    trainer = attempt(LowRankGradientDescent, given, **_options(draw))
    name = draw.choice(_METHODS)
    X, y = _batch(draw, C) if name not in ("gram", "tangents") else (draw.array((5, 3)), None)
    draw.hostile = draw.extreme = True  # its loss may grow
    if name == "gradient":
        _gradient(attempt, trainer, X, y)
    elif name == "gram":
        G = attempt(trainer.gram, X)
        attempt.holds(np.isfinite(G).all() and (G.diagonal() >= 0).all(), "a Gram matrix")
        attempt.equal(G, G.T)
    elif name == "tangents":
        _tangents(attempt, trainer, X)
    elif name == "run" and draw.chance(0.3):
        stream = draw.choice(([(X, y)], iter([(X, y), (X, y)]), [(X,)], 3, None, [3], "ab", {}))
        draw.wrong = None
        attempt(trainer.run, stream, max_steps=draw.integer((1, 0, None)))  # none is endless
    elif name == "run":
        n_epochs = draw.choice((0, -1, 1.5, "x", [])) if draw.goes_wrong() else draw.choice((1, 2))
        attempt(trainer.run, X, y, n_epochs=n_epochs)
    else:
        attempt(getattr(trainer, name), X, y)
    _check_outputs(draw, attempt, trainer)


def _batch(draw, C):
    shape = (5,) if C == 1 and draw.chance(0.7) else (5, C)
    return draw.array((5, 3), scales=draw.chance(0.1)), draw.array(shape, scales=draw.chance(0.1))


def _gradient(attempt, trainer, X, y):
    """The factors must add up to the sum over all points of r times the tangents."""
    value = attempt(trainer.gradient, X, y)
    network = trainer.network
    residual = trainer.outputs(X) - as_float64(y).reshape(-1, network.n_outputs)
    for (A, B), (U, H) in zip(value, trainer.tangents(X), strict=True):
        size = np.abs(residual).T @ np.abs(U).astype(float).reshape(len(U), -1)
        size = size.sum() * np.abs(H).sum() + np.abs(A).astype(float).sum() * np.abs(B).sum()
        expected = np.einsum("nc,ncm,nd->md", residual, U.astype(float), H.astype(float))
        found = A.astype(float).T @ B.astype(float)
        eps = float(np.finfo(network.dtype).eps) / float(np.finfo(float).eps)
        attempt.close(found, expected, np.full(found.shape, 64 * eps * size), 512)


def _tangents(attempt, trainer, X):
    for U, H in attempt(trainer.tangents, X):
        attempt.holds(np.isfinite(U).all() and np.isfinite(H).all(), "tangents must be finite")
        attempt.equal(U.shape, (len(H), trainer.network.n_outputs, _WIDTH))


def _check_outputs(draw, attempt, trainer):
    """The outputs are those of the network with the matrices that the trainer stands for."""
    X = draw.array((4, 3), scales=False)
    value = attempt(trainer.outputs, X)
    attempt.holds(np.isfinite(value).all(), "outputs must be finite")
    weights = [as_float64(W.to_dense()) for W in trainer.weights]
    network = trainer.network
    start = [as_float64(W.to_dense()) for W in network.weights]
    change = [(np.eye(len(W)), W - old) for W, old in zip(weights, start, strict=True)]
    # Beyond these a change may decide which neurons of a vanishing layer fire.
    if max(float(np.abs(W).max()) for W in weights) > 100:
        return
    expected = network.outputs(X, change)
    eps = float(np.finfo(network.dtype).eps) / float(np.finfo(float).eps)
    scale = 1 + max(float(np.abs(W).max()) for W in weights) ** network.depth
    size = np.full(expected.shape, 1e4 * scale * eps)
    attempt.close(value, expected, size, 512)
