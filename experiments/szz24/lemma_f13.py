"""How far does the last layer's Jacobian move when its weights do?"""

import sys
from collections.abc import Sequence

import numpy as np

from experiments._claim import Claim, Finding, Number, Verdict
from experiments._inputs import slope, sphere
from experiments._run import main
from experiments.szz24._network import draw, forward, shifted

CLAIM = Claim(
    paper="SZZ24",
    place="Lemma F.13",
    statement="If every row of W ~ N(0, 1) moves by at most R / sqrt(m), then |ΔJ_i| = "
    "Õ(R^(1/2) / m^(1/4)) and |J|_F = Õ(n^(1/2)), J divided by sqrt(m / 2).",
    measured="|ΔJ_i| where all rows that can change sides at point i do, the root mean square over "
    "i: "
    "its exponents in R = 1, 2, 4 and in m, and its value over R^(1/2) / m^(1/4); |J|_F / sqrt(n). "
    "b = 1, scale included.",
    rule="holds if the exponent of R is on average at most 0.6, that of m at most -0.15, and both "
    "quotients at most log m.",
)
SIZES = {
    "smallest": {"m": 256, "n_seeds": 6},
    "default": {"m": 1024, "n_seeds": 10},
    "full": {"m": 4096, "n_seeds": 5},
}
LAW, N = shifted(1.0, normalised=True), 32


def row_change(m: int, R: float, seed: int) -> tuple[float, float]:
    """Return |Delta J_i|, the root mean square over i, and |J|_F / sqrt(n) before."""
    layer = forward(draw(16, m, 2, seed), sphere(N, 16, seed), LAW)[-1]
    near = np.abs(layer.Z - layer.thresholds[:, None]) < np.sqrt(2) * R / m  # rows move by this
    scale = LAW.scale * np.sqrt(2 / m)
    return scale * np.sqrt(np.sum(near) / N), scale * np.sqrt(np.sum(layer.D) / N)


def measure(size: str, seeds: Sequence[int]) -> Finding:
    """Move the weights of one network a seed at three widths and radii."""
    m = SIZES[size]["m"]
    radii, widths = (1.0, 2.0, 4.0), (m // 4, m // 2, m)
    by_radius = np.array([[row_change(m, R, seed) for R in radii] for seed in seeds])
    by_width = np.array([[row_change(k, 2.0, seed) for k in widths] for seed in seeds])
    quotient = by_radius[:, 0, 0] * m**0.25
    in_R = [slope(radii, row) for row in by_radius[..., 0]]
    in_m = [slope(widths, row) for row in by_width[..., 0]]
    numbers = [
        Number("exponent of R", in_R, at_most=0.6, of="mean"),
        Number("exponent of m", in_m, at_most=-0.15, of="mean"),
        Number(f"|ΔJ_i| m^(1/4), R = 1, m = {m}", quotient, at_most=np.log(m)),
        Number(f"|J|_F / sqrt(n), m = {m}", by_radius[:, 0, 1], at_most=np.log(m)),
    ]
    why = {
        Verdict.HOLDS: "The exponents are exact for the worst change of this size; a step of "
        "Gauss-Newton flips fewer."
    }
    return Finding.judge(numbers, why)


if __name__ == "__main__":
    main(sys.modules[__name__])
