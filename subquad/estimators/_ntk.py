"""Kernel ridge regression with the tangent kernel of an infinitely wide network, for scikit-learn.

The file is long because scikit-learn wants every parameter of two classes documented in place.
"""

import itertools
import warnings

import numpy as np
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from subquad._parallel import blas_threads_for
from subquad._shapes import as_dtype
from subquad._validation import real, require_memory
from subquad.activations import ShiftedReLU
from subquad.estimators._base import Model, OutputsClassifier, OutputsRegressor
from subquad.estimators._feature_scales import likely_factors
from subquad.estimators._preprocessing import (
    merge_duplicates,
    root_mean_square,
    unit_rows,
    weighted_moments,
)
from subquad.ntk import ntk
from subquad.solvers import choose_regularization
from subquad.solvers.exact import DampedCholesky
from subquad.training import TrainingWarning

_CONSTANTS = (1.0, 2.0)  # in units of the root mean square of the scaled features
_ROWS_FOR_CHOICE = 2048  # an eigendecomposition of 8,000 would take minutes

_PARAMETERS = """
    Parameters
    ----------
    depth : int or tuple of int
        Hidden layers. Of several, the one of least leave-one-out error.
    shift : float or tuple of float
        b of the activation; 0 is ReLU. Of several, the one of least leave-one-out error.
    regularization : "loo" or float
        mu of sum_i w_i (f(x_i) - y_i)^2 + mu ||f||^2, the norm being that of the kernel, whose
        diagonal is depth + 1 for ReLU. "loo" takes the one of least leave-one-out error; 0
        interpolates.
    scale_features : bool or "marginal_likelihood"
        Centre the features and divide them by their standard deviations; or then also by scales
        that maximise the marginal likelihood of the targets, found by L-BFGS.
    constant : "loo" or float
        Size of the constant coordinate that is appended to every row, in units of the root mean
        square of the scaled features; rows are then divided by their norms. "loo" takes 1 or 2,
        whichever has the smaller leave-one-out error (1 with scales of maximal likelihood).
    dtype : {"float64", "float32"}
        Precision of rows and kernels; equations are solved in float64.
    n_threads : int or None
        Results do not depend on it.

    Attributes
    ----------
    dual_coef_ : ndarray, shape (n_distinct, n_outputs)
        f(x) = sum_i dual_coef_[i] k(x, rows_[i]), on the centred targets.
    rows_ : ndarray, shape (n_distinct, n_features + 1)
        The distinct training rows, scaled.
    feature_scales_ : ndarray, shape (n_features,)
        What centred features are divided by.
    depth_ : int
    shift_ : float
    regularization_ : float
        What was used or chosen.
    loo_error_ : float
        Mean squared leave-one-out error of the fit, as a fraction of the variance of the targets
        (so that 1 - loo_error_ is a leave-one-out R^2).
    n_features_in_ : int
    feature_names_in_ : ndarray
"""


