"""Weights in files, structured weights, and networks of given ones."""

import os
import tempfile

import numpy as np

from subquad.networks import WideNetwork
from subquad.weights import MappedWeights, StructuredWeights

from ..cases import target
from ..draws import as_float64
from .weights import products

_METHODS = ("", ".add_low_rank", ".apply", ".apply_transposed", ".to_dense")
_WRONG_SHAPES = (3, None, (3,), (0, 3), (2**31, 2), (1, 2, 3), "ab", (1.5, 2), (True, 3))


def _multiply(draw, attempt, W):
    if draw.chance(0.1):
        draw.hostile = True
        attempt(W.add_low_rank, np.ones((1, W.shape[0])), np.ones((1, W.shape[1])))
    else:
        products(draw, attempt, W)


@target(*(f"weights.MappedWeights{name}" for name in _METHODS), share=20)
def mapped_weights(draw, attempt):
    matrix = draw.values((draw.between(1, 33), draw.between(1, 65)), scales=False)
    stored = matrix.astype(draw.choice(("f2", "f4", "f8")))
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "w.npy")
        np.save(path, np.asfortranarray(stored) if draw.chance(0.3) else stored)
        if draw.goes_wrong():
            with open(path, "r+b") as file:
                file.truncate(draw.between(0, os.path.getsize(path) - 1))
        options = {"dtype": draw.dtype_argument()} if draw.chance(0.3) else {}
        W = attempt(MappedWeights, path, **options)
        attempt.equal(W.to_dense(), as_float64(stored).astype(W.dtype))
        _multiply(draw, attempt, W)


@target(*(f"weights.StructuredWeights{name}" for name in _METHODS), share=20)
def structured_weights(draw, attempt):
    shape = (draw.size(33), draw.size()) if not draw.goes_wrong() else draw.choice(_WRONG_SHAPES)
    options = {"std": draw.real((0.0, 1.0, 0.5))}
    options["structure"] = draw.option(("circulant", "hadamard"))
    W = attempt(StructuredWeights, shape, draw.integer((0, 1, 2**63)), **options)
    m_out, m_in = W.shape
    if draw.chance(0.1):
        draw.hostile = True
        attempt(W.add_low_rank, np.ones((1, m_out)), np.ones((1, m_in)))
        attempt(W.apply, draw.array((draw.size(9), m_in), scales=False))
        return
    # Transforms are accurate relative to the norm of a row, which unit rows give to each entry.
    dense = attempt(W.to_dense)
    largest = np.full((m_in, m_out), np.linalg.norm(dense, 2))
    if draw.chance(0.5):
        attempt.close(attempt(W.apply, np.eye(m_in)), dense.T, largest, 64)
    else:
        attempt.close(attempt(W.apply_transposed, np.eye(m_out)), dense, largest.T, 64)


@target("networks.WideNetwork.from_weights", share=20)
def network_of_weights(draw, attempt):
    width, d = draw.between(1, 33), draw.between(1, 9)
    options = {"dtype": draw.dtype(), "scales": False, "layouts": False}
    weights = [draw.array((width, k), **options) for k in (d, width)]
    if draw.goes_wrong():
        weights = draw.choice((3, None, weights[:1], [weights[0]] * 2, "ab", [1, 2]))
    options = {"weight_std": draw.real((1.0, 0.5))} if draw.chance(0.3) else {}
    network = attempt(WideNetwork.from_weights, weights, draw.array((2, width)), **options)
    attempt.holds(network.width == width and network.depth == 2, "another size")
