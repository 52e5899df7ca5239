"""Rows by group: the positions of a sequence or a convolution that belong to one data point.

With indptr = (0, 3, 4, 4, 8), rows 0 to 2 are group 0, row 3 is group 1, group 2 has no rows, and
rows 4 to 7 are group 3.
"""

import functools

import numpy as np
import scipy.sparse

from subquad._parallel import blocks
from subquad._validation import as_integers

# So many rows of a group are cast, or made dense, at a time.
_ROWS_PER_CAST = 1024


class Groups:
    """n groups of consecutive rows: group i is [indptr[i], indptr[i + 1]), which may be empty.

    Parameters
    ----------
    indptr : ndarray of intp, shape (n + 1,)
        Trusted: from 0 to the number of rows, never decreasing.

    Attributes
    ----------
    indptr : ndarray
        As given.
    n, n_rows : int
    counts : ndarray of intp, shape (n,)
        Rows of each group.
    """

    def __init__(self, indptr):
        self.indptr, self.counts = indptr, np.diff(indptr)
        self.n, self.n_rows = len(indptr) - 1, int(indptr[-1])

    @classmethod
    def of_single_rows(cls, n):
        """Return n groups of one row each."""
        return cls(np.arange(n + 1))

    @functools.cached_property
    def numbers(self):
        """The group of each row, shape (n_rows,)."""
        return np.repeat(np.arange(self.n), self.counts)

    def rows(self, i):
        """Return the slice of the rows of group i."""
        return slice(int(self.indptr[i]), int(self.indptr[i + 1]))

    def expanded(self, g):
        """Return a vector with g[i] for every row of group i."""
        return np.repeat(g, self.counts)

    def sums(self, x):
        """Return the sums of a vector by group, taken in float64, in its dtype."""
        sums = np.zeros(self.n)
        filled = self.counts > 0
        # The next group that has rows begins where this one ends, so empty ones may be left out.
        sums[filled] = np.add.reduceat(x, self.indptr[:-1][filled], dtype=np.float64)
        return sums.astype(x.dtype, copy=False)

    def part(self, which):
        """Return the slice of the rows of a slice of groups, and these groups of them."""
        indptr = self.indptr[which.start : which.stop + 1]
        return slice(int(indptr[0]), int(indptr[-1])), Groups(indptr - indptr[0])

    def taken(self, points):
        """Return the rows of some groups, one after another, and these groups of them."""
        counts = self.counts[points]
        indptr = np.concatenate([[0], np.cumsum(counts)])
        rows = np.arange(indptr[-1]) + np.repeat(self.indptr[points] - indptr[:-1], counts)
        return rows, Groups(indptr)


def as_groups(groups, n_rows):
    """Return the Groups of an array of pointers to the first row of each, or None of None.

    Raises
    ------
    TypeError, ValueError
        If it does not go from 0 to `n_rows`, without decreasing.
    """
    if groups is None:
        return None
    # A copy, so that the caller may write to the array.
    indptr = as_integers(groups, "groups").copy()
    if indptr.ndim != 1 or indptr.size < 2:
        raise ValueError(
            f"groups must have shape (n + 1,) for n groups, n at least 1; got {indptr.shape}."
        )
    if indptr[0] != 0:
        raise ValueError(f"groups must begin at 0; got {indptr[0]}.")
    if (falls := indptr[1:] < indptr[:-1]).any():
        k = int(falls.argmax())
        raise ValueError(
            f"groups must not decrease; got {indptr[k + 1]} after {indptr[k]}, at index {k + 1}."
        )
    if indptr[-1] != n_rows:
        raise ValueError(f"groups must end at {n_rows}, the number of rows; got {indptr[-1]}.")
    indptr.flags.writeable = False
    return Groups(indptr)


def group_matrices(U, V, groups, in_u, in_v, dtype):
    """Return a block of U_i^T V_i for every group, shape (n, columns of U, columns of V).

    Parameters
    ----------
    U, V : ndarray or csr_array, shapes (n_rows, any)
    groups : Groups
    in_u, in_v : slice
        The columns of each, with a start and a stop.
    dtype : numpy.dtype
        Of the result, and of the sums.
    """
    M = np.zeros((groups.n, in_u.stop - in_u.start, in_v.stop - in_v.start), dtype)
    counts = groups.counts
    dense = not (scipy.sparse.issparse(U) or scipy.sparse.issparse(V))
    if dense and 0 < counts[0] <= _ROWS_PER_CAST and (counts == counts[0]).all():
        _fill_even(M, U[:, in_u], V[:, in_v], int(counts[0]))
    else:
        for i in np.flatnonzero(counts):
            _fill_one(M[i], U, V, groups.rows(i), in_u, in_v)
    return M


def _fill_even(M, U, V, length):
    """Fill M with the matrices of groups of one length, many in one call."""
    for some in blocks(len(M), _ROWS_PER_CAST // length):
        rows = slice(some.start * length, some.stop * length)
        left, right = (
            x[rows].astype(M.dtype, copy=False).reshape(-1, length, x.shape[1]) for x in (U, V)
        )
        np.matmul(left.transpose(0, 2, 1), right, out=M[some])


def _fill_one(M, U, V, rows, in_u, in_v):
    """Fill M with the matrix of one group, a block of its rows at a time."""
    for block in blocks(rows.stop - rows.start, _ROWS_PER_CAST):
        some = slice(rows.start + block.start, rows.start + block.stop)
        left, right = _cast(U[some], in_u, M.dtype), _cast(V[some], in_v, M.dtype)
        if block.start == 0:
            np.matmul(left.T, right, out=M)
        else:
            M += left.T @ right


def _cast(x, columns, dtype):
    """A block of columns of some rows, as an array of a dtype."""
    x = x.toarray() if scipy.sparse.issparse(x) else x
    return x[:, columns].astype(dtype, copy=False)
