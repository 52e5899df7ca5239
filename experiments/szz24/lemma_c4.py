"""What does it cost to pass forward and back through factors of the changes?"""

import sys
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from experiments._claim import Claim, Finding, Number, Verdict
from experiments._inputs import sphere
from experiments._run import main
from experiments.szz24._network import backward, draw, forward, readout, shifted
from subquad.lowrank import LowRankMaintenance

CLAIM = Claim(
    paper="SZZ24",
    place="Lemma C.4",
    statement="Where k neurons of a layer fire and the change of each W has rank r, u_l and v_l of "
    "one point cost O(m L (s + k + r)).",
    measured="The backward pass by the package's factors of W + ΔW: multiplications counted from "
    "the nonzeros, over m L (s + k + r), and the largest relative error beside dense matrices; "
    "L = 4, b = 1.5, a change of rank 8 a layer.",
    rule="holds if the count is at most 2 m L (s + k + r) and the vectors are those of dense "
    "matrices to 1e-10.",
)
SIZES = {
    "smallest": {"m": 256, "n_seeds": 2},
    "default": {"m": 1024, "n_seeds": 5},
    "full": {"m": 4096, "n_seeds": 5},
}
DEPTH, RANK, LAW = 4, 8, shifted(1.5)


def one_point(m: int, seed: int) -> tuple[float, float, float]:
    """Multiplications over m L (s + k + r), over the dense m^2 L, and the error of u_1."""
    rng = np.random.default_rng([seed, 7])
    weights, x, a = draw(16, m, DEPTH, seed), sphere(1, 16, seed), readout(m, seed)
    before = forward(weights, x, LAW)
    factors = [rng.standard_normal((2, RANK, m)) / m for _ in weights[1:]]
    moved = [weights[0]] + [W + U.T @ V for W, (U, V) in zip(weights[1:], factors, strict=True)]
    layers = forward(moved, x, LAW)
    flips = max(np.sum(p.D != q.D) for p, q in zip(before, layers, strict=True))
    fired = max(np.sum(layer.D) for layer in before)
    u, count = LAW.scale * layers[-1].D * a, 0
    for W, (U, V), layer in zip(weights[:0:-1], factors[::-1], layers[-2::-1], strict=True):
        count += np.count_nonzero(u) * (m + RANK) + RANK * m
        u = LAW.scale * layer.D * _transposed(W, U, V, u)
    dense = backward(moved, layers, LAW, a)[0]
    error = np.abs(u - dense).max() / np.abs(dense).max()
    return count / (m * DEPTH * (flips + fired + RANK)), count / (m**2 * (DEPTH - 1)), error


def _transposed(W: NDArray, U: NDArray, V: NDArray, u: NDArray) -> NDArray:
    """(W + U^T V)^T u, by factors."""
    maintained = LowRankMaintenance(W, rank_budget=np.inf)
    maintained.update(U, V)
    return maintained.query_transposed(u)


def measure(size: str, seeds: Sequence[int]) -> Finding:
    """Pass back through one network a seed."""
    m = SIZES[size]["m"]
    ratio, dense, error = np.array([one_point(m, seed) for seed in seeds]).T
    numbers = [
        Number(f"multiplications / (m L (s + k + r)), m = {m}", ratio, at_most=2.0),
        Number("largest error beside dense matrices", error, at_most=1e-10),
        Number("multiplications / those of dense matrices", dense),
    ]
    why = {
        Verdict.HOLDS: "The count follows from who fires and from the rank; it pays against dense "
        "matrices as long as s + k + r is well below m."
    }
    return Finding.judge(numbers, why)


if __name__ == "__main__":
    main(sys.modules[__name__])
