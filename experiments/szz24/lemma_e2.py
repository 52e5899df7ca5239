"""How small can the least eigenvalue of an inner layer's Gram matrix be?"""

import sys
from collections.abc import Sequence

import numpy as np

from experiments._claim import Claim, Finding, Number, Verdict
from experiments._inputs import sphere
from experiments._run import main
from experiments.szz24._network import shifted
from experiments.szz24._spectra import least_eigenvalues
from subquad.activations import ShiftedReLU
from subquad.ntk import layer_kernels

CLAIM = Claim(
    paper="SZZ24",
    place="Lemma E.2",
    statement="With probability 1 - δ, λ_min(G_l) ≥ Ω(λ δ² n⁻² L⁻¹) for every l < L, λ the least "
    "eigenvalue of the limits K_1, ..., K_{L-1}.",
    measured="The least λ_min(G_l / m) over l < L = 4 and b = 0, 1, over λ δ² / (n² L), δ = 0.1; "
    "G_l "
    "divided by m, which makes the statement harder.",
    rule="holds if the quotient is at least 1 for each seed.",
)
SIZES = {
    "smallest": {"n": 8, "m": 256, "n_seeds": 3},
    "default": {"n": 32, "m": 1024, "n_seeds": 10},
    "full": {"n": 64, "m": 4096, "n_seeds": 5},
}
DEPTH, DELTA = 4, 0.1


def quotient(n: int, m: int, b: float, seed: int) -> float:
    """The least eigenvalue of the inner layers over the stated bound."""
    X = sphere(n, 16, seed)
    kernels = layer_kernels(X, depth=DEPTH - 1, activation=ShiftedReLU(b))[1:]
    least = min(np.linalg.eigvalsh(K)[0] for K in kernels)
    found = least_eigenvalues(X, m, DEPTH, shifted(b, normalised=True), seed)[:-1]
    return min(found) * n**2 * DEPTH / (least * DELTA**2)


def measure(size: str, seeds: Sequence[int]) -> Finding:
    """Form the Gram matrices of all layers once a seed."""
    n, m = SIZES[size]["n"], SIZES[size]["m"]
    found = [min(quotient(n, m, b, seed) for b in (0.0, 1.0)) for seed in seeds]
    numbers = [Number(f"λ_min / bound, n = {n}, m = {m}", found, at_least=1.0)]
    why = {
        Verdict.HOLDS: "The bound is true and says little: the least eigenvalue is larger by a "
        f"factor of {min(found):.0e} or more, and does not fall like n⁻²."
    }
    return Finding.judge(numbers, why)


if __name__ == "__main__":
    main(sys.modules[__name__])
