"""Print, as Markdown, the log-loss of GaussNewtonClassifier beside tuned logistic regression.

    python asv_benches/log_loss_table.py [--data NAME ...] [--classifiers NAME ...] [--folds K]

Mean over stratified folds and its standard error, on the rows left out, of log-loss and accuracy;
CPU seconds per fit. breast_cancer and digits come with scikit-learn.

log_loss, squared     GaussNewtonClassifier with this loss, otherwise with its defaults
logistic, raw         LogisticRegression on standardised features: C by log-loss, 5 inner folds
logistic, hidden      the same on what the last hidden layer of the classifier's network, as drawn,
                      responds to its scaled rows
"""

import argparse
import time
import warnings

import numpy as np
from probabilities_table import LOADERS, cell
from sklearn.linear_model import LogisticRegressionCV
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from subquad.estimators import GaussNewtonClassifier

NAMES = ("log_loss", "squared", "logistic, raw", "logistic, hidden")
FOLDS = 5
SMALL = {"width": 256, "max_steps": 2}  # of a run that only shows that the script runs


def logistic(small):
    """Return logistic regression on standardised features, its C chosen by log-loss."""
    Cs = np.logspace(-4, 2, 2 if small else 7)
    model = LogisticRegressionCV(Cs=Cs, cv=5, scoring="neg_log_loss", max_iter=1000)
    return make_pipeline(StandardScaler(), model)


def hidden(model, X):
    """Return the responses of the last hidden layer of a fitted model's network, as drawn."""
    layer = model.network_.last_layer(model._rows(X))
    return np.maximum(layer.preactivations, 0.0)  # the classifier's default is ReLU


def fitted(name, X, y, small):
    """Return what gives the probabilities of rows, fitted."""
    options = {"random_state": 0, **(SMALL if small else {})}
    if name in ("log_loss", "squared"):
        return GaussNewtonClassifier(loss=name, **options).fit(X, y).predict_proba
    if name == "logistic, raw":
        return logistic(small).fit(X, y).predict_proba
    model = GaussNewtonClassifier(**{**options, "max_steps": 0}).fit(X, y)
    regression = logistic(small).fit(hidden(model, X), y)
    return lambda X: regression.predict_proba(hidden(model, X))


def measure(data, names, n_folds, small=False):
    """Return {contender: rows of (log-loss, accuracy, seconds)}."""
    X, y = LOADERS[data](return_X_y=True)
    if small:
        X, y = X[:120], y[:120]
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(X, y)
    results = {name: [] for name in names}
    for _, (train, test) in zip(range(n_folds), folds, strict=False):
        for name in names:
            start = time.process_time()
            proba_of = fitted(name, X[train], y[train], small)
            seconds = time.process_time() - start
            proba = proba_of(X[test])
            right = float(np.mean(proba.argmax(axis=1) == y[test]))
            results[name].append((log_loss(y[test], proba), right, seconds))
    return results


def main(words=None):
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", nargs="+", choices=LOADERS, default=list(LOADERS))
    parser.add_argument("--classifiers", nargs="+", choices=NAMES, default=NAMES)
    parser.add_argument("--folds", type=int, choices=range(1, FOLDS + 1), default=FOLDS)
    parser.add_argument("--small", action="store_true", help="tiny fits, to see that it runs")
    options = parser.parse_args(words)
    warnings.simplefilter("ignore")  # such as those of fits that end by max_steps
    print("| data | classifier | log-loss | accuracy | s |")
    print("|---" * 5 + "|", flush=True)
    for data in options.data:
        results = measure(data, options.classifiers, options.folds, options.small)
        for name, rows in results.items():
            losses, accuracies, seconds = np.transpose(rows)
            cells = [cell(losses), cell(accuracies), f"{np.mean(seconds):.2g}"]
            print("| " + " | ".join([data, name, *cells]) + " |", flush=True)


if __name__ == "__main__":
    main()
