"""What a kernel, its weights and the candidates for mu must be."""

import numpy as np

from subquad._validation import as_vector
from subquad.jacobian import Jacobian
from subquad.solvers._repeats import Repeats
from subquad.solvers.exact import sample_weights

# Candidates for mu are four a decade, in units of the mean diagonal of W^1/2 K W^1/2.
_GRID = np.logspace(-8, 1, 37)


class JacobianRows:
    """The blocks of G = J J^T, from columns that are kept for the last landmarks."""

    def __init__(self, J):
        self._J, self._points, self._columns = J, None, None

    def block(self, rows, points):
        """G at some rows and points."""
        if self._points is None or not np.array_equal(self._points, points):
            self._points, self._columns = points, self._J.columns(points)
        return self._columns[rows]

    def diagonal(self):
        """The diagonal of G."""
        return self._J.diagonal()


def as_rows(kernel, n):
    """Return what has `block` and `diagonal` for n rows."""
    if isinstance(kernel, Jacobian) and not isinstance(kernel, type):
        kernel = JacobianRows(kernel)
    if isinstance(kernel, type) or not (hasattr(kernel, "block") and hasattr(kernel, "diagonal")):
        raise TypeError(
            "kernel must be a Jacobian or have `block(rows, points)` and `diagonal()`; got "
            f"{type(kernel).__name__}."
        )
    diagonal = np.shape(kernel.diagonal())
    if diagonal != (n,):
        raise ValueError(f"kernel must have {n} rows, as r has; got a diagonal {diagonal}.")
    return kernel


def weights_of(weights, repeats, R):
    """Checked weights of the rows; some are positive."""
    if repeats is not None:
        shape = len(repeats.totals), repeats.deviations.shape[1]
        if shape != R.shape:
            raise ValueError(f"repeats must have points and targets {R.shape}; got {shape}.")
        if weights is not None and not np.array_equal(weights, repeats.totals):
            raise ValueError("weights must be the totals of repeats; got others.")
        weights = repeats.totals
    weights = np.ones(len(R)) if weights is None else sample_weights(weights, len(R))
    if not weights.any():
        raise ValueError("weights must have a positive entry; got none.")
    return weights


def in_units(repeats, unit):
    """The same observations with their weights over a unit."""
    if repeats is None:
        return None
    totals, weights = repeats.totals / unit, repeats.weights / unit
    return Repeats(repeats.points, weights, totals, repeats.deviations, repeats.shares)


def checked_grid(grid):
    """Candidates for mu in rising order."""
    if grid is None:
        return _GRID
    grid = as_vector(grid, "grid", dtype=np.float64)
    if grid.min() <= 0:
        raise ValueError(f"grid must be positive; got {grid.min()}.")
    return np.sort(grid)
