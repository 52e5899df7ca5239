"""Gauss-Newton state of a last layer whose neurons are shared by ranks.

Each rank moves its own neurons. Per step the ranks add up how many neurons fire at both of two data
points, and the outputs: every rank then solves the same system, and decides the same.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import numpy as np

from subquad._ranks import another_solution
from subquad.jacobian import FiredJacobian
from subquad.training.last_layer._separable import SeparableState

if TYPE_CHECKING:
    from typing import Any

    from subquad._typing import FloatArray
    from subquad.networks import ShardedLastLayer


class ShardedState(SeparableState):
    """A `SeparableState` of this rank's neurons; outputs and what fires are those of all.

    Integers are summed in any order, outputs by chunks of neurons, in the order of the chunks: the
    same bits for every number of ranks.
    """

    def _keep_own(self):
        """Forget the neurons of other ranks."""
        self._ranks, own = self._layer._ranks, self._layer.neurons
        self._magnitude = float(np.abs(self._readout).max())
        self._neurons, self._edges, self._readout = self._grouped(self._layer.readout[:, own])
        self._n_chunks = len(self._chunks)
        chunks = self._chunks[self._ranks.share(self._n_chunks)]
        self._chunks = np.ascontiguousarray(chunks - [0, own.start, own.start])

    def _jacobians(self):
        """The Jacobian of each output, which knows the counts of all neurons."""
        local = [self._jacobian(own) for own in self._own_neurons()]
        counts = self._ranks.summed(np.stack([J.coactivations() for J in local]))
        return [
            FiredJacobian(
                J.fired, self._readout[own], self._side, self.K,
                n_threads=self._n_threads, counts=total, magnitude=self._magnitude,
            )
            for J, own, total in zip(local, self._own_neurons(), counts, strict=True)
        ]  # fmt: skip

    def propose(self, coefficients, keep):
        """Return what A = keep * A + (readout o D) diag(coefficients) would give."""
        self._checksum = zlib.crc32(
            np.ascontiguousarray(coefficients), zlib.crc32(repr(keep).encode())
        )
        return super().propose(coefficients, keep)

    def _totals(self, outputs, linear, flips):
        """Return the sums over the neurons of all ranks, which must have made the same move."""
        n = self._layer.n
        partial = np.concatenate([outputs[:, :n], linear[:, :n]], axis=1)
        extra = np.array([flips.sum(), self._checksum], np.float64)
        sums, extras = self._ranks.summed_chunks(partial, self._n_chunks, self._first_chunks, extra)
        others = np.flatnonzero(extras[:, 1] != extras[0, 1])
        if len(others):
            raise ValueError(another_solution(others[0]))
        outputs, linear = (np.ascontiguousarray(half.T) for half in (sums[:, :n], sums[:, n:]))
        return outputs, linear, int(extras[:, 0].sum())

    def _everywhere(self, truth):
        """Whether something holds on every rank."""
        return self._ranks.all(truth)


def require_same_fit(
    layer: ShardedLastLayer,
    y: FloatArray,
    weights: FloatArray | None,
    centred: bool | FloatArray,
    options: dict[str, Any],
    diagnostics: bool,
) -> None:
    """Raise on every rank unless all are to make the same fit, and can."""
    layer.require_same(y=y, sample_weight=weights, centred=centred, options=options)
    if diagnostics:
        raise ValueError(
            "diagnostics must be False for a layer that ranks share; got True: no rank has all "
            "of the change."
        )
