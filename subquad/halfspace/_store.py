"""Where the points of a half-space report lie: leaves of a tree, and blocks in order of arrival."""

import math

import numpy as np

from subquad._kernels import half_space, half_space_tree
from subquad._validation import require_memory

_BLOCK = half_space.BLOCK
_FAN = 16
_FULL = 56  # points of a new leaf, which leaves lanes for points that move in
_SLACK = 0.25  # of its sides, by which a leaf may grow before points move out
_SPARE = 256  # lanes past the leaves, or empty, that matter in no set
_MOST_PAST = 256  # a tree has decayed when 1 point in so many lies past its leaves
_MOST_GROWN = 1.5  # sides of the leaves, over what they were at first

LARGE = 1 << 27  # bytes before which available memory is asked for
MOST_IDS = 2**31 - 65  # lanes are counted in 32 bits


class Store:
    """Points in blocks of 64, with a tree over the first `n_leaves` of them; without one at 0.

    Without a tree the points lie in the order of their ids, else anywhere. Points that a tree has
    no room for lie in the blocks past its leaves.
    """

    def __init__(self, ids, rows, n_ids, with_tree):
        """Take over `rows` (n, d), which are reordered, and their ids, which rise."""
        n, d = rows.shape
        self.n_leaves = max(1, -(-n // _FULL)) if with_tree else 0
        self.dtype, self.dimension, self.size = rows.dtype, d, n
        self._lay_out(rows, ids.astype(np.int32), n_ids)
        self.end = _BLOCK * self.n_leaves if with_tree else n
        self.n_moved = 0
        self.refit()
        half_space_tree.widen(self.bounds, _SLACK, self.homes)
        self._first_sides = self._sides()

    @staticmethod
    def forecast(n, d, itemsize):
        """Return the bytes of a store of n points while it is built."""
        return n * (2.6 * d * itemsize + 16)

    def _lay_out(self, rows, ids, n_ids):
        """Allocate everything and put the points in."""
        n, d = rows.shape
        leaves = self.n_leaves
        n_blocks = leaves + 1 if leaves else max(1, -(-n // _BLOCK))
        self.split_axis = np.zeros(leaves, np.int32)
        self.split_value = np.zeros(leaves, rows.dtype)
        if leaves:
            begins = np.zeros(leaves + 1, np.intp)
            half_space_tree.split(rows, ids, self.split_axis, self.split_value, begins)
        else:
            begins = np.minimum(np.arange(n_blocks + 1) * _BLOCK, n)
        self.points = np.empty((n_blocks, d, _BLOCK), rows.dtype)
        self.ids = np.empty((n_blocks, _BLOCK), np.int32)
        self.taken = np.empty(n_blocks, np.uint64)
        self.slots = np.full(n_ids, -1, np.int32)
        half_space_tree.fill(rows, ids, begins, self.points, self.ids, self.taken, self.slots)
        self.first, n_nodes = _levels(leaves)
        self.bounds = np.empty((n_nodes, d, 2, _FAN), rows.dtype)
        self.bounds[:, :, 0], self.bounds[:, :, 1] = np.inf, -np.inf
        self.homes = np.empty((leaves, d, 2), rows.dtype)
        self.stale = np.ones(leaves, np.uint8)
        self.stale_nodes = np.zeros(n_nodes, np.uint8)

    def has_decayed(self):
        """Whether to build again: too many empty lanes, points past the leaves, or large boxes."""
        past = self.end - _BLOCK * self.n_leaves
        if not self.n_leaves:
            return past > _SPARE + self.size + self.size // 4
        if past > _SPARE + self.size // _MOST_PAST or self.end > _SPARE + 4 * self.size:
            return True
        if self.n_moved < self.size:
            return False
        self.n_moved = 0
        self.refit()
        return self._sides() > _MOST_GROWN * self._first_sides

    def _sides(self):
        """The sum of the sides of all leaves."""
        leaves = self.bounds[: -(-self.n_leaves // _FAN)].astype(np.float64)
        with np.errstate(over="ignore"):
            return float(np.maximum(leaves[:, :, 1] - leaves[:, :, 0], 0).sum())

    def refit(self):
        """Fit the boxes to the points that have moved."""
        half_space.refit(self.points, self.first, self.stale, self.stale_nodes, self.bounds)

    def place(self, ids, rows):
        """Move points."""
        step = max(4096, self.size // 8)  # each of which may need a lane past the leaves
        for i in range(0, ids.size, step):
            some = slice(i, i + step)
            if self.n_leaves:
                self._reserve(ids[some].size, 0)
            self._put(ids[some], rows[some])
        self.n_moved += ids.size

    def insert(self, ids, rows):
        """Put in new points, whose ids rise from the largest there has been."""
        self._reserve(ids.size, int(ids[-1]) + 1 if ids.size else 0)
        self._put(ids, rows)
        self.size += ids.size

    def _put(self, ids, rows):
        """Give points their lanes."""
        self.end = half_space_tree.place(
            ids, rows, self.split_axis, self.split_value, self.homes, self.end, self.points,
            self.ids, self.taken, self.slots, self.stale,
        )  # fmt: skip

    def remove(self, ids):
        """Take points out."""
        half_space_tree.remove(ids, self.points, self.ids, self.taken, self.slots, self.stale)
        self.size -= ids.size

    def alive(self):
        """Return the ids of all points, rising."""
        return np.flatnonzero(self.slots >= 0)

    def rows(self, ids):
        """Return the coordinates of points."""
        rows = np.empty((ids.size, self.dimension), self.dtype)
        half_space_tree.gather(self.points, self.slots, ids, rows)
        return rows

    def _reserve(self, count, n_ids):
        """Make room for so many more slots, and for ids below n_ids."""
        n_blocks = -(-(self.end + count) // _BLOCK)
        have = len(self.points)
        if n_blocks > have:
            n_blocks = max(n_blocks, have + have // 8)
            if (n_bytes := n_blocks * self.points[0].nbytes) > LARGE:
                require_memory(n_bytes, "The report", "Hold fewer points.")
            self.points = _longer(self.points, n_blocks, np.nan)
            self.ids = _longer(self.ids, n_blocks, -1)
            self.taken = _longer(self.taken, n_blocks, 0)
        if n_ids > self.slots.size:
            self.slots = _longer(self.slots, max(n_ids, self.slots.size * 9 // 8), -1)


def _levels(n_leaves):
    """Return the first node of every level above the leaves, and the number of nodes."""
    first, total, count = [], 0, n_leaves
    while count > 1 or (count == 1 and not first):
        count = math.ceil(count / _FAN)
        first.append(total)
        total += count
    return np.array(first, np.intp), total


def _longer(array, length, fill):
    """Return a copy of the array, filled up to the length."""
    longer = np.full((length, *array.shape[1:]), fill, array.dtype)
    longer[: len(array)] = array
    return longer
