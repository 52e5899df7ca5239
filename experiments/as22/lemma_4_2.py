"""Does the kernel of W = BC stay near when no row of W moves by more than R?"""

import sys
from collections.abc import Sequence

import numpy as np

from experiments._claim import Claim, Finding, Number, Verdict
from experiments._inputs import signs, slope, sphere
from experiments._run import main
from experiments.as22._kernel import kernel, least, limit, norm, pushed_rows
from subquad.networks import FactoredNetwork
from subquad.training import FactoredGradientDescent

CLAIM = Claim(
    paper="AS22",
    place="Lemma 4.2",
    statement="If ||(B_r - B_r(0))C|| <= R = O(δλ_0/n²) for every r, then ||H - H(0)|| <= λ_0/4 "
    "and λ_min(H) >= λ_0/4, with probability 1 - δ.",
    measured="||H - H(0)|| over λ_0/4 for weights whose rows all move by R = λ_0/n² towards points "
    "at which they nearly fire, δ = 1, n points of the sphere, Gaussian C; its exponent in R; and "
    "how far the rows move in 150 steps of gradient descent.",
    rule="holds if the quotient is at most 1, λ_min(H) at least λ_0/4, and the exponent in R at "
    "least 0.8.",
)
SIZES = {
    "smallest": {"n": 8, "d": 16, "inner": 12, "m": 32768, "n_seeds": 2},
    "default": {"n": 12, "d": 32, "inner": 16, "m": 262144, "n_seeds": 6},
    "full": {"n": 24, "d": 64, "inner": 32, "m": 1048576, "n_seeds": 6},
}
TRAINED_WIDTH, STEPS = 4096, 150


def push(n: int, d: int, inner: int, m: int, seed: int) -> tuple[float, float, float]:
    """Change of H at R over λ_0/4, least eigenvalue there over λ_0/4, exponent up to 8 R."""
    X = sphere(n, d, seed)
    network = FactoredNetwork(d, width=m, inner_size=inner, sketch="gaussian", rng=seed)
    start, quarter = kernel(network, X), least(limit(network.features(X))) / 4
    radius = 4 * quarter / n**2
    grams = [kernel(network, X, pushed_rows(network, X, c * radius)) for c in (1, 8)]
    changes = [norm(H - start) for H in grams]
    return changes[0] / quarter, least(grams[0]) / quarter, slope((1, 8), changes)


def train(n: int, d: int, inner: int, seed: int) -> tuple[float, float]:
    """Largest move of a row of W in training over λ_0/n², and the change of H over λ_0/4."""
    X = sphere(n, d, seed)
    network = FactoredNetwork(d, width=TRAINED_WIDTH, inner_size=inner, sketch="gaussian", rng=seed)
    lambda_0 = least(limit(network.features(X)))
    trainer = FactoredGradientDescent(network, X, signs(n, seed))
    for _ in range(STEPS):
        trainer.step()
    change = (trainer.weights - network.weights) @ network.inner_matrix()
    moved = np.linalg.norm(change, axis=1).max()
    apart = norm(kernel(network, X, trainer.weights) - kernel(network, X))
    return moved * n**2 / lambda_0, 4 * apart / lambda_0


def measure(size: str, seeds: Sequence[int]) -> Finding:
    """Push the weights of one network a seed, and train another."""
    n, d, inner, m = (SIZES[size][key] for key in ("n", "d", "inner", "m"))
    changes, eigenvalues, exponents = np.array([push(n, d, inner, m, s) for s in seeds]).T
    moves, trained = np.array([train(n, d, inner, seed) for seed in seeds]).T
    numbers = [
        Number("||H - H(0)|| over λ_0/4 at R = λ_0/n²", changes, at_most=1.0),
        Number("λ_min(H) over λ_0/4 at R = λ_0/n²", eigenvalues, at_least=1.0),
        Number("exponent of ||H - H(0)|| in R, the mean", [exponents.mean()], at_least=0.8),
        Number("largest move of a row in training over λ_0/n²", moves),
        Number("||H - H(0)|| over λ_0/4 after training", trained),
    ]  # fmt: skip
    why = {
        Verdict.HOLDS: "The change is linear in R. Training at usable widths moves rows much "
        "further than the lemma allows."
    }
    return Finding.judge(numbers, why)


if __name__ == "__main__":
    main(sys.modules[__name__])
