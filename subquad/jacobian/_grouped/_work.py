"""What each way to a Gram matrix costs, in multiply-adds at the rate of a product by BLAS."""

import scipy.sparse

from subquad._products import SPARSE_GRAM_DENSITY

# A multiply-add of scipy's product of sparse matrices takes as long as so many in BLAS.
_SPARSE = 36.0
# Multiplying two entries of tiles, and adding the product to its group, takes as long as these.
_ENTRY = 24.0


def gram_work(left, right=None):
    """Return a dict of the work of each way to left right^T, or to left left^T for None.

    With T rows in n groups, and T', n' of the other:

    tiles      T T' (m_u + m_v + entry), half of it for one Jacobian's own Gram matrix;
    matrices   (T + T') m_u m_v + n n' m_u m_v, half of it again.
    """
    other, half = (left, 0.5) if right is None else (right, 1.0)
    pairs = half * left.n_rows * other.n_rows
    sides = ((left.U, other.U), (left.V, other.V))
    weights = left.m_u * left.m_v
    rows = left.n_rows if right is None else left.n_rows + right.n_rows
    return {
        "tiles": pairs * (sum(_inner_product(*side) for side in sides) + _ENTRY),
        "matrices": weights * (rows + half * left.n * other.n),
    }


def _inner_product(x, y):
    """Multiply-adds of an inner product of two rows, on average."""
    m = x.shape[1]
    sparse = [z for z in (x, y) if scipy.sparse.issparse(z)]
    shares = [z.nnz / (z.shape[0] * m) for z in sparse]
    if not sparse or max(shares) >= SPARSE_GRAM_DENSITY:
        return m
    work = _SPARSE * m
    for share in shares:
        work *= share
    return work
