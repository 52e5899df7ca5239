"""Print, as Markdown, test errors of NTKRegressor beside published ones, on 20 splits of tables.

    SUBQUAD_DATA=folder python asv_benches/ntk_quality.py [--data NAME ...] [--splits K]

Root mean squared errors on the test rows, mean and standard error over the splits, and CPU seconds
per fit. The folder holds uci-NAME.npz with X, y, and test_mask, of shape (splits, rows). Whatever
is chosen is chosen inside the training rows of a split.

ntk             NTKRegressor: defaults, which learn scales of the features
ntk, plain      NTKRegressor(scale_features=True)
gauss-newton    GaussNewtonRegressor: defaults
PBP             Hernandez-Lobato and Adams (2015)
dropout         Gal and Ghahramani (2016)
tuned dropout   later figures of dropout with tuned hyperparameters
"""

import argparse
import time
import warnings
from functools import partial

import numpy as np
from estimator_quality import TABLES, cell, load
from side_by_side import print_table, seconds_of

from subquad.estimators import GaussNewtonRegressor, NTKRegressor

PUBLISHED = {
    "PBP": {"concrete": 5.67, "energy": 1.80, "yacht": 1.02},
    "dropout": {"concrete": 5.23, "energy": 1.66, "yacht": 1.11},
    "tuned dropout": {"concrete": 4.82, "energy": 0.54, "yacht": 0.67},
}


def contenders(seed):
    """Return the estimators of one split."""
    return {
        "ntk": NTKRegressor(),
        "ntk, plain": NTKRegressor(scale_features=True),
        "gauss-newton": GaussNewtonRegressor(random_state=seed),
    }


def measure(name, n_splits=None):
    """Return {contender: (errors, CPU seconds)}, one entry per split."""
    X, y, masks = load(name)
    results = {contender: ([], []) for contender in contenders(0)}
    for seed, test in enumerate(masks[:n_splits]):
        for contender, model in contenders(seed).items():
            errors, seconds = results[contender]
            seconds.append(seconds_of(partial(model.fit, X[~test], y[~test]), time.process_time))
            errors.append(float(np.sqrt(np.mean(np.square(model.predict(X[test]) - y[test])))))
    return results


def row(name, n_splits):
    """Return the cells of one table of data."""
    results = measure(name, n_splits)
    ours = [cell(*result) for result in results.values()]
    theirs = [f"{figures[name]:.2f}" for figures in PUBLISHED.values()]
    return [name, len(results["ntk"][0]), *ours, *theirs]


def main(words=None):
    """Measure and print, row by row."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", nargs="+", choices=TABLES, default=TABLES)
    parser.add_argument("--splits", type=int, help="at most so many of each table")
    options = parser.parse_args(words)
    warnings.simplefilter("ignore")  # such as those of fits that stop at their last step
    heads = ["data", "splits", *contenders(0), *PUBLISHED]
    print_table(heads, (row(name, options.splits) for name in options.data))


if __name__ == "__main__":
    main()
