"""Print, as Markdown, the cost of weights generated in cache, beside stored and drawn ones.

    python asv_benches/gaussian_table.py [--threads 1 2] [--level avx512 avx2 baseline]
        [--width 16384] [--points 1 64 256] [--density 0.05] [--repeats 7] [--cpu]

Two tables: nanoseconds to generate an entry, in blocks that stay in cache, on one thread, against
numpy's Generator.standard_normal in float32; and milliseconds of a product of a width x width
matrix with n sparse rows in float32. Contenders are alternated in one process; figures are medians.
"""

import numpy as np
from side_by_side import (
    clock_of,
    each_process,
    measured_here,
    medians,
    parser,
    prepared,
    print_table,
    times,
)

MAKERS = ("int8", "int8 as float32", "float32")
PRODUCTS = ("int8", "float32", "int8 transposed", "float32 transposed", "stored float32", "numpy")
# Generate this number of blocks between two readings of the clock.
CALLS = 20


def makers():
    """Return calls that generate CALLS blocks of 2^18 entries, by name."""
    from benchmarks.gaussian import Generation

    calls = {}
    for name in (*MAKERS, "numpy"):
        suite = prepared(Generation, name, 2**14)
        calls[name] = lambda name=name, suite=suite: [
            suite.time_generation(name, 2**14) for _ in range(CALLS)
        ]
    return calls


def products(width, n, density, threads, stored):
    """Return products with n sparse rows, by name."""
    from subquad._implicit import GaussianWeights
    from subquad._products import nonzeros

    rng = np.random.default_rng(n)
    H = rng.standard_normal((n, width), np.float32)
    H *= rng.random((n, width)) < density
    csr = nonzeros(H)
    calls = {}
    for grid in ("int8", "float32"):
        W = GaussianWeights((width, width), 1, grid, dtype=np.float32)
        calls[grid] = lambda W=W: W._apply_csr(*csr, threads)
        calls[f"{grid} transposed"] = lambda W=W: W._apply_transposed_csr(*csr, threads)
    calls["stored float32"] = lambda: stored._apply_csr(*csr, threads)
    calls["numpy"] = lambda: H @ stored._columns
    return calls


def measure(options):
    """Return what one process, with its level and number of threads, measures."""
    from subquad._implicit import GaussianWeights
    from subquad.weights import DenseWeights

    timing = options.repeats, clock_of(options)
    made = {name: t / CALLS / 2**18 for name, t in medians(makers(), *timing).items()}
    width, threads = options.width, options.threads[0]
    drawn = GaussianWeights((width, width), 0, dtype=np.float32)
    stored = DenseWeights._from_columns(drawn.columns(0, width))
    table = {
        n: medians(products(width, n, options.density, threads, stored), *timing)
        for n in options.points
    }
    return {"made": made, "products": table}


def print_tables(results):
    """Print nanoseconds per entry, and milliseconds per product."""
    heads = ["level", *(f"{name} (ns)" for name in (*MAKERS, "numpy"))]
    print_table([*heads, *(f"numpy takes, of {name}" for name in MAKERS)], made_rows(results))
    print("\nProducts with sparse rows:\n")
    heads = ["level", "threads", "n", *(f"{name} (ms)" for name in PRODUCTS)]
    print_table(
        [*heads, "stored takes, of int8", "numpy takes, of int8"],
        (
            [level, threads, n, *(1e3 * seconds[name] for name in PRODUCTS)]
            + [times(seconds[name], seconds["int8"]) for name in ("stored float32", "numpy")]
            for level, threads, result in results
            for n, seconds in result["products"].items()
        ),
    )


def made_rows(results):
    """Yield the cells of the first table, from the first number of threads of each level."""
    first = {level: result["made"] for level, _, result in reversed(results)}
    for level, made in reversed(first.items()):
        nanoseconds = [1e9 * made[name] for name in (*MAKERS, "numpy")]
        yield [level, *nanoseconds, *(times(made["numpy"], made[name]) for name in MAKERS)]


def main():
    """Measure and print."""
    arguments = parser(__doc__, levels=True)
    arguments.add_argument("--width", type=int, default=16384)
    arguments.add_argument("--points", type=int, nargs="+", default=[1, 64, 256])
    arguments.add_argument("--density", type=float, default=0.05)
    options = arguments.parse_args()
    if not measured_here(options, measure=measure):
        print_tables(list(each_process(__file__, options)))


if __name__ == "__main__":
    main()
