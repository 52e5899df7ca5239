"""Whether the parts of an estimator fit together, found out without a prediction.

A file may hold any sizes and types. Predictions trust those of a fitted estimator: these are the
ones they rely on. Nothing here takes more memory than the arrays, or longer than a look at them.
"""

import reprlib

import numpy as np
import scipy.sparse

from subquad._parallel import resolve_threads
from subquad._validation import as_csr, as_matrix, as_vector, integer, real, require_finite
from subquad.activations import ShiftedReLU
from subquad.estimators import Scaling
from subquad.networks import FactoredNetwork, WideNetwork
from subquad.training import HalfSpaceSGD, StepRecord

# A kernel of a thousand layers takes seconds for one row. A file that asks for more asks to hang.
MOST_LAYERS = 1000
# What a linear model of scikit-learn predicts by.
LINEAR_STATE = ("coef_", "intercept_", "classes_", "n_features_in_", "feature_names_in_")


def check_model(estimator):
    """Raise ValueError, TypeError or AttributeError unless the estimator can predict."""
    d = integer(estimator.n_features_in_, "n_features_in_")
    if hasattr(estimator, "indexHash_"):
        _check_names(estimator, d)
        _check_sketch(estimator, d)
        return
    if not hasattr(estimator, "_scaling"):
        _check_linear_model(estimator, d)
        return
    resolve_threads(estimator.n_threads)
    _check_names(estimator, d)
    n_outputs = _check_scaling(estimator._scaling, d)
    if hasattr(estimator, "factors_"):
        _check_network_model(estimator, d, n_outputs)
    elif hasattr(estimator, "trainer_"):
        _check_trainer(estimator.trainer_, d, n_outputs)
    elif hasattr(estimator, "weights_"):
        _check_factored_model(estimator, n_outputs)
    else:
        _check_kernel_model(estimator, d, n_outputs)
    names = () if hasattr(estimator, "trainer_") else ("regularization_", "loo_error_")
    for name in names:
        value = getattr(estimator, name)
        if value is not None and not isinstance(value, (float, int)):
            raise TypeError(f"{name} must be a number; got {_short(value)}")
    _check_targets(estimator, n_outputs)
    if "_stream" in vars(estimator):
        _check_stream(d=d, **estimator._stream)
        _check_firing(estimator)


def _check_stream(X, y, weights, n_chosen, d, sizes=(), fired=None):
    """Check the rows that `partial_fit` goes on from; older files have no sizes of chunks."""
    check_rows = as_csr if scipy.sparse.issparse(X) else as_matrix
    check_rows(X, "X", n_columns=d)
    as_vector(weights, "weights", size=X.shape[0])
    _require_type(y, np.ndarray, "y")
    if len(y) != X.shape[0]:
        raise ValueError(f"y must have {X.shape[0]} rows; got {len(y)}")
    integer(n_chosen, "n_chosen", maximum=X.shape[0])
    for size in sizes:
        integer(size, "sizes", minimum=0)
    integer(sum(sizes), "sum of sizes", minimum=0, maximum=X.shape[0])


