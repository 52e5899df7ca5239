"""Print, as Markdown, how long whole fits take from random initialisation, weights included.

    python asv_benches/fit_table.py [--threads 1 2] [--width 16384] [--points 64] [--repeats 3]

A network with L = 3, float32, the shift of alpha = 0.1, is drawn, and its last layer fitted to
random targets until the residual is 1e-6 of what it was. subquad keeps the weights between hidden
layers as normals ("dense"), as a byte each ("int8") or not at all ("implicit"). torch draws normals
with `normal_` and takes the same Gauss-Newton steps with W dense and the structured Gram matrix,
one product with W for each. Float32 weights that are changed in place stall near 1e-6, which costs
torch some steps: the last row and column are of torch until its residual was 1e-5.

The contenders are alternated in one process; figures are medians. Thread counts run in processes of
their own, with every BLAS set to them.
"""

import argparse
import json
import time

import numpy as np
from benchmarks.contenders import TorchSteps
from benchmarks.problems import ALPHA, N_INPUTS, unit_rows
from side_by_side import in_process, installed, print_table

from subquad.activations import ShiftedReLU
from subquad.networks import WideNetwork
from subquad.training import LastLayerGaussNewton

TOL, EASY_TOL = 1e-6, 1e-5
PARTS = ("draw", "features", "steps")
OURS = ("dense", "int8", "implicit")
RIVALS = ("torch", f"torch, {EASY_TOL:g}")


def problem(n, width):
    """Return points of a sphere, random targets and the activation."""
    rng = np.random.default_rng(0)
    X = unit_rows(rng.standard_normal((n, N_INPUTS))).astype(np.float32)
    activation = ShiftedReLU.for_sparsity(ALPHA, width)
    return X, rng.standard_normal(n).astype(np.float32), activation


def fit_subquad(weights, X, y, activation, width, seed, n_threads):
    """Return the seconds of the parts of a fit, its steps, and what is left of the residual."""
    times = [time.perf_counter()]
    network = WideNetwork(
        X.shape[1], width=width, depth=3, activation=activation, weights=weights, rng=seed,
        dtype=np.float32,
    )  # fmt: skip
    times.append(time.perf_counter())
    layer = network.last_layer(X, n_threads)
    times.append(time.perf_counter())
    trainer = LastLayerGaussNewton(layer, y, tol=TOL, n_threads=n_threads).run()
    times.append(time.perf_counter())
    return [(np.diff(times), len(trainer.history), trainer.relative_residual)]


def fit_torch(X, y, activation, width, seed, n_threads):
    """Return the same of torch, and how far it was at EASY_TOL."""
    import torch

    torch.set_num_threads(n_threads)
    torch.manual_seed(seed)
    std, scale = float(np.sqrt(2 / width)), float(activation.scale)
    thresholds = activation.thresholds(np.ones(len(X)), std).astype(np.float32)
    thresholds, h = torch.from_numpy(thresholds), torch.from_numpy(X)
    times = [time.perf_counter()]
    with torch.inference_mode():
        shapes = [(width, h.shape[1]), (width, width), (width, width)]
        *hidden, last = [torch.empty(shape).normal_(0, std) for shape in shapes]
        readout = 2.0 * torch.randint(2, (width,)) - 1.0
        times.append(time.perf_counter())
        for W in hidden:
            h = scale * torch.relu(h @ W.T - thresholds[:, None])
            h /= torch.linalg.norm(h, dim=1, keepdim=True)
        times.append(time.perf_counter())
        steps = TorchSteps.from_tensors(h, last, readout, torch.from_numpy(y), scale, thresholds)
        history = steps.fit(TOL)
    return [ended(times, history, tol) for tol in (TOL, EASY_TOL)]


def ended(times, history, tol):
    """Return what `fit_subquad` does, of the part of a fit that ends at a relative residual."""
    left = [norm / history[0][1] for _, norm in history]
    last = next((i for i, norm in enumerate(left) if norm <= tol), len(left) - 1)
    return np.diff([*times, history[last][0]]), last, left[last]


def measure(width, n, repeats, n_threads):
    """Return, for each contender, the median seconds of its parts, and its steps and residual."""
    X, y, activation = problem(n, width)
    calls = {
        f"subquad, {weights}": lambda seed, weights=weights: fit_subquad(
            weights, X, y, activation, width, seed, n_threads
        )
        for weights in OURS
    }
    if installed("torch"):
        calls["torch"] = lambda seed: fit_torch(X, y, activation, width, seed, n_threads)
    runs = {}
    for repeat in range(repeats + 1):
        for name, call in calls.items():
            for label, run in zip((name, f"{name}, {EASY_TOL:g}"), call(repeat), strict=False):
                if repeat > 0:  # the first starts threads
                    runs.setdefault(label, []).append(run)
    return {name: summary(done) for name, done in runs.items()}


def summary(runs):
    """Return medians over the runs."""
    parts = np.median([seconds for seconds, _, _ in runs], axis=0)
    total = np.median([seconds.sum() for seconds, _, _ in runs])
    return {
        **dict(zip(PARTS, map(float, parts), strict=True)),
        "total": float(total),
        "number of steps": float(np.median([n_steps for _, n_steps, _ in runs])),
        "relative residual": float(np.median([residual for _, _, residual in runs])),
    }


def rows(results):
    """Return the cells of the table."""
    for threads, table in results:
        rivals = [figures["total"] for name, figures in table.items() if name in RIVALS]
        for name, figures in table.items():
            ratios = [f"{rival / figures['total']:.3g}x" for rival in rivals]
            yield [threads, name, *figures.values(), *ratios]


def arguments():
    """Return the parsed command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--width", type=int, default=16384)
    parser.add_argument("--points", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def results_of(threads=(1, 2), width=16384, points=64, repeats=3):
    """Return [(threads, table)], each measured in a process of its own."""
    sizes = ["--width", width, "--points", points, "--repeats", repeats, "--json"]
    return [(t, in_process(__file__, t, *sizes, "--threads", t)) for t in threads]


def main():
    """Measure and print."""
    options = arguments()
    sizes = options.width, options.points, options.repeats
    if options.json:
        print(json.dumps(measure(*sizes, options.threads[0])))
        return
    heads = ["threads", "fit by", *(f"{part} (s)" for part in (*PARTS, "total")), "steps"]
    heads += ["relative residual", *(f"{name} takes" for name in RIVALS if installed("torch"))]
    print_table(heads, rows(results_of(options.threads, *sizes)))


if __name__ == "__main__":
    main()
