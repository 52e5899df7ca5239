"""A wide network whose weight matrices are maintained: W_l + dW_l, dW_l as factors."""

import numpy as np

from subquad.jacobian import FixedSide, JacobianSum, KhatriRao
from subquad.lowrank import LowRankMaintenance
from subquad.networks import WideNetwork
from subquad.training._records import (
    change_of_factors,
    change_of_matrix,
    changed,
    diagnostics,
)


class MaintainedNetwork:
    """The layers of a `WideNetwork`, each in a `LowRankMaintenance`.

    Parameters
    ----------
    network : WideNetwork
        Where to start; it is never written to.
    n_threads : int
    **options
        Of every `LowRankMaintenance`.

    Attributes
    ----------
    weights : list of LowRankMaintenance
    """

    def __init__(self, network, n_threads, **options):
        self._network, self._n_threads = network, n_threads
        self.weights = [LowRankMaintenance(W, **options) for W in network.weights]

    def forward(self, X):
        """Return the `ForwardPass` of the rows of X; it serves until the next `move`."""
        parts = [W._parts() for W in self.weights]
        stored, changes = ([part[i] for part in parts] for i in (0, 1))
        first = self._network
        parts = first.readout, first.activation, first.normalise
        network = WideNetwork._from_parts(stored, *parts)
        network.weight_std = first.weight_std
        return network._forward(X, self._n_threads, changes)

    def gradient(self, forward, residual):
        """Return (A_l, B_l) of every layer: the gradient of |f - y|^2 / 2 by W_l is A_l^T B_l.

        A_l is u_l summed over the outputs with weights r_ic, and the sum is carried down instead of
        the outputs one by one, since u_{l-1} is linear in u_l.
        """
        readout = self._network.readout
        U = forward.slopes(-1) * (residual.astype(readout.dtype) @ readout)
        return self._by_layer(forward, U)

    def tangents(self, forward):
        """Return (U_l, H_{l-1}) of every layer, U_l with rows (i, c)."""
        return self._by_layer(forward, None)

    def _by_layer(self, forward, U):
        found = dict(forward.derivatives(U))
        return [(found[level], forward.inputs[level]) for level in sorted(found)]

    def largest_eigenvalue(self, forward):
        """Return lambda_max of G."""
        return float(np.linalg.eigvalsh(self.gram(forward))[-1])

    def gram(self, forward):
        """Return G = sum_l (U_l U_l^T) o (H_{l-1} H_{l-1}^T), rows (i, c), in float64."""
        C = self._network.n_outputs
        parts = [
            KhatriRao._trusted(U, FixedSide(H, C), self._n_threads)
            for U, H in self.tangents(forward)
        ]
        return JacobianSum(parts).gram()

    def diagnostics(self, X):
        """Compare W and G at some points with those of the network as it came."""
        with np.errstate(over="ignore", invalid="ignore"):
            now, first = self.forward(X), self._network._forward(X, self._n_threads)
            grams = [[self.gram(forward)] for forward in (now, first)]
            pairs = zip(self.weights, self._network.weights, strict=True)
            moves = [self._moved(W, W0) for W, W0 in pairs]
        flips = sum(map(changed, now.fired, first.fired))
        return diagnostics(*grams, moves, flips)

    def _moved(self, W, W0):
        """(largest row move, rank) of W - W(0): of its factors, unless they have been flushed."""
        stored, change = W._parts()
        if stored is W0:
            return change_of_factors(change.U, change.V, W.dtype)
        first = W0.to_dense().astype(np.float64)
        return change_of_matrix(W.to_dense() - first, W.dtype, np.linalg.norm(first))

    def move(self, pairs, step_size):
        """Subtract step_size A_l^T B_l from every layer."""
        for W, (A, B) in zip(self.weights, pairs, strict=True):
            W._update(A.dtype.type(-step_size) * A, B)

    def outputs(self, X):
        """Return f in float64, shape (n, C)."""
        out = np.empty((len(X), self._network.n_outputs))
        for points in self._network._blocks(len(X)):
            out[points] = self.forward(X[points]).outputs()
        return out

    def bytes_of_step(self, n, rows):
        """Bytes of a step on n points: a pass, u of so many rows with their G, growing factors."""
        network = self._network
        grown = max(3 * (min(W.rank, W.rank_budget) + n) * sum(W.shape) // 2 for W in self.weights)
        numbers = (3 * network.depth + 4) * n * network.width + grown
        numbers += (network.depth + 2) * rows * network.width
        return numbers * network.dtype.itemsize + 24 * rows * rows
