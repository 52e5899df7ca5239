"""Tables as arrays: X and y of an NPZ file, read without unpickling anything.

Only the arrays that are asked for are read: others may hold anything, or take any room.
"""

import contextlib
import zipfile
import zlib

import numpy as np

from subquad._command.errors import BadInput, finite, one_line, require_names
from subquad._command.tables import targets, typed
from subquad._command.tables.delimited import PLAIN

SUFFIXES = (".npz",)
# What a damaged file makes its readers raise; the last two, a compression or an encryption that
# this Python does not have.
UNREADABLE = (
    *(OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile, zlib.error),
    *(NotImplementedError, RuntimeError),
)


def features_and_target(source, target):
    """Return the feature columns of an NPZ file, named 0, 1, ..., and the `Target` (n,)."""
    with _opened(source) as file:
        X = _features(source, file)
        y = _target(source, file, target, len(X))
    return _columns(source, X, {}), y


def features(source, wanted=None):
    """Return the feature columns of an NPZ file, named by their places.

    `wanted(n_columns)` lists, for each column, the kind and the form of dates of a model.
    """
    with _opened(source) as file:
        X = _features(source, file)
        return _columns(source, X, dict(enumerate(wanted(X.shape[1]) if wanted else [])))


def target_of(source, target, n):
    """Return the `Target` (n,) of an NPZ file."""
    with _opened(source) as file:
        return _target(source, file, target, n)


def _target(source, file, target, n):
    """One number or label for each of n rows."""
    require_names(source, file.files, [target], "the target array")
    y = _array(source, file, target)
    if y.shape != (n,) or y.dtype.kind not in "fiubU":
        raise BadInput(
            f"the array {target} of {source} must hold one number or label for each of the "
            f"{n} rows of X; got shape {y.shape}, {y.dtype}"
        )
    y = finite(source, y, [target]) if y.dtype.kind == "f" else y
    return targets.from_array(source, target, y)


@contextlib.contextmanager
def _opened(source):
    """Open an NPZ file; what a damaged one makes its readers raise becomes one sentence."""
    if not zipfile.is_zipfile(source):
        raise BadInput(f"{source} must be an NPZ file; it is of another kind or truncated")
    try:
        with np.load(source, allow_pickle=False) as file:
            yield file
    except UNREADABLE as error:
        raise BadInput(f"{source} cannot be read as an NPZ file: {one_line(error)}") from error


def _features(source, file):
    """X, a matrix of numbers or of text."""
    require_names(source, file.files, ["X"], "an array X")
    X = _array(source, file, "X")
    if X.ndim != 2 or X.dtype.kind not in "fiubU" or 0 in X.shape:
        raise BadInput(
            f"the array X of {source} must be a matrix of numbers or text; got shape {X.shape}, "
            f"{X.dtype}"
        )
    if X.dtype.kind == "f" and np.isinf(X).any():
        row, column = np.argwhere(np.isinf(X))[0]
        raise BadInput(
            f"{source} must hold finite numbers; got infinity in column {column}, row {row + 1}"
        )
    return X


def _columns(source, X, wanted):
    """Typed columns of a matrix; an empty text is a gap."""
    if X.dtype.kind != "U" and not any(w and w[0] != "number" for w in wanted.values()):
        return [typed.of_numbers(str(j), X[:, j]) for j in range(X.shape[1])]
    columns = []
    for j in range(X.shape[1]):
        texts, codes = np.unique(X[:, j].astype(np.str_), return_inverse=True)
        codes = np.where(np.isin(texts, ["", "nan", "NaN"])[codes], -1, codes)
        try:
            columns.append(typed.of_texts(str(j), texts.tolist(), codes, PLAIN, wanted.get(j)))
        except typed.Odd as error:
            raise BadInput(
                f"column {j} of the array X of {source} must hold numbers or text; got both, "
                f"{error}"
            ) from None
    return columns


def _array(source, file, name):
    """One array by name; one of Python objects is refused, since only pickle could read it."""
    try:
        return file[name]
    except ValueError as error:
        remedy = ""
        if "allow_pickle" in str(error):
            remedy = ". Save it as numbers or text instead, such as y.astype(str)"
        raise BadInput(
            f"the array {name} of {source} cannot be read: {one_line(error)}{remedy}"
        ) from error
