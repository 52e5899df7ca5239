"""Does the least eigenvalue stay above half of its limit?"""

import sys
from collections.abc import Sequence

import numpy as np

from experiments._claim import Claim, Finding, Number, Verdict
from experiments._inputs import sphere
from experiments._run import main
from experiments.szz24._moves import common, towards
from experiments.szz24._network import Law, Layer, draw, forward, last_gram, shifted
from subquad.activations import ShiftedReLU
from subquad.ntk import last_layer_ntk

CLAIM = Claim(
    paper="SZZ24",
    place="Corollary E.8",
    statement="λ_min(G_L(W)) ≥ λ_L / 2 if every row moves by at most R̃ / sqrt(m) with R̃ ≤ O(λ_L "
    "/ n) "
    "(case 1), or if exp(-b²/2) ≤ O(λ_L / n) (case 2).",
    measured="Case 1: λ_min(G / m) over that before, after moves of R̃ = λ / (12 n), b = 0 and 1. "
    "Case 2: the least of n exp(-b²/2) / λ_L over b = 0, 0.25, ..., 3, φ' = 0 or 1 as printed, and "
    "with "
    "the scale that keeps norms.",
    rule="holds if case 1 keeps at least a half and case 2 can be met, a least value of at most 1, "
    "for φ' = 0 or 1; holds corrected if it can be met with the scale.",
)
SIZES = {
    "smallest": {"n": 8, "m": 512, "n_seeds": 3},
    "default": {"n": 32, "m": 2048, "n_seeds": 5},
    "full": {"n": 64, "m": 8192, "n_seeds": 5},
}
SHIFTS = np.arange(0, 3.25, 0.25)


def least(layer: Layer, law: Law) -> float:
    """lambda_min(G / m)."""
    return float(np.linalg.eigvalsh(last_gram(layer, law))[0]) / layer.Z.shape[1]


def kept(n: int, m: int, b: float, seed: int) -> float:
    """The least eigenvalue after the worse of two moves over that before."""
    law = shifted(b, normalised=True)
    layer = forward(draw(16, m, 2, seed), sphere(n, 16, seed), law)[-1]
    before = least(layer, law)
    radius = before / (12 * n)
    moved = [common(layer, radius), towards(layer, radius, 0)]
    return (
        min(least(Layer(layer.inputs, Z, layer.thresholds, layer.outputs), law) for Z in moved)
        / before
    )


def attainable(n: int, seed: int) -> tuple[float, float]:
    """The least n exp(-b^2 / 2) / lambda_L over b, printed and with the scale."""
    X, found = sphere(n, 16, seed), []
    for b in SHIFTS:
        activation = ShiftedReLU(b)
        eigenvalue = np.linalg.eigvalsh(last_layer_ntk(X, depth=2, activation=activation))[0]
        scaled = n * np.exp(-(b**2) / 2) / eigenvalue
        found.append((scaled * activation.norm_constant, scaled))
    return tuple(np.min(found, axis=0))


def measure(size: str, seeds: Sequence[int]) -> Finding:
    """Move the weights of one network a seed, and scan the shifts."""
    n, m = SIZES[size]["n"], SIZES[size]["m"]
    case_1 = [min(kept(n, m, b, seed) for b in (0.0, 1.0)) for seed in seeds]
    printed, scaled = np.array([attainable(n, seed) for seed in seeds]).T
    numbers = [
        Number("case 2: least n exp(-b²/2) / λ_L, printed", printed, at_most=1.0),
        Number("case 1: share of λ_min that is kept", case_1, at_least=0.5, form="both"),
        Number("case 2: the same with the scale", scaled, at_most=1.0, form="corrected"),
    ]
    why = {
        Verdict.CORRECTED: "Case 1 holds. Case 2 is void for φ' = 0 or 1, since then λ_L ≤ Q(b) < "
        "exp(-b²/2); the scale that keeps norms lets λ_L grow with b, and the case can be met."
    }
    return Finding.judge(numbers, why)


if __name__ == "__main__":
    main(sys.modules[__name__])
