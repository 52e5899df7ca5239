"""Do products of many layers keep a bounded norm?"""

import sys
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh

from experiments._claim import Claim, Finding, Number, Verdict
from experiments._inputs import slope, sphere
from experiments._run import main
from experiments.szz24._network import Law, draw, forward, lemma_g6, shifted

CLAIM = Claim(
    paper="SZZ24",
    place="Lemma F.9",
    statement="|W_b D_{b-1} W_{b-1} ... D_a W_a| ≤ O(sqrt(L)) for all 1 ≤ a ≤ b ≤ L.",
    measured="The largest spectral norm over a and b at one point, and its exponent in L = 2, 4, "
    "8; "
    "D = diag(φ'), scale included: ReLU, Lemma G.6's activation and the shifted ReLU at b = 1, the "
    "two with relative thresholds.",
    rule="holds if the exponents of ReLU and of Lemma G.6's activation are on average at most 0.75 "
    "(0.25 of slack for a fit over so few depths); the shifted ReLU is reported.",
)
SIZES = {
    "smallest": {"m": 128, "n_seeds": 8},
    "default": {"m": 256, "n_seeds": 8},
    "full": {"m": 1024, "n_seeds": 5},
}
DEPTHS = (2, 4, 8)


def spectral_norm(A: NDArray) -> float:
    """By the largest eigenvalue of A^T A: several times faster than singular values."""
    last = len(A) - 1
    return float(np.sqrt(eigh(A.T @ A, eigvals_only=True, subset_by_index=(last, last))[0]))


def largest_norms(m: int, law: Law, seed: int) -> list[float]:
    """The largest norm over a <= b <= L, for each L."""
    weights = draw(m, m, max(DEPTHS), seed)
    layers, best = forward(weights, sphere(1, m, seed), law), np.zeros(max(DEPTHS))
    for a in range(max(DEPTHS)):
        product = weights[a]
        best[a] = max(best[a], spectral_norm(product))
        for b in range(a + 1, max(DEPTHS)):
            product = weights[b] @ (law.scale * layers[b - 1].D[0][:, None] * product)
            best[b] = max(best[b], spectral_norm(product))
    return [float(best[:L].max()) for L in DEPTHS]


def measure(size: str, seeds: Sequence[int]) -> Finding:
    """Multiply the layers of one network a seed for each law."""
    m = SIZES[size]["m"]
    laws = {
        "ReLU": shifted(0.0),
        "Lemma G.6, b = 1": lemma_g6(1.0, relative=True),
        "shifted ReLU, b = 1": shifted(1.0),
    }
    found = {name: [largest_norms(m, law, seed) for seed in seeds] for name, law in laws.items()}
    exponents = {name: [slope(DEPTHS, norms) for norms in rows] for name, rows in found.items()}
    numbers = [
        Number(f"exponent of L, {name}", values, at_most=0.75, of="mean")
        if "shifted" not in name
        else Number(f"exponent of L, {name}", values)
        for name, values in exponents.items()
    ]
    numbers += [
        Number(f"norm at L = 8, {name}", [norms[-1] for norms in rows])
        for name, rows in found.items()
    ]
    why = {
        Verdict.HOLDS: "True of ReLU and of the printed activation; that of the shifted ReLU, "
        "whose "
        "scale is larger than its slope allows, grows exponentially with depth."
    }
    return Finding.judge(numbers, why)


if __name__ == "__main__":
    main(sys.modules[__name__])
