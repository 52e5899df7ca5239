"""Gauss-Newton fits of the last hidden layer of a random wide network, for scikit-learn.

The file is long because scikit-learn wants every parameter of two classes documented in place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from subquad._parallel import blas_threads_for, resolve_threads
from subquad._validation import one_of
from subquad.activations import ShiftedReLU
from subquad.estimators._base import warn_constant
from subquad.estimators._calibration import (
    CALIBRATION,
    CalibratedClassifier,
    with_class_weight,
)
from subquad.estimators._last_layer_systems import last_layer_systems
from subquad.estimators._linearised import LinearisedModel, LinearisedRegressor
from subquad.estimators._many_rows import (
    ROWS_FOR_QUICK_CHOICE,
    STEP_SOLVER,
    some_of,
    step_report,
    step_solver_for,
)
from subquad.estimators._preprocessing import REPEATED_ROWS, merge_observations
from subquad.estimators._scaling import CONSTANT, SCALE_FEATURES
from subquad.estimators._stepped import TARGET_DEVIATION, SteppedModel
from subquad.networks import LastLayer, WideNetwork
from subquad.solvers.nystrom import RepeatablePcgSolver
from subquad.training import LastLayerGaussNewton

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, Literal, Self

    from numpy.typing import ArrayLike, DTypeLike

    from subquad.training import StepRecord


_PARAMETERS = (
    """
    Parameters
    ----------
    width : int
        m, the number of neurons in each hidden layer.
    depth : int
        Number of hidden layers, at least 2. The last one is fitted.
    shift : float
        b of the activation: a fraction Q(b) of the neurons fires. 0 is ReLU, which measured most
        accurate in most cases; a fit with 1 is several times faster at large widths.
    readout : {"partition", "dense"}
        Whether each of several outputs has neurons of its own ("partition", exact and fast), or
        all outputs share all neurons ("dense").
    weights : {"dense", "int8", "implicit"}
        How the matrices between hidden layers are stored; "implicit" does not store them. See
        `WideNetwork`.
    regularization : "loo" or float
        mu of |f - y|^2 + mu ||W - W(0)||_F^2, on the scaled targets. "loo" takes the mu of least
        leave-one-out error of the linearised fit; 0 interpolates, as the papers do."""
    + SCALE_FEATURES
    + CONSTANT
    + """
        Without regularization, "loo" is 1."""
    + STEP_SOLVER
    + """
    max_steps : int
        Largest number of Gauss-Newton steps.
    tol : "auto", float or None
        With regularization, the fit ends when the linearised objective promises to fall by no
        more than this fraction of the targets' sum of squares; without, at this relative residual.
        "auto": 0.01 and 0.001. None: the trainer's own default, which is far smaller.
    dtype : {"float64", "float32"}
        Precision of the network; float32 halves the memory.
    warm_start : bool
        Whether `fit` continues from the present weights. Network, scalings and `n_features_in_`
        are kept, and the regularisation pulls towards the weights reached so far. With "pcg", the
        mu that leave-one-out has chosen is kept as well.
    random_state : int, RandomState instance or None
        Source of the network.
    n_threads : int or None
        Number of threads; results do not depend on it.
    callback : callable, optional
        Called with a `StepRecord` after each step. If it has a method `begin`, that is called
        with the trainer before the first one: see `subquad.io.Checkpoint`.
    verbose : int
        If positive, print a line per step.

    Attributes
    ----------
    network_ : WideNetwork
        The network as drawn.
    factors_ : tuple of ndarray
        (A, V): the last hidden layer's weights are changed by A^T V.
    history_ : list of StepRecord
    n_iter_ : int
        Steps taken.
    regularization_ : float
        The mu used.
    loo_error_ : float or None
        Mean squared leave-one-out error of the last linearised fit, as a fraction of the variance
        of the targets (so that 1 - loo_error_ is a leave-one-out R^2). None for interpolation,
        and after a warm start, when the linearised fit is only of what the model still lacked. Of
        "pcg", that of the first linearised fit of the rows by which mu was chosen, which is larger.
    solver_ : {"exact", "pcg"}
    solver_report_ : str
        How the steps were solved, in one line.
    n_features_in_ : int
    feature_names_in_ : ndarray
