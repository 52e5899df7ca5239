"""What a random network starts with: the weights of its layers, and its readout."""

import numpy as np

from subquad._products import CompactColumns
from subquad.weights import DenseWeights, GaussianWeights

KINDS = ("dense", "int8", "implicit")


def as_kind(kind, dtype):
    """Return how the weights between hidden layers are kept."""
    if not isinstance(kind, str) or kind not in KINDS:
        raise ValueError(f"weights must be 'dense', 'int8' or 'implicit'; got {kind!r}.")
    if kind == "int8" and dtype != np.float32:
        raise ValueError(
            f"dtype must be float32 with weights='int8'; got {dtype}. "
            "weights='implicit' gives the same network in float64."
        )
    return kind


def kind_of(W):
    """Return which kind weights are of, or None for one that no network draws."""
    if isinstance(W, GaussianWeights):
        return "implicit"
    return {None: "dense", "int8": "int8"}.get(W.storage)


def hidden_weights(kind, shape, std, rng, dtype):
    """Return random weights of mean 0 and variance std^2; "int8" stores what "implicit" makes."""
    if kind == "dense":
        return DenseWeights.gaussian(shape, std=std, rng=rng, dtype=dtype)
    seed = int(rng.integers(2**64, dtype=np.uint64))
    W = GaussianWeights(shape, seed, std=std, dtype=dtype)
    if kind == "implicit":
        return W
    return DenseWeights._from_columns(CompactColumns(W.integers(0, shape[1]), W.step))


def signs(n_outputs, width, kind, rng):
    """The readout: signs, each neuron's for one output ("partition") or for all ("dense")."""
    if kind == "dense":
        return rng.choice([-1.0, 1.0], (n_outputs, width))
    readout = np.zeros((n_outputs, width))
    edges = np.arange(n_outputs + 1) * width // n_outputs
    for c in range(n_outputs):
        block = slice(edges[c], edges[c + 1])
        readout[c, block] = rng.choice([-1.0, 1.0], edges[c + 1] - edges[c])
    return readout
