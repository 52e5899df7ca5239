"""How a kernel model takes in more rows: exactly up to thousands of them, then by landmarks."""

import numpy as np

from subquad._parallel import blas_threads_for
from subquad.estimators._base import checked_weights
from subquad.estimators._many_rows import solver_for
from subquad.estimators._preprocessing import merge_observations
from subquad.estimators._streams._joining import joined, may_join, solved, stacked
from subquad.solvers.leave_one_out import left_out_errors
from subquad.solvers.nystrom import GrowingEquations


class KernelStream:
    """What `StreamedModel` asks of kernel ridge regression, whose parts are those of `_ntk.py`."""

    def _fitted_anew(self, X, T, sample_weight):
        """Fit and choose anew; return what is kept with the rows, and no factor."""
        self._fit(X, T, sample_weight)
        return {"sizes": []}, None

    def _go_on(self, X, T, sample_weight, n_before):
        """Fit targets of more rows with what was chosen for the first of them; return the facts.

        Landmarks are drawn anew, and choose for themselves.
        """
        weights = checked_weights(sample_weight, X)
        self._check_parameters()
        scaled = self._scaling.scaled(T)
        rows, targets, totals, repeats, places = merge_observations(X, scaled, weights)
        name = solver_for(self.solver, rows.shape[0])
        if self.solver_ == "nystrom" or name == "nystrom":
            return self._fitted_anew(X, T, sample_weight)
        self.solver_ = name
        self._require_room(rows.shape[0])
        solve = self._solve if name == "exact" else self._iterate
        with blas_threads_for(rows.shape[0]):
            solve(rows, targets, totals, repeats, self.regularization_)
        if name == "exact":
            self.loo_error_ /= _variance(scaled, weights)
        self._keep_observations(places, weights, scaled)
        return {"sizes": []}, None

    def _joined(self, X, T, sample_weight, stream):
        """Add the last rows of X to what is solved; return the facts and the factor, or None."""
        weights = checked_weights(sample_weight, X)
        self._check_parameters()
        if self.solver_ == "nystrom":
            return self._joined_landmarks(X, T, weights, stream)
        kept = may_join(self, weights, stream)
        if kept is None:
            return None
        scaled = self._scaling.scaled(T)
        told = joined(self, kept, weights, scaled[len(stream["weights"]) :], stream)
        rows = stacked(self.rows_, self._rows(X[kept])) if len(kept) else self.rows_

        def grams(some):
            before = np.empty((some.stop - some.start, 0))
            if some.start:
                before = self._kernel(rows[some], rows[: some.start])
            yield before, self._kernel(rows[some])

        with blas_threads_for(told.n):
            factors = solved(told, self.regularization_, stream, [slice(None)], grams)
        if factors is None:
            return None
        self.rows_, self.dual_coef_, self.solver_ = rows, factors[0].solution, "exact"
        self.solver_report_ = f"Solved exactly for {told.n} rows, of which {len(kept)} joined last."
        self.missed_trace_ = 0.0
        errors = left_out_errors(factors[0], self.dual_coef_, told.repeats)
        self._note_errors(errors, told.means, told.totals, told.repeats)
        self.loo_error_ /= _variance(scaled, weights)
        self._keep_observations(told.places, weights, told.targets)
        return {"sizes": told.sizes}, factors

    def _joined_landmarks(self, X, T, weights, stream):
        """Add rows to the equations of the landmarks, as `_joined`; errors stay as they were."""
        by_class = getattr(self, "class_weight", None) is not None
        enough = solver_for(self.solver, X.shape[0]) == "nystrom" and "sizes" in stream
        if by_class or not enough or not self.regularization_:
            return None
        n_before, equations = stream["X"].shape[0], getattr(stream, "solved", None)
        sizes, first = [X.shape[0] - n_before], n_before
        if equations is None:
            first, sizes = 0, [n_before - sum(stream["sizes"]), *stream["sizes"], *sizes]
            block = self._kernel(self.rows_)
            equations = GrowingEquations(block, self.regularization_, T.shape[1])
        scaled = self._scaling.scaled(T)
        with blas_threads_for(X.shape[0]):
            for size in sizes:
                rows = self._rows(X[first : first + size])
                own = slice(first, first + size)
                kernel = _KernelTo(self._kernel, rows, self.rows_)
                equations = equations.joined(kernel, scaled[own], weights[own])
                first += size
            self.dual_coef_ = equations.coefficients()
        self.solver_report_ = (
            f"Solved with {self.rows_.shape[0]} landmarks of {X.shape[0]} rows, drawn and with "
            f"errors of the first {stream['n_chosen']}."
        )
        return {"sizes": [*stream["sizes"], X.shape[0] - n_before]}, equations


class _KernelTo:
    """The kernel between some rows, a slice of them, and the landmarks."""

    def __init__(self, kernel, rows, landmarks):
        self._kernel, self._rows, self._landmarks = kernel, rows, landmarks

    def __call__(self, some):
        return self._kernel(self._rows[some], self._landmarks)


def _variance(T, weights):
    """Return the variance of targets (n, C), the mean of the outputs'; 1 where it is 0."""
    mean = np.average(T, axis=0, weights=weights)
    return np.average(np.square(T - mean), axis=0, weights=weights).mean() or 1.0
