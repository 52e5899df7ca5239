"""Which kind of model suits a table: cross-validation on some of the rows, then one fit to all."""

import functools
import time
import warnings
from dataclasses import dataclass, replace

import numpy as np

from subquad._command.models import folding, kinds, scales
from subquad._command.models.kinds import Recipe

# Compare on at most so many rows, with as many folds: three where a fit takes longer, and of more
# rows than that one part of the rows is fitted and the others predicted, which costs least.
MOST_ROWS = 2048
FOLDS_OF_FEW, FEW_ROWS, FOLDS = 5, 400, 3
ROWS_OF_ONE_FIT = 768
# Inside a fold, learn scales on so many rows: the steps there are five times as fast as on all. In
# one fit, whose scales are kept, on so many for each column, and at least on as many as in a fold.
ROWS_FOR_SCALES, ROWS_PER_SCALE = 400, 50
# Of more than `FEW_ROWS`, look first at what a fit to half of the rows, but at most so many, does
# with the others. It chooses a kernel's depth and constant, for which each candidate takes an
# eigendecomposition.
ROWS_OF_A_LOOK = 400
# A network of finite width is compared up to so many rows: of more its fit takes minutes, and its
# limit of infinite width, "ntk", seconds. Of more than `FEW_ROWS` it goes on while it is ahead:
# of 25 comparisons on eight tables of 427 to 1,000 rows that changed four, each from the network to
# its limit and each to a smaller error on rows held out, for .4 of the processor time.
MOST_ROWS_OF_NETWORK = 1500
FEWEST_ROWS = 10
# Beyond `MOST_ROWS`, where an exact fit takes longer than the comparison, the equations of a kernel
# are solved by iterations; beyond this many rows the estimator does so of its own accord.
MOST_ROWS_EXACT = 4096
# For the forecast of seconds: steps of the search for scales, operations of an eigendecomposition
# in units of n^3, the seconds that one entry of a kernel takes, and the
# rows that the solver by iterations chooses on and preconditions by.
LIKELIHOOD_STEPS = 50
EIGEN_OPERATIONS = 5
SECONDS_OF_AN_ANGLE = 3e-8
ROWS_OF_ITERATIONS = 1024


@dataclass
class Candidate:
    """What the comparison has found of a recipe.

    `error` is a root mean squared error or the share of rows told wrong, with its standard error;
    `model` a fit to the first fold's rows; `predicted` the prediction of each of `rows` without it.
    `given_up` says when one was given up for not being ahead: then they are of the rows so far.
    `look` is that of a fit to few rows, which came first.
    """

    recipe: Recipe
    error: float
    standard_error: float
    seconds: float
    model: kinds.Model
    predicted: np.ndarray
    rows: np.ndarray
    given_up: str = ""
    look: object = None

    def as_json(self):
        """Return the row of the table."""
        return {
            "model": self.recipe.name,
            "error": self.error,
            "standard_error": self.standard_error,
            "seconds": self.seconds,
            "given_up": self.given_up or None,
        }


def recipes(kind, encoding, n, task, options):
    """Return the recipes of a kind, simplest first, and the reason for one that is left out."""
    learn = kinds.can_learn_scales(encoding, task)
    found = []
    if kind in ("auto", "ridge"):
        found.append(Recipe("ridge"))
    if kind in ("auto", "ntk"):
        found.append(Recipe("ntk"))
        found += [Recipe("ntk", "learned")] if learn else []
    if kind == "auto" and n <= MOST_ROWS_OF_NETWORK:
        found.append(Recipe("gn", "learned" if learn else "plain", options))
    skipped = kind == "auto" and n > MOST_ROWS_OF_NETWORK
    why = f"gn is not compared beyond {MOST_ROWS_OF_NETWORK} rows; --model gn fits it all the same"
    return found, why if skipped else None