"""
)


class _GaussNewtonModel(LinearisedModel, SteppedModel):
    """What regression and classification share: rows in, outputs of the network out."""

    _FITTED = "factors_"

    def __init__(
        self,
        *,
        width: int = 2048,
        depth: int = 2,
        shift: float = 0.0,
        readout: Literal["partition", "dense"] = "partition",
        weights: Literal["dense", "int8", "implicit"] = "dense",
        regularization: float | Literal["loo"] = "loo",
        scale_features: bool | Literal["auto"] = "auto",
        constant: float | Literal["auto", "loo"] = "auto",
        solver: Literal["auto", "exact", "pcg"] = "auto",
        max_steps: int = 20,
        tol: float | Literal["auto"] | None = "auto",
        dtype: DTypeLike = "float64",
        warm_start: bool = False,
        random_state: int | np.random.RandomState | None = None,
        n_threads: int | None = None,
        callback: Callable[[StepRecord], object] | None = None,
        verbose: int = 0,
    ) -> None:
        self.width = width
        self.depth = depth
        self.shift = shift
        self.readout = readout
        self.weights = weights
        self.regularization = regularization
        self.scale_features = scale_features
        self.constant = constant
        self.solver = solver
        self.max_steps = max_steps
        self.tol = tol
        self.dtype = dtype
        self.warm_start = warm_start
        self.random_state = random_state
        self.n_threads = n_threads
        self.callback = callback
        self.verbose = verbose

    def _fit(self, X, T, sample_weight):
        """Fit the targets T (n, C)."""
        warm = self._is_warm()
        weights = self._checked_weights(X, sample_weight)
        one_of(self.solver, "solver", ("auto", "exact", "pcg"))
        if warm:
            self._require_same_shape(T)
        else:
            vars(self).pop("factors_", None)  # they belong to another network
        scalings = [self._scaling] if warm else self._measure(X, T, weights)
        given = scalings[0].scaled(T)
        X, T, totals, repeats, places = merge_observations(X, given, weights)
        observed = (places, weights, given - T[places]), (T, totals, repeats)
        coupled = self.readout != "partition" and T.shape[1] > 1
        self.solver_ = step_solver_for(self.solver, len(X), coupled, self.regularization)
        with blas_threads_for(len(X)):
            data = X, T, totals, repeats
            trainer = self._continue(*data) if warm else self._begin(*data, scalings)
            self._run(trainer, observed, earlier=self.factors_ if warm else None)
        return self

    def _is_warm(self):
        """Whether a fit continues an earlier one."""
        return self.warm_start and hasattr(self, "factors_")

    def _options(self):
        """How `fit` checks its arrays."""
        return {"ensure_min_samples": 2, "reset": not self._is_warm()}

    def _begin(self, X, T, weights, repeats, scalings):
        """Return the trainer of a new network, with the best of the scalings."""
        seed = check_random_state(self.random_state).randint(2**31)
        self.network_ = WideNetwork(
            X.shape[1] + 1,
            width=self.width,
            depth=self.depth,
            n_outputs=T.shape[1],
            activation=ShiftedReLU(self.shift),
            readout=self.readout,
            weights=self.weights,
            rng=np.random.default_rng(seed),
            dtype=np.dtype(self.dtype),
        )
        if self.solver_ == "pcg" and self.regularization != 0:
            mu = self._choose_on_few(X, T, weights, repeats, scalings)
            return self._trainer(self._layer(X), T, weights, repeats, mu)
        if len(scalings) > 1:
            return self._best_trainer(X, T, weights, repeats, scalings)
        self._scaling = scalings[0]
        return self._trainer(self._layer(X), T, weights, repeats)

    def _best_trainer(self, X, T, weights, repeats, scalings):
        """Return the trainer of least leave-one-out error, and keep its scaling.

        Of those before the last, layer and mu are kept alone: they take a third of a trainer.
        """
        found = []
        for self._scaling in scalings:
            trainer, layer = None, self._layer(X)  # the trainer before this one is given up
            trainer = self._trainer(layer, T, weights, repeats)
            error = trainer.choose_regularization()
            found.append((error, self._scaling, layer, trainer.regularization_))
            found = [min(found, key=lambda entry: entry[0])]
        _, best, layer, mu = found.pop()
        if best is not self._scaling:
            self._scaling, trainer = best, None
            trainer = self._trainer(layer, T, weights, repeats, mu)
        return trainer

    def _choose_on_few(self, X, T, weights, repeats, scalings):
        """Keep the scaling of least leave-one-out error on some of the rows; return its mu."""
        X, *data = some_of(X, T, weights, repeats, ROWS_FOR_QUICK_CHOICE)
        found = []
        with blas_threads_for(len(X)):
            for self._scaling in scalings:
                trainer = self._trainer(self._layer(X), *data, solver="exact")
                error = trainer.choose_regularization()
                errors = trainer.loo_residuals if self._needs_errors else None
                found.append((error, trainer.regularization_, self._scaling, errors))
        error, mu, self._scaling, errors = min(found, key=lambda entry: entry[0])
        self.loo_error_ = error / TARGET_DEVIATION**2
        self._calibrate(errors, *data)
        return mu

    def _layer(self, X):
        """The last layer of the network at the rows of X, in the present scaling."""
        return self.network_.last_layer(self._rows(X), self.n_threads)

    def _continue(self, X, T, weights, repeats):
        """Return the trainer that goes on from the present weights, to what the fit still lacks."""
        A, V = self.factors_
        layer = self._layer(X)
        moved = LastLayer(
            layer.features,
            layer.preactivations + (layer.features @ V.T) @ A,
            layer.readout,
            layer.activation,
            weight_std=layer.weight_std,
            thresholds=layer.thresholds,
        )
        T = T - (moved.outputs() - layer.outputs())
        # To choose mu anew would take an eigendecomposition of all rows.
        mu = self.regularization_ if self.solver_ == "pcg" and self._chooses() else None
        return self._trainer(moved, T, weights, repeats, mu)

    def _chooses(self):
        """Whether leave-one-out chooses mu."""
        return isinstance(self.regularization, str)

    def _trainer(self, layer, T, weights, repeats, mu=None, solver=None):
        """A trainer; of the solver that the rows ask for, unless one is given."""
        if solver is None:
            solver = "exact" if self.solver_ == "exact" else RepeatablePcgSolver()
        return LastLayerGaussNewton(
            layer,
            T,
            regularization=self.regularization if mu is None else mu,
            tol=self._tolerance(),
            max_steps=self.max_steps,
            search_kinks=False,  # ten times the steps, for the same test errors
            centred=True,
            sample_weight=weights,
            repeats=repeats,
            solver=solver,
            n_threads=self.n_threads,
            callback=self._report,
        )

    def _run(self, trainer, observed, earlier):
        """Train; Ctrl-C keeps the best iterate, and passes."""
        if hasattr(self.callback, "begin"):
            self.callback.begin(trainer)
        try:
            trainer.run()
        finally:
            if trainer.history:
                self._adopt(trainer, observed, earlier)
        if not trainer.history:  # the targets were met before the first step
            self._adopt(trainer, observed, earlier)

    def _adopt(self, trainer, observed, earlier):
        """Take over what a trainer found."""
        (places, weights, deviations), merged = observed
        self._keep_observations(places, weights, trainer.linear_targets[places] + deviations)
        A, V = trainer.factors
        if earlier is not None and np.array_equal(V, earlier[1]):
            A = A + earlier[0]
        elif earlier is not None:
            A, V = np.concatenate([earlier[0], A]), np.concatenate([earlier[1], V])
        self.factors_ = A, V
        self.history_: list[StepRecord] = trainer.history
        self.n_iter_ = max(1, len(trainer.history))
        self.regularization_ = trainer.regularization_
        n_iterations = max((record.n_iterations for record in trainer.history), default=0)
        self.solver_report_ = step_report(self.solver_, len(trainer.outputs), n_iterations)
        if earlier is not None or self.regularization == 0:
            # After a warm start it would be the error of what was left to fit, not of the whole.
            self.loo_error_ = None
        elif self.solver_ == "exact":
            error = trainer.loo_error  # None where the targets were met before the first step
            self.loo_error_ = None if error is None else error / TARGET_DEVIATION**2
        if self.solver_ == "exact" or self.loo_error_ is None:  # else few rows have told
            # What is pulled towards earlier weights has seen each row before.
            known = self._needs_errors and earlier is None
            self._calibrate(trainer.loo_residuals if known else None, *merged)

    def _outputs(self, X):
        """Outputs (n, C) in the units of the targets."""
        check_is_fitted(self, "factors_")
        X = self._new_rows(X)
        f = self.network_.outputs(
            self._rows(X), self.factors_, centred=True, n_threads=self.n_threads
        )
        return self._scaling.unscaled(f)

    def _linear_systems(self, X):
        """One system for each output, or one of coupled outputs, where the last fit ended."""
        A, V = self.factors_
        n = int(self._observations["places"].max()) + 1
        rows, n_threads = self._rows(X), resolve_threads(self.n_threads)
        return last_layer_systems(self.network_, (A, V), V[-n:], rows, n_threads)

    def _require_same_shape(self, T):
        """Refuse a warm start that would need another network."""
        had, wanted = self.network_, (self.width, self.depth, T.shape[1])
        if (had.width, had.depth, had.n_outputs) != wanted:
            raise ValueError(
                "warm_start must continue with the same width, depth and number of outputs; "
                f"got {wanted} after {(had.width, had.depth, had.n_outputs)}."
            )


class GaussNewtonRegressor(LinearisedRegressor, _GaussNewtonModel):
    __doc__ = f"""Regression by the last hidden layer of a wide random network.

    f(x) - f_0(x) with f_0 the network as drawn, fitted to scaled targets by the regularised
    Gauss-Newton steps of `LastLayerGaussNewton`.
{_PARAMETERS}
    Notes
    -----{REPEATED_ROWS}
    Examples
    --------
    >>> X = np.random.default_rng(0).standard_normal((100, 3))
    >>> model = GaussNewtonRegressor(width=512, random_state=0).fit(X, X[:, 0] * X[:, 1])
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
        GaussNewtonRegressor

        Raises
        ------
        ValueError
            If the arrays do not fit together or hold NaN, if there are fewer than two samples, or
            if fewer than 16 neurons per output are expected to fire.

        Warns
        -----
        TrainingWarning
            If a target is constant, if few neurons fire, or if `max_steps` end the fit.
        """
        X, T = self._targets(X, y, **self._options())
        warn_constant(T)
        return self._fit(X, T, sample_weight)


class GaussNewtonClassifier(CalibratedClassifier, _GaussNewtonModel):
    __doc__ = f"""Classification by the last hidden layer of a wide random network.

    Least squares on indicators of the classes (+1 and -1 for two), as `RidgeClassifier`, with
    f(x) - f_0(x) fitted as in `GaussNewtonRegressor`.
{with_class_weight(_PARAMETERS)}
    classes_ : ndarray, shape (n_classes,)
        The labels; of multilabel targets the numbers of their columns.
    multilabel_ : bool
        Whether rows have any number of labels.{CALIBRATION}

    Notes
    -----{REPEATED_ROWS}
    Probabilities are calibrated on all rows, each left out of the linearised fit at its end; by
    "pcg" on at most 1,024 rows, each left out of the first linearised fit of these, which is less
    sure than that of all.

    Examples
    --------
    >>> X = np.random.default_rng(0).standard_normal((100, 3))
    >>> model = GaussNewtonClassifier(width=512, random_state=0).fit(X, X[:, 0] * X[:, 1] > 0)
    >>> model.score(X, X[:, 0] * X[:, 1] > 0) > 0.9
    True
    """

    _no_scores = (
        "a fit without regularization, or one that a warm start continued. Fit anew with "
        "regularization='loo' and warm_start=False"
    )

    def __init__(
        self,
        *,
        width: int = 2048,
        depth: int = 2,
        shift: float = 0.0,
        readout: Literal["partition", "dense"] = "partition",
        weights: Literal["dense", "int8", "implicit"] = "dense",
        regularization: float | Literal["loo"] = "loo",
        scale_features: bool | Literal["auto"] = "auto",
        constant: float | Literal["auto", "loo"] = "auto",
        solver: Literal["auto", "exact", "pcg"] = "auto",
        max_steps: int = 20,
        tol: float | Literal["auto"] | None = "auto",
        dtype: Literal["float64", "float32"] = "float64",
        warm_start: bool = False,
        random_state: int | np.random.RandomState | None = None,
        n_threads: int | None = None,
        callback: Callable[[StepRecord], object] | None = None,
        verbose: int = 0,
        class_weight: Mapping[Any, float] | Literal["balanced"] | None = None,
    ) -> None:
        super().__init__(
            width=width,
            depth=depth,
            shift=shift,
            readout=readout,
            weights=weights,
            regularization=regularization,
            scale_features=scale_features,
            constant=constant,
            solver=solver,
            max_steps=max_steps,
            tol=tol,
            dtype=dtype,
            warm_start=warm_start,
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
        GaussNewtonClassifier

        Raises
        ------
        ValueError
            If the arrays do not fit together or hold NaN, if there are fewer than two samples or
            classes, or if fewer than 16 neurons per output are expected to fire.

        Warns
        -----
        TrainingWarning
            If few neurons fire, or if `max_steps` end the fit.
        """
        X, y = self._labels(X, y, **self._options())
        if self._is_warm():
            self._require_known(np.unique(y))
        else:
            self._learn_classes(y)
        weights = self._weights_by_class(y, sample_weight)
        return self._fit(X, self._indicators(y), weights)

    def _require_known(self, classes):
        """Refuse a warm start with classes that have no output."""
        if self._is_multilabel():  # whose columns `_indicators` counts
            return
        unknown = np.setdiff1d(classes, self.classes_).tolist()
        if unknown:
            raise ValueError(
                f"y must have no other classes than the fit that warm_start continues; got "
                f"{unknown} beside {self.classes_.tolist()}."
            )
