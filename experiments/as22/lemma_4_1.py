"""How fast does the kernel of W = BC approach its limit in m, and the dense one in l?"""

import sys
from collections.abc import Sequence

import numpy as np

from experiments._claim import Claim, Finding, Number, Verdict
from experiments._inputs import slope, sphere
from experiments._run import main
from experiments.as22._kernel import kernel, limit, norm
from subquad.networks import FactoredNetwork

CLAIM = Claim(
    paper="AS22",
    place="Lemma 4.1",
    statement="||H_inf - H(0)|| <= O(n² log(n/δ)/m) with probability 1 - δ, for l = "
    "O(log(n/δ)/ε²), with which |<Cx, Cx'> - <x, x'>| <= ε.",
    measured="The distance for 4 points of the sphere and two widths m, over the printed bound "
    "(constant 1, δ = 0.1) and over n max|<Cx, Cx'>| sqrt(log(2n²/δ)/2m), δ = 1e-3, which "
    "Hoeffding's inequality gives entry by entry; its exponent in m; and the exponents in l of the "
    "largest error of <Cx, x'> and of the distance from the kernel without C, for n points.",
    rule="holds if the distance is at most the printed bound and its exponent in m at most -0.9; "
    "holds corrected if it is at most Hoeffding's bound, its exponent in m is at most -0.3, and "
    "that of the inner products in l at most -0.35.",
)
SIZES = {
    "smallest": {"widths": (512, 32768), "n": 32, "d": 64, "n_seeds": 10},
    "default": {"widths": (4096, 65536, 1048576), "n": 100, "d": 256, "n_seeds": 10},
    "full": {"widths": (65536, 1048576, 8388608), "n": 400, "d": 1024, "n_seeds": 10},
}
FEW, FEATURES, INNER, DELTA = 4, 16, 8, 0.1


def in_width(widths: Sequence[int], seed: int) -> np.ndarray:
    """Distance over the printed and over the corrected bound, and itself, for each width."""
    X, found = sphere(FEW, FEATURES, seed), []
    for m in widths:
        network = FactoredNetwork(
            FEATURES,
            width=m,
            inner_size=INNER,
            sketch="gaussian",
            rng=np.random.default_rng([seed, m]),
        )
        V = network.features(X)
        distance = norm(kernel(network, X) - limit(V))
        printed = FEW**2 * np.log(FEW / DELTA) / m
        largest = np.abs(V @ V.T).max()
        corrected = FEW * largest * np.sqrt(np.log(2 * FEW**2 / 1e-3) / (2 * m))
        found.append((distance / printed, distance / corrected, distance))
    return np.array(found)


def in_inner_size(sizes: Sequence[int], n: int, d: int, seed: int) -> np.ndarray:
    """Largest error of an inner product, and distance of the limits with and without C."""
    X, found = sphere(n, d, seed), []
    for inner in sizes:
        network = FactoredNetwork(
            d,
            width=16,
            inner_size=inner,
            sketch="gaussian",
            rng=np.random.default_rng([seed, inner]),
        )
        V = network.features(X)
        dense = limit(X)
        found.append((np.abs(V @ V.T - X @ X.T).max(), norm(limit(V) - dense) / norm(dense)))
    return np.array(found)


def measure(size: str, seeds: Sequence[int]) -> Finding:
    """Draw networks for each width, and for each inner size."""
    widths, n, d = (SIZES[size][key] for key in ("widths", "n", "d"))
    wide = np.array([in_width(widths, seed) for seed in seeds])
    sizes = (d // 16, d // 4, d)
    inner = np.array([in_inner_size(sizes, n, d, seed) for seed in seeds]).mean(axis=0)
    exponent = [slope(widths, wide[:, :, 2].mean(axis=0))]
    numbers = [
        Number("exponent of ||H_inf - H(0)|| in m", exponent, at_most=-0.9),
        Number(f"||H_inf - H(0)|| over the printed bound, m = {widths[-1]}", wide[:, -1, 0],
               at_most=1.0),
        Number("the same exponent", exponent, at_most=-0.3, form="corrected"),
        Number("||H_inf - H(0)|| over Hoeffding's bound", wide[:, :, 1].max(axis=1), at_most=1.0,
               form="corrected"),
        Number("exponent of the error of inner products in l", [slope(sizes, inner[:, 0])],
               at_most=-0.35, form="corrected"),
        Number("exponent of the distance from the dense kernel in l", [slope(sizes, inner[:, 1])]),
        Number(f"relative distance from the dense kernel, l = {sizes[1]}, n = {n}, d = {d}",
               [inner[1, 1]]),
    ]  # fmt: skip
    why = {
        Verdict.CORRECTED: "The printed use of Hoeffding's inequality lacks a root: the distance "
        "falls like m^-1/2, from whatever constant; errors of inner products fall like l^-1/2."
    }
    return Finding.judge(numbers, why)


if __name__ == "__main__":
    main(sys.modules[__name__])