def rows_and_folds(y, task, seed):
    """Return the rows that are compared on and the folds of these, or None where there are few."""
    rows = np.random.default_rng(seed).permutation(len(y))[:MOST_ROWS]
    n_folds = FOLDS_OF_FEW if len(rows) <= FEW_ROWS else FOLDS
    if len(rows) < FEWEST_ROWS:
        return rows, None
    if len(y) > MOST_ROWS:
        places = np.arange(MOST_ROWS)
        whole = task == "regression" or np.unique(y[rows[:ROWS_OF_ONE_FIT]]).size > 1
        return rows, [(places[:ROWS_OF_ONE_FIT], places[ROWS_OF_ONE_FIT:])] if whole else None
    if task == "regression":
        return rows, folding.plain(len(rows), n_folds)  # in an order that is random already
    _, counts = np.unique(y[rows], return_counts=True)
    if len(counts) < 2 or counts.min() < 2:
        return rows, None
    return rows, folding.stratified(y[rows], min(n_folds, counts.min()))


def rows_for_scales(folds, encoding):
    """Return on how many rows at most the comparison learns scales."""
    if len(folds) > 1:
        return ROWS_FOR_SCALES
    return min(max(ROWS_FOR_SCALES, ROWS_PER_SCALE * len(encoding.labels)), scales.ROWS)


def measured(recipe, encoding, frame, y, folds, task, args, known=None, rivals=()):
    """Return the `Candidate` of a recipe; `known` keeps what one recipe has learned for the next.

    That is the scales of the columns, by fold. Where `known` is given, a `look` comes before folds
    of many rows, and these share what the first one has chosen by leave-one-out. A network is given
    up as soon as it is not ahead of all its `rivals`.
    """
    started, predicted, models, tried = time.process_time(), [], [], recipe
    data = encoding, frame, y, task, args
    shares = known is not None and len(y) > FEW_ROWS
    known, most = {} if known is None else known, rows_for_scales(folds, encoding)
    look = looked(recipe, *data) if shares else None
    if look is not None:
        tried = look.recipe
        if _is_behind(recipe, look.error, [rival.look.error for rival in rivals if rival.look]):
            return replace(look, recipe=recipe, seconds=time.process_time() - started)
    for fold, (inside, outside) in enumerate(folds):
        learn = functools.partial(scales.learned, most=most)
        found, guessed = _one_fold(tried, *data, inside, outside, _remembered(learn, known, fold))
        tried = settled(recipe, found.estimator) if shares else recipe
        models.append(found)
        predicted.append(guessed)
        rows = np.concatenate([f[1] for f in folds[: fold + 1]])
        error, spread = error_of(y[rows], np.concatenate(predicted), task)
        if shares and _is_behind(recipe, error, _errors_on(rivals, y[rows], task)):
            break
    n, seconds = fold + 1, time.process_time() - started
    given_up = f"after {n} of {len(folds)} folds" if n < len(folds) else ""
    predicted = np.concatenate(predicted)
    return Candidate(recipe, error, spread, seconds, models[0], predicted, rows, given_up, look)


