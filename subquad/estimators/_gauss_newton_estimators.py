"""The Gauss-Newton models as estimators of scikit-learn, which wants each documented."""

from __future__ import annotations

from subquad.estimators._border import ClassifierEstimator, RegressorEstimator
from subquad.estimators._calibration import CALIBRATION, with_class_weight
from subquad.estimators._gauss_newton import GaussNewtonClassification, GaussNewtonRegression
from subquad.estimators._many_rows import STEP_SOLVER
from subquad.estimators._preprocessing import REPEATED_ROWS
from subquad.estimators._scaling import CONSTANT, SCALE_FEATURES

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
        leave-one-out error of the linearised fit; 0 interpolates, as the papers do. Of other
        losses |f - y|^2 is replaced by twice their sum; leave-one-out then compares
        fits from strong regularization down, of at most 512 of the rows."""
    + SCALE_FEATURES
    + CONSTANT
    + """
        Without regularization, "loo" is 1."""
    + STEP_SOLVER
    + """
    loss : {LOSSES}
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
        of the targets (so that 1 - loo_error_ is a leave-one-out R^2). {LOO}None for interpolation,
        and after a warm start, when the linearised fit is only of what the model still lacked. Of
        "pcg", that of the first linearised fit of the rows by which mu was chosen, which is larger.
    solver_ : {"exact", "pcg"}
    solver_report_ : str
        How the steps were solved, in one line.
    n_features_in_ : int
    feature_names_in_ : ndarray
"""
)


_REGRESSION = """{"squared", "huber"} or HuberLoss
        What is minimised. "huber" is `HuberLoss(delta=1)`: targets are then scaled by their median
        and by 1.4826 times the median distance from it, in which unit delta is, and not by mean and
        standard deviation, which outliers would move."""
_CLASSIFICATION = """{"squared", "log_loss"}
        What is minimised: squared errors of indicators, or the logistic loss of each class against
        the rest, of which the outputs are the log-odds."""
_HUBER_LOO = """With the Huber
        loss twice the mean loss, in the unit of its scaled targets. """
_LOG_LOO = """With "log_loss"
        the mean logistic loss of a row and output. """


class GaussNewtonRegressor(GaussNewtonRegression, RegressorEstimator):
    __doc__ = f"""Regression by the last hidden layer of a wide random network.

    f(x) - f_0(x) with f_0 the network as drawn, fitted to scaled targets by the regularised
    Gauss-Newton steps of `LastLayerGaussNewton`.
{_PARAMETERS.replace("{LOSSES}", _REGRESSION).replace("{LOO}", _HUBER_LOO)}
    Notes
    -----{REPEATED_ROWS}
    Examples
    --------
    >>> import numpy as np
    >>> X = np.random.default_rng(0).standard_normal((100, 3))
    >>> model = GaussNewtonRegressor(width=512, random_state=0).fit(X, X[:, 0] * X[:, 1])
    >>> model.score(X, X[:, 0] * X[:, 1]) > 0.9
    True
    """


class GaussNewtonClassifier(GaussNewtonClassification, ClassifierEstimator):
    __doc__ = f"""Classification by the last hidden layer of a wide random network.

    Least squares on indicators of the classes (+1 and -1 for two), as `RidgeClassifier`, with
    f(x) - f_0(x) fitted as in `GaussNewtonRegressor`.
{with_class_weight(_PARAMETERS.replace("{LOSSES}", _CLASSIFICATION).replace("{LOO}", _LOG_LOO))}
    classes_ : ndarray, shape (n_classes,)
        The labels; of multilabel targets the numbers of their columns.
    multilabel_ : bool
        Whether rows have any number of labels.{CALIBRATION}

    Notes
    -----{REPEATED_ROWS}
    Probabilities are calibrated on all rows, each left out of the linearised fit at its end; by
    "pcg" on at most 1,024 rows, each left out of the first linearised fit of these, which is less
    sure than that of all. With loss="log_loss" outputs are log-odds by themselves, and t is of the
    order of 1; it is 1 for a fit without regularization and after a warm start.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.random.default_rng(0).standard_normal((100, 3))
    >>> model = GaussNewtonClassifier(width=512, random_state=0).fit(X, X[:, 0] * X[:, 1] > 0)
    >>> model.score(X, X[:, 0] * X[:, 1] > 0) > 0.9
    True
    """
