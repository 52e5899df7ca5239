"""A wide network fitted by Gauss-Newton: step by step, with a checkpoint, beside ridge."""

import contextlib
import time

import numpy as np

from subquad._command import describe, forecast, ranks
from subquad._command.models import kinds, resuming, scores
from subquad._command.report import Progress

# Options that are the estimator's own, and take its defaults where they are left out.
OPTIONS = (
    *("width", "depth", "shift", "readout", "weights", "dtype"),
    *("regularization", "max_steps"),
)


def asked_for(args):
    """Return those of the estimator's options that were asked for."""
    asked = {name: getattr(args, name) for name in (*OPTIONS, "scale_features")}
    return {name: value for name, value in asked.items() if value is not None}


def fit(args, report, split, task, given):
    """Fit to a `Split` of matrices; return estimator, scores (None if interrupted), checkpoint."""
    estimator = kinds.make("gn", task, args, {**asked_for(args), **given})
    describe.network(report, estimator, forecast_of(estimator, split, task))
    checkpoint = resuming.checkpoint(args, estimator, split)
    return estimator, _steps(args, report, estimator, split, checkpoint), checkpoint


def forecast_of(estimator, split, task):
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


def _steps(args, report, estimator, split, checkpoint):
    """Fit; return the scores, or None if Ctrl-C came first and the best state so far is kept."""
    progress = Progress(report, estimator.max_steps)
    callback, data = progress, (split.X, split.y)
    if checkpoint is not None:
        checkpoint.callback, callback = progress, checkpoint
    started, used = time.monotonic(), forecast.peak_memory()
    try:
        with kinds.blas_threads(args.threads), contextlib.closing(progress):
            ranks.fit(args, report, estimator, *data, checkpoint=checkpoint, callback=callback)
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
