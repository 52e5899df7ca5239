"""What training and prediction ask of a factored layer on given data points.

z_i = A B v_i with v_i = C x_i fixed and B (k, l) or (m, l) moving. Responses are sums over the m
neurons, so pre-activations are made, used and forgotten a few points at a time: only the bits of
what fires are kept, m / 8 bytes a point.
"""

from dataclasses import dataclass

import numpy as np

from subquad._kernels import factored
from subquad._parallel import blocks, worth_threads
from subquad.networks._last_layer import _norms, thresholds_of

# Pre-activations that come from a GEMM take at most so many bytes at once.
_BLOCK_BYTES = 2**23
# A call for so many (data point, neuron) takes a fifth of a second.
_ENTRIES_PER_CALL = 2**29
# Start another thread for each so many (data point, neuron), which take a millisecond.
_ENTRIES_PER_THREAD = 2**22
# A thread of the kernel takes so many points at a time.
_POINTS_PER_TASK = 8


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
        thresholds = thresholds_of(network.activation, _norms(V), 1.0, V.dtype)
        self.thresholds = thresholds.astype(V.dtype)
        entries = self.n * self.outer.padded * (1 + self.n_outputs / 8)
        tasks = -(-self._points_per_call() // _POINTS_PER_TASK)
        self._n_threads = worth_threads(min(n_threads, tasks), entries, _ENTRIES_PER_THREAD)
        self._scratch = np.empty(
            (self._n_threads, factored.scratch_size(self.outer.block or 1)), V.dtype
        )
        # Kept from call to call: new pages would cost as much as the work on them. Beyond the
        # neurons `_z` stays zero.
        columns = self.outer.block or self.outer.padded
        self._z = np.zeros((self._points_per_call(), columns), V.dtype)
        self._u = np.empty_like(self._z)

    def __setstate__(self, state):
        """Take buffers that can be written to, also from a file that is mapped into memory."""
        vars(self).update(state)
        for name in ("_scratch", "_z", "_u"):
            setattr(self, name, np.require(getattr(self, name), requirements="W"))

    @property
    def buffer_bytes(self):
        """Bytes of the buffers that are kept from call to call."""
        return self._z.nbytes + self._u.nbytes + self._scratch.nbytes

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
        """Return J vec(change), shape (n, C), for a change of B if there is no A.

        What `pull_back` transposes; with A it is rowsum(U o V change^T) for the tangents U.
        """
        out, m = np.empty((self.n, self.n_outputs)), self.network.width
        readout = self.network._padded_readout[:, :m].T
        for points in self._points():
            moves = self.V[points] @ change.T
            bits = fired[points].view(np.uint8)
            moves *= np.unpackbits(bits, axis=1, count=m, bitorder="little")
            out[points] = moves @ readout
        return out

    def tangents(self, fired, c):
        """Return U of output c, shape (n, k): its Jacobian has the rows u_i (x) v_i."""
        U = np.empty((self.n, len(self.network.weights)), self.V.dtype)
        for points, block in self._tangents(fired, self._unit(c)):
            U[points] = block
        return U

    def inner_gram(self):
        """Return K = V V^T, shape (n, n), in float64."""
        V = self.V.astype(np.float64, copy=False)
        return V @ V.T

    def _unit(self, c):
        """Return coefficients that select output c."""
        coefficients = np.zeros((self.n, self.n_outputs))
        coefficients[:, c] = 1.0
        return coefficients

    def _points_per_call(self):
        """Return how many data points a call may take: its length and its memory are bounded."""
        size = _ENTRIES_PER_CALL / (self.outer.padded * (1 + self.n_outputs / 8))
        if self.outer.block is None:
            size = min(size, _BLOCK_BYTES / (self.outer.padded * self.V.itemsize))
        return min(self.n, max(8, int(size)))

    def _points(self):
        """Return slices of the data points, as many as a call may take."""
        return blocks(self.n, len(self._z))

    def _inputs(self, weights):
        """Yield slices of points with what the kernel makes their pre-activations of."""
        outer = self.outer
        for points in self._points():
            x = self._z[: points.stop - points.start]
            product = self.V[points] @ weights.T if outer.is_dense else self.V[points]
            np.matmul(product, outer.forward(weights).T, out=x[:, : outer.n_forward])
            yield points, x

    def _tangents(self, fired, coefficients):
        """Yield slices of points with sum_c coefficients[i, c] u_ic, shape (points, k).

        The next call of the kernel writes over what was yielded.
        """
        outer, readout = self.outer, self.network._padded_readout
        coefficients = np.ascontiguousarray(coefficients, dtype=np.float64)
        for points in self._points():
            out = self._u[: points.stop - points.start]
            factored.backward(
                fired[points], coefficients[points], outer.signs, readout, out, self._scratch,
                self._n_threads,
            )  # fmt: skip
            yield points, outer.backward(out)
