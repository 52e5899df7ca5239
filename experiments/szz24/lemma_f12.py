"""How large are the outputs and the Jacobian at initialisation?"""

import sys
from collections.abc import Sequence

import numpy as np
from scipy.stats import norm

from experiments._claim import Claim, Finding, Number, Verdict
from experiments._inputs import sphere
from experiments._run import main
from experiments.szz24._network import draw, forward, readout, shifted

CLAIM = Claim(
    paper="SZZ24",
    place="Lemma F.12",
    statement="f(x_i) = Õ(1) for all i, and each row of the last layer's Jacobian, over sqrt(m / "
    "2), "
    "has a norm of O(1).",
    measured="max |f_i| over 1.1 sqrt(2 log(2 n / δ)), δ = 10⁻³, and max |J_i| / sqrt(m / 2) over "
    "sqrt(2 c Q(b)), where c = s² is the constant that keeps norms; L = 3, b = 0, 1, 2.",
    rule="holds if the first is at most 1 and the second at most 1.5 for each seed.",
)
SIZES = {
    "smallest": {"n": 16, "m": 512, "n_seeds": 3},
    "default": {"n": 64, "m": 2048, "n_seeds": 6},
    "full": {"n": 256, "m": 8192, "n_seeds": 5},
}
DELTA = 1e-3


def quotients(n: int, m: int, b: float, seed: int) -> tuple[float, float]:
    """Return max |f| and max |J_i| over what is expected."""
    law = shifted(b, normalised=True)
    layer = forward(draw(16, m, 3, seed), sphere(n, 16, seed), law)[-1]
    outputs = np.abs(layer.outputs @ readout(m, seed)).max()
    rows = law.scale * np.sqrt(layer.D.sum(axis=1)).max() / np.sqrt(m / 2)
    expected = np.sqrt(2 * law.scale**2 * norm.sf(b))
    return outputs / (1.1 * np.sqrt(2 * np.log(2 * n / DELTA))), rows / expected


def measure(size: str, seeds: Sequence[int]) -> Finding:
    """Draw one network a seed and shift."""
    n, m = SIZES[size]["n"], SIZES[size]["m"]
    numbers = []
    for b in (0.0, 1.0, 2.0):
        outputs, rows = np.array([quotients(n, m, b, seed) for seed in seeds]).T
        numbers += [
            Number(f"max |f| / bound, b = {b:g}", outputs, at_most=1.0),
            Number(f"max |J_i| / expected, b = {b:g}", rows, at_most=1.5),
        ]
    why = {
        Verdict.HOLDS: "True; the norm of a row is sqrt(2 c Q(b)), which is constant in m and "
        "grows "
        "slowly with b (1, 1.45 and 1.98 at b = 0, 1 and 2)."
    }
    return Finding.judge(numbers, why)


if __name__ == "__main__":
    main(sys.modules[__name__])
