"""Print, as Markdown, how fast half-space reports are on this machine, beside their peers.

    python asv_benches/halfspace_table.py [--sizes 1000000] [--dimensions 3 5 8 16 32]
                                          [--repeats 5] [--curve]

Gaussian float32 points; 64 queries at a time, in random directions, each with about 0.8 % of the
points as its answer. One thread everywhere, contenders alternated in one process for each line,
processor time of that thread, medians.

Contenders: subquad ("tree", "scan"; "auto" takes one of the two): indices and values as CSR, sorted
by index, or (sort=False) as a tree finds them; a scan finds them in order. numpy: threshold and
nonzero of the scores of one query after the other ("loop", which is better while they fit in the
cache), or of all together ("batch"); indices and values. faiss-cpu: IndexFlatIP.range_search;
indices and values. scikit-learn: KDTree and BallTree.query_radius on the points with
sqrt(R^2 - |x|^2) as a further coordinate, among which <x, a> >= b is a ball; indices alone, of
fewer queries (--slow-queries) where they test nearly all points. No peer sorts: numpy and faiss
find answers in order, the trees of scikit-learn do not. Either order of ours is compared with the
fastest of all peers.
"""

from functools import partial
from time import thread_time as clock

import numpy as np
from scipy.stats import norm
from side_by_side import (
    apart,
    installed,
    measured_here,
    medians,
    parser,
    print_table,
    seconds_of,
    times,
)

from subquad import HalfSpaceReport

QUERIES, REPORTED = 64, 0.008
CURVE = [1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 16, 24, 32]
PEERS = ["numpy loop", "numpy batch", "faiss", "KDTree", "BallTree"]


def problem(n, d):
    """Return points, directions of unit length, and the threshold."""
    rng = np.random.default_rng(0)
    points = rng.standard_normal((n, d), np.float32)
    A = rng.standard_normal((QUERIES, d)).astype(np.float32)
    return points, A / np.linalg.norm(A, axis=1, keepdims=True), float(norm.isf(REPORTED))


def numpy_loop(points, A, b):
    """Answer one query after the other."""
    for a in A:
        scores = points @ a
        indices = np.flatnonzero(scores >= b)
        scores[indices]


def numpy_batch(points, A, b):
    """Answer all queries together."""
    scores = A @ points.T
    rows, indices = np.nonzero(scores >= b)
    scores[rows, indices]


def faiss_contender(points, A, b):
    """Return the query of faiss on one thread, by name."""
    import faiss

    faiss.omp_set_num_threads(1)
    index = faiss.IndexFlatIP(points.shape[1])
    index.add(points)
    return {"faiss": lambda: index.range_search(A, b)}


def sklearn_contenders(points, A, b):
    """Return the queries of scikit-learn's trees, on points raised to one norm R, by name."""
    from sklearn.neighbors import BallTree, KDTree

    squares = (points.astype(np.float64) ** 2).sum(axis=1)
    largest = squares.max()
    raised = np.column_stack([points, np.sqrt(largest - squares)])
    queries = np.column_stack([A, np.zeros(len(A))])
    radius = np.sqrt(largest + 1 - 2 * b)  # |x - a|^2 = R^2 + |a|^2 - 2 <x, a>
    trees = {tree.__name__: tree(raised, leaf_size=40) for tree in (KDTree, BallTree)}
    return {name: partial(tree.query_radius, queries, radius) for name, tree in trees.items()}


def measure_queries(options, n, d):
    """Return microseconds per query by contender, the seconds to build a tree, and its tests."""
    points, A, b = problem(n, d)
    ours = {name: HalfSpaceReport(points, name, n_threads=1) for name in ("tree", "scan")}
    calls = {
        "tree": lambda: ours["tree"].query_batch(A, b),
        "numpy loop": lambda: numpy_loop(points, A, b),
        # "tree" is not its neighbour, since it would leave the leaves in the cache.
        "tree unsorted": lambda: ours["tree"].query_batch(A, b, sort=False),
        "numpy batch": lambda: numpy_batch(points, A, b),
        "scan": lambda: ours["scan"].query_batch(A, b),
    }
    if installed("faiss"):
        calls |= faiss_contender(points, A, b)
    seconds = {name: s / QUERIES for name, s in medians(calls, options.repeats, clock).items()}
    if installed("sklearn"):
        few = QUERIES if d <= 3 else options.slow_queries
        slow = sklearn_contenders(points, A[:few], b)
        seconds |= {name: s / few for name, s in medians(slow, 1, clock).items()}
    indptr, *_ = ours["tree"].query_batch(A, b)
    return {
        "microseconds": {name: 1e6 * s for name, s in seconds.items()},
        "built": seconds_of(partial(HalfSpaceReport, points, "tree"), clock),
        "engine": HalfSpaceReport(points, n_threads=1).engine,
        "answers": float(indptr[-1] / QUERIES),
        "tested": ours["tree"].n_tested / QUERIES / n,
    }


