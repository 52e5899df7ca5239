"""The last hidden layer of a network whose neurons are shared by the ranks of a communicator."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

from subquad._fixed import FixedWeights
from subquad._ranks import NEURONS_PER_CHUNK, Ranks
from subquad.networks._last_layer import LastLayer, as_factors, is_separable, outputs_in_range
from subquad.weights import GaussianWeights

if TYPE_CHECKING:
    from typing import NoReturn

    from numpy.typing import ArrayLike, NDArray

    from subquad._typing import FloatArray

# Rows of implicit weights are made from a multiple of so many on.
_TILE = 64


class ShardedLastLayer(LastLayer):
    """A `LastLayer` of which each rank has the pre-activations of its own neurons.

    Made by ``network.last_layer(X, comm=comm)``. Each rank makes its own rows of the weights from
    their seeds; features are exchanged, and every rank has all of V.

    Attributes
    ----------
    features, readout, thresholds
        Of all neurons, as in `LastLayer`.
    preactivations : ndarray, shape (n, own neurons)
    neurons : slice
        This rank's neurons.
    n, width, n_outputs : int
        Of the whole layer.

    Notes
    -----
    All ranks must make the same calls in the same order. Pre-activations and features have the
    same bits for every number of ranks, those of the layer that is not shared.
    """

    neurons: slice
    _ranks: Ranks

    @classmethod
    def _sharing(cls, layer, neurons, ranks):
        """Adopt a layer whose pre-activations are of some neurons."""
        self = cls.__new__(cls)
        vars(self).update(vars(layer))
        self.neurons, self._ranks, self.width = neurons, ranks, layer.readout.shape[1]
        return self

    @property
    def own_width(self) -> int:
        """How many neurons this rank has."""
        return self.preactivations.shape[1]

    def __repr__(self) -> str:
        own = f"neurons={self.neurons.start}:{self.neurons.stop}"
        return super().__repr__().replace("LastLayer(", f"ShardedLastLayer({own}, ")

    def outputs(self, factors: tuple[ArrayLike, ArrayLike] | None = None) -> FloatArray:
        """Return f(x_i) for every data point on every rank.

        Parameters
        ----------
        factors : pair of array_like, optional
            A (r, own neurons) and V_train (r, m_in), as `LastLayerGaussNewton.factors` has them on
            this rank.

        Returns
        -------
        ndarray, shape (n, n_outputs)

        Raises
        ------
        TypeError, ValueError
            As in `LastLayer.outputs`.

        Notes
        -----
        A sum over ranks, which rounds differently for another number of them.
        """
        if factors is not None:
            factors = as_factors(factors, self.own_width, self._inputs.shape[1], self.dtype)
        return outputs_in_range(lambda: self._outputs(factors))

    def _outputs(self, factors=None):
        parts = self.preactivations, self.readout[:, self.neurons], self.activation
        own = LastLayer._trusted(self._inputs, *parts, self.weight_std, self.thresholds)
        return self._ranks.added(own._outputs(factors))

    def gather(self, A: FloatArray) -> FloatArray | None:
        """Return A of all neurons on rank 0, and None on the others.

        Parameters
        ----------
        A : ndarray, shape (r, own neurons)
            The first of `LastLayerGaussNewton.factors` on this rank.

        Returns
        -------
        ndarray, shape (r, width), or None
            What ``network.outputs(X, (A, V))`` takes.
        """
        return self._ranks.gathered_at_first(A)

    def require_same(self, **values: object) -> None:
        """Raise a ValueError on every rank unless each value is the same on all of them.

        Parameters
        ----------
        **values : ndarray or object with a telling repr
            By name; compared by checksums.
        """
        self._ranks.require_same(**values)

    def jacobian(self, *args: object, **kwargs: object) -> NoReturn:
        """Raise: no rank has the rows of a Jacobian."""
        raise ValueError("layer must not be shared by ranks for `jacobian`; got a sharded layer.")


class GatheredRows(FixedWeights):
    """Weights whose product each rank makes a part of, and then has whole."""

    def __init__(self, W, ranks):
        self.shape, self.dtype = W.shape, W.dtype
        rows = [W.shape[0] * r // ranks.size // _TILE * _TILE for r in range(ranks.size)]
        self._edges, self._ranks = np.array([*rows, W.shape[0]]), ranks
        self._own = OwnRows(W, slice(*self._edges[ranks.rank : ranks.rank + 2]))

    def _apply_dense(self, H, n_threads):
        return self._ranks.gathered(self._own._apply_dense(H, n_threads), self._edges)

    def _apply_csr(self, indptr, indices, values, n_threads):
        own = self._own._apply_csr(indptr, indices, values, n_threads)
        return self._ranks.gathered(own, self._edges)


class OwnRows(FixedWeights):
    """Some rows of weights that are not stored."""

    def __init__(self, W, rows):
        first = rows.start // _TILE * _TILE
        self._rows = slice(rows.start - first, rows.stop - first)
        self._W = W._rows(first, rows.stop) if rows.stop > first else None
        self.shape, self.dtype = (rows.stop - rows.start, W.shape[1]), W.dtype

    def _apply_dense(self, H, n_threads):
        if self._W is None:
            return np.empty((len(H), 0), self.dtype)
        return np.ascontiguousarray(self._W._apply_dense(H, n_threads)[:, self._rows])

    def _apply_csr(self, indptr, indices, values, n_threads):
        if self._W is None:
            return np.empty((len(indptr) - 1, 0), self.dtype)
        product = self._W._apply_csr(indptr, indices, values, n_threads)
        return np.ascontiguousarray(product[:, self._rows])


def sharded_last_layer(network, X, comm, n_threads):
    """Return the `ShardedLastLayer` of a WideNetwork on trusted rows."""
    ranks = Ranks(comm)
    _require_shareable(network)
    weights = [repr(W) for W in network.weights]
    ranks.require_same(
        network=(weights, network.activation, network.weight_std), readout=network.readout, X=X
    )
    neurons = own_neurons(network.readout, ranks)
    *hidden, last = network.weights
    layers = [GatheredRows(W, ranks) for W in hidden] + [OwnRows(last, neurons)]
    part = network._from_parts(layers, network.readout, network.activation)
    part.weight_std = network.weight_std
    return ShardedLastLayer._sharing(part._last_layer(X, n_threads), neurons, ranks)


def own_neurons(readout: FloatArray, ranks: Ranks) -> slice:
    """Return the neurons of this rank, whole chunks of those that feed an output."""
    edges = _edges_of_chunks(readout)
    n_chunks = len(edges) - 1
    if ranks.size > n_chunks:
        raise ValueError(
            f"comm must have at most {n_chunks} ranks for {n_chunks} blocks of up to "
            f"{NEURONS_PER_CHUNK} neurons; got {ranks.size}. Use fewer ranks or a larger width."
        )
    share = ranks.share(n_chunks)
    return slice(int(edges[share.start]), int(edges[share.stop]))


def _edges_of_chunks(readout) -> NDArray[np.intp]:
    """Return where the chunks of consecutive neurons begin, and where the last ends."""
    ends = np.cumsum(np.count_nonzero(readout, axis=1))
    starts = np.concatenate([[0], ends])
    chunks = [
        np.arange(start, stop, NEURONS_PER_CHUNK) for start, stop in itertools.pairwise(starts)
    ]
    return np.concatenate([*chunks, ends[-1:]])


def _require_shareable(network):
    """Raise unless ranks can make their own neurons and count those that fire."""
    if not all(isinstance(W, GaussianWeights) for W in network.weights):
        kinds = ", ".join(sorted({type(W).__name__ for W in network.weights}))
        raise ValueError(
            f"weights must be 'implicit' for ranks to share a network; got {kinds}. Each rank "
            "makes its own rows from the seeds."
        )
    if not network.normalise:
        raise ValueError("normalise must be True for ranks to share a network; got False.")
    readout = network.readout
    owners = [np.flatnonzero(column) for column in readout]
    in_order = is_separable(readout) and np.array_equal(
        np.concatenate(owners), np.arange(readout.shape[1])
    )
    magnitudes = np.abs(readout[readout != 0])
    if not in_order or magnitudes.min() != magnitudes.max():
        raise ValueError(
            "readout must be a partition with signs for ranks to share a network; got another."
        )
