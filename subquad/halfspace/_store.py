"""The store of a half-space report: points in the leaves of a tree and in blocks past them."""

import math
from typing import NamedTuple

import numpy as np

from subquad._kernels import half_space, half_space_tree
from subquad._kernels._simd import level
from subquad._parallel import blocks
from subquad._validation import require_memory

_BLOCK = half_space.BLOCK
_FAN = half_space.FAN
_ITEMS = half_space.BLOCK // half_space.ITEM
# Fill a new leaf with this many points; its other lanes are for points that move in.
_FULL = 56
# A leaf may grow by this fraction of its sides, at either end, before points move out of it.
_SLACK = 0.25
# Ignore this many lanes past the leaves, or empty ones: they slow no search down.
_SPARE = 256
# Build a tree again when 1 point in this many lies past its leaves.
_MOST_PAST = 256
# Build a tree again when the sides of its leaves have grown by this factor since it was built.
_MOST_GROWN = 1.5
# A scan with AVX2 looks at codes of the points first from this dimension on: in fewer, a block is
# tested in the time that its codes take. AVX-512 tests twice as fast, and has not been measured.
_CODED_FROM = 5
# Plan the moves of this many points at a time: some tenths of a second, between which Ctrl-C is
# heard.
_MOVES_PER_CALL = 1 << 20

# Ask for the available memory before more bytes than this are allocated.
LARGE = 1 << 27
# A report gives out at most this many indices, since lanes are counted in 32 bits.
MOST_IDS = 2**31 - 65


class Lanes(NamedTuple):
    """The arrays that grow with the points, always replaced together."""

    points: np.ndarray  # (n_blocks, d, 64), NaN where a lane holds no point
    ids: np.ndarray  # (n_blocks, 64), -1 there
    taken: np.ndarray  # (n_blocks,), bit k is set where lane k holds a point
    slots: np.ndarray  # (n_ids,), 64 * block + lane of each id, -1 where it has no point
    stale: np.ndarray  # (n_leaves,), or (n_blocks,) with codes, 1 where points have changed
    codes: np.ndarray  # (n_blocks, ceil(d / 2), 128), or no blocks: half_space_codes.h
    fits: np.ndarray  # (n_blocks, 3), or no blocks: how near codes are to their points


# The tally holds the numbers that change with the points, by the kernel call that changes them:
# points, slots in use (64 for each leaf, then one after the other), indices given out so far, moves
# since the boxes were last measured, and whether boxes are to be fitted before the next query.
_SIZE, _END, _N_IDS, _N_MOVED, _CHANGED = range(5)


