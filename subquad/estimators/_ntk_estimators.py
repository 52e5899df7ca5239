"""The models of the tangent kernel as estimators of scikit-learn, which wants each documented."""

from __future__ import annotations

from subquad.estimators._border import ClassifierEstimator, RegressorEstimator
from subquad.estimators._calibration import CALIBRATION, with_class_weight
from subquad.estimators._feature_scales import MOST_ROWS, MOST_STEPS, ROWS_PER_FEATURE
from subquad.estimators._many_rows import SOLVED, SOLVER
from subquad.estimators._ntk import NTKClassification, NTKRegression
from subquad.estimators._preprocessing import REPEATED_ROWS
from subquad.estimators._scaling import CONSTANT, SCALE_FEATURES

_PARAMETERS = (
    """
    Parameters
    ----------
    depth : int or tuple of int
        Number of hidden layers. Of several, the one of least leave-one-out error is taken.
    shift : float or tuple of float
        b of the activation; 0 is ReLU. Of several, the one of least leave-one-out error is taken.
    regularization : "loo" or float
        mu of sum_i w_i (f(x_i) - y_i)^2 + mu ||f||^2, the norm being that of the kernel, whose
        diagonal is depth + 1 for ReLU. "loo" takes the mu of least leave-one-out error; 0
        interpolates."""
    + SCALE_FEATURES.replace('"auto" or bool', '"auto", bool or "marginal_likelihood"')
    + """
        "marginal_likelihood" standardises, and then divides by scales that maximise the marginal
        likelihood of the targets, found by L-BFGS.{AUTO}"""
    + CONSTANT
    + """ With scales of maximal likelihood, "auto" and "loo" are 1."""
    + SOLVER
    + """
    dtype : {"float64", "float32"}
        Precision of rows and kernels; equations are solved in float64.
    n_threads : int or None
        Number of threads; results do not depend on it.

    Attributes
    ----------
    dual_coef_ : ndarray, shape (n_distinct, n_outputs) or (n_landmarks, n_outputs)
        f(x) = sum_i dual_coef_[i] k(x, rows_[i]), on the centred targets.
    rows_ : ndarray, shape (n_distinct, n_features + 1) or (n_landmarks, n_features + 1)
        The distinct training rows, scaled; of "nystrom" the landmarks.
    feature_scales_ : ndarray, shape (n_features,)
        What centred features are divided by.
    learned_scales_ : bool
        Whether these maximise the marginal likelihood.
    depth_ : int
    shift_ : float
    regularization_ : float
        The depth, the shift and the mu that are in use.
    loo_error_ : float
        Mean squared leave-one-out error of the fit, as a fraction of the variance of the targets
        (so that 1 - loo_error_ is a leave-one-out R^2). Scalings are held, learned scales too,
        which makes it too small. Of "pcg", that of the fit of at most 1,024 rows by which mu was
        chosen, which is larger; of "nystrom", of at most 16,384 rows left out of the fit."""
    + SOLVED
    + """
    n_features_in_ : int
    feature_names_in_ : ndarray
"""
)
_AUTO = f"""
        "auto" does the same where it standardises, `constant` is "auto", `regularization` is "loo"
        and distinct rows are at least {ROWS_PER_FEATURE} times the features; it keeps the d scales
        if they raise the log marginal likelihood of n rows by more than d log(n) / 2 over one scale
        for all features."""
_NOT_AUTO = """
        "auto" never does so for labels: scales by the likelihood of normal targets measured worse
        on iris, wine and breast_cancer."""


class NTKRegressor(NTKRegression, RegressorEstimator):
    __doc__ = f"""Regression by a network of infinite width: kernel ridge with its tangent kernel.
{_PARAMETERS.replace("{AUTO}", _AUTO)}
    Notes
    -----
    "exact": O(n^2 d + n^3) operations and four n x n matrices. Candidates and the regularisation
    are chosen by closed-form leave-one-out, one eigendecomposition each, on at most 2,048 of the
    rows (1,024 for the other solvers); then one Cholesky factorisation serves all rows and
    targets. "nystrom" chooses the regularisation anew, by leave-one-out from all rows.

    Sparse rows stay sparse: kernels need their inner products alone, and features are left as they
    are, whatever their units. `rows_` is then a csr_array.
{REPEATED_ROWS}
    Marginal likelihood: Rasmussen and Williams (2006), Section 5.4, with the first depth and shift,
    on at most {MOST_ROWS:,} of the rows; one n^3 gradient for each of up to {MOST_STEPS} steps.
    Departures: a normal prior of deviation 1 on the logarithms of the scales, around their mean,
    without which scales of features that do not matter followed the noise; and whether they pay is
    told by the criterion of Schwarz (1978).

    Examples
    --------
    >>> import numpy as np
    >>> X = np.random.default_rng(0).standard_normal((100, 3))
    >>> model = NTKRegressor().fit(X, X[:, 0] * X[:, 1])
    >>> model.score(X, X[:, 0] * X[:, 1]) > 0.9
    True
    """


class NTKClassifier(NTKClassification, ClassifierEstimator):
    __doc__ = f"""Classification by a network of infinite width, with its tangent kernel.

    Least squares on indicators of the classes (+1 and -1 for two), as `RidgeClassifier`.
{with_class_weight(_PARAMETERS.replace("{AUTO}", _NOT_AUTO))}
    classes_ : ndarray, shape (n_classes,)
        The labels; of multilabel targets the numbers of their columns.
    multilabel_ : bool
        Whether rows have any number of labels.{CALIBRATION}

    Notes
    -----
    As `NTKRegressor`: one factorisation serves all classes. Probabilities are calibrated on all
    rows, each left out; by "pcg" on at most 1,024 rows, each left out of the fit of these, which
    is less sure than that of all; by "nystrom" on at most 16,384.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.random.default_rng(0).standard_normal((100, 3))
    >>> model = NTKClassifier().fit(X, X[:, 0] * X[:, 1] > 0)
    >>> model.score(X, X[:, 0] * X[:, 1] > 0) > 0.9
    True
    """
