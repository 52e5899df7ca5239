"""What training and prediction ask of a factored layer on given data points.

z_i = A B v_i with v_i = C x_i fixed and B (k, l) or (m, l) moving. Responses are sums over the m
neurons, so pre-activations are made, used and forgotten a few points at a time: only the bits of
what fires are kept, m / 8 bytes a point.
"""

from dataclasses import dataclass

import numpy as np

from subquad._kernels import coactivation, factored

_BLOCK_BYTES = 2**23  # of pre-activations at once, where they come from a GEMM
_ENTRIES_PER_CALL = 2**29  # of (data point, neuron): a fifth of a second
_ENTRIES_PER_THREAD = 2**22  # a millisecond; less is not worth waiting for another thread


@dataclass(frozen=True)
class Response:
    """Outputs (n, C), bits of what fires (n, words), how many fire (n,), bits that changed."""

    outputs: np.ndarray
    fired: np.ndarray
    active: np.ndarray
    flips: int


class FactoredLayer:
    """A `FactoredNetwork` on n data points.

    Attributes
    ----------
    V : ndarray, shape (n, l)
        The inputs v_i = C x_i.
    thresholds : ndarray, shape (n,)
    """

    def __init__(self, network, V, n_threads):
        self.network, self.V, self.outer = network, V, network._outer
        self.n, self.n_outputs = len(V), network.n_outputs
        norms = np.sqrt(np.einsum("ij,ij->i", V, V, dtype=np.float64))
        self.thresholds = network.activation.thresholds(norms, 1.0).astype(V.dtype)
        entries = self.n * self.outer.padded * (1 + self.n_outputs / 8)
        self._n_threads = max(1, min(n_threads, int(entries / _ENTRIES_PER_THREAD)))
        self._scratch = np.empty(
            (self._n_threads, factored.scratch_size(self.outer.block or 1)), V.dtype
        )

    def respond(self, weights, before=None):
        """Return the `Response` of the layer with B = weights."""
        words = self.outer.padded // 64
        if before is None:
            before = np.zeros((self.n, words), np.uint64)
        outputs, fired = np.empty((self.n, self.n_outputs)), np.empty_like(before)
        active, flips = np.empty((2, self.n), np.intp)
        jumps = self.network.activation.jumps
        for points, x in self._inputs(weights):
            factored.forward(
                x, self.outer.signs, self.network._padded_readout, self.network.width,
                self.thresholds[points], jumps, before[points], outputs[points], fired[points],
                active[points], flips[points], self._scratch, self._n_threads,
            )  # fmt: skip
        return Response(outputs, fired, active, int(flips.sum()))

    def pull_back(self, fired, coefficients):
        """Return J^T vec(coefficients), in the shape of B; coefficients are (n, C)."""
        change = np.zeros(self.network.weights.shape, self.V.dtype)
        for points, U in self._tangents(fired, coefficients):
            change += U.T @ self.V[points]
        return change

    def push_forward(self, fired, change):
        """Return J vec(change), shape (n, C), for a change of B: what `pull_back` transposes."""
        out = np.empty((self.n, self.n_outputs))
        for c in range(self.n_outputs):
            if self.outer.narrow:
                moves = self.V @ change.T
                out[:, c] = np.einsum("ik,ik->i", self.tangents(fired, c), moves)
                continue
            for points, U in self._tangents(fired, self._unit(c)):
                out[points, c] = np.einsum("ik,ik->i", U, self.V[points] @ change.T)
        return out

    def tangents(self, fired, c):
        """Return U of output c, shape (n, k): its Jacobian has the rows u_i (x) v_i."""
        blocks = [U for _, U in self._tangents(fired, self._unit(c))]
        return blocks[0] if len(blocks) == 1 else np.concatenate(blocks)

    def gram(self, fired, c, K):
        """Return G of output c in float64, for K = V V^T."""
        if self.outer.narrow:
            U = self.tangents(fired, c).astype(np.float64)
            G = U @ U.T
            G *= K
            return G
        # Readouts are +-scale: their products count the neurons that fire at both points.
        G = np.empty_like(K)
        counts = np.empty((self._n_threads, 1024), np.int32)
        scale = self.network._scale**2
        coactivation.coactivation_gram(fired, K, scale, G, counts, self._n_threads)
        return G

    def inner_gram(self):
        """Return K = V V^T, shape (n, n), in float64."""
        V = self.V.astype(np.float64, copy=False)
        return V @ V.T

    def _unit(self, c):
        """Coefficients that select output c."""
        coefficients = np.zeros((self.n, self.n_outputs))
        coefficients[:, c] = 1.0
        return coefficients

    def _points(self):
        """Slices of the data points for calls of bounded length and memory."""
        size = _ENTRIES_PER_CALL / (self.outer.padded * (1 + self.n_outputs / 8))
        if self.outer.block is None:
            size = min(size, _BLOCK_BYTES / (self.outer.padded * self.V.itemsize))
        step = max(8, int(size))
        return (slice(start, min(start + step, self.n)) for start in range(0, self.n, step))

    def _inputs(self, weights):
        """Slices of points with what the kernel makes their pre-activations of."""
        outer, dtype = self.outer, self.V.dtype
        columns = outer.block or outer.padded
        room = None
        for points in self._points():
            V = self.V[points]
            if room is None:  # beyond the neurons it stays zero
                room = np.zeros((len(V), columns), dtype)
            x = room[: len(V)]
            product = V @ weights.T if outer.is_dense else V
            np.matmul(product, outer.forward(weights).T, out=x[:, : outer.n_forward])
            yield points, x

    def _tangents(self, fired, coefficients):
        """Slices of points with sum_c coefficients[i, c] u_ic, shape (points, k)."""
        outer, readout = self.outer, self.network._padded_readout
        coefficients = np.ascontiguousarray(coefficients, dtype=np.float64)
        for points in self._points():
            n = points.stop - points.start
            out = np.empty((n, outer.block or outer.padded), self.V.dtype)
            factored.backward(
                fired[points], coefficients[points], outer.signs, readout, out, self._scratch,
                self._n_threads,
            )  # fmt: skip
            yield points, outer.backward(out)
