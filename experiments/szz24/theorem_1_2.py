"""Does a step cost less than the square of the width?"""

import sys
from collections.abc import Sequence

import numpy as np

from experiments._claim import Claim, Finding, Number, Verdict
from experiments._inputs import signs, slope, sphere
from experiments._run import main
from experiments.szz24._network import draw, forward, readout, shifted
from experiments.szz24._training import gauss_newton

ALPHA = 0.32  # the dual exponent of matrix multiplication, and b = sqrt(2 ALPHA log m)
CLAIM = Claim(
    paper="SZZ24",
    place="Theorem 1.2 (B.1)",
    statement="An iteration costs Õ(n m^(2 - Ω(1))), and m^(2.25 - α) = m^1.93 where m ≥ n⁴.",
    measured="Exponents in m of the multiplications of a step, counted in real runs with n = 4, "
    "m ≥ n⁴ and b = sqrt(2 α log m): queries m (k + r) for each point, where k neurons of the "
    "layer "
    "before fire, and flushes of rank r ≥ m^(1/3) by ordinary products, m² r.",
    rule="holds if the exponent of Algorithm 2 as printed is at most 1.93; holds corrected if it "
    "is "
    "without flushes, whose rank stays n on a fixed sample.",
)
SIZES = {
    "smallest": {"widths": (256, 512, 1024), "n_seeds": 6},
    "default": {"widths": (256, 512, 1024, 2048, 4096), "n_seeds": 5},
    "full": {"widths": (1024, 2048, 4096, 8192, 16384), "n_seeds": 3},
}
N = 4


def counts(m: int, seed: int) -> tuple[float, float, float]:
    """Multiplications a step: printed, printed with flushes that cost m^2, without flushes."""
    law = shifted(np.sqrt(2 * ALPHA * np.log(m)), normalised=True)
    layer = forward(draw(16, m, 2, seed), sphere(N, 16, seed), law)[-1]
    fired = np.count_nonzero(layer.inputs)  # n k: the input of the layer is sparse
    cycle = np.ceil(m ** (1 / 3) / N)  # steps from one flush to the next
    queries = m * (fired + N * N * (cycle - 1) / 2)
    run = list(gauss_newton(layer, law, readout(m, seed), signs(N, seed), 6))[1:]
    changes = np.mean([np.count_nonzero(A) for _, A in run])  # K A: n products an entry of A
    return queries + m**2 * N, queries + m**2 / cycle, m * fired + N * changes


def measure(size: str, seeds: Sequence[int]) -> Finding:
    """Count at each width, and fit the exponents."""
    widths = SIZES[size]["widths"]
    found = np.array([[counts(m, seed) for m in widths] for seed in seeds])
    printed, fast, lazy = ([slope(widths, row) for row in found[:, :, i]] for i in range(3))
    numbers = [
        Number("exponent of m without flushes", lazy, at_most=1.93, of="mean", form="corrected"),
        Number("exponent of m as printed, ordinary products", printed, at_most=1.93, of="mean"),
        Number("exponent of m as printed, if a flush cost m²", fast),
    ]
    why = {
        Verdict.CORRECTED: "A flush by ordinary products costs m² n a step whatever its rank; "
        "the bound rests on fast rectangular products that nobody runs, but on a fixed sample "
        "nothing need be flushed, and then few firing neurons make the step subquadratic.",
    }
    return Finding.judge(numbers, why)


if __name__ == "__main__":
    main(sys.modules[__name__])
