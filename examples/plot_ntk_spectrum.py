r"""
Eigenvalues of the tangent kernel
=================================

How fast a wide network learns is in the eigenvalues of its tangent kernel, and the smallest decides
how wide it has to be. On the left, the spectra of `last_layer_ntk` for digits: a large shift
flattens them, since it lets only neurons fire that tell points apart. On the right, the smallest
eigenvalue against the depth, for several shifts: depth lifts it for the networks with a shift, and
hardly for ReLU.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from subquad.activations import ShiftedReLU
from subquad.ntk import last_layer_ntk
from subquad.ntk import spectrum as eigenvalues
from subquad.plotting import spectrum

DEPTHS = [2, 3, 4, 6]
SHIFTS = [0.0, 1.0, 2.0]

X = load_digits().data[:200]
X /= np.linalg.norm(X, axis=1, keepdims=True)

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
for shift in SHIFTS:
    activation = ShiftedReLU(shift)
    kernels = [last_layer_ntk(X, depth=depth, activation=activation) for depth in DEPTHS]
    # At shift b the diagonal is c Q(b), which would hide the shape.
    found = [eigenvalues(kernel / kernel[0, 0]) for kernel in kernels]
    drawn = len(left.lines)
    spectrum(found[0].eigenvalues, ax=left)
    left.lines[drawn].set_label(f"b = {shift}")
    right.plot(DEPTHS, [each.smallest for each in found], marker="o", label=f"b = {shift}")
left.set(title="two hidden layers", ylim=(0.02, None))
left.legend()
right.set(xlabel="hidden layers", ylabel=r"$\lambda_{\min}$, diagonal 1", yscale="log")
right.legend()
