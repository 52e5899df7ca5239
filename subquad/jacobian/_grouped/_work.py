"""What each way to a Gram matrix costs, in multiply-adds at the rate of a product by BLAS.

The constants were measured on one core of an AMD EPYC with AVX-512, where such a multiply-add takes
54 ps; `grouped.Grams` in asv_benches measures every way.
"""

import numpy as np
import scipy.sparse

from subquad._products import SPARSE_GRAM_DENSITY
from subquad.jacobian._grouped._columns import counts_of_groups, sparse_side

# Rows of at most so many columns are multiplied by BLAS, however sparse they are.
DENSE_COLUMNS = 512
# Multiplying two entries of tiles, and adding the product to its group, takes as long as these.
_ENTRY = 32.0
# An entry of a tile that comes from a product of sparse matrices takes as long as these to make.
_SPARSE_ENTRY = 400.0
# A multiply-add of scipy's product of sparse matrices takes as long as so many in BLAS.
_SPARSE = 36.0
# Writing and reading an entry of U_i^T V_i takes as long as so many.
_MATRIX_ENTRY = 20.0
# A call for one column of a sparse factor, or for the rows of one group of it, takes as long.
_CALL = 4e5


def gram_work(left, right=None):
    """Return a dict of the work of each way to left right^T, or to left left^T for None.

    With T rows in n groups, and T', n' of the other:

    tiles      T T' (m_u + m_v + entry), half of it for one Jacobian's own Gram matrix;
    matrices   (T + T' + (n + n') entry + n n') m_u m_v, without T' and n' and with n^2 / 2 for
               one's own; a call for each group of sparse rows;
    columns    sum_k c_k c'_k (m_u + entry), half of it for one's own, where column k of V has
               entries in c_k and c'_k groups, with what it takes to call BLAS for each; m_v for
               sparse U. Only where V, or U, is sparse in both.
    """
    every = [left] if right is None else [left, right]
    half = 0.5 if right is None else 1.0
    other, weights = every[-1], left.m_u * left.m_v
    entries = half * left.n * other.n + sum(J.n_rows + _MATRIX_ENTRY * J.n for J in every)
    calls = sum(J.n for J in every if any(map(scipy.sparse.issparse, (J.U, J.V))))
    inner = _inner_product(left.U, other.U) + _inner_product(left.V, other.V)
    work = {
        "tiles": half * left.n_rows * other.n_rows * (inner + _ENTRY),
        "matrices": entries * weights + _CALL * calls,
    }
    if side := sparse_side(left, other):
        work["columns"] = _by_columns(every, half, side)
    return work


def is_multiplied_sparsely(x):
    """Return whether rows of a factor are multiplied as sparse ones."""
    if not scipy.sparse.issparse(x) or x.shape[1] <= DENSE_COLUMNS:
        return False
    return x.nnz < SPARSE_GRAM_DENSITY * x.shape[0] * x.shape[1]


def _inner_product(x, y):
    """Multiply-adds of an inner product of two rows, on average."""
    if not (is_multiplied_sparsely(x) and is_multiplied_sparsely(y)):
        return x.shape[1]
    return _SPARSE_ENTRY + _SPARSE * x.nnz * y.nnz / (x.shape[1] * x.shape[0] * y.shape[0])


def _by_columns(every, half, side):
    """Multiply-adds of the way by columns."""
    n_others = every[0].m_u if side == "V" else every[0].m_v
    counts = [counts_of_groups(J, side) for J in every]
    products = counts[0] * counts[-1]
    # A column that one group alone has needs no call.
    calls = np.count_nonzero(products > (1 if len(every) == 1 else 0))
    vectors = sum(getattr(J, side).nnz for J in every)
    pairs = half * float(products.sum())
    return pairs * (n_others + _ENTRY) + _CALL * calls + _SPARSE * vectors * n_others
