"""Tables in: a file, or the name of a bundled data set, becomes a float matrix and a target."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from subquad._command import arrays, columns, targets
from subquad._command.delimited import PLAIN, SEPARATORS, checked
from subquad._command.errors import BadInput, require_file, require_package

BUILT_IN = ("digits", "diabetes", "breast_cancer")
ARRAYS = (".npz",)


@dataclass
class Table:
    """Features `X` (n, d) in float64, a target of n rows or None, and the names they go by.

    `read` says how a text file was read where its suffix does not.
    """

    source: str
    X: np.ndarray
    y: targets.Target | None = None
    columns: list[str] | None = None
    read: dict = field(default_factory=dict)


def read_training(source, target=None, ignore=(), dialect=PLAIN):
    """Return the features and the target; a file with named columns needs `target`."""
    suffix = _suffix(source)
    dialect = _checked(dialect, source, suffix)
    if ignore and suffix in (None, *ARRAYS):
        raise BadInput(f"--ignore must go with a file that names its columns; got {source!r}")
    if suffix is None:
        return _built_in(source, target)
    if suffix in ARRAYS:
        return Table(source, *arrays.features_and_target(source, target or "y"))
    return Table(source, *columns.features_and_target(source, suffix, target, ignore, dialect))


def read_features(source, names=None, dialect=PLAIN):
    """Return the features; `names`, where the model knows them, selects and orders columns."""
    suffix = _suffix(source)
    dialect = _checked(dialect, source, suffix)
    if suffix is None:
        return _built_in(source)
    if suffix in ARRAYS:
        return Table(source, arrays.features(source))
    X, kept = columns.features(source, suffix, names, dialect)
    return Table(source, X, columns=kept)


@dataclass
class Split:
    """Rows to train on and rows held out."""

    X: np.ndarray
    y: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray


def split_rows(table, task, test_fraction, seed):
    """Shuffle by the seed and hold out the last rows."""
    X, y = table.X, targets.as_target(table.y, task)
    order = np.random.default_rng(seed).permutation(len(X))
    n = len(X) - round(test_fraction * len(X))
    if n < 2:
        raise BadInput(f"{table.source} must leave 2 rows or more to train on; got {n} of {len(X)}")
    train, test = order[:n], order[n:]
    return Split(X[train], y[train], X[test], y[test])


def _suffix(source):
    """Kind of a file by its suffix, compression aside, or None for a bundled data set."""
    if source in BUILT_IN:
        return None
    path = Path(source)
    suffixes = [s for s in map(str.lower, path.suffixes) if s not in (".gz", ".bz2")]
    if not suffixes or suffixes[-1] not in (*SEPARATORS, *columns.PARQUET, *ARRAYS):
        raise BadInput(
            "the data must be a .csv, .tsv, .parquet or .npz file or one of "
            f"{', '.join(BUILT_IN)}; got {source!r}"
        )
    require_file("the data", source)
    return suffixes[-1]


def _checked(dialect, source, suffix):
    """Dialect of a text file; refuse its options for another kind of data."""
    if suffix in SEPARATORS:
        return checked(dialect)
    text_only = {"sep": None, "encoding": None, "decimal": ".", "thousands": None}
    for name, default in text_only.items():
        if getattr(dialect, name) != default:
            raise BadInput(f"--{name} must go with a .csv or .tsv file; got {source!r}")
    if dialect.na and suffix not in columns.PARQUET:
        raise BadInput(f"--na must go with a file that names its columns; got {source!r}")
    return dialect


def _built_in(name, target=None):
    """Load a data set bundled with scikit-learn; nothing is downloaded."""
    require_package("sklearn", f"the data set {name!r}")
    if target is not None:
        raise BadInput(f"--target must go with a file; {name} has its own target, got {target!r}")
    from sklearn import datasets

    bunch = getattr(datasets, f"load_{name}")()
    y = bunch.target.astype(np.float64 if name == "diabetes" else np.int64)
    target = targets.from_array(name, "target", y)
    return Table(name, bunch.data.astype(np.float64), target, list(bunch.feature_names))
