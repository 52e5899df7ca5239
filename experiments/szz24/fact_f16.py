"""Is the change of f the integral of its Jacobian along a step?"""

import sys
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from experiments._claim import Claim, Finding, Number, Verdict
from experiments._inputs import signs, sphere
from experiments._run import main
from experiments.szz24._network import Law, draw, forward, lemma_g6, phi, readout, shifted
from experiments.szz24._training import gauss_newton

CLAIM = Claim(
    paper="SZZ24",
    place="Fact F.16",
    statement="f_{t+1} - f_t is the integral of J((1-s) W(t) + s W(t+1)) over s, times "
    "vec(W(t+1) - W(t)).",
    measured="The difference of both sides over |f_1 - f_0| in the first step; z is linear in s, "
    "and "
    "so the integral is exact: the share of [0, 1] in which a neuron fires. The printed activation "
    "with Lemma G.6's constant, and the shifted ReLU; b = 1.",
    rule="holds if the difference is at most 1e-10 for the printed activation; holds corrected if "
    "it is for the shifted ReLU.",
)
SIZES = {
    "smallest": {"n": 16, "m": 512, "n_seeds": 3},
    "default": {"n": 64, "m": 2048, "n_seeds": 10},
    "full": {"n": 256, "m": 8192, "n_seeds": 5},
}


def firing_share(start: NDArray, end: NDArray) -> NDArray:
    """The share of s in [0, 1] for which (1 - s) start + s end > 0."""
    positive, total = np.maximum([start, end], 0).sum(axis=0), np.abs(start) + np.abs(end)
    crossed = (start > 0) != (end > 0)
    return np.where(crossed, positive / np.where(total > 0, total, 1), start > 0)


def difference(n: int, m: int, law: Law, seed: int) -> float:
    """|f_1 - f_0 - integral| / |f_1 - f_0|."""
    a = readout(m, seed)
    layer = forward(draw(16, m, 2, seed), sphere(n, 16, seed), law)[-1]
    (start, _), (end, _) = gauss_newton(layer, law, a, signs(n, seed), 1)
    tau = layer.thresholds
    change = (phi(end, tau, law) - phi(start, tau, law)) @ a
    share = firing_share(start - tau[:, None], end - tau[:, None])
    integral = (law.scale * share * (end - start)) @ a
    return float(np.linalg.norm(change - integral) / np.linalg.norm(change))


def measure(size: str, seeds: Sequence[int]) -> Finding:
    """Take one step a seed with each activation."""
    n, m = SIZES[size]["n"], SIZES[size]["m"]
    found = [
        [difference(n, m, law, seed) for seed in seeds]
        for law in (lemma_g6(1.0, relative=True), shifted(1.0, normalised=True))
    ]
    numbers = [
        Number("difference, printed activation", found[0], at_most=1e-10),
        Number("difference, shifted ReLU", found[1], at_most=1e-10, form="corrected"),
    ]
    why = {
        Verdict.CORRECTED: "The printed activation jumps at its threshold, and the integral of its "
        "derivative does not see the jumps."
    }
    return Finding.judge(numbers, why)


if __name__ == "__main__":
    main(sys.modules[__name__])
