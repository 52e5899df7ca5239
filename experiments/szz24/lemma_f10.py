"""What does a small change of all weights do to the layers?"""

import sys
from collections.abc import Sequence

import numpy as np

from experiments._claim import Claim, Finding, Number, Verdict
from experiments._inputs import sphere
from experiments._run import main
from experiments.szz24._network import Law, draw, forward, shifted

CLAIM = Claim(
    paper="SZZ24",
    place="Lemma F.10",
    statement="If every row moves by at most R̃ / sqrt(m), then |ΔD|_0 ≤ O(m R̃^(2/3) L), "
    "|(ΔD) g| ≤ O(R̃ L^(3/2)) and |Δg|, |Δh| ≤ O(R̃ L^(5/2) sqrt(log m)).",
    measured="The quotients of the left and the right side, the largest over L = 3 layers and R̃ = "
    "0.001 and 0.01, when each row moves so that it changes sides at the point; ReLU, and the "
    "shifted ReLU at b = 1 with relative thresholds.",
    rule="holds if every quotient is at most 1 for each seed; holds corrected if it is with "
    "(ΔD) (g - τ), what a neuron puts out, in place of (ΔD) g.",
)
SIZES = {
    "smallest": {"m": 512, "n_seeds": 3},
    "default": {"m": 2048, "n_seeds": 5},
    "full": {"m": 8192, "n_seeds": 5},
}
DEPTH, RADII = 3, (0.001, 0.01)
NAMES = ("|(ΔD) g|", "|(ΔD) (g - τ)|", "|ΔD|_0", "|Δg|, |Δh|")
FORMS = {"|(ΔD) g|": "printed", "|(ΔD) (g - τ)|": "corrected"}


def quotients(m: int, law: Law, radius: float, seed: int) -> np.ndarray:
    """Return what `NAMES` lists, over the bounds: the largest over the layers."""
    weights, x = draw(16, m, DEPTH, seed), sphere(1, 16, seed)
    before, h, found = forward(weights, x, law), x, np.zeros(4)
    for W, layer in zip(weights, before, strict=True):
        way = np.sign(layer.thresholds - layer.Z[0])
        moved = W + (radius / np.sqrt(m)) * np.outer(way, h[0] / np.linalg.norm(h))
        after = forward([moved], h, law)[0]
        flipped = layer.D != after.D
        moves = [after.Z - layer.Z, after.outputs - layer.outputs]
        sizes = [
            np.linalg.norm(after.Z[flipped]) / (radius * DEPTH**1.5),
            np.linalg.norm(after.Z[flipped] - after.thresholds) / (radius * DEPTH**1.5),
            flipped.sum() / (m * radius ** (2 / 3) * DEPTH),
            np.linalg.norm(moves, axis=-1).max() / (radius * DEPTH**2.5 * np.sqrt(np.log(m))),
        ]
        found = np.maximum(found, sizes)
        h = after.outputs
    return found


def measure(size: str, seeds: Sequence[int]) -> Finding:
    """Move the weights of one network a seed."""
    m = SIZES[size]["m"]
    numbers = []
    for b in (1.0, 0.0):
        found = np.array(
            [
                np.max([quotients(m, shifted(b), radius, seed) for radius in RADII], axis=0)
                for seed in seeds
            ]
        ).T
        for name, values in zip(NAMES, found, strict=True):
            form = FORMS.get(name, "both")
            numbers.append(Number(f"{name}, b = {b:g}", values, at_most=1.0, form=form))
    why = {
        Verdict.CORRECTED: "Where b > 0 a neuron that changes sides has g near its threshold, not "
        "near 0: |(ΔD) g| is of the order of b sqrt(R̃). What it puts out, g - τ, keeps the bound."
    }
    return Finding.judge(numbers, why)


if __name__ == "__main__":
    main(sys.modules[__name__])
