"""Print, as Markdown, which method solves a Gram equation fastest: the crossover map.

    python asv_benches/crossover_table.py [--threads 1 2] [--repeats 5] [--points 64 256 1024]
        [--widths 1024 4096 16384] [--densities 0.5 0.05] [--cpu]

Three settings, a table each. "wide": J from dense or CSR U and V of the same width, as in the last
layer of a deep network. "thin": V of 8 columns, a two-layer network. "trainer": as "wide", but with
what a trainer knows: K = V V^T, the fired neurons as bits, V prepared for sketching. The contenders
are alternated in one process and figures are medians; thread counts have processes of their own.
"sketch" has 16 n columns and its relative residual is printed, since it is no solution to the
tolerance that the other two reach, 1e-10. --cpu counts processor time of one thread.
"""

import numpy as np
import scipy.sparse
from side_by_side import apart, clock_of, measured_here, medians, parser, print_table

from subquad.jacobian import FiredJacobian, FixedSide, KhatriRao
from subquad.solvers import AutoSolver, ExactSolver, PcgSolver, SketchSolver

SETTINGS = ("wide", "thin", "trainer")
METHODS = ("exact", "sketch", "pcg")
# U is CSR below this density.
SPARSE = 0.2
# Leave out cases whose U and V hold more numbers than this, and sketches (n, 16 n) of more.
MOST_NUMBERS = 5e7
MOST_SKETCHED = 2**24


def masks(n, m, density, rng):
    """Return which neurons fire: biased half-spaces of points on a sphere."""
    X = rng.standard_normal((n, 16))
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    Z = X @ rng.standard_normal((16, m))
    return np.quantile(Z, 1 - density) < Z


def jacobian(setting, n, m, density, rng):
    """Return a function that makes a fresh system."""
    D, V = masks(n, m, density, rng), rng.standard_normal((n, 8 if setting == "thin" else m))
    V *= V.shape[1] ** -0.5
    readout = rng.choice([-1.0, 1.0], m) * m**-0.5
    if setting != "trainer":
        U = D * readout
        J = KhatriRao(scipy.sparse.csr_array(U) if density < SPARSE else U, V)
        return lambda: KhatriRao(J.U, J.V)
    words = np.zeros((n, (m + 63) // 64 * 8), np.uint8)
    words[:, : (m + 7) // 8] = np.packbits(D, axis=1, bitorder="little")
    fired, K, side = words.view(np.uint64), V @ V.T, FixedSide(V)
    return lambda: FiredJacobian(fired, readout, side, K)


def measure(setting, n, m, density, repeats, clock):
    """Return seconds by method, the residual of the sketch, iterations, and auto's choice."""
    rng = np.random.default_rng([n, m])
    system, c = jacobian(setting, n, m, density, rng), rng.standard_normal(n)
    found = {}

    def solve(method):
        # Solvers are kept between steps, as in a trainer; each "sketch" draws a fresh sketch.
        found[method] = solvers[method].solve(system(), c)

    solvers = {
        "exact": ExactSolver(),
        "sketch": SketchSolver(rng=0, verify=False),
        "pcg": PcgSolver(rng=0, rtol=1e-10),
    }
    calls = {name: lambda name=name: solve(name) for name in METHODS}
    if 16 * n * n > MOST_SKETCHED:
        del calls["sketch"]
    seconds = medians(calls, repeats, clock)
    forecast = AutoSolver(rtol=1e-10).forecast(system())
    left = None
    if "sketch" in found:
        left = np.linalg.norm(system().gram() @ found["sketch"].x - c) / np.linalg.norm(c)
    return {
        "seconds": seconds,
        "residual": left,
        "iterations": found["pcg"].n_iterations,
        "auto": min(forecast, key=forecast.get),
        "forecast": forecast,
    }


def cases(options):
    """Yield the grid, without the cases that are too large."""
    for n in options.points:
        for m in options.widths:
            for density in options.densities:
                if 2 * n * m <= MOST_NUMBERS:
                    yield n, m, density


def row(threads, n, m, density, result):
    """Return the cells of one line."""
    seconds, forecast = result["seconds"], result["forecast"]
    milliseconds = [1e3 * seconds[name] if name in seconds else "" for name in METHODS]
    accurate = min(("exact", "pcg"), key=seconds.get)
    return [
        threads, n, m, density, *milliseconds,
        result["iterations"], "" if result["residual"] is None else result["residual"],
        min(seconds, key=seconds.get), accurate, result["auto"],
        1e3 * forecast["exact"], 1e3 * forecast["pcg"],
    ]  # fmt: skip


HEADS = [
    "threads", "n", "m", "density", "exact (ms)", "sketch (ms)", "pcg (ms)", "pcg iterations",
    "residual of sketch", "fastest", "fastest to 1e-10", "auto chooses", "forecast exact (ms)",
    "forecast pcg (ms)",
]  # fmt: skip


def measure_setting(options, setting):
    """Return the grid of a setting, each case with what was measured."""
    clock = clock_of(options)
    return [[*case, measure(setting, *case, options.repeats, clock)] for case in cases(options)]


def main():
    """Measure each setting with each number of threads, and print a table of each setting."""
    arguments = parser(__doc__, repeats=5)
    arguments.add_argument("--points", type=int, nargs="+", default=[64, 256, 1024])
    arguments.add_argument("--widths", type=int, nargs="+", default=[1024, 4096, 16384])
    arguments.add_argument("--densities", type=float, nargs="+", default=[0.5, 0.05])
    arguments.add_argument("--settings", nargs="+", default=SETTINGS, choices=SETTINGS)
    options = arguments.parse_args()
    if measured_here(options, setting=measure_setting):
        return
    for setting in options.settings:
        print(f"\n{setting}\n")
        rows = [
            row(threads, *line)
            for threads in options.threads
            for line in apart(__file__, threads, "setting", setting)
        ]
        print_table(HEADS, rows)


if __name__ == "__main__":
    main()
