"""Gauss-Newton state of a two-layer network that forms nothing of n^2 or n m numbers.

W itself has only m d entries, so its change is kept as it is, and the fired neurons as bits:
n m / 8 bytes are the largest array. Pre-activations are computed anew, by blocks of neurons.
"""

from dataclasses import dataclass

import numpy as np

from subquad.networks._last_layer import _norms
from subquad.solvers.gram._system import GramSystem
from subquad.training._separable import Trial
from subquad.training._solver_system import SolverSystem

_BLOCK_BYTES = 2**22  # of the pre-activations of a block of neurons at all points


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

    def __init__(self, network, X, weights, solver):
        self._network, self._X, self._weights, self._solver = network, X, weights, solver
        self._thresholds = network.activation.thresholds(_norms(X), network.weight_std)
        self._readout = network.activation.scale * network.readout.astype(np.float64)
        self._groups = [np.flatnonzero(row) for row in network.readout]
        self._fired = np.zeros((network.width, (len(X) + 7) // 8), np.uint8)
        self.accept(self._evaluate(np.zeros(network.weights.shape)))

    def linearise(self):
        """Return the system G + mu I at the current iterate."""
        blocks = [
            ImplicitSystem(self._fired[group], row[group], self._X)
            for group, row in zip(self._groups, self._readout, strict=True)
        ]
        active = np.column_stack([block.active for block in blocks])
        widths = np.array([len(group) for group in self._groups])
        return SolverSystem(blocks, self._solver, active, widths, self._weights)

    def propose(self, coefficients, keep):
        """Return what W(0) + keep * (W - W(0)) + J^T coefficients would give."""
        change = keep * self.terms
        for c, (group, row) in enumerate(zip(self._groups, self._readout, strict=True)):
            block = ImplicitSystem(self._fired[group], row[group], self._X)
            change[group] += block.adjoint(coefficients[:, c])
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

    def accumulator(self, terms):
        """Return A (d, width) of an iterate, for V = I."""
        return np.ascontiguousarray(terms.T, dtype=self._network.dtype)

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
        flips = int(np.bitwise_count(fired ^ self._fired).sum(dtype=np.int64))
        return MatrixFreeTrial(outputs, linear, flips, change, fired)


class ImplicitSystem(GramSystem):
    """G = J J^T of one output by products with J and J^T: 4 m n d operations.

    Parameters
    ----------
    fired : ndarray of uint8, shape (m, ceil(n / 8))
        Bit i of row r: whether neuron r fires at data point i.
    readout : ndarray of float64, shape (m,)
    X : ndarray, shape (n, d)
    """

    forms_gram = False

    def __init__(self, fired, readout, X):
        self._fired, self._readout, self._X = fired, readout, X
        self.n, self.m_u, self.m_v, self.dtype = len(X), len(readout), X.shape[1], X.dtype

    @property
    def nnz_u(self):
        """Entries of U."""
        return self.n * self.m_u

    @property
    def nnz_v(self):
        """Entries of X."""
        return self._X.size

    @property
    def active(self):
        """How many neurons fire at each data point."""
        return self._sum_over_neurons(np.ones(self.m_u)).astype(np.intp)

    def diagonal(self):
        """|x_i|^2 times the squared readouts that fire at i."""
        squares = np.einsum("ij,ij->i", self._X, self._X, dtype=np.float64)
        return squares * self._sum_over_neurons(self._readout**2)

    def adjoint(self, g):
        """J^T g, shape (m, d)."""
        weighted = (g[:, None] * self._X).astype(self._X.dtype)
        change = np.empty((self.m_u, self.m_v))
        for block in neuron_blocks(self.m_u, self._X):
            change[block] = self._mask(block) @ weighted
        return self._readout[:, None] * change

    def product(self, g):
        """G g = J (J^T g), each block of neurons used twice while in cache."""
        X = self._X
        weighted = (g[:, None] * X).astype(X.dtype)
        squares = (self._readout**2).astype(X.dtype)[:, None]
        moved = np.zeros(X.shape)
        for block in neuron_blocks(self.m_u, X):
            D = self._mask(block)
            moved += D.T @ (squares[block] * (D @ weighted))
        return np.einsum("ij,ij->i", moved, X)

    def columns(self, points):
        """G[:, points]."""
        squares = (self._readout**2).astype(self._X.dtype)[:, None]
        counts = np.zeros((self.n, len(points)), self._X.dtype)
        for block in neuron_blocks(self.m_u, self._X):
            D = self._mask(block)
            counts += D.T @ (squares[block] * D[:, points])
        return (self._X @ self._X[points].T * counts).astype(np.float64, copy=False)

    def _mask(self, block):
        """Rows of D^T as numbers 0 and 1."""
        bits = np.unpackbits(self._fired[block], axis=1, count=self.n, bitorder="little")
        return bits.astype(self._X.dtype)

    def _sum_over_neurons(self, values):
        """Sum of the values of the neurons that fire, at each data point."""
        total, values = np.zeros(self.n), values.astype(self._X.dtype)
        for block in neuron_blocks(self.m_u, self._X):
            total += values[block] @ self._mask(block)
        return total


def neuron_blocks(m, X):
    """Slices of at most so many neurons that their pre-activations at all points stay small."""
    step = max(8, _BLOCK_BYTES // (len(X) * X.dtype.itemsize))
    return (slice(first, first + step) for first in range(0, m, step))
