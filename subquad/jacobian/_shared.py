"""Jacobians of several outputs that share the weights: n C rows (i, c), in this order."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np

from subquad._parallel import blocks
from subquad._validation import integer
from subquad.jacobian import _factors as factors
from subquad.jacobian._khatri_rao import KhatriRao

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from subquad._typing import FloatArray
    from subquad.jacobian._factors import FixedSide


_NEURONS_PER_BLOCK = 2048


class SharedJacobian(KhatriRao):
    """Rows u_ic (x) v_i: every output has its own u, and all share v and the weights.

    For W = A B C, u_ic = A^T (a_c o phi'(z_i)) / sqrt(m) and v_i = C x_i ([AS22], Sections 4-5).

    Parameters
    ----------
    tangents : list of ndarray, shape (n, k)
        u_ic of every output. Trusted.
    side : FixedSide
        v_i, shape (n, l), repeated for every output.
    K : ndarray of float64, shape (n, n)
        v_i . v_j.
    n_threads : int
    """

    def __init__(
        self,
        tangents: list[FloatArray],
        side: FixedSide,
        K: NDArray[np.float64],
        n_threads: int = 1,
    ) -> None:
        self.n_outputs, self._K, self._tangents = len(tangents), K, tangents
        U = tangents[0] if len(tangents) == 1 else np.stack(tangents, axis=1)
        self._adopt(U.reshape(len(K) * self.n_outputs, -1), side, n_threads)

    @property
    def nnz_v(self) -> int:
        """Entries of V, as often as there are outputs."""
        return self.n * self.m_v

    def output_grams(self) -> NDArray[np.float64]:
        """Return the diagonal blocks of G, one n x n matrix for each output."""
        grams = []
        for U in self._tangents:
            G = factors.cross_gram(U, U)
            G *= self._K
            grams.append(G)
        return grams

    def _form(self):
        """(U U^T) o K, K the same for all outputs."""
        U = self.U.astype(np.float64, copy=False)
        return _weighed_by_point(U @ U.T, self._K, self.n_outputs)

    def _product(self, g):
        """J (J^T g): outputs are summed before they meet V, 4 n k (l + C) operations."""
        V = self._side.inputs.astype(np.float64, copy=False)
        g, product = g.reshape(len(V), -1), np.zeros((len(V), self.n_outputs))
        for block in factors.column_blocks(self.U):
            U = self.U[:, block].astype(np.float64, copy=False).reshape(*g.shape, -1)
            moves = V @ (V.T @ np.einsum("ic,ick->ik", g, U))
            product += np.einsum("ick,ik->ic", U, moves)
        return product.ravel()


class ReadoutJacobian(KhatriRao):
    """Rows u_ic (x) v_i with u_ic = a_c o phi'(z_i): a readout that shares neurons.

    Products and diagonal blocks pass over the neurons by blocks; U, n C m numbers, is made only for
    a sketch or where a solver forms G.

    Parameters
    ----------
    slopes : ndarray, shape (n, m)
        phi'(z_i) without the scale: 1[neuron fires at x_i], or any numbers. Trusted, and not to
        be written to while J is in use.
    readout : ndarray of float64, shape (C, m)
        a, the scale of the activation included.
    side : FixedSide
        v_i in float64, shape (n, m_v), repeated for every output.
    K : ndarray of float64, shape (n, n)
    """

    def __init__(
        self,
        slopes: FloatArray,
        readout: NDArray[np.float64],
        side: FixedSide,
        K: NDArray[np.float64],
    ) -> None:
        self._slopes, self._readout, self._K = slopes, readout, K
        self.n_outputs, self.m_u = readout.shape
        self._side = side
        self.n, self.m_v = len(slopes) * self.n_outputs, side.inputs.shape[1]
        self._n_threads = 1

    @functools.cached_property
    def U(self) -> FloatArray:
        """u_ic, in float64."""
        return (self._slopes[:, None, :] * self._readout).reshape(self.n, self.m_u)

    @property
    def nnz_u(self) -> int:
        """Entries of U."""
        return self.n * self.m_u

    @property
    def nnz_v(self) -> int:
        """Entries of V, as often as there are outputs."""
        return self.n * self.m_v

    def of_output(self, c: int) -> KhatriRao:
        """Return the Jacobian of one output, n rows."""
        c = integer(c, "c", minimum=0, maximum=self.n_outputs - 1)
        side = self._side.of_one_output()
        return ReadoutJacobian(self._slopes, self._readout[c : c + 1], side, self._K)

    def output_grams(self) -> NDArray[np.float64]:
        """Return the diagonal blocks of G: one for each output, or one that all share."""
        magnitudes = np.abs(self._readout)
        shared = bool((magnitudes == magnitudes[0]).all())
        squares = self._readout[: 1 if shared else None] ** 2
        grams = [np.zeros_like(self._K) for _ in squares]
        for block in blocks(self.m_u, _NEURONS_PER_BLOCK):
            D = self._slopes[:, block].astype(np.float64)
            for G, weights in zip(grams, squares[:, block], strict=True):
                G += (D * weights) @ D.T
        for G in grams:
            G *= self._K
        return grams

    def diagonal(self) -> NDArray[np.float64]:
        """Return K_ii sum_r (a_cr phi'(z_ir))^2."""
        squares = np.square(self._slopes, dtype=np.float64) @ (self._readout**2).T
        return (squares * self._K.diagonal()[:, None]).ravel()

    def _form(self):
        if self.n_outputs == 1:
            return self.output_grams()[0]
        return _weighed_by_point(self.U @ self.U.T, self._K, self.n_outputs)

    def _product(self, g):
        """sum_r a_r o D_r o (K (D_r o (g a_r))), O(m n (n + C)) operations."""
        g = g.reshape(-1, self.n_outputs)
        product = np.zeros_like(g)
        for block in blocks(self.m_u, _NEURONS_PER_BLOCK):
            D, readout = self._slopes[:, block], self._readout[:, block]
            product += (D * (self._K @ (D * (g @ readout)))) @ readout.T
        return product.ravel()


def _weighed_by_point(G, K, n_outputs):
    """Multiply entry (i c, j e) of G by K_ij, in place."""
    by_point = G.reshape(len(K), n_outputs, len(K), n_outputs)
    by_point *= K[:, None, :, None]
    return G
