"""Weight matrices, kept so that a neuron's outgoing weights are contiguous in memory.

W (m_out, m_in) maps m_in neurons to m_out. Sparse activations read only the columns of the neurons
that fired, so W is stored as `_columns` (m_in, m_out), whose row j is the column W[:, j]. Rows are
data points everywhere: a forward pass of H (n, m_in) is H W^T, a backward pass of G (n, m_out) G W.

Long because each public product documents its shapes, cost and errors in place; what is computed
lives in `_products` and `_compact`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from subquad._compact import (
    BFLOAT16_MAX,
    STORAGES,
    CompactColumns,
    blocks_by_cache,
    compressed,
)
from subquad._factors import absorbing
from subquad._implicit import GaussianWeights, drawn_seed
from subquad._implicit_products import columns_block, integers_block
from subquad._mapped import MappedWeights
from subquad._parallel import resolve_threads
from subquad._passes import watch_passes
from subquad._products import (
    blocks_by_work,
    multiply_csr,
    multiply_dense,
    multiply_transposed,
    multiply_transposed_csr,
    transposed_copy,
)
from subquad._shapes import MAX_SIZE, as_dtype, as_shape, multiply_rows, require_matrix_memory
from subquad._structured import StructuredWeights
from subquad._validation import as_matrix, generator, real

if TYPE_CHECKING:
    from typing import Any, Literal, TypeAlias

    from numpy.typing import ArrayLike, DTypeLike

    from subquad._fixed import FixedWeights
    from subquad._typing import FloatArray, MatrixLike

    Weights: TypeAlias = "DenseWeights | FixedWeights"

__all__ = ["DenseWeights", "GaussianWeights", "MappedWeights", "StructuredWeights", "watch_passes"]


class DenseWeights:
    """A dense weight matrix W with fast products by sparse and dense rows.

    Parameters
    ----------
    matrix : array_like, shape (m_out, m_in)
        W, in float32 or float64. Copied.
    storage : None, "bfloat16" or "int8"
        How the weights are kept: as they are given, or rounded into two bytes or one. Compact
        weights are decoded in cache and multiply in float32; they cannot be changed in place.

    Attributes
    ----------
    shape : tuple
        (m_out, m_in).
    dtype : numpy.dtype
        float32 or float64; every product has it.
    storage : None, "bfloat16" or "int8"
    rounding_error : float
        Largest |stored - given| over the entries; 0 for weights that were drawn as stored.
    nbytes : int
        Memory of the weights.

    Raises
    ------
    TypeError, ValueError
        If `matrix` is not a finite matrix of float32 or float64, or `storage` not one of those.
    MemoryError
        If the copy does not fit.

    Notes
    -----
    Rounding to bfloat16 moves an entry w by at most |w| / 256, rounding to int8 (multiples of
    max |w| / 127) by at most max |w| / 254. A product then differs from that of the given matrix
    by at most ||h||_1 `rounding_error`, besides the rounding of float32.

    Examples
    --------
    >>> W = DenseWeights(np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]))
    >>> W.apply(np.array([[1.0, 0.0]]))
    array([[1., 3., 5.]])
    """

    # The GaussianWeights whose numbers these are, until they are changed in place.
    _origin = None

    def __init__(
        self, matrix: ArrayLike, storage: Literal["bfloat16", "int8"] | None = None
    ) -> None:
        matrix, storage = as_matrix(matrix, "matrix"), _as_storage(storage)
        _require_shape(matrix.shape, STORAGES.get(storage, matrix.dtype))
        if storage is None:
            self._columns, self.rounding_error = transposed_copy(matrix), 0.0
        else:
            _require_range(matrix)
            self._columns, self.rounding_error = compressed(matrix, storage)

    @classmethod
    def _from_columns(cls, columns, rounding_error=0.0):
        """Adopt trusted C-contiguous columns (m_in, m_out), without a copy."""
        self = cls.__new__(cls)
        self._columns, self.rounding_error = columns, rounding_error
        return self

    @classmethod
    def _storing(cls, W, storage=None):
        """Return the numbers of GaussianWeights W, stored; those of the int8 grid in a byte each.

        bfloat16 rounds them.
        """
        (m_out, m_in), n_threads = W.shape, resolve_threads()
        _require_shape(W.shape, STORAGES.get(storage, W.dtype))
        if storage is None:
            self = cls._from_columns(columns_block(W, 0, m_in, n_threads))
        elif storage == "int8":
            integers = integers_block(W, 0, m_in, n_threads)
            self = cls._from_columns(CompactColumns(integers, W.step))
        else:
            columns = CompactColumns.empty((m_in, m_out), storage)
            for which in blocks_by_cache(columns.shape):
                columns.fill(which, columns_block(W, which.start, which.stop, n_threads))
            return cls._from_columns(columns)
        self._origin = W
        return self

    @classmethod
    def gaussian(
        cls,
        shape: tuple[int, int],
        *,
        std: float,
        rng: int | np.random.Generator | None = None,
        dtype: DTypeLike | None = None,
        storage: Literal["bfloat16", "int8"] | None = None,
    ) -> DenseWeights:
        """Return weights with independent entries from N(0, std^2).

        Parameters
        ----------
        shape : pair of int
            (m_out, m_in).
        std : float
            Standard deviation; sqrt(2 / m_out) in [SZZ24], Section 2.
        rng : int, numpy.random.Generator or None
            Source of the seed, one draw of 64 bits.
        dtype : float32, float64 or None
            None means float64, and float32 where `storage` is compact.
        storage : None, "bfloat16" or "int8"
            Make numbers of the grid of that storage, so that nothing is rounded afterwards:
            bfloat16 takes each normal rounded to 8 bits, int8 those of the int8 grid.

        Returns
        -------
        DenseWeights

        Raises
        ------
        TypeError, ValueError
            If an argument is not as described.
        MemoryError
            If the matrix does not fit.

        Notes
        -----
        These are the numbers of `GaussianWeights`, of its int8 grid for int8 storage and of its
        float32 grid otherwise, made by all threads: the same bits for every number of them. In
        float64 they have the resolution of float32.

        Examples
        --------
        >>> DenseWeights.gaussian((3, 2), std=0.5, rng=0)
        DenseWeights(shape=(3, 2), dtype=float64)
        >>> DenseWeights.gaussian((3, 2), std=0.5, rng=0, storage="int8").nbytes
        6
        """
        m_out, m_in = as_shape(shape)
        storage = _as_storage(storage)
        dtype = _as_dtype(dtype, storage)
        std, rng = real(std, "std", minimum=0.0), generator(rng)
        grid = "int8" if storage == "int8" else "float32"
        W = GaussianWeights((m_out, m_in), drawn_seed(rng), grid, std=std, dtype=dtype)
        return cls._storing(W, storage)

    @property
    def shape(self) -> tuple[int, int]:
        """(m_out, m_in)."""
        return self._columns.shape[::-1]

    @property
    def dtype(self) -> np.dtype[Any]:
        """Dtype of the weights and of every product."""
        return self._columns.dtype

    @property
    def storage(self) -> Literal["bfloat16", "int8"] | None:
        """None, or the name of the compact format the weights are stored in."""
        return getattr(self._columns, "storage", None)

    @property
    def nbytes(self) -> int:
        """Memory of the weights, in bytes."""
        return self._columns.nbytes

    def __repr__(self) -> str:
        storage = f", storage={self.storage!r}" if self.storage else ""
        return f"DenseWeights(shape={self.shape}, dtype={self.dtype}{storage})"

    def copy(self) -> DenseWeights:
        """Return weights with their own memory."""
        _require_shape(self.shape, STORAGES.get(self.storage, self.dtype))
        twin = self._from_columns(self._columns.copy(), self.rounding_error)
        twin._origin = self._origin
        return twin

    def to_dense(self) -> FloatArray:
        """Return W as a new array, shape (m_out, m_in)."""
        _require_shape(self.shape, self.dtype)
        if not isinstance(self._columns, CompactColumns):
            return transposed_copy(self._columns)
        dense = np.empty(self.shape, self.dtype)
        for which in blocks_by_cache(self._columns.shape):
            dense[:, which] = self._columns.decoded(which).T
        return dense

    def apply(self, H: MatrixLike, n_threads: int | None = None) -> FloatArray:
        """Return W h_i for every data point i.

        Parameters
        ----------
        H : array_like or sparse array, shape (n, m_in)
            Row i is h_i. Cast to the dtype of the weights.
        n_threads : int or None
            Threads of the sparse kernel; BLAS keeps its own.

        Returns
        -------
        ndarray, shape (n, m_out)

        Raises
        ------
        TypeError, ValueError
            If H is not a finite real matrix with m_in columns.
        MemoryError
            If the product does not fit.

        Notes
        -----
        2 nnz(H) m_out operations ([SZZ24], Lemma C.2), or 2 n m_in m_out by BLAS where H is so full
        that BLAS is faster: from a density of 0.6 (AVX-512), 0.45 (AVX2) or 0.2, lower for dense H
        into few outputs, and never where the weights are stored compactly.
        """
        shape, twins = self.shape[::-1], (self._apply_dense, self._apply_csr)
        return multiply_rows(H, "H", shape, self.dtype, n_threads, *twins)

    def _apply_dense(self, H, n_threads):
        """Return rows W h_i of dense H."""
        return multiply_dense(H, self._columns, n_threads)

    def _apply_csr(self, indptr, indices, values, n_threads):
        """Return rows W h_i of H in CSR."""
        return multiply_csr(indptr, indices, values, self._columns, n_threads)

    def apply_transposed(self, G: MatrixLike, n_threads: int | None = None) -> FloatArray:
        """Return W^T g_i for every data point i.

        Parameters
        ----------
        G : array_like or sparse array, shape (n, m_out)
            Row i is g_i. Cast to the dtype of the weights.
        n_threads : int or None
            Threads of the sparse kernel; BLAS keeps its own.

        Returns
        -------
        ndarray, shape (n, m_in)

        Raises
        ------
        TypeError, ValueError
            If G is not a finite real matrix with m_out columns.
        MemoryError
            If the product does not fit.

        Notes
        -----
        2 nnz(G) m_in operations ([SZZ24], Lemma C.4 and Remark C.6), though all of W is read: the
        rows that are needed lie across its memory. By BLAS, 2 n m_in m_out operations, where G has
        fewer than about ten rows, or is as full as in `apply`.
        """
        twins = self._apply_transposed_dense, self._apply_transposed_csr
        return multiply_rows(G, "G", self.shape, self.dtype, n_threads, *twins)

    def _apply_transposed_dense(self, G, n_threads):
        """Return rows W^T g_i of dense G."""
        return multiply_transposed(G, self._columns, n_threads)

    def _apply_transposed_csr(self, indptr, indices, values, n_threads):
        """Return rows W^T g_i of G in CSR."""
        return multiply_transposed_csr(indptr, indices, values, self._columns, n_threads)

    def add_low_rank(self, U: ArrayLike, V: ArrayLike) -> None:
        """Add U^T V to W in place.

        Parameters
        ----------
        U : array_like, shape (rank, m_out)
        V : array_like, shape (rank, m_in)
            Cast to the dtype of the weights. Neither modified nor kept.

        Raises
        ------
        TypeError, ValueError
            If U and V are not finite real matrices of these shapes, or W is stored compactly.

        Notes
        -----
        2 rank m_in m_out operations, by BLAS from a rank of 65 on, or fewer where U and V are
        sparse: see `LowRankMaintenance.flush`. An exception on the way (Ctrl-C)
        leaves the change added for some inputs only; `LowRankMaintenance.flush` loses nothing.
        """
        U = as_matrix(U, "U", n_columns=self.shape[0], min_rows=0, dtype=self.dtype)
        V = as_matrix(V, "V", n_columns=self.shape[1], n_rows=len(U), min_rows=0, dtype=self.dtype)
        self._absorb(U, V.copy())

    def _absorb(self, U, V):
        """Move U^T V into W, inputs by inputs: V becomes zero, and W + U^T V stays as it is."""
        if self.storage is not None:
            raise ValueError(
                f"W must be stored in float32 or float64 to be changed in place; got {self!r}. "
                "Keep the change in LowRankMaintenance(W, rank_budget=inf), or use storage=None."
            )
        self._origin = None
        # Weights that joblib maps from a file with mmap_mode="r" cannot be written to.
        self._columns = np.require(self._columns, requirements="W")
        for inputs in blocks_by_work(self.shape[1], len(U) * self.shape[0]):
            block, columns = V[:, inputs].copy(), self._columns[inputs]
            flush = absorbing(columns, U, block)
            # CPython delivers a signal after a call, never between these two statements.
            V[:, inputs] = 0
            flush()


def _as_dtype(dtype, storage):
    """Return the numpy dtype of float32 or float64 that weights of this storage have."""
    if dtype is None:
        return np.dtype(np.float64 if storage is None else np.float32)
    dtype = as_dtype(dtype)
    if storage is not None and dtype != np.float32:
        raise ValueError(f"dtype must be float32 or None with storage={storage!r}; got {dtype}.")
    return dtype


def _as_storage(storage):
    """Return None or the name of a compact format."""
    if storage is None or (isinstance(storage, str) and storage in STORAGES):
        return storage
    raise ValueError(f"storage must be None, 'bfloat16' or 'int8'; got {storage!r}.")


def _require_range(matrix):
    """Raise unless all entries are within the range of bfloat16, and so of float32."""
    peak = max(float(matrix.max()), -float(matrix.min()))
    if peak > BFLOAT16_MAX:
        raise ValueError(
            f"matrix must have entries of at most {BFLOAT16_MAX:.4g} to be stored compactly; got "
            f"{peak:.4g}."
        )


def _require_shape(shape, dtype):
    """Raise unless a matrix of this shape can be made and handed to BLAS."""
    if max(shape) > MAX_SIZE:
        raise ValueError(f"matrix must have at most {MAX_SIZE} rows and columns; got {shape}.")
    require_matrix_memory(shape, dtype)
