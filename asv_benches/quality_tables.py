"""Print, as Markdown, test errors of `subquad fit` beside ridge and boosting, on ten tables.

    SUBQUAD_DATA=folder python asv_benches/quality_tables.py [--data NAME ...] [--splits K]

Root mean squared errors, or shares of test rows told wrong, mean and standard error over splits,
and CPU seconds per fit on one thread. Each split is a quarter of the rows held out at random, or a
split of the folder's uci-NAME.npz.

ours        the command with its defaults, from a CSV file to a CSV file of predictions
ridge       RidgeCV or RidgeClassifierCV, standardised, categories as indicators
boosting    HistGradientBoosting*, defaults, categories as such

Ours wins or ties where its mean is at most one standard error of the paired difference above that
of the better of the others.
"""

import argparse
import contextlib
import io
import tempfile
import time
import warnings

import estimator_quality
import numpy as np
import pandas
import sklearn.datasets
from estimator_quality import TABLES, at_hand, cell
from side_by_side import print_table
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import RidgeClassifierCV, RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from subquad.__main__ import main as command

BUNDLED = ("diabetes", "wine", "breast_cancer", "digits", "iris")
MADE = ("rents", "loans")
DATA = (*TABLES, *BUNDLED, *MADE)
CONTENDERS = ("ours", "ridge", "boosting")
HEADS = ("data", "rows", "splits", "measure", *CONTENDERS, "ours is")
PENALTIES = np.logspace(-4, 4, 25)


def rents(n=1500):
    """Return a regression: a price per area of each of 12 districts, with gaps and noise."""
    rng = np.random.default_rng(0)
    district = rng.choice(12, n, p=np.arange(1, 13) / 78)
    area, age, floor = rng.uniform(20, 150, n), rng.uniform(0, 90, n), rng.integers(0, 8, n)
    heating = rng.choice(["gas", "oil", "district", "pump"], n)
    price = 6 + 10 * rng.random(12)
    rent = price[district] * area * (1 - age / 250) * (1 + 0.03 * floor * (district > 5))
    rent += 60 * (heating == "pump") + rng.normal(0, 60, n)
    X = pandas.DataFrame({"area": area, "age": age, "floor": floor * 1.0, "heating": heating})
    X["district"] = [f"district {i}" for i in district]
    X.loc[rng.random(n) < 0.1, "age"] = np.nan
    X.loc[rng.random(n) < 0.05, "heating"] = None
    return X, rent


def loans(n=1500):
    """Return two classes that depend on numbers and on what three columns of text say together."""
    rng = np.random.default_rng(1)
    X = pandas.DataFrame(rng.standard_normal((n, 4)), columns=["income", "debt", "age", "assets"])
    X["job"] = rng.choice(["none", "clerk", "nurse", "pilot", "cook", "farmer"], n)
    X["purpose"] = rng.choice(["car", "house", "study"], n)
    regions = [f"r{i}" for i in range(15)]
    X["region"] = rng.choice(regions, n)
    effect = dict(zip(regions, rng.normal(0, 0.7, 15), strict=True))
    z = X["income"] - X["debt"] * (X["purpose"] == "car") + X["region"].map(effect)
    z += 1.5 * (X["job"] == "pilot") - 1.5 * (X["job"] == "none") * (X["assets"] < 0)
    y = np.where(z + rng.logistic(0, 0.7, n) > 0, "repaid", "lost")
    X.loc[rng.random(n) < 0.1, "assets"] = np.nan
    return X, y


