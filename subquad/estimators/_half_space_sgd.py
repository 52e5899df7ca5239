"""Half-space SGD for scikit-learn: rows and targets in, mini-batches out.

The file is long because scikit-learn wants every parameter of two classes documented in place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import expit, log_expit, softmax
from sklearn.base import RegressorMixin
from sklearn.utils.metaestimators import available_if

from subquad._validation import integer, real
from subquad.estimators._base import (
    Model,
    OutputsClassifier,
    OutputsRegressor,
    random_state_of,
    require_fitted,
    warn_constant,
)
from subquad.estimators._border import ClassifierEstimator, RegressorEstimator
from subquad.estimators._scaling import (
    SCALE_FEATURES,
    Scaling,
    check_scale_features,
    standardises,
)
from subquad.networks import PairedNetwork
from subquad.training import HalfSpaceSGD, as_loss

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Literal, Self

    from numpy.typing import ArrayLike, DTypeLike

    from subquad._typing import FloatArray
    from subquad.training import Loss, SGDRecord


_PARAMETERS = (
    """
    Parameters
    ----------
    width : int
        2 m, the number of neurons; even.
    shift : float or None
        b_0: a fraction Q(b_0) of the neurons fires at a point. None is sqrt(0.4 log(2 m)).
    readout_scale : float
        B. With large values (32 and more) the network learns as its tangent kernel does; with
        small ones the neurons move, which measured more accurate.
    learning_rate : float or "auto"
        eta. Values up to 1 are stable for any rows and the squared loss; "auto" takes the largest
        that is stable for the Gram matrix of the first mini-batch and the curvature of the loss.
    batch_size : int
    n_epochs : int
        Passes of `fit` over the rows.
    loss : {LOSSES}
    average : bool
        Whether to predict with the mean of the iterates (those of the second half of `fit`, or
        all of `partial_fit`) instead of the last one.
    dynamics : {"network", "kernel"}
        "kernel" trains the tangent features of the network as drawn.
    report : {"auto", "tree", "scan", None}
        How the neurons that fire are found; None evaluates all neurons. Predictions are the same
        to rounding."""
    + SCALE_FEATURES
    + """
    constant : float
        Size of the constant coordinate that is appended to every row, in units of the root mean
        square of the scaled features; rows are then divided by their norms.
    dtype : {"float64", "float32"}
        Precision of the network.
    random_state : int, RandomState instance or None
        Source of the network and of the order of the rows.
    n_threads : int or None
        Number of threads; results do not depend on it.
    callback : callable, optional
        Called with an `SGDRecord` after each step.
    verbose : int
        If positive, print a line per pass over the rows.

    Attributes
    ----------
    network_ : PairedNetwork
        The network as drawn.
    trainer_ : HalfSpaceSGD
    history_ : list of SGDRecord
    loss_curve_ : list of float
        Mean loss of the steps of each pass, in units of the scaled targets.
    n_steps_ : int
    n_features_in_ : int
    feature_names_in_ : ndarray
