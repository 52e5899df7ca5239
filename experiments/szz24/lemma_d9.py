"""Does a TensorSRHT keep the norm of every combination of rows u_i (x) v_i?"""

import sys
from collections.abc import Sequence

import numpy as np

from experiments._claim import Claim, Finding, Number, Verdict
from experiments._run import main
from experiments.szz24._subspaces import distortion, factors
from subquad.sketch import TensorSRHT

CLAIM = Claim(
    paper="SZZ24",
    place="Lemma D.9",
    statement="A TensorSRHT with s = n log³(n m / (ε δ)) / ε² rows keeps |Jᵀx| within 1 ± ε for "
    "all x, with probability 1 - δ.",
    measured="As for Lemma D.5, ε = 0.5, δ = 0.2: the error at s = 16 n and 64 n, fewer than "
    "stated "
    "by a factor of 100 or more, where an error below ε implies the statement.",
    rule="holds if the share of seeds whose error at 16 n exceeds ε is at most δ; more rows only "
    "help.",
)
SIZES = {
    "smallest": {"n": 6, "m": 64, "n_seeds": 20},
    "default": {"n": 16, "m": 1024, "n_seeds": 40},
    "full": {"n": 64, "m": 4096, "n_seeds": 40},
}
EPSILON, DELTA = 0.5, 0.2


def measure(size: str, seeds: Sequence[int]) -> Finding:
    """Draw both sketches once a seed."""
    n, m = SIZES[size]["n"], SIZES[size]["m"]
    stated = n * np.log(n * m / (EPSILON * DELTA)) ** 3 / EPSILON**2
    errors = {s: [] for s in (16 * n, 64 * n)}
    for seed in seeds:
        U, V = factors(n, m, seed)
        for s, found in errors.items():
            found.append(distortion(U, V, TensorSRHT(m, s, rng=seed).gram(U, V)))
    failed = np.mean(np.array(errors[16 * n]) > EPSILON)
    numbers = [
        Number(f"share of draws beyond ε at s = 16 n = {16 * n}", [failed], at_most=DELTA),
        Number(f"error at s = 16 n = {16 * n}", errors[16 * n]),
        Number(f"error at s = 64 n = {64 * n}", errors[64 * n]),
        Number("stated s / n", [stated / n]),
    ]
    why = {
        Verdict.HOLDS: "16 n rows suffice here; the cube of the logarithm asks for "
        f"{stated / n:.0f} n."
    }
    return Finding.judge(numbers, why)


if __name__ == "__main__":
    main(sys.modules[__name__])
