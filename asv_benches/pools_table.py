"""Print, as Markdown, how the threads of OpenMP and those of BLAS disturb each other.

    python asv_benches/pools_table.py [--width 16384] [--points 64 512] [--repeats 7]

A Gauss-Newton step, L = 3, float32, alpha = 0.1, and the product W(0) H that comes before the first
step, with a density of 5 %, are timed for {1, 2} threads of OpenMP and {1, 2} of BLAS. Each pair
has a process of its own; figures are medians over the first three steps of each repeat.
"""

from functools import partial

import numpy as np
import scipy.sparse
from benchmarks.contenders import contender, step_seconds
from benchmarks.problems import step_problem
from side_by_side import alternated, apart, measured_here, medians, medians_of, parser, print_table

PAIRS = [(openmp, blas) for openmp in (1, 2) for blas in (1, 2)]


def measure(width, points, repeats):
    """Return the median seconds of a step and of a first product, for each n."""
    from subquad.weights import DenseWeights

    W = DenseWeights.gaussian((width, width), std=width**-0.5, rng=0, dtype=np.float32)
    table = {}
    for n in points:
        steps = contender("subquad", step_problem(n, width))
        step = medians_of(alternated({"step": partial(step_seconds, steps)}, repeats))
        H = scipy.sparse.random_array((n, width), density=0.05, rng=0, dtype=np.float32).tocsr()
        product = medians({"product": partial(W.apply, H)}, repeats)
        table[n] = step | product
    return table


def main():
    """Measure each pair of numbers of threads, and print."""
    arguments = parser(__doc__, threads=None, cpu=False)
    arguments.add_argument("--width", type=int, default=16384)
    arguments.add_argument("--points", type=int, nargs="+", default=[64, 512])
    options = arguments.parse_args()
    if measured_here(options, pair=lambda o: measure(o.width, o.points, o.repeats)):
        return
    rows = [
        [openmp, blas, n, 1e3 * seconds["step"], 1e3 * seconds["product"]]
        for openmp, blas in PAIRS
        for n, seconds in apart(__file__, openmp, "pair", blas_threads=blas).items()
    ]
    print_table(["OpenMP threads", "BLAS threads", "n", "step (ms)", "first product (ms)"], rows)


if __name__ == "__main__":
    main()
