"""What random networks have in common: their sizes, the weights they start with, a readout."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from subquad._compact import CompactColumns
from subquad._validation import integer, one_of
from subquad.weights import DenseWeights, GaussianWeights

if TYPE_CHECKING:
    from typing import Any


KINDS = ("dense", "int8", "implicit")


class Network:
    """Sizes of a network, read from its arrays `weights` and `readout`."""

    @property
    def n_features(self) -> int:
        """d, the number of inputs."""
        return self.weights.shape[1]

    @property
    def width(self) -> int:
        """m, the number of neurons of a layer."""
        return self.readout.shape[1]

    @property
    def n_outputs(self) -> int:
        """Number of outputs."""
        return len(self.readout)

    @property
    def dtype(self) -> np.dtype[Any]:
        """float32 or float64."""
        return self.readout.dtype

    @property
    def nbytes(self) -> int:
        """Memory of the weights, in bytes."""
        return self.weights.nbytes


def as_kind(kind, dtype):
    """Return how the weights between hidden layers are kept."""
    one_of(kind, "weights", KINDS)
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
    """Return a readout of signs: a neuron has one for a single output ("partition"), or for each.

    The second kind is called "dense".
    """
    if kind == "dense":
        return rng.choice([-1.0, 1.0], (n_outputs, width))
    readout = np.zeros((n_outputs, width))
    edges = np.arange(n_outputs + 1) * width // n_outputs
    for c in range(n_outputs):
        own = slice(edges[c], edges[c + 1])
        readout[c, own] = rng.choice([-1.0, 1.0], edges[c + 1] - edges[c])
    return readout


def layer_number(layer, depth):
    """Return the number of a hidden layer, from 1 to the depth, that may be counted from the end.

    Counting from the end begins with -1.
    """
    layer = integer(layer, "layer", minimum=-depth, maximum=depth)
    if layer == 0:
        raise ValueError(f"layer must be in [1, {depth}] or [-{depth}, -1]; got 0.")
    return layer if layer > 0 else depth + 1 + layer
