"""The lines of ``subquad fit``, one function for each fact."""

import time

from subquad._command import forecast
from subquad._command.report import size


def data(report, table, split, task, reason):
    """Say what the data set is, how it was divided, and which task it was taken for."""
    n, d = split.X.shape
    n_test = len(split.y_test)
    facts = {"source": table.source, "target": table.y.name, "task": task, "features": d}
    read = "".join(f"; {key.replace('_', ' ')} {value!r}" for key, value in table.read.items())
    report.add(
        "data",
        {**facts, "rows_train": n, "rows_test": n_test, **table.read},
        f"{table.source}: {n} training and {n_test} test rows, {d} features; {task} ({reason})"
        f"{read}",
    )


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
    report.add("scores", fitted, _score_line(fitted))
    report.add(
        "ridge",
        ridge,
        f"{_score_line(ridge)} (on the same features, in {ridge['seconds']:.2f} s)",
    )


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


def _score_line(both):
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
