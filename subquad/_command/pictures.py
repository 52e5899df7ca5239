"""The pictures of a report, each as SVG text."""

import io
import re

import numpy as np

_BLUE, _GREY = "#2a6fbb", "#999999"
MOST_CLASSES = 30
# A cloud of more points is no clearer, and makes the page large.
MOST_POINTS = 2000


def candidates(names, errors, kind):
    """Errors with their standard errors."""
    figure, axes = _figure(6, 0.5 * len(names) + 1)
    values, spreads = np.array(errors).T
    axes.barh(names, values, xerr=spreads, color=_BLUE, ecolor=_GREY)
    axes.invert_yaxis()
    axes.set_xlabel(f"cross-validated {kind}")
    return _svg(figure, "Errors of the candidates")


def residuals(y, predicted):
    """Predicted against observed, and the residuals."""
    figure, axes = _figure(9, 3.5, 2)
    some = slice(None, MOST_POINTS)
    low, high = np.min([y.min(), predicted.min()]), np.max([y.max(), predicted.max()])
    axes[0].plot([low, high], [low, high], color=_GREY, linewidth=1)
    axes[0].plot(predicted[some], y[some], ".", color=_BLUE, markersize=3)
    axes[0].set(xlabel="predicted", ylabel="observed")
    axes[1].hist(y - predicted, bins=40, color=_BLUE)
    axes[1].set(xlabel="observed minus predicted", ylabel="rows")
    return _svg(figure, "Predictions and residuals")


def coverage(y, predicted, deviations):
    """The share of observations inside intervals of each probability."""
    from statistics import NormalDist

    chances = np.linspace(0.05, 0.95, 19)
    halves = np.array([NormalDist().inv_cdf((1 + p) / 2) for p in chances])
    distance = np.abs(y - predicted) / np.where(deviations > 0, deviations, 1.0)
    inside = [np.mean(distance <= half) for half in halves]
    return _against_ideal(chances, inside, "probability of the interval", "rows inside it")


def calibration(y, chances, classes):
    """How often the most probable class is right, by its probability."""
    top = chances.max(axis=1)
    right = classes[chances.argmax(axis=1)] == y
    order = np.argsort(top)
    groups = [group for group in np.array_split(order, min(10, max(1, len(y) // 10))) if len(group)]
    means = [(top[group].mean(), right[group].mean()) for group in groups]
    said, was = np.array(means).T
    return _against_ideal(said, was, "probability of the predicted class", "rows told right")


def confusion(y, predicted):
    """Rows of each class by the class that is predicted."""
    labels = np.unique(np.concatenate([y, predicted]))[:MOST_CLASSES]
    counts = np.array([[np.sum((y == a) & (predicted == b)) for b in labels] for a in labels])
    side = max(3.0, 0.35 * len(labels) + 1.5)
    figure, axes = _figure(side, side)
    axes.imshow(counts, cmap="Blues")
    for i, j in np.argwhere(counts > 0):
        dark = counts[i, j] > counts.max() / 2
        axes.text(j, i, counts[i, j], ha="center", va="center", color="w" if dark else "k")
    places = range(len(labels))
    axes.set_xticks(places, map(str, labels), rotation=90 if len(labels) > 5 else 0)
    axes.set_yticks(places, map(str, labels))
    axes.set(xlabel="predicted", ylabel="observed")
    return _svg(figure, "Confusion matrix")


def importance(pairs, base):
    """By how much the error grows for each column."""
    figure, axes = _figure(6, 0.3 * len(pairs) + 1)
    axes.barh([_short(name) for name, _ in pairs], [grown for _, grown in pairs], color=_BLUE)
    axes.invert_yaxis()
    axes.set_xlabel(f"error with the column shuffled, above {base:.4g}")
    return _svg(figure, "Permutation importance")


def curve(points):
    """Error against the number of rows."""
    figure, axes = _figure(6, 3)
    rows, errors, spreads = np.array(points).T
    axes.errorbar(rows, errors, spreads, color=_BLUE, ecolor=_GREY, marker="o")
    axes.set(xlabel="training rows", ylabel="error on other rows", xscale="log")
    axes.set_xticks(rows, [f"{n:.0f}" for n in rows], minor=False)
    axes.minorticks_off()
    return _svg(figure, "Error by training rows")


def steps(history):
    """Residual after each step of a network."""
    figure, axes = _figure(6, 3)
    axes.plot([r.step for r in history], [r.relative_residual for r in history], "o-", color=_BLUE)
    axes.set(xlabel="Gauss-Newton step", ylabel="relative residual", yscale="log")
    return _svg(figure, "Residuals by step")


def _against_ideal(x, y, xlabel, ylabel):
    """A curve that should be the diagonal."""
    figure, axes = _figure(4, 3.5)
    axes.plot([0, 1], [0, 1], color=_GREY, linewidth=1)
    axes.plot(x, y, "o-", color=_BLUE, markersize=3)
    axes.set(xlabel=xlabel, ylabel=ylabel, xlim=(0, 1.02), ylim=(0, 1.02))
    return _svg(figure, "Calibration")


def _short(name):
    """A name that leaves room for the picture; no character begins a formula."""
    name = str(name)
    return (name if len(name) <= 28 else f"{name[:27]}…").replace("$", r"\$")


def _figure(width, height, columns=1):
    """Figure and axes, without the state of pyplot."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(1, columns)


def _svg(figure, title):
    """Text of a figure for a page: without a prologue, with a title that is read aloud."""
    import matplotlib

    text = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": title, "svg.fonttype": "path"}):
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    svg = text.getvalue()
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    # Pictures of one page must not share names.
    prefix = re.sub(r"\W", "", title)
    svg = re.sub(r'(id="|href="#|url\(#)', rf"\1{prefix}-", svg)
    return svg.replace("<svg ", f'<svg role="img" aria-label="{title}" ', 1)
