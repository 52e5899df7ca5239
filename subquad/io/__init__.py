"""Fitted estimators as files: saved at once or not at all, loaded without executing code.

    save_model(estimator, path)    load_model(path)    read_header(path)    check_writable(path)
    Checkpoint(path), a callback   is_checkpoint(path)    replacing(path), a file for any content

The file is a zip of a JSON header and plain arrays, which `numpy.load` opens as well. This module
is long for its docstrings, and for the tables of what may be saved.
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
    "FactoredClassifier": "weights_",
    "FactoredRegressor": "weights_",
    "GaussNewtonClassifier": "factors_",
    "GaussNewtonRegressor": "factors_",
    "HalfSpaceSGDClassifier": "trainer_",
    "HalfSpaceSGDRegressor": "trainer_",
    "NTKClassifier": "dual_coef_",
    "NTKRegressor": "dual_coef_",
    "LogisticRegression": "coef_",
    "PolynomialTensorSketch": "indexHash_",
    "Ridge": "coef_",
}
_NETWORKS = ("FactoredNetwork", "PairedNetwork", "TaskChain", "TwoLayerNetwork", "WideNetwork")
# Steps of scikit-learn's that a pipeline may have, and what `fit` leaves in them; the last step,
# or any other, may be one of the estimators.
_STEPS = {
    "MaxAbsScaler": ("sklearn.preprocessing", "scale_"),
    "MinMaxScaler": ("sklearn.preprocessing", "scale_"),
    "Normalizer": ("sklearn.preprocessing", "n_features_in_"),
    "RobustScaler": ("sklearn.preprocessing", "n_features_in_"),
    "SimpleImputer": ("sklearn.impute", "statistics_"),
    "StandardScaler": ("sklearn.preprocessing", "n_features_in_"),
}
# Those of scikit-learn, with the one parameter that is kept: others change with its versions.
_LINEAR = {"LogisticRegression": "C", "Ridge": "alpha"}
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
    """Save a fitted estimator, a pipeline that ends with one, or a network.

    Parameters
    ----------
    estimator : estimator of `subquad.estimators`, Pipeline, network or `training.TaskChain`
        Fitted, unless it is a network: `WideNetwork`, `FactoredNetwork`, `TwoLayerNetwork` or
        `PairedNetwork`. A chain is saved with its network. A `Pipeline` of scikit-learn may have as
        steps, beside the estimators, `StandardScaler`, `MinMaxScaler`, `MaxAbsScaler`,
        `RobustScaler`, `Normalizer`, `SimpleImputer` of numbers, and "passthrough". Or a
        `Ridge` or a `LogisticRegression` of dense rows, of which coefficients, classes and the
        penalty are kept.
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
    Weights are saved as the seed that they were made of, with the version of the generator: the
    numbers that `GaussianWeights` makes of it are subquad's own, the same bits on every machine.
    Files of version 0.1.0 hold the numbers themselves, and are read as well. `callback` is not
    saved, and a `random_state` that is no integer becomes None. Of half-space models,
    `history_` stays behind; what `partial_fit` goes on from does not. Of scikit-learn's steps what
    they learned is saved, which another version of scikit-learn may not know how to use.

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

    if not isinstance(notes, (dict, type(None))):
        raise TypeError(f"notes must be a dict or None; got {type(notes).__name__}.")
    writer = Writer()
    header = {"subquad_version": _version(), **_document(writer, estimator), "notes": notes}
    write_container(path, header, writer.arrays)


def _document(writer, estimator, place=""):
    """Class, parameters and state of what is saved; `place` begins the names of its arrays."""
    from subquad.io._parts import LINEAR_STATE

    name, expected = _name_and_class(estimator)
    if type(estimator) is not expected:
        known = ", ".join((*_ESTIMATORS, "Pipeline", *_NETWORKS))
        raise TypeError(f"estimator must be one of {known}; got {name}.")
    if name in _NETWORKS:
        state = {"network": writer.encode(f"{place}network", estimator)}
        return {"class": name, "parameters": {}, "state": state}
    if name == "Pipeline":
        steps = [
            [key, step if step in (None, "passthrough") else _step(writer, step, f"{place}{i}.")]
            for i, (key, step) in enumerate(estimator.steps)
        ]
        return {"class": name, "parameters": {}, "state": {"steps": steps}}
    _require_savable(estimator, name)
    params = estimator.get_params(deep=False)
    state = {key: value for key, value in vars(estimator).items() if key not in params}
    if name in _LINEAR:
        params = {_LINEAR[name]: params[_LINEAR[name]]}
        state = {key: value for key, value in state.items() if key in LINEAR_STATE}
    if "trainer_" in state:  # which knows the network that it began with
        del state["network_"]
    kept = _savable(params).items()
    return {
        "class": name,
        "parameters": {key: writer.encode(f"{place}{key}", value) for key, value in kept},
        "state": {key: writer.encode(f"{place}{key}", value) for key, value in state.items()},
    }


