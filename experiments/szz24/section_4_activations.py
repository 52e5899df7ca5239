"""Do smooth activations converge, and faster?"""

import sys
from collections.abc import Sequence

import numpy as np

from experiments._claim import Claim, Finding, Number, Verdict
from experiments._inputs import signs, sphere
from experiments._run import main
from experiments.szz24._network import draw, forward, readout, shifted
from subquad.activations import GELU, ReLU, SiLU, Tanh
from subquad.networks import LastLayer
from subquad.training import LastLayerGaussNewton

CLAIM = Claim(
    paper="SZZ24",
    place="Section 4, question 3",
    statement="Does the method extend to smooth activations, and is its rate then better?",
    measured="The largest ratio of a step in a run to 1e-8 with GELU, SiLU and tanh, b = 0, and "
    "over "
    "that with ReLU on the same data.",
    rule="holds (yes, both) if each ratio is at most 1/3 for each seed and each quotient on "
    "average "
    "at most 1.",
)
SIZES = {
    "smallest": {"n": 16, "m": 512, "n_seeds": 4},
    "default": {"n": 64, "m": 1024, "n_seeds": 10},
    "full": {"n": 256, "m": 8192, "n_seeds": 5},
}


def largest_ratio(n: int, m: int, activation: type, seed: int) -> float:
    """Run Gauss-Newton on the last layer of two."""
    hidden = forward(draw(16, m, 2, seed), sphere(n, 16, seed), shifted(0.0, normalised=True))[-1]
    unit = np.sqrt(m / 2)  # pre-activations of variance 1
    layer = LastLayer(unit * hidden.inputs, unit * hidden.Z, readout(m, seed) / unit, activation())
    trainer = LastLayerGaussNewton(layer, signs(n, seed), tol=1e-8).run()
    return max(record.ratio for record in trainer.history)


def measure(size: str, seeds: Sequence[int]) -> Finding:
    """Train with each activation once a seed."""
    n, m = SIZES[size]["n"], SIZES[size]["m"]
    found = {
        kind.__name__: np.array([largest_ratio(n, m, kind, seed) for seed in seeds])
        for kind in (ReLU, GELU, SiLU, Tanh)
    }
    relu = found.pop("ReLU")
    numbers = [
        Number(f"ratio with {name} / with ReLU", values / relu.mean(), at_most=1.0, of="mean")
        for name, values in found.items()
    ]
    numbers += [
        Number(f"largest ratio with {name}", values, at_most=1 / 3)
        for name, values in found.items()
    ]
    numbers.append(Number("largest ratio with ReLU", relu))
    why = {
        Verdict.HOLDS: "They converge with a smaller ratio; but every neuron has a slope, and none "
        "of the savings of silent neurons are left."
    }
    return Finding.judge(numbers, why)


if __name__ == "__main__":
    main(sys.modules[__name__])
