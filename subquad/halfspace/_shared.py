"""A half-space report whose points are shared by the ranks of a communicator."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from subquad._ranks import Ranks
from subquad._validation import as_matrix, as_vector, one_of
from subquad.halfspace._border import as_indices, as_thresholds
from subquad.halfspace._report import _METHODS, HalfSpaceReport

if TYPE_CHECKING:
    from typing import Any, Literal

    from numpy.typing import ArrayLike, NDArray

    from subquad._ranks import Communicator
    from subquad._typing import FloatArray, IndexArray

# Stands in the place of a point that was deleted.
_GONE = -1


class SharedHalfSpaceReport:
    """A `HalfSpaceReport` of whose points each rank has a part: the same answers on every rank.

    Every rank makes the same calls with the same arguments. A query is answered by all ranks, each
    from its own points; the answers go to all of them, with the indices that the points have in
    the whole set, in the order that one report of all points gives.

    Parameters
    ----------
    points : array_like, shape (n, d)
        All points, of which a rank keeps a range of consecutive ones. There may be no rows.
    comm : mpi4py.MPI.Intracomm
    method, n_threads
        As in `HalfSpaceReport`; "auto" chooses for the points of each rank.

    Attributes
    ----------
    own : HalfSpaceReport
        This rank's points, under indices of their own.
    dimension : int
    dtype : dtype

    Raises
    ------
    TypeError, ValueError, MemoryError
        As `HalfSpaceReport`; TypeError if `comm` is no communicator, and ValueError if its ranks
        have different arguments.

    Notes
    -----
    A call compares checksums of its arguments, and then answers are exchanged once: indices and
    values of all answers are received by every rank. Beside its points a rank keeps two numbers
    for each index that was given out on any of them.

    Examples
    --------
    >>> from subquad.distributed import world  # doctest: +SKIP
    >>> report = SharedHalfSpaceReport(points, world())  # doctest: +SKIP
    >>> report.query(direction, 2.0)  # doctest: +SKIP
    array([1, 2])
    """

    def __init__(
        self,
        points: ArrayLike,
        comm: Communicator,
        method: Literal["auto", "tree", "scan"] = "auto",
        n_threads: int | None = None,
    ) -> None:
        self._ranks = Ranks(comm)
        one_of(method, "method", _METHODS)
        points = as_matrix(points, "points", min_rows=0)
        self._ranks.require_same(points=points, method=method)
        own = points[self._ranks.share(len(points))]
        self.own = self._ranks.agreed(lambda: HalfSpaceReport(own, method, n_threads))
        # Of every index: the rank whose point it is, and its index there.
        self._owners = self._places = np.empty(0, np.intp)
        self._index_of_own = np.empty(0, np.intp)
        self._counts = np.zeros(self._ranks.size, np.intp)
        self._give_out(len(points))

    def __len__(self) -> int:
        return int(np.count_nonzero(self._owners != _GONE))

    @property
    def dimension(self) -> int:
        """The number of coordinates of a point."""
        return self.own.dimension

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the points: float32 or float64."""
        return self.own.dtype

    def query(self, a: ArrayLike, b: float) -> NDArray[np.intp]:
        """Return the sorted indices of the points with <x, a> >= b.

        Parameters
        ----------
        a : array_like, shape (d,)
        b : float
            As in `HalfSpaceReport.query`.

        Returns
        -------
        ndarray of intp

        Raises
        ------
        TypeError, ValueError
            As `HalfSpaceReport.query`, or if ranks have different arguments.
        """
        a = as_vector(a, "a", size=self.dimension, dtype=self.dtype)
        return self._answers(a[None], as_thresholds(b, 1, self.dtype), None)[1]

    def query_batch(
        self, A: ArrayLike, b: ArrayLike, n_threads: int | None = None
    ) -> tuple[IndexArray, IndexArray, FloatArray]:
        """Return the answers to several queries as a sparse matrix of the inner products.

        Parameters
        ----------
        A : array_like, shape (n_queries, d)
        b : float or array_like, shape (n_queries,)
        n_threads : int, optional
            As in `HalfSpaceReport.query_batch`.

        Returns
        -------
        indptr : ndarray of intp, shape (n_queries + 1,)
        indices : ndarray of intp, shape (n_answers,)
            Rising for each query.
        values : ndarray of the points' dtype, shape (n_answers,)

        Raises
        ------
        TypeError, ValueError, MemoryError
            As `HalfSpaceReport.query_batch`, or if ranks have different arguments.
        """
        A = as_matrix(A, "A", n_columns=self.dimension, dtype=self.dtype, min_rows=0)
        return self._answers(A, as_thresholds(b, len(A), self.dtype), n_threads)

    def insert(self, points: ArrayLike) -> NDArray[np.intp]:
        """Add points, some on each rank, and return their indices.

        Parameters
        ----------
        points : array_like, shape (k, d)

        Returns
        -------
        ndarray of intp, shape (k,)

        Raises
        ------
        TypeError, ValueError, MemoryError
            As `HalfSpaceReport.insert`, or if ranks have different points.
        """
        points = as_matrix(points, "points", n_columns=self.dimension, dtype=self.dtype, min_rows=0)
        self._ranks.require_same(points=points)
        self._ranks.agreed(lambda: self.own.insert(points[self._ranks.share(len(points))]))
        return self._give_out(len(points))

    def delete(self, indices: ArrayLike) -> None:
        """Take points out, as `HalfSpaceReport.delete` does.

        Parameters
        ----------
        indices : array_like of int, shape (k,)

        Raises
        ------
        TypeError, ValueError
            As `HalfSpaceReport.delete`, or if ranks have different indices. Nothing is deleted
            then.
        """
        indices = as_indices(indices, self._owners)
        self._ranks.require_same(indices=indices)
        self._ranks.agreed(lambda: self.own.delete(self._places[self._mine(indices)]))
        self._owners[indices] = _GONE

    def update(self, indices: ArrayLike, new_points: ArrayLike) -> None:
        """Move points, as `HalfSpaceReport.update` does; they stay on their ranks.

        Parameters
        ----------
        indices : array_like of int, shape (k,)
        new_points : array_like, shape (k, d)

        Raises
        ------
        TypeError, ValueError
            As `HalfSpaceReport.update`, or if ranks have different arguments. Nothing is moved
            then.
        """
        indices = as_indices(indices, self._owners)
        shape = {"n_rows": indices.size, "n_columns": self.dimension, "dtype": self.dtype}
        rows = as_matrix(new_points, "new_points", min_rows=0, **shape)
        self._ranks.require_same(indices=indices, new_points=rows)
        mine = self._owners[indices] == self._ranks.rank
        self._ranks.agreed(lambda: self.own.update(self._places[indices[mine]], rows[mine]))

    def _mine(self, indices):
        """Those of some indices whose points this rank has."""
        return indices[self._owners[indices] == self._ranks.rank]

    def _give_out(self, count):
        """Give indices to points that were divided by `share`; return them."""
        ranks, n = self._ranks, len(self._owners)
        owners, places = np.empty((2, count), np.intp)
        for rank, some in enumerate(ranks.shares(count)):
            size = some.stop - some.start
            owners[some], places[some] = rank, self._counts[rank] + np.arange(size)
            self._counts[rank] += size
        indices = np.arange(n, n + count)
        self._owners, self._places = (
            np.append(self._owners, owners),
            np.append(self._places, places),
        )
        self._index_of_own = np.append(self._index_of_own, indices[owners == ranks.rank])
        return indices

    def _answers(self, A, b, n_threads):
        """Return the answers of all ranks to checked queries."""
        self._ranks.require_same(A=A, b=b)
        answer = self._ranks.agreed(lambda: self.own.query_batch(A, b, n_threads=n_threads))
        indptr, indices, values = answer
        queries = np.repeat(np.arange(len(A)), np.diff(indptr))
        parts = queries, self._index_of_own[indices], values
        queries, indices, values = (np.concatenate(self._ranks.joined(part)) for part in parts)
        order = np.lexsort((indices, queries))
        indptr = np.searchsorted(queries[order], np.arange(len(A) + 1))
        return indptr.astype(np.intp), indices[order], values[order]
