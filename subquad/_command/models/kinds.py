"""The kinds of model: what each is, how it is fitted to a matrix, and what it predicts."""

import contextlib
import warnings
from dataclasses import dataclass, field, replace

from subquad._command.errors import require_package
from subquad._command.models import linear, scales
from subquad._command.models.encoding import Encoding
from subquad._parallel import blas_threads_for


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


def fit(
    recipe, encoding, frame, y, task, args, learn=scales.learned, run=_fit_alone, compared=False
):
    """Fit a recipe to rows of a frame by an encoding that has learned from these.

    `run(estimator, X, y)` fits a kernel or a network. A linear model that is only `compared` is a
    `linear.Linear`.
    """
    X = encoding.transform(frame)
    if recipe.kind == "ridge":
        encoding = scales.plain(encoding, X)
        X = (X - encoding.center) / encoding.scale
        fitted = (
            _linear(X, y, task, args, **recipe.options)
            if compared
            else _linear_by_scikit_learn(X, y, task, args)
        )
        return Model(recipe, encoding, fitted)
    encoding, given = scaled(recipe, encoding, X, y, task, args, learn)
    X = X if encoding.center is None else (X - encoding.center) / encoding.scale
    estimator = make(recipe.kind, task, args, {**given, **recipe.options})
    return Model(recipe, encoding, run(estimator, X, y))


def quietly_fitted(*data):
    """The same without warnings, for a fit that only serves a comparison."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return fit(*data, compared=True)


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
    """Return the model of a kind and a task."""
    from subquad.estimators import TRUSTED

    suffix = "Regressor" if task == "regression" else "Classifier"
    if kind == "ntk":
        return TRUSTED[f"NTK{suffix}"](n_threads=args.threads, **options)
    options = {"random_state": args.seed, "n_threads": args.threads, **options}
    return TRUSTED[f"GaussNewton{suffix}"](**options)


def name_of(estimator):
    """Return the name of an estimator's class, or of that which a bare model stands for."""
    return getattr(estimator, "stands_for", type(estimator).__name__)


def savable(model):
    """Return a model of a comparison with an estimator that can be saved."""
    if isinstance(model.estimator, linear.Linear):
        return replace(model, estimator=model.estimator.by_scikit_learn())
    return model


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


def _linear(X, y, task, args, C=None):
    """Ridge of the penalty of least leave-one-out error; of classes, logistic regression."""
    # Threads of BLAS that wait for its small products would take more time than the fit.
    with blas_threads_for(len(X)):
        if task == "regression":
            return linear.ridge(X, y)
        return linear.logistic(X, y, linear.inverse_penalty(X, y, args.seed) if C is None else C)


def _linear_by_scikit_learn(X, y, task, args):
    """The same by scikit-learn."""
    from sklearn.linear_model import LogisticRegression, Ridge

    with blas_threads_for(len(X)), warnings.catch_warnings():
        if task == "regression":
            return Ridge(alpha=linear.ridge(X, y).penalty).fit(X, y)
        warnings.simplefilter("ignore")
        C = linear.inverse_penalty(X, y, args.seed)
        return LogisticRegression(C=C, max_iter=linear.MOST_STEPS).fit(X, y)
