"""The last hidden layer of a network whose neurons are shared by the ranks of a communicator."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

from subquad._ranks import NEURONS_PER_CHUNK, Ranks
from subquad.networks._last_layer import LastLayer, as_factors, is_separable, outputs_in_range
from subquad.networks._shared_weights import GatheredRows, OwnRows, SharedProducts
from subquad.weights import GaussianWeights

if TYPE_CHECKING:
    from typing import NoReturn

    from numpy.typing import ArrayLike, NDArray

    from subquad._typing import FloatArray


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

    def _product_with_features(self, A):
        """A^T V of all neurons on every rank, shape (width, m_in), from A of this rank's."""
        edges = _edges_of_chunks(self.readout)
        out = np.empty((self.width, self._inputs.shape[1]), A.dtype)
        for rows in chunks_of(self.readout, self.neurons):
            own = slice(rows.start - self.neurons.start, rows.stop - self.neurons.start)
            out[rows] = A[:, own].T @ self.features
        starts = [int(edges[share.start]) for share in self._ranks.shares(len(edges) - 1)]
        self._ranks.filled(out, [*starts, self.width])
        return out

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


def sharded_two_layer(network, X, comm):
    """Return the `ShardedLastLayer` of a TwoLayerNetwork, of which every rank has all weights."""
    ranks = Ranks(comm)
    _require_partition(network.readout)
    ranks.require_same(
        network=network.weights, readout=network.readout, activation=network.activation, X=X
    )
    neurons = own_neurons(network.readout, ranks)
    Z = np.empty((len(X), neurons.stop - neurons.start), network.dtype)
    for chunk in chunks_of(network.readout, neurons):  # a product of the same shape on any rank
        own = slice(chunk.start - neurons.start, chunk.stop - neurons.start)
        Z[:, own] = X @ network.weights[chunk].T
    parts = network.readout, network.activation, network.weight_std, network._thresholds(X)
    return ShardedLastLayer._sharing(LastLayer._trusted(X, Z, *parts), neurons, ranks)


def shared_network(network, X, comm):
    """Return a WideNetwork whose products with weights are shared by ranks, and the ranks."""
    ranks = Ranks(comm)
    _require_implicit(network)
    weights = [repr(W) for W in network.weights]
    described = weights, network.activation, network.weight_std, network.normalise
    ranks.require_same(network=described, readout=network.readout, X=X)
    layers = [SharedProducts(W, ranks) for W in network.weights]
    shared = network._from_parts(layers, network.readout, network.activation, network.normalise)
    shared.weight_std = network.weight_std
    return shared, ranks


def chunks_of(readout: FloatArray, neurons: slice) -> list[slice]:
    """Return the chunks of a rank's neurons."""
    pairs = itertools.pairwise(_edges_of_chunks(readout).tolist())
    return [slice(*pair) for pair in pairs if neurons.start <= pair[0] < neurons.stop]


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
    _require_implicit(network)
    if not network.normalise:
        raise ValueError("normalise must be True for ranks to share a network; got False.")
    _require_partition(network.readout)


def _require_implicit(network):
    """Raise unless ranks can make their own rows of the weights."""
    if not all(isinstance(W, GaussianWeights) for W in network.weights):
        kinds = ", ".join(sorted({type(W).__name__ for W in network.weights}))
        raise ValueError(
            f"weights must be 'implicit' for ranks to share a network; got {kinds}. Each rank "
            "makes its own rows from the seeds."
        )


def _require_partition(readout):
    """Raise unless whole chunks of neurons feed one output each, with weights of one size."""
    owners = [np.flatnonzero(column) for column in readout]
    in_order = is_separable(readout) and np.array_equal(
        np.concatenate(owners), np.arange(readout.shape[1])
    )
    magnitudes = np.abs(readout[readout != 0])
    if not in_order or magnitudes.min() != magnitudes.max():
        raise ValueError(
            "readout must be a partition with signs for ranks to share a network; got another."
        )
