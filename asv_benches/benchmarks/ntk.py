"""Tangent kernels of infinitely wide and of finite ReLU networks, on 784 columns."""

import numpy as np

from subquad.networks import WideNetwork
from subquad.ntk import empirical_ntk, ntk

N_COLUMNS = 784


def points(n):
    """Return random points."""
    return np.random.default_rng(0).standard_normal((n, N_COLUMNS))


def relu_ntk(X, depth):
    """Return Theta_L of ReLU by the recursion over layers, in numpy."""
    norms = np.sqrt(np.einsum("ij,ij->i", X, X))
    norms[norms == 0] = 1.0
    size = norms[:, None] * norms
    K = X @ X.T
    Theta = K.copy()
    for _ in range(depth):
        r = np.clip(K / size, -1.0, 1.0)
        angle = np.arccos(r)
        K = size * (np.sqrt(1 - r * r) + (np.pi - angle) * r) / np.pi
        Theta *= (np.pi - angle) / np.pi
        Theta += K
    return Theta


class InfiniteWidth:
    """The tangent kernel of all layers, beside the recursion in numpy and one matrix product."""

    params = [["subquad", "subquad-float32", "numpy", "product"], [64, 1000, 4000], [1, 3]]
    param_names = ["implementation", "n", "depth"]

    def setup(self, implementation, n, depth):
        self.X = points(n)
        self.time_kernel(implementation, n, depth)

    def time_kernel(self, implementation, n, depth):
        if implementation == "numpy":
            relu_ntk(self.X, depth)
        elif implementation == "product":
            self.X @ self.X.T
        else:
            dtype = np.float32 if implementation.endswith("float32") else np.float64
            ntk(self.X, depth=depth, dtype=dtype)

    def peakmem_kernel(self, implementation, n, depth):
        self.time_kernel(implementation, n, depth)


class FiniteWidth:
    """The tangent kernel of a network, of its last hidden layer or of all."""

    params = [["last", "all"], [256, 2048]]
    param_names = ["implementation", "width"]

    def setup(self, implementation, width):
        self.X = points(64)
        self.network = WideNetwork(N_COLUMNS, width=width, depth=3, rng=0)
        self.layer = -1 if implementation == "last" else "all"

    def time_kernel(self, implementation, width):
        empirical_ntk(self.network, self.X, layer=self.layer)
