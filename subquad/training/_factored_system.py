"""The Gauss-Newton system of a factored layer, for solvers of the user's choice."""

import numpy as np

from subquad.solvers.gram._system import GramSystem


class TangentSystem(GramSystem):
    """G = J J^T of all outputs as one system of n C rows (i, c), for they share B.

    Row (i, c) of J is vec(u_ic v_i^T), u_ic = A^T (a_c o phi'(z_i)) / sqrt(m) and v_i = C x_i.

    Parameters
    ----------
    tangents : list of ndarray, shape (n, k)
        u_ic of every output.
    V : ndarray, shape (n C, l)
        v_i, repeated for every output.
    K : ndarray, shape (n, n)
        v_i . v_j in float64.
    prepare : callable
        sketch, n_threads -> what it keeps of V.
    n_threads : int
    """

    def __init__(self, tangents, V, K, prepare, n_threads):
        self._n_outputs, self._K, self._prepare = len(tangents), K, prepare
        U = tangents[0] if len(tangents) == 1 else np.stack(tangents, axis=1)
        super().__init__(U.reshape(len(V), -1), V, n_threads)

    def prepared(self, sketch):
        """What the sketch keeps of V, made once for all steps."""
        return self._prepare(sketch, self._n_threads)

    def _form(self):
        """(U U^T) o K, K the same for all outputs."""
        U = self.U.astype(np.float64, copy=False)
        G = U @ U.T
        by_point = G.reshape(len(self._K), self._n_outputs, len(self._K), self._n_outputs)
        by_point *= self._K[:, None, :, None]
        return G

    def _implicit_product(self, g):
        """J (J^T g): outputs are summed before they meet V, 4 n k (l + C) operations."""
        V = self.V[:: self._n_outputs].astype(np.float64, copy=False)
        g, product = g.reshape(len(V), -1), np.zeros((len(V), self._n_outputs))
        for block in self.neuron_blocks():
            U = self.U[:, block].astype(np.float64, copy=False).reshape(*g.shape, -1)
            moves = V @ (V.T @ np.einsum("ic,ick->ik", g, U))
            product += np.einsum("ick,ik->ic", U, moves)
        return product.ravel()
