"""What random networks have in common: their sizes, the weights they start with, a readout."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from subquad._fixed import FixedWeights
from subquad._implicit import drawn_seed
from subquad._validation import integer, one_of
from subquad.weights import DenseWeights, GaussianWeights

if TYPE_CHECKING:
    from typing import Any


KINDS = ("dense", "int8", "implicit")
GRIDS = ("int8", "float32")


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


def as_grid(grid, kind):
    """Return the grid of the weights between hidden layers, that of their storage by default."""
    one_of(grid, "grid", (None, *GRIDS))
    own = {"dense": "float32", "int8": "int8"}.get(kind)
    if own is not None and grid not in (None, own):
        raise ValueError(
            f"grid must be None or {own!r} with weights={kind!r}; got {grid!r}. "
            "weights='implicit' takes either."
        )
    return own or grid or "int8"


def kind_of(W):
    """Return which kind weights are of, or None for one that no network draws."""
    if isinstance(W, GaussianWeights):
        return "implicit"
    return {None: "dense", "int8": "int8"}.get(getattr(W, "storage", "none"))


def as_layers(weights):
    """Return weights W_1 (m, d), W_2 .. W_L (m, m) of one dtype, arrays among them as DenseWeights.

    L is at least 2.
    """
    if not isinstance(weights, (list, tuple)):
        raise TypeError(f"weights must be a list of layers; got {type(weights).__name__}.")
    if len(weights) < 2:
        raise ValueError(f"weights must be of at least 2 layers; got {len(weights)}.")
    known = (DenseWeights, FixedWeights)
    layers = [W if isinstance(W, known) else DenseWeights(W) for W in weights]
    width, dtype = layers[0].shape[0], layers[0].dtype
    for i, W in enumerate(layers):
        if W.dtype != dtype:
            raise TypeError(f"weights must be of one dtype; got {dtype} and {W.dtype}.")
        if i and W.shape != (width, width):
            raise ValueError(
                f"weights must have shape {(width, width)} from the second layer on; got {W.shape}."
            )
    return layers


def random_weights(kind, grid, shape, std, rng, dtype):
    """Return weights of a seed from rng, with mean 0 and variance std^2, kept as their kind says.

    "int8" keeps a byte each only of those of the int8 grid.
    """
    W = GaussianWeights(shape, drawn_seed(rng), grid, std=std, dtype=dtype)
    return kept_as(kind, W)


def kept_as(kind, W):
    """Return the numbers of GaussianWeights W as weights of a kind."""
    if kind == "implicit":
        return W
    return DenseWeights._storing(W, "int8" if (kind, W.grid) == ("int8", "int8") else None)


def normals(shape, rng, dtype):
    """Return an array of standard normals, of a seed from rng, made by all threads."""
    return GaussianWeights(shape, drawn_seed(rng), "float32", dtype=dtype).to_dense()


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
