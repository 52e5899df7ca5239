"""Print, as Markdown, how the Gram matrix, a flush and the list of fired neurons compare.

    python asv_benches/kernels_table.py [--threads 1 2] [--level avx512 avx2 baseline]
        [--width 16384] [--flush-width 8192] [--repeats 7] [--cpu]

Three tables, in float32. The Gram matrix K o (D D^T), of which 8 % fire, by popcount of bits,
against BLAS's ssyrk on numbers and a product with K. The flush W += U^T V in place, against one
GEMM in place and against numpy's expression; its bound is to read and to write W once, both at the
rate that roofline.py measures for reading. The neurons above a threshold as CSR rows, against
numpy. Contenders are alternated in one process; figures are medians.
"""

import roofline
from benchmarks import kernels
from side_by_side import (
    clock_of,
    each_process,
    measured_here,
    medians,
    parser,
    percent,
    prepared,
    print_table,
    times,
)

GRAM_POINTS = (64, 256, 1024, 4096)
RANKS = (8, 32, 64, 128)
FIRED_POINTS = (64, 256)


def calls_of(suite, implementations, *arguments):
    """Return the prepared calls of a benchmark, by implementation."""
    return {name: prepared(suite, name, *arguments).run for name in implementations}


def measure(options):
    """Return what one process, with its level and number of threads, measures."""
    timing = options.repeats, clock_of(options)
    width, flushed = options.width, options.flush_width
    rate = roofline.bandwidth(options.threads[0])
    return {
        "gram": {
            n: medians(calls_of(kernels.Gram, ("subquad", "ssyrk"), width, n), *timing)
            for n in GRAM_POINTS
        },
        "flush": {
            rank: medians(
                calls_of(kernels.Flush, ("subquad", "BLAS", "numpy"), flushed, rank), *timing
            )
            for rank in RANKS
        },
        "flush bound": 2 * 4 * flushed**2 / rate,
        "fired": {
            n: medians(calls_of(kernels.FiredNeurons, ("subquad", "numpy"), width, n), *timing)
            for n in FIRED_POINTS
        },
    }


def print_tables(results):
    """Print the three tables."""
    print("K o (D D^T):\n")
    print_comparison(results, "gram", "n", "ssyrk")
    print("\nW += U^T V:\n")
    print_comparison(results, "flush", "rank", "BLAS", "numpy", bound="flush bound")
    print("\nFired neurons:\n")
    print_comparison(results, "fired", "n", "numpy")


def print_comparison(results, part, size, *rivals, bound=None):
    """Print milliseconds, how many times as long rivals take, and the fraction of the bound."""
    names = ("subquad", *rivals)
    heads = ["level", "threads", size, *(f"{name} (ms)" for name in names)]
    heads += [f"{name} takes" for name in rivals] + ["of the bound"] * bool(bound)
    rows = []
    for level, threads, result in results:
        for value, seconds in result[part].items():
            cells = [level, threads, value, *(1e3 * seconds[name] for name in names)]
            cells += [times(seconds[name], seconds["subquad"]) for name in rivals]
            if bound:
                cells.append(percent(result[bound] / seconds["subquad"]))
            rows.append(cells)
    print_table(heads, rows)


def main():
    """Measure and print."""
    arguments = parser(__doc__, levels=True)
    arguments.add_argument("--width", type=int, default=16384)
    arguments.add_argument("--flush-width", type=int, default=8192)
    options = arguments.parse_args()
    if not measured_here(options, measure=measure):
        print_tables(list(each_process(__file__, options)))


if __name__ == "__main__":
    main()
