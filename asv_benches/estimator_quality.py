"""Print, as Markdown, how well the estimators predict beside scikit-learn's nearest relatives.

    SUBQUAD_DATA=folder python asv_benches/estimator_quality.py [--data NAME ...] [--splits K]

Errors on test rows, as mean and standard error over the splits, and CPU seconds per fit. Every
contender sees the same rows: standardised tables, and images divided by their brightest value.
diabetes and digits come with scikit-learn: random splits, seeded by their numbers, with 142 rows to
test and with 1000 rows to train. The other tables are read from the folder that SUBQUAD_DATA
names: uci-NAME.npz with X, y, and test_mask, of shape (splits, rows).

ours            GaussNewtonRegressor, GaussNewtonClassifier: defaults
ridge           RidgeCV, RidgeClassifierCV: alpha by leave-one-out
kernel ridge    Gaussian kernel: alpha and gamma by grid search, 5 folds
MLP             MLPRegressor, MLPClassifier: defaults, at most 2000 epochs
"""

import argparse
import os
import time
import warnings
from pathlib import Path

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_diabetes, load_digits
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import RidgeClassifierCV, RidgeCV
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from subquad.estimators import GaussNewtonClassifier, GaussNewtonRegressor

TABLES = ("concrete", "energy", "yacht")
DATA = ("diabetes", *TABLES, "digits")
MEASURES = {"diabetes": "R^2", "digits": "accuracy"}
CONTENDERS = ("ours", "ridge", "kernel ridge", "MLP")
N_RANDOM_SPLITS = 10
DIABETES_TEST_ROWS = 142
DIGITS_TRAINING_ROWS = 1000

OURS = {}
ALPHAS = np.logspace(-3, 4, 22)
KERNEL_GRID = {"alpha": np.logspace(-7, 1, 9), "gamma": np.logspace(-2, 0.5, 6)}
MLP = {"max_iter": 2000}


class KernelRidgeClassifier(ClassifierMixin, KernelRidge):
    """Kernel ridge regression on indicators of the classes."""

    def fit(self, X, y):
        """Fit +1 and -1."""
        self.classes_ = np.unique(y)
        return super().fit(X, 2.0 * (y[:, None] == self.classes_) - 1.0)

    def predict(self, X):
        """Return the class favoured most."""
        return self.classes_[super().predict(X).argmax(axis=1)]


def regressor(name, n_features, seed):
    """Return a contender for a table."""
    if name == "ours":
        return GaussNewtonRegressor(random_state=seed, **OURS)
    if name == "ridge":
        model = RidgeCV(ALPHAS)
    elif name == "kernel ridge":
        model = grid_search(KernelRidge(kernel="rbf"), n_features, seed)
    else:
        model = MLPRegressor(random_state=seed, **MLP)
    return make_pipeline(
        StandardScaler(), TransformedTargetRegressor(model, transformer=StandardScaler())
    )


def classifier(name, n_features, seed):
    """Return a contender for images."""
    if name == "ours":
        return GaussNewtonClassifier(random_state=seed, **OURS)
    if name == "ridge":
        model = RidgeClassifierCV(ALPHAS)
    elif name == "kernel ridge":
        model = grid_search(KernelRidgeClassifier(kernel="rbf"), n_features, seed)
    else:
        model = MLPClassifier(random_state=seed, **MLP)
    return make_pipeline(FunctionTransformer(divide_by_brightest), model)


def divide_by_brightest(X):
    """Return pixels of 0 to 1."""
    return X / 16.0


def grid_search(model, n_features, seed):
    """Return the kernel method with its grid, gamma in units of 1 / n_features."""
    grid = {**KERNEL_GRID, "gamma": KERNEL_GRID["gamma"] / n_features}
    # Shuffled: the rows of concrete are sorted by experiment.
    return GridSearchCV(model, grid, cv=KFold(5, shuffle=True, random_state=seed))


def load(name):
    """Return X, y, and one mask of test rows per split."""
    if name in TABLES:
        with np.load(Path(os.environ["SUBQUAD_DATA"]) / f"uci-{name}.npz") as arrays:
            return arrays["X"], arrays["y"], arrays["test_mask"]
    X, y = (load_digits if name == "digits" else load_diabetes)(return_X_y=True)
    n_training = DIGITS_TRAINING_ROWS if name == "digits" else len(y) - DIABETES_TEST_ROWS
    masks = np.ones((N_RANDOM_SPLITS, len(y)), dtype=bool)
    for seed, mask in enumerate(masks):
        mask[np.random.default_rng(seed).permutation(len(y))[:n_training]] = False
    return X, y, masks


def at_hand(names):
    """Return the names of data that can be read, saying which are left out."""
    if "SUBQUAD_DATA" in os.environ:
        return list(names)
    left_out = [name for name in names if name in TABLES]
    if left_out:
        print(f"SUBQUAD_DATA is not set: {', '.join(left_out)} left out.\n")
    return [name for name in names if name not in TABLES]


def measure(name, n_splits=None):
    """Return {contender: (scores, CPU seconds)}, one entry per split, contenders alternated."""
    X, y, masks = load(name)
    make = classifier if name == "digits" else regressor
    results = {contender: ([], []) for contender in CONTENDERS}
    for seed, test in enumerate(masks[:n_splits]):
        for contender, (scores, seconds) in results.items():
            model = make(contender, X.shape[1], seed)
            start = time.process_time()
            model.fit(X[~test], y[~test])
            seconds.append(time.process_time() - start)
            scores.append(score(name, model, X[test], y[test]))
    return results


def score(name, model, X, y):
    """Return R^2, accuracy, or the root mean squared error."""
    if name in MEASURES:
        return model.score(X, y)
    return float(np.sqrt(np.mean(np.square(model.predict(X) - y))))


def cell(scores, seconds):
    """Return mean, standard error and seconds as text."""
    digits = 2 if np.mean(scores) >= 1 else 4
    text = f"{np.mean(scores):.{digits}f}"
    if len(scores) > 1:
        text += f" ± {np.std(scores, ddof=1) / np.sqrt(len(scores)):.{digits}f}"
    return f"{text} ({np.mean(seconds):.2g} s)"


def print_table(names, n_splits):
    """Measure and print, row by row."""
    print("| data | splits | measure | " + " | ".join(CONTENDERS) + " |")
    print("|---" * (3 + len(CONTENDERS)) + "|", flush=True)
    for name in names:
        results = measure(name, n_splits)
        cells = [cell(*results[contender]) for contender in CONTENDERS]
        n_done = len(results["ours"][0])
        row = [name, str(n_done), MEASURES.get(name, "RMSE"), *cells]
        print("| " + " | ".join(row) + " |", flush=True)


def arguments(words=None):
    """Return the parsed command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", nargs="+", choices=DATA, default=DATA)
    parser.add_argument("--splits", type=int, help="at most so many of each data set")
    return parser.parse_args(words)


def main(words=None):
    """Measure and print."""
    options = arguments(words)
    warnings.simplefilter("ignore")  # such as those of rivals that stop at their last epoch
    print_table(at_hand(options.data), options.splits)


if __name__ == "__main__":
    main()
