"""The Jacobian of a layer: rows of rank one, kept as their factors.

Long for its docstrings: a method has a few lines, and says its formula, shapes and cost.
"""

import numpy as np
import scipy.sparse

from subquad._parallel import resolve_threads
from subquad._validation import as_matrix, as_positions, as_vector, require_memory
from subquad.jacobian import _factors as factors
from subquad.jacobian._protocol import KeepsGram
from subquad.sketch import TensorSketch


class KhatriRao(KeepsGram):
    """J with rows J[i] = vec(u_i v_i^T), kept as U (n, m_u) and V (n, m_v).

    vec stacks rows: column j m_v + k of J holds u_ij v_ik. So J is the row-wise Khatri-Rao product
    of U and V, the Jacobian of n outputs with respect to an m_u x m_v layer of a network.

    Parameters
    ----------
    U : array_like or sparse array, shape (n, m_u)
        In last-layer training, u_i = a o phi'(z_i).
    V : array_like or sparse array, shape (n, m_v)
        In last-layer training, v_i = h_i, the input of the layer.
        U and V share the wider of their dtypes. Arrays that need no conversion are kept, not
        copied: leave them as they are while J is in use.

    Attributes
    ----------
    U, V : ndarray or scipy.sparse.csr_array
        The factors, read-only.
    n, m_u, m_v : int
    shape : tuple
        (n, m_u m_v).
    dtype : numpy.dtype
        Of the factors and of what `matvec`, `adjoint` and `sketch` return. `gram`, `product`,
        `diagonal` and `columns` sum in float64 and return float64, whatever it is.

    Raises
    ------
    TypeError, ValueError
        If U and V are not finite real matrices with as many rows.

    Notes
    -----
    [SZZ24], Section 2.2 and Algorithm 2; with V = X it is the Jacobian of [BPSW21], Section 3.1.

    Examples
    --------
    >>> J = KhatriRao(np.array([[1.0, 2.0]]), np.array([[3.0, 4.0]]))
    >>> J.to_dense()
    array([[3., 4., 6., 8.]])
    >>> J.gram()
    array([[125.]])
    """

    def __init__(self, U, V):
        U = factors.as_factor(U, "U")
        V = factors.as_factor(V, "V", n_rows=U.shape[0])
        dtype = np.result_type(U.dtype, V.dtype)
        self._adopt(U.astype(dtype, copy=False), factors.FixedSide(V.astype(dtype, copy=False)), 1)

    @classmethod
    def _trusted(cls, U, V, n_threads=1):
        """Adopt factors of one dtype; V may be a `FixedSide`, which other Jacobians share."""
        self = cls.__new__(cls)
        self._adopt(U, V if isinstance(V, factors.FixedSide) else factors.FixedSide(V), n_threads)
        return self

    def _adopt(self, U, side, n_threads):
        self.U, self._side, self._n_threads = U, side, n_threads
        self.n, self.m_u = U.shape
        self.m_v = side.inputs.shape[1]

    @property
    def V(self):
        """The second factor."""
        return self._side.V

    @property
    def shape(self):
        """(n, m_u m_v)."""
        return self.n, self.m_u * self.m_v

    @property
    def dtype(self):
        """Dtype of the factors."""
        return self.U.dtype

    @property
    def nnz_u(self):
        """Stored entries of U."""
        return factors.stored_entries(self.U)

    @property
    def nnz_v(self):
        """Stored entries of V."""
        return factors.stored_entries(self.V)

    def __repr__(self):
        return (
            f"{type(self).__name__}(n={self.n}, m_u={self.m_u}, m_v={self.m_v}, dtype={self.dtype})"
        )

    def to_dense(self):
        """Return J as an array, shape (n, m_u m_v): for small checks.

        Raises
        ------
        MemoryError
            If it does not fit.
        """
        n_bytes = self.shape[0] * self.shape[1] * self.dtype.itemsize
        require_memory(n_bytes, f"J with shape {self.shape}", "matvec, adjoint and gram avoid it.")
        U, V = factors.dense(self.U), factors.dense(self.V)
        return (U[:, :, None] * V[:, None, :]).reshape(self.shape)

    def matvec(self, X, n_threads=None):
        """Return J vec(X), whose entries are u_i^T X v_i.

        Parameters
        ----------
        X : array_like, shape (m_u, m_v), or pair of array_like (A, B)
            A pair, A (r, m_u) and B (r, m_v), stands for X = A^T B: what `adjoint` returns, or
            the factors of a `LowRankMaintenance`.
        n_threads : int or None
            Threads of the sparse kernel; BLAS keeps its own.

        Returns
        -------
        ndarray, shape (n,)

        Raises
        ------
        TypeError, ValueError
            If X does not have this form.

        Notes
        -----
        rowsum((U X) o V): 2 n m_u m_v operations, 2 nnz(U) m_v for sparse U. For a pair,
        rowsum((U A^T) o (V B^T)): 2 n r (m_u + m_v).

        Examples
        --------
        >>> J = KhatriRao(np.array([[1.0, 2.0]]), np.array([[3.0, 4.0]]))
        >>> J.matvec(np.eye(2)), J.matvec((np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]])))
        (array([11.]), array([4.]))
        """
        n_threads = resolve_threads(n_threads)
        if isinstance(X, tuple):
            A, B = _as_pair(X)
            A = factors.as_factor(A, "X[0]", n_columns=self.m_u, dtype=self.dtype)
            B = factors.as_factor(
                B, "X[1]", n_columns=self.m_v, n_rows=A.shape[0], dtype=self.dtype
            )
            return self._matvec_factors(A, B)
        X = as_matrix(X, "X", n_rows=self.m_u, n_columns=self.m_v, dtype=self.dtype)
        return self._matvec(X, n_threads)

    def _matvec(self, X, n_threads):
        """rowsum((U X) o V)."""
        return factors.row_sums(factors.multiply(self.U, X, n_threads), self.V)

    def _matvec_factors(self, A, B):
        """rowsum((U A^T) o (V B^T))."""
        return np.einsum("ir,ir->i", factors.dense(self.U @ A.T), factors.dense(self.V @ B.T))

    def adjoint(self, g):
        """Return J^T g as a factor pair (A, B): J^T g = vec(A^T B).

        Parameters
        ----------
        g : array_like, shape (n,)

        Returns
        -------
        A : ndarray or csr_array, shape (n, m_u)
            Row i is g_i u_i.
        B : ndarray or csr_array, shape (n, m_v)
            V itself.

        Raises
        ------
        TypeError, ValueError
            If g is not a finite real vector of n entries.

        Notes
        -----
        O(nnz(U)) operations; the m_u m_v numbers of J^T g are never formed.

        Examples
        --------
        >>> J = KhatriRao(np.array([[1.0, 2.0]]), np.array([[3.0, 4.0]]))
        >>> J.adjoint(np.array([2.0]))
        (array([[2., 4.]]), array([[3., 4.]]))
        """
        g = as_vector(g, "g", size=self.n, dtype=self.dtype)
        return factors.scaled_rows(self.U, g), self.V

    def gram(self, other=None):
        """Return J J^T = (U U^T) o (V V^T), or the cross Gram matrix J other^T.

        Parameters
        ----------
        other : KhatriRao, optional
            Rows of the same layer at other points.

        Returns
        -------
        ndarray of float64, shape (n, n) or (n, other.n)

        Raises
        ------
        TypeError, ValueError
            If `other` is no KhatriRao with factors of as many columns.
        MemoryError
            If it does not fit.

        Notes
        -----
        n^2 (m_u + m_v) operations by BLAS, which also serves sparse factors above a density of
        0.03; below, about nnz(U)^2 / m_u. [SZZ24], Algorithm 2; exact, against its sketches.

        Examples
        --------
        >>> J = KhatriRao(np.array([[1.0, 2.0]]), np.array([[3.0, 4.0]]))
        >>> J.gram(KhatriRao(np.eye(2), np.ones((2, 2))))
        array([[ 7., 14.]])
        """
        if other is None:
            return self._own_gram()
        if not isinstance(other, KhatriRao):
            raise TypeError(f"other must be a KhatriRao; got {type(other).__name__}.")
        if (other.m_u, other.m_v) != (self.m_u, self.m_v):
            raise ValueError(
                f"other must have factors of {self.m_u} and {self.m_v} columns; "
                f"got {other.m_u} and {other.m_v}."
            )
        factors.require_gram(self.n, other.n)
        return self._cross(other.U, other.V)

    def product(self, g):
        """Return J (J^T g), shape (n,), in float64.

        Parameters
        ----------
        g : ndarray, shape (n,)

        Notes
        -----
        4 nnz(U) m_v operations; 2 n^2 where a solver has formed the Gram matrix.
        """
        return self._times(as_vector(g, "g", size=self.n, dtype=np.float64))

    def diagonal(self):
        """Return the diagonal of J J^T: |u_i|^2 |v_i|^2."""
        with np.errstate(over="ignore", invalid="ignore"):
            diagonal = factors.row_squares(self.U) * factors.row_squares(self.V)
        return factors.require_range(diagonal)

    def columns(self, points):
        """Return columns of J J^T, shape (n, len(points)), for an array of indices."""
        points = as_positions(points, "points", self.n)
        return self._cross(self.U[points], self.V[points])

    def sketch(self, S):
        """Return J S^T, shape (n, S.sketch_size), for a TensorSketch or TensorSRHT S.

        What S keeps of V is made once, for the last two sketches that were used.
        """
        return S.apply(self.U, self._side.prepared(S, self._n_threads), n_threads=self._n_threads)

    def sketched_gram(self, S):
        """Return (J S^T)(J S^T)^T in float64, without the inverse transform of `sketch`."""
        G = S.gram(self.U, self._side.prepared(S, self._n_threads), self._n_threads)
        return np.asarray(G, np.float64)

    def draw_sketch(self, sketch_size, rng):
        """Return a TensorSketch for `sketch`."""
        return TensorSketch((self.m_u, self.m_v), sketch_size, rng=rng)

    def _form(self):
        factors.require_gram(self.n, self.n)
        return self._cross(self.U, self.V)

    def _cross(self, U, V):
        """Products of these rows with those of other factors."""
        with np.errstate(over="ignore", invalid="ignore"):
            G = factors.cross_gram(self.U, U)
            G *= factors.cross_gram(self.V, V)
        return factors.require_range(G)

    def _product(self, g):
        U, V = self.U, self.V
        if scipy.sparse.issparse(U) or scipy.sparse.issparse(V):
            return factors.sparse_product(U, V, g)
        V = V.astype(np.float64, copy=False)
        weighted, moved = g[:, None] * V, np.zeros(V.shape)
        for block in factors.column_blocks(U):
            columns = U[:, block].astype(np.float64, copy=False)
            moved += columns @ (columns.T @ weighted)
        return np.einsum("ij,ij->i", moved, V)


def _as_pair(X):
    if len(X) != 2:
        raise ValueError(f"X must be a matrix or a pair (A, B); got a tuple of {len(X)}.")
    return X
