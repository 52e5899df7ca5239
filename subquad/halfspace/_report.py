"""The half-space report: a public face over a store and a search."""

import numpy as np

from subquad._parallel import resolve_threads
from subquad._validation import as_matrix, as_vector, require_memory
from subquad.halfspace._queries import as_indices, thresholds
from subquad.halfspace._search import Search
from subquad.halfspace._store import Store
from subquad.halfspace._turns import Turns

_METHODS = ("auto", "tree", "scan")
_MOST = 2**31 - 65  # indices, which are kept in 32 bits
_LARGE = 1 << 27  # bytes before which available memory is asked for
_PROBES = 8
_PROBED = 1 << 15  # points, at most, on which a tree is tried
_WORTHWHILE = 0.6  # fraction of the points tested up to which a tree is faster than the scan
_MOST_PAST = 64  # a tree is built again when 1 point in so many lies outside it


class HalfSpaceReport:
    """Report all points x with <x, a> >= b, exactly, of a set that may change."""

    def __init__(self, points, method="auto", n_threads=None):
        if method not in _METHODS:
            raise ValueError(f"method must be one of {', '.join(_METHODS)}; got {method!r}.")
        points = as_matrix(points, "points", min_rows=0)
        self._check_count(len(points), *points.shape[1:], points.itemsize)
        self._n_threads = n_threads
        resolve_threads(n_threads)
        self._method = method
        self._set_up()
        self._n_ids = len(points)
        self._build(np.arange(len(points)), points.copy())

    # --- what it is

    def __len__(self):
        return self._store.size

    @property
    def dimension(self):
        """Coordinates of a point."""
        return self._store.dimension

    @property
    def dtype(self):
        """float32 or float64, as the points it was made from."""
        return self._store.dtype

    @property
    def engine(self):
        """"tree" or "scan"."""
        return "tree" if self._store.n_leaves else "scan"

    # --- queries

    def query(self, a, b):
        """Return the sorted indices of the points with <x, a> >= b."""
        a = as_vector(a, "a", size=self.dimension, dtype=self.dtype)
        return self._query_batch(a[None], thresholds(b, 1, self.dtype), 1)[1]

    def query_batch(self, A, b, n_threads=None):
        """Return the answers to several queries as the arrays of a CSR matrix of the products."""
        A = as_matrix(A, "A", n_columns=self.dimension, dtype=self.dtype, min_rows=0)
        b = thresholds(b, len(A), self.dtype)
        n_threads = resolve_threads(self._n_threads if n_threads is None else n_threads)
        return self._query_batch(A, b, n_threads)

    def _query_batch(self, A, b, n_threads):
        """`query_batch` of trusted arrays; b in the dtype of the points."""
        if len(A) == 0:
            return np.zeros(1, np.intp), np.empty(0, np.intp), np.empty(0, self.dtype)
        if self._changed:
            with self._turns.writing():
                self._refresh()
        with self._turns.reading():
            search = self._searches.pop() if self._searches else Search()
            *answer, self.n_tested = search.batch(self._store, A, b, min(n_threads, len(A)))
            self._searches.append(search)
        return tuple(answer)

    # --- changes

    def insert(self, points):
        """Add points and return their indices, which follow all indices there have been."""
        points = as_matrix(points, "points", n_columns=self.dimension, dtype=self.dtype, min_rows=0)
        with self._turns.writing():
            self._check_count(self._n_ids + len(points), self.dimension, self.dtype.itemsize)
            ids = np.arange(self._n_ids, self._n_ids + len(points))
            self._store.insert(ids, points)
            self._n_ids += len(points)
            self._changed = True
        return ids

    def delete(self, indices):
        """Remove points. The indices of the others stay, and theirs are not given out again."""
        with self._turns.writing():
            self._store.remove(self._existing(indices))
            self._changed = True

    def update(self, indices, new_points):
        """Move points: index indices[i] then stands for new_points[i]."""
        with self._turns.writing():
            ids = self._existing(indices)
            rows = as_matrix(
                new_points, "new_points", n_rows=ids.size, n_columns=self.dimension,
                dtype=self.dtype, min_rows=0,
            )  # fmt: skip
            self._place(ids, rows)

    def _move(self, ids, rows):
        """`update` of trusted arrays: distinct intp indices of points, C-contiguous rows."""
        with self._turns.writing():
            self._place(ids, rows)

    def _place(self, ids, rows):
        """Move points while nobody else reads or writes."""
        self._store.place(ids, rows)
        self._n_moved += ids.size
        self._changed = True

    def _existing(self, indices):
        """Return indices in trusted form, all of points that are there, none twice."""
        return as_indices(indices, self._store.slots[: self._n_ids])

    # --- upkeep

    def _set_up(self):
        self._turns, self._searches = Turns(), []
        self.n_tested = 0

    def _build(self, ids, rows):
        """Hold these points, in the engine that suits them."""
        with_tree = self._method == "tree" or (self._method == "auto" and _tree_pays(rows))
        self._store = Store(ids, rows, self._n_ids, with_tree)
        self._n_moved, self._n_built = 0, len(rows)
        self._changed = False

    def _refresh(self):
        """Fit the boxes after changes, or build again where they have decayed."""
        if not self._changed:
            return
        store = self._store
        n = store.size
        if self.engine == "tree":
            decayed = store.n_past > 1024 + n // _MOST_PAST or 2 * n < self._n_built
        else:
            decayed = store.end > 1024 + n + n // 4  # lanes of deleted points
            if self._method == "auto":
                decayed |= self._n_moved > n or n > 2 * self._n_built + 1024
        if decayed:
            ids = store.alive()
            self._build(ids, store.rows(ids))
        store.refit()
        self._changed = False

    def _check_count(self, n_ids, d, itemsize):
        """Raise where so many points cannot be held."""
        if n_ids > _MOST:
            raise ValueError(f"points must have at most {_MOST} indices in all; got {n_ids}.")
        if (n_bytes := Store.forecast(n_ids, d, itemsize)) > _LARGE:
            require_memory(n_bytes, "The report", "Pass fewer points, or float32 ones.")

    def __getstate__(self):
        with self._turns.reading():
            state = self.__dict__.copy()
        for name in ("_turns", "_searches"):
            del state[name]
        return state

    def __setstate__(self, state):
        self.__dict__.update(state)
        n_tested = self.n_tested
        self._set_up()
        self.n_tested = n_tested


def _tree_pays(rows):
    """Whether a tree over a sample of these rows leaves enough of them out."""
    n, d = rows.shape
    sample = rows[:: max(1, n // _PROBED)].copy()
    if len(sample) < 256:
        return False
    directions = sample[:: max(1, len(sample) // _PROBES)][:_PROBES]
    directions = directions - sample.mean(axis=0)
    b = np.quantile(sample @ directions.T, 0.99, axis=0).astype(rows.dtype)
    store = Store(np.arange(len(sample)), sample, len(sample), True)
    *_, tested = Search().batch(store, np.ascontiguousarray(directions), b, 1)
    return tested < _WORTHWHILE * len(sample) * len(directions)
