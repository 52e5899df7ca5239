"""Do the layers' inner products tend to the closed forms that the paper gives?"""

import sys
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from experiments._claim import Claim, Finding, Number, Verdict
from experiments._inputs import slope, sphere
from experiments._run import main
from experiments.szz24._network import Law, draw, forward, lemma_g6, shifted
from experiments.szz24._spectra import distance
from subquad.activations import ReLU, ShiftedReLU
from subquad.ntk import layer_kernels

CLAIM = Claim(
    paper="SZZ24",
    place="Lemma E.4",
    statement="|H_l - K_l| ≤ λ_l / 4 for the inner products H_l of layer l and the arc-cosine "
    "kernels K_l, so that λ_min(H_l) ≥ 3 λ_l / 4, if m is large enough.",
    measured="|H_l - K_l| / (λ_l / 4), the larger of l = 1, 2: H of Lemma G.6's network and K of "
    "the "
    "printed formulas for ReLU; H and K of the shifted ReLU with normalised layers; b = 0.5.",
    rule="holds if the printed quotient is at most 1 for each seed; holds corrected if the "
    "corrected one is, and the root mean square of |H - K| over the seeds falls with m at least "
    "like m^(-1/4).",
)
SIZES = {
    "smallest": {"n": 4, "m": 2048, "n_seeds": 6},
    "default": {"n": 6, "m": 4096, "n_seeds": 6},
    "full": {"n": 16, "m": 16384, "n_seeds": 3},
}
B = 0.5


def unit(h: NDArray) -> NDArray:
    """Rows of norm 1."""
    return h / np.linalg.norm(h, axis=1, keepdims=True)


def distances(n: int, m: int, law: Law, activation: ReLU, seed: int) -> tuple[float, float]:
    """Return the quotient, the larger of both layers, and |H_2 - K_2|."""
    X = sphere(n, 64, seed)
    layers = forward(draw(64, m, 2, seed), X, law)
    rows = [unit(layer.outputs) if law.normalised else layer.outputs for layer in layers]
    H = [h @ h.T for h in rows]
    K = layer_kernels(X, depth=2, activation=activation)[1:]
    quotient = max(distance(h, k) for h, k in zip(H, K, strict=True))
    return quotient, float(np.linalg.norm(H[1] - K[1], 2))


def measure(size: str, seeds: Sequence[int]) -> Finding:
    """Measure the corrected form at m / 16, m / 4 and m, the printed one at m, once a seed."""
    n, m = SIZES[size]["n"], SIZES[size]["m"]
    widths, law = (m // 16, m // 4, m), shifted(B, normalised=True)
    mended = np.array([[distances(n, k, law, ShiftedReLU(B), s) for k in widths] for s in seeds])
    printed = [distances(n, m, lemma_g6(B), ReLU(), seed)[0] for seed in seeds]
    exponents = [slope(widths, row) for row in mended[:, :, 1]]
    squares = (mended[:, :, 1] ** 2).mean(axis=0)
    at = f"n = {n}, m = {m}"
    numbers = [
        Number(f"corrected quotient, {at}", mended[:, -1, 0], at_most=1.0, form="corrected"),
        Number(f"printed quotient, {at}", printed, at_most=1.0),
        Number("exponent of m of the root mean square", [slope(widths, np.sqrt(squares))],
               at_most=-0.25, form="corrected"),
        Number("exponent of m of each seed", exponents),
    ]  # fmt: skip
    why = {
        Verdict.CORRECTED: "The arc-cosine formulas are those of ReLU; the shifted activation has "
        "others, which `subquad.ntk` evaluates, and its layers tend to them like m^(-1/2)."
    }
    return Finding.judge(numbers, why)


if __name__ == "__main__":
    main(sys.modules[__name__])
