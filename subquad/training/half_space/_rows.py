"""The rows that a half-space trainer moves: the network's own, or those of its tangent kernel."""

import copy

import numpy as np

from subquad._kernels import fired_rows
from subquad._parallel import worth_threads
from subquad.training.half_space._fired import EvaluatedRows, ReportedRows

# Starting a thread for fewer pairs than these costs more than it saves.
_PAIRS_PER_THREAD = 1 << 15


class EarlierRows:
    """Rows as they were at one moment, of which only those that moved since are copies.

    No step touches all rows: to choose the present moment is to count one further, and a row is
    copied before its first move after that.
    """

    def __init__(self, rows):
        self._copies = np.empty_like(rows)
        # The moment for which a row was copied last; moments are few, ln T of them in T steps.
        self._moments = np.zeros(len(rows), np.int32)
        self._moment = 1

    def choose(self):
        """Let the moment be now."""
        self._moment += 1

    def keep(self, indices, rows):
        """Copy those of the rows about to move that have not moved since the moment."""
        still = indices[self._moments[indices] != self._moment]
        self._copies[still] = rows[still]
        self._moments[still] = self._moment

    def restored(self, rows):
        """Return the rows of the moment, given the present ones."""
        return np.where((self._moments == self._moment)[:, None], self._copies, rows)

    def __setstate__(self, state):
        """Take arrays that can be written to, also from a file that is mapped into memory."""
        vars(self).update(state)
        self._copies = np.require(self._copies, requirements="W")
        self._moments = np.require(self._moments, requirements="W")


