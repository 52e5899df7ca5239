"""Small Gram systems the tests of the solvers share."""

import numpy as np

N = 12


def gram(n=N, rank=40, seed=0):
    """A positive definite (n <= rank) or singular Gram matrix."""
    J = np.random.default_rng(seed).standard_normal((n, rank)) / np.sqrt(rank)
    return J @ J.T


def right_hand_side(n=N, seed=1):
    return np.random.default_rng(seed).standard_normal(n)


def lower_half(G):
    """G with everything above its diagonal replaced by NaN."""
    return np.where(np.tri(len(G), dtype=bool), G, np.nan)


def read_only(*arrays):
    """Copies that refuse to be written to."""
    copies = [array.copy() for array in arrays]
    for copy in copies:
        copy.flags.writeable = False
    return copies


WEIGHTS = {
    "no weights": None,
    "weights": np.random.default_rng(2).uniform(0.1, 5.0, N),
    "a weight of 1e-12": np.r_[1e-12, np.ones(N - 1)],
}
