"""The Gram matrix of grouped rows whose V (or U) is sparse, one column of it at a time.

With r_ik = sum_t v_tk u_t over the rows t of group i, J[i] holds the vectors r_ik for all k, and
G_ij = sum_k r_ik . r_jk. Most of them are zero where V is sparse: of one-hot rows, those of an
embedding, r_ik is there only for the words k of sequence i, and columns of V that a single group
has add to the diagonal alone.
"""

from dataclasses import dataclass

import numpy as np
import scipy.sparse

from subquad._parallel import blocks
from subquad.jacobian import _factors as factors

# The vectors r_ik of a block of columns of U, and this block, hold at most so many bytes each, or
# so many columns.
_BLOCK_BYTES = 2**26
_FEWEST_COLUMNS = 16


def sparse_side(left, right):
    """Return "V" or "U", the factor that is sparse in both of two Jacobians, or None."""
    for side in ("V", "U"):
        if all(scipy.sparse.issparse(getattr(J, side)) for J in (left, right)):
            return side
    return None


def counts_of_groups(J, side):
    """Return how many groups have an entry in each column of the sparse factor, at most."""
    factor = getattr(J, side)
    return np.minimum(np.bincount(factor.indices, minlength=factor.shape[1]), J.n)


def gram_by_columns(left, right, G):
    """Add to G, zeros, left right^T; `right` is `left` for its own Gram matrix."""
    side = sparse_side(left, right)
    first = _Vectors.of(left, side)
    second = first if right is left else _Vectors.of(right, side)
    most = max(len(first.groups), len(second.groups), left.n_rows, right.n_rows)
    n_columns = first.dense.shape[1]
    for block in blocks(n_columns, max(_FEWEST_COLUMNS, _BLOCK_BYTES // (8 * most))):
        if right is left:
            _add_own(first, block, G)
        else:
            _add_products(first, second, block, G)


@dataclass(frozen=True)
class _Vectors:
    """The vectors r_ik that are not zero, sorted by k and then by i."""

    sums: scipy.sparse.csr_array  # r = sums @ u
    dense: object
    groups: np.ndarray  # i of each vector
    columns: np.ndarray  # every k that occurs
    indptr: np.ndarray  # where the vectors of each of these begin, and where the last end

    @classmethod
    def of(cls, J, side):
        """Return those of a Jacobian, for the columns of its sparse factor."""
        sparse, dense = (J.V, J.U) if side == "V" else (J.U, J.V)
        by_column = sparse.tocsc()
        rows, k = (
            by_column.indices,
            np.repeat(np.arange(sparse.shape[1]), np.diff(by_column.indptr)),
        )
        i = J._row_groups.numbers[rows]
        begins = _starts(k, i)
        indptr = np.append(begins, len(rows))
        values = by_column.data.astype(np.float64, copy=False)
        sums = scipy.sparse.csr_array((values, rows, indptr), shape=(len(begins), J.n_rows))
        k = k[begins]
        firsts = _starts(k)
        return cls(sums, dense, i[begins], k[firsts], np.append(firsts, len(k)))

    def of_block(self, block):
        """Return entries of all vectors, an array of float64."""
        return factors.dense(self.sums @ self.dense[:, block].astype(np.float64, copy=False))

    def of_column(self, place):
        """Return the slice of the vectors of a column."""
        return slice(self.indptr[place], self.indptr[place + 1])


def _starts(*keys):
    """Return where runs of equal keys begin."""
    if not len(keys[0]):
        return np.zeros(0, np.intp)
    changes = np.any([key[1:] != key[:-1] for key in keys], axis=0)
    return np.concatenate([[0], np.flatnonzero(changes) + 1])


def _add_own(vectors, block, G):
    """Add the inner products of vectors of one column, for every column."""
    R, sizes = vectors.of_block(block), np.diff(vectors.indptr)
    alone = vectors.indptr[:-1][sizes == 1]
    squares = np.einsum("pr,pr->p", R[alone], R[alone])
    G.ravel()[:: len(G) + 1] += np.bincount(vectors.groups[alone], squares, len(G))
    for place in np.flatnonzero(sizes > 1):
        some = vectors.of_column(place)
        _add(G, vectors.groups[some], vectors.groups[some], R[some], R[some])


def _add_products(first, second, block, G):
    """Add the inner products of two Jacobians' vectors, for the columns that both have."""
    R, Q = first.of_block(block), second.of_block(block)
    _, places, others = np.intersect1d(
        first.columns, second.columns, assume_unique=True, return_indices=True
    )
    for place, other in zip(places, others, strict=True):
        mine, theirs = first.of_column(place), second.of_column(other)
        _add(G, first.groups[mine], second.groups[theirs], R[mine], Q[theirs])


def _add(G, rows, columns, R, Q):
    """G[rows, columns] += R Q^T, without an index array where they are all of G."""
    if (len(rows), len(columns)) == G.shape:
        G += R @ Q.T
    else:
        G[rows[:, None], columns] += R @ Q.T
