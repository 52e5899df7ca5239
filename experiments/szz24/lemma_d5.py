"""Does a TensorSketch keep the norm of every combination of rows u_i (x) v_i?"""

import sys
from collections.abc import Sequence

import numpy as np

from experiments._claim import Claim, Finding, Number, Verdict
from experiments._run import main
from experiments.szz24._subspaces import distortion, factors
from subquad.sketch import TensorSketch

CLAIM = Claim(
    paper="SZZ24",
    place="Lemma D.5",
    statement="A TensorSketch with s = n² / (ε² δ) rows keeps |Jᵀx| within 1 ± ε for all x, "
    "with probability 1 - δ.",
    measured="The largest relative error of |Jᵀx| over all x, by the eigenvalues of the whitened "
    "sketched Gram matrix, ε = 0.5, δ = 0.2; and the same with s = 16 n. Sparse Gaussian factors.",
    rule="holds if the share of seeds whose error exceeds ε is at most δ at the stated size.",
)
SIZES = {
    "smallest": {"n": 4, "m": 64, "n_seeds": 20},
    "default": {"n": 12, "m": 1024, "n_seeds": 40},
    "full": {"n": 32, "m": 4096, "n_seeds": 40},
}
EPSILON, DELTA = 0.5, 0.2


def measure(size: str, seeds: Sequence[int]) -> Finding:
    """Draw the sketch once a seed at the stated size and at 16 n."""
    n, m = SIZES[size]["n"], SIZES[size]["m"]
    stated = int(np.ceil(n**2 / (EPSILON**2 * DELTA)))
    errors = {s: [] for s in (stated, 16 * n)}
    for seed in seeds:
        U, V = factors(n, m, seed)
        for s, found in errors.items():
            found.append(distortion(U, V, TensorSketch(m, s, rng=seed).gram(U, V)))
    failed = np.array(errors[stated]) > EPSILON
    numbers = [
        Number(f"share of draws beyond ε at s = {stated}", [failed.mean()], at_most=DELTA),
        Number(f"error at s = {stated}", errors[stated]),
        Number(f"error at s = 16 n = {16 * n}", errors[16 * n]),
    ]
    why = {
        Verdict.HOLDS: "The stated size is far more than enough: the error at 16 n columns is "
        "already near (1 + 1/4)² - 1 in Gram matrices, a quarter in norms."
    }
    return Finding.judge(numbers, why)


if __name__ == "__main__":
    main(sys.modules[__name__])
