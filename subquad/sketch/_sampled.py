"""Chosen entries of H D x: of rows, which are transformed whole in the cache, and of columns.

Of the transforms of columns only what the chosen entries depend on is computed, in one pass over A.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from subquad._kernels import hadamard, hadamard_sample
from subquad._parallel import blocks
from subquad.hadamard import order_of
from subquad.sketch._base import useful_threads
from subquad.sketch._rows import Rows

# Take up to so many bytes of each row at once: in long pieces memory is read fastest, and 512 of
# them are half a megabyte, which the second cache nearly holds.
_CHUNK_BYTES = 1 << 10
# Widths are multiples of this number: of the lanes of every vector.
_LANES = 16
# Compute all entries of a block where at least this share of them is needed: levels of butterflies
# are then faster than as many sums by themselves.
_DENSE = 0.6
# Keep about so many entries of blocks at once: 16 MB in float64.
_REALS_AT_ONCE = 1 << 21
# A kernel call passes over about so many reals: a tenth of a second, more in slow memory.
_REALS_PER_CALL = 1 << 26
_RADIX = 8
# Rows are transformed together up to this many reals: the kernel takes 2^12 at once.
_REALS_TOGETHER = 1 << 12
# An entry of A takes about so many additions.
_ADDITIONS = 8


class Sample(NamedTuple):
    """What the kernels ask for: levels (4, n), their sums, and those across `order` blocks."""

    length: int
    order: int
    levels: np.ndarray
    last_whole: int
    sums: np.ndarray
    across: np.ndarray

    @property
    def count(self):
        """How many entries of each block are needed."""
        return int(self.levels[2, -1])

    def width(self, n_columns, dtype):
        """Return how many columns to take at once."""
        most = _CHUNK_BYTES // dtype.itemsize, _REALS_AT_ONCE // (self.order * self.count)
        return min(-(-n_columns // _LANES), max(1, min(most) // _LANES)) * _LANES

    @property
    def room(self):
        """How many entries of one column a thread keeps besides."""
        radices, _, counts, _ = self.levels
        return _RADIX + int((radices[1:] * counts[:-1])[self.last_whole :].sum())


def sampled_rows(X, signs, picks, length, scale, out, n_threads=1):
    """Put scale * (H D x)[picks] for every row x of an ndarray or Rows into `out` (n, s).

    H of order `length`, before which zeros follow the entries of x; D = diag(signs), int8.
    """
    scratch = np.empty((n_threads, max(length, _REALS_TOGETHER)), X.dtype)
    signs, order = signs.astype(X.dtype), order_of(length, 0)
    for rows in blocks(X.shape[0], _REALS_PER_CALL // length):
        some = signs, picks, length, order, scale, scratch, out[rows], n_threads
        if isinstance(X, Rows):
            hadamard.sample_csr_rows(*X[rows].csr, *some)
        else:
            hadamard.sample_rows(X[rows], *some)


def sampled_columns(A, signs, sample, scale, out, n_threads):
    """Put scale * (H D A)[rows] into `out` (s, k), D = diag(signs), for the Sample of some rows.

    A (m, k) and `out` have contiguous rows and do not overlap. m is at most the length of the
    sample, and zeros stand for rows that are not there. `signs` is int8.
    """
    width = sample.width(A.shape[1], A.dtype)
    n_threads = useful_threads(n_threads, A.size * _ADDITIONS)
    rooms = np.empty((n_threads, sample.room * width), A.dtype)
    known = sample.order, sample.count, width
    at_most = max(1, _REALS_AT_ONCE // math.prod(known))
    room_of_parts = np.empty((min(at_most, -(-A.shape[1] // width)), *known), A.dtype)
    for columns in blocks(A.shape[1], at_most * width):
        part, result = A[:, columns], out[:, columns]
        parts = room_of_parts[: -(-part.shape[1] // width)]
        plan = signs, sample.levels, sample.sums, parts, rooms, sample.last_whole
        block = part.shape[1] * (sample.length // sample.order)
        for some in blocks(sample.order, _REALS_PER_CALL // block):
            hadamard_sample.sample_blocks(part, *plan, some.start, some.stop, n_threads)
        hadamard_sample.join_blocks(parts, sample.across, scale, result, n_threads)


def sample_of(rows, length):
    """Return the Sample of sorted rows of a transform of some length."""
    order = order_of(length, 0)
    if order == 1:
        order = min(_RADIX, length)
    levels, sums = [], [np.empty((0, 3), np.intp)]
    size, span, known, last_whole = length // order, 1, np.zeros(1, np.intp), -1
    while span < size or not levels:
        radix = min(_RADIX, size // span)
        needed = np.unique(rows % (span * radix))
        first = sum(map(len, sums))
        is_dense = len(known) == span and len(needed) >= _DENSE * span * radix
        if is_dense or not levels:
            needed, last_whole = np.arange(span * radix), len(levels)
        else:
            sums.append(_sums(needed, known, span))
        span, known = span * radix, needed
        levels.append((radix, span, len(known), first))
    levels = np.ascontiguousarray(np.transpose(levels), np.intp)
    sums, across = np.concatenate(sums), _sums(rows, known, span)
    return Sample(length, order, levels, last_whole, sums, across)


def _sums(needed, known, span):
    """Return (source, row, target) of entries that are needed, from entries modulo `span`."""
    row, rest = np.divmod(needed, span)
    source = np.searchsorted(known, rest)
    target = np.argsort(source, kind="stable")
    return np.stack([source[target], row[target], target], axis=1).astype(np.intp)
