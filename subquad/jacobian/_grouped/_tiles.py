"""(U U^T) o (V V^T), a tile at a time, each summed by groups of rows while it is in cache."""

import numpy as np

from subquad._kernels import count_sketch as kernels
from subquad._parallel import blocks
from subquad.jacobian import _factors as factors
from subquad.jacobian._grouped._work import is_multiplied_sparsely

# Take so many rows a tile: two tiles of float64 fit in the second cache.
_TILE = 256


def gram_by_tiles(left, right, G):
    """Add to G, zeros, left right^T; `right` is `left` for its own Gram matrix."""
    numbers, others = left._row_groups.numbers, right._row_groups.numbers
    for rows in blocks(left.n_rows, _TILE):
        part = _Part(left, rows, numbers)
        for columns in blocks(right.n_rows, _TILE):
            if right is left and columns.start >= rows.start:
                break
            other = _Part(right, columns, others)
            sums = part.sums(other)
            G[part.groups, other.groups] += sums
            if right is left:
                G[other.groups, part.groups] += sums.T
        if right is left:
            sums = part.sums(part)
            # The two orders of summation round differently.
            G[part.groups, part.groups] += (sums + sums.T) / 2


class _Part:
    """Some rows of a Jacobian, in float64, and the groups they belong to."""

    def __init__(self, J, rows, numbers):
        self.U, self.V = (_prepared(x[rows]) for x in (J.U, J.V))
        numbers = numbers[rows]
        self.groups = slice(int(numbers[0]), int(numbers[-1]) + 1)
        self._single = bool((np.diff(numbers) == 1).all())
        self._code = (2 * (numbers - numbers[0])).astype(np.int32)

    def sums(self, other):
        """Return this part's rows times the other's, summed by groups."""
        tile = factors.cross_gram(self.U, other.U)
        tile *= factors.cross_gram(self.V, other.V)
        return other._sums_of_columns(self._sums_of_rows(tile))

    def _sums_of_rows(self, tile):
        if self._single:
            return tile
        out = np.zeros((self._n_groups, tile.shape[1]))
        kernels.add_columns(np.ascontiguousarray(tile), self._code, out, 1)
        return out

    def _sums_of_columns(self, tile):
        if self._single:
            return tile
        out = np.empty((len(tile), self._n_groups))
        scratch = np.empty(kernels.ROWS * self._n_groups)
        kernels.sketch_rows(np.ascontiguousarray(tile), self._code, out, scratch, 1)
        return out

    @property
    def _n_groups(self):
        return self.groups.stop - self.groups.start


def _prepared(x):
    """Return rows of a factor in float64; dense, unless a sparse product of them pays."""
    if not is_multiplied_sparsely(x):
        x = factors.dense(x)
    return x.astype(np.float64, copy=False)
