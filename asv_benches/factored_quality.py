"""Print, as Markdown, how well factored networks predict, beside dense ones and ridge regression.

    python asv_benches/factored_quality.py [--splits 8]

Means over random splits: R^2 on diabetes (300 rows to train, 142 to test) and accuracy on digits
(1000 and 797 rows). Models have default parameters unless their name says otherwise. Seconds are
processor time of a fit and a prediction.
"""

import argparse
import time
import warnings

import numpy as np
from side_by_side import print_table
from sklearn.datasets import load_diabetes, load_digits
from sklearn.linear_model import RidgeClassifierCV, RidgeCV
from sklearn.model_selection import train_test_split

from subquad.estimators import (
    FactoredClassifier,
    FactoredRegressor,
    GaussNewtonClassifier,
    GaussNewtonRegressor,
    NTKClassifier,
    NTKRegressor,
)

ALPHAS = np.logspace(-6, 3, 30)
TASKS = {
    "diabetes, R^2": (load_diabetes, 300, 8, RidgeCV(ALPHAS), GaussNewtonRegressor, NTKRegressor,
                      FactoredRegressor),
    "digits, accuracy": (load_digits, 1000, 32, RidgeClassifierCV(ALPHAS), GaussNewtonClassifier,
                         NTKClassifier, FactoredClassifier),
}  # fmt: skip


def models(small, ridge, gauss_newton, ntk, factored):
    """Return the contenders of a task, by name."""
    dense = {
        "ridge": ridge,
        "infinite width (NTK)": ntk(),
        "last layer of a dense network": gauss_newton(random_state=0),
    }
    variants = {
        "A B C": {},
        "A B C, k = 1024": {"outer_size": 1024},
        f"A B C, l = {small}": {"inner_size": small},
        "B C": {"outer_size": None},
    }
    return dense | {name: factored(random_state=0, **v) for name, v in variants.items()}


def measure(load, n_train, *kinds, splits):
    """Return the scores and seconds of each model over the splits, by name."""
    X, y = load(return_X_y=True)
    results = {name: [] for name in models(*kinds)}
    for split in range(splits):
        train, test, y_train, y_test = train_test_split(
            X, y, train_size=n_train, random_state=split
        )
        for name, model in models(*kinds).items():
            start = time.process_time()
            score = model.fit(train, y_train).score(test, y_test)
            results[name].append((score, time.process_time() - start))
    return results


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--splits", type=int, default=8)
    splits = parser.parse_args().splits
    warnings.simplefilter(
        "ignore"
    )  # 20 steps do not always settle a fit, yet predict as well as more
    for title, (load, n_train, *kinds) in TASKS.items():
        results = measure(load, n_train, *kinds, splits=splits)
        rows = []
        for name, values in results.items():
            scores, seconds = np.transpose(values)
            error = scores.std(ddof=1) / np.sqrt(splits) if splits > 1 else float("nan")
            rows.append([name, f"{scores.mean():.4f}", f"{error:.4f}", float(np.median(seconds))])
        print_table([title, "mean", "standard error", "seconds"], rows)
        print()


if __name__ == "__main__":
    main()
