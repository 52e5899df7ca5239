"""What the estimators share that are fitted by regularised Gauss-Newton steps."""

import numpy as np

from subquad._validation import require_weights_in_range
from subquad.estimators._base import Model, checked_weights
from subquad.estimators._scaling import (
    Scaling,
    check_constant,
    check_scale_features,
    constants,
    standardises,
)

# Targets of this deviation keep the fit near its linearisation, where the leave-one-out choice of
# mu is made: it then takes two to five steps, and measured as accurate as unit targets or better.
TARGET_DEVIATION = 0.1


class SteppedModel(Model):
    """Parameters and data on their way into a fit, and records of its steps on their way out."""

    def _checked_weights(self, X, sample_weight):
        """Return the sample weights; refuse parameters that neither network nor trainer would."""
        weights = checked_weights(sample_weight, X)
        require_weights_in_range(weights, "sample_weight")
        check_scale_features(self.scale_features)
        check_constant(self.constant)
        if self.callback is not None and not callable(self.callback):
            raise TypeError(f"callback must be callable; got {type(self.callback).__name__}.")
        if self.dtype not in ("float32", "float64", np.float32, np.float64):
            raise ValueError(f"dtype must be 'float64' or 'float32'; got {self.dtype!r}.")
        return weights

    def _measure(self, X, T, weights):
        """Return the scalings to choose from, which differ in the constant coordinate alone."""
        standardise = standardises(self.scale_features, X, weights)
        scaling = Scaling.fit(X, T, weights, standardise, TARGET_DEVIATION)
        sizes = constants(self.constant, standardise)
        if self.regularization == 0:  # no leave-one-out error to choose by
            sizes = sizes[:1]
        return [scaling.with_constant(size) for size in sizes]

    def _tolerance(self):
        """Return `tol` as the trainer takes it."""
        if not isinstance(self.tol, str):
            return self.tol
        if self.tol != "auto":
            raise ValueError(f"tol must be 'auto', a number or None; got {self.tol!r}.")
        return 1e-3 if self.regularization == 0 else 1e-2

    def _report(self, record):
        if self.verbose:
            print(f"step {record.step}: relative residual {record.relative_residual:.3e}")
        if self.callback is not None:
            self.callback(record)
