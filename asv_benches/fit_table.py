"""Print, as Markdown, how long whole fits take from random initialisation, weights included.

    python asv_benches/fit_table.py [--threads 1 2] [--width 16384] [--points 64] [--repeats 3]

A network with L = 3, float32, the shift of alpha = 0.1, is drawn, and its last layer fitted to
random targets until the residual is 1e-6 of what it was. subquad keeps the weights between hidden
layers as normals ("dense"), as a byte each ("int8") or not at all ("implicit"). torch draws normals
with `normal_` and takes the same Gauss-Newton steps with a dense W and the structured Gram matrix,
one product with W for each step. Float32 weights that are changed in place stall near 1e-6, which
costs torch some steps: the last row and the last column stop torch at a residual of 1e-5.

The contenders are alternated in one process; figures are medians. Thread counts run in processes of
their own, with every BLAS set to them.
"""

import itertools
import time
from functools import partial

import numpy as np
from benchmarks.contenders import TorchSteps
from benchmarks.problems import ALPHA, N_INPUTS, unit_rows
from side_by_side import (
    alternated,
    apart,
    installed,
    measured_here,
    parser,
    print_table,
    times,
)

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


def fit_subquad(weights, X, y, activation, width, n_threads, seeds):
    """Return the seconds of the parts of a fit, its steps, and what is left of the residual."""
    clocked = [time.perf_counter()]
    network = WideNetwork(
        X.shape[1], width=width, depth=3, activation=activation, weights=weights, rng=next(seeds),
        dtype=np.float32,
    )  # fmt: skip
    clocked.append(time.perf_counter())
    layer = network.last_layer(X, n_threads)
    clocked.append(time.perf_counter())
    trainer = LastLayerGaussNewton(layer, y, tol=TOL, n_threads=n_threads).run()
    clocked.append(time.perf_counter())
    return [(np.diff(clocked), len(trainer.history), trainer.relative_residual)]


def fit_torch(X, y, activation, width, n_threads, seeds):
    """Return the same figures of torch, at TOL and at EASY_TOL."""
    import torch

    torch.set_num_threads(n_threads)
    torch.manual_seed(next(seeds))
    std, scale = float(np.sqrt(2 / width)), float(activation.scale)
    thresholds = activation.thresholds(np.ones(len(X)), std).astype(np.float32)
    thresholds, h = torch.from_numpy(thresholds), torch.from_numpy(X)
    clocked = [time.perf_counter()]
    with torch.inference_mode():
        shapes = [(width, h.shape[1]), (width, width), (width, width)]
        *hidden, last = [torch.empty(shape).normal_(0, std) for shape in shapes]
        readout = 2.0 * torch.randint(2, (width,)) - 1.0
        clocked.append(time.perf_counter())
        for W in hidden:
            h = scale * torch.relu(h @ W.T - thresholds[:, None])
            h /= torch.linalg.norm(h, dim=1, keepdim=True)
        clocked.append(time.perf_counter())
        steps = TorchSteps.from_tensors(h, last, readout, torch.from_numpy(y), scale, thresholds)
        history = steps.fit(TOL)
    return [ended(clocked, history, tol) for tol in (TOL, EASY_TOL)]


def ended(clocked, history, tol):
    """Return the figures of `fit_subquad` for a fit that stops at a relative residual."""
    left = [norm / history[0][1] for _, norm in history]
    last = next((i for i, norm in enumerate(left) if norm <= tol), len(left) - 1)
    return np.diff([*clocked, history[last][0]]), last, left[last]


def measure(width, n, repeats, n_threads):
    """Return, for each contender, the median seconds of its parts, and its steps and residual."""
    fits = {f"subquad, {weights}": partial(fit_subquad, weights) for weights in OURS}
    if installed("torch"):
        fits["torch"] = fit_torch
    X, y, activation = problem(n, width)
    calls = {
        name: partial(fit, X, y, activation, width, n_threads, itertools.count())
        for name, fit in fits.items()
    }
    table = {}
    for name, runs in alternated(calls, repeats).items():
        table[name] = summary([ends[0] for ends in runs])
        if name == "torch":
            table[RIVALS[1]] = summary([ends[1] for ends in runs])
    return table


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
            ratios = [times(rival, figures["total"]) for rival in rivals]
            yield [threads, name, *figures.values(), *ratios]


def main():
    """Measure each number of threads, and print."""
    arguments = parser(__doc__, repeats=3, cpu=False)
    arguments.add_argument("--width", type=int, default=16384)
    arguments.add_argument("--points", type=int, default=64)
    options = arguments.parse_args()
    if measured_here(options, fits=lambda o: measure(o.width, o.points, o.repeats, o.threads[0])):
        return
    heads = ["threads", "fit by", *(f"{part} (s)" for part in (*PARTS, "total")), "steps"]
    heads += ["relative residual", *(f"{name} takes" for name in RIVALS if installed("torch"))]
    print_table(heads, rows([(t, apart(__file__, t, "fits")) for t in options.threads]))


if __name__ == "__main__":
    main()
