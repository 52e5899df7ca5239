"""Is the number of firing neurons m^(1 - alpha)?"""

import sys
from collections.abc import Sequence

import numpy as np
from scipy.stats import norm

from experiments._claim import Claim, Finding, Number, Verdict
from experiments._inputs import sphere
from experiments._run import main
from experiments.szz24._network import draw, forward, shifted

CLAIM = Claim(
    paper="SZZ24",
    place="Remark F.7",
    statement="With b = sqrt(2 α log m), k = m^(1 - α) neurons fire: the number is O(m^(1 - α)).",
    measured="Neurons that fire, relative thresholds, L = 2, α = 0.1, 0.2 and 0.32: the most over "
    "m^(1 - α), and the mean over m^(1 - α) and over m Q(b).",
    rule="holds if the most is at most m^(1 - α) for each seed and the mean at least half of it; "
    "holds corrected if the mean is within 10 % of m Q(b).",
)
SIZES = {
    "smallest": {"n": 32, "m": 1024, "n_seeds": 5},
    "default": {"n": 64, "m": 2048, "n_seeds": 8},
    "full": {"n": 256, "m": 16384, "n_seeds": 3},
}


def quotients(n: int, m: int, alpha: float, seed: int) -> tuple[float, float, float]:
    """Return the most and the mean over m^(1 - alpha), and the mean over m Q(b)."""
    b = np.sqrt(2 * alpha * np.log(m))
    layers = forward(draw(16, m, 2, seed), sphere(n, 16, seed), shifted(b, normalised=True))
    fired = np.array([layer.D.sum(axis=1) for layer in layers])
    k = m ** (1 - alpha)
    return fired.max() / k, fired.mean() / k, fired.mean() / (m * norm.sf(b))


def measure(size: str, seeds: Sequence[int]) -> Finding:
    """Draw one network a seed and exponent."""
    n, m = SIZES[size]["n"], SIZES[size]["m"]
    numbers = []
    for alpha in (0.1, 0.2, 0.32):
        most, mean, exact = np.array([quotients(n, m, alpha, seed) for seed in seeds]).T
        numbers += [
            Number(f"mean / m Q(b), α = {alpha}", exact, 0.9, 1.1, "mean", "corrected"),
            Number(f"mean / m^(1 - α), α = {alpha}", mean, at_least=0.5),
            Number(f"most / m^(1 - α), α = {alpha}", most, at_most=1.0),
        ]
    why = {
        Verdict.CORRECTED: "m^(1 - α) is an upper bound, too large by about b sqrt(2 π); the "
        "number "
        "is m Q(b)."
    }
    return Finding.judge(numbers, why)


if __name__ == "__main__":
    main(sys.modules[__name__])
