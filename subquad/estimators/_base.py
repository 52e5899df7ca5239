"""What the estimators share: their border with scikit-learn, and answers from a model's outputs.

A model has `_outputs(X)`, shape (n, C), in the units of the targets that it was fitted to.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, MultiOutputMixin, RegressorMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import validate_data

from subquad.estimators._preprocessing import holds_text
from subquad.training import TrainingWarning

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import ArrayLike, NDArray

    from subquad._typing import FloatArray


class Model(BaseEstimator):
    """An estimator of dense rows."""

    def _validated(self, X, y, *, y_numeric, multi_output, **options):
        """X in float64 and y, in float64 if numeric, refusing text by the argument's name."""
        options = {"dtype": np.float64, "multi_output": multi_output, **options}
        try:
            X, y = validate_data(self, X, y, y_numeric=y_numeric, **options)
            return X, y.astype(np.float64) if y_numeric else y
        except ValueError as error:
            if "could not convert string" not in str(error):
                raise
            name = "X" if holds_text(X) else "y"
            raise ValueError(f"{name} must hold numbers; {error}.") from None

    def _rows(self, X):
        """Rows of the network: scaled features and the constant coordinate, of unit norm."""
        return self._scaling.rows(X, self.network_.dtype, self.network_.n_features)


class OutputsRegressor(MultiOutputMixin, RegressorMixin):
    """A regressor that predicts its outputs."""

    # Leave-one-out errors of single rows are for probabilities alone.
    _needs_errors = False

    def predict(self, X: ArrayLike) -> FloatArray:
        """Return predictions.

        Parameters
        ----------
        X : array_like, shape (n, n_features)

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
    """A classifier with one output per class, or one for two classes."""

    def decision_function(self, X: ArrayLike) -> FloatArray:
        """Return how much each class is favoured.

        Parameters
        ----------
        X : array_like, shape (n, n_features)

        Returns
        -------
        ndarray, shape (n, n_classes), or (n,) for two classes, positive for `classes_[1]`
        """
        outputs = self._outputs(X)
        return outputs[:, 0] if len(self.classes_) == 2 else outputs

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Return the class favoured most.

        Parameters
        ----------
        X : array_like, shape (n, n_features)

        Returns
        -------
        ndarray, shape (n,)
        """
        scores = self.decision_function(X)
        best = (scores > 0).astype(int) if scores.ndim == 1 else scores.argmax(axis=1)
        return self.classes_[best]

    def _labels(self, X, y, **options):
        """X and labels (n,)."""
        X, y = self._validated(X, y, y_numeric=False, multi_output=False, **options)
        try:
            check_classification_targets(y)
        except TypeError:  # of labels that have no order
            kinds = sorted({type(label).__name__ for label in y})
            raise TypeError(f"y must hold labels of one kind; got {' and '.join(kinds)}.") from None
        return X, y

    def _set_classes(self, classes, name="y"):
        """Take sorted, distinct labels as the classes."""
        if len(classes) < 2:
            raise ValueError(f"{name} must have at least 2 classes; got {_listed(classes)}.")
        self.classes_ = classes

    def _indicators(self, y):
        """+1 for the class of a row and -1 for others; a single column for two classes."""
        T = 2.0 * (y.reshape(-1, 1) == self.classes_) - 1.0
        return T[:, 1:] if len(self.classes_) == 2 else T


def _listed(classes):
    """The one class that came, or none."""
    return f"the one class {classes.tolist()[0]!r}" if len(classes) else "none"


def warn_constant(T):
    """Warn, in the name of the caller of `fit`, that a target never varies."""
    if len(T) > 1 and (T == T[0]).all(axis=0).any():
        warnings.warn(
            "y must vary to be learned; got a constant target, which every prediction will be.",
            TrainingWarning,
            stacklevel=3,
        )
