"""The half-space report: the public class over a store of points and a search through it.

Each public method checks its arguments and calls a twin that trusts them, in turn with the other
threads. Docstrings of the public methods make up half of this file, which is long for that reason.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from subquad._kernels.half_space_turns import Turns
from subquad._parallel import resolve_threads
from subquad._validation import as_matrix, as_vector, one_of, require_memory
from subquad.halfspace._border import as_flag, as_indices, as_thresholds
from subquad.halfspace._probe import tree_pays
from subquad.halfspace._search import Search
from subquad.halfspace._store import LARGE, MOST_IDS, Store

if TYPE_CHECKING:
    from typing import Any, Literal

    from numpy.typing import ArrayLike, NDArray

    from subquad._typing import FloatArray, IndexArray


_METHODS = ("auto", "tree", "scan")


class HalfSpaceReport:
    """Report all points x with <x, a> >= b, exactly, of a set that changes.

    For points x_i in R^d and a query (a, b) the answer is {i : <x_i, a> >= b}: threshold search by
    inner product. It equals that of a loop over all points bit for bit, ties included, after any
    sequence of insertions, deletions and moves: inner products are x[0] a[0], then + x[j] a[j] for
    j = 1, 2, ..., every product and every sum rounded, by every engine and instruction set.

    Parameters
    ----------
    points : array_like, shape (n, d)
        Finite numbers in float32 or float64, which are copied. There may be no rows.
    method : {"auto", "tree", "scan"}
        "tree" skips the boxes that lie outside the half-space; "scan" tests every point. "auto"
        tries a tree on a sample, takes the method that promises to be faster, and chooses again
        once most points have moved.
    n_threads : int, optional
        How many threads share the queries of a batch: None means all available; as in
        scikit-learn otherwise. The answers do not depend on it.

    Attributes
    ----------
    dimension : int
        d.
    dtype : dtype
        The dtype of the points, to which queries are converted.
    engine : {"tree", "scan"}
        The engine in use.
    n_tested : int
        How many inner products the last query or batch took. A tree tests 8 points at a time and
        more, a scan 64, and empty places among them count as well, up to the number of points times
        queries.

    Raises
    ------
    TypeError
        If `points` is neither float32 nor float64.
    ValueError
        If `points` is not a matrix of finite numbers, or `method` is none of the three.
    MemoryError
        If the points do not fit in memory, before anything is allocated.

    Notes
    -----
    [QSY23] builds its training on half-space reports (Algorithm 2). It cites a structure of 1992
    that answers a query with k answers in O_d(n^(1 - 1/floor(d/2)) + k) and takes O_d(log^2 n) for
    a change, amortised (Corollary 6.8, from Agarwal, Eppstein and Matousek); the constants hide
    factors that depend on d alone.

    This report departs from it: it is a tree of boxes, 16 to a node, over leaves of 64 points in 8
    boxes, and a batch of queries searches it together. It has no such bound; its cost is that of
    the points it tests. Of 10^6 Gaussian points it tests, to report the 0.8 % farthest along a
    random direction, 1.2 % at d = 3, 2.9 % at d = 5, 11 % at d = 8 and 19 % at d = 10. "auto"
    therefore takes the tree up to a d of about 8, of fewer points up to less, and the scan beyond.
    A move costs a hundred nanoseconds or less; the tree is built again when 1 point in 256 has
    found no place in it.

    Several threads may use one report. Queries run together. A change waits for the queries that
    are running, runs alone, and goes before the queries that came after it. A call that an
    exception ends early, be it Ctrl-C, has made its whole change or none of it.

    Examples
    --------
    >>> report = HalfSpaceReport(np.array([[0.0, 1.0], [2.0, 0.0], [3.0, -1.0]]))
    >>> report.query(np.array([1.0, 0.0]), 2.0)
    array([1, 2])
    >>> report.update([0], np.array([[5.0, 0.0]]))
    >>> report.query_batch(np.array([[1.0, 0.0], [0.0, -1.0]]), [3.0, 0.5])
    (array([0, 2, 3]), array([0, 2, 2]), array([5., 3., 1.]))
    >>> report.insert(np.array([[9.0, 9.0]]))
    array([3])
    >>> report.delete([0, 2])
    >>> report.query(np.array([1.0, 0.0]), 2.0), len(report)
    (array([1, 3]), 2)
    """

    def __init__(
        self,
        points: ArrayLike,
        method: Literal["auto", "tree", "scan"] = "auto",
        n_threads: int | None = None,
    ) -> None:
        one_of(method, "method", _METHODS)
        points = as_matrix(points, "points", min_rows=0)
        _require_room(len(points), points.shape[1], points.itemsize)
        resolve_threads(n_threads)
        self._method, self._n_threads = method, n_threads
        self._turns, self._searches, self.n_tested = Turns(), [], 0
        self._store = self._built(np.arange(len(points)), points.copy(), len(points))

    def __len__(self) -> int:
        return self._store.size

    @property
    def dimension(self) -> int:
        """The number of coordinates of a point."""
        return self._store.dimension

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the points: float32 or float64."""
        return self._store.dtype

    @property
    def engine(self) -> Literal["tree", "scan"]:
        """The engine in use, "tree" or "scan"; "auto" may change it with a query."""
        return "tree" if self._store.n_leaves else "scan"

    def query(self, a: ArrayLike, b: float) -> NDArray[np.intp]:
        """Return the sorted indices of the points with <x, a> >= b.

        Parameters
        ----------
        a : array_like, shape (d,)
            Finite; with a = 0 either all points are reported or none.
        b : float
            May be infinite: -inf reports all points. An inner product that overflows to NaN is
            below every other b.

        Returns
        -------
        ndarray of intp

        Raises
        ------
        TypeError, ValueError
            If a is not a finite vector of the points' dimension, or b is NaN.
        """
        a = as_vector(a, "a", size=self.dimension, dtype=self.dtype)
        return self._query_batch(a[None], as_thresholds(b, 1, self.dtype), 1)[1]

    def query_batch(
        self, A: ArrayLike, b: ArrayLike, sort: bool = True, n_threads: int | None = None
    ) -> tuple[IndexArray, IndexArray, FloatArray]:
        """Return the answers to several queries as a sparse matrix of the inner products.

        Parameters
        ----------
        A : array_like, shape (n_queries, d)
            Row q is the direction of query q; finite.
        b : float or array_like, shape (n_queries,)
            One threshold for all queries, or one for each; may be infinite, as for `query`.
        sort : bool
            False leaves the answers to each query in the order in which the search meets the
            points. This is cheaper where a tree finds many answers.
        n_threads : int, optional
            Takes the place of the report's own `n_threads`.

        Returns
        -------
        indptr : ndarray of intp, shape (n_queries + 1,)
            Query q has the entries indptr[q] to indptr[q + 1].
        indices : ndarray of intp, shape (n_answers,)
            Indices of points, rising for each query if `sort`.
        values : ndarray of the points' dtype, shape (n_answers,)
            <x_i, A[q]>.

        Raises
        ------
        TypeError, ValueError
            If A is not a finite matrix with d columns, b has another shape or holds NaN, or `sort`
            is not a bool.
        MemoryError
            If the answers do not fit in memory.

        Notes
        -----
        An unsorted answer holds the same pairs of index and value in an order that is not
        specified. The order does not depend on n_threads, the instruction set or the other queries
        of the batch: until the set changes, all queries meet the points in one order, and so do two
        reports of one engine after the same calls on one machine. Pickling keeps the order.
        """
        A = as_matrix(A, "A", n_columns=self.dimension, dtype=self.dtype, min_rows=0)
        b, sort = self._thresholds(b, len(A)), as_flag(sort, "sort")
        n_threads = resolve_threads(self._n_threads if n_threads is None else n_threads)
        return self._query_batch(A, b, n_threads, sort)

    def insert(self, points: ArrayLike) -> NDArray[np.intp]:
        """Add points and return their indices, which follow all indices given out before.

        Parameters
        ----------
        points : array_like, shape (k, d)

        Returns
        -------
        ndarray of intp, shape (k,)

        Raises
        ------
        TypeError, ValueError, MemoryError
            As for the points of the constructor; ValueError also where more than 2^31 - 65 indices
            would have been given out in all.
        """
        points = as_matrix(points, "points", n_columns=self.dimension, dtype=self.dtype, min_rows=0)
        return self._turns.alone(self._insert, points)

    def delete(self, indices: ArrayLike) -> None:
        """Take points out. Others keep their indices; deleted indices are never given out again.

        Parameters
        ----------
        indices : array_like of int, shape (k,)

        Raises
        ------
        TypeError, ValueError
            If an index names no point that is there, or comes twice. Nothing is deleted then.
        """
        self._turns.alone(self._delete, indices)

    def update(self, indices: ArrayLike, new_points: ArrayLike) -> None:
        """Move points: the point with index indices[i] becomes new_points[i].

        Parameters
        ----------
        indices : array_like of int, shape (k,)
        new_points : array_like, shape (k, d)

        Raises
        ------
        TypeError, ValueError
            As for `delete`, or if new_points is not a finite matrix of this shape. Nothing is moved
            then.
        """
        self._turns.alone(self._update, indices, new_points)

    def _thresholds(self, b, n):
        """Return b as `_query_batch` takes it, one threshold for each of n queries."""
        return as_thresholds(b, n, self.dtype)

    def _query_batch(self, A, b, n_threads, sort=True):
        """`query_batch` of trusted arrays; b in the dtype of the points."""
        if len(A) == 0:
            return np.zeros(1, np.intp), np.empty(0, np.intp), np.empty(0, self.dtype)
        return self._turns.together(
            self._search, A, b, n_threads, sort, prepare=self._bring_up_to_date
        )

    def _search(self, A, b, n_threads, sort):
        """Answer a batch with buffers that no other thread is using."""
        try:
            search = self._searches.pop()
        except IndexError:
            search = Search()
        *answer, self.n_tested = search.batch(self._store, A, b, min(n_threads, len(A)), sort)
        self._searches.append(search)
        return tuple(answer)

    def _move(self, ids, rows):
        """`update` of trusted arrays: distinct intp indices of points, C-contiguous rows."""
        self._turns.alone(lambda: self._store.move(ids, rows))

    def _insert(self, points):
        """`insert` while nobody else reads or writes."""
        n_ids = self._store.n_ids + len(points)
        _require_room(n_ids, self.dimension, self.dtype.itemsize)
        return self._store.insert(points)

    def _delete(self, indices):
        """`delete` while nobody else reads or writes."""
        self._store.remove(self._existing(indices))

    def _update(self, indices, new_points):
        """`update` while nobody else reads or writes."""
        ids = self._existing(indices)
        rows = as_matrix(
            new_points, "new_points", n_rows=ids.size, n_columns=self.dimension, dtype=self.dtype,
            min_rows=0,
        )  # fmt: skip
        self._store.move(ids, rows)

    def _existing(self, indices):
        """Return indices in trusted form, all of points that are there, none twice."""
        return as_indices(indices, self._store.lanes.slots[: self._store.n_ids])

    def _built(self, ids, rows, n_ids):
        """Return a store of these points, with a tree if the method wants one."""
        with_tree = self._method == "tree" or (self._method == "auto" and tree_pays(rows))
        return Store(ids, rows, n_ids, with_tree)

    def _bring_up_to_date(self, alone):
        """Return whether points have changed since the last query; if `alone`, catch up with them.

        Boxes are fitted to their points, or all is built again where that has become worthwhile.
        """
        store = self._store
        if not alone or not store.changed:
            return store.changed
        scans = self._method == "auto" and not store.n_leaves
        if (scans and store.n_moved >= store.size) or store.has_decayed():
            ids = store.alive()
            self._store = self._built(ids, store.rows(ids), store.n_ids)
        else:
            store.refit()
        return False

    def __getstate__(self):
        """Leave out what belongs to the threads of one process; nothing is shared with a copy."""
        state = self.__dict__.copy()
        state["_store"] = self._turns.together(lambda: self._store.copy())
        del state["_turns"], state["_searches"]
        return state

    def __setstate__(self, state):
        self.__dict__.update(state)
        self._turns, self._searches = Turns(), []


def _require_room(n_ids, d, itemsize):
    """Raise unless a report can give out n_ids indices and hold as many points."""
    if n_ids > MOST_IDS:
        raise ValueError(f"points must have at most {MOST_IDS} indices in all; got {n_ids}.")
    if (n_bytes := Store.forecast(n_ids, d, itemsize)) > LARGE:
        require_memory(n_bytes, "The report", "Pass fewer points, or float32 ones.")
