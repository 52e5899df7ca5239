"""Do layers keep the norms of their inputs?"""

import sys
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from experiments._claim import Claim, Finding, Number, Verdict
from experiments._inputs import sphere
from experiments._run import main
from experiments.szz24._network import (
    Law,
    definition_f3,
    draw,
    forward,
    lemma_g6,
    section_2,
    shifted,
)

CLAIM = Claim(
    paper="SZZ24",
    place="Lemma F.8 (G.6)",
    statement="All norms |h_{i,l}| lie in [1 - ε, 1 + ε], with high probability.",
    measured="The largest | |h| - 1 | over points and L = 5 layers, ε = 0.5, b = 1.5: with the "
    "constant "
    "of Definition F.3, with that of Lemma G.6, and with the latter and a threshold that follows "
    "the norm of the layer's input.",
    rule="holds if Lemma G.6's network keeps ε for each seed; holds corrected if the one with "
    "relative thresholds does.",
)
SIZES = {
    "smallest": {"n": 8, "m": 1024, "n_seeds": 3},
    "default": {"n": 32, "m": 2048, "n_seeds": 5},
    "full": {"n": 64, "m": 8192, "n_seeds": 5},
}
B, DEPTH, EPSILON = 1.5, 5, 0.5


LAWS = {
    "Lemma G.6, relative threshold": lemma_g6(B, relative=True),
    "Lemma G.6": lemma_g6(B),
    "Definition F.3": definition_f3(B),
    "section 2, max(x - b, 0)": section_2(B),
    "shifted ReLU, relative threshold": shifted(B),
}


def largest(weights: list[NDArray], X: NDArray, law: Law) -> float:
    """The largest deviation from 1."""
    norms = [np.linalg.norm(layer.outputs, axis=1) for layer in forward(weights, X, law)]
    return float(np.abs(np.array(norms) - 1).max())


def measure(size: str, seeds: Sequence[int]) -> Finding:
    """Draw one network a seed for each law."""
    n, m = SIZES[size]["n"], SIZES[size]["m"]
    found = []
    for seed in seeds:
        weights, X = draw(16, m, DEPTH, seed), sphere(n, 16, seed)
        found.append([largest(weights, X, law) for law in LAWS.values()])
    bounds = [{"at_most": EPSILON, "form": "corrected"}, {"at_most": EPSILON}, {}, {}, {}]
    numbers = [
        Number(f"largest deviation, {name}", values, **bound)
        for name, values, bound in zip(LAWS, np.transpose(found), bounds, strict=True)
    ]
    why = {
        Verdict.CORRECTED: "A fixed threshold turns a small norm into a smaller one: deviations "
        "grow by 1 + b³ φ(b) / (2 (Q(b) + b φ(b))) a layer, which the induction overlooks; a "
        "threshold that follows the norm only adds them."
    }
    return Finding.judge(numbers, why)


if __name__ == "__main__":
    main(sys.modules[__name__])
