"""Print, as Markdown, how near to its bound each kernel comes, where a bound is known.

    python asv_benches/roofline_table.py [--threads 1 2] [--level avx512 avx2 baseline]
        [--width 8192] [--neurons 262144] [--repeats 7] [--cpu]

The bound is the larger of two times: reading and writing what has to be, at the rate that
roofline.py measures for reading memory, and doing the additions and multiplications of the
definition that zeros do not spare, at the rate that it measures for multiply-adds of the widest
vectors. An addition alone counts as two operations, since it takes the place of a multiply-add.
Arrays are larger than the caches; where they are not, only arithmetic counts. Figures are medians.

No bound is known for what is neither: counting bits, making random weights, scattering, searching
a tree, sorting, and functions of angles. Fourier transforms are those of a library.
"""

import numpy as np
import roofline
from benchmarks import gaussian, hadamard, halfspace, kernels
from side_by_side import (
    clock_of,
    each_process,
    measured_here,
    medians,
    parser,
    percent,
    prepared,
    print_table,
)

POINTS, RANK, DENSITY = 64, 32, 0.05
# Bytes of an index and a value that are written for each neuron that fires.
BYTES_FIRED = 8 + 4


def transform(length, rows, dtype, threads, *, cached):
    """Return the call of a Walsh-Hadamard transform of rows in place, and its work."""
    suite = prepared(hadamard.Transform, "subquad", length, rows, dtype, threads, "best")
    additions = suite.x.size * np.log2(length)
    return suite.run, 0 if cached else 2 * suite.x.nbytes, 2 * additions, dtype


def product(suite, width, threads):
    """Return the call of a product of stored weights with sparse rows, and its work."""
    run = prepared(suite, "stored", width, POINTS, DENSITY, threads, "best")
    read = width if suite is gaussian.TransposedProduct else np.count_nonzero(run.H.any(axis=0))
    return run.run, 4 * width * read, 2 * np.count_nonzero(run.H) * width, "float32"


def flush(width):
    """Return the call of W += U^T V, and its work."""
    suite = prepared(kernels.Flush, "subquad", width, RANK)
    return suite.run, 2 * suite.columns.nbytes, 2 * RANK * width**2, "float32"


def moved(neurons, threads):
    """Return the call of what a step changes: two arrays are read and one is written."""
    suite = prepared(kernels.MoveNeurons, "subquad", neurons, POINTS, threads)
    operations = 2 * np.count_nonzero(suite.D) * POINTS
    return suite.run, 3 * suite.base.nbytes, operations, "float32"


def fired(neurons, threads):
    """Return the call that lists the neurons that fire, and its work."""
    suite = prepared(kernels.FiredNeurons, "subquad", neurons, POINTS, threads)
    n_fired = np.count_nonzero(suite.Z > suite.thresholds[:, None])
    return suite.run, suite.Z.nbytes + BYTES_FIRED * n_fired, 0, "float32"


def scan(points, threads):
    """Return the call of a half-space scan: inner products of points and queries."""
    suite = prepared(halfspace.HalfSpaceQueries, "scan", points, 16, threads, "best")
    return suite.run, suite.points.nbytes, 2 * suite.points.size * len(suite.A), "float32"


def works(options):
    """Return, by name, what prepares each call: (call, bytes, operations, dtype)."""
    threads, width, neurons = options.threads[0], options.width, options.neurons
    table = {}
    for dtype in ("float32", "float64"):
        table[f"Hadamard, 64 x 2^12, {dtype}"] = lambda dtype=dtype: transform(
            1 << 12, 64, dtype, threads, cached=True
        )
        table[f"Hadamard, {64 * neurons}, {dtype}"] = lambda dtype=dtype: transform(
            64 * neurons, 1, dtype, threads, cached=False
        )
    return table | {
        "W H, n = 64": lambda: product(gaussian.Product, width, threads),
        "W^T G, n = 64": lambda: product(gaussian.TransposedProduct, width, threads),
        "flush of rank 32": lambda: flush(width),
        "moved neurons, n = 64": lambda: moved(neurons, threads),
        "fired neurons, n = 64": lambda: fired(neurons, threads),
        "half-space scan, d = 16": lambda: scan(neurons, threads),
    }


def measure(options):
    """Return for each kernel its seconds, and those of moving memory and of arithmetic."""
    from subquad._kernels import _simd

    rates, level = roofline.measure(options.threads[0]), _simd.level()
    timing, table = (options.repeats, clock_of(options)), {}
    for name, prepare in works(options).items():
        try:
            call, n_bytes, operations, dtype = prepare()
        except NotImplementedError:  # a small size on several threads
            continue
        _simd.use_level(level)  # the suites choose the best
        seconds = medians({name: call}, *timing)[name]
        table[name] = seconds, n_bytes / rates["bandwidth"], float(operations / rates[dtype])
    return table


def print_tables(results):
    """Print milliseconds, the bound, and what sets it."""
    heads = ["level", "threads", "kernel", "subquad (ms)", "bound (ms)", "set by", "of the bound"]
    rows = []
    for level, threads, table in results:
        for name, (seconds, memory, arithmetic) in table.items():
            bound, by = max((memory, "memory"), (arithmetic, "arithmetic"))
            cells = [level, threads, name, 1e3 * seconds, 1e3 * bound, by]
            rows.append([*cells, percent(bound / seconds)])
    print_table(heads, rows)


def main():
    """Measure and print."""
    arguments = parser(__doc__, levels=True)
    arguments.add_argument("--width", type=int, default=8192)
    arguments.add_argument("--neurons", type=int, default=1 << 18)
    options = arguments.parse_args()
    if not measured_here(options, measure=measure):
        print_tables(list(each_process(__file__, options)))


if __name__ == "__main__":
    main()
