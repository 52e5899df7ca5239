"""``subquad predict``: predictions of a saved model for every row of a table, as CSV."""

import csv
import io
import sys

from subquad._command.errors import SUCCESS, BadInput
from subquad._command.report import write_line
from subquad._command.tables import read_features
from subquad.io import check_writable, load_model, read_header


def run(args):
    """Predict and write; return the exit status."""
    if args.output is not None:
        check_writable(args.output, name="--output")
    notes = read_header(args.model).get("notes") or {}
    estimator = load_model(args.model)
    names = getattr(estimator, "feature_names_in_", notes.get("columns"))
    table = read_features(args.source, names)
    if table.X.shape[1] != estimator.n_features_in_:
        raise BadInput(
            f"{args.source} must have the {estimator.n_features_in_} features the model was fitted "
            f"on; got {table.X.shape[1]}"
        )
    text = _as_csv(estimator.predict(table.X))
    if args.output is None:
        write_line(sys.stdout, text.removesuffix("\n"))
    else:
        with open(args.output, "w", encoding="utf-8", newline="") as file:
            file.write(text)
    return SUCCESS


def _as_csv(predictions):
    """One column; numbers keep every digit."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["prediction"])
    writer.writerows([value] for value in predictions.tolist())
    return buffer.getvalue()
