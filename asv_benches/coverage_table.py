"""Print, as Markdown, how many test rows lie inside the intervals that regressors promise.

    SUBQUAD_DATA=folder python asv_benches/coverage_table.py [--data NAME ...] [--models NAME ...]
                                                        [--splits K]

An interval is mean +- z std from `predict(X, return_std=True)`, z being that of a normal law for
50, 90 and 95 per cent. The folder holds uci-NAME.npz with X, y, and test_mask, of shape (splits,
rows). Means over the splits; "z" is the root mean square of (y - mean) / std, 1 where deviations
have the right size, and "NLPD" the mean of -log N(y; mean, std^2), beside that of one deviation for
all rows, the root mean square of the test errors: smaller is better.

ntk             NTKRegressor: defaults
ntk, plain      NTKRegressor(scale_features=True)
gauss-newton    GaussNewtonRegressor: defaults
"""

import argparse
import itertools
import os
import sys
import warnings

import numpy as np
from estimator_quality import TABLES, load
from ntk_quality import contenders
from scipy.special import ndtri
from side_by_side import percent, print_table

LEVELS = (0.5, 0.9, 0.95)


def figures(mean, std, y):
    """Return the coverages, the size of z, and two mean negative log densities."""
    errors = y - mean
    z = errors / std
    covered = [np.mean(abs(z) <= ndtri(0.5 + level / 2)) for level in LEVELS]
    return [
        *covered,
        np.sqrt(np.mean(np.square(z))),
        negative_log_density(errors, std),
        negative_log_density(errors, np.sqrt(np.mean(np.square(errors)))),
    ]


def negative_log_density(errors, std):
    """Return the mean of -log N(error; 0, std^2)."""
    return np.mean(0.5 * np.square(errors / std) + np.log(std)) + 0.5 * np.log(2 * np.pi)


def measure(name, contender, n_splits=None):
    """Return the figures of every split of a table of data."""
    X, y, masks = load(name)
    found = []
    for seed, test in enumerate(masks[:n_splits]):
        model = contenders(seed)[contender].fit(X[~test], y[~test])
        found.append(figures(*model.predict(X[test], return_std=True), y[test]))
    return found


def rows(options):
    """Yield the cells of each line."""
    for name, contender in itertools.product(options.data, options.models):
        found = measure(name, contender, options.splits)
        *covered, z, ours, constant = np.mean(found, axis=0)
        sizes = [f"{z:.2f}", f"{ours:.2f}", f"{constant:.2f}"]
        yield [name, len(found), contender, *map(percent, covered), *sizes]


def main(words=None):
    """Measure and print, row by row."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", nargs="+", choices=TABLES, default=TABLES)
    models = list(contenders(0))
    parser.add_argument("--models", nargs="+", choices=models, default=models)
    parser.add_argument("--splits", type=int, help="at most so many of each table")
    options = parser.parse_args(words)
    if "SUBQUAD_DATA" not in os.environ:
        sys.exit("SUBQUAD_DATA is not set: nothing is measured.")
    warnings.simplefilter("ignore")  # such as those of fits that stop at their last step
    heads = ["data", "splits", "model", *map(percent, LEVELS), "z", "NLPD", "NLPD, one deviation"]
    print_table(heads, rows(options))


if __name__ == "__main__":
    main()
