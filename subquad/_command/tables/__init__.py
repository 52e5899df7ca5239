"""Tables in: a file, or the name of a bundled data set, becomes typed columns and a target."""

import functools
from dataclasses import dataclass, field

import numpy as np

from subquad._command.errors import BadInput, require_package
from subquad._command.tables import arrays, bundled, columns, targets
from subquad._command.tables.delimited import PLAIN
from subquad._command.tables.sources import BUILT_IN, STANDARD_INPUT, checked_for, opened
from subquad._command.tables.typed import Column, of_numbers

__all__ = ["BUILT_IN", "STANDARD_INPUT", "Frame", "Split", "Table", "read_features"]
__all__ += ["read_ids", "read_target", "read_training", "split_rows"]


@dataclass(frozen=True)
class Frame:
    """Columns of one length."""

    source: str
    columns: list[Column]

    @property
    def names(self):
        """Names of the columns, in order."""
        return [column.name for column in self.columns]

    def __len__(self):
        return len(self.columns[0].values)

    def __getitem__(self, name):
        return self._by_name[name]

    @functools.cached_property
    def _by_name(self):
        return {column.name: column for column in self.columns}

    def take(self, rows):
        """Return the same of some rows."""
        return Frame(self.source, [column.take(rows) for column in self.columns])

    def with_column(self, other):
        """Return the same with another column of one of its names."""
        columns = [other if column.name == other.name else column for column in self.columns]
        return Frame(self.source, columns)

    def matrix(self):
        """Return numbers (n, d) in float64; text, dates and gaps are refused by name."""
        other = [c.name for c in self.columns if c.kind != "number"]
        gaps = [c.name for c in self.columns if c.kind == "number" and c.gaps.any()]
        if other:
            raise BadInput(
                f"{self.source} must hold a number in every feature column of this model; got "
                f"text or dates in {', '.join(map(repr, other))}"
            )
        if gaps:
            raise BadInput(
                f"{self.source} must have no missing value for this model; got some in "
                f"{', '.join(map(repr, gaps))}. Fit it again, for one that fills them"
            )
        return np.column_stack([column.values for column in self.columns])


@dataclass
class Table:
    """Feature columns, a target of n rows or None, and the names that the columns go by.

    `columns` is None where they have none but their places; `read` says how a text file was read
    where its suffix does not.
    """

    source: str
    frame: Frame
    y: targets.Target | None = None
    columns: list[str] | None = None
    read: dict = field(default_factory=dict)

    @property
    def X(self):
        """The features as a float64 matrix (n, d), which no text and no gap allow."""
        return self.frame.matrix()


def read_training(source, target=None, ignore=(), dialect=PLAIN, drop_gaps=False):
    """Return the features and the target; a file with named columns needs `target`."""
    with opened(source) as (path, suffix):
        dialect = checked_for(dialect, source, suffix)
        if ignore and suffix in (None, *arrays.SUFFIXES):
            raise BadInput(f"--ignore must go with a file that names its columns; got {source!r}")
        if suffix is None:
            return _built_in(source, target)
        if suffix in arrays.SUFFIXES:
            found, y = arrays.features_and_target(path, target or "y")
            return Table(source, Frame(source, found), y)
        found, y, read = columns.features_and_target(
            path, suffix, target, ignore, dialect, drop_gaps
        )
    frame = Frame(source, found)
    return Table(source, frame, y, frame.names, read)


def read_features(source, names=None, dialect=PLAIN, wanted=None, by_place=None):
    """Return the features; `names`, where the model knows them, selects and orders columns.

    `wanted` maps the columns of a model to their kind and the form of their dates;
    `by_place(n_columns)` lists these for columns without names.
    """
    with opened(source) as (path, suffix):
        dialect = checked_for(dialect, source, suffix)
        if suffix is None:
            return _built_in(source)
        if suffix in arrays.SUFFIXES:
            return Table(source, Frame(source, arrays.features(path, by_place)))
        found = columns.features(path, suffix, names, dialect, wanted)
    frame = Frame(source, found)
    return Table(source, frame, columns=frame.names)


def read_target(source, name, dialect, n):
    """Return the `Target` (n,) by which predictions of a file are judged."""
    with opened(source) as (path, suffix):
        dialect = checked_for(dialect, source, suffix)
        if suffix is None:
            return _built_in(source).y
        if suffix in arrays.SUFFIXES:
            return arrays.target_of(path, name, n)
        return columns.target_of(path, suffix, name, dialect)


def read_ids(source, name, dialect):
    """Return a column as it is written, to stand beside the predictions of its rows."""
    with opened(source) as (path, suffix):
        dialect = checked_for(dialect, source, suffix)
        if suffix in (None, *arrays.SUFFIXES):
            raise BadInput(f"--id must go with a file that names its columns; got {source!r}")
        return columns.texts_of(path, suffix, name, dialect)


@dataclass
class Split:
    """Rows to train on and rows held out."""

    X: np.ndarray
    y: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray


def split_rows(table, task, test_fraction, seed):
    """Shuffle by the seed and hold out the last rows; X of the `Split` are frames."""
    frame, y = table.frame, targets.as_target(table.y, task)
    order = np.random.default_rng(seed).permutation(len(frame))
    n = len(frame) - round(test_fraction * len(frame))
    if n < 2:
        raise BadInput(
            f"{table.source} must leave 2 rows or more to train on; got {n} of {len(frame)}"
        )
    train, test = order[:n], order[n:]
    return Split(frame.take(train), y[train], frame.take(test), y[test])


def _built_in(name, target=None):
    """Load a data set bundled with scikit-learn; nothing is downloaded."""
    require_package("sklearn", f"the data set {name!r}")
    if target is not None:
        raise BadInput(f"--target must go with a file; {name} has its own target, got {target!r}")
    X, y, names = bundled.read(name)
    y = y.astype(np.float64 if name == "diabetes" else np.int64)
    found = [of_numbers(*pair) for pair in zip(names, X.T, strict=True)]
    return Table(name, Frame(name, found), targets.from_array(name, "target", y), names)
