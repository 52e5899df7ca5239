"""Can a step cost no more than the width?"""

import sys
from collections.abc import Sequence

import numpy as np

from experiments._claim import Claim, Finding, Number, Verdict
from experiments._inputs import signs, slope, sphere
from experiments._run import main
from experiments.szz24._moves import flips
from experiments.szz24._network import draw, forward, readout, shifted
from experiments.szz24._training import gauss_newton

CLAIM = Claim(
    paper="SZZ24",
    place="Section 4, question 1",
    statement="Is a cost of O(m) an iteration possible at a fixed n?",
    measured="Exponent in m of the operations of a step on a fixed sample, from runs at n = 16, "
    "b = 1: n for each entry of A in Z = Z_0 + K A, a count of common neurons for each pair of "
    "points (m / 64 words), and n³ / 3; and that of the neurons that change sides.",
    rule="holds (yes) if the exponent of the operations is on average at most 1.",
)
SIZES = {
    "smallest": {"widths": (128, 256, 512), "n_seeds": 8},
    "default": {"widths": (256, 512, 1024, 2048), "n_seeds": 8},
    "full": {"widths": (1024, 2048, 4096, 8192), "n_seeds": 5},
}
N, LAW = 16, shifted(1.0, normalised=True)


def counts(m: int, seed: int) -> tuple[float, float]:
    """Operations of a step, and neurons that changed sides at a point since the start."""
    layer = forward(draw(16, m, 2, seed), sphere(N, 16, seed), LAW)[-1]
    run = list(gauss_newton(layer, LAW, readout(m, seed), signs(N, seed), 6))[1:]
    changes = np.mean([np.count_nonzero(A) for _, A in run])
    return N * changes + N**2 * m / 64 + N**3 / 3, flips(layer, run[-1][0]).mean()


def measure(size: str, seeds: Sequence[int]) -> Finding:
    """Train one network a seed at each width."""
    widths = SIZES[size]["widths"]
    found = np.array([[counts(m, seed) for m in widths] for seed in seeds])
    numbers = [
        Number(f"exponent of m in {name}", [slope(widths, row) for row in found[:, :, i]], **bound)
        for i, (name, bound) in enumerate(
            [("operations", {"at_most": 1.0, "of": "mean"}), ("neurons that change sides", {})]
        )
    ]
    why = {
        Verdict.HOLDS: "Yes, for the last layer and a fixed sample: its inputs do not move, so "
        "that "
        "W(0) is multiplied once and a step touches only A, n by m. What changes sides grows like "
        "m^(1/2)."
    }
    return Finding.judge(numbers, why)


if __name__ == "__main__":
    main(sys.modules[__name__])
