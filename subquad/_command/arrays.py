"""Tables as arrays: X and y of an NPZ file, read without unpickling anything.

Only the arrays that are asked for are read: others may hold anything, or take any room.
"""

import contextlib
import zipfile
import zlib

import numpy as np

from subquad._command import targets
from subquad._command.errors import BadInput, finite, one_line, require_names

# What a damaged file makes its readers raise; the last two, a compression or an encryption that
# this Python does not have.
UNREADABLE = (
    *(OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile, zlib.error),
    *(NotImplementedError, RuntimeError),
)


def features_and_target(source, target):
    """Return X (n, d) in float64 and the `Target` (n,) of an NPZ file."""
    with _opened(source) as file:
        X = _features(source, file)
        require_names(source, file.files, [target], "the target array")
        y = _array(source, file, target)
    if y.shape != (X.shape[0],) or y.dtype.kind not in "fiubU":
        raise BadInput(
            f"the array {target} of {source} must hold one number or label for each of the "
            f"{X.shape[0]} rows of X; got shape {y.shape}, {y.dtype}"
        )
    y = finite(source, y, [target]) if y.dtype.kind == "f" else y
    return X, targets.from_array(source, target, y)


def features(source):
    """Return X (n, d) in float64 of an NPZ file."""
    with _opened(source) as file:
        return _features(source, file)


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
    """X as a float64 matrix."""
    require_names(source, file.files, ["X"], "an array X")
    X = _array(source, file, "X")
    if X.ndim != 2 or X.dtype.kind not in "fiub" or 0 in X.shape:
        raise BadInput(
            f"the array X of {source} must be a matrix of numbers; got shape {X.shape}, {X.dtype}"
        )
    return finite(source, X.astype(np.float64), range(X.shape[1]))


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
