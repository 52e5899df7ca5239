"""
How fast Gauss-Newton converges
===============================

[SZZ24] proves that every step leaves at most a third of the residual, for networks that are wide
enough. At widths that a computer holds the rate depends on the width like m^-1/2, and soon beats
the bound; once no neuron changes sides, a step ends at the precision of the machine.
"""

import numpy as np
from matplotlib import pyplot as plt

from subquad.networks import WideNetwork
from subquad.plotting import residuals
from subquad.training import LastLayerGaussNewton

rng = np.random.default_rng(0)
X = rng.standard_normal((64, 16))
y = rng.choice([-1.0, 1.0], 64)

# %%
# One fit for each width, from the same data. The dashed line of the bound is drawn once.

figure, axes = plt.subplots(figsize=(5.5, 3.8))
for width in (256, 1024, 4096):
    layer = WideNetwork(16, width=width, depth=2, rng=1).last_layer(X)
    trainer = LastLayerGaussNewton(layer, y).run()
    residuals(trainer.history, axes)
    curve, bound = axes.get_lines()[-2:]
    curve.set_label(f"m = {width}")
    if width != 256:
        bound.remove()
axes.legend()
figure.tight_layout()
