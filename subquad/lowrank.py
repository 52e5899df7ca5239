"""Lazy maintenance of a weight matrix that changes by low-rank updates ([SZZ24], Section C.1).

Long for the docstrings of one class, whose methods have a few lines.
"""

from __future__ import annotations

import copy as copying
import math
import threading
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse

from subquad._factors import LowRankFactors
from subquad._fixed import FixedWeights
from subquad._products import SparseRows, dense_rows
from subquad._shapes import multiply_rows
from subquad._validation import as_csr, as_matrix, integer, one_of, real
from subquad.weights import DenseWeights

if TYPE_CHECKING:
    from typing import Any, Literal

    from numpy.typing import ArrayLike

    from subquad._typing import FloatArray, MatrixLike
    from subquad.weights import Weights


class LowRankMaintenance:
    """A matrix W + dW whose change dW = U^T V is kept as its factors.

    An update appends rows to U (rank, m_out) and V (rank, m_in) and touches no m_out x m_in
    array. When `rank` reaches `rank_budget`, the change is flushed into W, or recompressed.

    Parameters
    ----------
    W : array_like or one of `subquad.weights`, shape (m_out, m_in)
        The matrix at the start, which is never written to: an array is copied, DenseWeights are
        copied at the first flush. Compact weights, and those that are not stored or stay in a
        file, cannot be flushed into, and need `rank_budget=inf`.
    rank_budget : int, inf or None
        Rank at which the factors are given up. None means min(m_out, m_in) / 8, at least 1; inf
        never flushes.
    when_full : {"flush", "recompress"}
        What happens at `rank_budget`. "recompress" first drops what `recompress(rtol)` drops, and
        flushes only if more than half of the budget remains in use.
    rtol : float or None
        Tolerance of these recompressions; see `recompress`.
    copy : bool
        Copy DenseWeights at once rather than at the first flush, so that what others do to them by
        `DenseWeights.add_low_rank` has no effect here.

    Attributes
    ----------
    weights : one of `subquad.weights`
        W as of the last flush. Later flushes leave what was handed out as it is.
    rank_budget : int or inf
    n_flushes : int
        How often a change has been flushed into W.
    truncation : float
        Sum of the Frobenius errors of all recompressions: W + dW is at most so far, rounding aside,
        from what the updates add up to.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described; TypeError also for a finite budget with weights that
        cannot be changed in place.

    Notes
    -----
    Memory is that of W until the first flush, and twice that afterwards while somebody else holds W
    as given: a flush goes into a copy unless nobody else can know of the memory. Whoever has read
    `weights`, made a copy or pickled the structure has the weights as they were, and the next flush
    copies them again. Give the array, rather than DenseWeights of it, to keep one copy.

    Methods may be called from several threads; they take turns, and no update is lost.

    Measured, m = 4096, n = 64: query plus flushes cost about the same for every budget in
    m / 16 .. m / 4. Smaller budgets flush too often; larger ones make each query slow.

    Departures from [SZZ24], Algorithms 3-4: one object holds one layer; the budget is a parameter
    (the printed m^(1/3) is below one update's n unless m > n^3) and is tested by `>=`, since the
    rank need never equal it; the amortised cost in Lemma C.2 rests on fast rectangular products,
    whereas a flush here is a GEMM of 2 m_out m_in rank operations, or for sparse factors an
    addition for each pair of their nonzeros.

    Examples
    --------
    >>> lrm = LowRankMaintenance(np.eye(3), rank_budget=2)
    >>> lrm.update(np.ones((1, 3)), np.ones((1, 3)))
    >>> lrm.query(np.array([[0.0, 1.0, 0.0]]))
    array([[1., 2., 1.]])
    >>> lrm.rank
    1
    """

    def __init__(
        self,
        W: ArrayLike | Weights,
        *,
        rank_budget: float | None = None,
        when_full: Literal["flush", "recompress"] = "flush",
        rtol: float | None = None,
        copy: bool = False,
    ) -> None:
        owned = not isinstance(W, (DenseWeights, FixedWeights))
        if owned:
            W = DenseWeights(as_matrix(W, "W"))
        elif copy and isinstance(W, DenseWeights):
            W, owned = W.copy(), True
        self._when_full = one_of(when_full, "when_full", ("flush", "recompress"))
        self._weights, self._owns_weights = W, owned
        self.rank_budget = _as_budget(rank_budget, W.shape)
        _require_changeable(W, self.rank_budget)
        self._rtol = _as_rtol(rtol)
        self._change = LowRankFactors(W.shape, W.dtype)
        self.n_flushes, self.truncation = 0, 0.0
        self._lock = threading.RLock()

    def __getstate__(self):
        with self._lock:
            self._owns_weights = False  # from here on the copy has them too
            return {**self.__dict__, "_change": copying.copy(self._change), "_lock": None}

    def __setstate__(self, state):
        self.__dict__.update(state, _lock=threading.RLock())

    @property
    def weights(self) -> Weights:
        """W as of the last flush."""
        with self._lock:
            self._owns_weights = False  # the caller may keep them
            return self._weights

    @property
    def shape(self) -> tuple[int, int]:
        """(m_out, m_in)."""
        return self._weights.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Dtype of W, of the factors and of every product."""
        return self._weights.dtype

    @property
    def rank(self) -> int:
        """How many rows the factors of dW have."""
        return self._change.rank

    @property
    def factors(self) -> tuple[FloatArray, FloatArray]:
        """Copies of U (rank, m_out) and V (rank, m_in): dW = U^T V since the last flush."""
        with self._lock:
            return self._change.U.copy(), self._change.V.copy()

    def __repr__(self) -> str:
        return (
            f"LowRankMaintenance(shape={self.shape}, dtype={self.dtype}, rank={self.rank}, "
            f"rank_budget={self.rank_budget})"
        )

    def to_dense(self) -> FloatArray:
        """Return W + dW as a new array, shape (m_out, m_in)."""
        with self._lock:
            dense = self._weights.to_dense()
            self._change.add_to(dense)
            return dense

    def update(self, U: MatrixLike, V: MatrixLike) -> None:
        """Add U^T V to the matrix, by appending U and V to the factors.

        Parameters
        ----------
        U : array_like or sparse array, shape (r, m_out)
        V : array_like or sparse array, shape (r, m_in)
            In Gauss-Newton training row i belongs to data point i: U_i = -g_i u_i and V_i = v_i.
            Cast to the dtype of W. Neither modified nor kept.

        Raises
        ------
        TypeError, ValueError
            If U and V are not finite real matrices of these shapes.
        MemoryError
            If the copy of W that a flush needs does not fit; the change has been added.

        Notes
        -----
        O(r (m_out + m_in)) operations, plus, when the rank has reached `rank_budget`, those of
        `flush` or `recompress`: [SZZ24], Algorithm 4, Update.
        """
        m_out, m_in = self.shape
        U = self._as_factor(U, "U", m_out, None)
        V = self._as_factor(V, "V", m_in, len(U))
        self._update(U, V)

    def _as_factor(self, rows, name, n_columns, n_rows):
        """Return one factor of an update, dense."""
        if scipy.sparse.issparse(rows):
            csr = as_csr(rows, name, n_columns=n_columns, min_rows=0, dtype=self.dtype)
            rows = dense_rows(*csr, n_columns)
        sizes = {"n_columns": n_columns, "n_rows": n_rows, "min_rows": 0}
        return as_matrix(rows, name, dtype=self.dtype, **sizes)

    def _update(self, U, V):
        """[SZZ24], Algorithm 4, Update."""
        with self._lock:
            self._change.append(U, V, self.rank_budget)
            if self.rank >= self.rank_budget:
                if self._when_full == "recompress":
                    self.recompress(self._rtol)
                if self.rank > self.rank_budget // 2:  # or one recompression would follow another
                    self.flush()

    def query(self, Y: MatrixLike, n_threads: int | None = None) -> FloatArray:
        """Return (W + dW) y_i for every data point i.

        Parameters
        ----------
        Y : array_like or sparse array, shape (n, m_in)
            Row i is y_i. Cast to the dtype of W.
        n_threads : int or None
            Threads of the sparse kernel; BLAS keeps its own.

        Returns
        -------
        ndarray, shape (n, m_out)

        Raises
        ------
        TypeError, ValueError
            If Y is not a finite real matrix with m_in columns.

        Notes
        -----
        O(m_out (nnz(Y) + n rank)) operations ([SZZ24], Lemma C.2), or more of them in less time by
        BLAS where Y is full. The paper announces dW y and computes (W + dW) y, as is done here.
        """
        shape, twins = self.shape[::-1], (self._query_dense, self._query_csr)
        return multiply_rows(Y, "Y", shape, self.dtype, n_threads, *twins)

    def _query_dense(self, Y, n_threads):
        """[SZZ24], Algorithm 4, Query."""
        with self._lock:
            out = self._weights._apply_dense(Y, n_threads)
            self._change.add_product(out, Y)
            return out

    def _query_csr(self, indptr, indices, values, n_threads):
        """[SZZ24], Algorithm 4, Query, for sparse rows.

        They are made dense for dW: in (Y V^T) U the second product reads all of U in any case.
        """
        with self._lock:
            out = self._weights._apply_csr(indptr, indices, values, n_threads)
            if self.rank:
                for rows, Y in SparseRows(indptr, indices, values).dense(self.shape[1]):
                    self._change.add_product(out[rows], Y)
            return out

    def query_transposed(self, X: MatrixLike, n_threads: int | None = None) -> FloatArray:
        """Return (W + dW)^T x_i for every data point i: the backward pass.

        Parameters
        ----------
        X : array_like or sparse array, shape (n, m_out)
            Row i is x_i. Cast to the dtype of W.
        n_threads : int or None
            Threads of the sparse kernel; BLAS keeps its own.

        Returns
        -------
        ndarray, shape (n, m_in)

        Raises
        ------
        TypeError, ValueError
            If X is not a finite real matrix with m_out columns.

        Notes
        -----
        What [SZZ24], Lemma C.4 and Remark C.6 need of the structure, and its Algorithm 4 lacks.
        2 m_in nnz(X) + 2 n rank (m_out + m_in) operations; see `DenseWeights.apply_transposed`.
        """
        twins = self._query_transposed_dense, self._query_transposed_csr
        return multiply_rows(X, "X", self.shape, self.dtype, n_threads, *twins)

    def _query_transposed_dense(self, X, n_threads):
        """Trusted twin of `query_transposed`."""
        with self._lock:
            out = self._weights._apply_transposed_dense(X, n_threads)
            self._change.add_transposed_product(out, X)
            return out

    def _query_transposed_csr(self, indptr, indices, values, n_threads):
        """Trusted twin of `query_transposed` for sparse rows, made dense as in `_query_csr`."""
        with self._lock:
            out = self._weights._apply_transposed_csr(indptr, indices, values, n_threads)
            if self.rank:
                for rows, X in SparseRows(indptr, indices, values).dense(self.shape[0]):
                    self._change.add_transposed_product(out[rows], X)
            return out

    def flush(self) -> None:
        """Add dW to W, and continue with rank 0.

        Raises
        ------
        TypeError
            If the weights cannot be changed in place.
        MemoryError
            If somebody else may hold W, and a copy of it does not fit.

        Notes
        -----
        2 m_out m_in rank operations, by BLAS from a rank of 65 on; where the factors are sparse, an
        addition for each pair of nonzeros of a row of U and the same row of V. An exception on the
        way (Ctrl-C) loses nothing: what has not arrived in W is still in the factors.
        """
        with self._lock:
            if self.rank == 0:
                return
            _require_flushable(self._weights)
            if not self._owns_weights:
                self._weights = self._weights.copy()
                self._owns_weights = True
            self._weights._absorb(self._change.U, self._change.V)
            self._change.clear()
            self.n_flushes += 1

    def recompress(self, rtol: float | None = None) -> float:
        """Replace the factors by the shortest ones that represent dW up to rounding.

        With U^T = Q_u R_u, V^T = Q_v R_v and R_u R_v^T = X diag(s) Y^T, the change is
        dW = sum_k s_k (Q_u x_k) (Q_v y_k)^T, and the terms with s_k <= rtol s_1 are dropped.

        Parameters
        ----------
        rtol : float or None
            In [0, 1). None means rank times the machine epsilon of the dtype.

        Returns
        -------
        float
            The Frobenius norm of the terms dropped, which `truncation` adds up.

        Raises
        ------
        TypeError, ValueError
            If `rtol` is not such a number.

        Notes
        -----
        O((m_out + m_in) rank^2) operations. Not in the papers: after 60 steps of gradient descent
        on all layers (m = 512, n = 16) 960 stored rows had numerical ranks (1e-10) of 16, 113 and
        88.
        """
        rtol = _as_rtol(rtol)
        with self._lock:
            if rtol is None:
                rtol = self.rank * float(np.finfo(self.dtype).eps)
            dropped = self._change.compress(rtol)
            self.truncation += dropped
            return dropped

    def _parts(self):
        """Return W and dW themselves, for a caller who is done with them before the next update."""
        with self._lock:
            return self._weights, self._change


def _require_changeable(W, rank_budget):
    """Raise unless W can take up the change that a full budget flushes into it."""
    if rank_budget < math.inf and not is_changeable(W):
        raise TypeError(
            f"W must be stored in float32 or float64, to be changed when rank_budget={rank_budget} "
            f"is reached; got {W!r}. Give rank_budget=inf, or DenseWeights(W.to_dense())."
        )


def _require_flushable(W):
    """Raise unless W can be changed in place."""
    if not is_changeable(W):
        raise TypeError(
            f"W must be stored in float32 or float64 for a flush to change it; got {W!r}. "
            "Leave the change in the factors, or start from DenseWeights(W.to_dense())."
        )


def is_changeable(W):
    """Return whether W is stored as it multiplies."""
    return isinstance(W, DenseWeights) and W.storage is None


def _as_budget(rank_budget, shape):
    """Return the default budget, inf, or an int of at least 1."""
    if rank_budget is None:
        return max(1, min(shape) // 8)
    if isinstance(rank_budget, float) and rank_budget == math.inf:
        return math.inf
    return integer(rank_budget, "rank_budget")


def _as_rtol(rtol):
    """Return None, or a float in [0, 1)."""
    rtol = None if rtol is None else real(rtol, "rtol", minimum=0.0)
    if rtol is not None and rtol >= 1.0:
        raise ValueError(f"rtol must be below 1; got {rtol}.")
    return rtol