def looked(recipe, encoding, frame, y, task, args):
    """Return a `Candidate` of a fit to some of the rows, judged by all others, or None.

    Its recipe has what that fit has chosen and the first fold need not. With learned scales there
    is none: they would have to be learned.
    """
    n = min(ROWS_OF_A_LOOK, len(y) // 2)
    if recipe.scales != "plain" or (task == "classification" and np.unique(y[:n]).size < 2):
        return None
    started, rows = time.process_time(), np.arange(n, len(y))
    data = encoding, frame, y, task, args
    found, predicted = _one_fold(recipe, *data, np.arange(n), rows, scales.learned)
    error, spread = error_of(y[rows], predicted, task)
    taken = dict(settled(recipe, found.estimator).options)
    if recipe.kind != "ridge":
        taken.pop("regularization", None)
    chosen = recipe if recipe.kind == "gn" else replace(recipe, options=taken)
    seconds, how = time.process_time() - started, f"after a fit to {n} rows"
    return Candidate(chosen, error, spread, seconds, found, predicted, rows, how)


def _one_fold(recipe, encoding, frame, y, task, args, inside, outside, learn):
    """A model of some rows, and what it predicts of others."""
    rows = frame.take(inside)
    data = encoding.relearned(rows), rows, y[inside], task, args
    found = kinds.quietly_fitted(recipe, *data, learn)
    with warnings.catch_warnings():  # of categories that these rows do not have
        warnings.simplefilter("ignore", UserWarning)
        return found, found.predict(frame.take(outside))


def _is_behind(recipe, error, rivals):
    """Whether a network is not ahead of its rivals, given their errors."""
    return recipe.kind == "gn" and error >= min(rivals, default=np.inf)


def _errors_on(candidates, y, task):
    """The errors of candidates on the first rows that were held out, whose targets are y."""
    return [error_of(y, found.predicted[: len(y)], task)[0] for found in candidates]


def _remembered(learn, known, key):
    """The same function, which looks first whether it has been called for this key."""

    def found(*data):
        if key not in known:
            known[key] = learn(*data)
        return known[key]

    return found


def error_of(y, predicted, task):
    """Return the error of predictions and its standard error."""
    if task == "classification":
        wrong = np.mean(predicted != y)
        return float(wrong), float(np.sqrt(wrong * (1 - wrong) / len(y)))
    squares = np.square(predicted - y)
    rmse = float(np.sqrt(squares.mean()))
    spread = squares.std() / np.sqrt(len(y)) / (2 * rmse) if rmse > 0 else 0.0
    return rmse, float(spread)


def settled(recipe, estimator):
    """Return a recipe with what a fit of it has chosen, for others of about as many rows.

    That is the depth, the constant and the regularisation: mu is the variance of the noise in units
    of the kernel's, which more rows do not change. Of classes it is ridge's penalty.
    """
    if recipe.kind == "ridge":
        classes = estimator.classes is not None
        return replace(recipe, options={"C": estimator.penalty}) if classes else recipe
    taken = {}
    if estimator.regularization_ is not None:
        taken["regularization"] = estimator.regularization_
    if recipe.kind == "ntk":
        taken["depth"] = estimator.depth_
    if recipe.scales == "plain":
        scaling = estimator._scaling
        taken["constant"] = scaling.constant / scaling.feature_size
    return replace(recipe, options={**recipe.options, **taken})


def refined(found, n):
    """Return the recipe of a candidate for a fit to n rows, with what its own fit has chosen.

    Of few rows the regularisation is chosen anew. Of many rows iterations solve the equations.
    """
    recipe = found.recipe
    if recipe.kind != "ntk":
        return recipe
    taken = dict(settled(recipe, found.model.estimator).options)
    if n <= MOST_ROWS:
        taken.pop("regularization", None)
    if MOST_ROWS < n <= MOST_ROWS_EXACT:
        taken["solver"] = "pcg"
    return replace(recipe, options=taken)


def whole_folds(recipe, folds):
    """Return in how many folds a recipe takes what a fit of its own takes, rather than little."""
    few = sum(map(len, folds[0])) <= FEW_ROWS
    learns = (recipe.kind, recipe.scales) == ("ntk", "learned")
    return len(folds) if few or learns else 1


def seconds_of(recipe, n, n_outputs, rate, most=scales.ROWS):
    """Return a forecast of a fit's seconds, by counted operations at `rate` in a second."""
    few = min(n, most)
    scaling = LIKELIHOOD_STEPS * (4 * few**3 / rate + few**2 * SECONDS_OF_AN_ANGLE)
    seconds = scaling if recipe.scales == "learned" and recipe.kind == "ntk" else 0.0
    if recipe.kind == "ridge":
        return 2e-7 * n * (1 if n_outputs == 1 else 30 * n_outputs) + 0.02
    tries = 1 if "depth" in recipe.options else 3
    tries *= 2 if recipe.scales == "plain" and tries > 1 else 1
    iterated = recipe.options.get("solver") == "pcg"
    chosen = min(n, ROWS_OF_ITERATIONS if iterated else MOST_ROWS)
    seconds += tries * (EIGEN_OPERATIONS * chosen**3 / rate + chosen**2 * SECONDS_OF_AN_ANGLE)
    if recipe.kind == "gn":
        return seconds + n_outputs * 2 * EIGEN_OPERATIONS * n**3 / rate + 4 * 2048 * n * n / rate
    if iterated:
        return seconds + 2 * n * chosen**2 / rate + n**2 * SECONDS_OF_AN_ANGLE
    if n > 16384:
        return seconds + 4 * n * 2048**2 / rate + n * 2048 * SECONDS_OF_AN_ANGLE
    return seconds + 2 * n**3 / rate + n**2 * SECONDS_OF_AN_ANGLE
