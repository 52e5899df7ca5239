"""The network of one hidden layer."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from subquad._parallel import blocks
from subquad._shapes import MAX_SIZE, as_dtype
from subquad._validation import as_matrix, generator, integer, require_memory
from subquad.activations import ReLU, ShiftedReLU
from subquad.jacobian import KhatriRao
from subquad.networks._initial import Network, layer_number, normals, signs
from subquad.networks._last_layer import (
    LastLayer,
    _norms,
    as_factors,
    outputs_in_range,
    require_preactivations,
    thresholds_of,
)
from subquad.networks._sharded import sharded_two_layer

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, DTypeLike

    from subquad._ranks import Communicator
    from subquad._typing import FloatArray
    from subquad.activations import ThresholdActivation


# Take points in blocks whose arrays of shape (n, width) have at most so many bytes.
_BYTES_PER_BLOCK = 2**24


class TwoLayerNetwork(Network):
    """f(x) = a phi(W x), W (m, d) with entries from N(0, 1) and a of entries +-1 / sqrt(m).

    Parameters
    ----------
    n_features : int
        d, the number of inputs. There is no bias: append a constant to x for one.
    width : int
        m.
    activation : ReLU or ShiftedReLU, optional
        ReLU by default.
    n_outputs : int
        Output c reads the c-th of n_outputs nearly equal blocks of neurons.
    rng : int, numpy.random.Generator or None
    dtype : float32 or float64

    Attributes
    ----------
    weights : ndarray, shape (width, n_features)
        W as drawn, read-only.
    readout : ndarray, shape (n_outputs, width)

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.
    MemoryError
        If the weights do not fit in memory.

    Notes
    -----
    [BPSW21], equation (5), with w ~ N(0, I_d) and the factor 1 / sqrt(m) that their Algorithm 1
    leaves out. Several outputs are an extension.

    Examples
    --------
    >>> network = TwoLayerNetwork(3, width=64, rng=0)
    >>> network.outputs(np.eye(3)).shape
    (3, 1)
    """

    weight_std = 1.0

    def __init__(
        self,
        n_features: int,
        width: int = 2048,
        *,
        activation: ThresholdActivation | None = None,
        n_outputs: int = 1,
        rng: int | np.random.Generator | None = None,
        dtype: DTypeLike = np.float64,
    ) -> None:
        n_features, n_outputs = integer(n_features, "n_features"), integer(n_outputs, "n_outputs")
        width, dtype, rng = integer(width, "width"), as_dtype(dtype), generator(rng)
        if width < n_outputs:
            raise ValueError(f"width must be at least n_outputs={n_outputs}; got {width}.")
        self.activation = ReLU() if activation is None else activation
        if not isinstance(self.activation, ShiftedReLU):
            raise TypeError(
                f"activation must be a ReLU or ShiftedReLU; got {type(self.activation).__name__}."
            )
        size = width * (n_features + n_outputs) * 8
        require_memory(size, f"Weights of shape {(width, n_features)}", "Use a smaller width.")
        integer(width, "width", maximum=MAX_SIZE)
        self.weights: FloatArray = normals((width, n_features), rng, dtype)
        self.weights.flags.writeable = False
        self.readout: FloatArray = (
            signs(n_outputs, width, "partition", rng) / math.sqrt(width)
        ).astype(dtype)

    def _thresholds(self, X):
        """Return the threshold at every row of X, in float64."""
        return thresholds_of(self.activation, _norms(X), self.weight_std, self.dtype)

    def __repr__(self) -> str:
        return (
            f"TwoLayerNetwork(n_features={self.n_features}, width={self.width}, "
            f"n_outputs={self.n_outputs}, activation={self.activation}, dtype={self.dtype})"
        )

    def last_layer(self, X: ArrayLike, *, comm: Communicator | None = None) -> LastLayer:
        """Return the hidden layer on the rows of X as a `LastLayer`, whose V is X.

        Parameters
        ----------
        X : array_like, shape (n, n_features)
            Cast to the dtype of the network.
        comm : mpi4py.MPI.Intracomm, optional
            Its ranks share the neurons, each calling this with the same network and rows: see
            `ShardedLastLayer`.

        Raises
        ------
        TypeError, ValueError
            If X is not a finite real matrix with n_features columns; or if `comm` is no
            communicator, has more ranks than there are blocks of 256 neurons, or its ranks have
            different rows or networks.

        Notes
        -----
        Ranks multiply blocks of 256 neurons, and so have the same bits whatever their number is;
        those of one product of all neurons may round differently.
        """
        X = self._as_inputs(X)
        if comm is not None:
            return sharded_two_layer(self, X, comm)
        thresholds = self._thresholds(X)
        return LastLayer._trusted(
            X, X @ self.weights.T, self.readout, self.activation, self.weight_std, thresholds
        )

    def outputs(
        self,
        X: ArrayLike,
        factors: tuple[ArrayLike, ArrayLike] | None = None,
        *,
        centred: bool = False,
    ) -> FloatArray:
        """Return f(x_i) for every data point, with W + A^T V if factors are given.

        Parameters
        ----------
        X : array_like, shape (n, n_features)
        factors : pair of array_like, optional
            A (r, width) and V (r, n_features), as `TwoLayerGaussNewton.factors`.
        centred : bool
            Subtract the outputs of the network as drawn.

        Returns
        -------
        ndarray, shape (n, n_outputs)

        Raises
        ------
        TypeError, ValueError
            If X or the factors are not finite real matrices of these shapes, or outputs overflow.

        Notes
        -----
        2 n m d operations, points taken in blocks of 16 MiB per array of shape (n, width).
        """
        X = self._as_inputs(X)
        W = self._moved(factors)
        out = outputs_in_range(lambda: self._outputs(X, W))
        return out - outputs_in_range(lambda: self._outputs(X, self.weights)) if centred else out

    def jacobian(
        self,
        X: ArrayLike,
        layer: int = -1,
        *,
        factors: tuple[ArrayLike, ArrayLike] | None = None,
        output: int = 0,
    ) -> KhatriRao:
        """Return the Jacobian of one output by W, as factors.

        Parameters
        ----------
        X : array_like, shape (n, n_features)
        layer : int
            1 or -1, the only one.
        factors : pair of array_like, optional
            As in `outputs`.
        output : int

        Returns
        -------
        KhatriRao
            Row i is u_i (x) x_i with u_i = a o phi'(W x_i).

        Raises
        ------
        TypeError, ValueError
            If an argument is not as described.
        MemoryError
            If U, n m numbers, does not fit.

        Notes
        -----
        [BPSW21], Section 3.1. `jacobian.MatrixFreeJacobian`, which training uses, keeps bits.
        """
        X = self._as_inputs(X)
        layer_number(layer, 1)
        output = integer(output, "output", minimum=0, maximum=self.n_outputs - 1)
        require_memory(
            len(X) * self.width * 3 * self.dtype.itemsize,
            f"A Jacobian of {len(X)} points",
            "Use fewer points at once.",
        )
        slopes = self.activation._derivative(X @ self._moved(factors).T, self._thresholds(X))
        return KhatriRao(slopes * self.readout[output], X)

    def _moved(self, factors):
        """Return W, or W + A^T V for checked factors."""
        if factors is None:
            return self.weights
        A, V = as_factors(factors, self.width, self.n_features, self.dtype)
        return self.weights + A.T @ V

    def _as_inputs(self, X):
        return as_matrix(X, "X", n_columns=self.n_features, dtype=self.dtype)

    def _outputs(self, X, W):
        """Return the readout times phi(W x_i), for trusted arrays."""
        thresholds = self._thresholds(X)
        far = np.abs(X).max() > float(np.finfo(self.dtype).max) ** 0.5
        out = np.empty((len(X), self.n_outputs), self.dtype)
        for points in blocks(len(X), _BYTES_PER_BLOCK // (self.width * self.dtype.itemsize)):
            Z = X[points] @ W.T
            if W is not self.weights or far:
                require_preactivations(Z)
            out[points] = self.activation._apply(Z, thresholds[points], out=Z) @ self.readout.T
        return out
