"""M M^T for the rows M_i = vec(U_i^T V_i) of a grouped Jacobian, a block of weights at a time."""

import numpy as np
import scipy.sparse

from subquad._parallel import blocks
from subquad.jacobian import _factors as factors

# A block of M holds at most so many bytes, where a row of it has more than _FEWEST_WEIGHTS.
_BLOCK_BYTES = 2**26
_FEWEST_WEIGHTS = 64
# So many rows of a group are cast to float64 at a time.
_ROWS_PER_CAST = 1024
# One call of BLAS does at most this many multiply-adds, after which Ctrl-C is heard.
_MULTIPLY_ADDS_PER_CALL = 2**34


def gram_by_matrices(left, right, G):
    """Add to G, zeros, left right^T; `right` is `left` for its own Gram matrix."""
    per_row = max(_FEWEST_WEIGHTS, _BLOCK_BYTES // (8 * max(left.n, right.n)))
    width = min(left.m_v, per_row)
    for in_u in blocks(left.m_u, per_row // width):
        for in_v in blocks(left.m_v, width):
            M = matrices(left, in_u, in_v)
            N = M if right is left else matrices(right, in_u, in_v)
            for some in blocks(M.shape[1], _MULTIPLY_ADDS_PER_CALL // G.size):
                P = M[:, some]
                G += P @ (P if N is M else N[:, some]).T


def matrices(J, in_u=None, in_v=None):
    """Return the columns of J for a block of U and of V, shape (n, weights), in float64."""
    in_u = slice(0, J.m_u) if in_u is None else in_u
    in_v = slice(0, J.m_v) if in_v is None else in_v
    M = np.zeros((J.n, in_u.stop - in_u.start, in_v.stop - in_v.start))
    groups = J._row_groups
    counts = groups.counts
    sparse = scipy.sparse.issparse(J.U) or scipy.sparse.issparse(J.V)
    if not sparse and 0 < counts[0] <= _ROWS_PER_CAST and (counts == counts[0]).all():
        _fill_even(M, J, counts[0], in_u, in_v)
    else:
        for i in np.flatnonzero(counts):
            _fill_one(M[i], J, groups.rows(i), in_u, in_v)
    return M.reshape(J.n, -1)


def _fill_even(M, J, length, in_u, in_v):
    """Fill M with the matrices of groups of one length, many in one call."""
    for some in blocks(J.n, _ROWS_PER_CAST // length):
        rows = slice(some.start * length, some.stop * length)
        U, V = _float64(J.U, rows, in_u), _float64(J.V, rows, in_v)
        U, V = (x.reshape(-1, length, x.shape[1]) for x in (U, V))
        np.matmul(U.transpose(0, 2, 1), V, out=M[some])


def _fill_one(M, J, rows, in_u, in_v):
    """Fill M with the matrix of one group, a block of its rows at a time."""
    for block in blocks(rows.stop - rows.start, _ROWS_PER_CAST):
        some = slice(rows.start + block.start, rows.start + block.stop)
        U, V = _float64(J.U, some, in_u), _float64(J.V, some, in_v)
        if block.start == 0:
            np.matmul(U.T, V, out=M)
        else:
            M += U.T @ V


def _float64(x, rows, columns):
    """A block of a factor as an array of float64."""
    return factors.dense(x[rows])[:, columns].astype(np.float64, copy=False)
