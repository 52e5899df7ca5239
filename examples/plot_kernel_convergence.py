r"""
Finite width against the limit
==============================

The tangent kernel of a network's last hidden layer, over its width :math:`m`, tends to
:math:`K_{L-1} \circ E\,\varphi'(u)\,\varphi'(v)` as the network grows: `last_layer_ntk`. The
distance falls like :math:`m^{-1/2}`, and it is the larger the fewer neurons fire, since only those
are averaged over: what counts is :math:`m\,Q(b)` and not :math:`m`.
"""

import matplotlib.pyplot as plt
import numpy as np

from subquad.activations import ShiftedReLU
from subquad.networks import WideNetwork
from subquad.ntk import empirical_ntk, last_layer_ntk
from subquad.plotting import kernel_convergence

WIDTHS = [128, 256, 512, 1024, 2048]
SHIFTS = [0.0, 1.5]
DRAWS = 4

rng = np.random.default_rng(0)
X = rng.standard_normal((24, 8))
X /= np.linalg.norm(X, axis=1, keepdims=True)


def distance(width, activation, seed):
    """Relative Frobenius distance of one network's kernel from the limit."""
    network = WideNetwork(8, width=width, activation=activation, rng=seed)
    limit = last_layer_ntk(X, depth=network.depth, activation=activation)
    return np.linalg.norm(empirical_ntk(network, X) - limit) / np.linalg.norm(limit)


figure, panels = plt.subplots(1, len(SHIFTS), figsize=(9, 3.6), sharey=True, layout="constrained")
for panel, shift in zip(panels, SHIFTS, strict=True):
    activation = ShiftedReLU(shift)
    errors = [[distance(m, activation, seed) for seed in range(DRAWS)] for m in WIDTHS]
    kernel_convergence(WIDTHS, errors, ax=panel)
    panel.set_title(f"b = {shift}: {activation.firing_probability:.0%} fire")
