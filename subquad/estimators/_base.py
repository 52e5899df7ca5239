"""What the models share: answers from their outputs, with nothing of scikit-learn imported.

A model has `_outputs(X)`, shape (n, C), in the units of the targets that it was fitted to. How rows
and targets are checked is not its own: `_validated(X, y, ...)`, `_new_rows(X)` and
`_require_classes(y)` are those of its border, which is scikit-learn's (`_border`) for the public
estimators, and next to nothing (`_trusted`) for the command.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse

from subquad.training import TrainingWarning

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

    from subquad._typing import FloatArray, MatrixLike


class Model:
    """A model of dense rows, or of sparse ones as well."""

    _accepts_sparse = False

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = self._accepts_sparse
        return tags

    def _rows(self, X):
        """Rows of the network: scaled features and the constant coordinate, of unit norm."""
        return self._scaling.rows(X, self.network_.dtype, self.network_.n_features)


class OutputsRegressor:
    """A regressor that predicts its outputs."""

    # Leave-one-out errors of single rows are for probabilities alone.
    _needs_errors = False

    def predict(self, X: MatrixLike) -> FloatArray:
        """Return predictions.

        Parameters
        ----------
        X : array_like, shape (n, n_features)
            Or a sparse array, for models that take them.

        Returns
        -------
        ndarray, shape (n,) or (n, n_outputs), as y was
        """
        outputs = self._outputs(X)
        return outputs[:, 0] if self._one_dimensional else outputs

    def _targets(self, X, y, **options):
        """X and targets (n, C)."""
        X, y = self._validated(X, y, y_numeric=True, multi_output=True, **options)
        self._one_dimensional = y.ndim == 1
        return X, y.reshape(len(y), -1)

    def _calibrate(self, errors, T, weights, repeats):
        """A regressor has no probabilities."""


class OutputsClassifier:
    """A classifier with one output per class, or one for two classes, or one per label.

    Rows of `multilabel_` targets, 0 and 1 in columns, have any number of labels.
    """

    def decision_function(self, X: MatrixLike) -> FloatArray:
        """Return how much each class is favoured.

        Parameters
        ----------
        X : array_like, shape (n, n_features)
            Or a sparse array, for models that take them.

        Returns
        -------
        ndarray, shape (n, n_classes), or (n,) for two classes, positive for `classes_[1]`
            Of multilabel targets (n, n_labels), positive for labels that a row has.
        """
        outputs = self._outputs(X)
        return outputs[:, 0] if self._has_one_output() else outputs

    def predict(self, X: MatrixLike) -> NDArray[Any]:
        """Return the class favoured most, or every label that is favoured.

        Parameters
        ----------
        X : array_like, shape (n, n_features)
            Or a sparse array, for models that take them.

        Returns
        -------
        ndarray, shape (n,)
            Of multilabel targets (n, n_labels), of 0 and 1.
        """
        scores = self.decision_function(X)
        if self._is_multilabel():
            return (scores > 0).astype(int)
        best = (scores > 0).astype(int) if scores.ndim == 1 else scores.argmax(axis=1)
        return self.classes_[best]

    def _labels(self, X, y, **options):
        """X and labels (n,), or (n, n_labels) of 0 and 1."""
        if _is_multilabel(y):
            X, y = self._validated(X, y, y_numeric=False, multi_output=True, **options)
            return X, _dense_indicators(y)
        X, y = self._validated(X, y, y_numeric=False, multi_output=False, **options)
        self._require_classes(y)
        return X, y

    def _learn_classes(self, y):
        """Take the classes of labels (n,), or number those of labels (n, n_labels)."""
        self.multilabel_ = y.ndim == 2
        if self.multilabel_:
            self.classes_ = np.arange(y.shape[1])
        else:
            self._set_classes(np.unique(y))

    def _is_multilabel(self):
        """Whether rows have any number of labels; models that were saved earlier do not say."""
        return getattr(self, "multilabel_", False)

    def _has_one_output(self):
        """Whether the scores have one dimension."""
        return len(self.classes_) == 2 and not self._is_multilabel()

    def _set_classes(self, classes, name="y"):
        """Take sorted, distinct labels as the classes."""
        if len(classes) < 2:
            raise ValueError(f"{name} must have at least 2 classes; got {_listed(classes)}.")
        self.classes_ = classes

    def _indicators(self, y):
        """+1 for the class of a row and -1 for others; a single column for two classes."""
        self._require_as_learned(y)
        if self._is_multilabel():
            return 2.0 * y - 1.0
        T = 2.0 * (y.reshape(-1, 1) == self.classes_) - 1.0
        return T[:, 1:] if len(self.classes_) == 2 else T

    def _require_as_learned(self, y):
        """Refuse labels of another kind than those that the classes were learned from."""
        expected = (len(self.classes_),) if self._is_multilabel() else ()
        if y.shape[1:] != expected:
            wanted = f"(n, {len(self.classes_)})" if expected else "(n,)"
            raise ValueError(f"y must have shape {wanted}, as at first; got {y.shape}.")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


def _is_multilabel(y):
    """Whether y is a matrix of indicators, of two columns or more."""
    try:
        if not (scipy.sparse.issparse(y) or np.ndim(y) == 2):
            return False
        from sklearn.utils.multiclass import type_of_target

        return type_of_target(y, "y") == "multilabel-indicator"
    except (TypeError, ValueError):  # no labels at all, which is said later
        return False


def _dense_indicators(y):
    """Indicators as integers; refuses other pairs of numbers."""
    y = y.toarray() if scipy.sparse.issparse(y) else np.asarray(y)
    others = np.setdiff1d(y, [0, 1])
    if len(others):
        raise ValueError(f"y must hold 0 and 1 to be multilabel; got {others[0]}.")
    return y.astype(int)


def _listed(classes):
    """The one class that came, or none."""
    return f"the one class {classes.tolist()[0]!r}" if len(classes) else "none"


def require_fitted(model, name):
    """Refuse a model without the attribute that `fit` leaves last, as scikit-learn does."""
    if not hasattr(model, name):
        from sklearn.utils.validation import check_is_fitted

        check_is_fitted(model, name)


def checked_weights(sample_weight, X):
    """Sample weights (n,) of rows X as scikit-learn checks them, none negative; 1 by default."""
    if sample_weight is None:
        return np.ones(X.shape[0])
    from sklearn.utils.validation import _check_sample_weight

    return _check_sample_weight(sample_weight, X, ensure_non_negative=True)


def random_state_of(random_state):
    """The RandomState that a parameter stands for, as scikit-learn makes it."""
    if isinstance(random_state, (int, np.integer)):
        return np.random.RandomState(random_state)
    from sklearn.utils import check_random_state

    return check_random_state(random_state)


def warn_constant(T):
    """Warn, in the name of the caller of `fit`, that a target never varies."""
    if len(T) > 1 and (T == T[0]).all(axis=0).any():
        warnings.warn(
            "y must vary to be learned; got a constant target, which every prediction will be.",
            TrainingWarning,
            stacklevel=3,
        )
