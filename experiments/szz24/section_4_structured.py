"""Do circulant weights train as well as independent ones?"""

import sys
from collections.abc import Sequence

import numpy as np
from scipy.linalg import circulant

from experiments._claim import Claim, Finding, Number, Verdict
from experiments._inputs import signs, sphere
from experiments._run import main
from experiments.szz24._network import draw, forward, last_gram, readout, shifted
from experiments.szz24._training import ratios

CLAIM = Claim(
    paper="SZZ24",
    place="Section 4, question 2",
    statement="Can weights whose products are fast, such as circulant Gaussian ones, keep the "
    "guarantees?",
    measured="The last hidden layer with W = circulant(g) diag(signs), against independent "
    "weights: the largest ratio of a run to 1e-8, and λ_min(G / m) over that of independent "
    "weights; L = 2, b = 1.",
    rule="holds (yes) if the largest ratio is at most 1/3 for each seed and the quotient of the "
    "eigenvalues is on average at least 0.75.",
)
SIZES = {
    "smallest": {"n": 16, "m": 512, "n_seeds": 8},
    "default": {"n": 64, "m": 1024, "n_seeds": 10},
    "full": {"n": 256, "m": 8192, "n_seeds": 5},
}
LAW = shifted(1.0, normalised=True)


def one(n: int, m: int, structured: bool, seed: int) -> tuple[float, float]:
    """Return the largest ratio and the least eigenvalue of G / m."""
    weights = draw(16, m, 2, seed)
    if structured:
        rng = np.random.default_rng([seed, 9])
        flipped = rng.choice([-1.0, 1.0], m)
        weights[1] = circulant(np.sqrt(2 / m) * rng.standard_normal(m)) * flipped
    layer = forward(weights, sphere(n, 16, seed), LAW)[-1]
    least = np.linalg.eigvalsh(last_gram(layer, LAW))[0] / m
    return ratios(layer, LAW, readout(m, seed), signs(n, seed)).max(), least


def measure(size: str, seeds: Sequence[int]) -> Finding:
    """Train both networks once a seed."""
    n, m = SIZES[size]["n"], SIZES[size]["m"]
    found = np.array([[one(n, m, kind, seed) for kind in (True, False)] for seed in seeds])
    eigenvalues = found[:, 0, 1] / found[:, 1, 1]
    numbers = [
        Number("largest ratio, circulant", found[:, 0, 0], at_most=1 / 3),
        Number("λ_min, circulant / independent", eigenvalues, at_least=0.75, of="mean"),
        Number("largest ratio, independent", found[:, 1, 0]),
    ]
    why = {
        Verdict.HOLDS: "Circulant weights behave like independent ones here, and a product costs "
        "m log m."
    }
    return Finding.judge(numbers, why)


if __name__ == "__main__":
    main(sys.modules[__name__])
