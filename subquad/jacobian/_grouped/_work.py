"""What each way to a Gram matrix costs, in multiply-adds at the rate of a product by BLAS."""

import numpy as np
import scipy.sparse

from subquad._products import SPARSE_GRAM_DENSITY
from subquad.jacobian._grouped._columns import counts_of_groups, sparse_side

# A call for one column of a sparse factor takes as long as so many.
_CALL = 4e5
# A multiply-add of scipy's product of sparse matrices takes as long as so many in BLAS.
_SPARSE = 36.0
# Multiplying two entries of tiles, and adding the product to its group, takes as long as these.
_ENTRY = 32.0


def gram_work(left, right=None):
    """Return a dict of the work of each way to left right^T, or to left left^T for None.

    With T rows in n groups, and T', n' of the other:

    tiles      T T' (m_u + m_v + entry), half of it for one Jacobian's own Gram matrix;
    matrices   (T + T') m_u m_v + n n' m_u m_v, half of the second term again;
    columns    sum_k c_k c'_k (m_u + entry), half of it again, where column k of V has entries in
               c_k and c'_k groups, with what it takes to call BLAS for each; m_v for sparse U.
               Only where V, or U, is sparse in both.
    """
    other, half = (left, 0.5) if right is None else (right, 1.0)
    pairs = half * left.n_rows * other.n_rows
    sides = ((left.U, other.U), (left.V, other.V))
    weights = left.m_u * left.m_v
    rows = left.n_rows if right is None else left.n_rows + right.n_rows
    work = {
        "tiles": pairs * (sum(_inner_product(*side) for side in sides) + _ENTRY),
        "matrices": weights * (rows + half * left.n * other.n),
    }
    if side := sparse_side(left, other):
        work["columns"] = _by_columns(left, right, side)
    return work


def _by_columns(left, right, side):
    """Multiply-adds of the way by columns."""
    n_others = left.m_u if side == "V" else left.m_v
    counts = [counts_of_groups(J, side) for J in ([left] if right is None else [left, right])]
    if right is None:
        pairs, calls = 0.5 * float(np.square(counts[0]).sum()), np.count_nonzero(counts[0] > 1)
    else:
        products = counts[0] * counts[1]
        pairs, calls = float(products.sum()), np.count_nonzero(products)
    vectors = sum(getattr(J, side).nnz for J in (left, right) if J is not None)
    return pairs * (n_others + _ENTRY) + _CALL * calls + _SPARSE * vectors * n_others


def _inner_product(x, y):
    """Multiply-adds of an inner product of two rows, on average."""
    m = x.shape[1]
    sparse = [z for z in (x, y) if scipy.sparse.issparse(z)]
    shares = [z.nnz / (max(1, z.shape[0]) * m) for z in sparse]
    if not sparse or max(shares) >= SPARSE_GRAM_DENSITY:
        return m
    work = _SPARSE * m
    for share in shares:
        work *= share
    return work
