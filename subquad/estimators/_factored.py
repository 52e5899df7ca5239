"""Fits of factored networks for scikit-learn.

The file is long because scikit-learn wants every parameter of two classes documented in place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from subquad._parallel import blas_threads_for
from subquad._validation import integer, real
from subquad.activations import ShiftedReLU
from subquad.estimators._base import (
    OutputsRegressor,
    random_state_of,
    require_fitted,
    warn_constant,
)
from subquad.estimators._border import ClassifierEstimator, RegressorEstimator
from subquad.estimators._calibration import (
    CALIBRATION,
    CalibratedClassifier,
    errors_of_fit,
    with_class_weight,
)
from subquad.estimators._preprocessing import REPEATED_ROWS, merge_duplicates
from subquad.estimators._scaling import CONSTANT, SCALE_FEATURES
from subquad.estimators._stepped import TARGET_DEVIATION, SteppedModel
from subquad.networks import FactoredNetwork
from subquad.solvers import choose_regularization, loo_residuals
from subquad.training import FactoredGaussNewton, require_active_neurons

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, Literal, Self

    from numpy.typing import ArrayLike, DTypeLike

    from subquad.training import StepRecord


# The default of inner_size, where there are as many features.
_INNER_SIZE = 128
# So many neurons must be expected to fire at a data point.
_MIN_ACTIVE = 16

_PARAMETERS = (
    """
    Parameters
    ----------
    width : int
        m, the number of neurons.
    inner_size : int or None
        l, the number of random combinations that the features are reduced to. None is 128, or
        the number of columns, padded to a power of two, if that is smaller.
    outer_size : int or None
        k of W = A B C, of which k l numbers are trained for each output. None is W = B C, of which
        m l numbers are trained: more accurate, and slower.
    sketch : {"srht", "gaussian", "fjlt"}
        How A and C are drawn.
    shift : float
        b of the activation: a fraction Q(b) of the neurons fires; 0 is ReLU.
    regularization : "loo" or float
        mu of |f - y|^2 + mu ||B - B(0)||_F^2, on the scaled targets. "loo" takes the mu of least
        leave-one-out error of the fit linearised at the start; 0 interpolates."""
    + SCALE_FEATURES
    + CONSTANT
    + """
        Without regularization, "loo" is 1.
    max_steps : int
        Largest number of Gauss-Newton steps of an output.
    tol : "auto", float or None
        With regularization, the fit ends when the linearised objective promises to fall by no
        more than this fraction of the targets' sum of squares; without, at this relative residual.
        "auto": 0.01 and 0.001. None: the trainer's own default, which is far smaller.
    dtype : {"float64", "float32"}
        Precision of the network.
    random_state : int, RandomState instance or None
        Source of the network.
    n_threads : int or None
        Number of threads; results do not depend on it.
    callback : callable, optional
        Called with a `StepRecord` after each step.
    verbose : int
        If positive, print a line per step.

    Attributes
    ----------
    network_ : FactoredNetwork
        The network as drawn, with one output.
    weights_ : ndarray, shape (n_outputs, k, l), or (n_outputs, m, l) without A
        B of each output.
    histories_ : list of list of StepRecord
        One for each output.
    n_iter_ : int
        The largest number of steps that an output took.
    regularization_ : float
        The mu used.
    loo_error_ : float or None
        Mean squared leave-one-out error of the fit linearised at the start, as a fraction of the
        variance of the targets (so that 1 - loo_error_ is a leave-one-out R^2). None for
        interpolation.
    n_features_in_ : int
    feature_names_in_ : ndarray
"""
)

_NOTES = (
    """
    Notes
    -----
    [AS22], Sections 4 and 5, by regularised Gauss-Newton steps of `FactoredGaussNewton`. The
    outputs share A, C, a and B(0), but each has a B of its own: outputs that shared one would have
    to fit n n_outputs numbers with k l. At the start they therefore have one and the same tangent
    kernel, and one eigendecomposition chooses mu for all.
