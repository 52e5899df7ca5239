"""Weight matrices, kept so that a neuron's outgoing weights are contiguous in memory.

W (m_out, m_in) maps m_in neurons to m_out. Sparse activations read only the columns of the neurons
that fired, so W is stored as `_columns` (m_in, m_out), whose row j is the column W[:, j]. Rows are
data points everywhere: a forward pass of H (n, m_in) is H W^T, a backward pass of G (n, m_out) G W.
"""

import numpy as np
import scipy.sparse

from subquad._kernels import low_rank
from subquad._parallel import resolve_threads
from subquad._products import (
    blocks,
    dense_rows,
    gemm,
    multiply_csr,
    multiply_dense,
    transposed_copy,
)
from subquad._validation import as_csr, as_matrix, generator, integer, real, require_memory

_MAX_SIZE = 2**31 - 1  # scipy.linalg.cython_blas takes 32-bit sizes
_NORMALS_PER_CALL = 2**24


class DenseWeights:
    """A dense weight matrix W with fast products by sparse and dense rows.

    Parameters
    ----------
    matrix : array_like, shape (m_out, m_in)
        W, in float32 or float64. Copied.

    Attributes
    ----------
    shape : tuple
        (m_out, m_in).
    dtype : numpy.dtype
        float32 or float64; every product has it.
    nbytes : int
        Memory of the weights.

    Raises
    ------
    TypeError, ValueError
        If `matrix` is not a finite matrix of float32 or float64.
    MemoryError
        If the copy does not fit.

    Examples
    --------
    >>> W = DenseWeights(np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]))
    >>> W.apply(np.array([[1.0, 0.0]]))
    array([[1., 3., 5.]])
    """

    def __init__(self, matrix):
        matrix = as_matrix(matrix, "matrix")
        _require_shape(matrix.shape, matrix.dtype)
        self._columns = transposed_copy(matrix)

    @classmethod
    def _from_columns(cls, columns):
        """Adopt trusted C-contiguous columns (m_in, m_out), without a copy."""
        self = cls.__new__(cls)
        self._columns = columns
        return self

    @classmethod
    def gaussian(cls, shape, *, std, rng=None, dtype=np.float64):
        """Return weights with independent entries from N(0, std^2).

        Parameters
        ----------
        shape : pair of int
            (m_out, m_in).
        std : float
            Standard deviation; sqrt(2 / m_out) in [SZZ24], Section 2.
        rng : int, numpy.random.Generator or None
            Source of randomness.
        dtype : float32 or float64

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
        m_out * m_in draws, in the order of the columns of W.

        Examples
        --------
        >>> DenseWeights.gaussian((3, 2), std=0.5, rng=0)
        DenseWeights(shape=(3, 2), dtype=float64)
        """
        m_out, m_in = _as_shape(shape)
        std, rng, dtype = real(std, "std", minimum=0.0), generator(rng), _as_dtype(dtype)
        _require_shape((m_out, m_in), dtype)
        columns = np.empty((m_in, m_out), dtype)
        entries = columns.reshape(-1)
        for start in range(0, entries.size, _NORMALS_PER_CALL):
            block = entries[start : start + _NORMALS_PER_CALL]
            rng.standard_normal(out=block, dtype=dtype)
            block *= dtype.type(std)
        return cls._from_columns(columns)

    @property
    def shape(self):
        """(m_out, m_in)."""
        return self._columns.shape[::-1]

    @property
    def dtype(self):
        """Dtype of the weights and of every product."""
        return self._columns.dtype

    @property
    def nbytes(self):
        """Memory of the weights, in bytes."""
        return self._columns.nbytes

    def __repr__(self):
        return f"DenseWeights(shape={self.shape}, dtype={self.dtype})"

    def copy(self):
        """Return weights with their own memory."""
        _require_shape(self.shape, self.dtype)
        return self._from_columns(self._columns.copy())

    def to_dense(self):
        """Return W as a new array, shape (m_out, m_in)."""
        _require_shape(self.shape, self.dtype)
        return transposed_copy(self._columns)

    def apply(self, H, n_threads=None):
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

        Notes
        -----
        2 nnz(H) m_out operations ([SZZ24], Lemma C.2), or 2 n m_in m_out by BLAS where H is so full
        that BLAS is faster: from a density of 0.4, lower for dense H into few outputs.
        """
        n_threads = resolve_threads(n_threads)
        if scipy.sparse.issparse(H):
            csr = as_csr(H, "H", n_columns=self.shape[1], dtype=self.dtype)
            return self._apply_csr(*csr, n_threads)
        H = as_matrix(H, "H", n_columns=self.shape[1], dtype=self.dtype)
        return self._apply_dense(H, n_threads)

    def _apply_dense(self, H, n_threads):
        """Return rows W h_i of dense H."""
        return multiply_dense(H, self._columns, n_threads)

    def _apply_csr(self, indptr, indices, values, n_threads):
        """Return rows W h_i of H in CSR."""
        return multiply_csr(indptr, indices, values, self._columns, n_threads)

    def apply_transposed(self, G):
        """Return W^T g_i for every data point i.

        Parameters
        ----------
        G : array_like or sparse array, shape (n, m_out)
            Row i is g_i. Cast to the dtype of the weights.

        Returns
        -------
        ndarray, shape (n, m_in)

        Raises
        ------
        TypeError, ValueError
            If G is not a finite real matrix with m_out columns.

        Notes
        -----
        2 n m_in m_out operations by BLAS. The transposed product of [SZZ24], Lemma C.4 with sparse
        g_i would take 2 nnz(G) m_in, but reads W across its rows.
        """
        if scipy.sparse.issparse(G):
            csr = as_csr(G, "G", n_columns=self.shape[0], dtype=self.dtype)
            return self._apply_transposed_csr(*csr)
        G = as_matrix(G, "G", n_columns=self.shape[0], dtype=self.dtype)
        return self._apply_transposed_dense(G)

    def _apply_transposed_dense(self, G):
        """Return rows W^T g_i of dense G."""
        return gemm(G, self._columns.T)

    def _apply_transposed_csr(self, indptr, indices, values):
        """Return rows W^T g_i of G in CSR.

        By BLAS on G made dense. scipy's sparse product, on blocks of W transposed in cache, was
        1.4-3x faster for n = 256 and density .01, but 1.2-2.3x slower for n = 64 and density .05,
        and 10-24x slower for n = 1 (one thread, m = 2048 and 8192, both dtypes).
        """
        return self._apply_transposed_dense(dense_rows(indptr, indices, values, self.shape[0]))

    def add_low_rank(self, U, V):
        """Add U^T V to W in place.

        Parameters
        ----------
        U : array_like, shape (rank, m_out)
        V : array_like, shape (rank, m_in)
            Cast to the dtype of the weights. Neither modified nor kept.

        Raises
        ------
        TypeError, ValueError
            If U and V are not finite real matrices of these shapes.

        Notes
        -----
        2 rank m_in m_out operations by BLAS. An exception on the way (Ctrl-C) leaves the change
        added for some inputs only; `LowRankMaintenance.flush` loses nothing.
        """
        U = as_matrix(U, "U", n_columns=self.shape[0], min_rows=0, dtype=self.dtype)
        V = as_matrix(V, "V", n_columns=self.shape[1], n_rows=len(U), min_rows=0, dtype=self.dtype)
        self._absorb(U, V.copy())

    def _absorb(self, U, V):
        """Move U^T V into W, inputs by inputs: V becomes zero, and W + U^T V stays as it is."""
        for inputs in blocks(self.shape[1], len(U) * self.shape[0]):
            block, columns = V[:, inputs].copy(), self._columns[inputs]
            # CPython delivers a signal after a call, never between these two statements.
            V[:, inputs] = 0
            low_rank.flush(columns, U, block)


def _as_dtype(dtype):
    """Return the numpy dtype of float32 or float64."""
    try:
        if np.dtype(dtype) in (np.float32, np.float64):
            return np.dtype(dtype)
    except TypeError:
        pass
    raise TypeError(f"dtype must be float32 or float64; got {dtype!r}.")


def _as_shape(shape):
    """Return (m_out, m_in) as ints."""
    try:
        m_out, m_in = shape
    except (TypeError, ValueError):
        raise ValueError(f"shape must be a pair (m_out, m_in); got {shape!r}.") from None
    return tuple(integer(size, "shape", maximum=_MAX_SIZE) for size in (m_out, m_in))


def _require_shape(shape, dtype):
    """Raise unless a matrix of this shape can be made and handed to BLAS."""
    if max(shape) > _MAX_SIZE:
        raise ValueError(f"matrix must have at most {_MAX_SIZE} rows and columns; got {shape}.")
    n_bytes = shape[0] * shape[1] * np.dtype(dtype).itemsize
    what = f"A {shape[0]} x {shape[1]} weight matrix in {np.dtype(dtype)}"
    require_memory(n_bytes, what, "Use a smaller width, or float32.")
