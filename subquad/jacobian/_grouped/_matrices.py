"""M M^T for the rows M_i = vec(U_i^T V_i) of a grouped Jacobian, a block of weights at a time."""

import numpy as np

from subquad._groups import group_matrices
from subquad._parallel import blocks

# A block of M holds at most so many bytes, where a row of it has more than _FEWEST_WEIGHTS.
_BLOCK_BYTES = 2**26
_FEWEST_WEIGHTS = 64
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
    return group_matrices(J.U, J.V, J._row_groups, in_u, in_v, np.float64).reshape(J.n, -1)
