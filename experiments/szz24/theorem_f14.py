"""How does the first ratio depend on m, n, lambda and L?"""

import sys
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from experiments._claim import Claim, Finding, Number, Verdict
from experiments._inputs import signs, slope, sphere
from experiments._run import main
from experiments.szz24._network import draw, forward, last_gram, readout, shifted
from experiments.szz24._training import ratios

CLAIM = Claim(
    paper="SZZ24",
    place="Theorem F.14 (exponents)",
    statement="The ratio of a step is O(n L λ⁻¹ m^(-1/4)), as claims F.24-F.26 with R = n / λ have "
    "it, so that a width polynomial in n, L and 1/λ suffices for 1/3.",
    measured="Exponents of the first ratio in each parameter, the others fixed, by least squares "
    "on "
    "logarithms, b = 1. λ is varied by points that come in pairs closer and closer.",
    rule="holds if the 95 % interval of each exponent lies below -1/4 for m and below 1.15 for n, "
    "1/λ "
    "and L: 0.15 of slack, because constants bend a fit over a factor of four.",
)
SIZES = {
    "smallest": {"n": 16, "m": 256, "n_seeds": 10},
    "default": {"n": 32, "m": 512, "n_seeds": 12},
    "full": {"n": 64, "m": 1024, "n_seeds": 20},
}
LAW = shifted(1.0, normalised=True)


def pairs(n: int, gap: float, seed: int) -> NDArray[np.float64]:
    """n / 2 points on the sphere, and beside each another one at a distance of about `gap`."""
    X = sphere(n // 2, 16, seed)
    X = np.vstack([X, X + gap * sphere(n // 2, 16, seed + 500)])
    return X / np.linalg.norm(X, axis=1, keepdims=True)


def first_ratio(X: NDArray, m: int, depth: int, seed: int) -> tuple[float, float]:
    """Return |f_1 - y| / |f_0 - y| and the least eigenvalue of G / m."""
    layer = forward(draw(16, m, depth, seed), X, LAW)[-1]
    ratio = ratios(layer, LAW, readout(m, seed), signs(len(X), seed), steps=1)[0]
    return float(ratio), float(np.linalg.eigvalsh(last_gram(layer, LAW))[0] / m)


def exponents(n: int, m: int, seed: int) -> Iterator[float]:
    """Yield the exponents in m, n, 1/lambda and L."""
    widths, counts = (m, 2 * m, 4 * m), (n // 2, n, 2 * n)
    gaps, depths = (1.0, 0.5, 0.25), (2, 3, 4)
    yield slope(widths, [first_ratio(sphere(n, 16, seed), k, 2, seed)[0] for k in widths])
    yield slope(counts, [first_ratio(sphere(k, 16, seed), m, 2, seed)[0] for k in counts])
    found = np.array([first_ratio(pairs(n, gap, seed), m, 2, seed) for gap in gaps])
    yield slope(1 / found[:, 1], found[:, 0])
    yield slope(depths, [first_ratio(sphere(n, 16, seed), m, L, seed)[0] for L in depths])


def measure(size: str, seeds: Sequence[int]) -> Finding:
    """Fit four exponents a seed."""
    n, m = SIZES[size]["n"], SIZES[size]["m"]
    found = np.array([list(exponents(n, m, seed)) for seed in seeds]).T
    numbers = [
        Number(f"exponent of {name}", values, at_most=most, of="mean")
        for name, values, most in zip(
            ("m", "n", "1/λ", "L"), found, (-0.25, 1.15, 1.15, 1.15), strict=True
        )
    ]
    why = {
        Verdict.HOLDS: "The exponent of m is about -1/2, and n and L hardly matter; only points "
        "with opposite labels that come together cost the stated 1/λ."
    }
    return Finding.judge(numbers, why)


if __name__ == "__main__":
    main(sys.modules[__name__])
