"""The Jacobian of a two-layer network on many points: nothing of n^2 or n m numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from subquad._parallel import blocks
from subquad._validation import as_matrix, as_positions, as_vector
from subquad.jacobian._fired import bits_as_numbers
from subquad.jacobian._khatri_rao import KhatriRao, drawn, require_same_layer
from subquad.jacobian._protocol import KeepsGram, gram_from

if TYPE_CHECKING:
    from typing import Any, Literal

    from numpy.typing import ArrayLike, NDArray

    from subquad._typing import FloatArray
    from subquad.jacobian._protocol import Jacobian
    from subquad.sketch import TensorSketch, TensorSRHT


# Take as many neurons at once as keep their pre-activations at all points within these bytes.
_BLOCK_BYTES = 2**22


class MatrixFreeJacobian(KeepsGram):
    """Rows u_i (x) x_i of one output, u_i = a o 1[neuron fires at x_i], by products alone.

    Everything passes over the neurons by blocks, each unpacked from bits, used and forgotten:
    a product with G takes 4 m n d operations, and the largest array is the bits, n m / 8 bytes.
    Sums run in the dtype of X.

    Parameters
    ----------
    fired : ndarray of uint8, shape (m, ceil(n / 8))
        Bit i of row r: whether neuron r fires at data point i. Trusted.
    readout : ndarray of float64, shape (m,)
    X : ndarray, shape (n, d)
    """

    forms_gram = False

    def __init__(
        self, fired: NDArray[np.uint8], readout: NDArray[np.float64], X: FloatArray
    ) -> None:
        self._fired, self._readout, self._X = fired, readout, X
        self.n, self.m_u, self.m_v, self.dtype = len(X), len(readout), X.shape[1], X.dtype

    @property
    def shape(self) -> tuple[int, int]:
        """(n, m d)."""
        return self.n, self.m_u * self.m_v

    @property
    def nnz_u(self) -> int:
        """Entries of U."""
        return self.n * self.m_u

    @property
    def nnz_v(self) -> int:
        """Entries of X."""
        return self._X.size

    @property
    def active(self) -> NDArray[np.int32]:
        """How many neurons fire at each data point."""
        return self._sum_over_neurons(np.ones(self.m_u)).astype(np.intp)

    def matvec(self, change: Any) -> FloatArray:
        """Return J vec(change), shape (n,), in float64, for a change (m, d)."""
        change = as_matrix(change, "change", n_rows=self.m_u, n_columns=self.m_v)
        X, out = self._X, np.zeros(self.n)
        change = (self._readout[:, None] * change).astype(X.dtype)
        for block in neuron_blocks(self.m_u, X):
            out += np.einsum("ij,ij->i", self._mask(block).T @ change[block], X)
        return out

    def adjoint(self, g: ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Return J^T g as the pair (A, I) that stands for A^T, A of shape (d, m)."""
        g = as_vector(g, "g", size=self.n, dtype=np.float64)
        return self._adjoint(g).T, np.eye(self.m_v)

    def _adjoint(self, g):
        """J^T g, shape (m, d)."""
        weighted = (g[:, None] * self._X).astype(self.dtype)
        change = np.empty((self.m_u, self.m_v))
        for block in neuron_blocks(self.m_u, self._X):
            change[block] = self._mask(block) @ weighted
        return self._readout[:, None] * change

    def product(self, g: ArrayLike) -> NDArray[np.float64]:
        """Return G g, shape (n,), in float64."""
        return self._times(as_vector(g, "g", size=self.n, dtype=np.float64))

    def gram(self, other: Jacobian | None = None) -> NDArray[np.float64]:
        """Return the Gram matrix, or J other^T, a block of neurons at a time: for small checks.

        Parameters
        ----------
        other : KhatriRao or MatrixFreeJacobian, optional
            Rows of the same layer at other points.

        Raises
        ------
        TypeError, ValueError
            If `other` is neither, or of another number of neurons or inputs.
        """
        if other is None:
            return self._own_gram()
        if not isinstance(other, (KhatriRao, MatrixFreeJacobian)):
            if (G := gram_from(self, other)) is not None:
                return G
            kind = type(other).__name__
            raise TypeError(f"other must be a KhatriRao or a MatrixFreeJacobian; got {kind}.")
        require_same_layer(self, other)
        neurons = neuron_blocks(self.m_u, self._X)
        return sum(self._of_neurons(block)._cross(other._of_neurons(block)) for block in neurons)

    def _gram_from(self, J):
        """J self^T."""
        return self.gram(J).T

    def _of_neurons(self, block):
        """Return the Jacobian with respect to a block of neurons."""
        U = self._mask(block).T * self._readout[block].astype(self.dtype)
        return KhatriRao._trusted(U, self._X)

    def _form(self):
        return self.columns(np.arange(self.n))

    def _product(self, g):
        """J (J^T g), each block of neurons used twice while in cache."""
        X = self._X
        weighted = (g[:, None] * X).astype(X.dtype)
        squares = (self._readout**2).astype(X.dtype)[:, None]
        moved = np.zeros(X.shape)
        for block in neuron_blocks(self.m_u, X):
            D = self._mask(block)
            moved += D.T @ (squares[block] * (D @ weighted))
        return np.einsum("ij,ij->i", moved, X)

    def diagonal(self) -> NDArray[np.float64]:
        """Return |x_i|^2 times the squared readouts that fire at i."""
        squares = np.einsum("ij,ij->i", self._X, self._X, dtype=np.float64)
        return squares * self._sum_over_neurons(self._readout**2)

    def columns(self, points: ArrayLike) -> NDArray[np.float64]:
        """Return columns of G, for an array of indices."""
        points = as_positions(points, "points", self.n)
        squares = (self._readout**2).astype(self.dtype)[:, None]
        counts = np.zeros((self.n, len(points)), self.dtype)
        for block in neuron_blocks(self.m_u, self._X):
            D = self._mask(block)
            counts += D.T @ (squares[block] * D[:, points])
        return (self._X @ self._X[points].T * counts).astype(np.float64, copy=False)

    def sketch(self, S: TensorSketch | TensorSRHT) -> FloatArray:
        """Return J S^T, shape (n, S.sketch_size), U being made for some points at a time."""
        out, readout = np.empty((self.n, S.sketch_size), self.dtype), self._readout
        octets = max(1, _BLOCK_BYTES // (8 * self.m_u * self.dtype.itemsize))
        for block in blocks(self._fired.shape[1], octets):
            points = slice(8 * block.start, min(8 * block.stop, self.n))
            count = points.stop - points.start
            D = bits_as_numbers(self._fired[:, block], count, self.dtype)
            U = np.ascontiguousarray(D.T) * readout.astype(self.dtype)
            out[points] = S.apply(U, self._X[points])
        return out

    def draw_sketch(
        self,
        sketch_size: int,
        rng: int | np.random.Generator | None,
        kind: Literal["TensorSketch", "TensorSRHT"] = "TensorSketch",
    ) -> TensorSketch | TensorSRHT:
        """Return a sketch for `sketch`, a "TensorSketch" or a "TensorSRHT"."""
        return drawn((self.m_u, self.m_v), sketch_size, rng, kind)

    def _mask(self, block):
        """Rows of D^T as numbers 0 and 1."""
        return bits_as_numbers(self._fired[block], self.n, self.dtype)

    def _sum_over_neurons(self, values):
        """Sum of the values of the neurons that fire, at each data point."""
        total, values = np.zeros(self.n), values.astype(self.dtype)
        for block in neuron_blocks(self.m_u, self._X):
            total += values[block] @ self._mask(block)
        return total


def neuron_blocks(m: int, X: FloatArray) -> list[slice]:
    """Return slices of the neurons whose pre-activations at all points stay in cache."""
    return blocks(m, max(8, _BLOCK_BYTES // (len(X) * X.dtype.itemsize)))