"""
)


_REGRESSION = """{"squared", "huber", "absolute"} or Loss
        What is minimised. "huber" is `HuberLoss(delta=1)`. With it and "absolute", targets are
        scaled by their median and by 1.4826 times the median distance from it instead of mean and
        standard deviation, which outliers would move. The last iterate stays as far from the
        minimum of "absolute" as one step goes: prefer `average=True`."""
_CLASSIFICATION = """{"squared", "logistic", "hinge"} or Loss
        What is minimised, for each class against the rest. "logistic" adds `predict_proba`."""
# A few targets cannot move the minimum of these losses far, whatever they are.
_ROBUST = ("huber", "absolute")


def _is_logistic(model):
    """Whether outputs are log-odds: those of the fitted trainer, or of one to come."""
    loss = model.trainer_.loss if hasattr(model, "trainer_") else model.loss
    return getattr(loss, "name", loss) == "logistic"


class _HalfSpaceModel(Model):
    """What regression and classification share: rows in, outputs of the network out."""

    def __init__(
        self,
        *,
        width: int = 4096,
        shift: float | None = None,
        readout_scale: float = 1.0,
        learning_rate: float | Literal["auto"] = "auto",
        batch_size: int = 32,
        n_epochs: int = 100,
        loss: Literal["squared", "logistic", "hinge", "huber", "absolute"] | Loss = "squared",
        average: bool = False,
        dynamics: Literal["network", "kernel"] = "network",
        report: Literal["auto", "tree", "scan"] | None = "auto",
        scale_features: bool | Literal["auto"] = "auto",
        constant: float = 1.0,
        dtype: DTypeLike = "float64",
        random_state: int | np.random.RandomState | None = None,
        n_threads: int | None = None,
        callback: Callable[[SGDRecord], object] | None = None,
        verbose: int = 0,
    ) -> None:
        self.width = width
        self.shift = shift
        self.readout_scale = readout_scale
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.n_epochs = n_epochs
        self.loss = loss
        self.average = average
        self.dynamics = dynamics
        self.report = report
        self.scale_features = scale_features
        self.constant = constant
        self.dtype = dtype
        self.random_state = random_state
        self.n_threads = n_threads
        self.callback = callback
        self.verbose = verbose

    def _fit(self, X, T):
        """Fit the targets T (n, C) from a new network."""
        n_epochs = integer(self.n_epochs, "n_epochs")
        n_steps = n_epochs * -(-len(X) // integer(self.batch_size, "batch_size"))
        self._begin(X, T, average_from=n_steps // 2)
        self._follow(X, T, n_epochs)
        return self

    def _partial_fit(self, X, T):
        """Take one pass over the rows in their order, from where the model is."""
        if not self._has_begun():
            self._begin(X, T, average_from=0)
        self._require_outputs(T)
        first = len(self.history_)
        self.trainer_.partial_fit(self._rows(X), self._scaling.scaled(T))
        self._note(first)
        return self

    def _has_begun(self):
        return hasattr(self, "trainer_")

    def _begin(self, X, T, average_from):
        """Measure the rows, draw a network and make its trainer."""
        vars(self).pop("trainer_", None)  # it belongs to another network
        check_scale_features(self.scale_features)
        constant = real(self.constant, "constant", minimum=0.0)
        loss = as_loss(self.loss, self._losses)
        weights = np.ones(len(X))
        standardise = standardises(self.scale_features, X, weights)
        deviation = 1.0 if isinstance(self, RegressorMixin) else None  # indicators need no scale
        scaling = Scaling.fit(X, T, weights, standardise, deviation)
        if loss.name in _ROBUST:
            scaling = scaling.with_robust_targets(T)
        self._scaling = scaling.with_constant(constant)
        seeds = random_state_of(self.random_state).randint(2**31, size=2)
        self.network_ = PairedNetwork(
            X.shape[1] + 1,
            width=self.width,
            n_outputs=T.shape[1],
            shift=self.shift,
            scale=self.readout_scale,
            rng=int(seeds[0]),
            dtype=self.dtype,
        )
        self.loss_curve_ = []
        self.trainer_ = HalfSpaceSGD(
            self.network_,
            learning_rate=self.learning_rate,
            batch_size=self.batch_size,
            loss=loss,
            dynamics=self.dynamics,
            average_from=average_from if self.average else None,
            report=self.report,
            rng=int(seeds[1]),
            n_threads=self.n_threads,
            callback=self.callback,
        )

    def _follow(self, X, T, n_epochs):
        rows, T = self._rows(X), self._scaling.scaled(T)
        for _ in range(n_epochs):
            first = len(self.history_)
            self.trainer_.run(rows, T)
            self._note(first)
            if self.trainer_.diverged:
                break

    def _note(self, first):
        """Add the mean loss of the steps since the first."""
        self.loss_curve_.append(float(np.mean([r.loss for r in self.history_[first:]])))
        if self.verbose:
            print(f"pass {len(self.loss_curve_)}: loss {self.loss_curve_[-1]:.3e}")

    def _outputs(self, X):
        """Outputs (n, C) in the units of the targets."""
        require_fitted(self, "trainer_")
        X = self._new_rows(X)
        return self._scaling.unscaled(self.trainer_.outputs(self._rows(X)))

    def _require_outputs(self, T):
        """Refuse rows of targets that the network has no outputs for."""
        if T.shape[1] != self.network_.n_outputs:
            raise ValueError(
                f"y must have {self.network_.n_outputs} outputs, as at first; got {T.shape[1]}."
            )

    @property
    def history_(self) -> list[SGDRecord]:
        """The steps taken."""
        require_fitted(self, "trainer_")
        return self.trainer_.history

    @property
    def n_steps_(self) -> int:
        """How many steps were taken."""
        require_fitted(self, "trainer_")
        return self.trainer_.n_steps


class HalfSpaceSGDRegressor(OutputsRegressor, _HalfSpaceModel, RegressorEstimator):
    __doc__ = f"""Regression by SGD on a wide two-layer network of which few neurons fire.

    f from `PairedNetwork`, fitted to the scaled targets by `HalfSpaceSGD`.
{_PARAMETERS.replace("{LOSSES}", _REGRESSION)}
    Notes
    -----
    `partial_fit` takes means and deviations of features and targets from the first rows it sees;
    medians, with the losses that take these.

    Examples
    --------
    >>> X = np.random.default_rng(0).standard_normal((300, 2))
    >>> model = HalfSpaceSGDRegressor(width=1024, random_state=0).fit(X, X[:, 0] * X[:, 1])
    >>> model.score(X, X[:, 0] * X[:, 1]) > 0.9
    True
    """

    _losses = "squared", "huber", "absolute"

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Fit the model.

        Parameters
        ----------
        X : array_like, shape (n, n_features)
        y : array_like, shape (n,) or (n, n_outputs)

        Returns
        -------
        HalfSpaceSGDRegressor

        Raises
        ------
        ValueError
            If the arrays do not fit together or hold NaN.

        Warns
        -----
        TrainingWarning
            If a target is constant, if few neurons fire, or if the loss grows without bound.
        """
        X, T = self._targets(X, y, reset=True)
        warn_constant(T)
        return self._fit(X, T)

    def partial_fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Take one pass over the rows, in their order, from where the model is.

        Parameters
        ----------
        X : array_like, shape (n, n_features)
        y : array_like, shape (n,) or (n, n_outputs)

        Returns
        -------
        HalfSpaceSGDRegressor
        """
        return self._partial_fit(*self._targets(X, y, reset=not self._has_begun()))


class HalfSpaceSGDClassifier(OutputsClassifier, _HalfSpaceModel, ClassifierEstimator):
    __doc__ = f"""Classification by SGD on a wide two-layer network of which few neurons fire.

    Indicators of the classes (+1 and -1), one output per class, or one for two classes, fitted by
    `HalfSpaceSGD`, by default by least squares.
{_PARAMETERS.replace("{LOSSES}", _CLASSIFICATION)}
    classes_ : ndarray, shape (n_classes,)
        The labels; of multilabel targets the numbers of their columns.
    multilabel_ : bool
        Whether rows have any number of labels.

    Notes
    -----
    `partial_fit` takes means and deviations of the features from the first rows it sees.

    Examples
    --------
    >>> X = np.random.default_rng(0).standard_normal((300, 2))
    >>> model = HalfSpaceSGDClassifier(width=1024, random_state=0).fit(X, X[:, 0] * X[:, 1] > 0)
    >>> model.score(X, X[:, 0] * X[:, 1] > 0) > 0.9
    True
    """

    _losses = "squared", "logistic", "hinge"

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Fit the model.

        Parameters
        ----------
        X : array_like, shape (n, n_features)
        y : array_like, shape (n,), or (n, n_labels) of 0 and 1, which may be sparse
            Labels of at least two classes; or which of at least two labels each row has.

        Returns
        -------
        HalfSpaceSGDClassifier

        Raises
        ------
        ValueError
            If the arrays do not fit together or hold NaN, or if there are fewer than two classes.

        Warns
        -----
        TrainingWarning
            If few neurons fire, or if the loss grows without bound.
        """
        X, y = self._labels(X, y, reset=True)
        self._learn_classes(y)
        return self._fit(X, self._indicators(y))

    def partial_fit(self, X: ArrayLike, y: ArrayLike, classes: ArrayLike | None = None) -> Self:
        """Take one pass over the rows, in their order, from where the model is.

        Parameters
        ----------
        X : array_like, shape (n, n_features)
        y : array_like, shape (n,)
        classes : array_like, optional
            All labels that will ever come; needed in the first call. For multilabel y the numbers
            of its columns.

        Returns
        -------
        HalfSpaceSGDClassifier
        """
        X, y = self._labels(X, y, reset=not self._has_begun())
        if not self._has_begun():
            if classes is None:
                raise ValueError(
                    "classes must be given in the first call of partial_fit; got None."
                )
            self._set_classes(np.unique(classes), "classes")
            self.multilabel_ = y.ndim == 2
        elif classes is not None and not np.array_equal(np.unique(classes), self.classes_):
            raise ValueError(
                f"classes must be those of the first call, {self.classes_.tolist()}; got "
                f"{np.unique(classes).tolist()}."
            )
        return self._partial_fit(X, self._indicators(y))

    @available_if(_is_logistic)
    def predict_proba(self, X: ArrayLike) -> FloatArray:
        """Return the probabilities of the classes; only with the logistic loss.

        Parameters
        ----------
        X : array_like, shape (n, n_features)

        Returns
        -------
        ndarray, shape (n, n_classes)
            For two classes 1 / (1 + exp(f)) and 1 / (1 + exp(-f)); for more, 1 / (1 + exp(-f_c))
            of each class c against the rest, divided by their sum. Of multilabel targets
            (n, n_labels), 1 / (1 + exp(-f_c)).
        """
        outputs = self._outputs(X)
        if self._is_multilabel():
            return expit(outputs)
        if len(self.classes_) == 2:
            return expit(outputs * [-1.0, 1.0])
        return softmax(log_expit(outputs), axis=1)

    def _indicators(self, y):
        """As for any classifier, of labels that `partial_fit` may not have seen before."""
        unknown = [] if y.ndim == 2 else np.setdiff1d(y, self.classes_).tolist()
        if unknown:
            raise ValueError(
                f"y must have no other classes than {self.classes_.tolist()}; got {unknown}."
            )
        return super()._indicators(y)
