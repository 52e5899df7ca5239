"""What the estimators share: their border with scikit-learn, and answers from a model's outputs.

A model has `_outputs(X)`, shape (n, C), in the units of the targets that it was fitted to.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse
from sklearn.base import BaseEstimator, ClassifierMixin, MultiOutputMixin, RegressorMixin
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import validate_data

from subquad._sparse import canonical, require_sound
from subquad.estimators._preprocessing import holds_text
from subquad.training import TrainingWarning

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

    from subquad._typing import FloatArray, MatrixLike


class Model(BaseEstimator):
    """An estimator of dense rows, or of sparse ones as well."""

    _accepts_sparse = False

    def _validated(self, X, y, *, y_numeric, multi_output, **options):
        """X in float64 and y, in float64 if numeric, refusing text by the argument's name."""
        options = {**self._row_options(X), "multi_output": multi_output, **options}
        try:
            X, y = validate_data(self, X, y, y_numeric=y_numeric, **options)
            return _as_rows(X), y.astype(np.float64) if y_numeric else y
        except ValueError as error:
            if "could not convert string" not in str(error):
                raise
            name = "X" if holds_text(X) else "y"
            raise ValueError(f"{name} must hold numbers; {error}.") from None

    def _new_rows(self, X):
        """Rows to predict, checked."""
        return _as_rows(validate_data(self, X, reset=False, **self._row_options(X)))

    def _row_options(self, X):
        """How scikit-learn is to check rows; refuses sparse ones that would have to be dense."""
        if scipy.sparse.issparse(X):
            if not self._accepts_sparse:
                raise TypeError(
                    f"X must be dense for {type(self).__name__}; got a sparse {type(X).__name__}. "
                    "Give X.toarray(), or take NTKRegressor or NTKClassifier, which read sparse "
                    "rows as they are."
                )
            require_sound(X, "X")
        return {"dtype": np.float64, "accept_sparse": "csr" if self._accepts_sparse else False}

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = self._accepts_sparse
        return tags

    def _rows(self, X):
        """Rows of the network: scaled features and the constant coordinate, of unit norm."""
        return self._scaling.rows(X, self.network_.dtype, self.network_.n_features)


class OutputsRegressor(MultiOutputMixin, RegressorMixin):
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


class OutputsClassifier(ClassifierMixin):
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
        try:
            check_classification_targets(y)
        except TypeError:  # of labels that have no order
            kinds = sorted({type(label).__name__ for label in y})
            raise TypeError(f"y must hold labels of one kind; got {' and '.join(kinds)}.") from None
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
        return (scipy.sparse.issparse(y) or np.ndim(y) == 2) and type_of_target(
            y, "y"
        ) == "multilabel-indicator"
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


def _as_rows(X):
    """Dense rows as they are; sparse ones as a csr_array, canonical and without zeros."""
    if not scipy.sparse.issparse(X):
        return X
    rows = scipy.sparse.csr_array(canonical(X), copy=True)
    rows.eliminate_zeros()
    return rows


def warn_constant(T):
    """Warn, in the name of the caller of `fit`, that a target never varies."""
    if len(T) > 1 and (T == T[0]).all(axis=0).any():
        warnings.warn(
            "y must vary to be learned; got a constant target, which every prediction will be.",
            TrainingWarning,
            stacklevel=3,
        )
