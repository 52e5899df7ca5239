"""Does every Gauss-Newton step leave at most a third of the residual?"""

import sys
from collections.abc import Sequence

import numpy as np

from experiments._claim import Claim, Finding, Number, Verdict
from experiments._inputs import signs, sphere
from experiments._run import main
from experiments.szz24._network import Law, definition_f3, draw, forward, readout, shifted
from experiments.szz24._training import ratios

CLAIM = Claim(
    paper="SZZ24",
    place="Theorem 1.1 (F.14)",
    statement="If m is large enough, |f_{t+1} - y| ≤ |f_t - y| / 3 for every t, with high "
    "probability.",
    measured="The largest ratio |f_{t+1} - y| / |f_t - y| of a run until 1e-8, over b = 0 and 1 "
    "and "
    "L = 2 and 3; points uniform on the sphere of R^16, labels ±1.",
    rule="holds if the network of Definition F.3 keeps 1/3 for each seed; holds corrected if the "
    "shifted ReLU with relative thresholds and normalised layers does.",
)
SIZES = {
    "smallest": {"n": 16, "m": 512, "n_seeds": 3},
    "default": {"n": 64, "m": 1024, "n_seeds": 10},
    "full": {"n": 256, "m": 8192, "n_seeds": 5},
}


def largest_ratio(law: Law, n: int, m: int, depth: int, seed: int) -> float:
    """Run Gauss-Newton on the last of `depth` layers."""
    layer = forward(draw(16, m, depth, seed), sphere(n, 16, seed), law)[-1]
    return ratios(layer, law, readout(m, seed), signs(n, seed)).max()


def measure(size: str, seeds: Sequence[int]) -> Finding:
    """Train each network once a seed."""
    n, m = SIZES[size]["n"], SIZES[size]["m"]
    cases = [(b, depth) for b in (0.0, 1.0) for depth in (2, 3)]
    corrected = [
        max(largest_ratio(shifted(b, normalised=True), n, m, L, seed) for b, L in cases)
        for seed in seeds
    ]
    printed = [largest_ratio(definition_f3(1.0), n, m, 2, seed) for seed in seeds]
    sizes = f"n = {n}, m = {m}"
    numbers = [
        Number(f"largest ratio, corrected, {sizes}", corrected, at_most=1 / 3, form="corrected"),
        Number(f"largest ratio, Definition F.3, {sizes}", printed, at_most=1 / 3),
    ]
    why = {
        Verdict.CORRECTED: "The activation of Definition F.3 jumps at its threshold, so that f is "
        "not the integral of its Jacobian; the continuous one converges far faster than stated.",
        Verdict.FAILS: f"The corrected network reached {np.max(corrected):.2f}.",
    }
    return Finding.judge(numbers, why)


if __name__ == "__main__":
    main(sys.modules[__name__])
