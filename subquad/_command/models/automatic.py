"""The best of a few models: compared on some of the rows, fitted to all, kept if interrupted."""

import functools
import time
from dataclasses import dataclass, field

import numpy as np

from subquad._command import describe, forecast, ranks
from subquad._command.errors import BadInput
from subquad._command.models import compare, folding, kinds, network, scales, scores


@dataclass
class Outcome:
    """What a comparison came to: candidates, simplest first, the recipe to fit, the model if any.

    `interrupted` if Ctrl-C ended it: the model is then that of some of the rows, or None.
    """

    candidates: list = field(default_factory=list)
    recipe: kinds.Recipe | None = None
    model: kinds.Model | None = None
    interrupted: bool = False

    @property
    def best(self):
        """The candidate of least error, the simplest of equals; None if there is none."""
        whole = [found for found in self.candidates if not found.given_up]
        return min(whole, key=lambda found: found.error, default=None)


def chosen(args, report, encoding, split, task, kind):
    """Return the `Outcome` of comparing the models of a kind; nothing is fitted to all rows."""
    options = network.asked_for(args)
    recipes, skipped = compare.recipes(kind, encoding, len(split.y), task, options)
    rows, folds = compare.rows_and_folds(split.y, task, args.seed)
    outcome = Outcome(recipe=recipes[0] if len(recipes) == 1 else None)
    if folds is None:
        outcome.recipe = next(recipe for recipe in recipes if recipe.kind == recipes[-1].kind)
        if kind == "auto":
            outcome.recipe = recipes[0]
        reason = "too few rows, or rows of a class, to compare models"
        report.add("chosen", outcome.recipe.name, f"{outcome.recipe.name} ({reason})")
        return outcome
    rate = forecast.product_rate()
    n_outputs = n_outputs_of(split.y, task)
    inside = len(folds[0][0])
    most = compare.rows_for_scales(folds, encoding)
    seconds = sum(
        compare.whole_folds(recipe, folds)
        * compare.seconds_of(recipe, inside, n_outputs, rate, most)
        for recipe in recipes
    )
    sizes = len(rows), len(folds), len(split.y)
    describe.comparison(report, len(recipes), *sizes, seconds, skipped)
    frame, y, known = split.X.take(rows), split.y[rows], {}
    try:
        for recipe in recipes:
            data = encoding, frame, y, folds, task, args
            found = compare.measured(recipe, *data, known, outcome.candidates)
            outcome.candidates.append(found)
            describe.candidate(report, found)
    except KeyboardInterrupt:
        return _interrupted(report, outcome)
    outcome.recipe = compare.refined(outcome.best, len(split.y))
    seconds = compare.seconds_of(outcome.recipe, len(split.y), n_outputs, rate)
    describe.chosen(report, outcome.candidates, outcome.recipe, seconds)
    return outcome


def fitted(args, report, encoding, split, task, outcome):
    """Fit the recipe to all training rows; an interrupted one leaves the best model so far."""
    started = time.monotonic()
    try:
        with kinds.blas_threads(args.threads):
            data = encoding, split.X, split.y, task, args
            learn = _scales_again(outcome, split)
            if outcome.recipe.kind == "ridge":
                ranks.say_alone(args, report, "ridge is fitted whole")
            run = functools.partial(ranks.fit, args, report)
            outcome.model = kinds.fit(outcome.recipe, *data, learn, run)
    except KeyboardInterrupt:
        return _interrupted(report, outcome)
    describe.fit_of(report, outcome.model, time.monotonic() - started)
    return outcome


def _scales_again(outcome, split):
    """Of many rows, the scales that the comparison learned: on as many rows as would be again."""
    if outcome.best is None or len(split.y) <= compare.MOST_ROWS:
        return scales.learned
    model = outcome.best.model
    return lambda *_: (model.encoding, model.estimator.get_params()["constant"])


def n_outputs_of(y, task):
    """Number of outputs that a target takes."""
    if task == "regression":
        return 1
    n_classes = len(set(y.tolist()))
    return n_classes if n_classes > 2 else 1


def _interrupted(report, outcome):
    """Keep the best candidate's fit to some of the rows; without one, there is nothing to keep."""
    if outcome.best is None:
        report.line("interrupted before a model was fitted; there is nothing to save")
        raise KeyboardInterrupt
    outcome.interrupted, outcome.recipe = True, outcome.best.recipe
    outcome.model = kinds.savable(outcome.best.model)
    report.add(
        "kept", outcome.recipe.name, f"{outcome.recipe.name}, as the comparison fitted it to rows"
    )
    return outcome


def require_folds(args, n):
    """Refuse a number of folds that cannot be."""
    if args.cv is None:
        return
    if args.test_fraction is not None:
        raise BadInput("--cv must come without --test-fraction; it holds every row out once")
    if not 2 <= args.cv <= n:
        raise BadInput(f"--cv must be at least 2 and at most the {n} rows; got {args.cv}")


def cross_validated(args, report, encoding, split, task, recipe):
    """Return rows and their predictions by fits without them, and say how good these are."""
    n = len(split.y)
    folds = folding.plain(n, args.cv, np.random.RandomState(args.seed).permutation(n))
    found = compare.measured(recipe, encoding, split.X, split.y, folds, task, args)
    describe.folds(
        report, found, args.cv, scores.measure(split.y[found.rows], found.predicted, task)
    )
    return found.predicted, found.rows
