"""Tables as arrays: X and y of an NPZ file, read without unpickling anything."""

import zipfile
import zlib

import numpy as np

from subquad._command.errors import BadInput, finite, one_line, require_names


def features_and_target(source, target):
    """X (n, d) in float64 and the target (n,) of an NPZ file."""
    arrays = _open(source)
    X = _features(source, arrays)
    require_names(source, list(arrays), [target], "the target array")
    y = arrays[target]
    if y.shape != (X.shape[0],) or y.dtype.kind not in "fiubU":
        raise BadInput(
            f"the array {target} of {source} must hold one number or label for each of the "
            f"{X.shape[0]} rows of X; got shape {y.shape}, {y.dtype}"
        )
    return X, finite(source, y, [target]) if y.dtype.kind == "f" else y


def features(source):
    """X (n, d) in float64 of an NPZ file."""
    return _features(source, _open(source))


def _open(source):
    """Every array of an NPZ file."""
    if not zipfile.is_zipfile(source):
        raise BadInput(f"{source} must be an NPZ file; it is of another kind or truncated")
    try:
        with np.load(source, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise BadInput(f"{source} cannot be read as an NPZ file: {one_line(error)}") from error


def _features(source, arrays):
    """X as a float64 matrix."""
    require_names(source, list(arrays), ["X"], "an array X")
    X = arrays["X"]
    if X.ndim != 2 or X.dtype.kind not in "fiub" or 0 in X.shape:
        raise BadInput(
            f"the array X of {source} must be a matrix of numbers; got shape {X.shape}, {X.dtype}"
        )
    return finite(source, X.astype(np.float64), range(X.shape[1]))
