"""The linear systems of a Gauss-Newton step for solvers that need not have G formed."""

import functools
from collections import deque

import numpy as np

from subquad._kernels import coactivation
from subquad.solvers.gram import _cost as cost
from subquad.solvers.gram._system import GramSystem, WeightedSystem
from subquad.training._linear_system import BlockSystem


class SolverSystem(BlockSystem):
    """G block diagonal, one `GramSystem` per output, solved by an object of the user's choice.

    With readouts that couple the outputs there is one block, of n C rows (i, c) in this order.

    Attributes
    ----------
    active, report
        As in `BlockSystem`.
    """

    def __init__(self, blocks, solver, active, widths, weights):
        self._blocks, self._solver = blocks, solver
        self.active, self._widths, self._weights = active, widths, weights
        self._n_threads, self.report = 1, {}
        self.mean_eigenvalue = float(np.mean([block.diagonal().mean() for block in blocks]))

    @property
    def grams(self):
        """The Gram matrix of each output, formed now unless it has been."""
        n_outputs = len(self._widths) if len(self._blocks) == 1 else 1
        return [
            np.ascontiguousarray(block.gram()[c::n_outputs, c::n_outputs])
            for block in self._blocks
            for c in range(n_outputs)
        ]

    def solve(self, r, damping):
        """Return g (n, C) with (G + mu W^-1) g = r, and the number of iterations."""
        columns = r.reshape(-1, len(self._blocks))
        g, solutions = np.empty_like(columns), []
        for c, block in enumerate(self._blocks):
            roots = self._roots(columns)
            weighted = block if roots is None else WeightedSystem(block, roots)
            right = columns[:, c] if roots is None else roots * columns[:, c]
            solution = self._solver.solve(weighted, np.ascontiguousarray(right), damping)
            g[:, c] = solution.x if roots is None else roots * solution.x
            solutions.append(solution)
        self.report = _report(self._solver, solutions)
        return g.reshape(r.shape), sum(solution.n_iterations for solution in solutions)

    def quadratic(self, g):
        """Return g^T G g, the squared Frobenius norm of the change that g stands for."""
        columns = np.ascontiguousarray(g.reshape(-1, len(self._blocks)).T)
        return float(
            sum(g_c @ block.product(g_c) for g_c, block in zip(columns, self._blocks, strict=True))
        )

    def _roots(self, columns):
        """Square roots of the weights, one per row of a block."""
        if self._weights is None:
            return None
        return np.repeat(np.sqrt(self._weights), len(columns) // len(self._weights))


def _report(solver, solutions):
    """The fields of a `StepRecord` that tell of these solutions."""
    known = [solution.info.get("condition", np.nan) for solution in solutions]
    return {
        "solver": solutions[0].info.get("method", solver.name),
        "sketch_size": max(int(solution.info.get("sketch_size", 0)) for solution in solutions),
        "condition": float(max(known)),
    }


class FiredSystem(GramSystem):
    """G = K o (D diag(a^2) D^T) of one output, D kept as bits.

    Parameters
    ----------
    fired : ndarray of uint64, shape (n, words)
        Bit r of row i: whether neuron r fires at data point i. Not written to afterwards.
    readout : ndarray, shape (m,)
    V : ndarray, shape (n, m_in)
    K : ndarray, shape (n, n)
    prepare : callable
        sketch -> what it keeps of V.
    n_threads : int
    """

    def __init__(self, fired, readout, V, K, prepare, n_threads):
        self._fired, self._readout, self._K, self._n_threads = fired, readout, K, n_threads
        self.n, self.m_u, self.m_v = len(V), len(readout), V.shape[1]
        self.V, self._prepare = V, prepare
        self._magnitudes = np.abs(readout)
        self._active = np.empty(self.n, np.int32)
        coactivation.count_bits(fired, self._active, n_threads)

    @functools.cached_property
    def U(self):
        """Row i: the readouts of the neurons that fire at data point i, in the dtype of V."""
        return self._rows(slice(None), self.V.dtype) * self._readout.astype(self.V.dtype)

    @property
    def nnz_u(self):
        """Entries of U as it is sketched: dense."""
        return self.n * self.m_u

    def gram_seconds(self):
        """Counting bits: [SZZ24], Algorithm 2, lines 12-13."""
        return cost.POPCOUNT * self.n**2 * self._fired.shape[1] / 2

    def diagonal(self):
        """|v_i|^2 times the squared readouts that fire at i."""
        if self._is_even():
            return self._K.diagonal() * self._active * self._magnitudes[0] ** 2
        return self._K.diagonal() * (self._rows(slice(None)) @ self._readout**2)

    def columns(self, points):
        """G[:, points]."""
        counts = (self._rows(slice(None)) * self._readout**2) @ self._rows(points).T
        return self._K[:, points] * counts

    def prepared(self, sketch):
        """What the sketch keeps of V, made once for all steps."""
        return self._prepare(sketch, self._n_threads)

    def _form(self):
        """K o (D diag(a^2) D^T), by counting bits where all readouts are of one size."""
        G = np.empty((self.n, self.n))
        if self._is_even():
            counts, scale = np.empty((self._n_threads, 1024), np.int32), self._magnitudes[0] ** 2
            coactivation.coactivation_gram(self._fired, self._K, scale, G, counts, self._n_threads)
            return G
        U = self._rows(slice(None)) * self._readout
        np.matmul(U, U.T, out=G)
        G *= self._K
        return G

    def _is_even(self):
        """Whether all readouts are of one size."""
        return self.m_u > 0 and self._magnitudes.min() == self._magnitudes.max()

    def _rows(self, points, dtype=np.float64):
        """D as numbers 0 and 1."""
        bits = np.ascontiguousarray(self._fired[points]).view(np.uint8)
        return np.unpackbits(bits, axis=1, count=self.m_u, bitorder="little").astype(dtype)


class Preparation:
    """What the sketch in use keeps of V, which stays the same from step to step."""

    def __init__(self, V):
        self._V, self._kept = V, deque(maxlen=2)

    def __call__(self, sketch, n_threads):
        """Prepare, unless this sketch was one of the last two."""
        for known, prepared in self._kept:
            if known is sketch:
                return prepared
        self._kept.append((sketch, sketch.prepare(self._V, n_threads)))
        return self._kept[-1][1]
