"""How a network takes in more rows: each is linearised where the fit stood when it came.

The linear model of row i is f_i(W_i) + J_i (W - W_i), with J_i = u_i (x) v_i at the weights W_i
that the last layer had when the row came; of the rows of the last fit, at its end. They give

    (G + mu W^-1) g = y - f_i(W_i) + J_i (W_i - W(0)),   W = W(0) + J^T g,

the equation of a Gauss-Newton step from W(0), whose factor is bordered by the new rows: as in an
extended Kalman filter, rows are not linearised again until the next fit of all.
"""

import numpy as np

from subquad._parallel import blas_threads_for, blocks
from subquad.estimators._many_rows import step_solver_for
from subquad.estimators._preprocessing import merge_observations
from subquad.estimators._streams._joining import joined, may_join, solved
from subquad.jacobian import cross_gram
from subquad.networks import is_separable
from subquad.solvers.leave_one_out import left_out_errors
from subquad.training import HuberLoss, SquaredLoss

# Fewer rows are trained in every call: that takes less than a second.
_FEWEST_ROWS = 1024
# Compare the network with its linear models at so many rows,
_ROWS_COMPARED = 32
# and train it where they differ by more than this part of the leave-one-out errors, in squares: it
# grew to .3 in a stream of 10,000 rows that ended as a fit of all of them does.
_MOST_BEND = 0.5
# Numbers of float32 count neurons up to here.
_MOST_COUNTED = 2**24
# Unpack the bits of so many rows at a time.
_ROWS_PER_BLOCK = 1024


class NetworkStream:
    """What `StreamedModel` asks of a network, whose parts are those of `_gauss_newton.py`."""

    def _fitted_anew(self, X, T, sample_weight):
        """Fit and choose anew; return what is kept with the rows, and no factor."""
        return self._facts(self._trained(X, T, sample_weight))

    def _facts(self, trainer):
        """Who fires where a fit ended, of a network whose rows may be linearised there."""
        squared = isinstance(self._fitted_loss, SquaredLoss)
        many = len(trainer.outputs) >= _FEWEST_ROWS
        if not (squared and many and is_separable(self.network_.readout)):
            return {}, None
        return {"sizes": [], "fired": trainer._fit.state.fired_by_point()}, None

    def _go_on(self, X, T, sample_weight, n_before):
        """Train on more rows, from where the fit of the first of them stands; return the facts."""
        weights = self._checked_weights(X, sample_weight)
        merges, given = not isinstance(self._fitted_loss, HuberLoss), self._given(self._scaling, T)
        first = slice(0, n_before)
        if "_observations" in vars(self):
            earlier = self._observations["places"][first]
        else:
            earlier = merge_observations(X[first], given[first], weights[first], merges)[-1]
        X, T, totals, repeats, places = merge_observations(X, given, weights, merges)
        observed = (places, weights, given - T[places]), (T, totals, repeats)
        coupled = self.readout != "partition" and T.shape[1] > 1
        self.solver_ = step_solver_for(self.solver, len(X), coupled, self.regularization)
        A = np.zeros((len(X), self.network_.width), self.network_.dtype)
        both = (earlier >= 0) & (places[first] >= 0)
        rows, at = np.unique(earlier[both], return_index=True)
        np.add.at(A, places[first][both][at], self.factors_[0][rows])  # equal rows may be apart
        with blas_threads_for(len(X)):
            mu = self.regularization_
            trainer = self._trainer(self._layer(X), T, totals, repeats, mu)
            trainer._begin_at(A)
            self._run(trainer, observed, earlier=None)
        return self._facts(trainer)

    def _joined(self, X, T, sample_weight, stream):
        """Add the last rows of X to what is solved; return the facts and the factors, or None."""
        weights = self._checked_weights(X, sample_weight)
        kept = may_join(self, weights, stream)
        if kept is None or "fired" not in stream or not isinstance(self._fitted_loss, SquaredLoss):
            return None
        n_before, given = len(stream["weights"]), self._given(self._scaling, T)
        fired, V, targets = stream["fired"], self.factors_[1], given[n_before:].copy()
        with blas_threads_for(len(X)):
            if len(kept):
                layer = self._layer(X[kept])
                fires, aims = _linearised(layer, self.factors_)
                targets[kept - n_before] += aims
                fired = np.concatenate([fired, fires])
                V = np.concatenate([V, layer.features])
            told = joined(self, kept, weights, targets, stream)
            rows = _LinearisedRows(self.network_, V, fired)
            outputs = [slice(c, c + 1) for c in range(T.shape[1])]
            factors = solved(told, self.regularization_, stream, outputs, rows.grams)
            if factors is None:
                return None
            g = np.concatenate([factor.solution for factor in factors], axis=1)
            change = rows.change(g), V
            errors = _left_out(factors, outputs, told.repeats)
            if self._bends(X, given, told, g, change, errors):
                return None
        self._adopt_joined(change, told, given, errors)
        return {"sizes": told.sizes, "fired": fired}, factors

    def _bends(self, X, given, told, g, change, errors):
        """Whether the network with a change is not what its linear models promise, at some rows."""
        seen = np.flatnonzero(told.places >= 0)
        some = seen[np.linspace(0, len(seen) - 1, min(len(seen), _ROWS_COMPARED)).astype(np.intp)]
        at = told.places[some]
        linear = told.means[at] - self.regularization_ * g[at] / told.totals[at, None]
        linear += given[some] - told.targets[some]
        rows, n_threads = self._rows(X[some]), self.n_threads
        f = self.network_.outputs(rows, change, centred=True, n_threads=n_threads)
        return not np.mean(np.square(f - linear)) <= _MOST_BEND * np.mean(np.square(errors))

    def _adopt_joined(self, change, told, given, errors):
        """Take over what the equation of all rows gives."""
        self.factors_, self.solver_ = change, "exact"
        self.solver_report_ = (
            f"One equation was solved exactly for {told.n} rows, of which {len(told.kept)} joined "
            "last, each linearised where the fit stood when it came."
        )
        repeats, present = told.repeats, told.places >= 0
        weights = repeats.weights if repeats else told.totals
        self.loo_error_ = self._in_units(
            float(np.average(np.square(errors).mean(axis=1), weights=weights))
        )
        if self._needs_errors:
            labels = told.means.copy()
            labels[told.places[present]] += (given - told.targets)[present]
            self._calibrate(errors, labels, told.totals, repeats)
        self._keep_observations(told.places, told.weights, told.targets)


