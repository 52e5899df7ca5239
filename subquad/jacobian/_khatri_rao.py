"""The Jacobian of a layer: rows of rank one, kept as their factors.

Long for its docstrings: a method has a few lines, and says its formula, shapes and cost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse

from subquad._groups import Groups, as_groups
from subquad._parallel import resolve_threads
from subquad._validation import (
    as_matrix,
    as_positions,
    as_vector,
    one_of,
    require_in_range,
    require_memory,
)
from subquad.jacobian import _factors as factors
from subquad.jacobian import _grouped as grouped
from subquad.jacobian._protocol import KeepsGram, gram_from
from subquad.sketch import OF_PAIRS

if TYPE_CHECKING:
    from typing import Any, Literal

    from numpy.typing import ArrayLike, NDArray

    from subquad._typing import FloatArray, IndexArray, Matrix, MatrixLike
    from subquad.jacobian._protocol import Jacobian
    from subquad.sketch import TensorSketch, TensorSRHT


class KhatriRao(KeepsGram):
    """J with rows J[i] = vec(u_i v_i^T), or sums of such rows by group, kept as U and V.

    vec stacks rows: column j m_v + k of J holds u_ij v_ik. So J is the row-wise Khatri-Rao product
    of U and V, the Jacobian of n outputs with respect to an m_u x m_v layer of a network. Where a
    layer is applied T times for n data points, to the tokens of sequences or the positions of a
    convolution, J[i] = sum_t vec(u_t v_t^T) over the rows t of group i.

    Parameters
    ----------
    U : array_like or sparse array, shape (n, m_u), or (T, m_u) with groups
        In last-layer training, u_i = a o phi'(z_i).
    V : array_like or sparse array, shape (n, m_v), or (T, m_v) with groups
        In last-layer training, v_i = h_i, the input of the layer; one-hot rows in CSR stand for an
        embedding. U and V share the wider of their dtypes. Arrays that need no conversion are kept,
        not copied: leave them as they are while J is in use.
    groups : array_like of int, shape (n + 1,), optional
        Group i is the rows groups[i] to groups[i + 1] - 1 of U and V, none where the two are equal:
        from 0 to T, never decreasing. By default every row is a group.

    Attributes
    ----------
    U, V : ndarray or scipy.sparse.csr_array
        The factors, read-only.
    groups : ndarray of intp, shape (n + 1,), or None
        Read-only.
    n, n_rows, m_u, m_v : int
        Rows of J, rows of the factors, and columns of each.
    shape : tuple
        (n, m_u m_v).
    dtype : numpy.dtype
        Of the factors and of what `matvec`, `adjoint` and `sketch` return. `gram`, `product`,
        `diagonal` and `columns` sum in float64 and return float64, whatever it is.

    Raises
    ------
    TypeError, ValueError
        If U and V are not finite real matrices with as many rows, or `groups` does not divide them.

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
    >>> U, V = np.array([[1.0, 2.0], [0.0, 1.0]]), np.array([[3.0, 4.0], [1.0, 1.0]])
    >>> KhatriRao(U, V, groups=[0, 2]).to_dense()
    array([[3., 4., 7., 9.]])
    """

    _groups = None

    def __init__(self, U: MatrixLike, V: MatrixLike, groups: ArrayLike | None = None) -> None:
        U = factors.as_factor(U, "U")
        V = factors.as_factor(V, "V", n_rows=U.shape[0])
        groups = as_groups(groups, U.shape[0])
        dtype = np.result_type(U.dtype, V.dtype)
        U, V = (x.astype(dtype, copy=False) for x in (U, V))
        self._adopt(U, factors.FixedSide(V), 1, groups)

    @classmethod
    def _trusted(cls, U, V, n_threads=1, groups=None):
        """Adopt factors of one dtype; V may be a `FixedSide`, which other Jacobians share."""
        self = cls.__new__(cls)
        side = V if isinstance(V, factors.FixedSide) else factors.FixedSide(V)
        self._adopt(U, side, n_threads, groups)
        return self

    def _adopt(self, U, side, n_threads, groups=None):
        self._side, self._n_threads, self._groups = side, n_threads, groups
        self.U: Matrix = U
        self.n: int = U.shape[0] if groups is None else groups.n
        self.m_u: int = U.shape[1]
        self.m_v: int = side.inputs.shape[1]

    @property
    def V(self) -> Matrix:
        """The second factor."""
        return self._side.V

    @property
    def groups(self) -> IndexArray | None:
        """Where each group begins, and where the last ends; None where every row is one."""
        return None if self._groups is None else self._groups.indptr

    @property
    def n_rows(self) -> int:
        """Rows of U and V."""
        return self.n if self._groups is None else self._groups.n_rows

    @property
    def _row_groups(self):
        """The groups, also where every row is one."""
        return Groups.of_single_rows(self.n) if self._groups is None else self._groups

    @property
    def shape(self) -> tuple[int, int]:
        """(n, m_u m_v)."""
        return self.n, self.m_u * self.m_v

    @property
    def dtype(self) -> np.dtype[Any]:
        """Dtype of the factors."""
        return self.U.dtype

    @property
    def nnz_u(self) -> int:
        """Stored entries of U."""
        return factors.stored_entries(self.U)

    @property
    def nnz_v(self) -> int:
        """Stored entries of V."""
        return factors.stored_entries(self.V)

    def __repr__(self) -> str:
        rows = "" if self._groups is None else f"n_rows={self.n_rows}, "
        sizes = f"n={self.n}, {rows}m_u={self.m_u}, m_v={self.m_v}"
        return f"{type(self).__name__}({sizes}, dtype={self.dtype})"

    def to_dense(self) -> FloatArray:
        """Return J as an array, shape (n, m_u m_v): for small checks.

        Raises
        ------
        MemoryError
            If it does not fit.
        """
        n_bytes = self.shape[0] * self.shape[1] * self.dtype.itemsize
        require_memory(n_bytes, f"J with shape {self.shape}", "matvec, adjoint and gram avoid it.")
        if self._groups is not None:
            return grouped.matrices(self).astype(self.dtype, copy=False)
        U, V = factors.dense(self.U), factors.dense(self.V)
        return (U[:, :, None] * V[:, None, :]).reshape(self.shape)

    def matvec(
        self, X: ArrayLike | tuple[MatrixLike, MatrixLike], n_threads: int | None = None
    ) -> FloatArray:
        """Return J vec(X), whose entries are u_i^T X v_i, or sums of these by group.

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
        rowsum((U A^T) o (V B^T)): 2 n r (m_u + m_v). With groups, T in place of n.

        Examples
        --------
        >>> J = KhatriRao(np.array([[1.0, 2.0]]), np.array([[3.0, 4.0]]))
        >>> J.matvec(np.eye(2)), J.matvec((np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]])))
        (array([11.]), array([4.]))
        """
        n_threads = resolve_threads(n_threads)
        if isinstance(X, tuple):
            X = self._checked_pair(X)
            width = X[0].shape[0]
        else:
            X = as_matrix(X, "X", n_rows=self.m_u, n_columns=self.m_v, dtype=self.dtype)
            width = self.m_v
        if self._groups is not None:
            return grouped.matvec(self, X, width, n_threads)
        return self._mapped(X, n_threads)

    def _checked_pair(self, X):
        """Return a pair of factors in trusted form."""
        if len(X) != 2:
            raise ValueError(f"X must be a matrix or a pair (A, B); got a tuple of {len(X)}.")
        A = factors.as_factor(X[0], "X[0]", n_columns=self.m_u, dtype=self.dtype)
        n_rows = A.shape[0]
        B = factors.as_factor(X[1], "X[1]", n_columns=self.m_v, n_rows=n_rows, dtype=self.dtype)
        return A, B

    def _mapped(self, X, n_threads):
        """Return u_t^T X v_t for every row of the factors, X a matrix or a pair."""
        if isinstance(X, tuple):
            return self._matvec_factors(*X)
        return self._matvec(X, n_threads)

    def _matvec(self, X, n_threads):
        """rowsum((U X) o V)."""
        return factors.row_sums(factors.multiply(self.U, X, n_threads), self.V)

    def _matvec_factors(self, A, B):
        """rowsum((U A^T) o (V B^T))."""
        return np.einsum("ir,ir->i", factors.dense(self.U @ A.T), factors.dense(self.V @ B.T))

    def adjoint(self, g: ArrayLike) -> tuple[Matrix, Matrix]:
        """Return J^T g as a factor pair (A, B): J^T g = vec(A^T B).

        Parameters
        ----------
        g : array_like, shape (n,)

        Returns
        -------
        A : ndarray or csr_array, shape (n, m_u), or (T, m_u) with groups
            Row i is g_i u_i; with groups, row t is g_i u_t for the group i of t.
        B : ndarray or csr_array, shape (n, m_v), or (T, m_v)
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
        return factors.scaled_rows(self.U, self._by_row(g)), self.V

    def _by_row(self, g):
        """Return g with an entry for every row of the factors."""
        return g if self._groups is None else self._groups.expanded(g)

    def gram(self, other: Jacobian | None = None) -> NDArray[np.float64]:
        """Return J J^T = (U U^T) o (V V^T), summed by groups, or the cross Gram matrix J other^T.

        Parameters
        ----------
        other : KhatriRao, MatrixFreeJacobian or ScaledRows of one, optional
            Rows of the same layer at other points. Either, both or none may have groups.

        Returns
        -------
        ndarray of float64, shape (n, n) or (n, other.n)

        Raises
        ------
        TypeError, ValueError
            If `other` is of no such kind, or its factors have not as many columns.
        MemoryError
            If it does not fit.

        Notes
        -----
        n^2 (m_u + m_v) operations by BLAS, which also serves sparse factors above a density of
        0.03; below, about nnz(U)^2 / m_u. [SZZ24], Algorithm 2; exact, against its sketches.

        With groups, T rows in all, G_ij is the sum of (u_t . u_s)(v_t . v_s) over the rows t of
        group i and s of group j, and equals the inner product of U_i^T V_i and U_j^T V_j. The
        cheapest of three ways is taken, by `gram_work`; none makes T^2 numbers at once:

        - tiles of 256 x 256 products, summed while they are in cache: T^2 (m_u + m_v) operations;
        - the matrices U_i^T V_i, 64 MB of them at a time: (2 T + n^2) m_u m_v;
        - columns of a sparse V, one-hot rows of an embedding above all: c_k^2 m_u for a column that
          c_k groups have an entry in; m_v for sparse U.

        Examples
        --------
        >>> J = KhatriRao(np.array([[1.0, 2.0]]), np.array([[3.0, 4.0]]))
        >>> J.gram(KhatriRao(np.eye(2), np.ones((2, 2))))
        array([[ 7., 14.]])
        """
        if other is None:
            return require_in_range(self._own_gram(), "U and V", "J J^T")
        if (G := gram_from(self, other)) is not None:
            return G
        if not isinstance(other, KhatriRao):
            raise TypeError(f"other must be a KhatriRao; got {type(other).__name__}.")
        require_same_layer(self, other)
        return self._cross(other)

    def _cross(self, other):
        """Trusted twin of `gram(other)`."""
        if self._groups is not None or other._groups is not None:
            return require_in_range(grouped.gram(self, other), "U and V", "J J'^T")
        factors.require_gram(self.n, other.n)
        with np.errstate(over="ignore", invalid="ignore"):
            G = factors.cross_gram(self.U, other.U)
            G *= factors.cross_gram(self.V, other.V)
        return require_in_range(G, "U and V", "J J'^T")

    def gram_work(self, other: KhatriRao | None = None) -> dict[str, float]:
        """Return how much work each way to `gram(other)` takes, where rows are grouped.

        Parameters
        ----------
        other : KhatriRao, optional

        Returns
        -------
        dict of str: float
            "tiles", "matrices" and, where both have a sparse V (or U), "columns": multiply-adds of
            BLAS that take as long. `gram` goes the way that takes least.
        """
        return grouped.gram_work(self, other)

    def product(self, g: FloatArray) -> NDArray[np.float64]:
        """Return J (J^T g), shape (n,), in float64.

        Parameters
        ----------
        g : ndarray, shape (n,)

        Notes
        -----
        4 nnz(U) m_v operations; 2 n^2 where a solver has formed the Gram matrix. With groups, a
        block of J^T g is formed at a time, and all of it where U or V is sparse.
        """
        g = as_vector(g, "g", size=self.n, dtype=np.float64)
        with np.errstate(over="ignore", invalid="ignore"):
            product = self._times(g)
        return require_in_range(product, "U, V and g", "J J^T g")

    def diagonal(self) -> NDArray[np.float64]:
        """Return the diagonal of J J^T: |u_i|^2 |v_i|^2, or |U_i^T V_i|^2 of group i."""
        with np.errstate(over="ignore", invalid="ignore"):
            if self._groups is not None:
                squares = grouped.diagonal(self)
            else:
                squares = factors.row_squares(self.U) * factors.row_squares(self.V)
        return require_in_range(squares, "U and V", "J J^T")

    def columns(self, points: ArrayLike) -> NDArray[np.float64]:
        """Return columns of J J^T, shape (n, len(points)), for an array of indices."""
        points = as_positions(points, "points", self.n)
        with np.errstate(over="ignore", invalid="ignore"):
            if self._groups is not None:
                rows, groups = self._groups.taken(points)
                part = KhatriRao._trusted(self.U[rows], self.V[rows], groups=groups)
                G = grouped.gram(self, part)
            else:
                G = factors.cross_gram(self.U, self.U[points])
                G *= factors.cross_gram(self.V, self.V[points])
        return require_in_range(G, "U and V", "J J^T")

    def sketch(self, S: TensorSketch | TensorSRHT) -> FloatArray:
        """Return J S^T, shape (n, S.sketch_size), for a TensorSketch or TensorSRHT S.

        What S keeps of V is made once, for the last two sketches that were used; with groups, T
        times `sketch_size` numbers would be too many, and nothing is kept.
        """
        V, options = self._for_sketch(S)
        return S.apply(self.U, V, n_threads=self._n_threads, **options)

    def sketched_gram(self, S: TensorSketch | TensorSRHT) -> NDArray[np.float64]:
        """Return (J S^T)(J S^T)^T in float64, without the inverse transform of `sketch`."""
        V, options = self._for_sketch(S)
        return np.asarray(S.gram(self.U, V, self._n_threads, **options), np.float64)

    def _part(self, rows):
        """Return the Jacobian of a slice of rows, without groups."""
        return KhatriRao._trusted(self.U[rows], self.V[rows], self._n_threads)

    def _of_neurons(self, block):
        """Return the Jacobian with respect to a block of rows of the weights."""
        return KhatriRao._trusted(self.U[:, block], self._side, groups=self._groups)

    def _of_groups(self, which):
        """Return the Jacobian of a slice of groups, without a copy of dense factors."""
        rows, groups = self._row_groups.part(which)
        return KhatriRao._trusted(self.U[rows], self.V[rows], self._n_threads, groups)

    def _for_sketch(self, S):
        """Return V, as prepared as it may be, and the options of a sketch's products."""
        if self._groups is not None:
            return self.V, {"groups": self.groups}
        return self._side.prepared(S, self._n_threads), {}

    def draw_sketch(
        self,
        sketch_size: int,
        rng: int | np.random.Generator | None,
        kind: Literal["TensorSketch", "TensorSRHT"] = "TensorSketch",
    ) -> TensorSketch | TensorSRHT:
        """Return a sketch for `sketch`, a "TensorSketch" or a "TensorSRHT"."""
        return drawn((self.m_u, self.m_v), sketch_size, rng, kind)

    def _form(self):
        if self._groups is not None:
            return grouped.gram(self)
        factors.require_gram(self.n, self.n)
        with np.errstate(over="ignore", invalid="ignore"):
            G = factors.cross_gram(self.U, self.U)
            G *= factors.cross_gram(self.V, self.V)
        return G

    def _product(self, g):
        if self._groups is not None:
            return grouped.product(self, g)
        U, V = self.U, self.V
        if scipy.sparse.issparse(U) or scipy.sparse.issparse(V):
            return factors.sparse_product(U, V, g)
        V = V.astype(np.float64, copy=False)
        weighted, moved = g[:, None] * V, np.zeros(V.shape)
        for block in factors.column_blocks(U):
            columns = U[:, block].astype(np.float64, copy=False)
            moved += columns @ (columns.T @ weighted)
        return np.einsum("ij,ij->i", moved, V)


def drawn(n_features, sketch_size, rng, kind):
    """Return a sketch of pairs of these lengths."""
    return OF_PAIRS[one_of(kind, "kind", OF_PAIRS)](n_features, sketch_size, rng=rng)


def require_same_layer(J, other):
    """Raise unless the factors of two Jacobians have as many columns."""
    if (other.m_u, other.m_v) != (J.m_u, J.m_v):
        raise ValueError(
            f"other must have factors of {J.m_u} and {J.m_v} columns; "
            f"got {other.m_u} and {other.m_v}."
        )
