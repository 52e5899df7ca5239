"""How far do rows of the weights move until the sample is fitted?"""

import sys
from collections.abc import Sequence

import numpy as np

from experiments._claim import Claim, Finding, Number, Verdict
from experiments._inputs import signs, slope, sphere
from experiments._run import main
from experiments.szz24._network import draw, forward, last_gram, readout, shifted
from experiments.szz24._training import gauss_newton

CLAIM = Claim(
    paper="SZZ24",
    place="Lemma F.28",
    statement="Rows of W ~ N(0, 1) move by at most R / sqrt(m), R = n / λ_L, in the whole "
    "training.",
    measured="The largest row move of a run to 1e-8, times sqrt(m), over the proof's own bound 2 "
    "sqrt(n) |f_0 - y| / λ, λ = λ_min(G / m); its exponent in m. b = 0 and 1.",
    rule="holds if the quotient is at most 1 for each seed; its exponent in m is reported.",
)
SIZES = {
    "smallest": {"n": 16, "m": 512, "n_seeds": 4},
    "default": {"n": 64, "m": 2048, "n_seeds": 6},
    "full": {"n": 256, "m": 8192, "n_seeds": 5},
}


def quotient(n: int, m: int, b: float, seed: int) -> float:
    """The largest row move over its bound."""
    law, a, y = shifted(b, normalised=True), readout(m, seed), signs(n, seed)
    layer = forward(draw(16, m, 2, seed), sphere(n, 16, seed), law)[-1]
    least = np.linalg.eigvalsh(last_gram(layer, law))[0] / m
    *_, (_, A) = gauss_newton(layer, law, a, y, 10)
    K = layer.inputs @ layer.inputs.T
    moves = np.sqrt(np.max(np.sum(A * (K @ A), axis=0)) * m / 2)  # of rows of variance 1
    residual = np.linalg.norm(layer.outputs @ a - y)
    return float(moves * np.sqrt(m) * least / (2 * np.sqrt(n) * residual))


def measure(size: str, seeds: Sequence[int]) -> Finding:
    """Train one network a seed at three widths."""
    n, m = SIZES[size]["n"], SIZES[size]["m"]
    widths = (m // 4, m // 2, m)
    numbers = []
    for b in (0.0, 1.0):
        found = np.array([[quotient(n, k, b, seed) for k in widths] for seed in seeds])
        exponents = [slope(widths, row) for row in found]
        numbers += [
            Number(f"row move / bound, b = {b:g}, m = {m}", found[:, -1], at_most=1.0),
            Number(f"exponent of m, b = {b:g}", exponents),
        ]
    why = {
        Verdict.HOLDS: "True, with room: the bound takes the worst residual for every eigenvalue; "
        "sqrt(rᵀ G⁻¹ r) tells the size of the whole change beforehand."
    }
    return Finding.judge(numbers, why)


if __name__ == "__main__":
    main(sys.modules[__name__])