class _NTKModel(Model):
    """What regression and classification share: rows in, targets (n, C) out."""

    def __init__(
        self,
        *,
        depth=(1, 2, 3),
        shift=0.0,
        regularization="loo",
        scale_features=True,
        constant="loo",
        dtype="float64",
        n_threads=None,
    ):
        self.depth = depth
        self.shift = shift
        self.regularization = regularization
        self.scale_features = scale_features
        self.constant = constant
        self.dtype = dtype
        self.n_threads = n_threads

    def _fit(self, X, T, sample_weight):
        """Fit the targets T (n, C)."""
        weights = _check_sample_weight(sample_weight, X, ensure_non_negative=True)
        candidates, dtype = self._candidates(), as_dtype(self.dtype)
        self._target_mean, self._target_scale = weighted_moments(T, weights)
        T = (T - self._target_mean) / self._target_scale
        variance = np.average(np.square(T), axis=0, weights=weights).mean() or 1.0
        self._measure(X, weights)
        X, T, weights = merge_duplicates(X, T, weights)
        # weights, matrix, scaled matrix, factor, inverse
        require_memory(
            4 * 8 * len(X) ** 2, f"The kernel of {len(X)} rows and its factor", "Take fewer rows."
        )
        with blas_threads_for(len(X)):
            mu = self._choose(candidates, X, T, weights, dtype)
            self._solve(X, T, weights, mu, variance, dtype)
        return self

    def _candidates(self):
        """Every (depth, shift, constant) to be tried."""
        if self.constant != "loo":
            real(self.constant, "constant", minimum=0.0)
        if self.regularization != "loo":
            real(self.regularization, "regularization", minimum=0.0)
        if self.scale_features not in (True, False, "marginal_likelihood"):
            raise ValueError(
                "scale_features must be True, False or 'marginal_likelihood'; "
                f"got {self.scale_features!r}."
            )
        constants = (self.constant,)
        if self.constant == "loo":  # to free scales of the features, one size is as good as another
            free = self.scale_features == "marginal_likelihood"
            constants = _CONSTANTS[:1] if free else _CONSTANTS
        depths, shifts = _several(self.depth, "depth"), _several(self.shift, "shift")
        return list(itertools.product(depths, map(float, shifts), map(float, constants)))

    def _measure(self, X, weights):
        """Take means and deviations of the features."""
        self._center, self._scale = weighted_moments(X, weights)
        if self.scale_features is False:
            self._center, self._scale = np.zeros(X.shape[1]), np.ones(X.shape[1])
        self._feature_size = root_mean_square((X - self._center) / self._scale, weights) or 1.0

    def _choose(self, candidates, X, T, weights, dtype):
        """Keep the candidate of least leave-one-out error; return its mu."""
        if len(candidates) == 1 and self.regularization != "loo":
            self._adopt(candidates[0], self._factors(candidates[0], X, T, weights))
            return float(self.regularization)
        if len(X) > _ROWS_FOR_CHOICE:
            some = np.random.default_rng(0).permutation(len(X))[:_ROWS_FOR_CHOICE]
            X, T, weights = X[some], T[some], weights[some]
        found = []
        for candidate in candidates:
            factors = self._factors(candidate, X, T, weights)
            self._adopt(candidate, factors)
            K = self._kernel(self._rows(X, dtype))
            grid = None
            if self.regularization != "loo":
                grid = [max(float(self.regularization), 1e-300) / np.mean(weights * K.diagonal())]
            mu, error, _ = choose_regularization([K], T, weights, grid)
            found.append((error, candidate, factors, mu))
        _, candidate, factors, mu = min(found, key=lambda entry: entry[0])
        self._adopt(candidate, factors)
        return mu if self.regularization == "loo" else float(self.regularization)

    def _factors(self, candidate, X, T, weights):
        """Factors of the scaled features for a candidate, or None."""
        if self.scale_features != "marginal_likelihood":
            return None
        self._adopt(candidate, None)
        rows = self._rows(X, np.float64)
        activation = ShiftedReLU(self.shift_)
        return likely_factors(rows, T, weights, self.depth_, activation, self.n_threads)

    def _adopt(self, candidate, factors):
        self.depth_, self.shift_, constant = candidate
        self._constant = constant * self._feature_size
        self.feature_scales_ = self._scale if factors is None else self._scale / factors

    def _solve(self, X, T, weights, mu, variance, dtype):
        """Solve for all targets at once."""
        self.rows_ = self._rows(X, dtype)
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
        errors = self.dual_coef_ / factor.inverse_diagonal()[:, None]
        mean_square = np.average(np.square(errors), axis=0, weights=weights).mean()
        self.loo_error_ = float(mean_square / variance)
        self.regularization_ = mu

    def _kernel(self, rows, others=None):
        activation = ShiftedReLU(self.shift_)
        return ntk(rows, others, self.depth_, activation, n_threads=self.n_threads)

    def _rows(self, X, dtype):
        """Scaled features and the constant coordinate, of unit norm."""
        rows = unit_rows(X, self._center, self.feature_scales_, self._constant)
        return rows.astype(dtype, copy=False)

    def _outputs(self, X):
        """Outputs (n, C) in the units of the targets, a block of rows at a time."""
        check_is_fitted(self, "dual_coef_")
        X = validate_data(self, X, reset=False, dtype=np.float64)
        out = np.empty((len(X), self.dual_coef_.shape[1]))
        step = max(1, 2**24 // len(self.rows_))
        for start in range(0, len(X), step):
            rows = self._rows(X[start : start + step], self.rows_.dtype)
            out[start : start + step] = self._kernel(rows, self.rows_) @ self.dual_coef_
        return out * self._target_scale + self._target_mean


class NTKRegressor(OutputsRegressor, _NTKModel):
    __doc__ = f"""Regression by a network of infinite width: kernel ridge with its tangent kernel.
{_PARAMETERS}
    Notes
    -----
    O(n^2 d + n^3) operations and four n x n matrices. Candidates and the regularisation are chosen
    by closed-form leave-one-out, one eigendecomposition each, on at most 2,048 of the rows; then
    one Cholesky factorisation serves all rows and targets. Equal rows are merged into one with
    their total weight and mean target, which is the same least-squares problem.

    Marginal likelihood: Rasmussen and Williams (2006), Section 5.4; on at most 1,024 of the rows,
    one n^3 gradient for each of up to 60 steps, for each depth, shift and constant.

    Examples
    --------
    >>> X = np.random.default_rng(0).standard_normal((100, 3))
    >>> model = NTKRegressor().fit(X, X[:, 0] * X[:, 1])
    >>> model.score(X, X[:, 0] * X[:, 1]) > 0.9
    True
    """

    def fit(self, X, y, sample_weight=None):
        """Fit the model.

        Parameters
        ----------
        X : array_like, shape (n, n_features)
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


class NTKClassifier(OutputsClassifier, _NTKModel):
    __doc__ = f"""Classification by a network of infinite width, with its tangent kernel.

    Least squares on indicators of the classes (+1 and -1 for two), as `RidgeClassifier`. Defaults
    differ from `NTKRegressor`: `scale_features=False`, `constant=1.0`, the choice for images and
    other features of one kind.
{_PARAMETERS}
    classes_ : ndarray, shape (n_classes,)

    Notes
    -----
    As `NTKRegressor`: one factorisation serves all classes.

    Examples
    --------
    >>> X = np.random.default_rng(0).standard_normal((100, 3))
    >>> model = NTKClassifier().fit(X, X[:, 0] * X[:, 1] > 0)
    >>> model.score(X, X[:, 0] * X[:, 1] > 0) > 0.9
    True
    """

    def __init__(
        self,
        *,
        depth=(1, 2, 3),
        shift=0.0,
        regularization="loo",
        scale_features=False,
        constant=1.0,
        dtype="float64",
        n_threads=None,
    ):
        super().__init__(
            depth=depth,
            shift=shift,
            regularization=regularization,
            scale_features=scale_features,
            constant=constant,
            dtype=dtype,
            n_threads=n_threads,
        )

    def fit(self, X, y, sample_weight=None):
        """Fit the model.

        Parameters
        ----------
        X : array_like, shape (n, n_features)
        y : array_like, shape (n,)
            Labels of at least two classes.
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
        self._set_classes(np.unique(y))
        return self._fit(X, self._indicators(y), sample_weight)


def _several(values, name):
    """A parameter's candidates."""
    values = values if isinstance(values, (tuple, list)) else (values,)
    if not values:
        raise ValueError(f"{name} must have at least 1 candidate; got none.")
    return values
