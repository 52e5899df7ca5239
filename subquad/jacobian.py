"""The Jacobian of a layer: rows of rank one, kept as their factors."""

import numpy as np
import scipy.sparse

from subquad._parallel import resolve_threads
from subquad._products import multiply_csr, multiply_dense
from subquad._validation import as_csr, as_matrix, as_vector, require_memory

_SPARSE_GRAM_DENSITY = 0.03


class KhatriRao:
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
    shape : tuple
        (n, m_u m_v).
    dtype : numpy.dtype

    Raises
    ------
    TypeError, ValueError
        If U and V are not finite real matrices with as many rows.

    Notes
    -----
    [SZZ24], Section 2.2 and Algorithm 2; with V = X it is the Jacobian of [BPSW21], Section 4.

    Examples
    --------
    >>> J = KhatriRao(np.array([[1.0, 2.0]]), np.array([[3.0, 4.0]]))
    >>> J.to_dense()
    array([[3., 4., 6., 8.]])
    >>> J.gram()
    array([[125.]])
    """

    def __init__(self, U, V):
        U = _as_factor(U, "U")
        V = _as_factor(V, "V", n_rows=U.shape[0])
        dtype = np.result_type(U.dtype, V.dtype)
        self.U, self.V = U.astype(dtype, copy=False), V.astype(dtype, copy=False)

    @property
    def shape(self):
        """(n, m_u m_v)."""
        return self.U.shape[0], self.U.shape[1] * self.V.shape[1]

    @property
    def dtype(self):
        """Dtype of the factors and of every product."""
        return self.U.dtype

    def __repr__(self):
        (n, m_u), m_v = self.U.shape, self.V.shape[1]
        return f"KhatriRao(n={n}, m_u={m_u}, m_v={m_v}, dtype={self.dtype})"

    def to_dense(self):
        """Return J as an array, shape (n, m_u m_v): for small checks.

        Raises
        ------
        MemoryError
            If it does not fit.
        """
        n_bytes = self.shape[0] * self.shape[1] * self.dtype.itemsize
        require_memory(n_bytes, f"J with shape {self.shape}", "matvec, adjoint and gram avoid it.")
        U, V = _dense(self.U), _dense(self.V)
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
        m_u, m_v = self.U.shape[1], self.V.shape[1]
        if isinstance(X, tuple):
            A, B = _as_pair(X)
            A = _as_factor(A, "X[0]", n_columns=m_u, dtype=self.dtype)
            B = _as_factor(B, "X[1]", n_columns=m_v, n_rows=A.shape[0], dtype=self.dtype)
            return self._matvec_factors(A, B)
        X = as_matrix(X, "X", n_rows=m_u, n_columns=m_v, dtype=self.dtype)
        return self._matvec(X, n_threads)

    def _matvec(self, X, n_threads):
        """rowsum((U X) o V)."""
        return _row_sums(_multiply(self.U, X, n_threads), self.V)

    def _matvec_factors(self, A, B):
        """rowsum((U A^T) o (V B^T))."""
        return np.einsum("ir,ir->i", _dense(self.U @ A.T), _dense(self.V @ B.T))

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
        g = as_vector(g, "g", size=self.shape[0], dtype=self.dtype)
        if not scipy.sparse.issparse(self.U):
            return g[:, None] * self.U, self.V
        A = self.U.copy()
        A.data *= np.repeat(g, np.diff(A.indptr))
        return A, self.V

    def gram(self):
        """Return J J^T = (U U^T) o (V V^T), shape (n, n).

        Notes
        -----
        n^2 (m_u + m_v) operations by BLAS, which also serves sparse factors above a density of
        0.03; below, about nnz(U)^2 / m_u. [SZZ24], Section 2.3; exact, against its sketches.
        """
        G = _gram(self.U)
        G *= _gram(self.V)
        return G


def _as_factor(x, name, *, n_columns=None, n_rows=None, dtype=None):
    """Return x as a read-only ndarray, or as a csr_array if it is sparse."""
    if scipy.sparse.issparse(x):
        indptr, indices, values = as_csr(x, name, n_columns=n_columns, dtype=dtype)
        if n_rows not in (None, len(indptr) - 1):
            raise ValueError(
                f"{name} must have shape ({n_rows}, {n_columns or 'any'}); got {x.shape}. "
                "Row i is data point i."
            )
        return scipy.sparse.csr_array((values, indices, indptr), shape=x.shape)
    x = as_matrix(x, name, n_columns=n_columns, n_rows=n_rows, dtype=dtype).view()
    x.flags.writeable = False
    return x


def _as_pair(X):
    if len(X) != 2:
        raise ValueError(f"X must be a matrix or a pair (A, B); got a tuple of {len(X)}.")
    return X


def _dense(x):
    return x.toarray() if scipy.sparse.issparse(x) else x


def _multiply(U, X, n_threads):
    """U @ X."""
    if not scipy.sparse.issparse(U):
        return multiply_dense(U, X, n_threads)
    indptr, indices = (x.astype(np.intp, copy=False) for x in (U.indptr, U.indices))
    return multiply_csr(indptr, indices, U.data, X, n_threads)


def _row_sums(P, V):
    """rowsum(P o V)."""
    if scipy.sparse.issparse(V):
        return np.asarray(V.multiply(P).sum(axis=1)).reshape(-1)
    return np.einsum("ij,ij->i", P, V)


def _gram(U):
    """U U^T."""
    if scipy.sparse.issparse(U):
        if U.nnz < _SPARSE_GRAM_DENSITY * U.shape[0] * U.shape[1]:
            return (U @ U.T).toarray()
        U = U.toarray()
    return U @ U.T
