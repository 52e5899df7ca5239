"""What a linearised fit also knows: how sure its predictions are, and which rows they rest on.

A model has `_linear_systems(X)`, which yields for all outputs alike, or one at a time,

    (outputs, gram, cross, prior)

the slice of outputs, G of the distinct training rows, K_* between the rows of X and those, and the
diagonal of the Gram matrix of X; `_scaling`, `regularization_` and `_FITTED`, which names what
`fit` leaves last. It keeps O(n C) numbers of n training rows; the factor is made when asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from subquad._parallel import blas_threads_for
from subquad._validation import require_memory
from subquad.estimators._base import OutputsRegressor, require_fitted
from subquad.solvers import merge_repeats
from subquad.solvers.influence import influence_as, predictive_variance_as

if TYPE_CHECKING:
    from typing import Any

    from subquad._typing import FloatArray, MatrixLike


class LinearisedModel:
    """A model whose fit is linear in its parameters, or is linearised at its end."""

    def _keep_observations(self, places, weights, targets):
        """Keep the distinct row, the weight and the target (n, C) of each training row."""
        self._observations = {"places": places, "weights": weights, "targets": targets}

    def influence(self, X: MatrixLike) -> FloatArray:
        """Return by how much predictions change when one training row is left out of the fit.

        Parameters
        ----------
        X : array_like, shape (n, n_features)

        Returns
        -------
        ndarray, shape (n, n_training_rows) or (n, n_training_rows, n_outputs)
            Entry (i, j): prediction at row i of X of the fit without training row j, minus that of
            the fit; of a classifier's `decision_function`, whose shape follows. In the units of
            the targets, with the rows in the order in which `fit` had them; 0 where the sample
            weight is 0.

        Raises
        ------
        NotFittedError, ValueError
            If the model is not fitted, X is not finite or has other features, the model was saved
            by a version that kept no targets, or the regularisation is too small for the kernel to
            be positive definite.
        MemoryError
            If the matrices do not fit.

        Notes
        -----
        Exact for the linearised fit, at the price of one factorisation for each output that has a
        kernel of its own: see `subquad.solvers.influence`. What comes before it is held: scalings,
        depth, shift, regularisation, and the neurons that fire at the end of the fit. A row is left
        out with its whole sample weight. After a warm start the rows are those of the last `fit`,
        which pulled towards the weights before it.
        """
        X = self._known_rows(X)
        seen = self._observations
        kept = np.flatnonzero(seen["places"] >= 0)
        shape = X.shape[0], len(seen["places"]), seen["targets"].shape[1]
        n_bytes = 16 * shape[0] * shape[1] * shape[2]
        require_memory(n_bytes, f"Influences of shape {shape}", "Give fewer rows at a time.")
        out = np.zeros(shape)
        for outputs, system, _, observed in self._systems(X):
            found = influence_as("regularization", *system, **observed)
            if observed["repeats"] is None:  # of points, each of which has one row
                found = found[:, seen["places"][kept]]
            out[:, kept, outputs] = found
        out *= self._scaling.target_scale
        return out[:, :, 0] if self._has_one_output() else out

    def _deviations(self, X):
        """Standard deviations (n, C) of new observations, in the units of the targets."""
        X = self._known_rows(X)
        variances = np.empty((X.shape[0], self._observations["targets"].shape[1]))
        for outputs, system, prior, observed in self._systems(X):
            variances[:, outputs] = predictive_variance_as(
                "regularization", *system, prior, **observed
            )
        return np.sqrt(variances) * self._scaling.target_scale

    def _known_rows(self, X):
        """X, checked, of a model that has kept its observations."""
        require_fitted(self, self._FITTED)
        loss = getattr(self, "loss", "squared")
        if getattr(loss, "name", loss) != "squared":
            raise ValueError(
                f"loss must be 'squared' for deviations and influence; got {loss!r}, whose fit is "
                "no least squares."
            )
        if getattr(self, "solver_", "exact") == "nystrom":
            raise ValueError(
                "solver must be 'exact' or 'pcg' for deviations and influence; got a fit by "
                "landmarks, which knows no other rows."
            )
        if not hasattr(self, "_observations"):
            raise ValueError(
                f"{type(self).__name__} must know the targets that it was fitted to; it was saved "
                "by a version that kept none. Fit it again."
            )
        return self._new_rows(X)

    def _systems(self, X):
        """Yield (outputs, (G, r, mu, K_*), diagonal, observations) for the solvers."""
        seen, mu = self._observations, float(self.regularization_)
        kept = seen["places"] >= 0
        means, totals, repeats = merge_repeats(
            seen["places"][kept], seen["targets"][kept], seen["weights"][kept]
        )
        with blas_threads_for(len(means)):
            for outputs, gram, cross, prior in self._linear_systems(X):
                observed = {"weights": totals, "repeats": repeats and repeats.columns(outputs)}
                yield outputs, (gram, means[:, outputs], mu, cross), prior, observed

    def _has_one_output(self):
        """Whether predictions have one dimension."""
        return self._one_dimensional


class LinearisedRegressor(OutputsRegressor):
    """A regressor that says how sure it is."""

    def predict(self, X: MatrixLike, return_std: bool = False) -> Any:
        """Return predictions, and on request their standard deviations.

        Parameters
        ----------
        X : array_like, shape (n, n_features)
        return_std : bool
            Whether to return deviations.

        Returns
        -------
        y_mean : ndarray, shape (n,) or (n, n_outputs), as y was
        y_std : ndarray of the same shape
            Only with `return_std`: deviation of a new observation from its prediction, noise
            included, in the units of y.

        Raises
        ------
        NotFittedError, ValueError
            If the model is not fitted or X is not finite or has other features. With `return_std`
            also if the model was saved by a version that kept no targets, or the regularisation is
            too small for the kernel to be positive definite, or 0 where rows are repeated.

        Notes
        -----
        y_std^2 = s^2 (k_** - k_*^T (G + mu W^-1)^-1 k_*) + noise, the posterior of a Gaussian
        process, or of the linearised model (Laplace), with the scale s^2 and the noise of the
        leave-one-out residuals: see `subquad.solvers.predictive_variance`. Each call factors the
        kernel of the training rows anew, n^3 / 3 operations for each output that has a kernel of
        its own.
        """
        mean = super().predict(X)
        if not return_std:
            return mean
        deviations = self._deviations(X)
        return mean, deviations[:, 0] if self._one_dimensional else deviations
