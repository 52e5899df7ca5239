"""Networks with hidden layers of one width, random and normalised.

Long for its docstrings: most methods have a few lines.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse

from subquad._kernels.coactivation import gather_fired, mark_fired
from subquad._parallel import blocks, resolve_threads, worth_threads
from subquad._products import SPARSE_GRAM_DENSITY
from subquad._shapes import MAX_DEPTH, MAX_SIZE, as_dtype
from subquad._validation import (
    as_matrix,
    generator,
    integer,
    one_of,
    real,
    require_memory,
    true_or_false,
)
from subquad.activations import ShiftedReLU, as_activation
from subquad.jacobian import KhatriRao
from subquad.networks._initial import (
    Network,
    as_grid,
    as_kind,
    as_layers,
    kind_of,
    layer_number,
    random_weights,
    signs,
)
from subquad.networks._last_layer import (
    LastLayer,
    _norms,
    as_readout,
    divide_by_norms,
    outputs_in_range,
    require_preactivations,
    thresholds_of,
)
from subquad.networks._passes import ForwardPass, as_changes, is_list_of_pairs
from subquad.networks._sharded import sharded_last_layer, shared_network
from subquad.networks._silence import warn_of_silence
from subquad.weights import StructuredWeights

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Literal

    from numpy.typing import ArrayLike, DTypeLike

    from subquad._ranks import Communicator
    from subquad._typing import FloatArray
    from subquad.activations import ThresholdActivation
    from subquad.weights import Weights


# Take points in blocks whose arrays of shape (n, width) have at most so many bytes.
_BYTES_PER_BLOCK = 2**26
# Ask for the available memory before layers of so many bytes are made.
_LARGE_LAYERS = 2**27
# List the neurons that fired for so many (data point, neuron) at a time, 16 bytes for each of them;
_ENTRIES_PER_LIST = 2**23
# but for so many data points at least: implicit weights are made once for all of them.
_FEWEST_POINTS = 512
# Look for the neurons that fired with another thread for each so many (data point, neuron): it
# takes a quarter of a millisecond to read them.
_ENTRIES_PER_THREAD = 2**20
# Above this density of H the product with dense weights is a GEMM in any case.
_FEW = 0.4


class WideNetwork(Network):
    """A random network of L hidden layers of width m.

    h_0 = x;  h_l = phi(W_l h_{l-1}), divided by its norm for l < L;  f(x) = a phi(W_L h_{L-1})

    or, with normalise=False, without the division, as it is printed.

    with W_l entries from N(0, 2/m) and a of signs. Over the initialisation an output has variance
    1 (one output, or a dense readout) or 1 / n_outputs (a partition).

    Parameters
    ----------
    n_features : int
        d, the number of inputs.
    width : int
        m.
    depth : int
        L >= 2: W_1 is (m, d), the others are (m, m).
    n_outputs : int
    activation : ReLU, ShiftedReLU or ThresholdedReLU, optional
        ShiftedReLU(1.0) by default.
    readout : {"partition", "dense"}
        "partition": output c reads, with signs, the c-th of n_outputs nearly equal blocks of
        neurons; the outputs are then trained independently and exactly. "dense": every output
        reads every neuron with a sign.
    normalise : bool
        Whether h_l is divided by its norm. f then depends on the direction of x alone,
        f(5 x) = f(x): append a constant column to X where rows share directions. False, with
        thresholds that are not relative, is the network of [SZZ24]: see below what becomes of it.
    weights : {"dense", "int8", "implicit"}
        How the weights are kept. "dense": in `dtype`. "int8": the m x m matrices in a byte for
        each number (float32 only), W_1 in `dtype`. "implicit": not at all; they are
        `GaussianWeights`, made anew in cache for every product.
    grid : {None, "int8", "float32"}
        The law of the m x m matrices, see `GaussianWeights`: "float32" are normals, "int8" has 163
        values. "dense" weights are of the float32 grid, "int8" weights of the int8 grid; "implicit"
        ones take either, None meaning "int8". W_1 has normals in any case.
    rng : int, numpy.random.Generator or None
        Source of the seeds of the layers, and of the readout.
    dtype : float32 or float64

    Attributes
    ----------
    weights : list of `subquad.weights`
        W_1 .. W_L.
    readout : ndarray, shape (n_outputs, width)

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.
    MemoryError
        If the weights do not fit in memory.

    Warns
    -----
    NetworkWarning
        Without normalisation, if a layer is silent at most of the data points that are evaluated.

    Notes
    -----
    [SZZ24] as printed, all with normalise=False, b being in units of sqrt(2 / m):

    ==============================================  ==============================================
    Section 2, max(x - b, 0)                        ShiftedReLU(b, relative=False, scaling="none")
    Definition F.3, c_b with the power -1/2         ThresholdedReLU(b, False, scaling="printed")
    Lemma G.6, the constant that keeps norms        ThresholdedReLU(b, relative=False)
    ==============================================  ==============================================

    With b = 2.2 the first is silent in layer 2 and the second in layer 3; of the third, norms
    spread from layer to layer (1.00 +- .10, 1.00 +- .32, 1.12 +- .83), and explode later: a fixed
    threshold amplifies deviations of |h| from 1.

    Departures from [SZZ24], Section 2 and Definition F.3: layers are normalised and thresholds
    follow the norm of the input, since with the printed constants the second layer is silent; a
    partitioned readout is an extension to several outputs. "int8" and "implicit" weights have the
    mean and variance of the normal law but 163 values (see `GaussianWeights`).

    For one `rng` and one grid, all kinds have the same numbers: how they are kept is a matter of
    memory and speed, and changes outputs by the rounding of sums at most. W_1 has few columns, in
    which 163 values would be few: with d = 1 no more than 163 neurons would differ.

    Examples
    --------
    >>> network = WideNetwork(3, width=64, depth=3, rng=0)
    >>> network.features(np.eye(3)).shape
    (3, 64)
    """

    normalise = True  # of networks that older versions pickled

    def __init__(
        self,
        n_features: int,
        *,
        width: int = 2048,
        depth: int = 2,
        n_outputs: int = 1,
        activation: ThresholdActivation | None = None,
        readout: Literal["partition", "dense"] = "partition",
        normalise: bool = True,
        weights: Literal["dense", "int8", "implicit"] = "dense",
        grid: Literal["float32", "int8"] | None = None,
        rng: int | np.random.Generator | None = None,
        dtype: DTypeLike = np.float64,
    ) -> None:
        n_features = integer(n_features, "n_features")
        depth, n_outputs = (
            integer(depth, "depth", minimum=2, maximum=MAX_DEPTH),
            integer(n_outputs, "n_outputs"),
        )
        width = integer(width, "width", maximum=MAX_SIZE)
        dtype, rng = as_dtype(dtype), generator(rng)
        if width < n_outputs:
            raise ValueError(f"width must be at least n_outputs={n_outputs}; got {width}.")
        self.activation = as_activation(activation, ShiftedReLU())
        one_of(readout, "readout", ("partition", "dense"))
        self.normalise = true_or_false(normalise, "normalise")
        self.weight_std = math.sqrt(2 / width)
        kind = as_kind(weights, dtype)
        grids = ["float32"] + [as_grid(grid, kind)] * (depth - 1)
        shapes = [(width, n_features)] + [(width, width)] * (depth - 1)
        self.weights: list[Weights] = [
            random_weights(kind, grid, shape, self.weight_std, rng, dtype)
            for grid, shape in zip(grids, shapes, strict=True)
        ]
        self.readout: FloatArray = signs(n_outputs, width, readout, rng).astype(dtype)

    @classmethod
    def from_weights(
        cls,
        weights: Sequence[Weights | ArrayLike],
        readout: ArrayLike,
        *,
        activation: ThresholdActivation | None = None,
        weight_std: float | None = None,
        normalise: bool = True,
    ) -> WideNetwork:
        """Return the network of given weights.

        Parameters
        ----------
        weights : sequence of `subquad.weights` or array_like
            W_1 (m, d), W_2 .. W_L (m, m), L >= 2, of one dtype; arrays are copied.
        readout : array_like, shape (n_outputs, m) or (m,)
            Cast to the dtype of the weights.
        activation : ReLU, ShiftedReLU or ThresholdedReLU, optional
            ShiftedReLU(1.0) by default.
        weight_std : float, optional
            The unit of shifts, the standard deviation of the weights; sqrt(2 / m) by default.
        normalise : bool
            As in the constructor.

        Returns
        -------
        WideNetwork

        Raises
        ------
        TypeError, ValueError
            If an argument is not as described.

        Notes
        -----
        Files of `save_model` hold networks that were drawn, and not these.

        Examples
        --------
        >>> from subquad.weights import StructuredWeights
        >>> layers = [StructuredWeights((64, d), seed, std=0.2) for seed, d in enumerate((3, 64))]
        >>> WideNetwork.from_weights(layers, np.ones(64)).outputs(np.eye(3)).shape
        (3, 1)
        """
        activation = as_activation(activation, ShiftedReLU())
        weights = as_layers(weights)
        width = weights[0].shape[0]
        readout = as_readout(readout, width, weights[0].dtype)
        normalise = true_or_false(normalise, "normalise")
        self = cls._from_parts(weights, readout, activation, normalise)
        if weight_std is not None:
            self.weight_std = real(weight_std, "weight_std", minimum=0.0, exclusive_minimum=True)
        return self

    @classmethod
    def _from_parts(cls, weights, readout, activation, normalise=True):
        """Return a network of trusted weights W_1 .. W_L and a readout of their dtype."""
        self = cls.__new__(cls)
        self.weights, self.readout, self.activation = weights, readout, activation
        self.weight_std, self.normalise = math.sqrt(2 / readout.shape[1]), normalise
        return self

    @property
    def n_features(self) -> int:
        """d, the number of inputs."""
        return self.weights[0].shape[1]

    @property
    def depth(self) -> int:
        """L, the number of hidden layers."""
        return len(self.weights)

    @property
    def nbytes(self) -> int:
        """Memory of the weights, in bytes."""
        return sum(W.nbytes for W in self.weights)

    def __repr__(self) -> str:
        W = self.weights[-1]
        kind = kind_of(W) or type(W).__name__
        weights = f"weights={kind!r}, " if kind != "dense" else ""
        if not self.normalise:
            weights = f"normalise=False, {weights}"
        return (
            f"WideNetwork(n_features={self.n_features}, width={self.width}, depth={self.depth}, "
            f"n_outputs={self.n_outputs}, activation={self.activation}, {weights}"
            f"dtype={self.dtype})"
        )

    def features(self, X: ArrayLike, n_threads: int | None = None) -> FloatArray:
        """Return h_{L-1} for every data point: zero where no neuron fires, else unit rows.

        Of any norms without normalisation.

        Parameters
        ----------
        X : array_like, shape (n, n_features)
            Cast to the dtype of the network.
        n_threads : int or None

        Returns
        -------
        ndarray, shape (n, width)

        Raises
        ------
        TypeError, ValueError
            If X is not a finite real matrix with n_features columns.
        MemoryError
            If layer and rows are large and do not fit, before anything is computed.

        Notes
        -----
        O(n m d + n m k (L - 2)) operations where k neurons fire ([SZZ24], Algorithm 2, line 4).
        """
        X = self._as_inputs(X)
        self._require_layers(X, 2 if self.depth > 2 else 1)
        return self._features(X, resolve_threads(n_threads))

    def last_layer(
        self, X: ArrayLike, n_threads: int | None = None, *, comm: Communicator | None = None
    ) -> LastLayer:
        """Return the `LastLayer` of the network on the rows of X.

        Parameters
        ----------
        X, n_threads
            As in `features`.
        comm : mpi4py.MPI.Intracomm, optional
            Its ranks share the neurons among themselves, each calling this with the same network
            and rows: see `ShardedLastLayer`. Weights must be implicit, the readout a partition,
            and layers normalised.

        Returns
        -------
        LastLayer
            A `ShardedLastLayer` where `comm` is given.

        Raises
        ------
        TypeError, ValueError
            As in `features`; or if `comm` is no communicator, has more ranks than there are blocks
            of 256 neurons, or its ranks have different rows or networks.
        MemoryError
            As in `features`.
        """
        X = self._as_inputs(X)
        self._require_layers(X, 2)
        n_threads = resolve_threads(n_threads)
        if comm is not None:
            return sharded_last_layer(self, X, comm, n_threads)
        return self._last_layer(X, n_threads)

    def _shared(self, X, comm):
        """Return this network with products that ranks share, and the `Ranks`; all have this X."""
        return shared_network(self, X, comm)

    def _require_layers(self, X, count):
        """Raise unless so many layers of neurons at the rows of X fit in memory."""
        n_bytes = count * len(X) * self.width * self.dtype.itemsize
        if n_bytes >= _LARGE_LAYERS:
            what = f"The layers of {len(X)} rows at width {self.width}"
            require_memory(n_bytes, what, "Take fewer rows, a smaller width, or float32.")

    def outputs(
        self,
        X: ArrayLike,
        factors: tuple[ArrayLike, ArrayLike] | Sequence[tuple[ArrayLike, ArrayLike]] | None = None,
        *,
        centred: bool = False,
        n_threads: int | None = None,
    ) -> FloatArray:
        """Return f(x_i) for every data point, with W_L + A^T V if factors are given.

        Parameters
        ----------
        X : array_like, shape (n, n_features)
        factors : pair of array_like, or list of pairs, optional
            A (r, width) and V (r, width), as `LastLayerGaussNewton.factors`; or one pair for every
            layer, V_1 of shape (r, n_features), as `AllLayersGaussNewton.factors`.
        centred : bool
            Subtract the outputs of the network as drawn.
        n_threads : int or None

        Returns
        -------
        ndarray, shape (n, n_outputs)

        Raises
        ------
        TypeError, ValueError
            If X or the factors are not finite real matrices of these shapes.

        Notes
        -----
        Points are taken in blocks of 64 MiB per array of shape (n, width).
        """
        X, n_threads = self._as_inputs(X), resolve_threads(n_threads)
        return outputs_in_range(lambda: self._outputs(X, factors, centred, n_threads))

    def _outputs(self, X, factors, centred, n_threads):
        changes = as_changes(self, factors) if is_list_of_pairs(factors) else None
        out = np.empty((len(X), self.n_outputs), self.dtype)
        for points in self._blocks(len(X)):
            if changes is None or centred:
                layer = self._last_layer(X[points], n_threads)
            if changes is None:
                out[points] = layer.outputs(factors)
            else:
                out[points] = self._forward(X[points], n_threads, changes).outputs()
            if centred:
                out[points] -= layer._outputs()
        return out

    def jacobian(
        self, X: ArrayLike, layer: int = -1, *, output: int = 0, n_threads: int | None = None
    ) -> KhatriRao:
        """Return the Jacobian of one output by the weights of a hidden layer, as factors.

        Parameters
        ----------
        X : array_like, shape (n, n_features)
        layer : int
            l, from 1 to the depth, or counted back from -1, the last hidden layer.
        output : int
        n_threads : int or None

        Returns
        -------
        KhatriRao
            Row i is u_i (x) v_i with v_i = h_{l-1} and u_i = d f / d (W_l h_{l-1}). The divisions
            of layers by their norms are part of the derivative; that of W_l's input is done.

        Raises
        ------
        TypeError, ValueError
            If an argument is not as described.
        """
        X, n_threads = self._as_inputs(X), resolve_threads(n_threads)
        output = integer(output, "output", minimum=0, maximum=self.n_outputs - 1)
        pairs, _ = self._tangents(X, output, [self._layer_number(layer)], n_threads)
        return KhatriRao(*pairs[0])

    def _layer_number(self, layer):
        return layer_number(layer, self.depth)

    def _tangents(self, X, output, chosen, n_threads):
        """Return ([(u_l, v_l) of chosen layers], h_L): what `ntk.empirical_ntk` asks."""
        forward = self._forward(X, n_threads)
        derivatives = forward.derivatives(
            forward.slopes(-1) * self.readout[output], min(chosen) - 1
        )
        pairs = [(U, forward.inputs[level]) for level, U in derivatives if level + 1 in chosen]
        return pairs, forward.response

    def _blocks(self, n):
        """Slices of n data points whose arrays of shape (n, width) stay small."""
        return blocks(n, _BYTES_PER_BLOCK // (self.width * self.dtype.itemsize))

    def _as_inputs(self, X):
        return as_matrix(X, "X", n_columns=self.n_features, dtype=self.dtype)

    def _last_layer(self, X, n_threads):
        """Trusted twin of `last_layer`."""
        if self.activation.firing_probability >= SPARSE_GRAM_DENSITY:
            return self._layer_above(self._features(X, n_threads), n_threads)
        V = self._features(X, n_threads)
        norms, shape, csr = _norms(V), V.shape, self._listed(V, n_threads)
        del V  # a few times as large as the list, and as large as what comes next
        Z0 = self.weights[-1]._apply_csr(*csr, n_threads)
        indptr, indices, values = csr
        V = scipy.sparse.csr_array((values, indices, indptr), shape=shape)
        return self._layer_of(V, norms, Z0)

    def _layer_above(self, V, n_threads):
        """The last layer on inputs V = h_{L-1}, trusted."""
        return self._layer_of(V, _norms(V), self._apply(self.weights[-1], V, n_threads))

    def _layer_of(self, V, norms, Z0):
        """The last layer on inputs V with these norms and products with W_L."""
        thresholds = thresholds_of(self.activation, norms, self.weight_std, self.dtype)
        if not self.normalise:
            warn_of_silence(self.depth, Z0.max(axis=1) > thresholds, norms)
        return LastLayer._trusted(V, Z0, self.readout, self.activation, self.weight_std, thresholds)

    def _forward(self, X, n_threads, changes=None, **options):
        """Return the `ForwardPass` of the rows of X, with dW_l for every layer if given."""
        return ForwardPass(self, X, n_threads, changes, **options)

    def _features(self, X, n_threads):
        """Trusted twin of `features`."""
        H = self._respond(self.weights[0]._apply_dense(X, n_threads), _norms(X), 1)
        for number, W in enumerate(self.weights[1:-1], start=2):
            H = self._respond(self._apply(W, H, n_threads), _norms(H), number)
        return H

    def _respond(self, Z, input_norms, number):
        """Return phi(Z) of a layer, divided by the norms of its rows, in the memory of Z."""
        thresholds = thresholds_of(self.activation, input_norms, self.weight_std, self.dtype)
        require_preactivations(Z, input_norms)
        H = self.activation._apply(Z, thresholds, out=Z)
        norms = _norms(H)
        if not self.normalise:
            warn_of_silence(number, norms, input_norms)
            return H
        divide_by_norms(H, norms)
        return H

    def _apply(self, W, H, n_threads):
        """Return rows W h_i; the neurons that fired are found in one pass where they are few."""
        full = self.activation.firing_probability > _FEW and kind_of(W) == "dense"
        if full or isinstance(W, StructuredWeights):
            return W._apply_dense(H, n_threads)
        parts = list(_blocks_of_lists(H))
        if len(parts) == 1:
            return W._apply_csr(*_positive_entries(H, n_threads), n_threads)
        Z = np.empty((len(H), W.shape[0]), H.dtype)
        for points in parts:
            Z[points] = W._apply_csr(*_positive_entries(H[points], n_threads), n_threads)
        return Z

    def _listed(self, H, n_threads):
        """Return (indptr, indices, values) of the neurons that fired at all rows."""
        lists = [_positive_entries(H[points], n_threads) for points in _blocks_of_lists(H)]
        pointers, indices, values = zip(*lists, strict=True)
        counts = np.concatenate([np.diff(p) for p in pointers])
        indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.intp)
        return indptr, np.concatenate(indices), np.concatenate(values)


def _blocks_of_lists(H):
    """Return slices of the rows whose neurons that fired are listed at once."""
    return blocks(len(H), max(_FEWEST_POINTS, _ENTRIES_PER_LIST // H.shape[1]))


def _positive_entries(H, n_threads):
    """Return (indptr, indices, values) of the entries of H above zero."""
    n, m = H.shape
    n_threads = worth_threads(n_threads, H.size, _ENTRIES_PER_THREAD)
    fired, counts = np.empty((n, -(-m // 64)), np.uint64), np.empty(n, np.intp)
    mark_fired(H, np.zeros(n, H.dtype), fired, counts, n_threads)
    indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.intp)
    indices, values = np.empty(indptr[-1], np.intp), np.empty(indptr[-1], H.dtype)
    gather_fired(H, fired, indptr, indices, values, n_threads)
    return indptr, indices, values
