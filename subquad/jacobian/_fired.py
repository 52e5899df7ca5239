"""The Jacobian of a layer of ReLU-like neurons that feed one output, kept as bits.

The only caller of the kernels that count which neurons fire at two data points.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np

from subquad._kernels import coactivation
from subquad._validation import as_positions
from subquad.jacobian._factors import FixedSide
from subquad.jacobian._khatri_rao import KhatriRao

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import ArrayLike, DTypeLike, NDArray

    from subquad._typing import FloatArray


# Seconds that the popcount Gram matrix takes for a pair of 64-bit words, on one core.
_POPCOUNT_SECONDS = 4e-11


class FiredJacobian(KhatriRao):
    """Rows u_i (x) v_i with u_i = a o 1[neuron fires at x_i]: [SZZ24], Algorithm 2, lines 12-15.

    G = K o (D diag(a^2) D^T) for the 0/1 matrix D and K = V V^T. Where all |a_r| are equal, the
    entries of D D^T are counts, exact by population counts: n^2 m / 128 words instead of n^2 m
    multiply-adds. Otherwise the sparse sets are added up. U itself is made only for a sketch or a
    product with J.

    Parameters
    ----------
    fired : ndarray of uint64, shape (n, words)
        Bit r of row i: whether neuron r fires at data point i. Trusted, and kept as it is.
    readout : ndarray of float64, shape (m,)
        a, the scale of the activation included.
    V : ndarray or FixedSide, shape (n, m_v)
    K : ndarray of float64, shape (n, n)
    by_neuron : ndarray of uint64, shape (m, words of n), optional
        The same bits by neuron, where they are at hand.
    n_threads : int
    counts : ndarray of int32, shape (n, n), optional
        How many neurons fire at both of two data points, where more neurons count than have bits
        here: all have readouts of the magnitude `magnitude`.
    magnitude : float, optional

    Attributes
    ----------
    fired : ndarray
        As given.
    """

    def __init__(
        self,
        fired: NDArray[np.uint64],
        readout: NDArray[np.float64],
        V: FloatArray | FixedSide,
        K: NDArray[np.float64],
        *,
        by_neuron: NDArray[np.uint64] | None = None,
        n_threads: int = 1,
        counts: NDArray[np.int32] | None = None,
        magnitude: float | None = None,
    ) -> None:
        self.fired, self._by_neuron, self._counts = fired, by_neuron, counts
        self._readout, self._K, self._n_threads = readout, K, n_threads
        self._side = V if isinstance(V, FixedSide) else FixedSide(V)
        self.n, self.m_u, self.m_v = len(K), len(readout), self._side.inputs.shape[1]
        magnitudes = np.abs(readout)
        self._is_even = self.m_u > 0 and magnitudes.min() == magnitudes.max()
        self._magnitude = float(magnitudes[0]) if self._is_even else None
        if counts is not None:
            self._is_even, self._magnitude = True, magnitude

    @functools.cached_property
    def active(self) -> NDArray[np.int32]:
        """How many neurons fire at each data point, int32."""
        if self._counts is not None:
            return self._counts.diagonal()
        active = np.empty(self.n, np.int32)
        coactivation.count_bits(self.fired, active, self._n_threads)
        return active

    @functools.cached_property
    def U(self) -> FloatArray:
        """Row i: the readouts of the neurons that fire at data point i, in the dtype of V."""
        return self._rows(slice(None), self.dtype) * self._readout.astype(self.dtype)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Dtype of V."""
        return self.V.dtype

    @property
    def nnz_u(self) -> int:
        """Entries of U as it is sketched: dense."""
        return self.n * self.m_u

    def gram_seconds(self) -> float:
        """Forecast the time that counting bits takes."""
        return _POPCOUNT_SECONDS * self.n**2 * self.fired.shape[1] / 2

    def diagonal(self) -> NDArray[np.float64]:
        """Return |v_i|^2 times the squared readouts that fire at i."""
        if self._is_even:
            return self._K.diagonal() * self.active * self._magnitude**2
        return self._K.diagonal() * (self._rows(slice(None)) @ self._readout**2)

    def columns(self, points: ArrayLike) -> NDArray[np.float64]:
        """Return columns of G, for an array of indices."""
        points = as_positions(points, "points", self.n)
        if self.formed:
            return self._G[:, points]
        counts = (self._rows(slice(None)) * self._readout**2) @ self._rows(points).T
        return self._K[:, points] * counts

    def _form(self):
        if self._counts is not None:
            return self._magnitude**2 * self._K * self._counts
        G = np.empty((self.n, self.n))
        if self._is_even:
            return self._counted(self._K, self._magnitude**2, G)
        bits = self._by_neuron
        if bits is None:
            bits = transposed_bits(self.fired, self.m_u, self._n_threads)
        coactivation.weighted_gram(bits, self._readout**2, self._K, G, self._n_threads)
        return G

    def coactivations(self) -> NDArray[np.int32]:
        """Return how many neurons fire at both of two data points, of those whose bits are here."""
        counts = np.zeros((self.n, self.n))
        if self.m_u:
            self._counted(np.ones_like(counts), 1.0, counts)
        return counts.astype(np.int32)

    def _counted(self, K, scale, G):
        """Write scale * K o (the co-activations) to G, and return it."""
        counts = np.empty((self._n_threads, coactivation.GRAM_COUNTS), np.int32)
        coactivation.coactivation_gram(self.fired, K, scale, G, counts, self._n_threads)
        return G

    def _rows(self, points, dtype=np.float64):
        """Some rows of D as numbers 0 and 1."""
        return bits_as_numbers(self.fired[points], self.m_u, dtype)


def transposed_bits(bits: NDArray[np.uint64], n_columns: int, n_threads: int) -> NDArray[np.uint64]:
    """Return the transpose of a matrix of bits, its rows padded to whole words."""
    transposed = np.empty((n_columns, (len(bits) + 63) // 64), np.uint64)
    coactivation.transpose_bits(bits, transposed, n_threads)
    return transposed


def bits_as_numbers(
    bits: NDArray[np.uint64], n_columns: int, dtype: DTypeLike = np.float64
) -> FloatArray:
    """Return rows of bits as numbers 0 and 1, shape (len(bits), n_columns)."""
    octets = np.ascontiguousarray(bits).view(np.uint8)
    return np.unpackbits(octets, axis=1, count=n_columns, bitorder="little").astype(dtype)
