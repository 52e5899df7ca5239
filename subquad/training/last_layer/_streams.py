"""Rows that come and go: the layer, its Gram matrix and the start of a fit of other rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse

from subquad._validation import as_integers, require_memory
from subquad.networks import LastLayer, ShardedLastLayer

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import ArrayLike

    from subquad._typing import FloatArray

# Leave-one-out chooses mu anew once there are so many times the rows, or as many times fewer.
_MUCH = 2.0


@dataclass(frozen=True)
class Stream:
    """What a trainer was given, from which one of other rows can be made.

    Attributes
    ----------
    layer : LastLayer
    y : ndarray of float64, shape (n, C)
    weights : ndarray, shape (n,), or None
    centred : bool, or ndarray of shape (n, C)
    options : dict
        The other keyword arguments, `solver` as an object.
    numbers : ndarray of intp, shape (n,)
        Of the rows, in the order in which they were given.
    n_given : int
        How many rows were given so far.
    n_chosen : int
        How many rows there were when leave-one-out chose mu.
    """

    layer: LastLayer
    y: FloatArray
    weights: FloatArray | None
    centred: bool | FloatArray
    options: dict[str, Any]
    numbers: FloatArray
    n_given: int
    n_chosen: int

    @classmethod
    def of(cls, layer, y, weights, centred, options):
        """Return that of a trainer's first rows."""
        return cls(layer, y, weights, centred, options, np.arange(layer.n), layer.n, layer.n)

    def require_open(self):
        """Refuse where rows cannot come or go."""
        if isinstance(self.layer, ShardedLastLayer):
            raise ValueError("layer must not be shared by ranks for other rows; got one that is.")
        for name in ("maintenance", "repeats"):
            if self.options[name] is not None:
                got = type(self.options[name]).__name__
                raise ValueError(f"{name} must be None for rows to come and go; got a {got}.")

    def chooses_anew(self, n):
        """Whether leave-one-out is to choose mu of so many rows."""
        many = not self.n_chosen / _MUCH < n < self.n_chosen * _MUCH
        return many and isinstance(self.options["regularization"], str)

    def places_of(self, rows: ArrayLike):
        """Return where rows of given numbers are."""
        found = np.unique(as_integers(rows, "rows"))
        unknown = np.setdiff1d(found, self.numbers)
        if len(unknown):
            first = int(unknown[0])
            was = "was forgotten before" if 0 <= first < self.n_given else "was never given"
            raise ValueError(
                f"rows must be numbers of rows that the trainer has; got {first}, which {was}."
            )
        if len(found) == len(self.numbers):
            raise ValueError("rows must leave at least 1 row to fit; got all of them.")
        return np.flatnonzero(np.isin(self.numbers, found))


def joined(first: LastLayer, second: object, K) -> LastLayer:
    """Return the layer of the rows of two, which must be of one network; K is of the first."""
    require_same_network(first, second)
    n = first.n + second.n
    n_bytes = n * first.width * (2 * first.dtype.itemsize + 8) + 8 * n * n
    require_memory(n_bytes, f"The layer of {n} rows", "Forget some rows.")
    V = [layer._inputs for layer in (first, second)]
    if any(map(scipy.sparse.issparse, V)):
        V = scipy.sparse.vstack([scipy.sparse.csr_array(part) for part in V], format="csr")
        V = scipy.sparse.csr_array((V.data, V.indices.astype(np.intp), V.indptr.astype(np.intp)),
                                   shape=V.shape)  # fmt: skip
    else:
        V = np.concatenate(V)
    Z0 = np.concatenate([first.preactivations, second.preactivations])
    thresholds = first.thresholds
    if thresholds is not None:
        thresholds = np.concatenate([thresholds, second.thresholds])
    known = np.empty((n, n))
    known[: first.n, : first.n] = K
    known[first.n :, : first.n] = second._gram_with(first)
    known[: first.n, first.n :] = known[first.n :, : first.n].T
    known[first.n :, first.n :] = second._gram_with(second)
    return _like(first, V, Z0, thresholds, known)


def chosen(layer: LastLayer, places, K) -> LastLayer:
    """Return the layer of some of its rows; K is of all."""
    thresholds = layer.thresholds
    return _like(
        layer,
        layer._inputs[places],
        layer.preactivations[places],
        None if thresholds is None else thresholds[places],
        K[np.ix_(places, places)],
    )


def _like(layer, V, Z0, thresholds, K):
    """The layer of other rows, with their Gram matrix."""
    made = LastLayer._trusted(V, Z0, layer.readout, layer.activation, layer.weight_std, thresholds)
    made._known_gram = K
    return made


def require_same_network(layer: LastLayer, other: object) -> None:
    """Refuse what is no layer, or one that cannot be of the same network."""
    if not isinstance(other, LastLayer):
        raise TypeError(f"layer must be a LastLayer; got {type(other).__name__}.")
    if isinstance(other, ShardedLastLayer):
        raise ValueError("layer must not be shared by ranks for other rows; got one that is.")
    facts = (
        ("dtype", lambda of: of.dtype),
        ("width", lambda of: of.width),
        ("number of inputs", lambda of: of._inputs.shape[1]),
        ("number of outputs", lambda of: of.n_outputs),
        ("activation", lambda of: of.activation),
        ("weight_std", lambda of: of.weight_std),
    )
    for name, fact in facts:
        if fact(other) != fact(layer):
            raise ValueError(
                f"layer must have the {name} of the first, {fact(layer)}; got {fact(other)}."
            )
    if not np.array_equal(layer.readout, other.readout):
        raise ValueError(
            "layer must be of the network that the first rows went through; got another readout."
        )
