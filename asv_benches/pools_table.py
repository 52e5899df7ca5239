"""Print, as Markdown, how OpenMP's and BLAS's threads get on with each other.

    python asv_benches/pools_table.py [--width 16384] [--points 64 512] [--repeats 7]

A Gauss-Newton step, L = 3, float32, alpha = 0.1, and the product W(0) H that comes before the
first, with a density of 5 %, for {OpenMP 1, 2} x {BLAS 1, 2} threads. Each pair has a process of
its own; figures are medians, of the first three steps of each repeat.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import scipy.sparse
from benchmarks.contenders import contender, step_seconds
from benchmarks.problems import step_problem
from side_by_side import medians, print_table

PAIRS = [(openmp, blas) for openmp in (1, 2) for blas in (1, 2)]


def measure(width, points, repeats):
    """Return the median seconds of a step and of a first product, for each n."""
    from subquad.weights import DenseWeights

    W = DenseWeights.gaussian((width, width), std=width**-0.5, rng=0, dtype=np.float32)
    table = {}
    for n in points:
        steps = contender("subquad", step_problem(n, width))
        seconds = [step_seconds(steps) for _ in range(repeats + 1)][1:]
        H = scipy.sparse.random_array((n, width), density=0.05, rng=0, dtype=np.float32).tocsr()
        product = medians({"product": lambda H=H: W.apply(H)}, repeats)
        table[n] = {"step": float(np.median(seconds)), **product}
    return table


def in_process(openmp, blas, options):
    """Return what a process of so many threads measures."""
    threads = {"OMP_NUM_THREADS": openmp, "OPENBLAS_NUM_THREADS": blas, "MKL_NUM_THREADS": blas}
    environment = os.environ | {name: str(count) for name, count in threads.items()}
    command = [sys.executable, str(Path(__file__).resolve()), *sys.argv[1:], "--json"]
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--width", type=int, default=16384)
    parser.add_argument("--points", type=int, nargs="+", default=[64, 512])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--json", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.json:
        print(json.dumps(measure(options.width, options.points, options.repeats)))
        return
    rows = [
        [openmp, blas, n, 1e3 * seconds["step"], 1e3 * seconds["product"]]
        for openmp, blas in PAIRS
        for n, seconds in in_process(openmp, blas, options).items()
    ]
    print_table(["OpenMP threads", "BLAS threads", "n", "step (ms)", "first product (ms)"], rows)


if __name__ == "__main__":
    main()
