"""Kernel ridge regression with the tangent kernel of an infinitely wide network.

The file is longer than others since it has all stages of a fit: the choice among candidates, and
three ways to solve the equations.
"""

from __future__ import annotations

import itertools
import warnings
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse

from subquad._parallel import blas_threads_for, blocks
from subquad._shapes import MAX_DEPTH, as_dtype
from subquad._validation import integer, real, require_memory, require_weights_in_range
from subquad.activations import ShiftedReLU
from subquad.estimators._base import Model, checked_weights, require_fitted
from subquad.estimators._calibration import (
    CalibratedClassifier,
    errors_of_fit,
)
from subquad.estimators._feature_scales import (
    MOST_ROWS,
    ROWS_PER_FEATURE,
    likely_factors,
)
from subquad.estimators._linearised import LinearisedModel, LinearisedRegressor
from subquad.estimators._many_rows import (
    DEFAULT_LANDMARKS,
    ITERATED_ROWS,
    ROWS_FOR_QUICK_CHOICE,
    KernelRows,
    by_iterations,
    by_landmarks,
    check_solver,
    kernel_diagonal,
    solver_for,
    some_of,
)
from subquad.estimators._preprocessing import merge_observations
from subquad.estimators._scaling import (
    Scaling,
    check_constant,
    check_scale_features,
    constants,
    standardises,
)
from subquad.estimators._streams import KernelStream, StreamedClassifier, StreamedRegressor
from subquad.ntk import ntk
from subquad.solvers import choose_regularization
from subquad.solvers.exact import DampedCholesky
from subquad.solvers.leave_one_out import left_out_errors
from subquad.training import TrainingWarning

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, Literal, Self

    from numpy.typing import ArrayLike, DTypeLike

    from subquad._typing import FloatArray, MatrixLike


# The choice is made on at most so many rows: an eigendecomposition of 8,000 would take minutes.
_ROWS_FOR_CHOICE = 2048


