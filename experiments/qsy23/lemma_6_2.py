"""How many neurons fire at a point as the network is drawn?"""

import sys
from collections.abc import Sequence

import numpy as np
from scipy.special import ndtr

from experiments._claim import Claim, Finding, Number, Verdict
from experiments._inputs import slope, sphere
from experiments._run import main
from subquad.networks import PairedNetwork

CLAIM = Claim(
    paper="QSY23",
    place="Lemma 6.2 and Remark 6.3",
    statement="With probability 1 - n exp(-Omega(m exp(-b_0²/2))), k_i = O(m exp(-b_0²/2)) neurons "
    "fire at every x_i; with b_0 = sqrt(0.4 log m), k_0 = m^(4/5), and more than 2 m^(4/5) do "
    "with probability exp(-Omega(m^(4/5))) at most.",
    measured="The number that fire at each of n points of the sphere, of all 2m neurons, whose "
    "pairs are equal, at b_0 = sqrt(0.4 log 2m): the most over (2m)^(4/5), and the mean over "
    "2mQ(b_0).",
    rule="holds if the most is at most (2m)^(4/5), the mean is within 5 % of 2mQ(b_0) on average, "
    "and the mean grows no faster than m^0.8.",
)
SIZES = {
    "smallest": {"widths": (2048, 16384), "n": 100, "n_seeds": 4},
    "default": {"widths": (4096, 32768, 262144), "n": 200, "n_seeds": 6},
    "full": {"widths": (16384, 262144, 4194304), "n": 200, "n_seeds": 6},
}
DIMENSION = 16


def counts(width: int, n: int, seed: int) -> tuple[float, float]:
    """Mean and largest number of neurons that fire at a point."""
    network = PairedNetwork(DIMENSION, width=width, rng=seed)
    # The halves of W are equal.
    half = network.weights[: width // 2]
    X = sphere(n, DIMENSION, seed)
    fired = [2 * np.count_nonzero(half @ x >= network.shift) for x in X]
    return float(np.mean(fired)), float(max(fired))


def measure(size: str, seeds: Sequence[int]) -> Finding:
    """Draw one network for each width and seed."""
    widths, n = np.array(SIZES[size]["widths"]), SIZES[size]["n"]
    found = np.array([[counts(width, n, seed) for width in widths] for seed in seeds])
    shifts = np.sqrt(0.4 * np.log(widths))
    mean = found[:, :, 0].mean(axis=0)
    share = found[:, :, 0] / (widths * ndtr(-shifts))
    numbers = [
        Number("most that fire over (2m)^(4/5)", (found[:, :, 1] / widths**0.8).max(axis=1),
               at_most=1.0),
        Number("mean that fire over 2mQ(b_0), the average over m", share.mean(axis=1),
               at_least=0.95, at_most=1.05, of="mean"),
        Number("exponent of the mean that fire in m", [slope(widths, mean)], at_most=0.8),
        Number(f"mean that fire over (2m)^(4/5), 2m = {widths[-1]}",
               found[:, -1, 0] / widths[-1] ** 0.8),
    ]  # fmt: skip
    why = {
        Verdict.HOLDS: "As upper bounds both hold; k_0 itself is 2mQ(b_0), smaller than the stated "
        "m^(4/5) by a factor near b_0 sqrt(2π)."
    }
    return Finding.judge(numbers, why)


if __name__ == "__main__":
    main(sys.modules[__name__])
