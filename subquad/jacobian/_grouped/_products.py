"""Products of a grouped Jacobian with vectors, a block of rows at a time."""

import numpy as np
import scipy.sparse

from subquad._parallel import blocks
from subquad.jacobian import _factors as factors

# What is made of a block of rows, or of J^T g at a time, holds at most so many bytes,
_BLOCK_BYTES = 2**25
# but a block has at least so many rows, for BLAS and the sparse kernel.
_FEWEST_ROWS = 256
_FEWEST_COLUMNS = 8


def matvec(J, X, width, n_threads):
    """Return J X, for X as `KhatriRao._mapped` takes it; a row is mapped to `width` numbers."""
    parts = [
        J._part(block)._mapped(X, n_threads)
        for block in blocks(J.n_rows, max(_FEWEST_ROWS, _BLOCK_BYTES // (8 * width)))
    ]
    return J._groups.sums(np.concatenate(parts))


def product(J, g):
    """Return J (J^T g) in float64, a block of J^T g at a time; all of it where U or V is sparse."""
    weights = J._groups.expanded(g)
    if scipy.sparse.issparse(J.U) or scipy.sparse.issparse(J.V):
        return J._groups.sums(factors.sparse_product(J.U, J.V, weights))
    out = np.zeros(J.n_rows)
    rows = list(blocks(J.n_rows, max(_FEWEST_ROWS, _BLOCK_BYTES // (8 * J.m_v))))
    for columns in blocks(J.m_u, max(_FEWEST_COLUMNS, _BLOCK_BYTES // (8 * J.m_v))):
        change = np.zeros((columns.stop - columns.start, J.m_v))
        for some in rows:
            U, V = _float64(J.U[some, columns]), _float64(J.V[some])
            change += U.T @ (weights[some, None] * V)
        for some in rows:
            U, V = _float64(J.U[some, columns]), _float64(J.V[some])
            out[some] += np.einsum("ij,ij->i", U @ change, V)
    return J._groups.sums(out)


def _float64(x):
    return x.astype(np.float64, copy=False)
