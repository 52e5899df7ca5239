"""``subquad predict`` and ``subquad info``: what is done with a saved model."""

import csv
import io
import os
import sys

from subquad._command.delimited import Dialect
from subquad._command.errors import (
    SUCCESS,
    BadInput,
    require_another_file,
    require_file,
    require_package,
)
from subquad._command.report import as_json, printable, size, write_line
from subquad._command.tables import read_features
from subquad.io import check_writable, load_model, read_header, replacing

_SAVED_BY = ". Name a file that `subquad fit` saved"


def predict(args):
    """Predict every row of a table and write a CSV; return the exit status."""
    if args.output is not None:
        inputs = {"the model": args.model, "the data": args.source}
        require_another_file("--output", args.output, inputs)
        check_writable(args.output, name="--output")
    require_file("the model", args.model, _SAVED_BY)
    notes = read_header(args.model).get("notes") or {}
    require_package("sklearn", "subquad predict")
    estimator = load_model(args.model)
    names = getattr(estimator, "feature_names_in_", _columns(args.model, notes))
    dialect = Dialect(args.sep, args.encoding, args.decimal, args.thousands)
    table = read_features(args.source, names, dialect)
    if table.X.shape[1] != estimator.n_features_in_:
        raise BadInput(
            f"{args.source} must have the {estimator.n_features_in_} features the model was fitted "
            f"on; got {table.X.shape[1]}"
        )
    text = _as_csv(estimator.predict(table.X), _probabilities(estimator, table.X, args))
    if args.output is None:
        write_line(sys.stdout, text.removesuffix("\n"), needed=True)
    else:
        with args.signals.held(), replacing(args.output) as file:
            file.write(text.encode())
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
        **{key: _pairs(value) for key, value in notes.items()},
        "arrays": ", ".join(
            f"{name} {'x'.join(map(str, array['shape']))} {array['dtype']}"
            for name, array in header["arrays"].items()
        ),
    }
    for key, text in lines.items():
        print(printable(f"{key.replace('_', ' '):<12}{text}"))
    return SUCCESS


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
        raise BadInput(f"--proba must come with a classifier; got a {type(estimator).__name__}")
    names = [f"probability_{label}" for label in estimator.classes_.tolist()]
    return dict(zip(names, estimator.predict_proba(X).T.tolist(), strict=True))


def _as_csv(predictions, probabilities):
    """Predictions, and after them other columns; numbers keep every digit."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["prediction", *probabilities])
    writer.writerows(zip(predictions.tolist(), *probabilities.values(), strict=True))
    return buffer.getvalue()


def _pairs(value):
    """Anything on one line."""
    if not isinstance(value, dict):
        return value
    return ", ".join(f"{key} {_pairs(item)}" for key, item in value.items())