def _check_firing(estimator):
    """Check the bits of the neurons that fired at the rows that joined."""
    fired = estimator._stream.get("fired")
    if fired is None:
        return
    _require_type(fired, np.ndarray, "fired")
    shape = len(estimator.factors_[0]), -(-estimator.network_.width // 8)
    if fired.dtype != np.uint8 or fired.shape != shape:
        raise ValueError(f"fired must be bits of shape {shape}; got {fired.shape}")


def _check_sketch(sketch, d):
    """Check the buckets and signs of a polynomial sketch, which its kernel trusts."""
    sketch._check_parameters()
    shape = sketch.degree, d + (sketch.coef0 != 0)
    for name in ("indexHash_", "bitHash_"):
        table = getattr(sketch, name)
        _require_type(table, np.ndarray, name)
        if table.shape != shape or table.dtype.kind != "i":
            raise ValueError(f"{name} must be integers of shape {shape}")
    if not ((sketch.indexHash_ >= 0) & (sketch.indexHash_ < sketch.n_components)).all():
        raise ValueError(f"indexHash_ must be in [0, {sketch.n_components})")
    if not (np.abs(sketch.bitHash_) == 1).all():
        raise ValueError("bitHash_ must be signs")


def _check_trainer(trainer, d, n_outputs):
    """Check the sizes of a half-space network."""
    _require_type(trainer, HalfSpaceSGD, "trainer_")
    network = trainer.network
    if (network.n_features, network.n_outputs) != (d + 1, n_outputs):
        raise ValueError(f"trainer_ must take {d + 1} features and have {n_outputs} outputs")


def _check_factored_model(estimator, n_outputs):
    """Check a factored network of one output, and the weights of each."""
    network, weights = estimator.network_, estimator.weights_
    _require_type(network, FactoredNetwork, "network_")
    if network.n_features <= estimator.n_features_in_ or network.n_outputs != 1:
        raise ValueError("network_ must take all features and a constant, and have one output")
    _require_type(weights, np.ndarray, "weights_")
    if weights.shape != (n_outputs, *network.weights.shape) or weights.dtype != network.dtype:
        raise ValueError("weights_ must be those of the network, for each output")
    require_finite(weights, "weights_")


def _check_linear_model(estimator, d):
    """Check a linear model of scikit-learn: one row of coefficients for each output."""
    if not set(vars(estimator)) <= {*estimator.get_params(deep=False), *LINEAR_STATE}:
        raise TypeError("a linear model must hold coefficients alone")
    _require_type(estimator.coef_, np.ndarray, "coef_")
    coef = as_matrix(np.atleast_2d(estimator.coef_), "coef_", n_columns=d)
    intercept = np.atleast_1d(np.asarray(estimator.intercept_, dtype=np.float64))
    as_vector(intercept, "intercept_", size=len(coef))
    _check_names(estimator, d)
    if hasattr(estimator, "classes_"):
        _require_type(estimator.classes_, np.ndarray, "classes_")
        n_classes = 2 if len(coef) == 1 else len(coef)
        if estimator.classes_.shape != (n_classes,):
            raise ValueError(f"classes_ must be {n_classes}; got {estimator.classes_.shape}")


def _check_scaling(scaling, d):
    """Check the affine maps of d features; return the number of outputs."""
    _require_type(scaling, Scaling, "_scaling")
    _vector(scaling.center, "center", d)
    _vector(scaling.scale, "scale", d)
    _vector(scaling.target_scale, "target_scale", None)
    _vector(scaling.target_mean, "target_mean", len(scaling.target_scale))
    real(scaling.feature_size, "feature_size", minimum=0.0)
    real(scaling.constant, "constant", minimum=0.0)
    if not np.all(scaling.scale):
        raise ValueError("scale must not be zero")
    return len(scaling.target_mean)


def _check_network_model(estimator, d, n_outputs):
    """Check a network of given outputs, the change of its last hidden layer, and the records."""
    network = estimator.network_
    _require_type(network, WideNetwork, "network_")
    if network.n_features != d + 1:  # the constant is a feature of the network
        raise ValueError(f"network_ must take {d + 1} features; got {network.n_features}")
    if network.n_outputs != n_outputs:
        raise ValueError(f"network_ must have {n_outputs} outputs; got {network.n_outputs}")
    A, V = estimator.factors_
    as_matrix(A, "factors_[0]", n_columns=network.width)
    as_matrix(V, "factors_[1]", n_columns=network.weights[-1].shape[1], n_rows=len(A))
    if A.dtype != network.dtype or V.dtype != network.dtype:
        raise TypeError(f"factors_ must be {network.dtype}; got {A.dtype} and {V.dtype}")
    integer(estimator.n_iter_, "n_iter_", minimum=0)
    _require_type(estimator.history_, list, "history_")
    for record in estimator.history_:
        _require_type(record, StepRecord, "history_")


def _check_kernel_model(estimator, d, n_outputs):
    """Check the rows of a kernel and their coefficients."""
    check_rows = as_csr if scipy.sparse.issparse(estimator.rows_) else as_matrix
    check_rows(estimator.rows_, "rows_", n_columns=d + 1)
    n = estimator.rows_.shape[0]
    as_matrix(estimator.dual_coef_, "dual_coef_", n_rows=n, n_columns=n_outputs, dtype=np.float64)
    integer(estimator.depth_, "depth_", maximum=MOST_LAYERS)
    ShiftedReLU(estimator.shift_)


def _check_names(estimator, d):
    """Check the names of columns, where the estimator has any."""
    names = getattr(estimator, "feature_names_in_", None)
    if names is None:
        return
    _require_type(names, np.ndarray, "feature_names_in_")
    if names.shape != (d,) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"feature_names_in_ must name {d} features; got {_short(names)}")


def _check_targets(estimator, n_outputs):
    """Check what turns outputs into predictions."""
    if not hasattr(estimator, "classes_"):
        _require_type(estimator._one_dimensional, bool, "_one_dimensional")
        if estimator._one_dimensional and n_outputs != 1:
            raise ValueError(f"y was one-dimensional, but there are {n_outputs} outputs")
        return
    _require_type(estimator.classes_, np.ndarray, "classes_")
    multilabel = getattr(estimator, "multilabel_", False)
    _require_type(multilabel, bool, "multilabel_")
    n_classes = 2 if n_outputs == 1 and not multilabel else n_outputs
    if estimator.classes_.shape != (n_classes,):
        raise ValueError(f"classes_ must be {n_classes}; got shape {estimator.classes_.shape}")
    if getattr(estimator, "calibration_", None) is not None:  # files of old versions have none
        _check_calibration(estimator, n_outputs)


def _check_calibration(estimator, n_outputs):
    """Check the numbers by which scores become probabilities."""
    if not getattr(estimator, "multilabel_", False):
        real(estimator.calibration_, "calibration_", minimum=0.0)
        return
    _vector(estimator.calibration_, "calibration_", n_outputs)
    if (estimator.calibration_ < 0).any():
        raise ValueError("calibration_ must be at least 0")


def _vector(value, name, size):
    """Refuse what is no vector of float64."""
    _require_type(value, np.ndarray, name)
    if value.dtype != np.float64:
        raise TypeError(f"{name} must be float64; got {value.dtype}")
    as_vector(value, name, size=size)


def _require_type(value, wanted, name):
    """Refuse another type."""
    if not isinstance(value, wanted):
        raise TypeError(f"{name} must be a {wanted.__name__}; got {_short(value)}")


def _short(value):
    """Say what came in a few words."""
    return reprlib.repr(value)
