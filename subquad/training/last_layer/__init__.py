"""The last hidden layer of a wide network by Gauss-Newton: [SZZ24], Algorithm 2.

SeparableState    each neuron feeds one output: the compiled step, neurons as rows
DenseState        any readout: BLAS on arrays whose rows are data points
SmoothState       the same for smooth activations: derivatives in the place of bits
MaintainedState   `DenseState` with the weights kept by a `LowRankMaintenance`
"""

from subquad.training.last_layer._sharded import require_same_fit
from subquad.training.last_layer._trainer import LastLayerGaussNewton, last_layer_state

__all__ = ["LastLayerGaussNewton", "last_layer_state", "require_same_fit"]
