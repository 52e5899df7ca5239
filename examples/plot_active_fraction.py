"""
Which neurons fire while a network is trained
=============================================

A shift of b standard deviations lets a fraction Q(b) of the neurons fire at a data point. Training
in the lazy regime hardly moves that fraction, and few neurons change sides: each one that does is
an error of the linear model that a step relies on.
"""

import numpy as np
from matplotlib import pyplot as plt

from subquad.activations import ShiftedReLU
from subquad.networks import FactoredNetwork
from subquad.plotting import active_fraction
from subquad.training import FactoredGradientDescent

rng = np.random.default_rng(0)
X = rng.standard_normal((200, 64))
X /= np.linalg.norm(X, axis=1, keepdims=True)
y = np.sign(X[:, 0] * X[:, 1])

# %%
# Three shifts, and for each the fraction that the theory expects, dotted.

figure, (fractions, flips) = plt.subplots(1, 2, figsize=(9, 3.6))
for shift in (0.0, 0.5, 1.0):
    network = FactoredNetwork(
        64, width=4096, inner_size=64, outer_size=512, activation=ShiftedReLU(shift), rng=0
    )
    trainer = FactoredGradientDescent(network, X, y)
    for _ in range(60):
        trainer.step()
    active_fraction(trainer.history, fractions)
    line = fractions.get_lines()[-1]
    line.set(marker="", label=f"b = {shift}")
    expected = network.activation.firing_probability
    fractions.axhline(expected, linestyle=":", color=line.get_color())
    pairs = X.shape[0] * network.width
    flips.plot(
        np.cumsum([record.flips for record in trainer.history]) / pairs, label=f"b = {shift}"
    )
fractions.set_ylim(0, 0.6)
fractions.legend(ncols=3)
flips.set(xlabel="step", ylabel="changes of side / (neuron, point) pairs")
flips.legend()
figure.tight_layout()
