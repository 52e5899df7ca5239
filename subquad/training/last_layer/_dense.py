"""Gauss-Newton state for any readout, by BLAS on arrays whose rows are data points.

Slower than `SeparableState` by the fired fraction and more. It serves readouts that give a neuron
several outputs, and the papers' own path, where W is kept by `LowRankMaintenance`, every step is an
`update` and every forward pass a `query`.
"""

from dataclasses import dataclass, replace

import numpy as np

from subquad._parallel import blocks
from subquad.jacobian import FixedSide, ReadoutJacobian
from subquad.networks import is_separable
from subquad.training._equation import CoupledEquation, Equation, firing_counts
from subquad.training._gauss_newton import Trial
from subquad.training.last_layer._separable import rounding_of_outputs, sums_of_equal_rows

# Take so many neurons at a time: what a block makes of them stays in cache.
NEURONS_PER_BLOCK = 2048


@dataclass(frozen=True)
class DenseTrial(Trial):
    """A trial with the arrays that it would make current."""

    change: np.ndarray
    fired: np.ndarray


class DenseState:
    """Z = Z0 + K A with A formed; attributes as `SeparableState`, `terms` being A itself."""

    has_kinks = True

    def __init__(self, layer, weights, solver=None):
        self._layer, self._weights, self._solver = layer, weights, solver
        self.K = layer.gram()
        self._sums = sums_of_equal_rows(layer.features)
        self._readout = layer.activation.scale * layer.readout.astype(np.float64)
        self._side = FixedSide(layer.features, layer.n_outputs, np.float64)
        zero = np.zeros_like(layer.preactivations)
        self._fired = np.zeros(zero.shape, bool)
        self._adopt(self._evaluate(zero, zero))
        self._exact = self.terms  # the iterate of which `_change` is known to be K A

    @property
    def firing(self):
        """Who fires, shape (n, width)."""
        return (self._fired,)

    def linearise(self):
        """Return the equation at the current iterate."""
        feeds = (self._readout != 0).T
        active = firing_counts(self._fired, feeds)
        described = active, feeds.sum(axis=0), self._weights, self._solver
        J = ReadoutJacobian(self._fired, self._readout, self._side, self.K)
        if not is_separable(self._readout):
            return CoupledEquation(J, *described)
        return Equation([J.of_output(c) for c in range(len(self._readout))], *described)

    def propose(self, coefficients, keep):
        """Return what A = keep * A + D o (coefficients @ readout) would give."""
        step = coefficients @ self._readout * self._fired
        step = (step if self._sums is None else self._sums @ step).astype(self._layer.dtype)
        moved = (self.K @ step).astype(self._layer.dtype)
        terms = keep * self.terms + step
        trial = self._evaluate(keep * self._change + moved, terms)
        reach = np.abs(terms) @ np.abs(self._readout).T
        return replace(trial, rounding=rounding_of_outputs(self.K, reach, self._layer.dtype))

    def accept(self, trial):
        """Make a proposal the current iterate."""
        self._adopt(trial)

    def restore(self, terms):
        """Make an iterate the current one; return whether there was anything to do."""
        if terms is self._exact or (terms is self.terms and self._layer.dtype == np.float64):
            return False
        change = (self.K @ terms).astype(self._layer.dtype)
        self._adopt(self._evaluate(change, terms))
        self._exact = terms
        return True

    def terms_of(self, A):
        """Return the iterate W(0) + A^T V in the form of `terms`."""
        return np.ascontiguousarray(A, dtype=self._layer.dtype)

    def squared_change(self):
        """Return ||W - W(0)||_F^2 of the current iterate, which was restored."""
        products = np.einsum("ij,ij->j", self.terms, self._change, dtype=np.float64)
        return max(float(products.sum()), 0.0)

    def factors(self, terms):
        """Return A (n, width) and V of an iterate: the change of the weights is A^T V."""
        return terms.copy(), self._layer.features

    def _adopt(self, trial):
        self.outputs, self.linear, self.terms = trial.outputs, trial.linear, trial.terms
        self._change, self._fired = trial.change, trial.fired

    def _evaluate(self, change, terms):
        """Outputs, firing and linear part at Z0 + change."""
        layer = self._layer
        outputs, linear = np.zeros((2, layer.n, layer.n_outputs))
        fired = np.empty(change.shape, bool)
        jump = layer.thresholds[:, None] if layer.activation.jumps else 0.0
        for block in blocks(layer.width, NEURONS_PER_BLOCK):
            moved = change[:, block].astype(np.float64)
            above = layer.preactivations[:, block] - layer.thresholds[:, None] + moved
            fired[:, block] = D = above > 0
            outputs += (D * (above + jump)) @ self._readout[:, block].T
            linear += (D * moved) @ self._readout[:, block].T
        flips = int(np.count_nonzero(fired != self._fired))
        return DenseTrial(outputs, linear, flips, terms, change, fired)


class MaintainedState(DenseState):
    """The same, with W(0) + A^T V held by a `LowRankMaintenance` and Z by its queries."""

    def __init__(self, layer, weights, n_threads, maintenance, solver=None):
        self._maintenance, self._n_threads = maintenance, n_threads
        super().__init__(layer, weights, solver)
        Z = maintenance.query(layer.features, n_threads)
        tolerance = np.sqrt(np.finfo(layer.dtype).eps) * np.abs(layer.preactivations).max()
        if np.abs(Z - layer.preactivations).max() > tolerance:
            raise ValueError(
                "maintenance must hold the weights W(0) that the preactivations come from; "
                "got other ones, or some that have been updated."
            )

    def accept(self, trial):
        """Tell the data structure, and ask it for Z ([SZZ24], Algorithm 2, lines 18 and 11)."""
        self._move_to(trial.terms)

    def restore(self, terms):
        """Make an iterate the current one; return whether there was anything to do."""
        if terms is self.terms:
            return False
        self._move_to(terms)
        return True

    def _move_to(self, terms):
        layer = self._layer
        self._maintenance.update(terms - self.terms, layer.features)
        Z = self._maintenance.query(layer.features, self._n_threads)
        self._adopt(self._evaluate(Z - layer.preactivations, terms))


class SmoothState(DenseState):
    """`DenseState` with slopes phi'(Z) in the place of bits; the equations are the same."""

    has_kinks = False
    firing = ()  # no neuron is ever silent

    def _evaluate(self, change, terms):
        """Outputs, slopes and linear part at Z0 + change."""
        layer = self._layer
        outputs, linear = np.zeros((2, layer.n, layer.n_outputs))
        slopes = np.empty_like(change)
        for block in blocks(layer.width, NEURONS_PER_BLOCK):
            moved = change[:, block].astype(np.float64)
            Z, readout = layer.preactivations[:, block] + moved, self._readout[:, block].T
            slopes[:, block] = layer.activation._derivative(Z)  # J has these, rounded
            outputs += layer.activation._apply(Z) @ readout
            linear += (slopes[:, block] * moved) @ readout
        return DenseTrial(outputs, linear, 0, terms, change, slopes)
