r"""
Even and odd polynomials, by the neurons that fire
==================================================

Stochastic gradient descent on a two-layer network with shifted ReLU,

.. math:: f(x) = \frac{B}{\sqrt{2m}} \sum_{r=1}^{2m} a_r \max(0, \langle w_r, x \rangle - b_0),

learns polynomials on the sphere from fresh samples, and only the few per cent of the neurons that
fire at a point are found, evaluated and moved. The theory is about even polynomials. Without a
shift (:math:`b_0 = 0`) an odd one of degree three cannot be learned at all: the tangent kernel of
ReLU has no odd part beyond degree one. With a shift it is learned as well.
"""

import matplotlib.pyplot as plt
import numpy as np

from subquad.networks import PairedNetwork
from subquad.training import HalfSpaceSGD

DIMENSION, BATCH, STEPS = 3, 32, 800
POLYNOMIALS = {
    "$x_1 x_2$ (even)": lambda X: X[:, 0] * X[:, 1],
    "$x_1^2 x_2^2 - x_2 x_3$ (even)": lambda X: X[:, 0] ** 2 * X[:, 1] ** 2 - X[:, 1] * X[:, 2],
    "$x_1 x_2 x_3$ (odd)": lambda X: X[:, 0] * X[:, 1] * X[:, 2],
}


def sphere(n, rng):
    """Uniform points of the unit sphere."""
    X = rng.standard_normal((n, DIMENSION))
    return X / np.linalg.norm(X, axis=1, keepdims=True)


def fresh_batches(polynomial, rng):
    """Mini-batches of new points without end, their targets with mean 0 and variance 1."""
    sample = polynomial(sphere(20_000, rng))
    while True:
        X = sphere(BATCH, rng)
        yield X, (polynomial(X) - sample.mean()) / sample.std()


def smoothed(losses, window=50):
    """Return running means."""
    return np.convolve(losses, np.full(window, 1 / window), mode="valid")


figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), sharey=True)
for axis, shift in zip(axes, (0.0, 1.5), strict=True):
    for name, polynomial in POLYNOMIALS.items():
        network = PairedNetwork(DIMENSION, width=1024, shift=shift, rng=0)
        trainer = HalfSpaceSGD(network)
        trainer.run(fresh_batches(polynomial, np.random.default_rng(1)), max_steps=STEPS)
        # The loss is |f - y|^2 / 2 of points not seen before; 1 is what f = 0 gives.
        axis.plot(smoothed([2 * record.loss for record in trainer.history]), label=name)
    fired = np.mean([record.fired_fraction for record in trainer.history])
    axis.set(title=f"$b_0 = {shift}$: {100 * fired:.0f} % of the neurons fire", xlabel="step")
    axis.set_yscale("log")
axes[0].set_ylabel("mean square error / variance")
axes[1].legend(loc="upper right")
figure.tight_layout()
plt.show()