class Store:
    """Points in blocks of 64; the first `n_leaves` blocks are the leaves of a tree.

    With n_leaves = 0 there is no tree, and the points lie in the order of their ids, with codes of
    8 bits beside them where these make a scan faster. With a tree they lie anywhere; those that
    found no room in it lie in the blocks past its leaves.

    A change may be interrupted between any two lines: it allocates first, then replaces `lanes` by
    longer ones that hold the same points, and at last changes points and tally in one kernel call.

    A store that joblib maps read-only from a file is copied by its first change, not by queries.
    """

    def __init__(self, ids, rows, n_ids, with_tree):
        """Take over `rows` (n, d), which are reordered, and their ids, which rise."""
        n, d = rows.shape
        self.n_leaves = max(1, -(-n // _FULL)) if with_tree else 0
        self.dtype, self.dimension = rows.dtype, d
        self._lay_out(rows, ids.astype(np.int32), n_ids)
        end = _BLOCK * self.n_leaves if with_tree else n
        self._tally = np.array([n, end, n_ids, 0, False], np.intp)
        self.refit()
        half_space_tree.widen(self.bounds, _SLACK, self.homes)
        self._first_sides = self._sides()

    @staticmethod
    def forecast(n, d, itemsize):
        """Return the bytes of a store of n points while it is built."""
        return n * (d * (2.9 * itemsize + 1) + 16)

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
        n_coded = n_blocks if not leaves and _codes_pay(d) else 0
        self.lanes = Lanes(
            np.empty((n_blocks, d, _BLOCK), rows.dtype),
            np.empty((n_blocks, _BLOCK), np.int32),
            np.empty(n_blocks, np.uint64),
            np.full(n_ids, -1, np.int32),
            np.ones(n_coded or leaves, np.uint8),
            np.empty((n_coded, (d + 1) // 2, 2 * _BLOCK), np.uint8),
            np.empty((n_coded, 3)),
        )
        half_space_tree.fill(rows, ids, begins, leaves > 0, *self.lanes[:4])
        self.first, n_nodes = _levels(leaves)
        self.bounds = np.empty((n_nodes, d, 2, _FAN), rows.dtype)
        self.bounds[:, :, 0], self.bounds[:, :, 1] = np.inf, -np.inf
        self.items = np.empty((leaves, d, 2, _ITEMS), rows.dtype)
        self.homes = np.empty((leaves, d, 2), rows.dtype)
        self.stale_nodes = np.zeros(n_nodes, np.uint8)

    @property
    def size(self):
        """The number of points."""
        return int(self._tally[_SIZE])

    @property
    def end(self):
        """The number of slots in use: 64 for each leaf, then one after the other."""
        return int(self._tally[_END])

    @property
    def n_ids(self):
        """The number of indices given out so far."""
        return int(self._tally[_N_IDS])

    @property
    def n_moved(self):
        """The number of moves since the boxes were last measured."""
        return int(self._tally[_N_MOVED])

    @property
    def changed(self):
        """Whether points have changed since boxes were last fitted."""
        return bool(self._tally[_CHANGED])

    def has_decayed(self):
        """Return whether empty lanes, points past the leaves or large boxes call for another."""
        past = self.end - _BLOCK * self.n_leaves
        if not self.n_leaves:
            return past > _SPARE + self.size + self.size // 4
        if past > _SPARE + self.size // _MOST_PAST or self.end > _SPARE + 4 * self.size:
            return True
        if self.n_moved < self.size:
            return False
        self.refit()
        self._tally[_N_MOVED] = 0
        return self._sides() > _MOST_GROWN * self._first_sides

    def _sides(self):
        """Return the sum of the sides of all leaves' boxes."""
        leaves = self.bounds[: -(-self.n_leaves // _FAN)].astype(np.float64)
        with np.errstate(over="ignore"):
            return float(np.maximum(leaves[:, :, 1] - leaves[:, :, 0], 0).sum())

    def refit(self):
        """Fit the boxes, or the codes, to the points that have moved."""
        self._own_arrays()
        points, *_, stale, codes, fits = self.lanes
        if self.n_leaves:
            half_space.refit(points, self.first, stale, self.stale_nodes, self.bounds, self.items)
        elif len(codes):
            if self.n_moved >= self.size:
                stale[:] = 1  # steps may have become too long
                self._tally[_N_MOVED] = 0
            half_space.encode(points, stale, codes, fits)
        self._tally[_CHANGED] = False

    def copy(self):
        """Return a store of its own that holds the same points in the same order."""
        copy = object.__new__(Store)
        vars(copy).update(
            (name, value.copy() if isinstance(value, np.ndarray) else value)
            for name, value in vars(self).items()
        )
        copy.lanes = Lanes(*(array.copy() for array in self.lanes))
        return copy

    def _own_arrays(self):
        """Copy the arrays that cannot be written to, such as those that joblib maps from a file."""
        for name, value in vars(self).items():
            if isinstance(value, np.ndarray) and not value.flags.writeable:
                setattr(self, name, np.array(value))
        if not all(array.flags.writeable for array in self.lanes):
            self.lanes = Lanes(*(np.require(array, requirements="W") for array in self.lanes))

    def move(self, ids, rows):
        """Move points."""
        self._own_arrays()
        tally = self._tally.copy()
        tally[_N_MOVED] += ids.size
        self._put(ids, rows, tally)

    def insert(self, rows):
        """Put in new points and return their ids, which follow all that there have been."""
        self._own_arrays()
        tally = self._tally.copy()
        tally[_SIZE] += len(rows)
        tally[_N_IDS] += len(rows)
        ids = np.arange(self.n_ids, tally[_N_IDS])
        self._lengthen_slots(int(tally[_N_IDS]))
        self._put(ids, rows, tally)
        return ids

    def remove(self, ids):
        """Take points out."""
        self._own_arrays()
        tally = self._tally.copy()
        tally[_SIZE] -= ids.size
        tally[_CHANGED] = True
        points, lane_ids, taken, slots, stale, *_ = self.lanes
        half_space_tree.remove(
            ids, tally, points, lane_ids, taken, slots, stale[: self.n_leaves], self._tally
        )

    def _put(self, ids, rows, tally):
        """Give points their lanes, and the store this tally once the slots are counted in it."""
        targets, end = self._plan(ids, rows, self.end)
        self._lengthen_blocks(-(-end // _BLOCK))
        tally[_END], tally[_CHANGED] = end, True
        half_space_tree.place(ids, rows, targets, tally, *self.lanes, self._tally)

    def _plan(self, ids, rows, end):
        """Return the slots that points will have, and the number of slots in use then."""
        taken = self.lanes.taken[: self.n_leaves].copy()
        targets = np.empty(ids.size, np.int32)
        for some in blocks(ids.size, _MOVES_PER_CALL):
            end = half_space_tree.plan(
                ids[some], rows[some], self.split_axis, self.split_value, self.homes,
                self.items, self.lanes.slots, end, taken, targets[some],
            )  # fmt: skip
        return targets, end

    def alive(self):
        """Return the ids of all points, rising."""
        return np.flatnonzero(self.lanes.slots >= 0)

    def rows(self, ids):
        """Return the coordinates of points."""
        rows = np.empty((ids.size, self.dimension), self.dtype)
        half_space_tree.gather(self.lanes.points, self.lanes.slots, ids, rows)
        return rows

    def _lengthen_slots(self, n_ids):
        """Make room for ids below n_ids."""
        slots = self.lanes.slots
        if n_ids > slots.size:
            longer = _longer(slots, max(n_ids, slots.size * 9 // 8), -1)
            self.lanes = self.lanes._replace(slots=longer)

    def _lengthen_blocks(self, n_blocks):
        """Make room for so many blocks."""
        points, ids, taken, slots, *coded = self.lanes
        have = len(points)
        if n_blocks <= have:
            return
        n_blocks = max(n_blocks, have + have // 8)
        if (n_bytes := n_blocks * points[0].nbytes) > LARGE:
            require_memory(n_bytes, "The report", "Hold fewer points.")
        if len(self.lanes.codes):
            coded = [_longer(array, n_blocks, 1) for array in coded]  # new blocks are stale
        self.lanes = Lanes(
            _longer(points, n_blocks, np.nan),
            _longer(ids, n_blocks, -1),
            _longer(taken, n_blocks, 0),
            slots,
            *coded,
        )


def _codes_pay(d):
    """Return whether a scan in d dimensions is faster with codes than without."""
    return _CODED_FROM <= d <= half_space.MOST_CODED and level() == "avx2"


def _levels(n_leaves):
    """Return the first node of every level above the leaves, and the number of all nodes."""
    first, total, count = [], 0, n_leaves
    while count > 1 or (count == 1 and not first):
        count = math.ceil(count / _FAN)
        first.append(total)
        total += count
    return np.array(first, np.intp), total


def _longer(array, length, fill):
    """Return a copy of the array that is filled up to the length with `fill`."""
    longer = np.full((length, *array.shape[1:]), fill, array.dtype)
    longer[: len(array)] = array
    return longer
