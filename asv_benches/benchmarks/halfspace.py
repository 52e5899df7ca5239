"""Half-space reports: queries in batches of 64 against their peers, updates, the points tested."""

import statistics

import numpy as np

from subquad import HalfSpaceReport

from .suite import LEVELS, THREADS, Suite

QUERIES, REPORTED = 64, 0.008


def problem(n, d):
    """Return points, directions, and a threshold above which 0.8 % of the points lie."""
    rng = np.random.default_rng(0)
    points = rng.standard_normal((n, d), np.float32)
    A = rng.standard_normal((QUERIES, d)).astype(np.float32)
    return (
        points,
        A / np.linalg.norm(A, axis=1, keepdims=True),
        -statistics.NormalDist().inv_cdf(REPORTED),
    )


class HalfSpaceQueries(Suite):
    """A batch of 64 queries."""

    params = [
        ["tree", "tree_unsorted", "scan", "numpy", "faiss"],
        [2_000, 100_000, 1_000_000],
        [3, 5, 8, 16],
        THREADS,
        LEVELS,
    ]
    param_names = ["implementation", "points", "dimension", "n_threads", "level"]
    ours = ("tree", "tree_unsorted", "scan")

    def setup(self, implementation, points, dimension, n_threads, level):
        large, levelled = points > 2_000, points == 100_000
        self.spare(implementation, n_threads, level, large=large, levelled=levelled)
        self.points, self.A, self.b = problem(points, dimension)
        if implementation == "faiss":
            try:
                import faiss
            except ImportError:
                raise NotImplementedError("faiss is not installed") from None
            faiss.omp_set_num_threads(n_threads)
            self.index = faiss.IndexFlatIP(dimension)
            self.index.add(self.points)
        elif implementation != "numpy":
            method = implementation.removesuffix("_unsorted")
            self.report = HalfSpaceReport(self.points, method, n_threads)
        self.choose(implementation, n_threads, level)

    def time_batch(self, *_):
        self.run()

    def run_tree(self):
        self.report.query_batch(self.A, self.b)

    def run_tree_unsorted(self):
        self.report.query_batch(self.A, self.b, sort=False)

    def run_scan(self):
        self.report.query_batch(self.A, self.b)

    def run_numpy(self):
        for a in self.A:
            scores = self.points @ a
            scores[np.flatnonzero(scores >= self.b)]

    def run_faiss(self):
        self.index.range_search(self.A, self.b)


class HalfSpaceUpdates:
    """An update of 1 % of the points, and the query after it, which fits the boxes again."""

    params = [["nudged", "resampled"], [2_000, 1_000_000], [3, 8]]
    param_names = ["implementation", "points", "dimension"]

    def setup(self, implementation, points, dimension):
        self.points, self.A, self.b = problem(points, dimension)
        self.report = HalfSpaceReport(self.points, "tree")
        rng = np.random.default_rng(1)
        self.moved = np.sort(rng.choice(points, points // 100, replace=False))
        self.rows = rng.standard_normal((self.moved.size, dimension), np.float32)
        if implementation == "nudged":
            self.rows = self.points[self.moved] + np.float32(0.01) * self.rows

    def time_update(self, implementation, points, dimension):
        self.report.update(self.moved, self.rows)
        self.report.query(self.A[0], np.inf)


class HalfSpaceTested:
    """The number of points that a tree tests."""

    params = [[4096, 32_768, 524_288], [3, 5, 8, 16]]
    param_names = ["points", "dimension"]

    def track_fraction(self, points, dimension):
        rows, A, b = problem(points, dimension)
        report = HalfSpaceReport(rows, "tree")
        report.query_batch(A, b)
        return report.n_tested / (QUERIES * points)

    track_fraction.unit = "of the points"