class NetworkRows:
    """W, moved where its neurons fire ([QSY23], Algorithm 1).

    Attributes
    ----------
    rows : ndarray, shape (2 m, d)
        W.
    late : ndarray or None
        sum_s (s - 1 - t_0) Delta_s over the steps s after t_0, the start of an average: the mean of
        the iterates t_0 + 1 .. t is then W - late / (t - t_0), and no step touches all of W.
    earlier : EarlierRows or None
        W as it was before some step.
    """

    def __init__(self, network, iterate, report, n_threads):
        self.network, self._n_threads = network, n_threads
        self.rows = self._first_rows()
        self.late = np.zeros_like(self.rows) if iterate == "averaged" else None
        self.earlier = EarlierRows(self.rows) if iterate == "random" else None
        self._fired = EvaluatedRows() if report is None else ReportedRows(report, n_threads)
        self._room = None

    @property
    def engine(self):
        """How the neurons that fire are found: "tree", "scan" or "dense"."""
        return self._fired.engine(self._searched())

    @property
    def tested_fraction(self):
        """Fraction of the inner products that the last query computed, or None."""
        return self._fired.tested_fraction

    def query(self, X):
        """CSR of who fires at the rows of X."""
        return self._fired.query(self._searched(), X, self.network.shift)

    def outputs(self, X, fired):
        """Return f at the rows of X, given who fires; shape (b, C)."""
        return self._sums(*fired, self.network.shift)

    def move(self, X, fired, coefficients, lateness):
        """Add coefficients[i] a_r X[i] to row r for each r that fires at i; return who moved."""
        indptr, indices, _ = fired
        neurons, bounds = self._shares(indptr, indices)
        places = (bounds[:-1] - bounds[0]).sum(axis=1)
        moved, rows = self._scratch(len(indices))
        counts = np.empty(len(places), np.intp)
        if self.earlier is not None:
            self.earlier.keep(indices, self.rows)
        self._expect_move()
        fired_rows.move_rows(
            indices,
            bounds[:-1].copy(),
            bounds[1:],
            neurons,
            coefficients,
            self.network.signs,
            X,
            self.rows,
            lateness,
            self.late,
            places,
            moved,
            rows,
            counts,
        )
        return [
            (moved[place : place + count], rows[place : place + count])
            for place, count in zip(places, counts, strict=True)
        ]

    def tell(self, moved):
        """Tell the report which rows moved."""
        self._fired.moved(moved)

    def mean(self, n_steps):
        """The same with the mean of the last n_steps iterates, for evaluation."""
        return self._with(self.rows - self.late / self.rows.dtype.type(n_steps))

    def chosen(self):
        """The same with the rows of `earlier`, for evaluation."""
        return self._with(self.earlier.restored(self.rows))

    def weights(self):
        """W."""
        return self.rows.copy()

    def change(self):
        """W - W(0) in float64, and the norm of W(0), to whose size it is rounded."""
        first = self.network.weights.astype(np.float64)
        return self.rows - first, float(np.linalg.norm(first))

    def _with(self, rows):
        """The same with other rows, which will not move."""
        other = copy.copy(self)
        other.rows = rows
        other.late = other.earlier = other._room = None
        other._fired = self._searcher_of_others()
        return other

    def _scratch(self, count):
        """Room for indices and rows; kept, since fresh pages cost more than what is written."""
        if self._room is None or count > len(self._room[0]):
            size = count + count // 4
            self._room = (
                np.empty(size, np.intp),
                np.empty((size, self.rows.shape[1]), self.rows.dtype),
            )
        return tuple(array[:count] for array in self._room)

    def __getstate__(self):
        """Leave out the room."""
        return {**vars(self), "_room": None}

    def __setstate__(self, state):
        """Take rows that can be moved, also from a file that is mapped into memory."""
        vars(self).update(state)
        self.rows = np.require(self.rows, requirements="W")
        if self.late is not None:
            self.late = np.require(self.late, requirements="W")

    def _first_rows(self):
        return self.network.weights.copy()

    def _searched(self):
        return self.rows

    def _searcher_of_others(self):
        return self._fired.another()

    def _expect_move(self):
        self._fired.expect_move()

    def _shares(self, indptr, indices):
        """Neurons at which the shares of the threads begin, and where in each row of indices."""
        n_shares = self._threads(len(indices))
        neurons = np.arange(n_shares + 1) * len(self.rows) // n_shares
        bounds = np.empty((n_shares + 1, len(indptr) - 1), np.intp)
        bounds[0], bounds[-1] = indptr[:-1], indptr[1:]
        for i in range(len(indptr) - 1 if n_shares > 1 else 0):
            row = indices[indptr[i] : indptr[i + 1]]
            bounds[1:-1, i] = indptr[i] + row.searchsorted(neurons[1:-1])
        return neurons, bounds

    def _threads(self, n_pairs):
        return worth_threads(self._n_threads, n_pairs, _PAIRS_PER_THREAD)

    def _sums(self, indptr, indices, values, shift):
        out = np.empty((len(indptr) - 1, self.network.n_outputs))
        fired_rows.signed_sums(
            indptr,
            indices,
            values,
            shift,
            self.network.signs,
            out,
            self._threads(len(indices)),
        )
        out *= self.network.factor
        return out


class TangentRows(NetworkRows):
    """V of the tangent kernel's f(x) = B / sqrt(2 m) sum_r a_r 1[<w_r(0), x> >= b_0] <v_r, x>.

    Who fires is asked of W(0), which never moves; otherwise as `NetworkRows`, V starting at 0.
    """

    def outputs(self, X, fired):
        """Return f at the rows of X, given who fires; shape (b, C)."""
        indptr, indices, _ = fired
        values = np.empty(len(indices), self.rows.dtype)
        n_threads = self._threads(len(indices))
        fired_rows.inner_products(indptr, indices, X, self.rows, values, n_threads)
        return self._sums(indptr, indices, values, 0.0)

    def tell(self, moved):
        """Do nothing: the rows that are searched stay."""

    def change(self):
        """V in float64, which is rounded to its own size."""
        return self.rows.astype(np.float64), 0.0

    def weights(self):
        """W(0) + V."""
        return self.network.weights + self.rows

    def _first_rows(self):
        return np.zeros_like(self.network.weights)

    def _searched(self):
        return self.network.weights

    def _searcher_of_others(self):
        return self._fired

    def _expect_move(self):
        pass
