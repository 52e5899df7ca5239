"""How far does the last layer's Gram matrix move when its weights do?"""

import sys
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from experiments._claim import Claim, Finding, Number, Verdict
from experiments._inputs import sphere
from experiments._run import main
from experiments.szz24._moves import common, towards
from experiments.szz24._network import draw, forward, shifted

CLAIM = Claim(
    paper="SZZ24",
    place="Lemma E.7",
    statement="If every row moves by at most R̃ / sqrt(m), then |G(W) - G(W(0))|_F ≤ n α with "
    "α = min(c exp(-b²/2), 3 R̃).",
    measured="|ΔG / m|_F / (3 n R̃), φ' = 0 or 1, R̃ = 0.05 and 0.2, when all rows move towards "
    "the mean "
    "input, or each so that it changes sides at one point; b = 0, 1, 2. Also with the scale that "
    "keeps norms, φ' = 0 or s.",
    rule="holds if the quotient is at most 1 for each seed.",
)
SIZES = {
    "smallest": {"n": 16, "m": 512, "n_seeds": 3},
    "default": {"n": 64, "m": 2048, "n_seeds": 5},
    "full": {"n": 128, "m": 8192, "n_seeds": 5},
}
RADII = (0.05, 0.2)


def change(V: NDArray, before: NDArray, after: NDArray) -> float:
    """|Delta G / m|_F for phi' = 0 or 1."""
    counts = [D.astype(float) @ D.T.astype(float) for D in (before, after)]
    return float(np.linalg.norm((V @ V.T) * (counts[1] - counts[0]))) / before.shape[1]


def largest(n: int, m: int, b: float, seed: int) -> float:
    """The largest quotient over radii and moves."""
    layer = forward(draw(16, m, 2, seed), sphere(n, 16, seed), shifted(b, normalised=True))[-1]
    return max(
        change(layer.inputs, layer.D, layer.thresholds[:, None] < Z) / (3 * n * radius)
        for radius in RADII
        for Z in (common(layer, radius), towards(layer, radius, 0))
    )


def measure(size: str, seeds: Sequence[int]) -> Finding:
    """Move the weights of one network a seed."""
    n, m = SIZES[size]["n"], SIZES[size]["m"]
    found = {b: np.array([largest(n, m, b, seed) for seed in seeds]) for b in (0.0, 1.0, 2.0)}
    numbers = [
        Number(f"|ΔG / m| / (3 n R̃), b = {b:g}", values, at_most=1.0) for b, values in found.items()
    ]
    scaled = shifted(2.0).scale ** 2 * found[2.0]
    numbers.append(Number("the same with the scale that keeps norms, b = 2", scaled))
    why = {
        Verdict.HOLDS: "It holds for φ' = 0 or 1; the scale that keeps norms multiplies G by its "
        "square, and the constant 3 with it."
    }
    return Finding.judge(numbers, why)


if __name__ == "__main__":
    main(sys.modules[__name__])
