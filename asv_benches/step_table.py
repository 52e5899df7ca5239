"""Print, as Markdown, how a whole Gauss-Newton step of subquad compares with dense ones.

    python asv_benches/step_table.py [--threads 1 2] [--widths 4096 8192 16384] [--repeats 7]

The problem is the last layer of a network with L = 3, n = 64 points, float32, the shift of
alpha = 0.1. The contenders are alternated in one process, so that whatever else the machine does
strikes all of them; figures are medians over the first three steps of each repeat. Thread counts
run in processes of their own, with every BLAS set to them. The fit whose memory is reported has
n = 256 points, L = 3 and the whole network, drawn in its own process.
"""

from functools import partial
from pathlib import Path

import numpy as np
from benchmarks.contenders import HAS_TORCH, NEEDS_WEIGHTS, contender, slope, step_seconds
from benchmarks.problems import step_problem
from side_by_side import (
    alternated,
    apart,
    measured_here,
    medians_of,
    parser,
    print_table,
    times,
)

N_POINTS = 64
SLOPE_WIDTHS = (2048, 4096, 8192, 16384, 32768)
MEMORY_POINTS, MEMORY_WIDTH, MEMORY_INPUTS = 256, 16384, 16


def compare(width, implementations, repeats):
    """Return the median seconds per step of each implementation, alternated."""
    dense = any(name in NEEDS_WEIGHTS for name in implementations)
    problem = step_problem(N_POINTS, width, with_weights=dense)
    calls = {name: partial(step_seconds, contender(name, problem)) for name in implementations}
    return medians_of(alternated(calls, repeats))


def measure(widths, repeats):
    """Return what one process, with its number of threads, measures."""
    implementations = ["subquad", "numpy-structured", "numpy"] + (["torch"] if HAS_TORCH else [])
    table = {width: compare(width, implementations, repeats) for width in widths}
    curve = [compare(width, ["subquad"], 3 * repeats)["subquad"] for width in SLOPE_WIDTHS]
    return {"table": table, "curve": curve, "slope": slope(SLOPE_WIDTHS, curve)}


def measure_memory():
    """Return the bytes of the process at its peak, of the weights, and of 6 m n numbers."""
    from subquad.networks import WideNetwork
    from subquad.training import LastLayerGaussNewton

    rng = np.random.default_rng(0)
    X = rng.standard_normal((MEMORY_POINTS, MEMORY_INPUTS))
    y = rng.standard_normal(MEMORY_POINTS)
    network = WideNetwork(MEMORY_INPUTS, width=MEMORY_WIDTH, depth=3, rng=1, dtype=np.float32)
    trainer = LastLayerGaussNewton(network.last_layer(X), y).run()
    factors = trainer.factors
    return {
        "peak": peak_memory(),
        "weights": sum(W.nbytes for W in network.weights),
        "arrays": 6 * MEMORY_WIDTH * MEMORY_POINTS * factors[0].itemsize,
        "steps": len(trainer.history),
        "relative_residual": trainer.relative_residual,
    }


def peak_memory():
    """Return the largest resident size this process has had, in bytes (Linux)."""
    # The maximum of getrusage starts from that of the parent process, so it is of no use here.
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return next(
        1024 * int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")
    )


def print_steps(results):
    """Print the steps of all thread counts, one row for each width."""
    names = list(next(iter(results[0][1]["table"].values())))
    rivals = [name for name in names if name != "subquad"]
    heads = ["threads", "width", *(f"{name} (ms)" for name in names)]
    rows = [
        [threads, width, *(1e3 * seconds[name] for name in names)]
        + [times(seconds[name], seconds["subquad"]) for name in rivals]
        for threads, result in results
        for width, seconds in result["table"].items()
    ]
    print_table([*heads, *(f"subquad is faster than {name} by" for name in rivals)], rows)


def print_slopes(results):
    """Print the growth with the width of all thread counts."""
    heads = ["threads", *(f"m = {m} (ms)" for m in SLOPE_WIDTHS), "exponent of m"]
    rows = [
        [threads, *(1e3 * seconds for seconds in result["curve"]), f"{result['slope']:.2f}"]
        for threads, result in results
    ]
    print_table(heads, rows)


def print_memory(memory):
    """Print what a fit needs beyond its weights and six arrays of m n numbers."""
    rest = memory["peak"] - memory["weights"] - memory["arrays"]
    print(
        f"Fitting n = {MEMORY_POINTS} points at m = {MEMORY_WIDTH} in float32 (L = 3): peak "
        f"{memory['peak'] / 1e6:.0f} MB, of which {memory['weights'] / 1e6:.0f} MB are weights and "
        f"6 m n numbers are {memory['arrays'] / 1e6:.0f} MB; {rest / 1e6:.0f} MB remain for "
        f"Python and everything else. {memory['steps']} steps to a relative residual of "
        f"{memory['relative_residual']:.0e}."
    )


def main():
    """Measure and print."""
    arguments = parser(__doc__, cpu=False)
    arguments.add_argument("--widths", type=int, nargs="+", default=[4096, 8192, 16384])
    options = arguments.parse_args()
    if measured_here(
        options,
        steps=lambda o: measure(o.widths, o.repeats),
        memory=lambda _: measure_memory(),
    ):
        return
    results = [(threads, apart(__file__, threads, "steps")) for threads in options.threads]
    print_steps(results)
    print()
    print_slopes(results)
    print()
    print_memory(apart(__file__, max(options.threads), "memory"))


if __name__ == "__main__":
    main()