class _NTKModel(KernelStream, LinearisedModel, Model):
    """What regression and classification share: rows in, targets (n, C) out."""

    _FITTED = "dual_coef_"
    _accepts_sparse = True
    # Whether scale_features="auto" may learn scales.
    _learns_scales = False
    # The communicator whose ranks all make this fit, and share its landmarks' equations.
    _comm = None

    def __init__(
        self,
        *,
        depth: int | Sequence[int] = (1, 2, 3),
        shift: float | Sequence[float] = 0.0,
        regularization: float | Literal["loo"] = "loo",
        scale_features: bool | Literal["auto", "marginal_likelihood"] = "auto",
        constant: float | Literal["auto", "loo"] = "auto",
        solver: Literal["auto", "exact", "pcg", "nystrom"] = "auto",
        n_landmarks: int | None = None,
        landmarks: Literal["uniform", "pivoted"] = "uniform",
        dtype: DTypeLike = "float64",
        n_threads: int | None = None,
    ) -> None:
        self.depth = depth
        self.shift = shift
        self.regularization = regularization
        self.scale_features = scale_features
        self.constant = constant
        self.solver = solver
        self.n_landmarks = n_landmarks
        self.landmarks = landmarks
        self.dtype = dtype
        self.n_threads = n_threads

    def _fit(self, X, T, sample_weight):
        """Fit the targets T (n, C)."""
        weights = checked_weights(sample_weight, X)
        require_weights_in_range(weights, "sample_weight")
        self._check_parameters()
        vars(self).pop("_stream", None)  # it belongs to other rows
        standardise = standardises(self.scale_features, X, weights)
        scaling = Scaling.fit(X, T, weights, standardise)
        T = scaling.scaled(T)
        variance = np.average(np.square(T), axis=0, weights=weights).mean() or 1.0
        given = weights, T
        X, T, weights, repeats, places = merge_observations(X, T, weights)
        self.solver_ = solver_for(self.solver, X.shape[0])
        self._require_room(X.shape[0])
        solve = {"exact": self._solve, "pcg": self._iterate, "nystrom": self._solve_by_landmarks}
        with blas_threads_for(X.shape[0]):
            candidates = self._candidates(scaling, standardise, X, T, weights)
            mu = self._choose(candidates, X, T, weights, repeats)
            solve[self.solver_](X, T, weights, repeats, mu)
            self.loo_error_ /= variance
        vars(self).pop("_observations", None)
        if self.solver_ != "nystrom":
            self._keep_observations(places, *given)
        return self

    def _why_alone(self, n, n_outputs, n_ranks):
        """Why ranks have nothing to share in a fit of n distinct rows; None where they have."""
        if solver_for(self.solver, n) == "nystrom":
            return None
        return "ranks share the equations of landmarks alone, which stand for more than " + (
            f"{ITERATED_ROWS:,} rows"
        )

    def _require_room(self, n):
        """Refuse a kernel that does not fit, with what its solution takes."""
        # exact: matrix, scaled matrix, factor, inverse
        n_bytes = {"exact": 4 * 8 * n**2, "pcg": 8 * n**2 + 3 * 8 * 1024 * n}.get(self.solver_, 0)
        remedy = "Take fewer rows, or solver='nystrom'."
        require_memory(n_bytes, f"The kernel of {n} rows and its factor", remedy)

    def _check_parameters(self):
        """Refuse what neither kernel nor solver would."""
        as_dtype(self.dtype)
        check_solver(self.solver, self.n_landmarks, self.landmarks)
        check_scale_features(self.scale_features, ("auto", "marginal_likelihood"))
        check_constant(self.constant)
        if self.regularization != "loo":
            real(self.regularization, "regularization", minimum=0.0)
        _several(self.depth, "depth")
        _several(self.shift, "shift")

    def _candidates(self, scaling, standardise, X, T, weights):
        """Every (depth, shift, scaling) to be tried."""
        depths = [integer(d, "depth", maximum=MAX_DEPTH) for d in _several(self.depth, "depth")]
        shifts = [real(shift, "shift", minimum=0.0) for shift in _several(self.shift, "shift")]
        scalings = [scaling.with_constant(size) for size in constants(self.constant, standardise)]
        learned = None
        if self._may_learn(standardise, X.shape[0]):
            learned = self._learned(scalings[0], X, T, weights, depths[0], shifts[0])
        self.learned_scales_ = learned is not None
        # With learned scales, one constant is as good as another.
        scalings = [learned] if self.learned_scales_ else scalings
        return list(itertools.product(depths, shifts, scalings))

    def _may_learn(self, standardise, n):
        """Whether scales are to be learned, or by default may be, from n distinct rows."""
        if self.scale_features == "marginal_likelihood":
            return True
        chosen = self.constant == "auto" and self.regularization == "loo"
        enough = n >= ROWS_PER_FEATURE * self.n_features_in_
        by_default = self._learns_scales and isinstance(self.scale_features, str)
        return by_default and standardise and chosen and enough

    def _learned(self, scaling, X, T, weights, depth, shift):
        """Return the scaling with likely scales, or None by default if they do not pay."""
        rows, activation = scaling.rows(X), ShiftedReLU(shift)
        with blas_threads_for(min(X.shape[0], MOST_ROWS)):
            found = likely_factors(rows, T, weights, depth, activation, self.n_threads)
        pay = found.pay or self.scale_features == "marginal_likelihood"
        return scaling.with_factors(found.factors) if pay else None

    def _choose(self, candidates, X, T, weights, repeats):
        """Keep the candidate of least leave-one-out error; return its mu."""
        known = self.solver_ == "nystrom" or (
            self.regularization != "loo" and self.solver_ == "exact"
        )
        if len(candidates) == 1 and known:  # what more there is to choose is the solver's
            self.depth_, self.shift_, self._scaling = candidates[0]
            return self.regularization
        most = _ROWS_FOR_CHOICE if self.solver_ == "exact" else ROWS_FOR_QUICK_CHOICE
        few = some_of(X, T, weights, repeats, most)
        with blas_threads_for(few[0].shape[0]):
            return self._chosen(candidates, *few)

    def _chosen(self, candidates, X, T, weights, repeats):
        """The same for few rows."""
        found = []
        for candidate in candidates:
            self.depth_, self.shift_, self._scaling = candidate
            K = self._kernel(self._rows(X))
            grid = None
            if self.regularization != "loo":
                grid = [max(float(self.regularization), 1e-300) / np.mean(weights * K.diagonal())]
            mu, error, _ = choose_regularization([K], T, weights, grid, repeats=repeats)
            found.append((error, mu, self.depth_, self.shift_, self._scaling))
        best = min(found, key=lambda entry: entry[0])
        self.loo_error_, mu, self.depth_, self.shift_, self._scaling = best
        mu = mu if self.regularization == "loo" else float(self.regularization)
        if self.solver_ == "pcg" and self._needs_errors:  # those of all rows would cost a factor
            K = self._kernel(self._rows(X))
            self._calibrate(errors_of_fit(K, T, mu, weights, repeats), T, weights, repeats)
        return mu

    def _solve_by_landmarks(self, X, T, weights, repeats, mu):
        """Least squares on the landmarks, which also tell the mu of least leave-one-out error."""
        damping = self.regularization if self.regularization == "loo" else float(mu)
        kernel = KernelRows(self._rows(X), self._kernel)
        count = self.n_landmarks
        if count is None or self.solver == "auto":
            count = min(count or DEFAULT_LANDMARKS, X.shape[0])
        data = T, damping, weights, repeats
        found = by_landmarks(kernel, *data, count, self.landmarks, self._needs_errors, self._comm)
        self.rows_, self.dual_coef_ = kernel.rows[found.points], found.coefficients
        self.regularization_, self.loo_error_ = found.mu, found.loo_error
        self.solver_report_, self.missed_trace_ = found.message, found.missed
        if self._needs_errors:
            some = found.left_out
            seen = repeats and repeats.of_points(some)
            self._calibrate(found.loo_residuals, T[some], weights[some], seen)

    def _iterate(self, X, T, weights, repeats, mu):
        """Conjugate gradients for all targets side by side."""
        self.rows_, self.regularization_, self.missed_trace_ = self._rows(X), mu, 0.0
        K = self._kernel(self.rows_)
        found = by_iterations(K, T, mu, weights)
        self.dual_coef_, converged, self.solver_report_ = found
        if not converged:
            warnings.warn(
                f"regularization must be larger for this kernel's iterations to converge; got "
                f"{mu:.3g}. {self.solver_report_}",
                TrainingWarning,
                stacklevel=4,
            )

    def _solve(self, X, T, weights, repeats, mu):
        """Solve for all targets at once."""
        self.solver_report_, self.missed_trace_ = f"Solved exactly for {X.shape[0]} rows.", 0.0
        self.rows_, mu = self._rows(X), float(mu)
        factor = DampedCholesky(self._kernel(self.rows_), mu, weights)
        if factor.singular:
            warnings.warn(
                f"regularization must be larger for this kernel to be positive definite; got "
                f"{mu:.3g}, with which {factor.n - factor.rank} of {factor.n} eigenvalues are "
                "rounding errors. The solution of least norm is used.",
                TrainingWarning,
                stacklevel=4,
            )
        self.dual_coef_ = factor.solve(T)
        errors = left_out_errors(factor, self.dual_coef_, repeats)
        self._note_errors(errors, T, weights, repeats, singular=factor.singular)
        self.regularization_ = mu

    def _note_errors(self, errors, T, weights, repeats, singular=False):
        """Tell what leave-one-out errors (n_observations, C) say."""
        self._calibrate(None if singular else errors, T, weights, repeats)
        if repeats is not None:
            weights = repeats.weights
        mean_square = np.average(np.square(errors), axis=0, weights=weights).mean()
        self.loo_error_ = float(mean_square)

    def _kernel(self, rows, others=None):
        activation = ShiftedReLU(self.shift_)
        return ntk(rows, others, self.depth_, activation, n_threads=self.n_threads)

    def _rows(self, X):
        """Scaled features and the constant coordinate, of unit norm."""
        return self._scaling.rows(X, as_dtype(self.dtype))

    def _outputs(self, X):
        """Outputs (n, C) in the units of the targets, a block of rows at a time."""
        require_fitted(self, "dual_coef_")
        X = self._new_rows(X)
        out = np.empty((X.shape[0], self.dual_coef_.shape[1]))
        for rows in blocks(X.shape[0], max(1, 2**24 // self.rows_.shape[0])):
            kernel = self._kernel(self._scaling.rows(X[rows], self.rows_.dtype), self.rows_)
            out[rows] = kernel @ self.dual_coef_
        return self._scaling.unscaled(out)

    def _new_rows(self, X):
        """Rows to predict, checked; sparse ones where the training rows are kept so."""
        X = super()._new_rows(X)
        return scipy.sparse.csr_array(X) if scipy.sparse.issparse(self.rows_) else X

    def _linear_systems(self, X):
        """One system for all outputs."""
        rows = self._scaling.rows(X, self.rows_.dtype)
        n, k = self.rows_.shape[0], rows.shape[0]
        require_memory(8 * (3 * n * n + 3 * n * k), f"Kernels of {n} rows", "Give fewer rows.")
        prior = kernel_diagonal(rows, self._kernel)
        yield slice(None), self._kernel(self.rows_), self._kernel(rows, self.rows_), prior

    @property
    def feature_scales_(self) -> FloatArray:
        """What the centred features are divided by."""
        require_fitted(self, "dual_coef_")
        return self._scaling.scale


class NTKRegression(StreamedRegressor, LinearisedRegressor, _NTKModel):
    """The model of `NTKRegressor`."""

    _learns_scales = True

    def fit(self, X: MatrixLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Fit the model.

        Parameters
        ----------
        X : array_like or sparse array, shape (n, n_features)
        y : array_like, shape (n,) or (n, n_outputs)
        sample_weight : array_like, shape (n,), optional

        Returns
        -------
        NTKRegressor

        Raises
        ------
        ValueError
            If the arrays do not fit together or hold NaN, or there are fewer than two samples.
        MemoryError
            If the kernel does not fit.

        Warns
        -----
        TrainingWarning
            If the kernel is numerically singular, so that its solution of least norm is used.
        """
        X, T = self._targets(X, y, ensure_min_samples=2)
        return self._fit(X, T, sample_weight)


class NTKClassification(StreamedClassifier, CalibratedClassifier, _NTKModel):
    """The model of `NTKClassifier`."""

    _no_scores = "a fit whose regularization is 0 or too small for them. Give regularization='loo'"

    def __init__(
        self,
        *,
        depth: int | Sequence[int] = (1, 2, 3),
        shift: float | Sequence[float] = 0.0,
        regularization: float | Literal["loo"] = "loo",
        scale_features: bool | Literal["auto", "marginal_likelihood"] = "auto",
        constant: float | Literal["auto", "loo"] = "auto",
        solver: Literal["auto", "exact", "pcg", "nystrom"] = "auto",
        n_landmarks: int | None = None,
        landmarks: Literal["uniform", "pivoted"] = "uniform",
        dtype: Literal["float64", "float32"] = "float64",
        n_threads: int | None = None,
        class_weight: Mapping[Any, float] | Literal["balanced"] | None = None,
    ) -> None:
        super().__init__(
            depth=depth,
            shift=shift,
            regularization=regularization,
            scale_features=scale_features,
            constant=constant,
            solver=solver,
            n_landmarks=n_landmarks,
            landmarks=landmarks,
            dtype=dtype,
            n_threads=n_threads,
        )
        self.class_weight = class_weight

    def fit(self, X: MatrixLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Fit the model.

        Parameters
        ----------
        X : array_like or sparse array, shape (n, n_features)
        y : array_like, shape (n,), or (n, n_labels) of 0 and 1, which may be sparse
            Labels of at least two classes; or which of at least two labels each row has.
        sample_weight : array_like, shape (n,), optional

        Returns
        -------
        NTKClassifier

        Raises
        ------
        ValueError
            If the arrays do not fit together or hold NaN, or there are fewer than two samples or
            classes.
        MemoryError
            If the kernel does not fit.

        Warns
        -----
        TrainingWarning
            If the kernel is numerically singular, so that its solution of least norm is used.
        """
        X, y = self._labels(X, y, ensure_min_samples=2)
        self._learn_classes(y)
        weights = self._weights_by_class(y, sample_weight)
        return self._fit(X, self._indicators(y), weights)


def _several(values, name):
    """A parameter's candidates."""
    values = values if isinstance(values, (tuple, list)) else (values,)
    if not values:
        raise ValueError(f"{name} must have at least 1 candidate; got none.")
    return values
