"""How much can the Gram matrix change when no row of W moves further than R / sqrt(m)?"""

import sys
from collections.abc import Sequence

import numpy as np

from experiments._claim import Claim, Finding, Number, Verdict
from experiments._inputs import slope, sphere
from experiments._run import main
from experiments.bpsw21._gram import fired, gram, least, limit

CLAIM = Claim(
    paper="BPSW21",
    place="Lemma C.5",
    statement="With m = Omega(n²R² log(n/δ)), ||G_W - G_0||_F <= λ/2 for all W of which no row is "
    "further than R/sqrt(m) from that of W_0.",
    measured="||G_W - G_0||_F over λ/2 for weights whose rows move by R/sqrt(m) towards points at "
    "which they nearly fire, at m = 4n²R² log(n/δ), δ = 0.1, R = 1, on pairs of points at small "
    "angles, whose λ is near angle/2π; the same with the factor λ⁻² in m.",
    rule="holds if the quotient is at most 1 at the stated width whatever the angle; holds "
    "corrected if it is at the width with λ⁻², and ||G_W - G_0||_F has an exponent of at most "
    "-0.3 in m.",
)
SIZES = {
    "smallest": {"pairs": 1, "angle": 0.15, "n_seeds": 4},
    "default": {"pairs": 2, "angle": 0.1, "n_seeds": 10},
    "full": {"pairs": 4, "angle": 0.05, "n_seeds": 10},
}
FEATURES, RADIUS, FACTOR, DELTA = 16, 1.0, 4, 0.1


def close_pairs(pairs: int, angle: float, seed: int) -> np.ndarray:
    """Return points of the sphere, and beside each another at the angle."""
    X, other = sphere(pairs, FEATURES, seed), sphere(pairs, FEATURES, seed + 500_000)
    other -= np.sum(X * other, axis=1, keepdims=True) * X
    other /= np.linalg.norm(other, axis=1, keepdims=True)
    return np.concatenate([X, np.cos(angle) * X + np.sin(angle) * other])


def change(X: np.ndarray, m: int, seed: int) -> float:
    """||G_W - G_0||_F for weights pushed to fire, a network of m neurons."""
    W = np.random.default_rng([seed, m]).standard_normal((m, FEATURES))
    return float(np.linalg.norm(gram(X, fired(X, W, RADIUS / np.sqrt(m))) - gram(X, W)))


def measure(size: str, seeds: Sequence[int]) -> Finding:
    """Push the weights of a network of the stated width, and of the corrected one."""
    pairs, angle = SIZES[size]["pairs"], SIZES[size]["angle"]
    n, stated, corrected, wide, exponents, limits = 2 * pairs, [], [], [], [], []
    m = round(FACTOR * n**2 * RADIUS**2 * np.log(n / DELTA))
    for seed in seeds:
        X = close_pairs(pairs, angle, seed)
        half = least(limit(X)) / 2
        enough = round(m / (2 * half) ** 2)
        changes = [change(X, width, seed) for width in (m, enough)]
        stated.append(changes[0] / half)
        corrected.append(changes[1] / half)
        wide.append(enough)
        limits.append(2 * half)
        exponents.append(slope((m, enough), changes))
    numbers = [
        Number(f"||G_W - G_0||_F over λ/2 at the stated width, m = {m}", stated, at_most=1.0),
        Number("||G_W - G_0||_F over λ/2 at the stated width over λ²", corrected, at_most=1.0,
               form="corrected"),
        Number("exponent of ||G_W - G_0||_F in m", exponents, at_most=-0.3, form="corrected",
               of="mean"),
        Number("λ", limits),
        Number("the width over λ²", wide),
    ]  # fmt: skip
    why = {
        Verdict.CORRECTED: "The change is about nR/sqrt(m) whatever λ, so that the width must "
        "carry λ⁻², which the theorem's own width does."
    }
    return Finding.judge(numbers, why)


if __name__ == "__main__":
    main(sys.modules[__name__])
