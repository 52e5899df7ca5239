"""Weights that are not stored, of whose rows or products each rank makes a part."""

import itertools

import numpy as np
import scipy.sparse

from subquad._fixed import FixedWeights
from subquad._ranks import PARTS

# Rows of implicit weights are made from a multiple of so many on.
_TILE = 64


class GatheredRows(FixedWeights):
    """Weights whose product each rank makes a part of, and then has whole."""

    def __init__(self, W, ranks):
        self.shape, self.dtype = W.shape, W.dtype
        starts = [share.start // _TILE * _TILE for share in ranks.shares(W.shape[0])]
        self._edges, self._ranks = np.array([*starts, W.shape[0]]), ranks
        self._own = OwnRows(W, slice(*self._edges[ranks.rank : ranks.rank + 2]))

    def _apply_dense(self, H, n_threads):
        return self._ranks.gathered(self._own._apply_dense(H, n_threads), self._edges)

    def _apply_csr(self, indptr, indices, values, n_threads):
        own = self._own._apply_csr(indptr, indices, values, n_threads)
        return self._ranks.gathered(own, self._edges)


class OwnRows(FixedWeights):
    """Some rows of weights that are not stored."""

    def __init__(self, W, rows):
        first = rows.start // _TILE * _TILE
        self._rows = slice(rows.start - first, rows.stop - first)
        self._W = W._rows(first, rows.stop) if rows.stop > first else None
        self.shape, self.dtype = (rows.stop - rows.start, W.shape[1]), W.dtype

    def _apply_dense(self, H, n_threads):
        if self._W is None:
            return np.empty((len(H), 0), self.dtype)
        return np.ascontiguousarray(self._W._apply_dense(H, n_threads)[:, self._rows])

    def _apply_csr(self, indptr, indices, values, n_threads):
        if self._W is None:
            return np.empty((len(indptr) - 1, 0), self.dtype)
        product = self._W._apply_csr(indptr, indices, values, n_threads)
        return np.ascontiguousarray(product[:, self._rows])

    def _transposed_dense(self, G, n_threads):
        """W^T g for rows g, of rows of W that begin a tile."""
        return self._W._apply_transposed_dense(np.ascontiguousarray(G), n_threads)

    def _transposed_csr(self, G, n_threads):
        """The same for rows in CSR."""
        index = (x.astype(np.intp, copy=False) for x in (G.indptr, G.indices))
        return self._W._apply_transposed_csr(*index, G.data, n_threads)


class SharedProducts(GatheredRows):
    """Weights whose products, by rows and by columns, each rank makes a part of.

    W^T g is added up in float64 from so many parts of the rows, in their order, whoever made them.
    """

    def __init__(self, W, ranks):
        super().__init__(W, ranks)
        edges = [W.shape[0] * k // PARTS // _TILE * _TILE for k in range(PARTS)]
        rows = [slice(*pair) for pair in itertools.pairwise([*edges, W.shape[0]])]
        self._parts = [(part, OwnRows(W, part)) for part in rows[ranks.share(PARTS)]]

    def _apply_transposed_dense(self, G, n_threads):
        return self._added(len(G), lambda rows, W: W._transposed_dense(G[:, rows], n_threads))

    def _apply_transposed_csr(self, indptr, indices, values, n_threads):
        G = scipy.sparse.csr_array((values, indices, indptr), (len(indptr) - 1, self.shape[0]))
        return self._added(G.shape[0], lambda rows, W: W._transposed_csr(G[:, rows], n_threads))

    def _added(self, n, product):
        """The sum of `product(rows, weights)` over the parts of all ranks."""
        partial = np.zeros((len(self._parts), n * self.shape[1]))
        for out, (rows, W) in zip(partial, self._parts, strict=True):
            if rows.stop > rows.start:
                out[...] = product(rows, W).ravel()
        return self._ranks.summed_parts(partial).reshape(n, -1).astype(self.dtype)
