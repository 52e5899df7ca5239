"""How wide must a network be for the rate of a third?"""

import sys
from collections.abc import Sequence

import numpy as np

from experiments._claim import Claim, Finding, Number, Verdict
from experiments._inputs import signs, sphere
from experiments._run import main
from experiments.szz24._network import draw, forward, last_gram, readout, shifted
from experiments.szz24._training import ratios

LARGEST = 10**6  # the widest network that a patient person trains
CLAIM = Claim(
    paper="SZZ24",
    place="Definition F.20",
    statement="m = Ω(n⁴ L λ⁻⁴) is wide enough for the rate of a third.",
    measured="n⁴ L / λ⁴ with λ = λ_min(G / m), and the least width among 64, 128, ... at which "
    "every "
    "step of a run to 1e-8 keeps a third; L = 2, b = 0.",
    rule=f"not testable if the stated width exceeds {LARGEST:.0e}; otherwise holds if it is at "
    f"least "
    "the width needed.",
)
SIZES = {
    "smallest": {"n": 16, "widest": 1024, "n_seeds": 3},
    "default": {"n": 64, "widest": 4096, "n_seeds": 5},
    "full": {"n": 256, "widest": 16384, "n_seeds": 3},
}


def widths(n: int, widest: int, seed: int) -> tuple[float, float]:
    """Return the stated width and the one needed."""
    law, m = shifted(0.0, normalised=True), 64
    while m <= widest:
        layer = forward(draw(16, m, 2, seed), sphere(n, 16, seed), law)[-1]
        if ratios(layer, law, readout(m, seed), signs(n, seed)).max() <= 1 / 3:
            break
        m *= 2
    least = np.linalg.eigvalsh(last_gram(layer, law))[0] / layer.Z.shape[1]
    return 2 * n**4 / least**4, m


def measure(size: str, seeds: Sequence[int]) -> Finding:
    """Double the width until the rate is kept, once a seed."""
    n = SIZES[size]["n"]
    stated, needed = np.array([widths(n, SIZES[size]["widest"], seed) for seed in seeds]).T
    numbers = [
        Number(f"width needed, n = {n}", needed),
        Number(f"stated width, n = {n}", stated),
        Number("width needed / stated width", needed / stated, at_most=1.0),
    ]
    beyond = (
        f"The stated width is {stated.min():.0e} or more for {n} points, and nobody can train "
        f"that; "
        f"{needed.max():.0f} neurons were enough."
    )
    why = {Verdict.HOLDS: "The stated width is far more than enough."}
    return Finding.judge(numbers, why, untestable=beyond if stated.min() > LARGEST else "")


if __name__ == "__main__":
    main(sys.modules[__name__])
