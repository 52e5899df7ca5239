r"""
A tenth digit for a network that knows nine
===========================================

A network of three layers learns the digits 0 to 8, its tenth output being 0 for all of them. Then
it is shown 64 nines: how do four ways of moving one layer teach it the nine, and how much do they
forget? All see the same rows and targets, 1 for the digit and 0 for the others, by squares:

- `fit_layer`, Gauss-Newton, with the regularisation chosen by leave-one-out;
- Adam on the weight of the same layer, at the learning rate 1e-3;
- LoRA of rank 8 on it, by Adam at the learning rate 1e-2: a branch :math:`x \mapsto B A x`, written
  by hand here as PEFT has it, at the scaling 1;
- ridge regression of what is missing on the features under the head, which moves the head.

The accuracy on nines and on other digits, none of them seen, is a line for each way that goes on
for many steps, and a dot where it ends. Shown nines alone, on the left, every way forgets nearly
all else, since "always nine" is an answer to 64 nines. In the middle they see 128 of the first
digits again besides. On the right, the seconds that each took then.
"""

import copy
import time

import numpy as np
import torch
from matplotlib import pyplot as plt
from sklearn.datasets import load_digits
from torch import nn

from subquad.interop import apply_change, fit_layer

LAYER, NEW = "2", 9  # the name of the layer in the model, and the digit that comes late

torch.manual_seed(0)
images, labels = load_digits(return_X_y=True)
images = torch.tensor(images / 16, dtype=torch.float32)
one_hot = nn.functional.one_hot(torch.tensor(labels), 10).float()
order = np.random.default_rng(0).permutation(len(labels))
old, new = order[labels[order] != NEW], order[labels[order] == NEW]
old_train, old_test, new_train, new_test = old[:1200], old[1200:], new[:64], new[64:]
draws = np.random.default_rng(1)


def squares(model, rows):
    return nn.functional.mse_loss(model(images[rows]), one_hot[rows])


def descend(model, weights, learning_rate, steps, choose, after=lambda: None):
    optimizer = torch.optim.Adam(weights, lr=learning_rate)
    for step in range(steps):
        optimizer.zero_grad()
        squares(model, choose()).backward()
        optimizer.step()
        if step % 10 == 9:
            after()


@torch.no_grad()
def accuracies(model):
    found = [
        float((model(images[rows]).argmax(1).numpy() == labels[rows]).mean())
        for rows in (new_test, old_test)
    ]
    return [100 * accuracy for accuracy in found]


model = nn.Sequential(
    nn.Linear(64, 256), nn.GELU(), nn.Linear(256, 256), nn.GELU(), nn.Linear(256, 10)
)
descend(model, model.parameters(), 2e-3, 400, lambda: draws.choice(old_train, 64))
model.eval().requires_grad_(False)

# %%
# Each way is a function that changes a copy of the model; the steps tell how they come along.


def gauss_newton(model, rows, _):
    apply_change(model, fit_layer(model, images[rows], one_hot[rows], LAYER, tol=1e-3))
    return model


def adam(model, rows, after):
    weight = model.get_submodule(LAYER).weight.requires_grad_()
    descend(model, [weight], 1e-3, 200, lambda: rows, lambda: after(model))
    return model


class Branch(nn.Module):
    def __init__(self, linear, rank=8):
        super().__init__()
        self.linear = linear
        self.A = nn.Parameter(torch.randn(rank, linear.in_features) / rank)
        self.B = nn.Parameter(torch.zeros(linear.out_features, rank))

    def forward(self, x):
        return self.linear(x) + x @ self.A.T @ self.B.T


def lora(model, rows, after):
    branch = Branch(model.get_submodule(LAYER))
    model[int(LAYER)] = branch
    descend(model, [branch.A, branch.B], 1e-2, 200, lambda: rows, lambda: after(model))
    return model


def ridge(model, rows, _, regularization=1.0):
    features, head = model[:-1](images[rows]), model[-1]
    features = torch.cat([features, torch.ones(len(features), 1)], dim=1)
    missing = one_hot[rows] - model(images[rows])
    G = features @ features.T + regularization * torch.eye(len(features))
    change = torch.linalg.solve(G, missing).T @ features
    head.weight += change[:, :-1]
    head.bias += change[:, -1]
    return model


# %%
# Each way starts from the same model, with nines alone and with old digits beside them.

ways = {"fit_layer": gauss_newton, "Adam": adam, "LoRA": lora, "ridge on the features": ridge}
shown = {
    "64 nines": new_train,
    "64 nines, 128 others": np.concatenate([new_train, old_train[:128]]),
}
figure, (*planes, times) = plt.subplots(1, 3, figsize=(11, 3.8), layout="constrained")
for plane, (title, rows) in zip(planes, shown.items(), strict=True):
    plane.plot(*accuracies(model), "k*", markersize=10, label="before")
    for name, way in ways.items():
        path = [accuracies(model)]
        way(copy.deepcopy(model), rows, lambda model, path=path: path.append(accuracies(model)))
        start = time.perf_counter()
        changed = way(copy.deepcopy(model), rows, lambda _: None)
        seconds = time.perf_counter() - start
        end = accuracies(changed)
        print(
            f"{title}, {name}: {end[0]:.0f} % of nines, {end[1]:.0f} % of others, {seconds:.3f} s"
        )
        [line] = plane.plot(*zip(*path, strict=True), linewidth=1 if len(path) > 1 else 0)
        plane.plot(*end, "o", color=line.get_color(), label=name)
        if plane is planes[-1]:
            times.barh(name, seconds, color=line.get_color())
    plane.set(title=title, xlabel="accuracy on nines (%)", xlim=(-5, 105), ylim=(-5, 105))
planes[0].set_ylabel("accuracy on the other digits (%)")
planes[-1].legend(loc="lower left")
times.set(xlabel="seconds", xscale="log", title=title)
times.invert_yaxis()
