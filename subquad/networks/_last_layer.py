"""The last hidden layer of a network, as the arrays that its training needs.

Long for the docstrings of one class, and for the functions of a layer that all networks share.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse

from subquad._parallel import blocks
from subquad._products import dense_rows, gemm
from subquad._validation import (
    as_array,
    as_matrix,
    as_vector,
    integer,
    real,
    require_in_range,
    require_memory,
)
from subquad.activations import ReLU, as_activation, is_smooth
from subquad.jacobian import KhatriRao
from subquad.networks._initial import layer_number

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import ArrayLike, NDArray

    from subquad._typing import FloatArray
    from subquad.activations import Activation


# Cast so many columns of float32 features to float64 at a time,
_COLUMNS_PER_BLOCK = 2048
# or as many as have so many entries.
_ENTRIES_PER_CAST = 2**22
# Evaluate the layer for blocks of points with so many pre-activations.
_ENTRIES_PER_BLOCK = 2**23


class LastLayer:
    """f(x_i) = readout phi(z_i), z_i = W v_i, for n data points whose v_i stay fixed.

    W (width, m_in) itself is not needed: training changes it by A^T V for the V below, which moves
    the pre-activations by K A with K = V V^T. So the arrays may come from any frozen network whose
    last hidden layer has one of the activations of `subquad.activations`.

    Parameters
    ----------
    features : array_like, shape (n, m_in)
        V, the inputs v_i of the layer, in float32 or float64, which every other array is cast to.
    preactivations : array_like, shape (n, width)
        Z0 = V W^T at the start.
    readout : array_like, shape (n_outputs, width) or (width,)
        a, the fixed weights of the outputs.
    activation : one of `subquad.activations`
        ReLU by default.
    weight_std : float or None
        Standard deviation of the entries of W, in whose units shifts are given. None means
        sqrt(2 / width), the initialisation of [SZZ24].
    thresholds : array_like, shape (n,), optional
        tau_i, instead of those of the activation. A smooth activation has none.

    Attributes
    ----------
    features, preactivations, readout, thresholds : ndarray
        Checked, contiguous. `readout` has two dimensions and `thresholds` is float64. The arrays
        are not copied where they already are in this form.
    n, width, n_outputs : int

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.

    Examples
    --------
    >>> V, Z0 = np.eye(2), np.array([[1.0, -1.0, 2.0], [0.5, 3.0, -2.0]])
    >>> layer = LastLayer(V, Z0, [1.0, 1.0, -1.0], ReLU())
    >>> layer.outputs()
    array([[-1. ],
           [ 3.5]])
    """

    def __init__(
        self,
        features: ArrayLike,
        preactivations: ArrayLike,
        readout: ArrayLike,
        activation: Activation | None = None,
        *,
        weight_std: float | None = None,
        thresholds: ArrayLike | None = None,
    ) -> None:
        self._inputs = as_matrix(features, "features")
        self.n, dtype = len(self.features), self.features.dtype
        self.preactivations: FloatArray = as_matrix(
            preactivations, "preactivations", dtype=dtype, n_rows=self.n
        )
        self.width: int = self.preactivations.shape[1]
        self.readout: FloatArray = as_readout(readout, self.width, dtype)
        self.n_outputs = len(self.readout)
        self.activation = as_activation(activation, ReLU(), smooth=True)
        if thresholds is not None and is_smooth(self.activation):
            raise ValueError(
                f"thresholds must be None for {self.activation}, which has none; got an array."
            )
        self.weight_std = (
            math.sqrt(2 / self.width)
            if weight_std is None
            else real(weight_std, "weight_std", minimum=0.0, exclusive_minimum=True)
        )
        self.thresholds: FloatArray | None = (
            thresholds_of(self.activation, _norms(self.features), self.weight_std, self.dtype)
            if thresholds is None
            else as_vector(thresholds, "thresholds", size=self.n, dtype=np.float64)
        )

    @classmethod
    def _trusted(cls, features, preactivations, readout, activation, weight_std, thresholds):
        """Adopt arrays in the form that the constructor would give them; features also in CSR."""
        self = cls.__new__(cls)
        self._inputs, self.preactivations, self.readout = features, preactivations, readout
        self.activation, self.weight_std, self.thresholds = activation, weight_std, thresholds
        self.n, self.width = preactivations.shape
        self.n_outputs = len(readout)
        return self

    @property
    def features(self) -> FloatArray:
        """V, shape (n, m_in). Where few of its entries are not 0, the array is made when asked."""
        if not scipy.sparse.issparse(self._inputs):
            return self._inputs
        if self._dense is None:
            self._dense = self._rows(slice(0, self.n))
        return self._dense

    # What `features` has made of inputs in CSR, and K where it was put together from known parts.
    _dense = _known_gram = None

    @property
    def dtype(self) -> np.dtype[Any]:
        """float32 or float64."""
        return self._inputs.dtype

    def _rows(self, points):
        """Some of the features, dense."""
        V = self._inputs
        if not scipy.sparse.issparse(V):
            return V[points]
        return dense_rows(V.indptr[points.start : points.stop + 1], V.indices, V.data, V.shape[1])

    def __repr__(self) -> str:
        return (
            f"LastLayer(n={self.n}, width={self.width}, n_outputs={self.n_outputs}, "
            f"activation={self.activation}, dtype={self.dtype})"
        )

    def gram(self) -> NDArray[np.float64]:
        """Return K = V V^T, shape (n, n), summed in float64."""
        if self._known_gram is not None:
            return self._known_gram.copy()
        if scipy.sparse.issparse(self._inputs):
            V = self._inputs.astype(np.float64)
            return (V @ V.T).toarray()
        if self.dtype == np.float64:
            return self.features @ self.features.T
        K = np.zeros((self.n, self.n))
        step = min(_COLUMNS_PER_BLOCK, _ENTRIES_PER_CAST // self.n)
        for columns in blocks(self.features.shape[1], step):
            part = self.features[:, columns].astype(np.float64)
            K += part @ part.T
        return K

    def _gram_with(self, other):
        """Return the inner products with the features of another layer, summed in float64."""
        V, W = self._inputs, other._inputs
        if any(map(scipy.sparse.issparse, (V, W))):
            V, W = (scipy.sparse.csr_array(part, dtype=np.float64) for part in (V, W))
            return (V @ W.T).toarray()
        if self.dtype == np.float64:
            return V @ W.T
        K = np.zeros((len(V), len(W)))
        step = max(1, min(_COLUMNS_PER_BLOCK, _ENTRIES_PER_CAST // (len(V) + len(W))))
        for columns in blocks(V.shape[1], step):
            K += V[:, columns].astype(np.float64) @ W[:, columns].astype(np.float64).T
        return K

    def outputs(self, factors: tuple[ArrayLike, ArrayLike] | None = None) -> FloatArray:
        """Return f(x_i) for every data point, with W + A^T V_train if factors are given.

        Parameters
        ----------
        factors : pair of array_like, optional
            A (r, width) and V_train (r, m_in), as `LastLayerGaussNewton.factors`.

        Returns
        -------
        ndarray, shape (n, n_outputs)

        Raises
        ------
        TypeError, ValueError
            If the factors are not finite real matrices of these shapes, or outputs overflow.

        Notes
        -----
        O(n r (m_in + width)) operations.
        """
        if factors is not None:
            factors = as_factors(factors, self.width, self._inputs.shape[1], self.dtype)
        return outputs_in_range(lambda: self._outputs(factors))

    def jacobian(
        self,
        layer: int = -1,
        *,
        factors: tuple[ArrayLike, ArrayLike] | None = None,
        output: int = 0,
    ) -> KhatriRao:
        """Return the Jacobian of one output by W, as factors.

        Parameters
        ----------
        layer : int
            1 or -1, the only one.
        factors : pair of array_like, optional
            As in `outputs`.
        output : int

        Returns
        -------
        KhatriRao
            Row i is u_i (x) v_i with u_i = a o phi'(z_i).

        Raises
        ------
        TypeError, ValueError
            If an argument is not as described.
        MemoryError
            If U, n width numbers, does not fit.
        """
        layer_number(layer, 1)
        output = integer(output, "output", minimum=0, maximum=self.n_outputs - 1)
        n_bytes = 3 * self.n * self.width * self.dtype.itemsize
        require_memory(n_bytes, f"A Jacobian of {self.n} points", "Use fewer points.")
        Z = self.preactivations
        if factors is not None:
            A, V = as_factors(factors, self.width, self.features.shape[1], self.dtype)
            Z = Z + gemm(gemm(self.features, V.T), A)
        slopes = self.activation._derivative(Z, self.thresholds)
        return KhatriRao(slopes * self.readout[output], self.features)

    def _moved_by(self, A, V):
        """Return the layer of the same points with the weights W + A^T V, trusted."""
        with np.errstate(over="ignore", invalid="ignore"):
            Z = self.preactivations + gemm(gemm(self.features, V.T), A)
        require_preactivations(Z)
        parts = self.readout, self.activation, self.weight_std, self.thresholds
        return LastLayer._trusted(self._inputs, Z, *parts)

    def _outputs(self, factors=None):
        """Trusted twin of `outputs`."""
        out = np.empty((self.n, self.n_outputs), self.dtype)
        for points in blocks(self.n, _ENTRIES_PER_BLOCK // self.width):
            Z = self.preactivations[points]
            if factors is not None:
                A, V = factors
                Z = Z + gemm(gemm(self._rows(points), V.T), A)
                require_preactivations(Z)
            out[points] = self.activation._apply(Z, self.thresholds[points]) @ self.readout.T
        return out


def is_separable(readout: FloatArray) -> bool:
    """Whether no neuron feeds two outputs."""
    return bool((np.count_nonzero(readout, axis=0) <= 1).all())


def as_factors(factors, width, m_in, dtype):
    """Return A (r, width) and V (r, m_in) of a change A^T V, in trusted form."""
    if not isinstance(factors, (tuple, list)) or len(factors) != 2:
        what = f"{len(factors)} parts" if isinstance(factors, (tuple, list)) else type(factors)
        raise TypeError(f"factors must be a pair (A, V); got {getattr(what, '__name__', what)}.")
    A = as_matrix(factors[0], "factors[0]", n_columns=width, dtype=dtype)
    return A, as_matrix(factors[1], "factors[1]", n_columns=m_in, n_rows=len(A), dtype=dtype)


def as_readout(readout, width, dtype):
    """Return the readout as a matrix (n_outputs, width)."""
    readout = as_array(readout, "readout")
    shape = readout.shape
    if len(shape) not in (1, 2) or shape[-1] != width:
        raise ValueError(f"readout must have shape ({width},) or (any, {width}); got {shape}.")
    return as_matrix(np.atleast_2d(readout), "readout", n_columns=width, dtype=dtype)


def thresholds_of(activation, norms, weight_std, dtype):
    """Return the thresholds of a layer for the norms of its inputs, which must not have overflowed.

    Raises
    ------
    ValueError
        If a norm is not finite in float64, or what it is the norm of was not in `dtype`.
    """
    largest = float(np.finfo(dtype).max)
    sound = np.isfinite(norms).all()
    thresholds = activation.thresholds(norms, weight_std) if sound else None
    if not sound or (thresholds > largest).any():
        raise ValueError(
            f"X and the weights must keep the inputs of every layer within the range of {dtype}; "
            "got an overflow. Scale down."
        )
    return thresholds


def require_preactivations(Z, norms=np.inf):
    """Raise where sums have overflowed, which activations would turn into silence.

    Inputs of moderate norms need no look: no sum of theirs overflows.
    """
    if np.max(norms, initial=0.0) > float(np.finfo(Z.dtype).max) ** 0.5:
        require_in_range(Z, "X and the weights", "the pre-activations")


def outputs_in_range(evaluate):
    """Return the outputs that a function gives, or raise where its arithmetic has overflowed."""
    with np.errstate(over="ignore", invalid="ignore"):
        out = evaluate()
    return require_in_range(out, "X and the weights", "the outputs")


def _norms(V):
    """Return the Euclidean norms of the rows in float64, even where their squares overflow it."""
    largest = np.maximum(V.max(axis=1), -V.min(axis=1)).astype(np.float64)
    if largest.size and 1e-100 < largest.min() and largest.max() < 1e100:
        return np.sqrt(np.einsum("ij,ij->i", V, V, dtype=np.float64))
    units = V / np.where(largest > 0, largest, 1.0)[:, None]
    return largest * np.sqrt(np.einsum("ij,ij->i", units, units))


def divide_by_norms(H, norms):
    """Divide the rows of H by their norms, in place; a norm of 0 leaves its row as it is.

    A norm may be too large for the dtype of H though no entry is.
    """
    large = ~(norms <= np.finfo(H.dtype).max)
    if large.any():
        H[large] *= H.dtype.type(2.0**-64)
        norms = np.where(large, 1.0, norms)
        norms[large] = _norms(H[large])
    H /= np.where(norms == 0, 1.0, norms)[:, None].astype(H.dtype)
