"""How wide must a network be for its least eigenvalue to be near the limit's?"""

import sys
from collections.abc import Sequence

import numpy as np

from experiments._claim import Claim, Finding, Number, Verdict
from experiments._inputs import slope, sphere
from experiments._run import main
from experiments.bpsw21._gram import least, limit
from subquad.networks import TwoLayerNetwork

CLAIM = Claim(
    paper="BPSW21",
    place="Lemma C.3",
    statement="With m = Omega(λ⁻²n² log(n/δ)), with probability 1 - δ: λ_min(G_0) >= 3λ/4.",
    measured="λ_min(G_0) / λ at m = 8 n, 32 n and 128 n, sphere d = 16, and the power of m by "
    "which it comes short of 1.",
    rule="holds if no draw is below 3/4 at m = 32 n, which is far below the stated width, and "
    "none at 128 n.",
)
SIZES = {
    "smallest": {"points": (16, 32), "n_seeds": 5},
    "default": {"points": (32, 64, 128), "n_seeds": 10},
    "full": {"points": (64, 128, 256, 512), "n_seeds": 10},
}
FEATURES, WIDTHS = 16, (8, 32, 128)


def quotients(n: int, seed: int) -> list[float]:
    """λ_min(G_0) / λ at each width."""
    X = sphere(n, FEATURES, seed)
    grams = (TwoLayerNetwork(FEATURES, c * n, rng=seed).jacobian(X).gram() for c in WIDTHS)
    return [least(G) / least(limit(X)) for G in grams]


def measure(size: str, seeds: Sequence[int]) -> Finding:
    """Draw one network a seed for each n and width."""
    points = SIZES[size]["points"]
    found = np.array([[quotients(n, seed) for n in points] for seed in seeds])
    n, lowest = points[-1], found.min(axis=1)
    stated = [(n / least(limit(sphere(n, FEATURES, s)))) ** 2 * np.log(n / 0.1) for s in seeds]
    short = np.abs(1 - found.mean(axis=1)).mean(axis=0)
    numbers = [
        Number("least λ_min(G_0)/λ over n, m = 32 n", lowest[:, 1], at_least=0.75),
        Number("least λ_min(G_0)/λ over n, m = 128 n", lowest[:, 2], at_least=0.75),
        Number("least λ_min(G_0)/λ over n, m = 8 n", lowest[:, 0]),
        Number("exponent of |1 - λ_min(G_0)/λ| in m", [slope(WIDTHS, short)]),
        Number(f"λ⁻²n² log(n/δ) / n, the width of the lemma, n = {n}", np.array(stated) / n),
    ]
    why = {Verdict.HOLDS: "A few n neurons suffice; the stated width is thousands of times that."}
    return Finding.judge(numbers, why)


if __name__ == "__main__":
    main(sys.modules[__name__])
