"""Gauss-Newton fits of the last hidden layer of a random wide network.

The file is longer than others since it has all stages of a fit: cold or warm, the choice among
scalings, and what is taken over from a trainer.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from subquad._parallel import blas_threads_for, resolve_threads
from subquad._ranks import NEURONS_PER_CHUNK, StoppedTogether
from subquad._validation import one_of
from subquad.activations import ShiftedReLU
from subquad.estimators._base import random_state_of, require_fitted, warn_constant
from subquad.estimators._calibration import (
    CalibratedClassifier,
)
from subquad.estimators._last_layer_systems import last_layer_systems
from subquad.estimators._linearised import LinearisedModel, LinearisedRegressor
from subquad.estimators._log_odds import (
    LOGISTIC_TOL,
    ROWS_OF_A_PATH,
    LogOdds,
    fitted_loss,
    prior_log_odds,
)
from subquad.estimators._many_rows import (
    ROWS_FOR_QUICK_CHOICE,
    some_of,
    step_report,
    step_solver_for,
)
from subquad.estimators._preprocessing import merge_observations
from subquad.estimators._stepped import TARGET_DEVIATION, SteppedModel
from subquad.estimators._streams import NetworkStream, StreamedClassifier, StreamedRegressor
from subquad.networks import LastLayer, WideNetwork
from subquad.solvers.nystrom import RepeatablePcgSolver
from subquad.training import HuberLoss, LastLayerGaussNewton, SquaredLoss

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, Literal, Self

    from numpy.typing import ArrayLike, DTypeLike

    from subquad.training import StepRecord


class _GaussNewtonModel(NetworkStream, LinearisedModel, SteppedModel):
    """What regression and classification share: rows in, outputs of the network out."""

    _FITTED = "factors_"
    # The communicator whose ranks all make this fit, and share its neurons.
    _comm = None

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
        loss: Literal["squared", "huber", "log_loss"] | HuberLoss = "squared",
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
        self.loss = loss
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
        self._trained(X, T, sample_weight)
        return self

    def _trained(self, X, T, sample_weight):
        """Fit the targets T (n, C); return the trainer that did."""
        warm = self._is_warm()
        vars(self).pop("_stream", None)  # it belongs to other rows
        weights = self._checked_weights(X, sample_weight)
        one_of(self.solver, "solver", ("auto", "exact", "pcg"))
        _ = self._fitted_loss  # refused here, if it must be
        if warm:
            self._require_same_shape(T)
        else:
            vars(self).pop("factors_", None)  # they belong to another network
        scalings = [self._scaling] if warm else self._measured(X, T, weights)
        given = self._given(scalings[0], T)
        merges = not isinstance(self._fitted_loss, HuberLoss)
        X, T, totals, repeats, places = merge_observations(X, given, weights, merges)
        observed = (places, weights, given - T[places]), (T, totals, repeats)
        coupled = self.readout != "partition" and T.shape[1] > 1
        self.solver_ = step_solver_for(self.solver, len(X), coupled, self.regularization)
        with blas_threads_for(len(X)):
            data = X, T, totals, repeats
            trainer = self._continue(*data) if warm else self._begin(*data, scalings)
            self._run(trainer, observed, earlier=self.factors_ if warm else None)
        return trainer

    @property
    def _fitted_loss(self):
        """What is minimised, in the units of the network."""
        return fitted_loss(self.loss, self._losses)

    def _measured(self, X, T, weights):
        """The scalings to choose from, with targets scaled as the loss asks for."""
        scalings = self._measure(X, T, weights)
        if isinstance(self._fitted_loss, LogOdds):
            prior = prior_log_odds(T, weights)
            scales = np.full(T.shape[1], self._fitted_loss.scale)
            return [replace(s, target_mean=prior, target_scale=scales) for s in scalings]
        if isinstance(self._fitted_loss, HuberLoss):
            robust = [s.with_robust_targets(T, weights) for s in scalings]
            return [replace(s, target_scale=s.target_scale / TARGET_DEVIATION) for s in robust]
        return scalings

    def _given(self, scaling, T):
        """Targets as the trainer is given them: labels as they are, numbers in its units."""
        return T if isinstance(self._fitted_loss, LogOdds) else scaling.scaled(T)

    def _is_warm(self):
        """Whether a fit continues an earlier one."""
        return self.warm_start and hasattr(self, "factors_")

    def _options(self):
        """How `fit` checks its arrays."""
        return {"ensure_min_samples": 2, "reset": not self._is_warm()}

    def _begin(self, X, T, weights, repeats, scalings):
        """Return the trainer of a new network, with the best of the scalings."""
        seed = random_state_of(self.random_state).randint(2**31)
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
        most = ROWS_FOR_QUICK_CHOICE if self.solver_ == "pcg" else ROWS_OF_A_PATH
        curved = not isinstance(self._fitted_loss, SquaredLoss)
        path = curved and self._chooses() and len(X) > most
        if path or (self.solver_ == "pcg" and self.regularization != 0):
            mu = self._choose_on_few(X, T, weights, repeats, scalings, most)
            return self._trainer(self._layer(X), T, weights, repeats, mu)
        if len(scalings) > 1:
            return self._best_trainer(X, T, weights, repeats, scalings)
        self._scaling = scalings[0]
        return self._trainer(self._layer(X), T, weights, repeats)

    def _best_trainer(self, X, T, weights, repeats, scalings):
        """Return the trainer of least leave-one-out error, and keep its scaling.

        Of those before the last, layer and mu are kept alone: they take a third of a trainer.
        """
        found, squares = [], self._squares(T, weights)
        for self._scaling in scalings:
            trainer, layer = None, self._layer(X)  # the trainer before this one is given up
            trainer = self._trainer(layer, squares[0], weights, repeats, loss=squares[1])
            error = trainer.choose_regularization()
            found.append((error, self._scaling, layer, trainer.regularization_))
            found = [min(found, key=lambda entry: entry[0])]
        _, best, layer, mu = found.pop()
        if not isinstance(self._fitted_loss, SquaredLoss):  # which chooses mu by itself
            self._scaling, trainer = best, None
            return self._trainer(layer, T, weights, repeats)
        if best is not self._scaling:
            self._scaling, trainer = best, None
            trainer = self._trainer(layer, T, weights, repeats, mu)
        return trainer

    def _choose_on_few(self, X, T, weights, repeats, scalings, most):
        """Keep the scaling of least leave-one-out error on some of the rows; return its mu."""
        X, *data = some_of(X, T, weights, repeats, most)
        found, squares = [], self._squares(data[0], data[1])
        with blas_threads_for(len(X)):
            for self._scaling in scalings:
                given = squares[0], *data[1:]
                trainer = self._trainer(self._layer(X), *given, solver="exact", loss=squares[1])
                error = trainer.choose_regularization()
                errors = trainer.loo_residuals if self._needs_errors else None
                found.append((error, trainer.regularization_, self._scaling, errors))
            error, mu, self._scaling, errors = min(found, key=lambda entry: entry[0])
            if not isinstance(self._fitted_loss, SquaredLoss):
                trainer = self._trainer(self._layer(X), *data, solver="exact").run()
                error, mu, errors = (
                    trainer.loo_error,
                    trainer.regularization_,
                    trainer.loo_residuals,
                )
        self.loo_error_ = self._in_units(error)
        self._calibrate(errors, *data)
        return mu

    def _squares(self, T, weights):
        """Targets and the squared loss, by which scalings are compared whatever the loss is."""
        if isinstance(self._fitted_loss, LogOdds):
            T = T - np.average(T, axis=0, weights=weights)
        return T, SquaredLoss()

    def _layer(self, X):
        """The last layer of the network at the rows of X, in the present scaling."""
        return self.network_.last_layer(self._rows(X), self.n_threads, comm=self._comm)

    def _why_alone(self, n, n_outputs, n_ranks):
        """Why ranks have nothing to share in a fit of n distinct rows; None where they have."""
        if self.weights != "implicit":
            return "ranks share neurons of implicit weights alone"
        coupled = self.readout != "partition" and n_outputs > 1
        if coupled:
            return "ranks share neurons that feed one output each alone"
        if step_solver_for(self.solver, n, coupled, self.regularization) != "exact":
            return "ranks share neurons where steps are solved exactly alone"
        if n_ranks > -(-self.width // NEURONS_PER_CHUNK):
            return f"there must be {NEURONS_PER_CHUNK} neurons for each rank that shares them"
        return None

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
        start = layer.outputs()
        if not isinstance(self._fitted_loss, LogOdds):
            T, start = T - (moved.outputs() - start), None
        # To choose mu anew would take an eigendecomposition of all rows.
        mu = self.regularization_ if self.solver_ == "pcg" and self._chooses() else None
        return self._trainer(moved, T, weights, repeats, mu, start=start)

    def _chooses(self):
        """Whether leave-one-out chooses mu."""
        return isinstance(self.regularization, str)

    def _trainer(self, layer, T, weights, repeats, mu=None, solver=None, start=None, loss=None):
        """A trainer; of the solver that the rows ask for and the loss, unless others are given.

        `start` are outputs of the network as drawn, if the layer has moved since.
        """
        centred, loss = True, self._fitted_loss if loss is None else loss
        if isinstance(loss, LogOdds):
            scaling = self._scaling
            start = layer.outputs() if start is None else start
            centred = start - scaling.target_mean / scaling.target_scale
        if solver is None:
            solver = "exact" if self.solver_ == "exact" else RepeatablePcgSolver()
        return LastLayerGaussNewton(
            layer,
            T,
            regularization=self.regularization if mu is None else mu,
            tol=self._tolerance(),
            max_steps=self.max_steps,
            search_kinks=False,  # ten times the steps, for the same test errors
            centred=centred,
            loss=loss,
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
        except BaseException as error:
            # Ranks that did not stop together cannot gather what they have.
            together = self._comm is None or isinstance(error, StoppedTogether)
            if trainer.history and together:
                self._adopt(trainer, observed, earlier)
            raise
        self._adopt(trainer, observed, earlier)

    def _adopt(self, trainer, observed, earlier):
        """Take over what a trainer found."""
        (places, weights, deviations), merged = observed
        vars(self).pop("_observations", None)
        if isinstance(self._fitted_loss, SquaredLoss):
            self._keep_observations(places, weights, trainer.linear_targets[places] + deviations)
        A, V = trainer.factors
        if self._comm is not None:
            A = trainer._stream.layer.gather(A)  # None but on the first rank
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
            self.loo_error_ = None if error is None else self._in_units(error)
        if self.solver_ == "exact" or self.loo_error_ is None:  # else few rows have told
            # What is pulled towards earlier weights has seen each row before.
            known = self._needs_errors and earlier is None
            self._calibrate(trainer.loo_residuals if known else None, *merged)

    def _in_units(self, error):
        """The leave-one-out error in units of the variance, or as a loss of log-odds."""
        if isinstance(self._fitted_loss, LogOdds):
            return error / 2
        return error / TARGET_DEVIATION**2

    def _tolerance(self):
        """Return `tol` as the trainer takes it."""
        logistic = isinstance(self._fitted_loss, LogOdds) and self.regularization != 0
        if logistic and isinstance(self.tol, str) and self.tol == "auto":
            return LOGISTIC_TOL
        return super()._tolerance()

    def _outputs(self, X):
        """Outputs (n, C) in the units of the targets."""
        require_fitted(self, "factors_")
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


class GaussNewtonRegression(StreamedRegressor, LinearisedRegressor, _GaussNewtonModel):
    """The model of `GaussNewtonRegressor`."""

    _losses = "squared", "huber"

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


class GaussNewtonClassification(StreamedClassifier, CalibratedClassifier, _GaussNewtonModel):
    """The model of `GaussNewtonClassifier`."""

    _losses = "squared", "log_loss"
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
        loss: Literal["squared", "log_loss"] = "squared",
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
            loss=loss,
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

    def _known_calibration(self):
        """Return t; outputs that are log-odds have probabilities also where none was found."""
        if isinstance(self._fitted_loss, LogOdds) and self.calibration_ is None:
            return 1.0
        return super()._known_calibration()

    def _scored(self, T, predictions):
        """Targets and leave-one-out predictions in the units of the `decision_function`."""
        if isinstance(self._fitted_loss, LogOdds):  # predictions have the classes' frequencies
            return T, predictions * self._scaling.target_scale
        return super()._scored(T, predictions)

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
