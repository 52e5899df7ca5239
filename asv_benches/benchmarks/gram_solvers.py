"""One Gram equation by each method: the crossover map, followed over time."""

import numpy as np

from subquad.jacobian import KhatriRao
from subquad.solvers import gram_solve


def equation(n, m, width_of_v, density):
    """Return J of fired neurons, and a right-hand side."""
    rng = np.random.default_rng([n, m])
    X = rng.standard_normal((n, 16))
    Z = X @ rng.standard_normal((16, m))
    U = (np.quantile(Z, 1 - density) < Z) * rng.choice([-1.0, 1.0], m) * m**-0.5
    return KhatriRao(U, rng.standard_normal((n, width_of_v))), rng.standard_normal(n)


class Solve:
    """The solution of (J J^T) x = c to 1e-10; the sketch is less accurate."""

    params = [["auto", "exact", "sketch", "pcg"], [16, 64, 256, 1024], [256, 4096, 16384], [8, 512]]
    param_names = ["implementation", "points", "width", "width of V"]

    def setup(self, implementation, points, width, width_of_v):
        if points * width > 2**23 or (implementation == "sketch" and points > 256):
            raise NotImplementedError("too large")
        self.J, self.c = equation(points, width, width_of_v, 0.5)

    def time_solve(self, implementation, points, width, width_of_v):
        gram_solve(self.J, self.c, implementation, rng=0)
