"""Print, as Markdown, what two-layer Gauss-Newton costs with and without the Gram matrix.

    python asv_benches/two_layer_table.py [--threads 1 2] [--points 1000 2000 4000 8000 20000]
        [--width 2048] [--most-exact 8000] [--cpu]

Every line is measured in a process of its own, for the sake of its peak memory. Three tables: one
step by the number of points; a whole run on 20,000 points; and data of the size of kin8nm (8,192
points with 8 inputs, a tenth held out, five splits), beside what two-layer networks are published
to reach on kin8nm itself. The data are a simulated robot arm (see arm.py), not kin8nm.
"""

import resource
import warnings

import numpy as np
from arm import arm, inputs
from side_by_side import apart, clock_of, measured_here, parser, print_table

from subquad.networks import TwoLayerNetwork
from subquad.training import TrainingWarning, TwoLayerGaussNewton

REGULARIZATION = 0.02
PUBLISHED = [
    ("kin8nm: probabilistic backpropagation, 50 neurons (2015)", 0.10),
    ("kin8nm: dropout, 50 neurons (2016)", 0.10),
    ("kin8nm: dropout, 50 neurons, tuned (2018)", 0.08),
]


def trainer_on(n, width, solver, seed=0, max_steps=10, bias=True):
    """Return a trainer on n points, the fresh points to test it on, and the mean it leaves out."""
    rng = np.random.default_rng([seed, n])
    held_out = max(n // 9, 1)
    angles, y = arm(n + held_out, rng)
    X = inputs(angles) if bias else inputs(angles)[:, :-1]
    network = TwoLayerNetwork(X.shape[1], width, rng=seed, dtype=np.float32)
    mean = y[:n].mean()
    trainer = TwoLayerGaussNewton(
        network, X[:n], y[:n] - mean, solver=solver, regularization=REGULARIZATION, centred=True,
        tol=1e-4, max_steps=max_steps, rng=seed,
    )  # fmt: skip
    return trainer, network, X[n:], y[n:], mean


def one_step(options, n, solver):
    """Return seconds and iterations of the second step, and the peak memory of the process."""
    before, clock = peak_megabytes(), clock_of(options)
    trainer, *_ = trainer_on(n, options.width, solver, bias=False)
    trainer.step()
    start = clock()
    record = trainer.step()
    seconds = clock() - start
    return {
        "seconds": seconds,
        "iterations": record.n_iterations,
        "megabytes": peak_megabytes() - before,
    }


def whole_run(options, n, solver, seed, bias):
    """Return how a run ended."""
    before, clock = peak_megabytes(), clock_of(options)
    start = clock()
    trainer, network, X, y, mean = trainer_on(n, options.width, solver, seed, bias=bias)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TrainingWarning)
        trainer.run()
    seconds = clock() - start
    predicted = network.outputs(X, trainer.factors, centred=True)[:, 0] + mean
    return {
        "solver": trainer.solver,
        "steps": len(trainer.history),
        "iterations": sum(record.n_iterations for record in trainer.history),
        "residual": trainer.relative_residual,
        "rmse": float(np.sqrt(np.mean((predicted - y) ** 2))),
        "spread": float(y.std()),
        "seconds": seconds,
        "megabytes": peak_megabytes() - before,
    }


def peak_megabytes():
    """Return the peak resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def step_rows(options):
    """Yield the cells of one step, by n and solver."""
    for threads in options.threads:
        for n in options.points:
            for solver in ("exact", "pcg"):
                if solver == "exact" and n > options.most_exact:
                    continue
                r = apart(__file__, threads, "step", n, solver)
                yield [threads, n, solver, r["seconds"], r["iterations"], r["megabytes"]]


def run_row(threads, n, solver, seed, bias):
    """Return the cells of one run."""
    r = apart(__file__, threads, "run", n, solver, seed, bias)
    cells = [r[key] for key in ("solver", "steps", "iterations", "residual", "rmse", "spread")]
    return [threads, n, *cells, r["seconds"], r["megabytes"]]


RUN_HEADS = [
    "threads", "points", "solver", "steps", "iterations", "train |r| / |r_0|", "test RMSE",
    "standard deviation of y", "seconds", "MB",
]  # fmt: skip


def main():
    """Measure and print."""
    arguments = parser(__doc__, repeats=None)
    arguments.add_argument("--points", type=int, nargs="+", default=[1000, 2000, 4000, 8000, 20000])
    arguments.add_argument("--width", type=int, default=2048)
    arguments.add_argument("--most-exact", type=int, default=8000)
    arguments.add_argument("--splits", type=int, default=5)
    options = arguments.parse_args()
    if measured_here(options, step=one_step, run=whole_run):
        return
    print(f"\nOne step, d = 8, m = {options.width}, float32\n")
    heads = ["threads", "points", "solver", "seconds", "iterations", "MB"]
    print_table(heads, step_rows(options))
    print("\nA whole run on 20,000 points, d = 8 (no bias)\n")
    print_table(RUN_HEADS, [run_row(t, 20_000, "pcg", 0, False) for t in options.threads])
    print("\nThe size of kin8nm: 7,373 points to train on, 819 to test on, 8 inputs and a bias\n")
    threads, seeds = options.threads[-1], range(options.splits)
    rows = [run_row(threads, 7373, "auto", seed, True) for seed in seeds]
    print_table(RUN_HEADS, rows)
    errors = [row[6] for row in rows]
    print(f"\nTest RMSE {np.mean(errors):.4f} +- {np.std(errors):.4f}; published, on other data:")
    for name, value in PUBLISHED:
        print(f"  {name}: {value:.2f}")


if __name__ == "__main__":
    main()
