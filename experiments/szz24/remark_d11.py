"""Do tensor sketches work for pairs of vectors of different lengths?"""

import sys
from collections.abc import Sequence

import numpy as np

from experiments._claim import Claim, Finding, Number, Verdict
from experiments._run import main
from experiments.szz24._subspaces import distortion, factors
from subquad.sketch import TensorSketch, TensorSRHT

CLAIM = Claim(
    paper="SZZ24",
    place="Remark D.11",
    statement="TensorSketch serves as well as TensorSRHT, in input-sparsity time, and both can be "
    "made to take u and v of different lengths.",
    measured="The error of |Jᵀx| over all x at s = 64 n, u of length m and v of length m / 4 - 1, "
    "by each sketch; half of the entries are 0.",
    rule="holds if each error is at most 0.4 for each seed and that of TensorSketch is on average "
    "at most 1.2 times that of TensorSRHT.",
)
SIZES = {
    "smallest": {"n": 8, "m": 256, "n_seeds": 40},
    "default": {"n": 16, "m": 1024, "n_seeds": 40},
    "full": {"n": 64, "m": 4096, "n_seeds": 40},
}


def measure(size: str, seeds: Sequence[int]) -> Finding:
    """Draw both sketches once a seed."""
    n, m = SIZES[size]["n"], SIZES[size]["m"]
    errors = {kind: [] for kind in (TensorSketch, TensorSRHT)}
    for seed in seeds:
        U, V = factors(n, m, seed, density=0.5)
        V = V[:, : m // 4 - 1]
        for kind, found in errors.items():
            sketch = kind((m, m // 4 - 1), 64 * n, rng=seed)
            found.append(distortion(U, V, sketch.gram(U, V)))
    quotient = np.array(errors[TensorSketch]) / np.mean(errors[TensorSRHT])
    numbers = [
        Number("error of TensorSketch over that of TensorSRHT", quotient, at_most=1.2, of="mean"),
        *(
            Number(f"error of {kind.__name__} at s = 64 n", found, at_most=0.4)
            for kind, found in errors.items()
        ),
    ]
    why = {Verdict.HOLDS: "Both keep norms as well as sketches of one length do."}
    return Finding.judge(numbers, why)


if __name__ == "__main__":
    main(sys.modules[__name__])
