"""The lines of ``subquad fit``, one function for each fact."""

import time

from subquad._command import forecast
from subquad._command.models.kinds import name_of
from subquad._command.report import LABEL_WIDTH, size

# A table may have hundreds of columns: so many get a line.
MOST_LINES = 30
CANDIDATE_HEADER = f"{'':<{LABEL_WIDTH}}{'model':<22} {'error':>20} {'seconds':>9}"


def data(report, table, split, task, reason):
    """Say what the data set is, how it was divided, and which task it was taken for."""
    n, d = len(split.y), len(table.frame.columns)
    n_test = len(split.y_test)
    facts = {"source": table.source, "target": table.y.name, "task": task, "features": d}
    read = "".join(f"; {key.replace('_', ' ')} {value!r}" for key, value in table.read.items())
    report.add(
        "data",
        {**facts, "rows_train": n, "rows_test": n_test, **table.read},
        f"{table.source}: {n} training and {n_test} test rows, {d} features; {task} ({reason})"
        f"{read}",
    )


def columns(report, frame, encoding):
    """Say what becomes of columns that are not taken as they stand: one line each."""
    lines = {c.name: c.said for c in frame.columns if c.said}
    for column in frame.columns:
        known = encoding.used.get(column.name)
        said = f"left out: {encoding.left_out.get(column.name)}" if known is None else _use(known)
        both = [text for text in (lines.get(column.name), said) if text]
        if both:
            lines[column.name] = "; ".join(both)
    if not lines:
        return
    d = len(encoding.labels)
    report.add("columns", lines, f"{len(encoding.used)} of {len(frame.columns)} used, as {d}")
    for name, said in [*lines.items()][:MOST_LINES]:
        report.line(f"{'':<{LABEL_WIDTH}}{name}: {said}")
    if len(lines) > MOST_LINES:
        report.line(f"{'':<{LABEL_WIDTH}}and {len(lines) - MOST_LINES} more")


def _use(known):
    """How a column is used, or None if it is as it stands."""
    gaps = "gaps filled, and told by a column" if known.get("gaps") else None
    if known["kind"] == "number":
        return gaps
    if known["kind"] == "date":
        parts = f"a date ({known['form']}), as {', '.join(known['parts'])}"
        return f"{parts}; {gaps}" if gaps else parts
    n, rare = len(known["categories"]), len(known["rare"])
    others = f", {rare} rare ones together" if rare else ""
    return f"text, as {n} categories{others}"


def comparison(report, n_recipes, rows, folds, n, seconds, skipped):
    """Say what is about to be compared, and for how long."""
    of = f"{rows} of {n}" if rows < n else f"{n}"
    how = f"{folds}-fold cross-validation" if folds > 1 else "one fit and its predictions"
    report.add(
        "compare",
        {"rows": rows, "folds": folds, "forecast_seconds": seconds},
        f"{n_recipes} model{'s' * (n_recipes > 1)} by {how} on {of} training rows, about "
        f"{seconds:.0f} s" + (f"; {skipped}" if skipped else ""),
    )
    report.line(CANDIDATE_HEADER)


def candidate(report, found):
    """Say what was found of one."""
    error = f"{found.error:.4g} ± {found.standard_error:.2g}"
    line = f"{'':<{LABEL_WIDTH}}{found.recipe.name:<22} {error:>20} {found.seconds:>9.2f}"
    report.line(f"{line}  not ahead {found.given_up}" if found.given_up else line)


def chosen(report, candidates, best, seconds):
    """Say which is taken."""
    report.document["candidates"] = [found.as_json() for found in candidates]
    report.add("chosen", best.name, f"{best.name}; to fit all training rows takes {seconds:.1f} s")


def fit_of(report, model, seconds):
    """Say how a kernel or ridge was fitted."""
    estimator = model.estimator
    facts = {"seconds": seconds, "class": name_of(estimator)}
    said = getattr(estimator, "solver_report_", f"{facts['class']}.")
    for name in ("alpha", "C", "depth_", "regularization_", "loo_error_"):
        if (value := getattr(estimator, name, None)) is not None:
            facts[name.removesuffix("_")] = value
    shown = ", ".join(
        f"{name.replace('_', ' ')} {value:.3g}"
        for name, value in facts.items()
        if name not in ("seconds", "class")
    )
    report.add("fit", facts, f"{seconds:.2f} s. {said[0].upper()}{said[1:]} {shown}")


