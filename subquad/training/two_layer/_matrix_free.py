"""Gauss-Newton state of a two-layer network that forms nothing of n^2 or n m numbers.

W itself has only m d entries, so its change is kept as it is, and the fired neurons as bits:
n m / 8 bytes are the largest array. Pre-activations are computed anew, by blocks of neurons.
"""

from dataclasses import dataclass

import numpy as np

from subquad.jacobian import MatrixFreeJacobian, neuron_blocks
from subquad.training._equation import Equation
from subquad.training._gauss_newton import Trial
from subquad.training._records import changed


@dataclass(frozen=True)
class MatrixFreeTrial(Trial):
    """A trial with who would fire; `terms` is W - W(0), float64, shape (m, d)."""

    fired: np.ndarray


class MatrixFreeState:
    """W = W(0) + `terms`; attributes as `SeparableState`.

    Parameters
    ----------
    network : TwoLayerNetwork
    X : ndarray, shape (n, d)
        Of the dtype of the network.
    weights : ndarray or None
    solver : object
    """

    has_kinks = True

    def __init__(self, network, X, weights, solver):
        self._network, self._X, self._weights, self._solver = network, X, weights, solver
        self._thresholds = network._thresholds(X)
        self._readout = network.activation.scale * network.readout.astype(np.float64)
        self._groups = [np.flatnonzero(row) for row in network.readout]
        self._fired = np.zeros((network.width, (len(X) + 7) // 8), np.uint8)
        self.accept(self._evaluate(np.zeros(network.weights.shape)))

    @property
    def firing(self):
        """Bits of who fires, by neuron."""
        return (self._fired,)

    def linearise(self):
        """Return the equation at the current iterate."""
        jacobians = [
            MatrixFreeJacobian(self._fired[group], row[group], self._X)
            for group, row in zip(self._groups, self._readout, strict=True)
        ]
        active = np.column_stack([J.active for J in jacobians])
        widths = np.array([len(group) for group in self._groups])
        return Equation(jacobians, active, widths, self._weights, self._solver)

    def propose(self, coefficients, keep):
        """Return what W(0) + keep * (W - W(0)) + J^T coefficients would give."""
        change = keep * self.terms
        for c, (group, row) in enumerate(zip(self._groups, self._readout, strict=True)):
            J = MatrixFreeJacobian(self._fired[group], row[group], self._X)
            change[group] += J._adjoint(coefficients[:, c])
        return self._evaluate(change)

    def accept(self, trial):
        """Make a proposal the current iterate."""
        self.outputs, self.linear, self.terms = trial.outputs, trial.linear, trial.terms
        self._fired = trial.fired

    def restore(self, terms):
        """Make an iterate the current one; return whether there was anything to do."""
        if terms is self.terms:
            return False
        self.accept(self._evaluate(terms))
        return True

    def factors(self, terms):
        """Return A (d, width) of an iterate, and V = I."""
        A = np.ascontiguousarray(terms.T, dtype=self._network.dtype)
        return A, np.eye(len(A), dtype=A.dtype)

    def _evaluate(self, change):
        """Outputs, firing and linear part at W(0) + change."""
        network, X = self._network, self._X
        outputs, linear = np.zeros((2, len(X), network.n_outputs))
        fired = np.empty_like(self._fired)
        thresholds = self._thresholds.astype(X.dtype)
        W = (network.weights + change).astype(X.dtype, copy=False)
        for block in neuron_blocks(network.width, X):
            above = W[block] @ X.T
            above -= thresholds
            D = above > 0
            fired[block] = np.packbits(D, axis=1, bitorder="little")
            np.maximum(above, 0, out=above)
            readout = self._readout[:, block].astype(X.dtype)
            outputs += above.T @ readout.T
            for c, row in enumerate(readout):
                moved = D.T.astype(X.dtype) @ (row[:, None] * change[block]).astype(X.dtype)
                linear[:, c] += np.einsum("ij,ij->i", moved, X)
        return MatrixFreeTrial(outputs, linear, changed(fired, self._fired), change, fired)
