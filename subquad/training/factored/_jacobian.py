"""The Jacobian of several outputs of W = B C, by the kernels of the layer."""

import functools

import numpy as np

from subquad.jacobian import FiredJacobian, SharedJacobian


class LayerJacobian(SharedJacobian):
    """Rows u_ic (x) v_i with u_ic = a_c o 1[neuron fires at x_i], never formed for a product.

    U, n C m numbers, is made only for a sketch or where a solver forms G.

    Parameters
    ----------
    layer : FactoredLayer
        Without an outer factor A.
    fired : ndarray of uint64, shape (n, words)
        Bit r of row i: whether neuron r fires at data point i.
    readout : ndarray of float64, shape (C, m)
        a, all of one magnitude.
    side, K, n_threads
        As in `SharedJacobian`.
    """

    def __init__(self, layer, fired, readout, side, K, n_threads=1):
        self._layer, self._fired, self._readout = layer, fired, readout
        self._side, self._K, self._n_threads = side, K, n_threads
        self.n_outputs, self.m_u = readout.shape
        self.n, self.m_v = layer.n * self.n_outputs, layer.V.shape[1]

    @functools.cached_property
    def U(self):
        """u_ic, in the dtype of V."""
        tangents = [self._layer.tangents(self._fired, c) for c in range(self.n_outputs)]
        return np.stack(tangents, axis=1).reshape(self.n, self.m_u)

    @property
    def dtype(self):
        """Dtype of V."""
        return self._side.inputs.dtype

    @property
    def nnz_u(self):
        """Entries of U."""
        return self.n * self.m_u

    def output_grams(self):
        """Return the diagonal block of G that all outputs share: the neurons that fire at both."""
        shared = FiredJacobian(
            self._fired, self._readout[0], self._side, self._K, n_threads=self._n_threads
        )
        return [shared.gram()]

    def _product(self, g):
        """J (J^T g) through the layer: O(n m (l + C)) operations."""
        layer, fired = self._layer, self._fired
        change = layer.pull_back(fired, g.reshape(-1, self.n_outputs))
        return layer.push_forward(fired, change).ravel()
