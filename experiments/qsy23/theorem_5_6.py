"""How fast does the excess risk of SGD on random features fall, and what does the width cost?"""

import itertools
import sys
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from experiments._claim import Claim, Finding, Number, Verdict
from experiments._inputs import slope, sphere
from experiments._run import main
from experiments.qsy23._kernel import cone, excess, limit, logistic_path, spread
from subquad.networks import PairedNetwork
from subquad.training import HalfSpaceSGD

CLAIM = Claim(
    paper="QSY23",
    place="Theorem 5.6 (and 5.4, Lemma C.5)",
    statement="For a convex L-Lipschitz loss and η = M/(sqrt(T)LC), the expected excess risk of a "
    "random iterate of SGD over f*, ||f*||_K = M, is at most LRCM/sqrt(md) + LCM/sqrt(T).",
    measured="Logistic loss (L = 1), b_0 = 0.8; f* of low degree gives the log-odds at 100 points, "
    "on the sphere and in a cone, for d, M, R and m that differ; C = 1 in the first term, and "
    "C² = Q(b_0), the mean of |ψ|², in the second and in η; the first term also alone, by the "
    "distance |f* - f_w| of Lemma C.5.",
    rule="holds if the expected excess of the random iterate is below the bound for every choice, "
    "that of the averaged iterate falls no slower than T^-0.5, |f* - f_w| is on average below its "
    "bound for every choice and falls no slower than m^-0.3, and the steps are those of "
    "HalfSpaceSGD with dynamics='kernel' to 1e-9.",
)
SIZES = {
    "smallest": {"steps": (200, 2400), "n_seeds": 5},
    "default": {"steps": (250, 1000, 4000), "n_seeds": 10},
    "full": {"steps": (1000, 4000, 16000, 64000), "n_seeds": 20},
}
# d, M, whether the points fill a cone, m.
CHOICES = ((3, 8.0, False, 1024), (3, 2.0, False, 256), (8, 8.0, False, 1024), (8, 8.0, True, 256))
POINTS, SHIFT, CHECKS, WIDTHS = 100, 0.8, 50, (64, 1024)
C = np.sqrt(ndtr(-SHIFT))


class Task:
    """Points, log-odds f* of norm M in the limit's space, and a network's kernel."""

    def __init__(self, choice: tuple, seed: int) -> None:
        d, self.M, in_cone, self.m = choice
        self.X = (cone if in_cone else sphere)(POINTS, d, seed)
        K = limit(self.X, SHIFT)
        values, vectors = np.linalg.eigh(K)
        weights = np.random.default_rng([seed, 6]).standard_normal(d)
        # The d leading eigenfunctions are nearly the linear functions.
        weights *= self.M / np.sqrt(np.sum(weights**2 / values[-d:]))
        self.log_odds = vectors[:, -d:] @ weights
        self.coefficients = vectors[:, -d:] @ (weights / values[-d:])
        self.R, self.d, self.seed = spread(self.X), d, seed
        self.network, self.K = self.kernel(self.m)

    def kernel(self, m: int) -> tuple[PairedNetwork, NDArray]:
        """Return a network of m pairs, and its tangent kernel at the points."""
        network = PairedNetwork(self.d, width=2 * m, shift=SHIFT, scale=1.0, rng=self.seed)
        return network, network.jacobian(self.X).gram()

    def distance(self, m: int) -> float:
        """|f* - f_w| over its bound RM/sqrt(md): f_w is f* with the kernel of m neurons."""
        error = self.kernel(m)[1] @ self.coefficients - self.log_odds
        bound = self.R * self.M / np.sqrt(m * self.d)
        return float(np.sqrt(np.mean(error**2)) / bound)

    def risks(self, T: int) -> tuple[float, float, float]:
        """Expected excess of the random iterate, of the average, and the bound."""
        mean, checked = np.zeros(POINTS), []
        eta = self.M / (np.sqrt(T) * C)
        for t, (_, _, f) in enumerate(logistic_path(self.K, self.log_odds, eta, T, self.seed)):
            mean += f / T
            if t % max(1, T // CHECKS) == 0:
                checked.append(excess(f, self.log_odds))
        bound = self.R * self.M / np.sqrt(self.m * self.d) + C * self.M / np.sqrt(T)
        return float(np.mean(checked)), excess(mean, self.log_odds), bound

    def difference(self, T: int) -> float:
        """Largest difference of f from that of HalfSpaceSGD after T - 1 of the same steps."""
        eta = self.M / (np.sqrt(T) * C)
        trainer = HalfSpaceSGD(
            self.network, learning_rate=eta * self.network.firing_probability, loss="logistic",
            dynamics="kernel", report=None,
        )  # fmt: skip
        path = logistic_path(self.K, self.log_odds, eta, T, self.seed)
        for i, y, _ in itertools.islice(path, T - 1):
            trainer.step(self.X[i : i + 1], [y])
        f = next(path)[2]
        return float(np.abs(trainer.outputs(self.X)[:, 0] - f).max())


def measure(size: str, seeds: Sequence[int]) -> Finding:
    """Run SGD for each choice, number of steps and seed."""
    steps = SIZES[size]["steps"]
    tasks = [[Task(choice, seed) for choice in CHOICES] for seed in seeds]
    found = np.array([[[task.risks(T) for T in steps] for task in row] for row in tasks])
    random, averaged, bounds = np.moveaxis(found, 3, 0)
    distances = np.array([[[task.distance(m) for m in WIDTHS] for task in row] for row in tasks])
    squares = np.sqrt((distances**2).mean(axis=0))
    differences = [row[1].difference(20) for row in tasks]
    numbers = [
        Number("mean excess of the random iterate over the bound, the most over choices and T",
               [(random / bounds).mean(axis=0).max()], at_most=1.0),
        Number("exponent of the mean excess of the averaged iterate in T",
               [slope(steps, averaged[:, 0].mean(axis=0))], at_most=-0.5),
        Number("root mean square of |f* - f_w| over RCM/sqrt(md), the most over choices",
               [squares.max()], at_most=1.0),
        Number("exponent of the root mean square of |f* - f_w| in m",
               [slope(WIDTHS, np.sqrt((squares**2).mean(axis=0) / WIDTHS))], at_most=-0.3),
        Number("largest difference of f from that of HalfSpaceSGD", differences, at_most=1e-9),
        Number("exponent of the excess of the random iterate in T",
               [slope(steps, row[0]) for row in random]),
        *(
            Number(f"excess of the random iterate over the bound, d = {d}, M = {M:g}, m = {m}, "
                   + ("cone" if in_cone else "sphere") + f", T = {steps[-1]}",
                   random[:, k, -1] / bounds[:, k, -1])
            for k, (d, M, in_cone, m) in enumerate(CHOICES)
        ),
    ]  # fmt: skip
    why = {
        Verdict.HOLDS: "The bound is kept with room for all d, M, R, m and T. The average over the "
        "random iterate includes the early ones, which are far from f*: at these T it falls more "
        "slowly than T^-1/2, towards the bound; the averaged iterate falls faster."
    }
    return Finding.judge(numbers, why)


if __name__ == "__main__":
    main(sys.modules[__name__])
