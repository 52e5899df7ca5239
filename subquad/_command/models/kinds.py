"""The kinds of model: what each is, how it is fitted to a matrix, and what it predicts."""

import contextlib
import warnings
from dataclasses import dataclass, field

import numpy as np

from subquad._command.errors import require_package
from subquad._command.models import scales
from subquad._command.models.encoding import Encoding
from subquad._parallel import blas_threads_for

# Penalties of ridge, per row, for columns of deviation 1; leave-one-out chooses.
PENALTIES = np.logspace(-6, 3, 19)
# Inverse penalties of logistic regression, of which cross-validation chooses on so many rows.
INVERSE_PENALTIES = np.logspace(-3, 2, 6)
ROWS_FOR_PENALTY = 1000


@dataclass(frozen=True)
class Recipe:
    """A kind of model and the scales of its columns, "plain" or "learned".

    `options` are the estimator's own.
    """

    kind: str
    scales: str = "plain"
    options: dict = field(default_factory=dict)

    @property
    def name(self):
        """What a person reads."""
        return f"{self.kind}, learned scales" if self.scales == "learned" else self.kind


@dataclass
class Model:
    """A fitted estimator behind the encoding of its columns."""

    recipe: Recipe
    encoding: Encoding
    estimator: object

    def predict(self, frame):
        """Return predictions (n,)."""
        return self.estimator.predict(self.encoding.transform(frame))


def _fit_alone(estimator, X, y):
    """Fit an estimator in this process."""
    return estimator.fit(X, y)


def fit(recipe, encoding, frame, y, task, args, learn=scales.learned, run=_fit_alone):
    """Fit a recipe to rows of a frame by an encoding that has learned from these.

    `run(estimator, X, y)` fits a kernel or a network.
    """
    X = encoding.transform(frame)
    if recipe.kind == "ridge":
        encoding = scales.plain(encoding, X)
        # Threads of BLAS that wait for its small products would take more time than the fit.
        with blas_threads_for(len(X)):
            fitted = _linear((X - encoding.center) / encoding.scale, y, task, args.seed)
        return Model(recipe, encoding, fitted)
    encoding, given = scaled(recipe, encoding, X, y, task, args, learn)
    X = X if encoding.center is None else (X - encoding.center) / encoding.scale
    estimator = make(recipe.kind, task, args, {**given, **recipe.options})
    return Model(recipe, encoding, run(estimator, X, y))


def quietly_fitted(*data):
    """The same without warnings, for a fit that only serves a comparison."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return fit(*data)


def scaled(recipe, encoding, X, y, task, args, learn=scales.learned):
    """Return the encoding with the scales of a recipe, and the options that go with them."""
    if recipe.scales == "learned":
        found = learn(encoding, X, y, args.seed, args.threads)
        return found[0], {"scale_features": False, "constant": found[1]}
    if encoding.plain or args.scale_features is not None:  # which the estimator sees to
        # Of a constant that is asked for, the kernel learns no scales by itself.
        return encoding, {"constant": "loo"} if recipe.kind == "ntk" else {}
    return scales.plain(encoding, X), {"scale_features": False, "constant": "loo"}


def make(kind, task, args, options):
    """Return the estimator of a kind and a task."""
    from subquad import estimators

    suffix = "Regressor" if task == "regression" else "Classifier"
    if kind == "ntk":
        return getattr(estimators, f"NTK{suffix}")(n_threads=args.threads, **options)
    name = f"GaussNewton{suffix}"
    return getattr(estimators, name)(random_state=args.seed, n_threads=args.threads, **options)


def blas_threads(n_threads):
    """Hold BLAS to the threads asked for; its pool was started when numpy was imported."""
    if n_threads is None:
        return contextlib.nullcontext()
    require_package("threadpoolctl", "--threads")
    from threadpoolctl import threadpool_limits

    from subquad._parallel import resolve_threads

    return threadpool_limits(resolve_threads(n_threads))


def can_learn_scales(encoding, task):
    """Whether scales are worth learning: of one column no scale matters.

    For classes, whose indicators are no normal variables, they measured worse than none.
    """
    return task == "regression" and 1 < len(encoding.labels) <= scales.COLUMNS


def _linear(X, y, task, seed):
    """Ridge of the penalty of least leave-one-out error; of classes, logistic regression."""
    from sklearn.linear_model import LogisticRegression, Ridge, RidgeCV

    if task == "regression":
        chosen = RidgeCV(alphas=len(X) * PENALTIES).fit(X, y)
        return Ridge(alpha=float(chosen.alpha_)).fit(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        C = _inverse_penalty(X, y, seed)
        return LogisticRegression(C=C, max_iter=1000).fit(X, y)


def _inverse_penalty(X, y, seed):
    """The inverse penalty of least cross-validated log loss."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_score

    some = np.random.default_rng(seed).permutation(len(X))[:ROWS_FOR_PENALTY]
    _, counts = np.unique(y[some], return_counts=True)
    if len(counts) < 2 or counts.min() < 3:
        return 1.0
    folds = StratifiedKFold(3, shuffle=True, random_state=seed)
    losses = [
        cross_val_score(
            *(LogisticRegression(C=C, max_iter=300), X[some], y[some]),
            cv=folds,
            scoring="neg_log_loss",
        ).mean()
        for C in INVERSE_PENALTIES
    ]
    return float(INVERSE_PENALTIES[int(np.argmax(losses))])
