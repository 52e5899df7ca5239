"""Print, as Markdown, how well every estimator predicts with its defaults, beside scikit-learn's.

    SUBQUAD_DATA=folder python asv_benches/estimators_table.py [--tables NAME ...] [--splits K]
        [--models NAME ...]

Mean and standard error over the splits of the root mean squared error (tables of numbers) or of the
accuracy (tables of classes) on test rows, and CPU seconds per fit. A mean is bold if the best one
is at most one standard error (of their difference, split by split) away.
The first six tables come with scikit-learn: random splits, seeded by their numbers, a third of the
rows to test (of digits, 797). The others are read from the folder that SUBQUAD_DATA names:
uci-NAME.npz with X, y, and test_mask, of shape (splits, rows). Ours get raw tables, scikit-learn's
standardised ones.

NTK, Gauss-Newton, factored, half-space     ours, with their defaults
ridge            RidgeCV, RidgeClassifierCV: alpha by leave-one-out
kernel ridge     Gaussian kernel: alpha and gamma by grid search, 5 folds
GP               GaussianProcessRegressor: Gaussian kernel, a scale for each feature, and noise
boosting         HistGradientBoosting: defaults
MLP              MLPRegressor, MLPClassifier: defaults, at most 2000 epochs
"""

import argparse
import time
import warnings

import numpy as np
from estimator_quality import (
    ALPHAS,
    MLP,
    TABLES,
    KernelRidgeClassifier,
    at_hand,
    grid_search,
    load,
)
from side_by_side import print_table
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris, load_wine
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import RidgeClassifierCV, RidgeCV
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from subquad import estimators

NUMBERS = {"diabetes": load_diabetes}
CLASSES = {
    "iris": load_iris,
    "wine": load_wine,
    "breast_cancer": load_breast_cancer,
    "digits": load_digits,
}
ALL = (*NUMBERS, *TABLES, *CLASSES)
OURS = {"NTK": "NTK", "Gauss-Newton": "GaussNewton", "factored": "Factored",
        "half-space": "HalfSpaceSGD"}  # fmt: skip
MODELS = (*OURS, "ridge", "kernel ridge", "GP", "boosting", "MLP")
N_SPLITS = 10


def ours(name, kind, seed):
    """Return an estimator of this package."""
    cls = getattr(estimators, OURS[name] + kind)
    return cls() if name == "NTK" else cls(random_state=seed)


def theirs(name, kind, n_features, seed):
    """Return a relative from scikit-learn, or None where it has none for classes."""
    numbers = kind == "Regressor"
    if name == "ridge":
        model = (RidgeCV if numbers else RidgeClassifierCV)(ALPHAS)
    elif name == "kernel ridge":
        kernel_model = KernelRidge if numbers else KernelRidgeClassifier
        model = grid_search(kernel_model(kernel="rbf"), n_features, seed)
    elif name == "boosting":
        cls = HistGradientBoostingRegressor if numbers else HistGradientBoostingClassifier
        return cls(random_state=seed)  # trees need no scaling
    elif name == "MLP":
        model = (MLPRegressor if numbers else MLPClassifier)(random_state=seed, **MLP)
    elif numbers:
        kernel = ConstantKernel() * RBF(np.full(n_features, 3.0)) + WhiteKernel(0.1)
        model = GaussianProcessRegressor(kernel, random_state=seed)
    else:
        return None
    if numbers:
        model = TransformedTargetRegressor(model, transformer=StandardScaler())
    return make_pipeline(StandardScaler(), model)


def split(name):
    """Return X, y, and one mask of test rows per split."""
    if name in TABLES:
        return load(name)
    X, y = {**NUMBERS, **CLASSES}[name](return_X_y=True)
    masks = np.zeros((N_SPLITS, len(y)), dtype=bool)
    n_test = 797 if name == "digits" else len(y) // 3
    for seed, mask in enumerate(masks):
        mask[np.random.default_rng(seed).permutation(len(y))[:n_test]] = True
    return X, y, masks


def measure(name, models, n_splits):
    """Return {model: (figures, CPU seconds)}, one entry per split, models alternated."""
    X, y, masks = split(name)
    kind = "Classifier" if name in CLASSES else "Regressor"
    results = {}
    for seed, test in enumerate(masks[:n_splits]):
        for contender in models:
            made = ours(contender, kind, seed) if contender in OURS else None
            model = made or theirs(contender, kind, X.shape[1], seed)
            if model is None:
                continue
            start = time.process_time()
            model.fit(X[~test], y[~test])
            seconds = time.process_time() - start
            errors = model.predict(X[test]) - y[test]
            right = kind == "Classifier"
            figure = np.mean(errors == 0) if right else np.sqrt(np.mean(np.square(errors)))
            figures = results.setdefault(contender, ([], []))
            figures[0].append(float(figure))
            figures[1].append(seconds)
    return results


def row(name, models, n_splits):
    """Return the cells of one table."""
    results = measure(name, models, n_splits)
    sign = -1.0 if name in CLASSES else 1.0
    best = min(results, key=lambda model: sign * np.mean(results[model][0]))
    leader = np.array(results[best][0])
    cells = [text(*results[model], leader) if model in results else "" for model in models]
    measured = "accuracy" if name in CLASSES else "RMSE"
    return [name, measured, len(leader), *cells]


def text(figures, seconds, leader):
    """Return mean, standard error and seconds, bold where the best is not surely better."""
    mean, lead = np.mean(figures), np.abs(np.mean(figures - leader))
    # Three digits of the smallest figures, and no more than two decimals of large ones.
    digits = 1 if mean >= 20 else 2 if mean >= 1 else 3
    shown = f"{mean:.{digits}f}"
    tied = lead <= standard_error(figures - leader)
    shown = f"**{shown}**" if tied else shown
    if len(figures) > 1:
        shown += f" ± {standard_error(figures):.{digits}f}"
    return f"{shown} ({np.mean(seconds):.2g} s)"


def standard_error(values):
    """Return the standard error of a mean, 0 of one value."""
    return np.std(values, ddof=1) / np.sqrt(len(values)) if len(values) > 1 else 0.0


def main(words=None):
    """Measure and print, row by row."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tables", nargs="+", choices=ALL, default=ALL)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=MODELS)
    parser.add_argument("--splits", type=int, help="at most so many of each table")
    options = parser.parse_args(words)
    warnings.simplefilter("ignore")  # such as those of fits that stop at their last step
    heads = ["table", "measure", "splits", *options.models]
    tables = at_hand(options.tables)
    print_table(heads, (row(name, options.models, options.splits) for name in tables))


if __name__ == "__main__":
    main()
