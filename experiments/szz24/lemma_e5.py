"""Is the last layer's Gram matrix near its limit at initialisation?"""

import sys
from collections.abc import Sequence

import numpy as np

from experiments._claim import Claim, Finding, Number, Verdict
from experiments._inputs import slope, sphere
from experiments._run import main
from experiments.szz24._network import draw, forward, last_gram, shifted
from experiments.szz24._spectra import distance
from subquad.activations import ReLU, ShiftedReLU
from subquad.ntk import DualActivation, last_layer_ntk, layer_kernels

CLAIM = Claim(
    paper="SZZ24",
    place="Lemma E.5",
    statement="|G_L - K_L| ≤ λ_L / 4 for the last layer's kernel K_L = E φ'(u) φ'(v), so that "
    "λ_min(G_L) ≥ 3 λ_L / 4, if m is large enough.",
    measured="|G_L - K_L| / (λ_L / 4) with the printed K_L, and |G_L / m - K_{L-1} ∘ K_L| over a "
    "quarter of the least eigenvalue of that limit; L = 2, b = 0.5, normalised layers.",
    rule="holds if the printed quotient is at most 1 for each seed; holds corrected if the "
    "corrected one is, and falls with m at least like m^(-1/4) on average.",
)
SIZES = {
    "smallest": {"n": 3, "m": 1024, "n_seeds": 10},
    "default": {"n": 6, "m": 2048, "n_seeds": 12},
    "full": {"n": 16, "m": 16384, "n_seeds": 3},
}
B = 0.5


def quotients(n: int, m: int, seed: int) -> tuple[float, float]:
    """Return the printed and the corrected quotient."""
    X, law = sphere(n, 64, seed), shifted(B, normalised=True)
    G = last_gram(forward(draw(64, m, 2, seed), X, law)[-1], law)
    K = layer_kernels(X, depth=1, activation=ReLU())[1]
    norms = np.sqrt(np.diag(K))
    cosines = np.clip(K / np.outer(norms, norms), -1, 1)
    printed = DualActivation(ReLU()).moments(norms[:, None], norms[None], cosines)[1]
    limit = last_layer_ntk(X, depth=2, activation=ShiftedReLU(B))
    return distance(G, printed), distance(G / m, limit)


def measure(size: str, seeds: Sequence[int]) -> Finding:
    """Measure at m / 16, m / 4 and m once a seed."""
    n, m = SIZES[size]["n"], SIZES[size]["m"]
    widths = (m // 16, m // 4, m)
    found = np.array([[quotients(n, k, seed) for k in widths] for seed in seeds])
    exponents = [slope(widths, row) for row in found[:, :, 1]]
    at = f"n = {n}, m = {m}"
    numbers = [
        Number(f"corrected quotient, {at}", found[:, -1, 1], at_most=1.0, form="corrected"),
        Number(f"printed quotient, {at}", found[:, -1, 0], at_most=1.0),
        Number("exponent of m", exponents, at_most=-0.25, of="mean", form="corrected"),
    ]
    why = {
        Verdict.CORRECTED: "G_L grows like m, and its limit has the factor K_{L-1} that the "
        "printed "
        "kernel lacks; with both mended it tends to the limit like m^(-1/2)."
    }
    return Finding.judge(numbers, why)


if __name__ == "__main__":
    main(sys.modules[__name__])
