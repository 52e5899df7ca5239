"""Print, as Markdown, how good the classifiers' probabilities are beside logistic regression.

    python asv_benches/probabilities_table.py [--data NAME ...] [--classifiers NAME ...]
        [--splits K]

Mean over the splits and its standard error, on test rows, of the log-loss and of the expected
calibration error: rows in 15 equal bins of their largest probability, |accuracy - mean probability|
of each bin, weighted by its rows. Accuracies, and CPU seconds per fit. breast_cancer and digits
come with scikit-learn: random splits, seeded by their numbers, with 400 and 1000 training rows.

NTK, Gauss-Newton, factored     defaults
logistic                        LogisticRegression on standardised features: C by log-loss, 5 folds
"""

import argparse
import time
import warnings

import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.linear_model import LogisticRegressionCV
from sklearn.metrics import log_loss
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from subquad.estimators import FactoredClassifier, GaussNewtonClassifier, NTKClassifier

LOADERS = {"breast_cancer": load_breast_cancer, "digits": load_digits}
TRAINING_ROWS = {"breast_cancer": 400, "digits": 1000}
N_BINS = 15
SMALL = {"width": 512, "max_steps": 2}  # of a run that only shows that the script runs


def contenders(seed, small):
    """Return {name: classifier}."""
    options = {"random_state": seed, **(SMALL if small else {})}
    logistic = LogisticRegressionCV(
        Cs=np.logspace(-4, 2, 13), cv=5, scoring="neg_log_loss", max_iter=1000
    )
    return {
        "NTK": NTKClassifier(),
        "Gauss-Newton": GaussNewtonClassifier(**options),
        "factored": FactoredClassifier(**options),
        "logistic": make_pipeline(StandardScaler(), logistic),
    }


def calibration_error(probabilities, labels):
    """Return the expected calibration error of labels 0, 1, ... ."""
    sure = probabilities.max(axis=1)
    lacks = sure - (probabilities.argmax(axis=1) == labels)
    bins = np.minimum((sure * N_BINS).astype(int), N_BINS - 1)
    return float(np.abs(np.bincount(bins, lacks)).sum() / len(labels))


def measure(name, names, n_splits, small=False):
    """Return {contender: rows of (log-loss, calibration error, accuracy, seconds)}."""
    X, y = LOADERS[name](return_X_y=True)
    results = {}
    for seed in range(n_splits):
        order = np.random.default_rng(seed).permutation(len(y))
        train, test = np.split(order, [100 if small else TRAINING_ROWS[name]])
        models = contenders(seed, small)
        for contender in names:
            model = models[contender]
            start = time.process_time()
            model.fit(X[train], y[train])
            seconds = time.process_time() - start
            proba = model.predict_proba(X[test])
            right = float(np.mean(proba.argmax(axis=1) == y[test]))
            figures = log_loss(y[test], proba), calibration_error(proba, y[test]), right, seconds
            results.setdefault(contender, []).append(figures)
    return results


def cell(values):
    """Return mean and standard error as text."""
    text = f"{np.mean(values):.4f}"
    if len(values) > 1:
        text += f" ± {np.std(values, ddof=1) / np.sqrt(len(values)):.4f}"
    return text


def main(words=None):
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", nargs="+", choices=LOADERS, default=list(LOADERS))
    names = list(contenders(0, False))
    parser.add_argument("--classifiers", nargs="+", choices=names, default=names)
    parser.add_argument("--splits", type=int, default=10)
    parser.add_argument("--small", action="store_true", help="tiny fits, to see that it runs")
    options = parser.parse_args(words)
    warnings.simplefilter("ignore")  # such as those of fits that end by max_steps
    print("| data | classifier | log-loss | calibration error | accuracy | s |")
    print("|---" * 6 + "|", flush=True)
    for name in options.data:
        results = measure(name, options.classifiers, options.splits, options.small)
        for contender, rows in results.items():
            losses, errors, accuracies, seconds = np.transpose(rows)
            cells = [cell(losses), cell(errors), cell(accuracies), f"{np.mean(seconds):.2g}"]
            print("| " + " | ".join([name, contender, *cells]) + " |", flush=True)


if __name__ == "__main__":
    main()
