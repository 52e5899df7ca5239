"""Print, as Markdown, fits of networks whose weights no memory could hold, made from a seed.

    SUBQUAD_DATA=... python asv_benches/wide_table.py [--threads 2] [--only WORD ...] [--small]

Digits of mnist10k.npz, in the folder SUBQUAD_DATA, as rows of norm one; the target is whether a
digit is odd, +-1. float32, weights="implicit", the shift of alpha = 0.2, until the residual is 1e-6
of what it was. Each fit has a process of its own, and so a peak of memory of its own.

fit       the last layer (LastLayerGaussNewton) or all of them (AllLayersGaussNewton)
network   making it, which takes no time: its weights are a seed
layer     the pass forward, in which the weights that it needs are made
trainer   its constructor; for all layers the pass forward is part of it
steps     `run`
factors   the change of the weights, as it is handed out
CPU s     the processor's seconds of all of it, of all threads
GB        the most that the process has held, Python and data included
"""

import os
import time
from pathlib import Path

import numpy as np
from side_by_side import apart, measured_here, parser, print_table

from subquad._command.forecast import peak_memory
from subquad.activations import ShiftedReLU
from subquad.networks import WideNetwork
from subquad.training import AllLayersGaussNewton, LastLayerGaussNewton

ALPHA, TOL = 0.2, 1e-6
# What is fitted, and width, depth and number of rows.
FITS = {
    "last layer, 131,072 wide": ("last", 131_072, 2, 256),
    "last layer, 10^6 wide": ("last", 10**6, 2, 64),
    "all layers, 65,536 wide": ("all", 65_536, 3, 128),
}
SMALL = {"last layer, small": ("last", 8192, 2, 32), "all layers, small": ("all", 8192, 3, 16)}
HEADS = ["fit", "rows", "threads", "network (s)", "layer (s)", "trainer (s)", "steps (s)"]
HEADS += ["factors (s)", "total (s)", "CPU s", "steps", "relative residual", "GB"]


def digits(folder, n):
    """Return n rows of norm one, and +-1 for odd and even digits."""
    with np.load(Path(folder) / "mnist10k.npz") as data:
        X, y = data["X"][:n].astype(np.float32), data["y"][:n]
    return X / np.linalg.norm(X, axis=1, keepdims=True), np.where(y % 2, 1.0, -1.0)


def measure(options, which, width, depth, n):
    """Return the cells of one fit."""
    X, y = digits(os.environ["SUBQUAD_DATA"], n)
    n_threads = options.threads[0]
    clocked, used = [time.perf_counter()], time.process_time()
    network = WideNetwork(
        X.shape[1], width=width, depth=depth, activation=ShiftedReLU.for_sparsity(ALPHA, width),
        weights="implicit", rng=0, dtype=np.float32,
    )  # fmt: skip
    clocked.append(time.perf_counter())
    layer = network.last_layer(X, n_threads) if which == "last" else None
    clocked.append(time.perf_counter())
    if layer is None:
        trainer = AllLayersGaussNewton(network, X, y, tol=TOL, n_threads=n_threads)
    else:
        trainer = LastLayerGaussNewton(layer, y, tol=TOL, n_threads=n_threads)
    clocked.append(time.perf_counter())
    trainer.run()
    clocked.append(time.perf_counter())
    _ = trainer.factors
    clocked.append(time.perf_counter())
    parts = [*map(float, np.diff(clocked)), clocked[-1] - clocked[0]]
    parts.append(time.process_time() - used)
    return [*parts, len(trainer.history), trainer.relative_residual, peak_memory() / 1e9]


def rows(options):
    """Yield the rows of the table, each fit in a process of its own."""
    fits = SMALL if options.small else FITS
    for label, fit in fits.items():
        if not options.only or any(word in label for word in options.only):
            for threads in options.threads:
                yield [label, fit[-1], threads, *apart(__file__, threads, "fit", *fit)]


def main(arguments=None):
    """Measure and print."""
    arguments_of = parser(__doc__, threads=(2,), repeats=None, cpu=False)
    arguments_of.add_argument("--only", nargs="+", default=[])
    arguments_of.add_argument("--small", action="store_true", help="small sizes, to try the script")
    options = arguments_of.parse_args(arguments)
    if measured_here(options, fit=measure):
        return
    if "SUBQUAD_DATA" not in os.environ:
        print("Skipped: SUBQUAD_DATA must name the folder of mnist10k.npz.")
        return
    print_table(HEADS, rows(options))


if __name__ == "__main__":
    main()