class _LinearisedRows:
    """J of rows that were linearised at different weights: V, and bits of who fired there."""

    def __init__(self, network, V, fired):
        self._V, self._fired, self._dtype = V, fired, network.dtype
        self._width = network.width
        self._readout = network.readout.astype(np.float64) * network.activation.scale

    def grams(self, some):
        """Yield, for each output, G between a slice of rows and those before, and within it."""
        K = cross_gram(self._V[some], self._V[: some.stop])
        counts, new = np.empty((len(self._readout), *K.shape)), self._fires(some)
        for rows in blocks(some.stop, _ROWS_PER_BLOCK):
            D = self._fires(rows)
            for c, a in enumerate(self._readout):
                own = np.flatnonzero(a)
                counts[c][:, rows] = _counted(new[:, own], D[:, own], a[own])
        for part in counts:
            part *= K
            yield part[:, : some.start], part[:, some.start :]

    def change(self, g):
        """Return J^T g as A, shape (n, width), of A^T V."""
        A = np.empty((len(g), self._width), self._dtype)
        for rows in blocks(len(g), _ROWS_PER_BLOCK):
            np.multiply(
                g[rows] @ self._readout, self._fires(rows), out=A[rows], casting="same_kind"
            )
        return A

    def _fires(self, rows):
        """Some rows of D as 0 and 1 in float32."""
        bits = self._fired[rows]
        return np.unpackbits(bits, axis=1, count=self._width, bitorder="little").astype(np.float32)


def _counted(new, others, a):
    """Sum_r a_r^2 D_ir D_jr in float64; counts of equal readouts are exact."""
    squares = a**2
    if len(a) and squares.min() == squares.max() and len(a) < _MOST_COUNTED:
        return squares[0] * (new @ others.T)
    return (new * squares) @ others.T.astype(np.float64)


def _linearised(layer, factors):
    """Who fires at the rows of a layer after a change, as bits, and J (W - W(0)) - (f - f_0)."""
    moved = layer._moved_by(*factors)
    slopes = layer.activation._derivative(moved.preactivations, layer.thresholds)
    linear = (slopes * (moved.preactivations - layer.preactivations)) @ layer.readout.T
    aims = linear.astype(np.float64) - (moved._outputs() - layer._outputs())
    return np.packbits(slopes > 0, axis=1, bitorder="little"), aims


def _left_out(factors, outputs, repeats):
    """Leave-one-out errors, shape (n_observations, C)."""
    return np.concatenate(
        [
            left_out_errors(factor, factor.solution, repeats and repeats.columns(c))
            for factor, c in zip(factors, outputs, strict=True)
        ],
        axis=1,
    )