def network(report, estimator, fit):
    """Say what the network is, and the memory forecast of its fit."""
    params = {name: value for name, value in estimator.get_params().items() if name != "callback"}
    per_output = (
        f", {fit.expected_active / fit.n_blocks:.0f} per output" if fit.n_blocks > 1 else ""
    )
    outputs = f"{fit.n_outputs} outputs ({fit.readout})" if fit.n_outputs > 1 else "1 output"
    report.add(
        "network",
        {**params, "outputs": fit.n_outputs, "expected_active": fit.expected_active},
        f"width {fit.width}, depth {fit.depth}, shift {fit.shift:g}, {fit.dtype}, {outputs}; "
        f"{fit.expected_active:.0f} neurons expected to fire on a row{per_output}",
    )
    n_bytes, used = forecast.memory(fit)["total"], forecast.peak_memory()
    report.add(
        "forecast",
        {"memory_bytes": n_bytes, "used_bytes": used},
        f"{size(n_bytes)} of memory for the fit"
        + ("" if used is None else f", beside {size(used)} in use"),
    )


def training(report, estimator, records, seconds):
    """Say how training ended; JSON gets every step."""
    mu = estimator.regularization_
    report.add(
        "training",
        {"seconds": seconds, "regularization": mu, "steps": [vars(record) for record in records]},
        f"{len(records)} steps in {seconds:.2f} s, regularization {mu:.3g} "
        f"({estimator.regularization})",
    )


def solver(report, estimator):
    """Say how the steps were solved."""
    report.add("solver", estimator.solver_, estimator.solver_report_)


def scores(report, fitted, ridge):
    """Say the scores of the fit and those of ridge."""
    report.add("scores", fitted, score_line(fitted))
    report.add(
        "ridge",
        ridge,
        f"{score_line(ridge)} (on the same features, in {ridge['seconds']:.2f} s)",
    )


def folds(report, found, count, score):
    """Say the scores of a cross-validation."""
    value = {**score, "error": found.error, "standard_error": found.standard_error}
    said = score_line({"train": None, "test": score})
    report.add(
        "cv", {"folds": count, **value}, f"{said} (error {found.error:.4g} ± "
        f"{found.standard_error:.2g}; every row held out once, in {count} folds)"
    )  # fmt: skip


def memory(report, used):
    """Say the peak of memory so far, of which `used` bytes were held before the fit."""
    peak = forecast.peak_memory()
    if peak is not None:
        report.add(
            "memory",
            {"peak_bytes": peak, "fit_bytes": peak - used},
            f"{size(peak)} at the peak of the fit, {size(peak - used)} of it for the fit",
        )


def seconds(report, started):
    """Say the wall time since the command began."""
    elapsed = time.monotonic() - started
    report.add("seconds", elapsed, f"{elapsed:.2f} in all")


def notes(table, split, task, seed, fitted):
    """Return what a saved model tells about its origin."""
    return {
        "source": table.source,
        "target": table.y.name,
        "columns": table.columns,
        "task": task,
        "rows_train": len(split.y),
        "rows_test": len(split.y_test),
        "seed": seed,
        "scores": fitted,
    }


def score_line(both):
    """Training and test scores in words."""
    parts = []
    for part, label in (("train", "training"), ("test", "test")):
        if (score := both[part]) is None:
            continue
        if "accuracy" in score:
            parts.append(f"{label} accuracy {score['accuracy']:.4f}")
        else:
            r2, rmse = _digits(score["r2"], ".4f"), _digits(score["rmse"], ".4g")
            parts.append(f"{label} R^2 {r2}, RMSE {rmse}")
    return "; ".join(parts)


def _digits(score, form):
    """Score as text."""
    return "undefined" if score is None else format(score, form)
