"""Do as few neurons fire during training as at the start, and how many change sides?"""

import sys
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from experiments._claim import Claim, Finding, Number, Verdict
from experiments._inputs import sphere
from experiments._run import main
from subquad.networks import PairedNetwork
from subquad.training import HalfSpaceSGD

CLAIM = Claim(
    paper="QSY23",
    place="Lemma 6.6 (and Definitions 6.4, 6.5)",
    statement="With probability 1 - n exp(-Omega(m) min(R, exp(-b_0²/2))), read without the "
    "printed minus in the minimum, k_i,t = O(m exp(-b_0²/2)) neurons fire at every x_i at every "
    "step t.",
    measured="The most that fire at one of 200 points of the sphere at 20 moments of SGD (squared "
    "loss, target 4 x_1 x_2, B = 8), over (2m)^(4/5) = 2m exp(-b_0²/2), and how that compares with "
    "the start; the pairs whose side differs from the start; the rows that a step moves.",
    rule="holds if the most is at most (2m)^(4/5) at every moment, and the rows a step moves are "
    "at most b (2m)^(4/5).",
)
SIZES = {
    "smallest": {"width": 512, "steps": 60, "n_seeds": 3},
    "default": {"width": 4096, "steps": 1000, "n_seeds": 6},
    "full": {"width": 32768, "steps": 10000, "n_seeds": 6},
}
DIMENSION, BATCH, MOMENTS = 3, 8, 20


def batches(seed: int) -> Iterator[tuple[NDArray, NDArray]]:
    """Mini-batches of new points, without end."""
    rng = np.random.default_rng([seed, 9])
    while True:
        X = rng.standard_normal((BATCH, DIMENSION))
        X /= np.linalg.norm(X, axis=1, keepdims=True)
        yield X, 4 * X[:, 0] * X[:, 1]


def follow(width: int, n_steps: int, seed: int) -> tuple[float, float, float, float]:
    """Most that fire over (2m)^(4/5), the same at the start, flipped pairs, and moved rows."""
    network = PairedNetwork(DIMENSION, width=width, rng=seed)
    trainer, X = HalfSpaceSGD(network, batch_size=BATCH), sphere(200, DIMENSION, seed)
    start = X @ network.weights.T >= network.shift
    stream, most, flipped = batches(seed), [start.sum(axis=1).max()], np.zeros_like(start)
    for _ in range(MOMENTS):
        trainer.run(stream, max_steps=n_steps // MOMENTS)
        fired = X @ trainer.weights.T >= network.shift
        most.append(fired.sum(axis=1).max())
        flipped |= fired != start
    moved = max(record.moved_fraction for record in trainer.history) * width
    bound = width**0.8
    return max(most) / bound, most[0] / bound, flipped.mean(), moved / (BATCH * bound)


def measure(size: str, seeds: Sequence[int]) -> Finding:
    """Train one network a seed."""
    width, n_steps = SIZES[size]["width"], SIZES[size]["steps"]
    most, start, flipped, moved = np.array([follow(width, n_steps, seed) for seed in seeds]).T
    numbers = [
        Number("most that fire at a step over (2m)^(4/5)", most, at_most=1.0),
        Number("rows that a step moves over b (2m)^(4/5)", moved, at_most=1.0),
        Number("most that fire at the start over (2m)^(4/5)", start),
        Number("share of the pairs of a point and a neuron that ever differ from the start",
               flipped),
    ]  # fmt: skip
    why = {
        Verdict.HOLDS: "Training hardly changes how many fire: about one pair in a hundred changes "
        "sides, in both directions."
    }
    return Finding.judge(numbers, why)


if __name__ == "__main__":
    main(sys.modules[__name__])
