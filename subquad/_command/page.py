"""``--report``: one page about a fit, which asks no other file and no server for anything."""

import html
import shlex
import sys

import numpy as np

from subquad._command import pictures
from subquad._command.models import compare, kinds
from subquad.io import replacing

# Permute the columns of so many rows at most, and show so many of them.
ROWS_TO_PERMUTE, MOST_SHOWN = 500, 20
# Of the curve: fits to these shares of at most so many rows.
SHARES, ROWS_OF_CURVE = (0.125, 0.25, 0.5, 1.0), 1024

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #222; background: #fff; margin: 0 auto;
  max-width: 60rem; padding: 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
table { border-collapse: collapse; display: block; overflow-x: auto; }
td, th { border-bottom: 1px solid #ddd; padding: .2rem .8rem .2rem 0; text-align: left; }
svg { max-width: 100%; height: auto; } pre { background: #f4f4f4; padding: .6rem;
  overflow-x: auto; } .note { color: #666; }
"""


def write(args, report, job, model, cross_validated):
    """Write the page and say so; `cross_validated` are predictions of all rows, or None."""
    report.line("report     about to be written: predictions, permuted columns, four fits")
    frame, y, predicted, which = _judged(job, model, cross_validated)
    parts = [
        _table("Data", _facts(report, job), ""),
        _table("Columns", report.document.get("columns", {}), "Every column is used as it stands."),
        _candidates(job, model),
        _section(f"Predictions of {which}", *_predictions(job, model, frame, y, predicted)),
        _section("What each column is worth", *_importance(job, model, frame, y)),
        _section("Curves", *_curves(args, job, model)),
        _section("To repeat it", f"<pre>{html.escape(_command())}</pre>"),
    ]
    title = html.escape(f"{job.table.y.name} of {job.table.source}")
    page = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<link rel="icon" href="data:,"><style>{_STYLE}</style></head><body><h1>{title}</h1>'
        f"{''.join(parts)}</body></html>"
    )
    with args.signals.held(), replacing(args.report) as file:
        file.write(page.encode())
    report.add("report", args.report, f"saved to {args.report}")


def _judged(job, model, cross_validated):
    """Rows that no fit has seen, if there are any: frame, targets, predictions, and what they are.

    Else the rows of the fit.
    """
    split = job.split
    if len(split.y_test):
        return split.X_test, split.y_test, model.predict(split.X_test), "rows held out"
    if cross_validated is not None:
        predicted, rows = cross_validated
        return split.X.take(rows), split.y[rows], predicted, "rows held out in turn"
    return split.X, split.y, model.predict(split.X), "the training rows, which the fit has seen"


def _facts(report, job):
    """Rows of the first table."""
    facts = {name.replace("_", " "): value for name, value in report.document["data"].items()}
    shown = report.document.get("scores")
    if shown:
        for part, score in shown.items():
            for name, value in (score or {}).items():
                facts[f"{part} {name}"] = "undefined" if value is None else f"{value:.4g}"
    return facts | {"model": report.document.get("chosen", "gn"), "seed": job.args.seed}


def _candidates(job, model):
    """Section of the comparison."""
    found = job.outcome.candidates
    if not found:
        text = f"<p>{html.escape(model.recipe.name)}, without a comparison.</p>"
        return _section("Candidates", text)
    kind = "share of rows told wrong" if job.task == "classification" else "RMSE"
    rows = {
        c.recipe.name: f"{c.error:.4g} ± {c.standard_error:.2g}, {c.seconds:.2f} s"
        + (f"; given up, not being ahead {c.given_up}" if c.given_up else "")
        for c in found
    }
    whole = [c for c in found if not c.given_up]
    names = [c.recipe.name for c in whole]
    errors = [(c.error, c.standard_error) for c in whole]
    return _section("Candidates", _rows(rows), pictures.candidates(names, errors, kind))


def _predictions(job, model, frame, y, predicted):
    """Confusion matrix and calibration of classes, or residuals and coverage."""
    if job.task == "classification":
        yield pictures.confusion(y, predicted)
        if hasattr(model.estimator, "predict_proba"):
            chances = model.estimator.predict_proba(model.encoding.transform(frame))
            yield pictures.calibration(y, chances, model.estimator.classes_)
        return
    yield pictures.residuals(y, predicted)
    try:
        X = model.encoding.transform(frame)
        _, deviations = model.estimator.predict(X, return_std=True)
    except (TypeError, ValueError):
        deviations = np.full(len(y), np.sqrt(np.mean(np.square(y - predicted))))
    yield pictures.coverage(y, predicted, deviations)


def _importance(job, model, frame, y):
    """By how much the error grows where one column is shuffled."""
    rows = np.arange(min(len(y), ROWS_TO_PERMUTE))
    frame, y = frame.take(rows), y[rows]
    base = compare.error_of(y, model.predict(frame), job.task)[0]
    order = np.random.default_rng(job.args.seed).permutation(len(y))
    grown = {}
    for name in model.encoding.used:
        shuffled = frame.with_column(frame[name].take(order))
        grown[name] = compare.error_of(y, model.predict(shuffled), job.task)[0] - base
    largest = sorted(grown.items(), key=lambda pair: -pair[1])
    yield pictures.importance(largest[:MOST_SHOWN], base)
    if len(largest) > MOST_SHOWN:
        yield f'<p class="note">and {len(largest) - MOST_SHOWN} columns of less</p>'


def _curves(args, job, model):
    """Error against the number of training rows, and of a network the residuals by step."""
    if getattr(model.estimator, "history_", None):
        yield pictures.steps(model.estimator.history_)
    split = job.split
    n = min(len(split.y), ROWS_OF_CURVE)
    left = [split.X.take(np.arange(n, len(split.y))), split.y[n:]]
    if len(split.y_test):
        left = [split.X_test, split.y_test]
    if len(left[1]) < 2 or n < 16:
        yield "<p>There are too few rows for a curve.</p>"
        return
    known = model.encoding, model.estimator.get_params().get("constant")
    points = []
    for share in SHARES:
        rows = np.arange(int(share * n))
        if job.task == "classification" and np.unique(split.y[rows]).size < 2:
            continue
        part = split.X.take(rows)
        encoding = model.encoding.scaled(None, None)
        found = kinds.quietly_fitted(
            model.recipe, encoding, part, split.y[rows], job.task, args, lambda *_: known
        )
        error = compare.error_of(left[1], found.predict(left[0]), job.task)
        points.append((len(rows), *error))
    yield pictures.curve(points)


def _command():
    """The words that were typed."""
    return shlex.join(["subquad", *sys.argv[1:]])


def _section(title, *parts):
    """A heading and what stands below it."""
    return f"<h2>{html.escape(title)}</h2>{''.join(parts)}"


def _table(title, facts, otherwise):
    """Section of pairs."""
    return _section(title, _rows(facts) if facts else f"<p>{html.escape(otherwise)}</p>")


def _rows(facts):
    """Pairs as a table."""
    rows = "".join(
        f"<tr><td>{html.escape(str(name))}</td><td>{html.escape(str(value))}</td></tr>"
        for name, value in facts.items()
    )
    return f"<table>{rows}</table>"
