"""The models behind rows that were checked before: what the command fits, without scikit-learn.

To import scikit-learn takes longer than most of the command's fits. Names, parameters and
attributes are those of the estimators, and so are the files that they are saved in.
"""

import inspect

import numpy as np

from subquad._validation import require_finite
from subquad.estimators._gauss_newton import GaussNewtonClassification, GaussNewtonRegression
from subquad.estimators._ntk import NTKClassification, NTKRegression


class Trusted:
    """The last base of such a model.

    Attributes
    ----------
    stands_for : str
        Name of the estimator.
    """

    @classmethod
    def _names(cls):
        """Names of the parameters, in order."""
        return sorted(inspect.signature(cls).parameters)

    def get_params(self, deep=True):
        """Return the parameters by name."""
        return {name: getattr(self, name) for name in self._names()}

    def set_params(self, **params):
        """Set parameters; return the model."""
        vars(self).update(params)
        return self

    def _validated(self, X, y, *, y_numeric, **_):
        """X and y, in float64 if numeric."""
        require_finite(X, "X")
        self.n_features_in_ = X.shape[1]
        return X, np.asarray(y, np.float64) if y_numeric else y

    def _new_rows(self, X):
        """Rows to predict."""
        require_finite(X, "X")
        return X

    def _require_classes(self, y):
        """Take any labels."""


class TrustedNTKRegressor(NTKRegression, Trusted):
    """`NTKRegressor`."""

    stands_for = "NTKRegressor"


class TrustedNTKClassifier(NTKClassification, Trusted):
    """`NTKClassifier`."""

    stands_for = "NTKClassifier"


class TrustedGaussNewtonRegressor(GaussNewtonRegression, Trusted):
    """`GaussNewtonRegressor`."""

    stands_for = "GaussNewtonRegressor"


class TrustedGaussNewtonClassifier(GaussNewtonClassification, Trusted):
    """`GaussNewtonClassifier`."""

    stands_for = "GaussNewtonClassifier"


TRUSTED = {
    model.stands_for: model
    for model in (
        *(TrustedNTKRegressor, TrustedNTKClassifier),
        *(TrustedGaussNewtonRegressor, TrustedGaussNewtonClassifier),
    )
}
