"""
Where a half-space report stops being sublinear
===============================================

A report leaves out the boxes of a tree that lie outside of a half-space. In few dimensions these
are nearly all; in many, every box reaches into every half-space. Then it is better to test all
points in order, and that is what ``method="auto"`` does.
"""

import time

import numpy as np
from matplotlib import pyplot as plt
from scipy.stats import norm

from subquad import HalfSpaceReport

n, n_queries, reported = 100_000, 32, 0.008
dimensions = [1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 24]
rng = np.random.default_rng(0)


def by_numpy(points, A, b):
    """Compare all inner products with the threshold, one query after the other."""
    return [np.flatnonzero(points @ a >= b) for a in A]


def microseconds(call, *arguments):
    """Return the least time of a query in some calls."""
    call(*arguments)
    seconds = []
    for _ in range(4):
        start = time.perf_counter()
        call(*arguments)
        seconds.append(time.perf_counter() - start)
    return 1e6 * min(seconds) / n_queries


# %%
# Gaussian points; each query asks for the 0.8 % that lie farthest along a random direction.

b = norm.isf(reported)
tested, times, taken = [], {"tree": [], "scan": [], "numpy": []}, []
for d in dimensions:
    points = rng.standard_normal((n, d), np.float32)
    A = rng.standard_normal((n_queries, d)).astype(np.float32)
    A /= np.linalg.norm(A, axis=1, keepdims=True)
    for engine in ("tree", "scan"):
        report = HalfSpaceReport(points, engine, n_threads=1)
        times[engine].append(microseconds(report.query_batch, A, b))
        if engine == "tree":
            tested.append(min(1, report.n_tested / (n * n_queries)))
    times["numpy"].append(microseconds(by_numpy, points, A, b))
    taken.append(HalfSpaceReport(points).engine)

# %%
# The dotted line is the fraction reported: no method tests less.

figure, (fraction, cost) = plt.subplots(1, 2, figsize=(9, 3.6))
fraction.plot(dimensions, tested, marker="o")
fraction.axhline(reported, linestyle=":")
fraction.set(xlabel="dimension", ylabel="points tested by a tree", yscale="log")
for name, values in times.items():
    cost.plot(dimensions, values, marker="o", label=name)
change = dimensions[taken.index("scan")]
cost.axvline(change, color="gray", linestyle=":")
cost.annotate("auto scans", (change, min(times["tree"])), xytext=(4, 0), textcoords="offset points")
cost.set(xlabel="dimension", ylabel="microseconds a query", yscale="log")
cost.legend()
figure.tight_layout()
