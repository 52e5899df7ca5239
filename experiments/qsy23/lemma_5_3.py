"""Does training tend to that of the tangent kernel as the readout grows, and how fast?"""

import sys
from collections.abc import Sequence

import numpy as np

from experiments._claim import Claim, Finding, Number, Verdict
from experiments._inputs import slope, sphere
from experiments._run import main
from subquad.networks import PairedNetwork
from subquad.training import HalfSpaceSGD

CLAIM = Claim(
    paper="QSY23",
    place="Lemma 5.3 (= C.1)",
    statement="For some B = poly(d, m, 1/η, T, 1/ε), SGD with η/B² on the network and SGD with η "
    "on its tangent kernel differ in expected risk by less than ε.",
    measured="Logistic loss, labels of the sign of x_1 x_2, d = 3, the same batches: the root mean "
    "square difference of f at 300 points, which bounds that of the risks, relative to that of f, "
    "for B from 4 up to 1024.",
    rule="holds if the difference of the risks is at most 0.01 at B = 1024, and that of f falls "
    "with B, its exponent being at most -0.3.",
)
SIZES = {
    "smallest": {"width": 256, "steps": 25, "n_seeds": 2},
    "default": {"width": 1024, "steps": 200, "n_seeds": 6},
    "full": {"width": 4096, "steps": 2000, "n_seeds": 6},
}
SCALES, DIMENSION, BATCH = (4.0, 32.0, 256.0, 1024.0), 3, 32


def trained(width: int, n_steps: int, scale: float, dynamics: str, seed: int) -> np.ndarray:
    """f at 300 points after training."""
    network = PairedNetwork(DIMENSION, width=width, shift=1.0, scale=scale, rng=seed)
    trainer = HalfSpaceSGD(
        network, learning_rate=4.0, loss="logistic", dynamics=dynamics, report=None
    )
    X = sphere(n_steps * BATCH, DIMENSION, seed + 500_000)
    for batch in np.split(X, n_steps):
        trainer.step(batch, np.sign(batch[:, 0] * batch[:, 1]))
    return trainer.outputs(sphere(300, DIMENSION, seed))[:, 0]


def differences(width: int, n_steps: int, seed: int) -> tuple[np.ndarray, float]:
    """Relative difference of f for each B, and that of the risks for the last."""
    X = sphere(300, DIMENSION, seed)
    labels = np.sign(X[:, 0] * X[:, 1])
    limit = trained(width, n_steps, 1.0, "kernel", seed)
    found = [trained(width, n_steps, scale, "network", seed) for scale in SCALES]
    apart = [np.linalg.norm(f - limit) / np.linalg.norm(limit) for f in found]
    risk, last = (np.logaddexp(0, -labels * f).mean() for f in (limit, found[-1]))
    return np.array(apart), abs(risk - last)


def measure(size: str, seeds: Sequence[int]) -> Finding:
    """Train the kernel and the networks on the same batches, once a seed."""
    width, n_steps = SIZES[size]["width"], SIZES[size]["steps"]
    pairs = [differences(width, n_steps, seed) for seed in seeds]
    apart = np.array([pair[0] for pair in pairs])
    numbers = [
        Number("difference of the risks at B = 1024", [p[1] for p in pairs], at_most=0.01),
        Number("exponent of the mean difference of f in B", [slope(SCALES, apart.mean(axis=0))],
               at_most=-0.3),
        Number("relative difference of f at B = 4", apart[:, 0]),
        Number("relative difference of f at B = 1024", apart[:, -1]),
    ]  # fmt: skip
    why = {
        Verdict.HOLDS: "Neurons move by O(1/B) and as many change sides, each with a sign of its "
        "own, so that f differs by about B^-1/2; the proof, for smooth activations, has B^-1."
    }
    return Finding.judge(numbers, why)


if __name__ == "__main__":
    main(sys.modules[__name__])
