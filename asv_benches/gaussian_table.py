"""Print, as Markdown, what weights cost that are made in cache, beside stored and drawn ones.

    python asv_benches/gaussian_table.py [--threads 1 2] [--width 16384] [--repeats 7]
        [--points 1 64 256] [--density 0.05] [--level avx512 avx2 baseline] [--cpu]

Two tables for each instruction-set level: nanoseconds to make an entry, in blocks that stay in
cache, one thread, against numpy's Generator.standard_normal in float32; and milliseconds of a
product of a width x width matrix with n sparse rows in float32. The contenders are alternated in
one process, so that whatever else the machine does strikes all of them; figures are medians.
Thread counts and levels run in processes of their own, with every BLAS set to as many threads.
Where the processors are shared, --cpu counts processor time of one thread instead.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
MAKERS = ("int8", "int8 as float32", "float32")
PRODUCTS = ("int8", "float32", "int8 transposed", "float32 transposed", "stored float32", "numpy")
CALLS = 20  # of a maker between two looks at the clock


def makers():
    """Return calls that make a block of 2^18 entries, by name, with CALLS of them in each."""
    from benchmarks.gaussian import Generation

    calls = {}
    for name in (*MAKERS, "numpy"):
        suite = Generation()
        suite.setup(name, 2**14)
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


def medians(calls, repeats, clock):
    """Return the median seconds of each call, alternated."""
    seconds = {name: [] for name in calls}
    for repeat in range(repeats + 1):
        for name, call in calls.items():
            start = clock()
            call()
            if repeat > 0:  # the first starts threads and touches pages
                seconds[name].append(clock() - start)
    return {name: float(np.median(values)) for name, values in seconds.items()}


def measure(width, points, density, threads, repeats, cpu):
    """Return what one process, with its level and number of threads, measures."""
    from subquad._implicit import GaussianWeights
    from subquad.weights import DenseWeights

    clock = time.thread_time if cpu else time.perf_counter
    made = {name: t / CALLS / 2**18 for name, t in medians(makers(), repeats, clock).items()}
    drawn = GaussianWeights((width, width), 0, dtype=np.float32)
    stored = DenseWeights._from_columns(drawn.columns(0, width))
    table = {
        n: medians(products(width, n, density, threads, stored), repeats, clock) for n in points
    }
    return {"made": made, "products": table}


def in_process(level, threads, options):
    """Measure in a process of this level and number of threads."""
    environment = {**os.environ, **dict.fromkeys(THREAD_VARIABLES, str(threads))}
    if level:
        environment["SUBQUAD_SIMD_LEVEL"] = level
    command = [sys.executable, str(Path(__file__).resolve()), "--json", "--threads", str(threads)]
    command += ["--width", str(options.width), "--density", str(options.density)]
    command += ["--repeats", str(options.repeats), "--points", *map(str, options.points)]
    command += ["--cpu"] * options.cpu
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


def print_row(cells):
    """Print one line of a table."""
    print("| " + " | ".join(cells) + " |")


def print_made(results):
    """Print nanoseconds for each entry, and times numpy's speed; of the first thread count."""
    print_row(["level", *(f"{name} (ns)" for name in (*MAKERS, "numpy")), *MAKERS])
    print("|---:" * (2 + 2 * len(MAKERS)) + "|")
    seen = set()
    for level, _, result in results:
        made = result["made"]
        if level not in seen:
            cells = [f"{1e9 * made[name]:.3g}" for name in (*MAKERS, "numpy")]
            cells += [f"{made['numpy'] / made[name]:.3g}x numpy" for name in MAKERS]
            print_row([level or "best", *cells])
        seen.add(level)


def print_products(results):
    """Print milliseconds, and how many times faster than stored weights and than numpy."""
    heads = ["level", "threads", "n", *(f"{name} (ms)" for name in PRODUCTS)]
    print_row([*heads, "int8: times stored", "int8: times numpy"])
    print("|---:" * (len(heads) + 2) + "|")
    for level, threads, result in results:
        for n, seconds in result["products"].items():
            cells = [f"{1e3 * seconds[name]:.3g}" for name in PRODUCTS]
            for rival in ("stored float32", "numpy"):
                cells.append(f"{seconds[rival] / seconds['int8']:.3g}x")
            print_row([level or "best", str(threads), str(n), *cells])


def arguments():
    """Return the parsed command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--width", type=int, default=16384)
    parser.add_argument("--points", type=int, nargs="+", default=[1, 64, 256])
    parser.add_argument("--density", type=float, default=0.05)
    parser.add_argument("--level", nargs="+", default=[""])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--cpu", action="store_true")
    parser.add_argument("--json", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def main():
    """Measure and print."""
    options = arguments()
    if options.json:
        sizes = options.width, options.points, options.density, options.threads[0]
        print(json.dumps(measure(*sizes, options.repeats, options.cpu)))
        return
    results = [
        (level, threads, in_process(level, threads, options))
        for level in options.level
        for threads in options.threads
    ]
    print_made(results)
    print()
    print_products(results)


if __name__ == "__main__":
    main()
