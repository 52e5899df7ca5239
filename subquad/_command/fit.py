"""``subquad fit``: read a table, fit a network, save it, put ridge beside it."""

import contextlib
import io
import os
import time

import numpy as np

from subquad._command import describe, forecast, resuming, scores
from subquad._command.delimited import Dialect
from subquad._command.errors import (
    SUCCESS,
    BadInput,
    require_another_file,
    require_package,
)
from subquad._command.report import Progress, Report, size
from subquad._command.tables import read_training, split_rows
from subquad._command.targets import choose_task
from subquad.io import check_writable, replacing, save_model

TEST_FRACTION = 0.25
# The split on which the package's own measurements on digits are made: 1000 rows to train on.
DIGITS_TEST_FRACTION = 797 / 1797
# Options that are the estimator's own, and take its defaults where they are left out.
OPTIONS = (
    *("width", "depth", "shift", "readout", "weights", "dtype"),
    *("regularization", "max_steps"),
)


def fit(args):
    """Fit a network as `args` say and report it; return the exit status."""
    args.model = _model_path(args)
    _check(args)
    report = Report(args.json)
    dialect = Dialect(args.sep, args.encoding, args.decimal, args.thousands, tuple(args.na))
    table = read_training(args.source, args.target, args.ignore, dialect)
    task, reason = choose_task(table.y, args.task)
    split = split_rows(table, task, _test_fraction(args), args.seed)
    describe.data(report, table, split, task, reason)
    estimator = _estimator(args, task)
    describe.network(report, estimator, _forecast_of(estimator, split, task))
    checkpoint = resuming.checkpoint(args, estimator, split)
    fitted = _fit(report, estimator, split, args.threads, checkpoint)
    if args.model is not None:
        notes = describe.notes(table, split, task, args.seed, fitted)
        with args.signals.held():
            _save(report, args.model, estimator, notes)
            resuming.keep_or_remove(report, checkpoint, interrupted=fitted is None)
    if fitted is not None:
        describe.scores(report, fitted, scores.of_ridge(estimator, split))
    if args.plot is not None:
        with args.signals.held():
            _plot(report, args.plot, estimator.history_)
    describe.seconds(report, args.started)
    _close(report, estimator, interrupted=fitted is None)
    return args.signals.status if fitted is None else SUCCESS


def _model_path(args):
    """Where the model goes: as asked, else the source's name with .subquad in this folder."""
    if args.no_model:
        return None
    stem = os.path.splitext(os.path.basename(args.source))[0]
    return f"{stem}.subquad" if args.model is None else args.model


def _check(args):
    """Find out before the work whether its results could be written."""
    require_package("sklearn", "subquad fit")
    taken = {"the data": args.source if os.path.exists(args.source) else None}
    if args.model is not None:
        require_another_file("--model", args.model, taken)
        check_writable(args.model, name="--model")
    resuming.check(args)
    if args.plot is not None:
        require_another_file("--plot", args.plot, {**taken, "the model": args.model})
        check_writable(args.plot, name="--plot")
        _check_picture(args.plot)
    if args.seed < 0:
        raise BadInput(f"--seed must be at least 0; got {args.seed}")


def _check_picture(path):
    """Refuse a picture that matplotlib is not there for, or could not write."""
    require_package("matplotlib", "--plot")
    from matplotlib.figure import Figure

    kinds = Figure().canvas.get_supported_filetypes()
    if _kind_of_picture(path) not in kinds:
        raise BadInput(f"--plot must end in one of {', '.join(sorted(kinds))}; got {path!r}")


def _kind_of_picture(path):
    """Kind of a picture by the suffix of its name."""
    return os.path.splitext(path)[1].lstrip(".").lower()


def _test_fraction(args):
    """Fraction of rows to hold out: as asked, or the default of the source."""
    if args.test_fraction is None:
        return DIGITS_TEST_FRACTION if args.source == "digits" else TEST_FRACTION
    if not 0 <= args.test_fraction < 1:
        raise BadInput(f"--test-fraction must be at least 0 and below 1; got {args.test_fraction}")
    return args.test_fraction


def _estimator(args, task):
    """Make the estimator; an option left out takes the estimator's own default."""
    from subquad import estimators

    asked = {name: getattr(args, name) for name in (*OPTIONS, "scale_features")}
    given = {name: value for name, value in asked.items() if value is not None}
    kind = "GaussNewtonRegressor" if task == "regression" else "GaussNewtonClassifier"
    return getattr(estimators, kind)(random_state=args.seed, n_threads=args.threads, **given)


def _forecast_of(estimator, split, task):
    """Size of the fit that is about to be made."""
    n_outputs = np.unique(split.y).size if task == "classification" else 1
    return forecast.Fit(
        n=len(split.y),
        width=estimator.width,
        depth=estimator.depth,
        n_features=split.X.shape[1],
        n_outputs=n_outputs if n_outputs > 2 else 1,
        shift=estimator.shift,
        dtype=np.dtype(estimator.dtype).name,
        readout=estimator.readout,
        weights=estimator.weights,
    )


def _fit(report, estimator, split, n_threads, checkpoint):
    """Fit; return the scores, or None if Ctrl-C came first and the best state so far is kept."""
    progress = Progress(report, estimator.max_steps)
    callback = progress
    if checkpoint is not None:
        checkpoint.callback, callback = progress, checkpoint
    started, used = time.monotonic(), forecast.peak_memory()
    try:
        with _blas_threads(n_threads), contextlib.closing(progress):
            estimator.set_params(callback=callback).fit(split.X, split.y)
        describe.training(report, estimator, progress.records, time.monotonic() - started)
        describe.solver(report, estimator)
        describe.memory(report, used)
        return scores.of_fit(estimator, split)
    except KeyboardInterrupt:
        if not hasattr(estimator, "factors_"):
            raise
        return None
    finally:
        estimator.set_params(callback=None)


def _blas_threads(n_threads):
    """Hold BLAS to the threads asked for; its pool was started when numpy was imported."""
    if n_threads is None:
        return contextlib.nullcontext()
    require_package("threadpoolctl", "--threads")
    from threadpoolctl import threadpool_limits

    from subquad._parallel import resolve_threads

    return threadpool_limits(resolve_threads(n_threads))


def _save(report, path, estimator, notes):
    """Save the model and say so."""
    save_model(estimator, path, notes=notes)
    n_bytes = os.path.getsize(path)
    report.add("model", {"path": path, "bytes": n_bytes}, f"saved to {path}, {size(n_bytes)}")


def _plot(report, path, history):
    """Save a picture of the residuals and say so."""
    from matplotlib.figure import Figure

    from subquad.plotting import residuals

    picture = io.BytesIO()
    figure = residuals(history, Figure(layout="constrained").add_subplot()).figure
    figure.savefig(picture, format=_kind_of_picture(path))
    with replacing(path) as file:
        file.write(picture.getvalue())
    report.add("plot", path, f"saved to {path}")


def _close(report, estimator, interrupted):
    """Print what remains to be printed."""
    report.document["interrupted"] = interrupted
    if interrupted:
        report.line(f"interrupted after step {estimator.n_iter_}; the best model so far is kept")
    report.close()
