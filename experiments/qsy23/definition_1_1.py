"""Which distributions on the sphere are R-bounded, and for which R?"""

import sys
from collections.abc import Sequence

import numpy as np

from experiments._claim import Claim, Finding, Number, Verdict
from experiments._inputs import sphere
from experiments._run import main
from experiments.qsy23._kernel import spread

CLAIM = Claim(
    paper="QSY23",
    place="Definition 1.1",
    statement="Every distribution on the unit sphere of R^d is sqrt(d)-bounded; the uniform one, "
    "that on the cube {1/sqrt(d), -1/sqrt(d)}^d and that on Omega(d) random points are "
    "O(1)-bounded.",
    measured="R = sqrt(d λ_max(E x xᵀ)) of one point, of 4d random points, and of samples of 64d "
    "points of the sphere and of the cube.",
    rule="holds if R is at most sqrt(d) for one point, at most 2 for 4d points, and at most 1.25 "
    "for the samples, whose own R is 1.",
)
SIZES = {
    "smallest": {"d": 32, "n_seeds": 4},
    "default": {"d": 128, "n_seeds": 10},
    "full": {"d": 512, "n_seeds": 10},
}


def measure(size: str, seeds: Sequence[int]) -> Finding:
    """Draw the points once a seed."""
    d = SIZES[size]["d"]
    # For a sample of c d points R is near 1 + c^-1/2 (the edge of Marchenko and Pastur's law).
    cubes = (
        np.random.default_rng([seed, 7]).choice([-1.0, 1.0], (64 * d, d)) / np.sqrt(d)
        for seed in seeds
    )
    numbers = [
        Number("R of 4d random points", [spread(sphere(4 * d, d, s)) for s in seeds], at_most=2.0),
        Number("R of 64d points of the sphere", [spread(sphere(64 * d, d, s)) for s in seeds],
               at_most=1.25),
        Number("R of 64d points of the cube", [spread(X) for X in cubes], at_most=1.25),
        Number("R of one point over sqrt(d)",
               [spread(sphere(1, d, s)) / np.sqrt(d) for s in seeds], at_most=1 + 1e-9),
    ]  # fmt: skip
    why = {Verdict.HOLDS: "A sample of c d points has R near 1 + 1/sqrt(c), as random matrices do."}
    return Finding.judge(numbers, why)


if __name__ == "__main__":
    main(sys.modules[__name__])