"""
    + REPEATED_ROWS
)


class _FactoredModel(SteppedModel):
    """What regression and classification share: rows in, outputs of the network out."""

    _FITTED = "weights_"

    def __init__(
        self,
        *,
        width: int = 4096,
        inner_size: int | None = None,
        outer_size: int | None = 256,
        sketch: Literal["srht", "gaussian", "fjlt"] = "srht",
        shift: float = 0.0,
        regularization: float | Literal["loo"] = "loo",
        scale_features: bool | Literal["auto"] = "auto",
        constant: float | Literal["auto", "loo"] = "auto",
        max_steps: int = 20,
        tol: float | Literal["auto"] | None = "auto",
        dtype: DTypeLike = "float64",
        random_state: int | np.random.RandomState | None = None,
        n_threads: int | None = None,
        callback: Callable[[StepRecord], object] | None = None,
        verbose: int = 0,
    ) -> None:
        self.width = width
        self.inner_size = inner_size
        self.outer_size = outer_size
        self.sketch = sketch
        self.shift = shift
        self.regularization = regularization
        self.scale_features = scale_features
        self.constant = constant
        self.max_steps = max_steps
        self.tol = tol
        self.dtype = dtype
        self.random_state = random_state
        self.n_threads = n_threads
        self.callback = callback
        self.verbose = verbose

    def _fit(self, X, T, sample_weight):
        """Fit the targets T (n, C)."""
        weights = self._checked_weights(X, sample_weight)
        vars(self).pop("weights_", None)  # they belong to another network
        scalings = self._measure(X, T, weights)
        X, T, weights, repeats = merge_duplicates(X, scalings[0].scaled(T), weights)
        self.network_ = self._new_network()
        require_active_neurons(self.network_, _MIN_ACTIVE)
        with blas_threads_for(len(X)):
            rows = self._begin(X, T, weights, repeats, scalings)
            self._train(rows, T, weights)
        return self

    def _new_network(self):
        """A network for rows of the features and a constant, padded to a power of two."""
        columns = 1 << self.n_features_in_.bit_length()
        inner_size = min(columns, _INNER_SIZE)
        if self.inner_size is not None:
            inner_size = integer(self.inner_size, "inner_size", maximum=columns)
        seed = random_state_of(self.random_state).randint(2**31)
        return FactoredNetwork(
            columns,
            width=self.width,
            inner_size=inner_size,
            outer_size=self.outer_size,
            sketch=self.sketch,
            activation=ShiftedReLU(self.shift),
            rng=np.random.default_rng(seed),
            dtype=np.dtype(self.dtype),
        )

    def _begin(self, X, T, weights, repeats, scalings):
        """Fix the constant coordinate and mu, and return the rows."""
        found = []
        for scaling in scalings:
            self._scaling = scaling
            rows = self._rows(X)
            found.append((*self._regularization_for(rows, T, weights, repeats), scaling, rows))
        self.regularization_, error, self._scaling, rows = min(found, key=lambda each: each[1])
        self.loo_error_ = None if self.regularization == 0 else error / TARGET_DEVIATION**2
        errors = None
        if self._needs_errors and self.regularization_ > 0:
            errors = errors_of_fit(self._gram(rows), T, self.regularization_, weights, repeats)
        self._calibrate(errors, T, weights, repeats)
        return rows

    def _gram(self, rows):
        """The tangent kernel of one output at the start."""
        return self.network_.jacobian(rows, n_threads=self.n_threads).gram().astype(np.float64)

    def _regularization_for(self, rows, T, weights, repeats):
        """Mu and the leave-one-out error that it has at the start."""
        if not isinstance(self.regularization, str):
            mu = real(self.regularization, "regularization", minimum=0.0)
            if mu == 0:
                return mu, 0.0
        elif self.regularization != "loo":
            raise ValueError(
                f"regularization must be 'loo' or a number; got {self.regularization!r}."
            )
        G = self._gram(rows)
        if self.regularization == "loo":
            mu, error, _ = choose_regularization([G], T, weights, repeats=repeats)
            return mu, error
        squares = 0.0
        for c, column in enumerate(T.T):
            one = repeats and repeats.columns(slice(c, c + 1))
            squares += np.square(loo_residuals(G, column, mu, weights, repeats=one))
        weights = weights if repeats is None else repeats.weights
        return mu, float(np.average(squares / T.shape[1], weights=weights))

    def _train(self, rows, T, weights):
        """Fit every output; Ctrl-C keeps what has been reached, and passes."""
        fitted, histories = [], []
        try:
            for targets in T.T:
                trainer = FactoredGaussNewton(
                    self.network_,
                    rows,
                    np.ascontiguousarray(targets),
                    regularization=self.regularization_,
                    tol=self._tolerance(),
                    max_steps=self.max_steps,
                    search_kinks=False,
                    centred=True,
                    sample_weight=weights,
                    n_threads=self.n_threads,
                    callback=self._report,
                )
                try:
                    trainer.run()
                finally:
                    fitted.append(trainer.weights)
                    histories.append(trainer.history)
        finally:
            if any(histories) or len(fitted) == T.shape[1]:
                missing = T.shape[1] - len(fitted)
                self.weights_ = np.stack(fitted + [self.network_.weights] * missing)
                self.histories_ = histories + [[] for _ in range(missing)]
                self.n_iter_ = max(1, *(len(history) for history in histories))

    def _outputs(self, X):
        """Outputs (n, C) in the units of the targets."""
        require_fitted(self, "weights_")
        rows = self._rows(self._new_rows(X))
        network, threads = self.network_, self.n_threads
        f = np.hstack([network.outputs(rows, B, n_threads=threads) for B in self.weights_])
        f -= network.outputs(rows, n_threads=threads)
        return self._scaling.unscaled(f)


class FactoredRegressor(OutputsRegressor, _FactoredModel, RegressorEstimator):
    __doc__ = f"""Regression by a wide hidden layer with factored weights, W = B C or A B C.

    f(x) - f_0(x) with f_0 the network as drawn, fitted to scaled targets.
{_PARAMETERS}{_NOTES}
    Examples
    --------
    >>> X = np.random.default_rng(0).standard_normal((100, 3))
    >>> model = FactoredRegressor(random_state=0).fit(X, X[:, 0] * X[:, 1])
    >>> model.score(X, X[:, 0] * X[:, 1]) > 0.9
    True
    """

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Fit the model.

        Parameters
        ----------
        X : array_like, shape (n, n_features)
        y : array_like, shape (n,) or (n, n_outputs)
        sample_weight : array_like, shape (n,), optional

        Returns
        -------
        FactoredRegressor

        Raises
        ------
        ValueError
            If the arrays do not fit together or hold NaN, if there are fewer than two samples, or
            if fewer than 16 neurons are expected to fire.

        Warns
        -----
        TrainingWarning
            If a target is constant, if few neurons fire, or if `max_steps` end the fit.
        """
        X, T = self._targets(X, y, ensure_min_samples=2)
        warn_constant(T)
        return self._fit(X, T, sample_weight)


