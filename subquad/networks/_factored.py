"""A wide hidden layer whose weights are a product of factors, one of them trained.

Most of the file is docstrings, which is why it is long.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse

from subquad._parallel import blocks, resolve_threads
from subquad._shapes import MAX_SIZE, as_dtype, require_matrix_memory
from subquad._validation import as_csr, as_matrix, generator, integer, one_of, true_or_false
from subquad.activations import ReLU, as_activation
from subquad.hadamard import next_length
from subquad.jacobian import KhatriRao
from subquad.networks._factored_layer import FactoredLayer
from subquad.networks._initial import layer_number, normals
from subquad.networks._last_layer import outputs_in_range
from subquad.networks._outer import Absent, Dense, HadamardStack, OneTransform
from subquad.sketch import SRHT, GaussianSketch

if TYPE_CHECKING:
    from typing import Literal

    from numpy.typing import ArrayLike, DTypeLike, NDArray

    from subquad._typing import FloatArray, MatrixLike
    from subquad.activations import ThresholdActivation


# Take so many points at a time, whose bits take m / 8 bytes each.
_POINTS_PER_BLOCK = 4096


class FactoredNetwork:
    """A hidden layer of m neurons with W = B C, or W = A B C, of which B alone is trained.

    f(x) = a phi(A B C x) / sqrt(m),  C (l, d) and A (m, k) fixed, a (n_outputs, m) of signs,

    B (m, l), or (k, l), from N(0, 1). With u_i = A^T (a o phi'(z_i)) / sqrt(m) and v_i = C x_i the
    Jacobian has the rows u_i (x) v_i, as in every network here. Over the initialisation an output
    has variance ||C x||^2 / 2.

    Parameters
    ----------
    n_features : int
        d, the number of inputs.
    width : int
        m.
    inner_size : int
        l: C has entries of variance 1 / l, so that E[C^T C] = I.
    outer_size : int or None
        k: A has entries of variance 1 / k. None: there is no A.
    sketch : {"srht", "gaussian", "fjlt"}
        How A and C are drawn. "srht": C is a subsampled randomised Hadamard transform, and A a
        stack of transforms H D_j with random signs D_j, neither of them stored. "fjlt": the same C,
        and A is k columns of one such transform of order m, as printed; it is stored. "gaussian":
        dense, with normal entries, of any size. A transform has at most its order, so that l is at
        most d, rounded up to the next order, and k at most m.
    printed : bool
        Give C variance l^-1/2 and A variance k^-1/2, as printed, in place of 1 / l and 1 / k.
    n_outputs : int
    activation : ReLU, ShiftedReLU or ThresholdedReLU, optional
        ReLU() by default, as in the paper.
    rng : int, numpy.random.Generator or None
    dtype : float32 or float64

    Attributes
    ----------
    weights : ndarray, shape (m, l) or (k, l)
        B as drawn.
    readout : ndarray, shape (n_outputs, m)
        a.
    inner : SRHT or GaussianSketch
        C: ``inner.apply(X)`` is X C^T, but for the factor l^(1/4) of printed variances.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.
    MemoryError
        If B and A do not fit in memory.

    Notes
    -----
    [AS22], Sections 4 and 5. Outputs and gradients of n data points take O(n k l + n m log k)
    operations with "srht", O(n m l) without A, O(n m k) with a dense A, and n m / 8 bytes: the
    pre-activations of all points are never in memory.

    Departures: variances are 1 / l and 1 / k (the paper prints 1 / sqrt(l) and 1 / sqrt(k), with
    which norms grow by l^1/4: printed=True); several outputs; with "srht" A is made of independent
    transforms of k neurons each rather than of k columns of one transform of order m, "fjlt". That
    is as random a matrix, A^T A is m / k times the identity just the same, neurons of a block are
    orthogonal at the start, and it costs log k instead of log m operations a neuron (the trimmed
    transform that the paper counts on), without leaving the first-level cache.

    Examples
    --------
    >>> network = FactoredNetwork(16, width=4096, inner_size=8, outer_size=64, rng=0)
    >>> network.weights.shape, network.outputs(np.eye(16)).shape
    ((64, 8), (16, 1))
    """

    printed = False  # of networks that older versions pickled

    def __init__(
        self,
        n_features: int,
        *,
        width: int,
        inner_size: int,
        outer_size: int | None = None,
        sketch: Literal["srht", "gaussian", "fjlt"] = "srht",
        printed: bool = False,
        n_outputs: int = 1,
        activation: ThresholdActivation | None = None,
        rng: int | np.random.Generator | None = None,
        dtype: DTypeLike = np.float64,
    ) -> None:
        d = integer(n_features, "n_features")
        width = integer(width, "width", maximum=MAX_SIZE)
        inner_size = integer(inner_size, "inner_size")
        one_of(sketch, "sketch", ("srht", "gaussian", "fjlt"))
        if outer_size is not None:
            outer_size = integer(outer_size, "outer_size")
        _require_orders(sketch, d, width, inner_size, outer_size)
        self.printed = true_or_false(printed, "printed")
        self.activation = as_activation(activation, ReLU())
        n_outputs, dtype, rng = integer(n_outputs, "n_outputs"), as_dtype(dtype), generator(rng)
        self.n_features, self.width, self.inner_size, self.outer_size = d, width, inner_size, None
        self.sketch = sketch
        rows = width if outer_size is None else outer_size
        require_matrix_memory((rows, inner_size), dtype)
        require_matrix_memory((n_outputs, width), np.float64)
        kind = GaussianSketch if sketch == "gaussian" else SRHT
        self.inner = kind(d, inner_size, rng=rng)
        self.weights: FloatArray = normals((rows, inner_size), rng, dtype)
        self._outer = Absent(width, dtype)
        if outer_size is not None:
            self.outer_size = rows
            if sketch != "srht":
                require_matrix_memory((width, rows), dtype)
            outer = {"srht": HadamardStack, "gaussian": Dense, "fjlt": OneTransform}[sketch]
            self._outer = outer(width, rows, rng, dtype)
            if self.printed:
                self._outer.multiply(rows**0.25)
        self.readout: FloatArray = 2.0 * rng.integers(0, 2, (n_outputs, width), dtype=np.int8) - 1.0
        self._finish(dtype)

    @property
    def _inner_factor(self):
        """By how much C as printed is larger."""
        return self.inner_size**0.25 if self.printed else 1.0

    def _finish(self, dtype):
        """Give the readout its dtype, and make the padded, scaled copy that the kernel reads."""
        self.readout = self.readout.astype(dtype)
        self._scale = self.activation.scale / math.sqrt(self.width)
        self._padded_readout = np.zeros((len(self.readout), self._outer.padded), dtype)
        self._padded_readout[:, : self.width] = self._scale * self.readout

    @property
    def n_outputs(self) -> int:
        """Number of outputs."""
        return len(self.readout)

    @property
    def dtype(self) -> DTypeLike:
        """float32 or float64."""
        return self.readout.dtype

    @property
    def n_parameters(self) -> int:
        """Entries of B, the numbers that training moves."""
        return self.weights.size

    def __repr__(self) -> str:
        return (
            f"FactoredNetwork(n_features={self.n_features}, width={self.width}, "
            f"inner_size={self.inner_size}, outer_size={self.outer_size}, "
            f"sketch={self.sketch!r}, {'printed=True, ' if self.printed else ''}"
            f"n_outputs={self.n_outputs}, "
            f"activation={self.activation}, dtype={self.dtype})"
        )

    def features(self, X: MatrixLike) -> FloatArray:
        """Return v_i = C x_i for every data point.

        Parameters
        ----------
        X : array_like or sparse array, shape (n, n_features)
            Cast to the dtype of the network.

        Returns
        -------
        ndarray, shape (n, inner_size)

        Raises
        ------
        TypeError, ValueError
            If X is not a finite real matrix with n_features columns.
        """
        if scipy.sparse.issparse(X):
            indptr, indices, values = as_csr(X, "X", n_columns=self.n_features, dtype=self.dtype)
            X = scipy.sparse.csr_array((values, indices, indptr), shape=X.shape)
        else:
            X = as_matrix(X, "X", n_columns=self.n_features, dtype=self.dtype)
        V = np.ascontiguousarray(self.inner.apply(X), dtype=self.dtype)
        if self.printed:
            V *= V.dtype.type(self._inner_factor)
        return V

    def outputs(
        self,
        X: ArrayLike,
        weights: ArrayLike | None = None,
        *,
        centred: bool = False,
        n_threads: int | None = None,
    ) -> NDArray[np.float64]:
        """Return f(x_i) for every data point, with B = weights if they are given.

        Parameters
        ----------
        X : array_like, shape (n, n_features)
        weights : array_like, optional
            In place of B, such as `FactoredGradientDescent.weights`.
        centred : bool
            Subtract the outputs of the network as drawn.
        n_threads : int or None

        Returns
        -------
        ndarray of float64, shape (n, n_outputs)

        Raises
        ------
        TypeError, ValueError
            If X or the weights are not finite real matrices of these shapes.
        """
        weights, n_threads = self._as_weights(weights), resolve_threads(n_threads)
        V = self.features(X)
        return outputs_in_range(lambda: self._outputs(V, weights, centred, n_threads))

    def _outputs(self, V, weights, centred, n_threads):
        """Trusted twin of `outputs`, for data points that C has been applied to."""
        out = np.empty((len(V), self.n_outputs))
        for points in blocks(len(V), _POINTS_PER_BLOCK):
            layer = FactoredLayer(self, V[points], n_threads)
            out[points] = layer.respond(weights).outputs
            if centred:
                out[points] -= layer.respond(self.weights).outputs
        return out

    def jacobian(
        self,
        X: ArrayLike,
        weights: ArrayLike | None = None,
        *,
        layer: int = -1,
        output: int = 0,
        n_threads: int | None = None,
    ) -> KhatriRao:
        """Return the Jacobian of one output by B, as `KhatriRao` (U, V).

        Parameters
        ----------
        X : array_like, shape (n, n_features)
        weights : array_like, optional
            In place of B.
        layer : int
            1 or -1, the only one.
        output : int
        n_threads : int or None

        Returns
        -------
        KhatriRao
            Row i is u_i (x) v_i: u_i = A^T (a o phi'(z_i)) / sqrt(m) and v_i = C x_i. Its
            ``gram()`` is the empirical tangent kernel.

        Raises
        ------
        TypeError, ValueError
            If an argument is not as described.
        MemoryError
            If U does not fit in memory.
        """
        layer_number(layer, 1)
        output = integer(output, "output", minimum=0, maximum=self.n_outputs - 1)
        weights, V = self._as_weights(weights), self.features(X)
        require_matrix_memory((len(V), len(weights)), self.dtype)
        layer = FactoredLayer(self, V, resolve_threads(n_threads))
        return KhatriRao(layer.tangents(layer.respond(weights).fired, output), V)

    def _layer(self, X, n_threads):
        """The `FactoredLayer` of this network on the rows of X: what its trainers ask."""
        return FactoredLayer(self, self.features(X), n_threads)

    def inner_matrix(self) -> FloatArray:
        """Return C, shape (l, d), in float64."""
        return self._inner_factor * self.inner.matrix()

    def outer_matrix(self) -> FloatArray:
        """Return A, shape (m, k), in float64; the identity if there is none."""
        return self._outer.matrix()

    def _as_weights(self, weights):
        """Return B, or what is given in place of it."""
        if weights is None:
            return self.weights
        rows, columns = self.weights.shape
        return as_matrix(weights, "weights", n_rows=rows, n_columns=columns, dtype=self.dtype)


def _require_orders(sketch, d, width, inner_size, outer_size):
    """Refuse more coordinates than a transform has."""
    if sketch == "gaussian":
        return
    most = next_length(d)
    if inner_size > most:
        raise ValueError(
            f"inner_size must be at most n_features={d}, or the next order {most} of a transform; "
            f"got {inner_size}. sketch='gaussian' takes any."
        )
    if outer_size is not None and outer_size > width:
        raise ValueError(
            f"outer_size must be at most width={width}: A^T reduces dimensions; got {outer_size}. "
            "sketch='gaussian' takes any."
        )
