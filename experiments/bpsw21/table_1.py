"""How many steps do gradient descent and Gauss-Newton take, and how many operations?"""

import sys
from collections.abc import Sequence

import numpy as np

from experiments._claim import Claim, Finding, Number, Verdict
from experiments._inputs import signs, slope, sphere
from experiments._run import main
from subquad.networks import TwoLayerNetwork
from subquad.solvers import fast_regression
from subquad.training import TwoLayerGaussNewton

CLAIM = Claim(
    paper="BPSW21",
    place="Table 1",
    statement="Gradient descent takes O(n² log(1/ε)) steps of O(mn) operations; this algorithm "
    "O(log(1/ε)) steps of Õ(mn), for d = O(1) and λ left out.",
    measured="Steps until |f - y| has fallen to ε = 0.01 of the start, gradient descent with "
    "η = 1/λ_max(G_0); sphere d = 16, labels 1 and -1, m = n²/4. Operations: 4mnd for a gradient "
    "or an iteration of conjugate gradients, and 2·16n·n² for the QR of a sketch.",
    rule="holds if the mean steps of gradient descent grow no faster than n², and those of "
    "Gauss-Newton are at most log2(1/ε), rounded up, whatever n.",
)
SIZES = {
    "smallest": {"points": (16, 48), "n_seeds": 3},
    "default": {"points": (16, 32, 64, 128), "n_seeds": 5},
    "full": {"points": (32, 64, 128, 256), "n_seeds": 5},
}
FEATURES, EPSILON, MOST = 16, 0.01, 100_000


def gradient_descent(network: TwoLayerNetwork, X: np.ndarray, y: np.ndarray) -> int:
    """Steps of gradient descent until the residual has fallen to ε of the start."""
    W, readout = np.array(network.weights), network.readout[0]
    largest = np.linalg.eigvalsh(network.jacobian(X).gram())[-1]
    start = None
    for step in range(MOST):
        Z = X @ W.T
        residual = np.maximum(Z, 0) @ readout - y
        start = start or np.linalg.norm(residual)
        if np.linalg.norm(residual) <= EPSILON * start:
            return step
        W -= ((Z >= 0) * residual[:, None] * readout).T @ X / largest
    return MOST


def compare(n: int, seed: int) -> tuple[int, int, float]:
    """Return the steps of both, and the quotient of their operations."""
    X, y, width = sphere(n, FEATURES, seed), signs(n, seed), max(256, n**2 // 4)
    network = TwoLayerNetwork(FEATURES, width, rng=seed)
    slow = gradient_descent(network, X, y)
    trainer = TwoLayerGaussNewton(network, X, y, solver="exact", tol=EPSILON).run()
    fast = len(trainer.history)
    inner = fast_regression(
        network.jacobian(X), y, sketch="count", sketch_size=16 * n, rtol=0.1 * EPSILON, rng=seed
    )
    gradient = 4 * width * n * FEATURES
    step = gradient * (1 + inner.n_iterations) + 32 * n**3
    return slow, fast, slow * gradient / (fast * step)


def measure(size: str, seeds: Sequence[int]) -> Finding:
    """Train by both for each n."""
    points = SIZES[size]["points"]
    found = np.array([[compare(n, seed) for n in points] for seed in seeds])
    slow, fast, gain = np.moveaxis(found, 2, 0)
    n = points[-1]
    numbers = [
        Number("steps of Gauss-Newton, the most over n", fast.max(axis=1),
               at_most=np.ceil(np.log2(1 / EPSILON))),
        Number("exponent of the mean steps of gradient descent in n",
               [slope(points, slow.mean(axis=0))], at_most=2.0),
        Number(f"steps of gradient descent at n = {n}", slow[:, -1]),
        Number(f"operations of gradient descent for one of Gauss-Newton, n = {n}", gain[:, -1]),
        Number(f"the same, n = {points[0]}", gain[:, 0]),
    ]  # fmt: skip
    why = {
        Verdict.HOLDS: "Gauss-Newton takes the same few steps for every n; gradient descent takes "
        "about as many as the condition number of G, which grows like n and not n² on the sphere."
    }
    return Finding.judge(numbers, why)


if __name__ == "__main__":
    main(sys.modules[__name__])
