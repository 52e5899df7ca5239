"""Two-layer networks of paired neurons, zero as drawn."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse
from scipy import special

from subquad._kernels.half_space_tree import split
from subquad._parallel import blocks
from subquad._shapes import as_dtype
from subquad._validation import as_matrix, generator, integer, one_of, real, require_memory
from subquad.jacobian import KhatriRao
from subquad.networks._initial import Network, layer_number, normals
from subquad.networks._last_layer import outputs_in_range, require_preactivations

if TYPE_CHECKING:
    from typing import Literal

    from numpy.typing import ArrayLike, DTypeLike, NDArray


# Take points in blocks of at most so many pre-activations.
_REALS_PER_BLOCK = 2**22
_MAX_SHIFT = 8.0
# A half-space report counts in 32 bits.
_MAX_WIDTH = 2**31 - 66
# A new leaf of a half-space report holds so many neurons.
_NEURONS_PER_CELL = 56


class PairedNetwork(Network):
    """Two-layer network with shifted ReLU whose neurons come in pairs that cancel.

    f(x) = B / sqrt(2 m) sum_{r < 2 m} a_r max(0, <w_r, x> - b_0)

    with w_r from N(0, I_d) and signs a_r drawn for r < m, w_{m + r} = w_r and a_{m + r} = -a_r: as
    drawn, f is 0, unless `pairs` says otherwise. Points are meant to be unit rows; then a neuron
    fires with probability Q(b_0).

    Parameters
    ----------
    n_features : int
        d.
    width : int
        2 m, the number of neurons; even.
    n_outputs : int
        C. Each output has signs of its own for every neuron.
    shift : float or None
        b_0, at most 8; None is sqrt(0.4 log(2 m)), for which fewer than (2 m)^(4/5) neurons fire
        at a point.
    scale : float
        B, the size of the readout. The larger it is, the less the neurons move while the network
        learns; from about 32 on it learns as its tangent kernel does.
    pairs : {"opposite", "equal"}
        "opposite": a_{m + r} = -a_r. "equal": a_{m + r} = a_r, as printed; f is not 0 as drawn,
        and the two neurons of a pair stay equal whatever is learned: m neurons, counted twice.
    rng : int, numpy.random.Generator or None
    dtype : float32 or float64

    Attributes
    ----------
    weights : ndarray, shape (width, n_features)
        Rows w_r as drawn, read-only.
    signs : ndarray of int8, shape (width, n_outputs)
        a_r, read-only.
    shift, scale : float
        b_0 and B.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.
    MemoryError
        If the weights do not fit in memory.

    Notes
    -----
    [QSY23], Definitions 1.2 and 1.3, with a_{m + r} = -a_r: with the printed a_{m + r} = a_r, which
    pairs="equal" draws, the pairs do not cancel. The pairs are numbered by small cells of space, so
    that neurons that fire together lie together in memory; their law does not change.

    Examples
    --------
    >>> network = PairedNetwork(3, width=512, rng=0)
    >>> X = np.eye(3)
    >>> bool(np.abs(network.outputs(X)).max() < 1e-12)
    True
    >>> round(network.shift, 3), round(network.firing_probability, 3)
    (1.58, 0.057)
    """

    def __init__(
        self,
        n_features: int,
        *,
        width: int = 4096,
        n_outputs: int = 1,
        shift: float | None = None,
        scale: float = 8.0,
        pairs: Literal["opposite", "equal"] = "opposite",
        rng: int | np.random.Generator | None = None,
        dtype: DTypeLike = np.float64,
    ) -> None:
        n_features = integer(n_features, "n_features")
        width = integer(width, "width", minimum=2, maximum=_MAX_WIDTH)
        if width % 2:
            raise ValueError(f"width must be even, since neurons come in pairs; got {width}.")
        n_outputs, dtype, rng = integer(n_outputs, "n_outputs"), as_dtype(dtype), generator(rng)
        if shift is None:
            shift = math.sqrt(0.4 * math.log(width))
        self.shift = real(shift, "shift", minimum=0.0, maximum=_MAX_SHIFT)
        sign = 1 if one_of(pairs, "pairs", ("opposite", "equal")) == "equal" else -1
        self.scale = real(scale, "scale", minimum=0.0, exclusive_minimum=True)
        require_memory(
            2 * width * (n_features * 8 + n_outputs),
            f"A network of {width} neurons with {n_features} features",
            "Use fewer neurons.",
        )
        rows = normals((width // 2, n_features), rng, np.dtype(np.float64))
        rows = rows[_by_cells(rows)].astype(dtype)
        signs = rng.choice(np.array([-1, 1], np.int8), (width // 2, n_outputs))
        self.weights = np.concatenate([rows, rows])
        self.signs = np.concatenate([signs, sign * signs])
        self.weights.flags.writeable = self.signs.flags.writeable = False

    @property
    def width(self) -> int:
        """2 m, the number of neurons."""
        return len(self.weights)

    @property
    def n_outputs(self) -> int:
        """Number of outputs."""
        return self.signs.shape[1]

    @property
    def dtype(self) -> DTypeLike:
        """float32 or float64."""
        return self.weights.dtype

    @property
    def firing_probability(self) -> float:
        """Q(b_0), the probability that a neuron fires at a unit vector."""
        return float(special.ndtr(-self.shift))

    @property
    def factor(self) -> float:
        """B / sqrt(2 m), the size of what a neuron adds to an output."""
        return self.scale / math.sqrt(self.width)

    def __repr__(self) -> str:
        return (
            f"PairedNetwork(n_features={self.n_features}, width={self.width}, "
            f"n_outputs={self.n_outputs}, shift={self.shift:.4g}, scale={self.scale:.4g}, "
            f"dtype={self.dtype})"
        )

    def outputs(self, X: ArrayLike, weights: ArrayLike | None = None) -> NDArray[np.float64]:
        """Return f at the rows of X, evaluating every neuron.

        Parameters
        ----------
        X : array_like, shape (n, n_features)
        weights : array_like, shape (width, n_features), optional
            Rows w_r; as drawn by default.

        Returns
        -------
        ndarray of float64, shape (n, n_outputs)

        Notes
        -----
        2 n width (n_features + n_outputs) operations. `training.HalfSpaceSGD.outputs` finds the
        neurons that fire instead.
        """
        X, weights = self._as_inputs(X), self._as_weights(weights)
        return outputs_in_range(lambda: self._outputs(X, weights))

    def _outputs(self, X, weights):
        """Trusted twin of `outputs`."""
        readout = self.factor * self.signs.astype(self.dtype)
        limit = float(np.finfo(self.dtype).max) ** 0.5
        far = np.abs(X).max() > limit or np.abs(weights).max() > limit
        out = np.empty((len(X), self.n_outputs))
        for points in blocks(len(X), _REALS_PER_BLOCK // self.width):
            above = X[points] @ weights.T
            if far:
                require_preactivations(above)
            above -= self.dtype.type(self.shift)
            np.maximum(above, 0, out=above)
            out[points] = above @ readout
        return out

    def jacobian(
        self, X: ArrayLike, layer: int = -1, *, weights: ArrayLike | None = None, output: int = 0
    ) -> KhatriRao:
        """Return the Jacobian of one output by the weights, as factors.

        Parameters
        ----------
        X : array_like, shape (n, n_features)
        layer : int
            1 or -1, the only one.
        weights : array_like, shape (width, n_features), optional
            Rows w_r; as drawn by default.
        output : int

        Returns
        -------
        KhatriRao
            Row i is u_i (x) x_i with u_ir = B / sqrt(2 m) a_r where neuron r fires at x_i: U is in
            CSR, since few do.

        Raises
        ------
        TypeError, ValueError
            If an argument is not as described.
        """
        X, weights = self._as_inputs(X), self._as_weights(weights)
        layer_number(layer, 1)
        output = integer(output, "output", minimum=0, maximum=self.n_outputs - 1)
        readout, parts = (self.factor * self.signs[:, output]).astype(self.dtype), []
        for points in blocks(len(X), _REALS_PER_BLOCK // self.width):
            fired = X[points] @ weights.T > self.dtype.type(self.shift)
            parts.append(scipy.sparse.csr_array(fired * readout))
        return KhatriRao(scipy.sparse.vstack(parts, format="csr"), X)

    def _as_inputs(self, X):
        return as_matrix(X, "X", n_columns=self.n_features, dtype=self.dtype)

    def _as_weights(self, weights):
        """Return W as drawn, or the caller's, checked."""
        if weights is None:
            return self.weights
        shape = {"n_rows": self.width, "n_columns": self.n_features}
        return as_matrix(weights, "weights", **shape, dtype=self.dtype)


def _by_cells(rows):
    """Return the order in which a tree of cells, halved along their longest sides, visits rows."""
    n_cells = -(-2 * len(rows) // _NEURONS_PER_CELL)
    order = np.arange(len(rows), dtype=np.int32)
    axes, values = np.empty(n_cells, np.int32), np.empty(n_cells, rows.dtype)
    split(rows.copy(), order, axes, values, np.empty(n_cells + 1, np.intp))
    return order
