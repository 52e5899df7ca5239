"""The search through a store: the answers to a batch of queries, as a CSR triple."""

import math

import numpy as np

from subquad._kernels import half_space
from subquad._parallel import blocks
from subquad._validation import require_memory
from subquad.halfspace._store import LARGE

_GROUP = half_space.QUERIES_PER_GROUP
_FAN = half_space.FAN
# A kernel call does at most this many multiplications, a quarter of a second of them.
_PRODUCTS_PER_CALL = 1 << 31


class Search:
    """Buffers for the hits of a batch, kept from one batch to the next."""

    def __init__(self):
        self._capacity = 0  # hits for which every query has room
        self._ids = np.empty(0, np.int32)
        self._values = np.empty(0, np.int32)
        self._scratch = np.empty(0, np.uint64)

    def batch(self, store, A, b, n_threads, sort=True):
        """Return the CSR triple of the answers, and the number of points tested in all.

        Unless sorted, the answers to a query come in the order in which the points lie.
        """
        parts = [
            self._part(store, A[some], b[some], n_threads, sort)
            for some in blocks(len(A), _GROUP * n_threads)
        ]
        tested = min(sum(part[-1] for part in parts), len(A) * store.size)
        if len(parts) == 1:
            return *parts[0][:-1], tested
        counts = np.concatenate([np.diff(indptr) for indptr, *_ in parts])
        indices, values = (np.concatenate([part[k] for part in parts]) for k in (1, 2))
        return _pointers(counts), indices, values, tested

    def _part(self, store, A, b, n_threads, sort):
        """Return the answers to so few queries that one pass over the points serves them all."""
        counts, tested = self._collect(store, A, b, n_threads)
        most = int(counts.max())
        if most > self._capacity:
            self._capacity = most + most // 8
            counts, tested = self._collect(store, A, b, n_threads)
        indptr = _pointers(counts)
        indices, values = _results(int(indptr[-1]), store.dtype)
        to_sort = most if sort and store.n_leaves else 0
        half_space.sort_hits(
            self.hit_ids, self.hit_values, indptr,
            (store.lanes.slots.size - 1).bit_length() if to_sort else 0,
            self._scratch_for(to_sort, n_threads), indices, values, n_threads,
        )  # fmt: skip
        return indptr, indices, values, tested

    def _scratch_for(self, most, n_threads):
        """Return room in which every thread can sort `most` hits."""
        if self._scratch.size < 2 * most * n_threads:
            self._scratch = np.empty(2 * (most + most // 8) * n_threads, np.uint64)
        return self._scratch[: 2 * most * n_threads].reshape(n_threads, -1)

    def _collect(self, store, A, b, n_threads):
        """Fill the buffers; return the number of hits of every query and of points tested."""
        self._make_room(store, len(A))
        counts = np.zeros(len(A), np.intp)
        tested = np.zeros(max(n_threads, -(-len(A) // _GROUP)), np.intp)
        points, ids, *_, codes, fits = store.lanes
        for level, begin, end in _pieces(store, len(A)):
            half_space.collect(
                points, ids, codes, fits, store.bounds, store.items, store.first, store.n_leaves,
                level, begin, end, A, b, self.hit_ids, self.hit_values, counts, tested, n_threads,
            )  # fmt: skip
        return counts, half_space.ITEM * int(tested.sum())

    def _make_room(self, store, n_queries):
        """Shape the buffers for n_queries rows of the capacity."""
        # Start with ample room: hits that find none are counted only, and collected a second time.
        size = store.size
        self._capacity = max(self._capacity, min(size, 1024 + size // 64))
        width = self._capacity + half_space.SLACK
        if self._values.dtype != store.dtype or self._values.size < n_queries * width:
            if (n_bytes := n_queries * width * (4 + store.dtype.itemsize)) > LARGE:
                require_memory(n_bytes, "The hits of a batch", "Ask fewer queries at a time.")
            self._ids = np.empty(n_queries * width, np.int32)
            self._values = np.empty(n_queries * width, store.dtype)
        self.hit_ids = self._ids[: n_queries * width].reshape(n_queries, width)
        self.hit_values = self._values[: n_queries * width].reshape(n_queries, width)


def _pieces(store, n_queries):
    """Yield (level, begin, end) of what to search, in pieces that take less than a second."""
    n_blocks = max(1, _PRODUCTS_PER_CALL // (half_space.BLOCK * store.dimension * n_queries))
    if store.n_leaves:
        level = store.first.size - 1
        while level > 0 and _FAN ** (level + 1) > n_blocks and store.n_leaves > n_blocks:
            level -= 1
        leaves_below = _FAN ** (level + 1)
        for nodes in blocks(-(-store.n_leaves // leaves_below), n_blocks // leaves_below):
            yield level, nodes.start, nodes.stop
    past = math.ceil(store.end / half_space.BLOCK) - store.n_leaves
    for some in blocks(past, n_blocks):
        yield -1, store.n_leaves + some.start, store.n_leaves + some.stop


def _results(count, dtype):
    """Return arrays for the indices and values of `count` answers."""
    if (n_bytes := count * (8 + dtype.itemsize)) > LARGE:
        require_memory(n_bytes, "The answers", "Ask fewer queries at a time, or raise b.")
    return np.empty(count, np.intp), np.empty(count, dtype)


def _pointers(counts):
    indptr = np.zeros(counts.size + 1, np.intp)
    np.cumsum(counts, out=indptr[1:])
    return indptr
