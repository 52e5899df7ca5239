"""Print, as Markdown, what fits of many rows cost and how well they predict.

    python asv_benches/many_rows_table.py [--rows 8000 100000] [--landmarks 2048] [--threads 1]
                                          [--width 2048] [--chunk 100] [--only WORD ...]
    python asv_benches/many_rows_table.py --rows 1000000 --landmarks 512
    python asv_benches/many_rows_table.py --rows 10000 --chunk 100 --only "at a time"

The data are the arm of eight links (arm.py); 4,000 more rows are the test. Each fit has a process
of its own, and so a peak of memory of its own.

fit            NTKRegressor, exact, as it comes and by landmarks; GaussNewtonRegressor as it comes;
               with --chunk also both by `partial_fit`, so many rows at a time
s, CPU s       wall time of `fit`, and the processor's seconds of all its threads
GB             the most that the process has held, Python and data included
RMSE           on the test rows; the noise alone is .0132
leave-one-out  the root of `loo_error_`, in the same units
missed         `missed_trace_`
"""

import os
import time

import numpy as np
from arm import arm
from side_by_side import apart, measured_here, parser, print_table

N_TEST = 4000
HEADS = ["fit", "rows", "s", "CPU s", "GB", "RMSE", "leave-one-out", "missed", "solver"]
# Factoring the kernel of more rows than these takes minutes,
MOST_EXACT = 8192
# and a network's steps, or a stream, on more than these.
MOST_ITERATED = 16384


def contenders(options):
    """Yield (label, class, parameters, rows) of every fit."""
    for n in options.rows:
        M = min(options.landmarks, n)
        yield "NTK exact", "NTKRegressor", {"solver": "exact"}, n
        yield "NTK", "NTKRegressor", {}, n
        yield f"NTK {M} landmarks", "NTKRegressor", {"solver": "nystrom", "n_landmarks": M}, n
        network = {"width": options.width, "random_state": 0}
        yield "Gauss-Newton", "GaussNewtonRegressor", network, n
        if options.chunk:
            yield f"NTK, {options.chunk} at a time", "NTKRegressor", {}, n
            yield f"Gauss-Newton, {options.chunk} at a time", "GaussNewtonRegressor", network, n


def chosen(options):
    """Return the fits that are asked for, but for those that take minutes."""
    every = [
        (label, *fit, n)
        for label, *fit, n in contenders(options)
        if n <= (MOST_EXACT if label == "NTK exact" else MOST_ITERATED)
        or "landmarks" in label
        or label == "NTK"
    ]
    return [fit for fit in every if not options.only or any(w in fit[0] for w in options.only)]


def fitted(model, X, y, chunk):
    """Fit a model to all rows, or to so many at a time."""
    if chunk is None:
        return model.fit(X, y)
    for first in range(0, len(X), chunk):
        model.partial_fit(X[first : first + chunk], y[first : first + chunk])
    return model


def measure(options, name, parameters, n, chunk=None):
    """Return the figures of one fit, as cells."""
    from subquad import estimators
    from subquad._command.forecast import peak_memory

    X, y = arm(n + N_TEST, np.random.default_rng(0))
    model = getattr(estimators, name)(**parameters, n_threads=options.threads[0])
    started, used = time.perf_counter(), time.process_time()
    fitted(model, X[:n], y[:n], chunk)
    seconds, used = time.perf_counter() - started, time.process_time() - used
    peak = peak_memory() or np.nan
    error = np.sqrt(np.mean((model.predict(X[n:]) - y[n:]) ** 2))
    left_out = np.sqrt(model.loo_error_) * y[:n].std()
    cells = [f"{seconds:.1f}", f"{used:.1f}", f"{peak / 1e9:.2f}", f"{error:.4f}"]
    return [*cells, f"{left_out:.4f}", f"{getattr(model, 'missed_trace_', 0.0):.3f}", model.solver_]


def row(options, threads, label, name, parameters, n):
    """Return the cells of one fit, measured in a process of its own."""
    chunk = options.chunk if "at a time" in label else None
    return [label, f"{n:,}", *apart(__file__, threads, "measure", name, parameters, n, chunk)]


def main(options):
    """Print a table for each number of threads."""
    for threads in options.threads:
        load = os.getloadavg()[0] if hasattr(os, "getloadavg") else np.nan
        print(f"\nThreads: {threads}; load of the machine before: {load:.1f}.\n", flush=True)
        print_table(
            HEADS,
            (row(options, threads, *fit) for fit in chosen(options)),
        )


def options_of(words=None):
    """Return the options of the command line."""
    it = parser(__doc__, threads=(1,), repeats=None, cpu=False)
    it.add_argument("--rows", type=int, nargs="+", default=[8000, 100_000])
    it.add_argument("--landmarks", type=int, default=2048)
    it.add_argument("--width", type=int, default=2048)
    it.add_argument("--chunk", type=int, help="rows that partial_fit takes at a time")
    it.add_argument("--only", nargs="+", help="fits whose label has one of these words in it")
    return it.parse_args(words)


if __name__ == "__main__":
    asked = options_of()
    if not measured_here(asked, measure=measure):
        main(asked)
