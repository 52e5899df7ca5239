"""Steps of two-layer Gauss-Newton with the Gram matrix and without it."""

import numpy as np

from subquad.networks import TwoLayerNetwork
from subquad.training import TwoLayerGaussNewton


def trainer(n, width, solver):
    """Return a trainer on a smooth function of 8 inputs."""
    X = np.random.default_rng(0).standard_normal((n, 8)).astype(np.float32) / 3
    y = np.sin(X.astype(np.float64)).prod(axis=1) + X[:, 0]
    network = TwoLayerNetwork(8, width, rng=0, dtype=np.float32)
    return TwoLayerGaussNewton(network, X, y, solver=solver, regularization=0.02, rng=0)


class Step:
    """One step, without the Gram matrix for sizes at which it takes minutes."""

    params = [["exact", "pcg"], [64, 1024, 4096, 20_000], [128, 2048]]
    param_names = ["implementation", "points", "width"]
    number = 1
    warmup_time = 0

    def setup(self, implementation, points, width):
        if implementation == "exact" and points > 4096:
            raise NotImplementedError("too large")
        self.trainer = trainer(points, width, implementation)

    def time_step(self, implementation, points, width):
        self.trainer.step()

    def peakmem_step(self, implementation, points, width):
        self.trainer.step()
