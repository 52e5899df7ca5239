"""Is the last layer's Gram matrix the best conditioned?"""

import sys
from collections.abc import Sequence

import numpy as np

from experiments._claim import Claim, Finding, Number, Verdict
from experiments._inputs import sphere
from experiments._run import main
from experiments.szz24._network import shifted
from experiments.szz24._spectra import least_eigenvalues

CLAIM = Claim(
    paper="SZZ24",
    place="Remark E.6",
    statement="The least eigenvalue of the last layer's Gram matrix is much larger than those of "
    "the layers before, which is why the last layer is trained.",
    measured="λ_min(G_l / m) of each layer l, L = 4, b = 0 and 1, normalised layers, and the mean "
    "over l < L divided by that of the last layer.",
    rule="holds if that quotient is on average at most 1 for both shifts.",
)
SIZES = {
    "smallest": {"n": 16, "m": 256, "n_seeds": 5},
    "default": {"n": 32, "m": 1024, "n_seeds": 10},
    "full": {"n": 64, "m": 4096, "n_seeds": 5},
}
DEPTH = 4


def measure(size: str, seeds: Sequence[int]) -> Finding:
    """Form the Gram matrices of all layers once a seed."""
    n, m = SIZES[size]["n"], SIZES[size]["m"]
    quotients, layers = [], []
    for b in (0.0, 1.0):
        law = shifted(b, normalised=True)
        found = np.array([least_eigenvalues(sphere(n, 16, s), m, DEPTH, law, s) for s in seeds])
        inner = found[:, :-1].mean(axis=1) / found[:, -1]
        name = f"inner layers / last layer, b = {b:g}"
        quotients.append(Number(name, inner, at_most=1.0, of="mean"))
        layers += [
            Number(f"λ_min(G_{layer + 1} / m), b = {b:g}", column)
            for layer, column in enumerate(found.T)
        ]
    why = {
        Verdict.FAILS: "It is the other way round where neurons are ReLU: the least eigenvalue "
        "falls from layer to layer, because the inputs of later layers are more alike; the bound "
        "of "
        "Lemma E.2 is weak, not the layer."
    }
    return Finding.judge(quotients + layers, why)


if __name__ == "__main__":
    main(sys.modules[__name__])
