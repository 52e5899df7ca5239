"""Print, as Markdown, what a step of half-space SGD costs, and that it is the step of dense SGD.

    python asv_benches/sgd_table.py [--threads 1 2] [--dimensions 3 5] [--steps 21]

Four tables, b = 32, B = 8, eta = 1, float32, targets 3 x1 x2 on the unit sphere, fresh points:
the phases of a step as the width 2 m grows, and the exponent of the whole; steps of subquad and of
dense SGD on the same batches, alternated in one process, with their losses; how the share of
neurons tested and the speed depend on the dimension; and, in float64, predictions of the estimators
with the report and without on the energy data (read from the folder SUBQUAD_DATA, skipped without)
and on the arm of eight links, as many rows and columns as kin8nm.

torch is the fastest whole-array form found, in place; torch-autograd is a loss, its gradient and a
step. Figures are medians. By one thread they are seconds of its processor time, since other work on
the machine stops it (the phases are always on the clock); by more, seconds on the clock.
"""

import argparse
import json
import os
import time
from pathlib import Path

import numpy as np
from arm import arm
from benchmarks.half_space_sgd import batches, contender
from side_by_side import in_process, installed, print_table

from subquad.networks import PairedNetwork
from subquad.training import HalfSpaceSGD

PHASES = ("query", "forward", "update", "report")
WIDTHS = tuple(1 << k for k in range(15, 22))  # m from 2^14 to 2^20
WIDEST = 1 << 21
WARM_UP = 3
DIMENSIONS_SHOWN = (2, 3, 4, 5, 6, 8, 10, 12, 16)
N_ROWS = 8192  # of kin8nm


def clock_for(threads):
    """The clock that other work on the machine disturbs least."""
    return time.thread_time if threads == 1 else time.perf_counter


def width_rows(d, n_steps, threads, widths=WIDTHS):
    """Milliseconds of the phases of a step, for each width."""
    clock, rows = clock_for(threads), []
    for width in widths:
        network = PairedNetwork(d, width=width, rng=0, dtype=np.float32)
        trainer = HalfSpaceSGD(network, n_threads=threads)
        seconds = []
        for X, y in batches(d, WARM_UP + n_steps):
            start = clock()
            trainer.step(X, y)
            seconds.append(clock() - start)
        kept = trainer.history[WARM_UP:]
        rows.append(
            {
                "width": width,
                "engine": trainer.engine,
                "step": 1e3 * float(np.median(seconds[WARM_UP:])),
                **{k: 1e3 * float(np.median([r.seconds[k] for r in kept])) for k in PHASES},
                "fired": float(np.mean([r.fired_fraction for r in kept])),
                "moved": float(np.mean([r.moved_fraction for r in kept])),
                "tested": float(np.mean([r.tested_fraction for r in kept])),
            }
        )
    return rows


def against_dense(d, n_steps, threads, width=WIDEST):
    """Seconds of a step of each contender on the same batches, and their losses."""
    clock = clock_for(threads)
    network = PairedNetwork(d, width=width, rng=0, dtype=np.float32)
    names = ["subquad", "numpy"] + ["torch", "torch-autograd"] * installed("torch")
    steps = {name: contender(name, network, threads) for name in names}
    seconds, losses = ({name: [] for name in names} for _ in range(2))
    for X, y in batches(d, WARM_UP + n_steps):
        for name in names:
            start = clock()
            losses[name].append(steps[name].step(X, y))
            seconds[name].append(clock() - start)
    return {
        "seconds": {name: float(np.median(values[WARM_UP:])) for name, values in seconds.items()},
        "losses": losses,
    }


def dimension_rows(n_steps, threads, width=1 << 18):
    """What the tree and the scan test and cost as the dimension grows."""
    clock, rows = clock_for(threads), []
    for d in DIMENSIONS_SHOWN:
        network = PairedNetwork(d, width=width, rng=0, dtype=np.float32)
        trainers = {
            method: HalfSpaceSGD(network, n_threads=threads, report=method)
            for method in ("auto", "tree", "scan")
        }
        seconds = {method: [] for method in trainers}
        for X, y in batches(d, WARM_UP + n_steps):
            for method, trainer in trainers.items():
                start = clock()
                trainer.step(X, y)
                seconds[method].append(clock() - start)
        tested = [record.tested_fraction for record in trainers["tree"].history[WARM_UP:]]
        rows.append(
            {
                "dimension": d,
                "engine": trainers["auto"].engine,
                "tree tested": float(np.mean(tested)),
                **{k: 1e3 * float(np.median(values[WARM_UP:])) for k, values in seconds.items()},
            }
        )
    return rows


