"""Does each Gauss-Newton step halve the residual, and how wide must the network be?"""

import sys
import warnings
from collections.abc import Sequence

import numpy as np

from experiments._claim import Claim, Finding, Number, Verdict
from experiments._inputs import signs, sphere
from experiments._run import main
from experiments.bpsw21._gram import least, limit
from subquad.networks import TwoLayerNetwork
from subquad.solvers import fast_regression
from subquad.training import TrainingWarning, TwoLayerGaussNewton

CLAIM = Claim(
    paper="BPSW21",
    place="Theorem 1.1 (= 4.1, C.1)",
    statement="With m = Omega(max(λ⁻⁴n⁴, λ⁻²n²d log(n/δ))) each step gives "
    "|f - y| <= |f_before - y| / 2, at a cost of Õ(mnd + n³).",
    measured="The largest ratio of all steps until |f - y| has fallen by 1e-8, sphere d = 16, "
    "labels 1 and -1; and the iterations of conjugate gradients that solve the first step to the "
    "accuracy ε = sqrt(λ/n)/6 of Algorithm 1, preconditioned by a sketch of 16 n rows.",
    rule="holds if every step at m = n²/16 has a ratio of at most 1/2, which is far below the "
    "stated width, while the ratio falls with m, and the iterations are at most 2 log2(1/ε).",
)
SIZES = {
    "smallest": {"points": (48, 80), "n_seeds": 2},
    "default": {"points": (64, 128, 256), "n_seeds": 5},
    "full": {"points": (64, 128, 256, 512), "n_seeds": 8},
}
FEATURES, WIDTHS = 16, (1 / 256, 1 / 64, 1 / 16)


def largest_ratio(n: int, width: int, seed: int) -> float:
    """Train, and return the largest |r| / |r before| of all steps."""
    network, X = TwoLayerNetwork(FEATURES, width, rng=seed), sphere(n, FEATURES, seed)
    options = {"solver": "exact", "tol": 1e-8, "search_kinks": False, "min_active": 1}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TrainingWarning)  # narrow networks may not converge
        trainer = TwoLayerGaussNewton(network, X, signs(n, seed), **options).run()
    return max(record.ratio for record in trainer.history)


def iterations(n: int, width: int, seed: int) -> tuple[int, float]:
    """Iterations of the first step to the accuracy ε of Algorithm 1, and log2(1/ε)."""
    X = sphere(n, FEATURES, seed)
    network = TwoLayerNetwork(FEATURES, width, rng=seed)
    residual = network.outputs(X)[:, 0] - signs(n, seed)
    accuracy = np.sqrt(least(limit(X)) / n) / 6
    solution = fast_regression(
        network.jacobian(X), residual, sketch="count", sketch_size=16 * n, rtol=accuracy, rng=seed
    )
    return solution.n_iterations, -np.log2(accuracy)


def measure(size: str, seeds: Sequence[int]) -> Finding:
    """Train at three widths for each n."""
    points = SIZES[size]["points"]
    ratios = np.array(
        [
            [[largest_ratio(n, max(8, round(c * n**2)), s) for c in WIDTHS] for n in points]
            for s in seeds
        ]
    )
    steps = np.array([[iterations(n, n**2 // 16, s) for n in points] for s in seeds])
    n = points[-1]
    stated = n**4 / least(limit(sphere(n, FEATURES, seeds[0]))) ** 4
    # The ratio falls like a power of m: where it crosses 1/2, for the largest n.
    widths = np.array(WIDTHS)
    fits = [np.polyfit(np.log(widths), np.log(r), 1) for r in ratios[:, -1]]
    crossing = [np.exp((np.log(0.5) - fit[1]) / fit[0]) for fit in fits]
    numbers = [
        Number("largest ratio of a step at m = n²/16", ratios[:, :, 2].max(axis=1), at_most=0.5),
        Number(f"exponent of the largest ratio in m at n = {n}", [f[0] for f in fits], at_most=0.0),
        Number(
            "iterations of a step over log2(1/ε), the most over n",
            (steps[:, :, 0] / steps[:, :, 1]).max(axis=1),
            at_most=2.0,
        ),
        Number(f"iterations of a step at n = {n}", steps[:, -1, 0]),
        Number("largest ratio of a step at m = n²/64", ratios[:, :, 1].max(axis=1)),
        Number("largest ratio of a step at m = n²/256", ratios[:, :, 0].max(axis=1)),
        Number(f"m / n² at which the largest ratio is 1/2, n = {n}", crossing),
        Number(f"(n/λ)⁴, the width of the theorem, n = {n}", [stated]),
    ]
    why = {
        Verdict.HOLDS: "A width near n²/100 suffices, (n/λ)⁴ is never needed, and a step costs a "
        "bounded number of passes over the data."
    }
    return Finding.judge(numbers, why)


if __name__ == "__main__":
    main(sys.modules[__name__])
