"""``subquad predict``, ``evaluate`` and ``info``: what is done with a saved model."""

import csv
import io
import os
import sys
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from subquad._command.errors import (
    SUCCESS,
    BadInput,
    one_line,
    require_another_file,
    require_file,
    require_package,
)
from subquad._command.models.compare import error_of
from subquad._command.models.encoding import Encoding, columns_of
from subquad._command.models.kinds import name_of
from subquad._command.models.scores import measure
from subquad._command.report import as_json, printable, size, write_line
from subquad._command.tables import read_features, read_ids, read_target
from subquad._command.tables.delimited import Dialect
from subquad._command.tables.targets import as_target
from subquad.io import check_writable, load_trusted, read_header, replacing

_SAVED_BY = ". Name a file that `subquad fit` saved"


def predict(args):
    """Predict every row of a table and write a CSV; return the exit status."""
    if args.output is not None:
        inputs = {"the model": args.model, "the data": args.source}
        require_another_file("--output", args.output, inputs)
        check_writable(args.output, name="--output")
    if args.interval is not None and not 0 < args.interval < 1:
        raise BadInput(f"--interval must be above 0 and below 1; got {args.interval:g}")
    model = opened(args.model, "subquad predict")
    dialect = _dialect(args)
    ids = {} if args.id is None else {args.id: read_ids(args.source, args.id, dialect)}
    X = model.features(args.source, dialect)
    columns = {
        **ids,
        "prediction": model.estimator.predict(X).tolist(),
        **_probabilities(model.estimator, X, args),
        **(model.bounds(X, args.interval) if args.interval is not None else {}),
    }
    text = _as_csv(columns)
    if args.output is None:
        write_line(sys.stdout, text.removesuffix("\n"), needed=True)
    else:
        with args.signals.held(), replacing(args.output) as file:
            file.write(text.encode())
    return SUCCESS


def evaluate(args):
    """Score a model on a table with its target; return the exit status."""
    model = opened(args.model, "subquad evaluate")
    dialect = _dialect(args)
    name = args.target or model.notes.get("target")
    if not isinstance(name, str):
        raise BadInput(f"--target must name the column to score against; {args.model} names none")
    X = model.features(args.source, dialect)
    target = read_target(args.source, name, dialect, len(X))
    task = "classification" if hasattr(model.estimator, "classes_") else "regression"
    y, predicted = as_target(target, task), model.estimator.predict(X)
    if task == "classification" and y.dtype.kind != predicted.dtype.kind:
        y, predicted = y.astype(np.str_), predicted.astype(np.str_)
    _, spread = error_of(y, predicted, task)
    score = {"rows": len(y), **measure(y, predicted, task), "standard_error": spread}
    if args.json:
        print(as_json({"model": args.model, "source": args.source, "task": task, **score}))
        return SUCCESS
    parts = [f"{key.replace('_', ' ')} {value:.4g}" for key, value in score.items() if value]
    print(printable(f"{args.source}: {', '.join(parts)}"))
    return SUCCESS


def info(args):
    """Describe a model file by its header; return the exit status."""
    require_file("the model", args.model, _SAVED_BY)
    header = read_header(args.model)
    if args.json:
        print(as_json(header))
        return SUCCESS
    notes = header.get("notes") or {}
    lines = {
        "model": f"{args.model}, {size(os.path.getsize(args.model))}",
        "class": f"{header.get('class')}, written by subquad {header.get('subquad_version')}",
        "parameters": _pairs(header.get("parameters", {})),
        **{key: _pairs(value) for key, value in notes.items() if key != "encoding"},
        "arrays": ", ".join(
            f"{name} {'x'.join(map(str, array['shape']))} {array['dtype']}"
            for name, array in header["arrays"].items()
        ),
    }
    for key, text in lines.items():
        print(printable(f"{key.replace('_', ' '):<12}{text}"))
    return SUCCESS


@dataclass
class Saved:
    """A model file: its estimator, its notes, and how columns become the estimator's matrix."""

    path: str
    estimator: object
    notes: dict
    encoding: Encoding | None

    def features(self, source, dialect):
        """Return the matrix (n, d) of a table."""
        if self.encoding is None:  # of a file that an estimator alone was saved in
            names = getattr(self.estimator, "feature_names_in_", _columns(self.path, self.notes))
            X = read_features(source, names, dialect).X
        else:
            named = self.notes.get("columns") is not None
            names = [*self.encoding.used] if named else None
            encoding = self.encoding
            expected = encoding.wanted, encoding.wanted_by_place
            table = read_features(source, names, dialect, *expected)
            X = self.encoding.transform(columns_of(table.frame, self.encoding))
        if X.shape[1] != self.estimator.n_features_in_:
            raise BadInput(
                f"{source} must have the {self.estimator.n_features_in_} features the model was "
                f"fitted on; got {X.shape[1]}"
            )
        return X

    def bounds(self, X, probability):
        """Return the columns of the bounds between which an observation is so probably."""
        if hasattr(self.estimator, "classes_"):
            kind = name_of(self.estimator)
            raise BadInput(f"--interval must come with a regression; got a {kind}")
        predicted, deviations = self._deviations(X)
        half = NormalDist().inv_cdf((1 + probability) / 2) * deviations
        return {"lower": (predicted - half).tolist(), "upper": (predicted + half).tolist()}

    def _deviations(self, X):
        """Predictions and their deviations: the estimator's own, else that of the comparison."""
        try:
            return self.estimator.predict(X, return_std=True)
        except (TypeError, ValueError) as error:
            deviation = self.notes.get("deviation")
            if not isinstance(deviation, float):
                raise BadInput(
                    f"--interval must come with a model that knows its error; {one_line(error)}"
                ) from error
            return self.estimator.predict(X), np.full(len(X), deviation)


def opened(path, purpose):
    """Return the `Saved` model of a file."""
    require_file("the model", path, _SAVED_BY)
    notes = read_header(path).get("notes") or {}
    require_package("sklearn", purpose)
    encoding = notes.get("encoding")
    return Saved(path, load_trusted(path), notes, encoding and Encoding.from_json(encoding))


def _dialect(args):
    """How a table is written."""
    return Dialect(args.sep, args.encoding, args.decimal, args.thousands, tuple(args.na))


def _columns(model, notes):
    """Names of the columns that a model was fitted on, or None where its notes name none."""
    names = notes.get("columns")
    if names is None or (isinstance(names, list) and all(isinstance(n, str) for n in names)):
        return names
    raise BadInput(f"{model} must name its columns in text; got notes of another kind")


def _probabilities(estimator, X, args):
    """Columns of probabilities by name, of which there may be none."""
    if not args.proba:
        return {}
    if not hasattr(estimator, "predict_proba"):
        raise BadInput(f"--proba must come with a classifier; got a {name_of(estimator)}")
    names = [f"probability_{label}" for label in estimator.classes_.tolist()]
    return dict(zip(names, estimator.predict_proba(X).T.tolist(), strict=True))


def _as_csv(columns):
    """Columns of lists; numbers keep every digit."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    return buffer.getvalue()


def _pairs(value):
    """Anything on one line."""
    if not isinstance(value, dict):
        return value
    return ", ".join(f"{key} {_pairs(item)}" for key, item in value.items())