class FactoredClassifier(CalibratedClassifier, _FactoredModel, ClassifierEstimator):
    __doc__ = f"""Classification by a wide hidden layer with factored weights, W = B C or A B C.

    Least squares on indicators of the classes (+1 and -1 for two), fitted as by
    `FactoredRegressor`.
{with_class_weight(_PARAMETERS)}
    classes_ : ndarray, shape (n_classes,)
        The labels; of multilabel targets the numbers of their columns.
    multilabel_ : bool
        Whether rows have any number of labels.{CALIBRATION}
{_NOTES}
    Probabilities are calibrated on all rows, each left out of the fit linearised at the start.

    Examples
    --------
    >>> X = np.random.default_rng(0).standard_normal((100, 3))
    >>> model = FactoredClassifier(random_state=0).fit(X, X[:, 0] * X[:, 1] > 0)
    >>> model.score(X, X[:, 0] * X[:, 1] > 0) > 0.9
    True
    """

    _no_scores = "a fit without regularization. Fit anew with regularization='loo'"

    def __init__(
        self,
        *,
        width: int = 4096,
        inner_size: int | None = None,
        outer_size: int | None = 256,
        sketch: Literal["srht", "gaussian", "fjlt"] = "srht",
        shift: float = 0.0,
        regularization: float | Literal["loo"] = "loo",
        scale_features: bool | Literal["auto"] = "auto",
        constant: float | Literal["auto", "loo"] = "auto",
        max_steps: int = 20,
        tol: float | Literal["auto"] | None = "auto",
        dtype: Literal["float64", "float32"] = "float64",
        random_state: int | np.random.RandomState | None = None,
        n_threads: int | None = None,
        callback: Callable[[StepRecord], object] | None = None,
        verbose: int = 0,
        class_weight: Mapping[Any, float] | Literal["balanced"] | None = None,
    ) -> None:
        super().__init__(
            width=width,
            inner_size=inner_size,
            outer_size=outer_size,
            sketch=sketch,
            shift=shift,
            regularization=regularization,
            scale_features=scale_features,
            constant=constant,
            max_steps=max_steps,
            tol=tol,
            dtype=dtype,
            random_state=random_state,
            n_threads=n_threads,
            callback=callback,
            verbose=verbose,
        )
        self.class_weight = class_weight

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Fit the model.

        Parameters
        ----------
        X : array_like, shape (n, n_features)
        y : array_like, shape (n,), or (n, n_labels) of 0 and 1, which may be sparse
            Labels of at least two classes; or which of at least two labels each row has.
        sample_weight : array_like, shape (n,), optional

        Returns
        -------
        FactoredClassifier

        Raises
        ------
        ValueError
            If the arrays do not fit together or hold NaN, if there are fewer than two samples or
            classes, or if fewer than 16 neurons are expected to fire.

        Warns
        -----
        TrainingWarning
            If few neurons fire, or if `max_steps` end the fit.
        """
        X, y = self._labels(X, y, ensure_min_samples=2)
        self._learn_classes(y)
        weights = self._weights_by_class(y, sample_weight)
        return self._fit(X, self._indicators(y), weights)
