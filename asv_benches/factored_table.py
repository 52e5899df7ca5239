"""Print, as Markdown, what a gradient step of a factored network costs against the dense one's.

    python asv_benches/factored_table.py [--threads 1 2] [--repeats 5] [--steps 200]

d = n = 2048, m = 16384, l = 128, k = 256, float32, points on the sphere with targets +-1. The dense
two-layer network trains all of W (m, d) by gradient descent, too: with numpy, by two matrix
products into arrays that are kept and by passes over few points at a time between them; with torch,
by autograd. The step size of each network is 1 / lambda_max of its own kernel.

Steps are alternated in one process, one for each number of threads, to which every BLAS is set;
figures are medians. --steps takes the losses after so many steps of numpy's and ours from the same
start, in a process with all the threads given last, and 0 leaves that out: it takes some minutes.
"""

import time

import numpy as np
from benchmarks.factored import DenseNumpy, DenseTorch, factored, problem
from side_by_side import (
    apart,
    clock_of,
    installed,
    measured_here,
    medians,
    parser,
    print_table,
)

SIZES = {"n": 2048, "d": 2048, "m": 16384, "l": 128, "k": 256}


def trainers(sizes):
    """Return all contenders by name."""
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


def sizes_of(options):
    """Return the sizes that the options ask for, by name."""
    return {name: getattr(options, name) for name in SIZES}


def measure(options):
    """Return the seconds of a step of each contender."""
    contenders = trainers(sizes_of(options))
    steps = {name: contender.step for name, contender in contenders.items()}
    return medians(steps, options.repeats, clock_of(options))


def measure_losses(options):
    """Return |f - y| / |f_0 - y| after so many steps, and the seconds they took."""
    steps, sizes = options.steps, sizes_of(options)
    X, y = problem(sizes["n"], sizes["d"])
    m, inner, outer = sizes["m"], sizes["l"], sizes["k"]
    dense, results = DenseNumpy(X, y, m), {}
    start, norms = time.perf_counter(), []
    for _ in range(steps):
        dense.step()
        norms.append(dense.loss**0.5)
    seconds = time.perf_counter() - start
    dense.eta = np.float32(0)
    dense.step()  # at rate 0, which evaluates the loss
    results["dense, numpy"] = dense.loss**0.5 / norms[0], seconds
    for name, k in (("B C", None), ("A B C", outer)):
        trainer = factored(X, y, m, inner, k)
        start = time.perf_counter()
        for _ in range(steps):
            record = trainer.step()
        results[name] = record.relative_residual, time.perf_counter() - start
    return results


def print_steps(results):
    """Print a row for each contender, and for each number of threads how much faster it is."""
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
    """Measure each number of threads, then the losses, and print."""
    arguments = parser(__doc__, repeats=5)
    arguments.add_argument("--steps", type=int, default=200)
    for name, size in SIZES.items():
        arguments.add_argument(f"-{name}", type=int, default=size)
    options = arguments.parse_args()
    if measured_here(options, steps=measure, losses=measure_losses):
        return
    results = [(threads, apart(__file__, threads, "steps")) for threads in options.threads]
    sizes = [f"{name} = {size}" for name, size in sizes_of(options).items()]
    print(", ".join([*sizes, "float32\n"]))
    print_steps(results)
    if options.steps:
        threads = options.threads[-1]
        losses = apart(__file__, threads, "losses")
        print()
        heads = [f"after {options.steps} steps", "|r| / |r_0|", f"seconds, {threads} threads"]
        print_table(heads, [[name, *values] for name, values in losses.items()])


if __name__ == "__main__":
    main()
