"""Print, as Markdown, what a step of half-space SGD costs, and that it is the step of dense SGD.

    python asv_benches/sgd_table.py [--threads 1 2] [--dimensions 3 5] [--steps 21]

Steps have b = 32, B = 8, eta = 1, float32 and the targets 3 x1 x2 at fresh points of the unit
sphere. Four tables: the phases of a step as the width 2 m grows, and the exponent of the whole
step; steps of subquad and of dense SGD on the same batches, alternated in one process, with their
losses; how the share of neurons tested and the speed depend on the dimension; and, in float64, how
predictions of the estimators with and without the report differ, on the energy data (left out
unless SUBQUAD_DATA names their folder) and on an arm of eight links with as many rows and columns
as kin8nm.

torch is the fastest form found of whole arrays, in place; torch-autograd is a loss, its gradient
and a step. Figures are medians. With one thread they are seconds of its processor time, since other
work on the machine stops it, but for the phases; with more they are seconds on the clock.
"""

import os
import time
from functools import partial
from pathlib import Path

import numpy as np
from arm import arm
from benchmarks.half_space_sgd import batches, contender
from side_by_side import (
    alternated,
    apart,
    installed,
    measured_here,
    medians_of,
    parser,
    print_table,
    seconds_of,
)

from subquad.networks import PairedNetwork
from subquad.training import HalfSpaceSGD

PHASES = ("query", "forward", "update", "report")
WIDTHS = tuple(1 << k for k in range(15, 22))  # m from 2^14 to 2^20
WIDEST = 1 << 21
WARM_UP = 3
DIMENSIONS_SHOWN = (2, 3, 4, 5, 6, 8, 10, 12, 16)
# kin8nm has as many rows.
N_ROWS = 8192
N_EPOCHS = 20


def step_seconds(steppers, d, n_steps, threads):
    """Return the median seconds of a step of each; all take the same fresh batches in turn."""
    clock = time.thread_time if threads == 1 else time.perf_counter

    def timed(step, source):
        X, y = next(source)
        return seconds_of(partial(step, X, y), clock)

    calls = {
        name: partial(timed, step, batches(d, WARM_UP + n_steps)) for name, step in steppers.items()
    }
    return medians_of(alternated(calls, n_steps, WARM_UP))


def width_rows(options, d, threads):
    """Return the milliseconds of the phases of a step, for each width."""
    rows = []
    for width in WIDTHS:
        network = PairedNetwork(d, width=width, rng=0, dtype=np.float32)
        trainer = HalfSpaceSGD(network, n_threads=threads)
        seconds = step_seconds({"step": trainer.step}, d, options.steps, threads)
        kept = trainer.history[WARM_UP:]
        rows.append(
            {
                "width": width,
                "engine": trainer.engine,
                "step": 1e3 * seconds["step"],
                **{k: 1e3 * float(np.median([r.seconds[k] for r in kept])) for k in PHASES},
                "fired": float(np.mean([r.fired_fraction for r in kept])),
                "moved": float(np.mean([r.moved_fraction for r in kept])),
                "tested": float(np.mean([r.tested_fraction for r in kept])),
            }
        )
    return rows


def against_dense(options, d, threads):
    """Return the seconds of a step of each contender on the same batches, and their losses."""
    network = PairedNetwork(d, width=WIDEST, rng=0, dtype=np.float32)
    names = ["subquad", "numpy"] + ["torch", "torch-autograd"] * installed("torch")
    losses = {name: [] for name in names}

    def stepper(name):
        sgd = contender(name, network, threads)
        return lambda X, y: losses[name].append(sgd.step(X, y))

    steppers = {name: stepper(name) for name in names}
    seconds = step_seconds(steppers, d, options.steps, threads)
    return {"seconds": seconds, "losses": losses}


def dimension_rows(options):
    """Return what the tree tests, and what tree and scan cost, as the dimension grows."""
    rows = []
    for d in DIMENSIONS_SHOWN:
        network = PairedNetwork(d, width=1 << 18, rng=0, dtype=np.float32)
        trainers = {
            method: HalfSpaceSGD(network, n_threads=1, report=method)
            for method in ("auto", "tree", "scan")
        }
        steppers = {method: trainer.step for method, trainer in trainers.items()}
        seconds = step_seconds(steppers, d, options.steps, 1)
        tested = [record.tested_fraction for record in trainers["tree"].history[WARM_UP:]]
        rows.append(
            {
                "dimension": d,
                "engine": trainers["auto"].engine,
                "tree tested": float(np.mean(tested)),
                **{method: 1e3 * taken for method, taken in seconds.items()},
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


def estimator_rows(options):
    """Return how predictions with the report and without differ."""
    from subquad.estimators import HalfSpaceSGDRegressor

    rows = []
    for name, X, y, test in data_sets():
        models, seconds = {}, {}
        for report in ("auto", None):
            model = HalfSpaceSGDRegressor(report=report, n_epochs=N_EPOCHS, random_state=0)
            seconds[report] = seconds_of(partial(model.fit, X[~test], y[~test]))
            models[report] = model
        on, off = (models[report].predict(X[test]) for report in ("auto", None))
        rows.append(
            {
                "name": name,
                "rows": len(X),
                "engine": models["auto"].trainer_.engine,
                "error": float(np.sqrt(np.square(on - y[test]).mean()) / y[test].std()),
                "difference": float(np.abs(on - off).max() / y[test].std()),
                "on": seconds["auto"],
                "off": seconds[None],
            }
        )
    return rows


def print_widths(rows, d, threads):
    """Print the phases of a step, and the exponent of m."""
    print(f"\nA step, d = {d}, {threads} thread(s), milliseconds\n")
    heads = ["2 m", "engine", "step", *PHASES, "fired", "moved", "tested"]
    keys = ["width", *heads[1:]]
    print_table(heads, [[row[key] for key in keys] for row in rows])
    logs = np.log([[row["width"], row["step"]] for row in rows])
    print(f"\nstep ~ m^{np.polyfit(*logs.T, 1)[0]:.2f}")


def print_dense(result, d, threads):
    """Print ratios, and how far the losses differ."""
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
    arguments = parser(__doc__, threads=(1,), repeats=None, cpu=False)
    arguments.add_argument("--dimensions", type=int, nargs="+", default=[3, 5])
    arguments.add_argument("--steps", type=int, default=21)
    options = arguments.parse_args()
    if measured_here(
        options,
        widths=width_rows,
        dense=against_dense,
        dimensions=dimension_rows,
        estimators=estimator_rows,
    ):
        return
    for threads in options.threads:
        for d in options.dimensions:
            print_widths(apart(__file__, threads, "widths", d, threads), d, threads)
            print_dense(apart(__file__, threads, "dense", d, threads), d, threads)
    rows = apart(__file__, 1, "dimensions")
    print("\nA step at 2 m = 262144, 1 thread, milliseconds\n")
    heads = ["d", "auto", "chose", "tree", "scan", "tested by the tree"]
    keys = ["dimension", "auto", "engine", "tree", "scan", "tree tested"]
    print_table(heads, [[row[key] for key in keys] for row in rows])
    rows = apart(__file__, 1, "estimators")
    print(f"\nPredictions with the report and without, {N_EPOCHS} passes\n")
    keys = ["name", "rows", "engine", "error", "difference", "on", "off"]
    heads = ["", "rows", "engine", "RMSE / std", "largest difference / std", "s with", "s without"]
    print_table(heads, [[row[key] for key in keys] for row in rows])


if __name__ == "__main__":
    main()
