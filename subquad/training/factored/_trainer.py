"""What the two trainers of a factored network share: their border, and B."""

from __future__ import annotations

from typing import TYPE_CHECKING

import scipy.sparse

from subquad._parallel import blas_threads_for, resolve_threads
from subquad._validation import even_array, integer, require_memory
from subquad.networks import FactoredNetwork
from subquad.training import _arguments
from subquad.training._gauss_newton import GaussNewtonTrainer
from subquad.training.factored._state import EXPLICIT_GRAM, FactoredState

if TYPE_CHECKING:
    from subquad._typing import FloatArray


class FactoredTrainer(GaussNewtonTrainer):
    """Steps of B towards the targets; a subclass has a rule for them."""

    def _stand_at(self, network, X, y, weights, centred, solves, solver, min_active, n_threads):
        """Check the network and its data, and stand at B(0); return the sample weights."""
        n_threads = resolve_threads(n_threads)
        X = X if scipy.sparse.issparse(X) else even_array(X, "X")
        n_points = (*X.shape, 0)[0]  # X is checked on the way
        with blas_threads_for(n_points):
            layer = network._layer(X, n_threads)
        y = _arguments.targets(y, network, layer.n, self.loss)
        weights = _arguments.sample_weight(weights, layer.n)
        _arguments.require_active_neurons(network, integer(min_active, "min_active", minimum=0))
        _require_memory(layer, solves, solver)
        with blas_threads_for(n_points):
            state = FactoredState(layer, weights, solves, solver, n_threads)
        if not state.active.any():
            raise ValueError(
                "X must have a row at which some neuron fires; got none. Raise width or lower "
                "shift."
            )
        self._begin(state, y, weights, centred)
        return weights

    def _equation(self):
        return self._fit.state.equation()

    @property
    def weights(self) -> FloatArray:
        """B of the best iterate."""
        return self._fit.state.layer.network.weights + self._fit.best.terms


def require_factored(network):
    """Refuse what is no `FactoredNetwork`."""
    if not isinstance(network, FactoredNetwork):
        raise TypeError(f"network must be a FactoredNetwork; got {type(network).__name__}.")


def _require_memory(layer, solves, solver):
    """Refuse a fit whose arrays do not fit."""
    network, n, C = layer.network, layer.n, layer.n_outputs
    n_bytes = 2 * n * layer.outer.padded / 8 + 6 * network.weights.nbytes + layer.buffer_bytes
    if layer.outer.narrow:
        n_bytes += (2 + 2 * C) * n * network.weights.shape[0] * network.dtype.itemsize
    if solves:
        n_bytes += 8 * n * n * (3 * C + (0 if layer.outer.narrow else 2))
    elif C == 1 and n <= EXPLICIT_GRAM:  # G, and what it is made of
        n_bytes += 8 * n * n * (2.5 if layer.outer.narrow else 1.5)
    if solver is not None:  # U and V of all rows, U once more in float64, and G
        n_bytes += n * C * len(network.weights) * (network.dtype.itemsize + 8)
        n_bytes += C * layer.V.nbytes + (24 * (n * C) ** 2 if C > 1 else 0)
    remedy = "Use fewer data points, a smaller outer_size, or float32."
    if solves:
        remedy += " FactoredGradientDescent needs less."
    what = f"Training {n} data points with B of shape {network.weights.shape}"
    require_memory(n_bytes, what, remedy)
