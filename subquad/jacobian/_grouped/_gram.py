"""Gram matrices of grouped rows, by the cheapest way."""

import numpy as np

from subquad.jacobian import _factors as factors
from subquad.jacobian._grouped._columns import gram_by_columns
from subquad.jacobian._grouped._matrices import gram_by_matrices
from subquad.jacobian._grouped._tiles import gram_by_tiles
from subquad.jacobian._grouped._work import gram_work

# Up to so many groups, of so few rows together, share a Gram matrix: only its diagonal is used.
_ROWS_PER_RUN = 64
_WAYS = {"tiles": gram_by_tiles, "matrices": gram_by_matrices, "columns": gram_by_columns}


def gram(left, right=None, way=None):
    """Return left right^T, or left left^T for None, in float64; a `way` may be asked for."""
    other = left if right is None else right
    factors.require_gram(left.n, other.n)
    if way is None:
        work = gram_work(left, right)
        way = min(work, key=work.get)
    G = np.zeros((left.n, other.n))
    _WAYS[way](left, other, G)
    return G


def diagonal(J):
    """Return the diagonal of J J^T, from the Gram matrices of runs of groups."""
    groups = J._row_groups
    squares = np.empty(J.n)
    for which in _runs(groups.indptr):
        several = which.stop - which.start > 1
        squares[which] = gram(J._of_groups(which), way="tiles" if several else None).diagonal()
    return squares


def _runs(indptr):
    """Yield slices of groups that have few rows together, or of one group that has more."""
    start, n = 0, len(indptr) - 1
    while start < n:
        stop = int(np.searchsorted(indptr, indptr[start] + _ROWS_PER_RUN, side="right")) - 1
        stop = max(min(stop, start + _ROWS_PER_RUN), start + 1)
        yield slice(start, stop)
        start = stop
