"""The factors of a low-rank matrix: appended to, multiplied with, compressed."""

import functools

import numpy as np
import scipy.linalg

from subquad._kernels import _simd, low_rank
from subquad._parallel import resolve_threads, worth_threads
from subquad._products import blocks_by_work, nonzeros

# Packing U pays where W has at least so many columns.
_FEWEST_COLUMNS = 128
# Start another thread for each quarter of a millisecond of reading and writing W.
_BYTES_PER_THREAD = 2**22
# Adding one entry of sparse factors takes as long as so many multiply-adds of a dense flush,
_PAIR_COST = 64
# and another thread is worth starting for so many entries.
_PAIRS_PER_THREAD = 2**18


class LowRankFactors:
    """U (rank, m_out) and V (rank, m_in) that stand for U^T V; all of it trusts its arguments."""

    def __init__(self, shape, dtype):
        self._U, self._V = (np.empty((0, size), dtype) for size in shape)
        self.rank = 0

    @classmethod
    def adopting(cls, U, V):
        """Return the product of two arrays that are kept, not copied."""
        self = cls.__new__(cls)
        self._replace(U, V, len(U))
        return self

    @property
    def U(self):
        """The rows in use, a view."""
        return self._U[: self.rank]

    @property
    def V(self):
        """The rows in use, a view."""
        return self._V[: self.rank]

    def __getstate__(self):
        # Without the rows in reserve, and without what else a view would hold on to.
        return {"_U": self.U.copy(), "_V": self.V.copy(), "rank": self.rank}

    def __setstate__(self, state):
        # What joblib maps from a file with mmap_mode="r" cannot be written to.
        factors = {name: np.require(state[name], requirements="W") for name in ("_U", "_V")}
        self.__dict__.update(state, **factors)

    def append(self, U, V, limit):
        """Copy rows to the end; the reserve grows by half at least, up to `limit` rows."""
        rank = self.rank + len(U)
        if rank > len(self._U):
            reserve = max(rank, min(len(self._U) * 3 // 2, limit))
            self._replace(*(_grown(rows, reserve) for rows in (self.U, self.V)), self.rank)
        self._U[self.rank : rank], self._V[self.rank : rank] = U, V
        self.rank = rank

    def clear(self):
        """Drop all rows, and their memory."""
        self._replace(self._U[:0].copy(), self._V[:0].copy(), 0)

    def compress(self, rtol):
        """Keep the terms of the singular value decomposition of U^T V with s_k > rtol s_1.

        Returns the Frobenius norm of the others.
        """
        if self.rank == 0:
            return 0.0
        Q_u, R_u = scipy.linalg.qr(self.U.T, mode="economic", check_finite=False)
        Q_v, R_v = scipy.linalg.qr(self.V.T, mode="economic", check_finite=False)
        X, s, Yt = scipy.linalg.svd(R_u @ R_v.T, full_matrices=False, check_finite=False)
        rank = int(np.count_nonzero(s > rtol * s[0]))
        root = np.sqrt(s[:rank, None])
        U = np.ascontiguousarray(root * (X[:, :rank].T @ Q_u.T))
        V = np.ascontiguousarray(root * (Yt[:rank] @ Q_v.T))
        self._replace(U, V, rank)
        return float(np.linalg.norm(s[rank:].astype(np.float64)))

    def _replace(self, U, V, rank):
        """Take other factors at once: an exception (Ctrl-C) leaves the old ones or the new ones."""
        self.__dict__.update(_U=U, _V=V, rank=rank)

    def add_product(self, out, Y):
        """Add U^T V y_i to out[i]."""
        _add_product(out, Y, self.V, self.U)

    def add_transposed_product(self, out, X):
        """Add V^T U x_i to out[i]."""
        _add_product(out, X, self.U, self.V)

    def add_to(self, dense):
        """Add U^T V to a dense (m_out, m_in)."""
        flushing(dense, self.V, self.U)()


def flushing(columns, U, V):
    """Return a call that adds V^T U to columns: one GEMM, or a kernel that beats it if U is thin.

    The call is C from end to end: no signal is delivered before it has begun.

    Seconds of BLAS over those of the kernel, AVX-512, one thread, m = 8192, rank 1, 8, 16, 32, 64:
        float32   1.8 1.7 1.8 2.1 1.9    float64   1.6 1.4 1.4 1.5 1.6
    (OpenBLAS; 1.1 to 1.9 from m = 1000 on). With AVX2 they are equal within a fifth.
    """
    thin = len(U) <= low_rank.LARGEST_THIN_RANK and len(columns) >= _FEWEST_COLUMNS
    if not thin or _simd.level() != "avx512":
        return functools.partial(low_rank.flush, columns, U, V)
    tile = low_rank.TILE_BYTES // columns.itemsize
    packed = np.empty(-(-U.shape[1] // tile) * tile * len(U), columns.dtype)
    n_threads = worth_threads(resolve_threads(), columns.nbytes, _BYTES_PER_THREAD)
    return functools.partial(low_rank.flush_thin, columns, U, V, packed, n_threads)


def absorbing(columns, U, V):
    """As `flushing`, entry by entry where few of the products U[k, r] V[k, j] are not 0.

    Seconds of `flushing` over those of this, AVX-512, one thread, m = 4096, at densities .02, .05
    and .1 of both factors; at .15 they are equal within a half:
        float32   rank 64  4.5 2.1 1.7   rank 256  3.5 3.1 1.6
        float64   rank 64  6.9 2.2 1.8   rank 256  6.6 4.1 2.8
    """
    pairs = int(np.count_nonzero(U, axis=1) @ np.count_nonzero(V, axis=1))
    if pairs * _PAIR_COST >= U.size * V.shape[1]:
        return flushing(columns, U, V)
    n_threads = worth_threads(resolve_threads(), pairs, _PAIRS_PER_THREAD)
    by_columns = nonzeros(np.ascontiguousarray(V.T))
    return functools.partial(low_rank.flush_sparse, columns, *nonzeros(U), *by_columns, n_threads)


def _add_product(out, Y, inner, outer):
    """Add (Y inner^T) outer to out, a block of rows at a time."""
    for rows in blocks_by_work(len(out) if len(inner) else 0, inner.size + outer.size):
        flushing(out[rows], outer, inner @ Y[rows].T)()


def _grown(rows, reserve):
    """Return the same rows at the start of an array of `reserve` rows."""
    grown = np.empty((reserve, rows.shape[1]), rows.dtype)
    grown[: len(rows)] = rows
    return grown
