"""Random weights whose products are fast transforms."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np
import scipy.fft

from subquad._fixed import FixedWeights
from subquad._implicit import GaussianWeights
from subquad._parallel import blocks
from subquad._products import SparseRows
from subquad._shapes import as_dtype, as_shape, require_matrix_memory
from subquad._validation import integer, one_of, real
from subquad.hadamard import fwht

if TYPE_CHECKING:
    from typing import Literal

    from numpy.typing import DTypeLike

    from subquad._typing import FloatArray


STRUCTURES = ("circulant", "hadamard")
# Transform so many numbers at a time.
_NUMBERS_PER_BLOCK = 2**22
# Of each block of Hadamard-Gaussian weights: normals, an order, signs.
_COLUMNS_PER_BLOCK = 3


class StructuredWeights(FixedWeights):
    """A random matrix W (m_out, m_in) with entries from N(0, std^2) and a fast product.

    "circulant":  W = std C D, C[r, j] = g[(r - j) mod p] with p >= max(m_out, m_in), g standard
                  normals and D random signs: a product is a convolution.
    "hadamard":   blocks of p = 2^a >= m_in rows, std p^(-1/2) H G P H D each, with the Hadamard
                  matrix H, a diagonal G of standard normals, a random permutation P and random
                  signs D; the first m_in columns and, of all blocks, the first m_out rows.

    Every entry is normal, but entries depend on each other: there are p, or p for each block,
    normals instead of m_out m_in.

    Parameters
    ----------
    shape : pair of int
        (m_out, m_in).
    seed : int
        From 0 to 2^64 - 1.
    structure : {"circulant", "hadamard"}
    std : float
        Standard deviation; sqrt(2 / m_out) in [SZZ24], Section 2.
    dtype : float32 or float64
        Dtype of every product.

    Attributes
    ----------
    shape, seed, structure, std, dtype
        As given.
    nbytes : int
        Memory of the normals and signs, which the first product makes and keeps.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.

    Notes
    -----
    A product takes O(p log p) operations a vector by `scipy.fft`, or O(p log p) for each block by
    `fwht`, whether the vector is sparse or not. [SZZ24], Section 4, asks for such W(0). The rows of
    one "hadamard" block have one norm, that of g; Fastfood rescales them, which is left out here.
    Normals and signs are those of `GaussianWeights` of the same seed, so that equal arguments give
    equal matrices on every machine, up to the rounding of the transforms.

    Examples
    --------
    >>> W = StructuredWeights((5, 4), seed=0, structure="hadamard")
    >>> H = np.eye(4)
    >>> np.allclose(W.apply(H).T, W.to_dense())
    True
    """

    def __init__(
        self,
        shape: tuple[int, int],
        seed: int,
        structure: Literal["circulant", "hadamard"] = "circulant",
        *,
        std: float = 1.0,
        dtype: DTypeLike = np.float64,
    ) -> None:
        self.shape = as_shape(shape)
        self.seed = integer(seed, "seed", minimum=0, maximum=2**64 - 1)
        self.structure = one_of(structure, "structure", STRUCTURES)
        self.dtype = as_dtype(dtype)
        self.std = real(std, "std", minimum=0.0, maximum=float(np.finfo(self.dtype).max) / 16)

    def __repr__(self) -> str:
        return (
            f"StructuredWeights(shape={self.shape}, seed={self.seed}, "
            f"structure={self.structure!r}, std={self.std}, dtype={self.dtype})"
        )

    @functools.cached_property
    def _factors(self):
        """The `_Circulant` or `_Hadamard` of this seed."""
        return (_Circulant if self.structure == "circulant" else _Hadamard)(self)

    @property
    def nbytes(self) -> int:
        """Memory of the normals and signs, in bytes."""
        return self._factors.nbytes

    def to_dense(self) -> FloatArray:
        """Return W as a new array, shape (m_out, m_in)."""
        require_matrix_memory(self.shape, self.dtype)
        dense = np.empty(self.shape, self.dtype)
        step = max(1, _NUMBERS_PER_BLOCK // max(self.shape))
        for columns in blocks(self.shape[1], step):
            unit = np.zeros((columns.stop - columns.start, self.shape[1]), self.dtype)
            unit[np.arange(len(unit)), np.arange(columns.start, columns.stop)] = 1
            dense[:, columns] = self._factors.forward(unit, 1).T
        return dense

    def _apply_dense(self, H, n_threads):
        """Return rows W h_i of dense H."""
        return self._in_blocks(self._factors.forward, H, self.shape[0], n_threads)

    def _apply_csr(self, indptr, indices, values, n_threads):
        """Return rows W h_i of H in CSR, made dense."""
        rows = SparseRows(indptr, indices, values)
        return self._each_dense(rows, self.shape[1], self._apply_dense, self.shape[0], n_threads)

    def _apply_transposed_dense(self, G, n_threads):
        """Return rows W^T g_i of dense G."""
        return self._in_blocks(self._factors.backward, G, self.shape[1], n_threads)

    def _apply_transposed_csr(self, indptr, indices, values, n_threads):
        """Return rows W^T g_i of G in CSR, made dense."""
        rows, multiply = SparseRows(indptr, indices, values), self._apply_transposed_dense
        return self._each_dense(rows, self.shape[0], multiply, self.shape[1], n_threads)

    def _in_blocks(self, multiply, rows, n_outputs, n_threads):
        """Multiply some of the rows at a time."""
        out = np.empty((len(rows), n_outputs), self.dtype)
        for some in blocks(len(rows), _NUMBERS_PER_BLOCK // max(self.shape)):
            out[some] = multiply(rows[some], n_threads)
        return out

    def _each_dense(self, rows, n_columns, multiply, n_outputs, n_threads):
        """Make some of the rows dense at a time, and multiply them."""
        out = np.empty((len(rows), n_outputs), self.dtype)
        for some, dense in rows.dense(n_columns):
            out[some] = multiply(dense, n_threads)
        return out


class _Circulant:
    """std C D."""

    def __init__(self, W):
        m_out, m_in = W.shape
        self._m_out, self._m_in = m_out, m_in
        self._size = scipy.fft.next_fast_len(max(m_out, m_in), real=True)
        normals, other = _normals(W, self._size, 2)
        self._signs = _as_signs(other[:m_in], W.dtype)
        self._spectrum = scipy.fft.rfft((W.std * normals).astype(W.dtype))
        self.nbytes = self._signs.nbytes + self._spectrum.nbytes

    def forward(self, H, n_threads):
        """Return W h for every row."""
        return self._convolved(H * self._signs, self._spectrum, n_threads)[:, : self._m_out]

    def backward(self, G, n_threads):
        """Return W^T g for every row."""
        correlated = self._convolved(G, self._spectrum.conj(), n_threads)
        return correlated[:, : self._m_in] * self._signs

    def _convolved(self, rows, spectrum, n_threads):
        spectra = scipy.fft.rfft(rows, self._size, axis=1, workers=n_threads)
        spectra *= spectrum
        return scipy.fft.irfft(spectra, self._size, axis=1, workers=n_threads)


class _Hadamard:
    """std p^(-1/2) H G P H D in blocks of p rows."""

    def __init__(self, W):
        m_out, m_in = W.shape
        self._m_out, self._m_in = m_out, m_in
        self._size = p = 1 << (m_in - 1).bit_length()
        n_blocks = -(-m_out // p)
        drawn = _normals(W, p, _COLUMNS_PER_BLOCK * n_blocks).reshape(n_blocks, -1, p)
        self._diagonals = (W.std / np.sqrt(p) * drawn[:, 0]).astype(W.dtype)
        self._orders = np.argsort(drawn[:, 1], axis=1, kind="stable")
        self._signs = _as_signs(drawn[:, 2, :m_in], W.dtype)
        self.nbytes = self._diagonals.nbytes + self._orders.nbytes + self._signs.nbytes

    def forward(self, H, n_threads):
        """Return W h for every row."""
        out = np.empty((len(H), self._m_out), H.dtype)
        parts = zip(self._diagonals, self._orders, self._signs, strict=True)
        for block, (diagonal, order, signs) in enumerate(parts):
            rows = self._padded(H * signs)
            fwht(rows, out=rows, n_threads=n_threads)
            rows = rows[:, order] * diagonal
            fwht(rows, out=rows, n_threads=n_threads)
            part = out[:, block * self._size : (block + 1) * self._size]
            part[...] = rows[:, : part.shape[1]]
        return out

    def backward(self, G, n_threads):
        """Return W^T g for every row."""
        out = np.zeros((len(G), self._m_in), G.dtype)
        parts = zip(self._diagonals, self._orders, self._signs, strict=True)
        for block, (diagonal, order, signs) in enumerate(parts):
            rows = self._padded(G[:, block * self._size : (block + 1) * self._size])
            fwht(rows, out=rows, n_threads=n_threads)
            permuted = np.empty_like(rows)
            permuted[:, order] = rows * diagonal
            fwht(permuted, out=permuted, n_threads=n_threads)
            out += permuted[:, : self._m_in] * signs
        return out

    def _padded(self, rows):
        """Return rows of whole transforms."""
        padded = np.zeros((len(rows), self._size), rows.dtype)
        padded[:, : rows.shape[1]] = rows
        return padded


def _normals(W, size, count):
    """Return `count` rows of standard normals in float64, of the seed of W."""
    return GaussianWeights((size, count), W.seed, "float32").columns(0, count)


def _as_signs(normals, dtype):
    """Return the signs of normals, +-1."""
    return np.where(normals < 0, dtype.type(-1), dtype.type(1))
