"""Print, as Markdown, what a gradient step of a factored network costs against the dense one's.

    python asv_benches/factored_table.py [--threads 1 2] [--repeats 5] [--steps 200]

d = n = 2048, m = 16384, l = 128, k = 256, float32, points on the sphere with targets +-1. The dense
two-layer network trains all of W (m, d), by gradient descent as well: numpy by two matrix products,
into arrays that are kept, and passes between them over points that fit in the cache; torch by
autograd. Each network has the step size 1 / lambda_max of its own kernel.

Steps are alternated in one process, one for each number of threads, to which every BLAS is set;
figures are medians. --steps takes the losses after so many steps of numpy's and ours from the same
start, in a process with all the threads given last, and 0 leaves that out: it takes some minutes.
"""

import argparse
import json
import time

import numpy as np
from benchmarks.factored import DenseNumpy, DenseTorch, factored, problem
from side_by_side import in_process, installed, medians, print_table

SIZES = {"n": 2048, "d": 2048, "m": 16384, "l": 128, "k": 256}


def trainers(sizes):
    """All contenders by name."""
    X, y = problem(sizes["n"], sizes["d"])
    m, inner, outer = sizes["m"], sizes["l"], sizes["k"]
    contenders = {"dense, numpy": DenseNumpy(X, y, m)}
    if installed("torch"):
        contenders["dense, torch"] = DenseTorch(contenders["dense, numpy"])
    return contenders | {
        "B C": factored(X, y, m, inner, None),
        "A B C, Gaussian": factored(X, y, m, inner, outer, "gaussian"),
        "A B C": factored(X, y, m, inner, outer),
        "A B C, float64": factored(X.astype(np.float64), y, m, inner, outer, dtype=np.float64),
    }


def measure(repeats, sizes):
    """Seconds of a step of each contender."""
    contenders = trainers(sizes)
    return medians({name: contender.step for name, contender in contenders.items()}, repeats)


def measure_losses(steps, sizes):
    """|f - y| / |f_0 - y| after so many steps, and the seconds they took."""
    X, y = problem(sizes["n"], sizes["d"])
    m, inner, outer = sizes["m"], sizes["l"], sizes["k"]
    dense, results = DenseNumpy(X, y, m), {}
    start, norms = time.perf_counter(), []
    for _ in range(steps):
        dense.step()
        norms.append(dense.loss**0.5)
    seconds = time.perf_counter() - start
    dense.eta = np.float32(0)
    dense.step()  # evaluates
    results["dense, numpy"] = dense.loss**0.5 / norms[0], seconds
    for name, k in (("B C", None), ("A B C", outer)):
        trainer = factored(X, y, m, inner, k)
        start = time.perf_counter()
        for _ in range(steps):
            record = trainer.step()
        results[name] = record.relative_residual, time.perf_counter() - start
    return results


def print_steps(results):
    """One row a contender, one column a number of threads, and what it is faster by."""
    names = list(results[0][1])
    best = [min(s for name, s in r.items() if name.startswith("dense")) for _, r in results]
    heads = ["a step of gradient descent"]
    for threads, _ in results:
        heads += [f"ms, {threads} threads" if threads > 1 else "ms, 1 thread", "faster by"]
    rows = []
    for name in names:
        row = [name]
        for (_, seconds), dense in zip(results, best, strict=True):
            row += [1e3 * seconds[name], "" if "dense" in name else dense / seconds[name]]
        rows.append(row)
    print_table(heads, rows)


def main():
    """Measure, or have it measured, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--measure-losses", action="store_true", help=argparse.SUPPRESS)
    for name, size in SIZES.items():
        parser.add_argument(f"-{name}", type=int, default=size)
    options = parser.parse_args()
    sizes = {name: getattr(options, name) for name in SIZES}
    if options.measure:
        print(json.dumps(measure(options.repeats, sizes)))
        return
    if options.measure_losses:
        print(json.dumps(measure_losses(options.steps, sizes)))
        return
    passed = [part for name, size in sizes.items() for part in (f"-{name}", size)]
    passed += ["--repeats", options.repeats, "--steps", options.steps]
    results = [
        (threads, in_process(__file__, threads, "--measure", *passed))
        for threads in options.threads
    ]
    print(", ".join(f"{name} = {size}" for name, size in sizes.items()) + ", float32\n")
    print_steps(results)
    if options.steps:
        threads = options.threads[-1]
        losses = in_process(__file__, threads, "--measure-losses", *passed)
        print()
        heads = [f"after {options.steps} steps", "|r| / |r_0|", f"seconds, {threads} threads"]
        print_table(heads, [[name, *values] for name, values in losses.items()])


if __name__ == "__main__":
    main()
