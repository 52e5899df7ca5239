"""Normal equations in the landmarks' features to which rows are added as they come."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.linalg.blas import dsyrk

from subquad._parallel import blocks
from subquad.solvers.nystrom._equations import rows_per_block
from subquad.solvers.nystrom._whitening import Whitening

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from subquad._typing import FloatArray


class GrowingEquations:
    """(F^T W F + mu I) theta = F^T W r, and the coefficients L^-T theta of the landmarks.

    Parameters
    ----------
    block : ndarray, shape (M, M)
        K_ZZ.
    damping : float
        mu.
    n_targets : int
    """

    def __init__(self, block: FloatArray, damping: float, n_targets: int) -> None:
        self._whitening, self._damping = Whitening(block), damping
        rank, self._n_landmarks = self._whitening.rank, len(block)
        self._A, self._b = np.zeros((rank, rank), order="F"), np.zeros((rank, n_targets))

    def joined(
        self, kernel: Callable[[slice], FloatArray], R: FloatArray, weights: FloatArray
    ) -> GrowingEquations:
        """Return the equations with more rows; `kernel(rows)` is K_nZ at a slice of them."""
        made = object.__new__(GrowingEquations)
        vars(made).update(vars(self))
        made._A, made._b = self._A.copy(order="F"), self._b.copy()
        for rows in blocks(len(R), rows_per_block(self._n_landmarks)):
            roots = np.sqrt(weights[rows])[:, None]
            F = roots * self._whitening.features(kernel(rows))
            made._A = dsyrk(1.0, F.T, beta=1.0, c=made._A, lower=1, overwrite_c=1)
            made._b += F.T @ (roots * R[rows])
        return made

    def coefficients(self) -> NDArray[np.float64]:
        """Return what multiplies K_nZ, shape (M, n_targets)."""
        A = self._A.copy(order="F")
        A.flat[:: len(A) + 1] += self._damping
        factor = cho_factor(A, lower=True, overwrite_a=True, check_finite=False)
        return self._whitening.coefficients(cho_solve(factor, self._b, check_finite=False))