def changes(kind, points, rng):
    """Return 1 % of the indices, in order, and where those points go."""
    n, d = points.shape
    moved = np.sort(rng.choice(n, n // 100, replace=False))
    rows = rng.standard_normal((moved.size, d), np.float32)
    return moved, points[moved] + np.float32(0.01) * rows if kind == "nudged" else rows


def measure_updates(options, n, d, kind):
    """Return the cost of moving a point, and how much slower queries are than on a fresh tree.

    There are n updates in all, 1 % of the points at a time. The upkeep, which fits the boxes and
    builds a decayed tree again, is otherwise part of the next query; here it is timed apart.
    """
    points, A, b = problem(n, d)
    rng = np.random.default_rng(1)
    report, calls, upkeep = HalfSpaceReport(points, "tree", n_threads=1), [], 0.0
    for _ in range(100):
        moved, rows = changes(kind, points, rng)
        points[moved] = rows
        calls.append(seconds_of(partial(report.update, moved, rows), clock))
        upkeep += seconds_of(partial(report._bring_up_to_date, alone=True), clock)
    fresh = HalfSpaceReport(points, "tree", n_threads=1)
    queries = {"old": partial(report.query_batch, A, b), "new": partial(fresh.query_batch, A, b)}
    seconds = medians(queries, options.repeats, clock)
    return {
        "update": 1e6 * float(np.median(calls)) / (n // 100),
        "upkeep": 1e6 * upkeep / (100 * (n // 100)),
        "slowdown": seconds["old"] / seconds["new"],
        "tested": report.n_tested / fresh.n_tested,
    }


def query_row(n, d, result, order):
    """Return the line of answers in one order."""
    took = result["microseconds"]
    tree = took["tree" if order == "sorted" else "tree unsorted"]
    ours = tree if result["engine"] == "tree" else took["scan"]
    peers = {name: took[name] for name in PEERS if name in took}
    best = min(peers, key=peers.get)
    together = min(us for name, us in peers.items() if name != "numpy loop")
    return [
        n, d, order, tree, took["scan"], result["engine"],
        *(peers.get(name, "") for name in PEERS), best, times(peers[best], ours),
        times(together, ours), f"{100 * result['tested']:.3g} %", result["answers"],
        result["built"],
    ]  # fmt: skip


def print_queries(sizes, dimensions):
    """Print microseconds per query, and how many times as long the best peer takes."""
    results = ((n, d, apart(__file__, 1, "queries", n, d)) for n in sizes for d in dimensions)
    rows = (query_row(*result, order) for result in results for order in ("sorted", "unsorted"))
    heads = ["points", "d", "answers", "tree", "scan", "auto", *PEERS, "best peer", "takes",
             "without numpy loop", "tree tests", "answers a query", "tree built, s"]  # fmt: skip
    print("Microseconds a query, batches of 64, one thread\n")
    print_table(heads, rows)


def print_updates(sizes, dimensions):
    """Print microseconds per moved point, and the queries after as many updates as points."""
    rows = []
    for n in sizes:
        for d in (d for d in dimensions if d <= 8):
            for kind in ("nudged", "resampled"):
                result = apart(__file__, 1, "updates", n, d, kind)
                update, upkeep = result["update"], result["upkeep"]
                rows.append([n, d, kind, update, upkeep, update + upkeep,
                             f"{result['slowdown']:.3f}x", f"{result['tested']:.3f}x"])  # fmt: skip
    heads = ["points", "d", "1 % of the points", "update, us a point", "upkeep, us a point",
             "together", "queries after n updates take", "and test"]  # fmt: skip
    print("\nUpdates of a tree, over a fresh one afterwards\n")
    print_table(heads, rows)


def print_curve(n):
    """Print the fraction a tree tests, and the times of both engines, against the dimension."""
    rows = []
    for d in CURVE:
        result = apart(__file__, 1, "queries", n, d)
        took = result["microseconds"]
        rows.append([d, f"{100 * result['tested']:.3g} %", took["tree"], took["tree unsorted"],
                     took["scan"], took["numpy loop"], took["numpy batch"],
                     result["engine"]])  # fmt: skip
    heads = ["d", "a tree tests", "tree, us", "unsorted", "scan, us", "numpy loop", "numpy batch",
             "auto"]  # fmt: skip
    print(f"\n{n} points, by dimension\n")
    print_table(heads, rows)


def main():
    """Measure and print."""
    arguments = parser(__doc__, threads=None, repeats=5, cpu=False)
    arguments.add_argument("--sizes", nargs="+", type=int, default=[1_000_000])
    arguments.add_argument("--dimensions", nargs="+", type=int, default=[3, 5, 8, 16, 32])
    arguments.add_argument("--slow-queries", type=int, default=2)
    arguments.add_argument("--curve", action="store_true", help="also the curve over dimensions")
    options = arguments.parse_args()
    if measured_here(options, queries=measure_queries, updates=measure_updates):
        return
    print_queries(options.sizes, options.dimensions)
    print_updates(options.sizes, options.dimensions)
    if options.curve:
        print_curve(max(options.sizes))


if __name__ == "__main__":
    main()
