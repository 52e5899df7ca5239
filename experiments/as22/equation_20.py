"""Does the kernel of W = ABC as drawn approach its mean over B, and in which size?"""

import sys
from collections.abc import Sequence

import numpy as np

from experiments._claim import Claim, Finding, Number, Verdict
from experiments._inputs import slope, sphere
from experiments._run import main
from experiments.as22._kernel import drawn_kernels, limit, norm
from subquad.networks import FactoredNetwork

CLAIM = Claim(
    paper="AS22",
    place="Equation 20 (and 21)",
    statement="H_inf = E_B H stands for H(0) where m is large, as (4) does for (5): Theorem 5.1 "
    "asks for m, and reads λ_0 off H_inf.",
    measured="The root mean square of ||H - H_inf|| over 8 draws of B, relative to ||H_inf||, for "
    "widths m at a fixed k, and for k at the largest m; and the distance of H_inf from the kernel "
    "(4) of W = BC.",
    rule="holds if the exponent of the distance in m at a fixed k is at most -0.3; holds corrected "
    "if that in k at a fixed m is.",
)
SIZES = {
    "smallest": {
        "n": 16, "d": 32, "inner": 16, "widths": (512, 4096), "outers": (16, 128), "n_seeds": 3,
    },
    "default": {
        "n": 32, "d": 64, "inner": 32, "widths": (1024, 4096, 16384), "outers": (16, 64, 256),
        "n_seeds": 5,
    },
    "full": {
        "n": 64, "d": 128, "inner": 64, "widths": (4096, 16384, 65536), "outers": (32, 128, 512),
        "n_seeds": 8,
    },
}  # fmt: skip
DRAWS = 8


def distances(n: int, d: int, inner: int, outer: int, m: int, seed: int) -> tuple[float, float]:
    """Relative distances of H(0) and of the limit (4) from H_inf."""
    X = sphere(n, d, seed)
    network = FactoredNetwork(
        d, width=m, inner_size=inner, outer_size=outer, sketch="gaussian", rng=seed
    )
    drawn = drawn_kernels(network, X, DRAWS, seed)
    mean, independent = drawn.mean(axis=0), limit(network.features(X))
    # A draw is in the mean, which is nearer to it than H_inf by the factor sqrt(1 - 1/DRAWS).
    squares = np.mean([norm(H - mean) ** 2 for H in drawn]) / (1 - 1 / DRAWS)
    return np.sqrt(squares) / norm(mean), norm(independent - mean) / norm(mean)


def measure(size: str, seeds: Sequence[int]) -> Finding:
    """Draw networks for each width at the least k, and for each k at the largest width."""
    parameters = SIZES[size]
    n, d, inner = (parameters[key] for key in ("n", "d", "inner"))
    widths, outers = parameters["widths"], parameters["outers"]
    in_m = np.array(
        [[distances(n, d, inner, outers[0], m, seed) for m in widths] for seed in seeds]
    )
    in_k = np.array(
        [[distances(n, d, inner, k, widths[-1], seed) for k in outers] for seed in seeds]
    )
    numbers = [
        Number(f"exponent of ||H(0) - H_inf|| in m, k = {outers[0]}",
               [slope(widths, in_m[:, :, 0].mean(axis=0))], at_most=-0.3),
        Number(f"exponent of ||H(0) - H_inf|| in k, m = {widths[-1]}",
               [slope(outers, in_k[:, :, 0].mean(axis=0))], at_most=-0.3, form="corrected"),
        Number(f"relative ||H(0) - H_inf||, k = {outers[0]}, m = {widths[-1]}", in_k[:, 0, 0]),
        Number(f"relative ||H(0) - H_inf||, k = {outers[-1]}, m = {widths[-1]}", in_k[:, -1, 0]),
        Number("exponent of the distance of H_inf from (4) in k",
               [slope(outers, in_k[:, :, 1].mean(axis=0))]),
    ]  # fmt: skip
    why = {
        Verdict.CORRECTED: "At a fixed k, B has as many entries however wide the network is, and "
        "H(0) stays as far from its mean: it is k that must grow, and the distance falls like "
        "k^-1/2."
    }
    return Finding.judge(numbers, why)


if __name__ == "__main__":
    main(sys.modules[__name__])
