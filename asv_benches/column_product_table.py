"""Print, as Markdown, how products with sparse rows compare with dense and sparse ones.

    python asv_benches/column_product_table.py [--threads 1 2] [--width 16384] [--repeats 7]
        [--points 1 64 256] [--density 0.05] [--level avx512 avx2 baseline]

W is width x width and H has n sparse rows, in float32. The contenders are alternated in one
process, so that whatever else the machine does strikes all of them; figures are medians. Thread
counts and instruction-set levels run in processes of their own, with every BLAS set to as many
threads. Where the processors are shared, --cpu counts processor time of one thread instead.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import scipy.sparse

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
STORAGES = (None, "bfloat16", "int8")


def contenders(weights, H, threads):
    """Return a dict of products H W^T, by name."""
    csr = scipy.sparse.csr_array(H)
    columns = weights[None]._columns
    calls = {
        f"subquad {storage or 'float32'}": lambda W=W: W.apply(csr, threads)
        for storage, W in weights.items()
    }
    calls["numpy"] = lambda: H @ columns
    if len(H) <= 16:  # hopeless above
        calls["scipy CSR"] = lambda: csr @ columns
    try:
        import torch
    except ImportError:
        return calls
    torch.set_num_threads(threads)
    halves = torch.from_numpy(columns).bfloat16()
    rows = torch.from_numpy(H).bfloat16()
    calls["torch bfloat16"] = lambda: rows @ halves
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
    """Return, for each n, the seconds of each contender in this process."""
    from subquad.weights import DenseWeights

    rng = np.random.default_rng(0)
    weights = {
        storage: DenseWeights.gaussian(
            (width, width), std=width**-0.5, rng=rng, dtype=np.float32, storage=storage
        )
        for storage in STORAGES
    }
    table = {}
    for n in points:
        H = rng.standard_normal((n, width), np.float32)
        H *= rng.random((n, width)) < density
        clock = time.thread_time if cpu else time.perf_counter
        table[n] = medians(contenders(weights, H, threads), repeats, clock)
    return table


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


def print_table(results):
    """Print one row for each level, number of threads and n: milliseconds, and times faster."""
    ours = [f"subquad {storage or 'float32'}" for storage in STORAGES]
    rivals = ["numpy", "scipy CSR", "torch bfloat16"]
    heads = ["level", "threads", "n", *(f"{name} (ms)" for name in ours + rivals)]
    heads += [f"{name}: times numpy" for name in ours]
    print("| " + " | ".join(heads) + " |")
    print("|---:" * len(heads) + "|")
    for level, threads, table in results:
        for n, seconds in table.items():
            cells = [level or "best", str(threads), str(n)]
            cells += [
                f"{1e3 * seconds[name]:.3g}" if name in seconds else "" for name in ours + rivals
            ]
            cells += [f"{seconds['numpy'] / seconds[name]:.3g}x" for name in ours]
            print("| " + " | ".join(cells) + " |")


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
    print_table(
        [
            (level, threads, in_process(level, threads, options))
            for level in options.level
            for threads in options.threads
        ]
    )


if __name__ == "__main__":
    main()
