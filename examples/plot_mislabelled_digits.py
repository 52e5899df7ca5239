"""
Mislabelled digits, found by their own influence
================================================

A tenth of 300 training digits get a wrong label. A row that contradicts the others is fitted only
because it is there: without it, its own loss would rise by much. The factor of the fit tells this
rise for every row at once, where refits would have to leave the rows out one by one. Listed by it,
the first rows are nearly all mislabelled. Where the regularisation is chosen by leave-one-out, the
fit resists wrong labels, and its plain loss shows them as well. A fit that has learnt them by
heart, on the right, has a small loss everywhere; the rise still tells.
"""

import numpy as np
from matplotlib import pyplot as plt
from sklearn.datasets import load_digits
from sklearn.metrics import average_precision_score, precision_recall_curve

from subquad.estimators import GaussNewtonClassifier

rng = np.random.default_rng(0)
X, y = load_digits(return_X_y=True)
some = rng.permutation(len(X))[:300]
X, y = X[some], y[some]
flipped = rng.choice(300, 30, replace=False)
y[flipped] = (y[flipped] + rng.integers(1, 10, 30)) % 10
is_flipped = np.isin(np.arange(300), flipped)


# %%
# The diagonal of the influence matrix is what each row does to its own scores.


def losses(model):
    """Return the squared loss of each row, and by how much it rises if the row is left out."""
    left = 2.0 * (y[:, None] == model.classes_) - 1.0 - model.decision_function(X)
    own = np.einsum("iic->ic", model.influence(X))
    loss = np.square(left).sum(axis=1)
    return loss, np.square(left - own).sum(axis=1) - loss


# %%
# Precision against recall as one goes down each list; average precisions are in the legends.

figure, panels = plt.subplots(1, 2, figsize=(9, 3.8), sharey=True, layout="constrained")
for axes, regularization in zip(panels, ("loo", 0.1), strict=True):
    model = GaussNewtonClassifier(width=1024, regularization=regularization, random_state=0)
    loss, rise = losses(model.fit(X, y))
    orders = {"rise of its loss": rise, "loss": loss, "random": rng.random(300)}
    for name, values in orders.items():
        precision, recall, _ = precision_recall_curve(is_flipped, values)
        area = average_precision_score(is_flipped, values)
        axes.plot(recall, precision, label=f"{name}: {area:.2f}")
    fitted = f"{model.score(X, y):.0%} of the labels fitted"
    axes.set(xlabel="recall", title=f"regularization={regularization!r}, {fitted}")
    axes.legend(loc="center left")
panels[0].set_ylabel("precision")
