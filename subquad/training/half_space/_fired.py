"""Who fires: by a half-space report, or by every inner product."""

import numpy as np
import scipy.sparse

from subquad._parallel import worth_threads
from subquad.halfspace import HalfSpaceReport

# Inner products of all pairs are made so many at a time.
_REALS_PER_BLOCK = 2**23
# A thread multiplies so many pairs of numbers in some tenths of a millisecond.
_PRODUCTS_PER_THREAD = 2**23


class ReportedRows:
    """A half-space report that follows the moves of the rows of W.

    It is built from W at the first query, and again where a move was interrupted before the report
    had heard of it, or where it was left out of a pickle. The answers are the same.
    """

    def __init__(self, method, n_threads):
        self._method, self._n_threads = method, n_threads
        self._report, self.tested_fraction = None, None

    def engine(self, W):
        """The engine of the report: "tree" or "scan"."""
        return self._report_of(W).engine

    def query(self, W, X, threshold):
        """CSR (indptr, indices, values) of the inner products of at least the threshold."""
        report = self._report_of(W)
        n_threads = worth_threads(self._n_threads, X.size * len(W), _PRODUCTS_PER_THREAD)
        answer = report._query_batch(X, report._thresholds(threshold, len(X)), n_threads)
        self.tested_fraction = report.n_tested / (len(X) * len(report))
        return answer

    def expect_move(self):
        """Trust the report no more until it has been told."""
        self._stale = True

    def moved(self, lists):
        """Tell the report that W[indices] = rows now, for the pairs of a list."""
        for indices, rows in lists:
            self._report._move(indices, rows)
        self._stale = False

    def another(self):
        """The same for other rows."""
        return ReportedRows(self._method, self._n_threads)

    def _report_of(self, W):
        if self._report is None or self._stale:
            self._report = HalfSpaceReport(W, method=self._method, n_threads=self._n_threads)
            self._stale = False
        return self._report

    def __getstate__(self):
        """Leave the report out: it is W once more."""
        return {**vars(self), "_report": None}


class EvaluatedRows:
    """The same answers from all inner products, 2 m d operations for each point."""

    tested_fraction = 1.0

    def engine(self, W):
        """Say "dense"."""
        return "dense"

    def query(self, W, X, threshold):
        """CSR (indptr, indices, values) of the inner products of at least the threshold."""
        step = max(1, _REALS_PER_BLOCK // len(W))
        counts, indices, values = [], [], []
        for i in range(0, len(X), step):
            Z = X[i : i + step] @ W.T
            fired = Z >= W.dtype.type(threshold)
            counts.append(np.count_nonzero(fired, axis=1))
            indices.append(np.nonzero(fired)[1])
            values.append(Z[fired])
        indptr = np.concatenate([[0], *counts]).cumsum(dtype=np.intp)
        return indptr, np.concatenate(indices), np.concatenate(values)

    def expect_move(self):
        """Do nothing: W is read anew at every query."""

    def moved(self, lists):
        """Do nothing."""

    def another(self):
        """Itself."""
        return self


def coactivation(fired, width):
    """How many neurons fire at both of two points of a CSR answer, shape (b, b), float64."""
    indptr, indices, _ = fired
    shape = len(indptr) - 1, width
    D = scipy.sparse.csr_array((np.ones(len(indices)), indices, indptr), shape=shape)
    return (D @ D.T).toarray()


def flips(before, after, width):
    """How many pairs of a point and a neuron are in one of two CSR answers alone."""
    first, second = (
        np.repeat(np.arange(len(indptr) - 1), np.diff(indptr)) * width + indices
        for indptr, indices, _ in (before, after)
    )
    both = len(np.intersect1d(first, second, assume_unique=True))
    return len(first) + len(second) - 2 * both
