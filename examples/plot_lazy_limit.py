r"""
The lazy limit
==============

The readout of the network is :math:`\pm B`. The larger :math:`B`, the less the neurons move while
the network learns, and the closer its training comes to that of its tangent kernel: linear
regression on the features :math:`a_r 1[\langle w_r(0), x \rangle \ge b_0]\, x`, in which who fires
is settled once and for all. Both are trained here on the same mini-batches, and the step is
:math:`\eta / (B^2 Q(b_0))`, so that the kernel's training does not depend on :math:`B`.
"""

import matplotlib.pyplot as plt
import numpy as np

from subquad.networks import PairedNetwork
from subquad.training import HalfSpaceSGD

BATCH, STEPS = 32, 400
SCALES = [0.5, 2, 8, 32, 128, 512]
CURVES = [0.5, 2, 8, 128]


def batches():
    """The same mini-batches of x1 x2 on the sphere each time, with variance 1."""
    rng = np.random.default_rng(0)
    for _ in range(STEPS):
        X = rng.standard_normal((BATCH, 3))
        X /= np.linalg.norm(X, axis=1, keepdims=True)
        yield X, np.sqrt(15) * X[:, 0] * X[:, 1]


def trained(scale, dynamics):
    """Train a network with readout +-scale; the neurons are the same for every scale."""
    network = PairedNetwork(3, width=1024, scale=scale, rng=0)
    return HalfSpaceSGD(network, dynamics=dynamics).run(batches())


def smoothed(trainer, window=40):
    """Return running means of the mean square error."""
    losses = [2 * record.loss for record in trainer.history]
    return np.convolve(losses, np.full(window, 1 / window), mode="valid")


X_test = np.concatenate([X for X, _ in batches()])[:1000]
limit = trained(1.0, "kernel")
f_limit = limit.outputs(X_test)
figure, (curves, distance) = plt.subplots(1, 2, figsize=(9, 3.6))
apart = []
for scale in SCALES:
    trainer = trained(scale, "network")
    apart.append(np.linalg.norm(trainer.outputs(X_test) - f_limit) / np.linalg.norm(f_limit))
    if scale in CURVES:
        curves.plot(smoothed(trainer), label=f"B = {scale:g}")
curves.plot(smoothed(limit), "k--", label="tangent kernel")
curves.set(xlabel="step", ylabel="mean square error / variance", yscale="log")
curves.legend()
distance.loglog(SCALES, apart, "o-")
distance.loglog(SCALES[2:], apart[2] * np.sqrt(8 / np.array(SCALES[2:])), ":", label="$B^{-1/2}$")
distance.set(xlabel="B", ylabel="|f - f of the kernel| / |f of the kernel|")
distance.legend()
figure.tight_layout()
plt.show()
