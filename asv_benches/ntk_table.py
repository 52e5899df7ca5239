"""Print, as Markdown, how long kernels of infinite width take, and what NTKClassifier recognises.

    [SUBQUAD_DATA=folder] python asv_benches/ntk_table.py [--rows 4000] [--depths 1 2 3 5]
                              [--repeats 5] [--threads 1 2] [--skip-images]

The rows are images of mnist10k.npz in the folder that SUBQUAD_DATA names, or else random ones of as
many columns. Contenders are alternated in one process; figures are medians in seconds.

ntk             subquad.ntk.ntk, whose tables are kept between calls, as in use
first call      the same, tables included
numpy           the published recursion (arc-cosine kernels), a few arrays n x n at a time
GEMM            X @ X.T alone, by the same BLAS, all n^2 entries
memory          the most that ntk allocates, in n x n matrices, its result included
error           largest difference of ntk and numpy off the diagonal, over the largest entry
"""

import os
import time
import tracemalloc
from functools import partial
from pathlib import Path

import numpy as np
from benchmarks.ntk import relu_ntk
from side_by_side import (
    apart,
    clock_of,
    measured_here,
    medians,
    parser,
    print_table,
    seconds_of,
)

from subquad.activations import ReLU, ShiftedReLU
from subquad.ntk import _profile as profile
from subquad.ntk import ntk

SHIFTED = ShiftedReLU(1.0)
N_COLUMNS, N_TRAINING = 784, 8000


def images():
    """Return pixels of 0 to 1 and labels, or None without the folder."""
    if "SUBQUAD_DATA" not in os.environ:
        return None
    with np.load(Path(os.environ["SUBQUAD_DATA"]) / "mnist10k.npz") as arrays:
        return arrays["X"].astype(np.float64) / 255, arrays["y"]


def rows(n):
    """Return n points of 784 columns."""
    data = images()
    return np.random.default_rng(0).random((n, N_COLUMNS)) if data is None else data[0][:n]


def first_call(X, depth, clock):
    """Return the seconds of a call that has to make its tables."""
    profile._known_profile.cache_clear()
    profile._known_samples.cache_clear()
    return seconds_of(partial(ntk, X, depth=depth), clock)


def measure(options):
    """Return one row per depth: seconds, error and memory."""
    X, clock, measured = rows(options.rows), clock_of(options), []
    for depth in options.depths:
        first = first_call(X, depth, clock)
        calls = {
            "ntk": partial(ntk, X, depth=depth),
            "shifted": partial(ntk, X, depth=depth, activation=SHIFTED),
            "float32": partial(ntk, X, depth=depth, dtype=np.float32),
            "numpy": partial(relu_ntk, X, depth),
            "GEMM": lambda: X @ X.T,
        }
        seconds = medians(calls, options.repeats, clock)
        measured.append({"depth": depth, "first": first, **seconds, **quality(X, depth)})
    return measured


def quality(X, depth):
    """Return the relative error and the memory of ntk."""
    tracemalloc.start()
    found = ntk(X, depth=depth, activation=ReLU())
    memory = tracemalloc.get_traced_memory()[1] / (8 * len(X) ** 2)
    tracemalloc.stop()
    found -= relu_ntk(X, depth)
    np.fill_diagonal(found, 0.0)  # numpy's arccos errs by 1e-8 there
    largest = (depth + 1) * np.einsum("ij,ij->i", X, X).max()
    return {"error": float(np.abs(found).max() / largest), "memory": memory}


def print_times(threads, measured):
    """Print the figures of one number of threads."""
    heads = ["threads", "depth", "ntk", "ntk, shift 1", "ntk, float32", "first call", "numpy"]
    heads += ["GEMM", "numpy / ntk", "ntk / GEMM", "error", "memory"]
    keys = ("ntk", "shifted", "float32", "first", "numpy", "GEMM")
    print_table(
        heads,
        [
            [threads, m["depth"], *(m[key] for key in keys), m["numpy"] / m["ntk"],
             m["ntk"] / m["GEMM"], m["error"], m["memory"]]
            for m in measured
        ],
    )  # fmt: skip


def measure_images(options):
    """Return accuracy and seconds of NTKClassifier on the last 2,000 images."""
    from subquad.estimators import NTKClassifier

    X, y = images()
    start = time.perf_counter()
    model = NTKClassifier().fit(X[:N_TRAINING], y[:N_TRAINING])
    fitted = time.perf_counter()
    accuracy = model.score(X[N_TRAINING:], y[N_TRAINING:])
    return {
        "accuracy": accuracy,
        "depth": model.depth_,
        "regularization": model.regularization_,
        "fit": fitted - start,
        "predict": time.perf_counter() - fitted,
    }


def main():
    """Measure each number of threads, then the images, and print."""
    arguments = parser(__doc__, repeats=5)
    arguments.add_argument("--rows", type=int, default=4000)
    arguments.add_argument("--depths", type=int, nargs="+", default=[1, 2, 3, 5])
    arguments.add_argument("--skip-images", action="store_true", help="leave NTKClassifier out")
    options = arguments.parse_args()
    if measured_here(options, kernels=measure, images=measure_images):
        return
    print(f"n = {options.rows} rows of {N_COLUMNS} columns\n")
    for threads in options.threads:
        print_times(threads, apart(__file__, threads, "kernels"))
        print(flush=True)
    if options.skip_images or "SUBQUAD_DATA" not in os.environ:
        print("NTKClassifier on images: left out.")
        return
    threads = max(options.threads)
    found = apart(__file__, threads, "images")
    print_table(["threads", *found], [[threads, *found.values()]])


if __name__ == "__main__":
    main()
