"""Gram matrices of grouped rows, by the cheapest way."""

import numpy as np

from subquad.jacobian import _factors as factors
from subquad.jacobian._grouped._columns import gram_by_columns
from subquad.jacobian._grouped._matrices import gram_by_matrices
from subquad.jacobian._grouped._tiles import gram_by_tiles
from subquad.jacobian._grouped._work import gram_work

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
    """Return the diagonal of J J^T: |u_t|^2 |v_t|^2 of single rows, the Gram of larger groups."""
    squares = factors.row_squares(J.U) * factors.row_squares(J.V)
    squares = J._row_groups.sums(squares)
    for i in np.flatnonzero(J._row_groups.counts > 1):
        squares[i] = gram(J._of_group(i))[0, 0]
    return squares