def load(name, n_splits):
    """Return the features as a data frame, targets, and a mask of test rows for each split."""
    if name in TABLES:
        X, y, masks = estimator_quality.load(name)
        return _frame(X), y, masks[:n_splits]
    if name in MADE:
        X, y = globals()[name]()
    else:
        X, y = getattr(sklearn.datasets, f"load_{name}")(return_X_y=True)
        X = _frame(X)
    orders = [np.random.default_rng(seed).permutation(len(y)) for seed in range(n_splits)]
    masks = np.zeros((n_splits, len(y)), dtype=bool)
    for mask, order in zip(masks, orders, strict=True):
        mask[order[: len(y) // 4]] = True
    return X, y, masks


def ours(X, y, X_test, seed):
    """Return predictions of the command."""
    with tempfile.TemporaryDirectory() as folder:
        train, test, model, out = (f"{folder}/{name}" for name in ("a.csv", "b.csv", "m", "c.csv"))
        X.assign(target=y).to_csv(train, index=False)
        X_test.to_csv(test, index=False)
        words = ["fit", train, "--target", "target", "--test-fraction", "0", "--model", model]
        with contextlib.redirect_stdout(io.StringIO()) as said:
            failed = command([*words, "--seed", str(seed)])
            failed = failed or command(["predict", model, test, "--output", out])
        if failed:
            raise RuntimeError(said.getvalue())
        return pandas.read_csv(out)["prediction"].to_numpy()


def ridge(X, y, X_test, seed):
    """Return predictions of ridge."""
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    columns = make_column_transformer(
        (numbers, make_column_selector(dtype_include="number")),
        (OneHotEncoder(handle_unknown="ignore"), make_column_selector(dtype_exclude="number")),
    )
    kind = RidgeClassifierCV if _is_classes(y) else RidgeCV
    return make_pipeline(columns, kind(alphas=PENALTIES)).fit(X, y).predict(X_test)


def boosting(X, y, X_test, seed):
    """Return predictions of histogram boosting."""
    kind = HistGradientBoostingClassifier if _is_classes(y) else HistGradientBoostingRegressor
    texts = X.select_dtypes(exclude="number").columns
    kinds = {name: pandas.CategoricalDtype(sorted(X[name].dropna().unique())) for name in texts}
    return kind(random_state=seed).fit(X.astype(kinds), y).predict(X_test.astype(kinds))


def measure(name, n_splits):
    """Return {contender: (errors, CPU seconds)}, one entry per split, and the table's rows."""
    X, y, masks = load(name, n_splits)
    results = {contender: ([], []) for contender in CONTENDERS}
    for seed, test in enumerate(masks):
        for contender, (errors, seconds) in results.items():
            start = time.process_time()
            predicted = globals()[contender](X[~test], y[~test], X[test], seed)
            seconds.append(time.process_time() - start)
            wrong = predicted != y[test] if _is_classes(y) else None
            rmse = None if _is_classes(y) else np.sqrt(np.mean(np.square(predicted - y[test])))
            errors.append(float(rmse if wrong is None else wrong.mean()))
    return results, len(y), "share wrong" if _is_classes(y) else "RMSE"


def verdict(results):
    """Return whether ours is better than the better of the others, ties with it, or is worse."""
    errors = {name: np.array(result[0]) for name, result in results.items()}
    rival = min(("ridge", "boosting"), key=lambda name: errors[name].mean())
    difference = errors["ours"] - errors[rival]
    spread = difference.std(ddof=1) / np.sqrt(len(difference)) if len(difference) > 1 else 0.0
    if abs(difference.mean()) <= spread:
        return f"level with {rival}"
    return f"{'better' if difference.mean() < 0 else 'worse'} than {rival}"


def row(name, n_splits):
    """Return the cells of one table of data."""
    results, n, kind = measure(name, n_splits)
    cells = [cell(*results[contender]) for contender in CONTENDERS]
    return [name, n, len(results["ours"][0]), kind, *cells, verdict(results)]


def _frame(X):
    return pandas.DataFrame(X, columns=[f"x{j}" for j in range(X.shape[1])])


def _is_classes(y):
    return y.dtype.kind in "iuUOb"


def main(words=None):
    """Measure and print, row by row."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", nargs="+", choices=DATA, default=DATA)
    parser.add_argument("--splits", type=int, default=10, help="of each table (default 10)")
    options = parser.parse_args(words)
    warnings.simplefilter("ignore")  # such as those of fits that stop at their last step
    print_table(HEADS, (row(name, options.splits) for name in at_hand(options.data)))


if __name__ == "__main__":
    main()