def _name_and_class(estimator):
    """The name to save something by, and the class that it must be of.

    A model of trusted rows is saved as the estimator that it stands for.
    """
    if hasattr(estimator, "stands_for"):
        from subquad.estimators import TRUSTED

        return estimator.stands_for, TRUSTED.get(estimator.stands_for)
    name = type(estimator).__name__
    return name, _class_of(name)


def _step(writer, step, place):
    """Document of a step of a pipeline."""
    name = type(step).__name__
    if name not in (*_STEPS, *_ESTIMATORS):
        allowed = ", ".join((*_STEPS, *_ESTIMATORS))
        raise TypeError(f"estimator must have steps out of {allowed}; got {name}.")
    return _document(writer, step, place)


def _require_savable(estimator, name):
    """Refuse an estimator that is not fitted, or that no file can hold."""
    from subquad.io._parts import MOST_LAYERS

    last = _ESTIMATORS[name] if name in _ESTIMATORS else _STEPS[name][1]
    if not hasattr(estimator, last):
        raise ValueError("estimator must be fitted; got one that is not. Call fit first.")
    if getattr(estimator, "depth_", 1) > MOST_LAYERS:
        raise ValueError(
            f"estimator must have at most {MOST_LAYERS} layers to be saved; got {estimator.depth_}."
        )


def load_model(path: str | os.PathLike[str]) -> Any:
    """Return the estimator that `save_model` wrote.

    Parameters
    ----------
    path : str or path-like
        The file.

    Returns
    -------
    estimator, Pipeline or network
        As it was saved; predictions are those of the saved one, bit for bit on the same machine.

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
    return _loaded(path, {})


def load_trusted(path: str | os.PathLike[str]) -> Any:
    """Return what `load_model` does, but of a kernel or a Gauss-Newton fit the bare model.

    It expects rows that were checked before, and imports nothing of scikit-learn.
    """
    from subquad.estimators import TRUSTED

    return _loaded(path, TRUSTED)


def _loaded(path, classes):
    """What a file holds; an estimator is of the class that `classes` has for its name, if any."""
    header, arrays = read_container(path)
    try:
        return _restored(header, arrays, classes)
    except (MemoryError, ImportError):
        raise
    except Exception as error:  # parts of unknown origin may make the classes raise anything
        reason = reprlib.repr(str(error).removesuffix("."))[1:-1]  # of their text, what is short
        raise ModelFileError(
            f"{path} must be a subquad model; its parts do not fit together ({reason})."
        ) from error


def _restored(header, arrays, classes):
    """What a header and its arrays stand for; every array must have a use."""
    from subquad.io._codec import Reader

    reader = Reader(arrays)
    made = _made(header, reader, classes=classes)
    if reader.unused:
        raise ValueError("arrays without a use")
    reader.finish()
    return made


def _made(document, reader, names=None, classes=()):
    """Object of one of the known classes, with the attributes of the document."""
    from subquad.io._parts import check_model

    name = document["class"]
    if name not in (names or (*_ESTIMATORS, *_NETWORKS, "Pipeline")):
        raise ValueError(f"unknown class {name!r}")
    cls = classes[name] if name in classes else _class_of(name)
    state = document["state"]
    if name in _NETWORKS:
        network = reader.decode(state["network"])
        if type(network) is not cls:
            raise ValueError("a network of another class")
        return network
    if name == "Pipeline":
        return cls([(key, _made_step(step, reader)) for key, step in state["steps"]])
    estimator = cls(**reader.decode({"dict": document["parameters"]}))
    for key, value in _with_scaling(state, reader).items():
        if not _ATTRIBUTE.fullmatch(key) or hasattr(cls, key):
            raise ValueError(f"unknown attribute {key!r}")
        setattr(estimator, key, reader.decode(value))
    if "trainer_" in state:
        estimator.network_ = estimator.trainer_.network
    if name in _ESTIMATORS:
        check_model(estimator)
    return estimator


def _made_step(step, reader):
    """A step of a pipeline."""
    if step in (None, "passthrough"):
        return step
    return _made(step, reader, (*_STEPS, *_ESTIMATORS))


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


def _class_of(name):
    """Class that this version can save, by name, or None."""
    if name in _STEPS:
        return getattr(importlib.import_module(_STEPS[name][0]), name)
    if name == "Pipeline":
        return importlib.import_module("sklearn.pipeline").Pipeline
    if name in _NETWORKS:
        room = "training" if name == "TaskChain" else "networks"
        return getattr(importlib.import_module(f"subquad.{room}"), name)
    if name in _LINEAR:
        return getattr(importlib.import_module("sklearn.linear_model"), name)
    if name in _ESTIMATORS:
        return getattr(importlib.import_module("subquad.estimators"), name)
    return None


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
