"""How many neurons fire at initialisation?"""

import sys
from collections.abc import Sequence

import numpy as np
from scipy.stats import norm

from experiments._claim import Claim, Finding, Number, Verdict
from experiments._inputs import sphere
from experiments._run import main
from experiments.szz24._network import draw, forward, section_2

CLAIM = Claim(
    paper="SZZ24",
    place="Lemma F.6",
    statement="With max(x - b sqrt(2 / m), 0) at most 2 m exp(-b²/2) neurons of each layer fire at "
    "each point, with high probability.",
    measured="The largest number over points and L = 3 layers that fires, over 2 m exp(-b²/2), for "
    "b = 0.5, 1 and 2; and the mean of each layer over m Q(b).",
    rule="holds if the first quotient is at most 1 for each seed.",
)
SIZES = {
    "smallest": {"n": 16, "m": 512, "n_seeds": 3},
    "default": {"n": 64, "m": 2048, "n_seeds": 6},
    "full": {"n": 256, "m": 8192, "n_seeds": 5},
}


def counts(n: int, m: int, b: float, seed: int) -> np.ndarray:
    """Return how many neurons fire, (L, n)."""
    layers = forward(draw(16, m, 3, seed), sphere(n, 16, seed), section_2(b))
    return np.array([layer.D.sum(axis=1) for layer in layers])


def measure(size: str, seeds: Sequence[int]) -> Finding:
    """Draw one network a seed and shift."""
    n, m = SIZES[size]["n"], SIZES[size]["m"]
    found = {b: np.array([counts(n, m, b, s) for s in seeds]) for b in (0.5, 1.0, 2.0)}
    numbers = [
        Number(
            f"most that fire / 2 m exp(-b²/2), b = {b:g}",
            table.max(axis=(1, 2)) / (2 * m * np.exp(-(b**2) / 2)),
            at_most=1.0,
        )
        for b, table in found.items()
    ]
    means = found[2.0].mean(axis=(0, 2)) / (m * norm.sf(2.0))
    numbers += [Number(f"layer {i} / m Q(b), b = 2", [mean]) for i, mean in enumerate(means, 1)]
    why = {
        Verdict.HOLDS: "True, by a wide margin: m Q(b) neurons of the first layer fire, and of "
        "later "
        "layers almost none, since without a scale their inputs shrink below the threshold."
    }
    return Finding.judge(numbers, why)


if __name__ == "__main__":
    main(sys.modules[__name__])
