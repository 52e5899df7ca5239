"""How large are the outputs and the Jacobian of a network as drawn?"""

import sys
from collections.abc import Sequence

import numpy as np

from experiments._claim import Claim, Finding, Number, Verdict
from experiments._inputs import sphere
from experiments._run import main
from subquad.networks import TwoLayerNetwork

CLAIM = Claim(
    paper="BPSW21",
    place="Lemma C.2",
    statement="With m = Omega(d log(n/δ)), with probability 1 - δ: f(W_0, x_i) = O(1) and "
    "||J_i||_F = O(1) for all i.",
    measured="The largest |f| over the first 16 points and over all n, sphere, and how many draws "
    "exceed 2, which 16 points do in a tenth of them; the largest ||J_i||_F.",
    rule="holds if the share of draws in which some |f| exceeds 2 is at most 0.3 for all n; holds "
    "corrected if every |f| is at most sqrt(log(2n/δ)), δ = 1e-4, and every ||J_i||_F at most 1.",
)
SIZES = {
    "smallest": {"n": 2048, "d": 32, "m": 512, "n_seeds": 12},
    "default": {"n": 8192, "d": 64, "m": 4096, "n_seeds": 20},
    "full": {"n": 65536, "d": 256, "m": 16384, "n_seeds": 20},
}
FEW, DELTA = 16, 1e-4


def sizes(n: int, d: int, m: int, seed: int) -> tuple[float, float, float]:
    """Largest |f| over few points and over all, and the largest norm of a row of J."""
    X, network = sphere(n, d, seed), TwoLayerNetwork(d, m, rng=seed)
    f = np.abs(network.outputs(X)[:, 0])
    fired = max(
        np.count_nonzero(X[i : i + 1024] @ network.weights.T > 0, axis=1).max()
        for i in range(0, n, 1024)
    )
    return f[:FEW].max(), f.max(), np.sqrt(fired / m)


def measure(size: str, seeds: Sequence[int]) -> Finding:
    """Draw one network and one set of points a seed."""
    n, d, m = (SIZES[size][key] for key in "ndm")
    few, most, jacobian = np.array([sizes(n, d, m, seed) for seed in seeds]).T
    numbers = [
        Number(f"share of draws with some |f| > 2, n = {n}", [np.mean(most > 2)], at_most=0.3),
        Number(f"largest |f| over sqrt(log(2n/δ)), n = {n}",
               most / np.sqrt(np.log(2 * n / DELTA)), at_most=1.0, form="corrected"),
        Number("largest ||J_i||_F", jacobian, at_most=1.0, form="corrected"),
        Number(f"largest |f|, n = {n}", most),
        Number(f"largest |f|, n = {FEW}", few),
        Number(f"share of draws with some |f| > 2, n = {FEW}", [np.mean(few > 2)]),
    ]  # fmt: skip
    why = {
        Verdict.CORRECTED: "Each f(x_i) is nearly normal with variance 1/2, so that the largest of "
        "n grows like sqrt(log n); ||J_i||_F is the root of the share of neurons that fire."
    }
    return Finding.judge(numbers, why)


if __name__ == "__main__":
    main(sys.modules[__name__])
