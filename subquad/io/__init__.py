"""Fitted estimators as files: saved at once or not at all, loaded without executing code.

    save_model(estimator, path)    load_model(path)    read_header(path)    check_writable(path)
    Checkpoint(path), a callback   is_checkpoint(path)    replacing(path), a file for any content

The file is a zip of a JSON header and plain arrays, which `numpy.load` opens as well.
"""

from __future__ import annotations

import importlib
import re
import reprlib
from typing import TYPE_CHECKING

import numpy as np

from subquad.io._checkpoint import Checkpoint, is_checkpoint
from subquad.io._container import read_container, read_header, write_container
from subquad.io._header import ModelFileError
from subquad.io._replacing import check_writable, replacing

if TYPE_CHECKING:
    import os
    from typing import Any


__all__ = [
    "Checkpoint",
    "ModelFileError",
    "check_writable",
    "is_checkpoint",
    "load_model",
    "read_header",
    "replacing",
    "save_model",
]

# What can be saved, and what `fit` leaves in it last.
_ESTIMATORS = {
    "GaussNewtonClassifier": "factors_",
    "GaussNewtonRegressor": "factors_",
    "NTKClassifier": "dual_coef_",
    "NTKRegressor": "dual_coef_",
}
_ATTRIBUTE = re.compile(r"_?[A-Za-z][A-Za-z0-9_]*")
# Attributes, but for their underscores, that version 0.1 saved in place of one `Scaling`.
_PARTS_OF_SCALING = (
    *("center", "scale", "feature_size"),
    *("target_mean", "target_scale", "constant"),
)
# Functions and generators of the caller's own: a file holds neither.
_NOT_SAVED = ("callback",)


def save_model(
    estimator: object, path: str | os.PathLike[str], *, notes: dict[str, Any] | None = None
) -> None:
    """Save a fitted estimator.

    Parameters
    ----------
    estimator : GaussNewtonRegressor, GaussNewtonClassifier, NTKRegressor or NTKClassifier
        Fitted.
    path : str or path-like
        The file to write. An old one is replaced whole, once the new one is complete: see
        `replacing` for what is kept of it, and what of other names it has. A device such as
        /dev/null is written to.
    notes : dict, optional
        What else to keep in the header, as JSON can hold it: the origin of the data, scores.

    Raises
    ------
    TypeError
        If the estimator is of another class or holds something a file cannot, or `notes` does.
    ValueError
        If the estimator is not fitted, or is a kernel of more than 1000 layers.
    OSError
        If the file cannot be written; ask `check_writable` beforehand.

    Notes
    -----
    Weights are saved as they are and not as a seed, since NumPy does not promise that a seed
    draws the same numbers in its next version. Implicit weights are saved as their seed: the
    numbers that `GaussianWeights` makes of it are subquad's own. `callback` is not saved, and a
    `random_state` that is no integer becomes None.

    Examples
    --------
    >>> import tempfile, os
    >>> from subquad.estimators import GaussNewtonRegressor
    >>> X = np.random.default_rng(0).standard_normal((40, 3))
    >>> model = GaussNewtonRegressor(width=256, random_state=0).fit(X, X[:, 0])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "model.subquad")
    ...     save_model(model, path)
    ...     np.array_equal(load_model(path).predict(X), model.predict(X))
    True
    """
    from subquad.io._codec import Writer
    from subquad.io._parts import MOST_LAYERS

    name = type(estimator).__name__
    if name not in _ESTIMATORS or type(estimator) is not _estimator_class(name):
        raise TypeError(f"estimator must be one of {', '.join(_ESTIMATORS)}; got {name}.")
    if not hasattr(estimator, _ESTIMATORS[name]):
        raise ValueError("estimator must be fitted; got one that is not. Call fit first.")
    if getattr(estimator, "depth_", 1) > MOST_LAYERS:
        raise ValueError(
            f"estimator must have at most {MOST_LAYERS} layers to be saved; got {estimator.depth_}."
        )
    if not isinstance(notes, (dict, type(None))):
        raise TypeError(f"notes must be a dict or None; got {type(notes).__name__}.")
    writer = Writer()
    params = estimator.get_params(deep=False)
    state = {key: value for key, value in vars(estimator).items() if key not in params}
    header = {
        "subquad_version": _version(),
        "class": name,
        "parameters": {key: writer.encode(key, value) for key, value in _savable(params).items()},
        "state": {key: writer.encode(key, value) for key, value in state.items()},
        "notes": notes,
    }
    write_container(path, header, writer.arrays)


def load_model(path: str | os.PathLike[str]) -> Any:
    """Return the estimator that `save_model` wrote.

    Parameters
    ----------
    path : str or path-like
        The file.

    Returns
    -------
    estimator
        Fitted; predictions are those of the saved one, bit for bit on the same machine.

    Raises
    ------
    ModelFileError
        A ValueError: if the file is of another kind, truncated, damaged, inconsistent, or was
        written by a newer subquad with another format.
    OSError
        If there is no such file, or it cannot be read.
    ImportError
        If a package that the estimator needs is not installed.

    Notes
    -----
    Never executes code: the header is JSON, arrays are read with allow_pickle=False, and only the
    classes named in this module are made. Sizes and types are checked before memory is taken, and
    nothing is predicted. The warnings filters of the process stay as they are.
    """
    header, arrays = read_container(path)
    try:
        return _restored(header, arrays)
    except (MemoryError, ImportError):
        raise
    except Exception as error:  # parts of unknown origin may make the classes raise anything
        reason = reprlib.repr(str(error).removesuffix("."))[1:-1]  # of their text, what is short
        raise ModelFileError(
            f"{path} must be a subquad model; its parts do not fit together ({reason})."
        ) from error


def _restored(header, arrays):
    """Estimator of one of the known classes, with the attributes of the header."""
    from subquad.io._codec import Reader
    from subquad.io._parts import check_model

    if header["class"] not in _ESTIMATORS:
        raise ValueError(f"unknown class {header['class']!r}")
    reader, cls = Reader(arrays), _estimator_class(header["class"])
    estimator = cls(**reader.decode({"dict": header["parameters"]}))
    for name, value in _with_scaling(header["state"], reader).items():
        if not _ATTRIBUTE.fullmatch(name) or hasattr(cls, name):
            raise ValueError(f"unknown attribute {name!r}")
        setattr(estimator, name, reader.decode(value))
    if reader.unused:
        raise ValueError("arrays without a use")
    check_model(estimator)
    return estimator


def _with_scaling(state, reader):
    """State of a model, in whose file the parts of its scaling may still stand one by one."""
    if "_center" not in state:
        return state
    state = dict(state)
    parts = {name: state.pop(f"_{name}") for name in _PARTS_OF_SCALING}
    if "feature_scales_" in state:  # of a kernel model; its deviations alone have no use
        reader.decode(parts["scale"])
        parts["scale"] = state.pop("feature_scales_")
    return {"_scaling": {"scaling": {"dict": parts}}, **state}


def _estimator_class(name):
    """Class of an estimator this version can save, by name."""
    return getattr(importlib.import_module("subquad.estimators"), name)


def _version():
    """Version of the package that writes a file."""
    from subquad import __version__

    return __version__


def _savable(params):
    """Parameters without what only lives in this process."""
    kept = {name: value for name, value in params.items() if name not in _NOT_SAVED}
    if not isinstance(kept.get("random_state", 0), (int, np.integer)):
        kept["random_state"] = None
    return kept