def data_sets():
    """Yield (name, X, y, test mask)."""
    X, y = arm(N_ROWS, np.random.default_rng(0))
    yield "arm", X, y, np.arange(len(X)) % 10 == 0
    folder = os.environ.get("SUBQUAD_DATA")
    if folder and (path := Path(folder, "uci-energy.npz")).exists():
        data = np.load(path)
        yield "energy", data["X"].astype(float), data["y"].astype(float), data["test_mask"][0] > 0


def estimator_rows(n_epochs=20):
    """Predictions with the report and without."""
    from subquad.estimators import HalfSpaceSGDRegressor

    for name, X, y, test in data_sets():
        models, seconds = {}, {}
        for report in ("auto", None):
            start = time.perf_counter()
            model = HalfSpaceSGDRegressor(report=report, n_epochs=n_epochs, random_state=0)
            models[report] = model.fit(X[~test], y[~test])
            seconds[report] = time.perf_counter() - start
        on, off = (models[report].predict(X[test]) for report in ("auto", None))
        yield {
            "name": name,
            "rows": len(X),
            "engine": models["auto"].trainer_.engine,
            "error": float(np.sqrt(np.square(on - y[test]).mean()) / y[test].std()),
            "difference": float(np.abs(on - off).max() / y[test].std()),
            "on": seconds["auto"],
            "off": seconds[None],
        }


def measure(what, d, n_steps, threads):
    """One part of the tables, as data."""
    if what == "widths":
        return width_rows(d, n_steps, threads)
    if what == "dense":
        return against_dense(d, n_steps, threads)
    if what == "dimensions":
        return dimension_rows(n_steps, threads)
    return list(estimator_rows())


def print_widths(rows, d, threads):
    """Print the phases, and the exponent."""
    print(f"\nA step, d = {d}, {threads} thread(s), milliseconds\n")
    heads = ["2 m", "engine", "step", *PHASES, "fired", "moved", "tested"]
    keys = ["width", *heads[1:]]
    print_table(heads, [[row[key] for key in keys] for row in rows])
    logs = np.log([[row["width"], row["step"]] for row in rows])
    print(f"\nstep ~ m^{np.polyfit(*logs.T, 1)[0]:.2f}")


def print_dense(result, d, threads):
    """Print ratios, and how far the losses are apart."""
    seconds, losses = result["seconds"], result["losses"]
    print(f"\nAgainst dense SGD, d = {d}, 2 m = {WIDEST}, {threads} thread(s)\n")
    ours = np.array(losses["subquad"])
    rows = [
        [
            name,
            1e3 * value,
            value / seconds["subquad"],
            float(np.abs(np.array(losses[name]) / ours - 1).max()),
        ]
        for name, value in seconds.items()
    ]
    print_table(["", "ms per step", "times subquad", "largest difference of a loss"], rows)


def main():
    """Measure in processes of their own, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, nargs="+", default=[1])
    parser.add_argument("--dimensions", type=int, nargs="+", default=[3, 5])
    parser.add_argument("--steps", type=int, default=21)
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        what, d, threads = options.measure
        print(json.dumps(measure(what, int(d), options.steps, int(threads))))
        return

    def part(what, d, threads):
        return in_process(
            __file__, threads, "--steps", options.steps, "--measure", what, d, threads
        )

    for threads in options.threads:
        for d in options.dimensions:
            print_widths(part("widths", d, threads), d, threads)
            print_dense(part("dense", d, threads), d, threads)
    rows = part("dimensions", 0, 1)
    print("\nA step at 2 m = 262144, 1 thread, milliseconds\n")
    heads = ["d", "auto", "chose", "tree", "scan", "tested by the tree"]
    keys = ["dimension", "auto", "engine", "tree", "scan", "tree tested"]
    print_table(heads, [[row[key] for key in keys] for row in rows])
    print("\nPredictions with the report and without, 20 passes\n")
    keys = ["name", "rows", "engine", "error", "difference", "on", "off"]
    heads = ["", "rows", "engine", "RMSE / std", "largest difference / std", "s with", "s without"]
    print_table(heads, [[row[key] for key in keys] for row in part("estimators", 0, 1)])


if __name__ == "__main__":
    main()
