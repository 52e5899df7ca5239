"""Where the models meet scikit-learn: its base classes, and its checks of rows and targets."""

import numpy as np
import scipy.sparse
from sklearn.base import BaseEstimator, ClassifierMixin, MultiOutputMixin, RegressorMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import validate_data

from subquad._sparse import canonical, require_sound
from subquad.estimators._preprocessing import holds_text


class Estimator(BaseEstimator):
    """The last base of an estimator, after its model."""

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

    def _require_classes(self, y):
        """Refuse targets that are no labels, or labels that have no order."""
        try:
            check_classification_targets(y)
        except TypeError:
            kinds = sorted({type(label).__name__ for label in y})
            raise TypeError(f"y must hold labels of one kind; got {' and '.join(kinds)}.") from None


class RegressorEstimator(MultiOutputMixin, RegressorMixin, Estimator):
    """That of a regressor."""


class ClassifierEstimator(ClassifierMixin, Estimator):
    """That of a classifier."""


def _as_rows(X):
    """Dense rows as they are; sparse ones as a csr_array, canonical and without zeros."""
    if not scipy.sparse.issparse(X):
        return X
    rows = scipy.sparse.csr_array(canonical(X), copy=True)
    rows.eliminate_zeros()
    return rows
