"""Tables in: a file, or the name of a bundled data set, becomes a float matrix and a target."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from subquad._command import arrays, columns
from subquad._command.errors import BadInput, require_package

BUILT_IN = ("digits", "diabetes", "breast_cancer")
ARRAYS = (".npz",)
MOST_CLASSES = 20


@dataclass
class Table:
    """Features `X` (n, d) in float64, target `y` (n,) or None, and the names they go by."""

    source: str
    X: np.ndarray
    y: np.ndarray | None = None
    columns: list[str] | None = None
    target: str | None = None


def read_training(source, target=None, ignore=()):
    """Read features and target; a file with named columns needs `target`."""
    suffix = _suffix(source)
    if ignore and suffix in (None, *ARRAYS):
        raise BadInput(f"--ignore must go with a file that names its columns; got {source!r}")
    if suffix is None:
        return _built_in(source, target)
    if suffix in ARRAYS:
        target = target or "y"
        return Table(source, *arrays.features_and_target(source, target), target=target)
    X, y, names = columns.features_and_target(source, suffix, target, ignore)
    return Table(source, X, y, names, target)


def read_features(source, names=None):
    """Read the features alone; `names`, where the model knows them, selects and orders columns."""
    suffix = _suffix(source)
    if suffix is None:
        return _built_in(source)
    if suffix in ARRAYS:
        return Table(source, arrays.features(source))
    X, kept = columns.features(source, suffix, names)
    return Table(source, X, columns=kept)


def choose_task(y, requested="auto"):
    """Return the task and its reason: text, booleans and few distinct integers are classes."""
    if requested != "auto":
        return requested, "as asked"
    if y.dtype.kind == "U":
        return "classification", "the target holds text"
    if y.dtype.kind == "b":
        return "classification", "the target holds booleans"
    if y.dtype.kind == "f":
        return "regression", "the target holds real numbers"
    n_distinct = np.unique(y).size
    few = n_distinct <= min(MOST_CLASSES, len(y) / 2)
    reason = f"the target holds {n_distinct} distinct integers"
    return "classification" if few else "regression", reason


def as_target(y, task, name):
    """Bring the target into the form its task needs: real numbers, or labels."""
    if task == "regression":
        if y.dtype.kind == "U":
            raise BadInput(f"the target {name!r} must hold numbers for a regression; got text")
        return y.astype(np.float64)
    if y.dtype.kind != "f":
        return y
    if (y != np.floor(y)).any():
        raise BadInput(f"the target {name!r} must hold labels for a classification; got fractions")
    return y.astype(np.int64)


def _suffix(source):
    """Kind of a file by its suffix, compression aside, or None for a bundled data set."""
    if source in BUILT_IN:
        return None
    path = Path(source)
    suffixes = [s for s in map(str.lower, path.suffixes) if s not in (".gz", ".bz2")]
    if not suffixes or suffixes[-1] not in (*columns.DELIMITERS, *columns.PARQUET, *ARRAYS):
        raise BadInput(
            "the data must be a .csv, .tsv, .parquet or .npz file or one of "
            f"{', '.join(BUILT_IN)}; got {source!r}"
        )
    if not path.is_file():
        raise BadInput(f"the data must be a file that exists; got {source!r}")
    return suffixes[-1]


def _built_in(name, target=None):
    """Load a data set bundled with scikit-learn; nothing is downloaded."""
    require_package("sklearn", "sklearn", f"the data set {name!r}")
    if target is not None:
        raise BadInput(f"--target must go with a file; {name} has its own target, got {target!r}")
    from sklearn import datasets

    bunch = getattr(datasets, f"load_{name}")()
    y = bunch.target.astype(np.float64 if name == "diabetes" else np.int64)
    return Table(name, bunch.data.astype(np.float64), y, list(bunch.feature_names), "target")


@dataclass
class Split:
    """Rows to train on and rows held out."""

    X: np.ndarray
    y: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray


def split_rows(table, task, test_fraction, seed):
    """Shuffle by the seed and hold out the last rows."""
    X, y = table.X, as_target(table.y, task, table.target)
    order = np.random.default_rng(seed).permutation(len(X))
    n = len(X) - round(test_fraction * len(X))
    if n < 2:
        raise BadInput(f"{table.source} must leave 2 rows or more to train on; got {n} of {len(X)}")
    train, test = order[:n], order[n:]
    return Split(X[train], y[train], X[test], y[test])
