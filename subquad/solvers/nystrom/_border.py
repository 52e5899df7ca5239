"""What a kernel and the weights of its rows must be."""

import numpy as np

from subquad.jacobian import Jacobian
from subquad.solvers.exact import sample_weights
from subquad.solvers.leave_one_out import require_deviations, weights_of


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


def positive_weights(weights, repeats, R):
    """Checked weights of the rows; some are positive."""
    require_deviations(repeats, R)
    weights = weights_of(repeats, weights)
    weights = np.ones(len(R)) if weights is None else sample_weights(weights, len(R))
    if not weights.any():
        raise ValueError("weights must have a positive entry; got none.")
    return weights
