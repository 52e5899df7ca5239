r"""
Tangent kernels of a small convolutional network, layer by layer
================================================================

`capture` takes any torch model apart: here a network of two convolutions and two linear layers on
digits, before and after training. A convolution is a linear layer that is called once for each
position, so that its kernel is a sum over pairs of positions, and no gradient is formed.

Above, the kernel of all layers for 100 digits, sorted by class, for the output of the class "3":
training draws it together within the classes. Below, how well the kernel of each layer is aligned
with the labels, :math:`\langle K, y y^T\rangle / (\|K\| \|y y^T\|)` for centred kernels. Training
aligns the kernels of all layers, those of the convolutions most.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn

from subquad.interop import capture
from subquad.jacobian import JacobianSum

DIGIT = 3

torch.manual_seed(0)
images, labels = load_digits(return_X_y=True)
images = torch.tensor(images.reshape(-1, 1, 8, 8) / 16, dtype=torch.float32)
model = nn.Sequential(
    nn.Conv2d(1, 16, 3, padding=1),
    nn.ReLU(),
    nn.Conv2d(16, 32, 3, stride=2),
    nn.ReLU(),
    nn.Flatten(),
    nn.Linear(32 * 9, 64),
    nn.ReLU(),
    nn.Linear(64, 10),
)
shown = np.concatenate([np.flatnonzero(labels == digit)[:10] for digit in range(10)])
held_out = torch.ones(len(labels), dtype=torch.bool)
held_out[torch.from_numpy(shown)] = False


def train(model, steps=200):
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    targets = torch.from_numpy(labels)
    choices = torch.nonzero(held_out)[:, 0]
    for _ in range(steps):
        batch = choices[torch.randint(len(choices), (64,))]
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images[batch]), targets[batch]).backward()
        optimizer.step()


def kernels(model):
    return capture(model.eval(), images[shown], outputs=DIGIT)


def alignment(K, y):
    def centred(K):
        return K - K.mean(axis=0) - K.mean(axis=1)[:, None] + K.mean()

    K, L = centred(K), centred(np.outer(y, y))
    return np.vdot(K, L) / (np.linalg.norm(K) * np.linalg.norm(L))


before = kernels(model)
train(model)
after = kernels(model)

figure = plt.figure(figsize=(8, 7), layout="constrained")
pictures = figure.subplot_mosaic([["before", "after"], ["layers", "layers"]])
for name, found in (("before", before), ("after", after)):
    K = JacobianSum(found.values()).gram()
    root = np.sqrt(K.diagonal())
    pictures[name].imshow(K / np.outer(root, root), vmin=-1, vmax=1, cmap="RdBu_r")
    pictures[name].set(title=f"{name} training", xlabel="digits 0 to 9, ten each")
y = np.where(labels[shown] == DIGIT, 1.0, 0.0)
positions = np.arange(len(before))
for shift, (name, found) in zip((-0.2, 0.2), (("before", before), ("after", after)), strict=True):
    heights = [alignment(J.gram(), y) for J in found.values()]
    pictures["layers"].bar(positions + shift, heights, width=0.4, label=f"{name} training")
names = [f"{name}: {type(model.get_submodule(name)).__name__}" for name in before]
pictures["layers"].set_xticks(positions, names)
pictures["layers"].set(ylabel=f"alignment with the label {DIGIT}")
pictures["layers"].legend()
