"""Gauss-Newton state of a layer whose derivatives are numbers: U = a o phi'(Z), dense."""

import numpy as np

from subquad._parallel import blocks
from subquad.training.last_layer._dense import NEURONS_PER_BLOCK, DenseState, DenseTrial


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
