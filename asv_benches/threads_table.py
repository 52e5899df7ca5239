"""Print, as Markdown, what a second thread gains or costs, on an idle machine and on a busy one.

    python asv_benches/threads_table.py [--repeats 100] [--busy 1 2] [--only NAME ...]

Each call is made in turns with one thread and with the default, in one process, in four kinds of
surroundings: with a pause before each call; right after a product of BLAS with all its threads,
which go on spinning; and beside one and two processes that never rest. Figures are medians over the
repeats; "worst" is the longest default call over the median of one thread.
"""

import contextlib
import subprocess
import sys
import time

import numpy as np
import scipy.sparse
from benchmarks import kernels
from side_by_side import PAUSE, parser, print_table, seconds_of, times


def calls():
    """Return functions of n_threads by name, each with work for several threads."""
    from subquad import HalfSpaceReport, fwht
    from subquad._parallel import resolve_threads
    from subquad.sketch import SRHT, CountSketch, TensorSketch
    from subquad.weights import DenseWeights, GaussianWeights

    rng = np.random.default_rng(0)
    report = HalfSpaceReport(rng.standard_normal((300_000, 5), np.float32))
    queries = rng.standard_normal((16, 5), np.float32)
    sparse = scipy.sparse.random_array((256, 16384), density=0.05, rng=0, dtype=np.float32).tocsr()
    dense = rng.standard_normal((256, 16384), np.float32)
    long = rng.standard_normal((64, 4096), np.float32)
    longer = rng.standard_normal((64, 2**14), np.float32)
    count = CountSketch(16384, 1024, rng=0)
    tensor = TensorSketch(16384, 1024, rng=0)
    srht = SRHT(16384, 1024, rng=0)
    tall, tall_srht = rng.standard_normal((100_000, 50)), SRHT(100_000, 400, rng=0)
    W = DenseWeights.gaussian((8192, 16384), std=1 / 128, rng=0, dtype=np.float32)
    drawn = GaussianWeights((8192, 16384), 0)
    gram, flush, fired = kernels.Gram(), kernels.Flush(), kernels.FiredNeurons()
    gram.setup("subquad", 16384, 256)
    flush.setup("subquad", 4096, 16)
    fired.setup("subquad", 16384, 256)

    def with_threads(suite):
        def call(n_threads):
            suite.n_threads = resolve_threads(n_threads)
            suite.run()

        return call

    return {
        "Gram matrix, n = 256": with_threads(gram),
        "flush, 16 factors": with_threads(flush),
        "fired neurons, n = 256": with_threads(fired),
        "half-space, 16 queries": lambda t: report.query_batch(queries, 2.0, n_threads=t),
        "CountSketch, 256 CSR rows": lambda t: count.apply(sparse, n_threads=t),
        "TensorSketch, 256 CSR rows": lambda t: tensor.apply(sparse, sparse, n_threads=t),
        "SRHT, 256 rows": lambda t: srht.apply(dense, n_threads=t),
        "SRHT, 100,000 x 50": lambda t: tall_srht.apply_columns(tall, n_threads=t),
        "fwht, 64 x 4096": lambda t: fwht(long, n_threads=t),
        "fwht, 64 x 16384": lambda t: fwht(longer, n_threads=t),
        "W H, 256 CSR rows": lambda t: W.apply(sparse, n_threads=t),
        "drawn W H, 256 CSR rows": lambda t: drawn.apply(sparse, n_threads=t),
    }


@contextlib.contextmanager
def busy(n_processes):
    """Keep so many processes at work beside this one."""
    loops = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(n_processes)
    ]
    try:
        time.sleep(0.5 if loops else 0)
        yield
    finally:
        for process in loops:
            process.kill()
            process.wait()


def measure(call, repeats, before):
    """Return the seconds of one thread and of the default, of each repeat."""
    taken = {1: [], None: []}
    for turn in range(repeats + 2):
        for n_threads in taken:
            before()
            seconds = seconds_of(lambda: call(n_threads))  # noqa: B023 (called at once)
            if turn >= 2:
                taken[n_threads].append(seconds)
    return taken[1], taken[None]


def row(name, call, surroundings, repeats, before):
    """Return the cells of one call in one kind of surroundings."""
    one, several = map(np.array, measure(call, repeats, before))
    median = float(np.median(one))
    return [
        name,
        surroundings,
        1e3 * median,
        1e3 * float(np.median(several)),
        times(float(np.median(several)), median),
        times(float(one.max()), median),
        times(float(several.max()), median),
    ]


def main():
    """Measure each call in each kind of surroundings, and print."""
    arguments = parser(__doc__, threads=None, repeats=100, cpu=False)
    arguments.add_argument("--busy", type=int, nargs="*", default=[1, 2])
    arguments.add_argument("--only", nargs="+", help="words in the names of calls")
    options = arguments.parse_args()
    square = np.random.default_rng(0).standard_normal((512, 512))
    chosen = {
        name: call
        for name, call in calls().items()
        if not options.only or any(word in name for word in options.only)
    }
    surroundings = [
        ("idle", 0, lambda: time.sleep(PAUSE)),
        ("after BLAS", 0, lambda: square @ square),
    ]
    surroundings += [(f"{k} busy", k, lambda: None) for k in options.busy]
    rows = []
    for where, n_processes, before in surroundings:
        with busy(n_processes):
            rows += [
                row(name, call, where, options.repeats, before) for name, call in chosen.items()
            ]
    heads = ["call", "surroundings", "one thread (ms)", "default (ms)", "default takes"]
    print_table([*heads, "worst of one thread", "worst of default"], rows)


if __name__ == "__main__":
    main()
