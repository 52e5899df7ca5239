"""Gauss-Newton state of a network whose hidden layers all move."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse

from subquad._products import gemm, nonzeros
from subquad.jacobian import FixedSide, JacobianSum, KhatriRao
from subquad.training._equation import Equation, JointEquation, firing_counts
from subquad.training._gauss_newton import Trial

# Keep a factor as a list of its entries that are not 0 where they are fewer than this part: one of
# float32 takes twice as many bytes as a number of the array, or three times with wide indices.
_FEW = 1 / 4


class SumOfFactors:
    """The change of one layer, dW = sum_k s_k A_k^T B_k, one term for each step.

    Parameters
    ----------
    terms : sequence of (float, ndarray or csr_array, ndarray or csr_array)
        s_k, A_k of shape (n, m_out) and B_k of shape (n, m_in), as `listed` returns them.
    """

    def __init__(self, terms):
        self._terms = terms

    def add_product(self, out, Y):
        """Add dW y_i to out[i]."""
        for scale, A, B in self._terms:
            inner = scale * gemm(Y, dense(B).T)
            out += gemm(inner, dense(A))

    def add_transposed_product(self, out, X):
        """Add dW^T x_i to out[i]."""
        for scale, A, B in self._terms:
            inner = scale * gemm(X, dense(A).T)
            out += gemm(inner, dense(B))

    def factors(self, dtype, shape):
        """Return (A, B) with dW = A^T B, stacked; of no rows where nothing has moved."""
        rank = sum(A.shape[0] for _, A, _ in self._terms)
        stacked = [np.empty((rank, size), dtype) for size in shape]
        first = 0
        for scale, *pair in self._terms:
            rows = slice(first, first + pair[0].shape[0])
            for out, factor in zip(stacked, pair, strict=True):
                out[rows] = dense(factor)
            stacked[0][rows] *= dtype.type(scale)
            first = rows.stop
        return tuple(stacked)


def listed(factor):
    """Return a factor as it is, or as a csr_array of the same numbers where that takes less memory.

    A neuron that is silent at a data point has a 0 in its row of either factor.
    """
    if np.count_nonzero(factor) >= _FEW * factor.size:
        return factor
    indptr, indices, values = nonzeros(factor)
    return scipy.sparse.csr_array((values, indices, indptr), shape=factor.shape)


def dense(factor):
    """Return a factor as an array, so that BLAS gives the same bits however it is kept."""
    return factor.toarray() if scipy.sparse.issparse(factor) else factor


@dataclass(frozen=True)
class AllLayersTrial(Trial):
    """A trial with the pass through the network that it stands for."""

    forward: object


class AllLayersState:
    """A `WideNetwork` on n data points, W_l = W_l(0) + dW_l for every l.

    Attributes
    ----------
    outputs : ndarray of float64, shape (n, C)
    linear : ndarray of float64, shape (n, C)
        J vec(W - W(0)) at the iterate of the last `linearise`.
    terms : tuple
        One entry for each step since W(0): (scale, ((A_1, B_1), .., (A_L, B_L))).
    """

    # The ranks that share products with the weights, if any do.
    _ranks = None

    def __init__(self, network, X, weights, solver, n_threads):
        self._network, self._X, self._weights = network, X, weights
        self._solver, self._n_threads = solver, n_threads
        self._feeds = (network.readout != 0).T
        # Sums of float32 over all neurons that fire are off by a few 1e-6, by others in each pass.
        # Later passes add up how they differ from this one.
        self._start = None
        if network.dtype == np.float32:
            self._start = network._forward(X, n_threads, keep=True)
        self._adopt((), self._start or self._forward(()))
        self.linear = np.zeros_like(self.outputs)

    @property
    def firing(self):
        """Who fires in each layer, shapes (n, width)."""
        return tuple(self._pass.fired)

    def linearise(self):
        """Return the equation for G = sum_l (U_l U_l^T) o (V_l V_l^T)."""
        C = self._network.n_outputs
        parts = [None] * self._network.depth
        for level, U in self._pass.derivatives():
            side = FixedSide(self._pass.inputs[level], C)
            parts[level] = KhatriRao._trusted(U, side, self._n_threads)
        self._J = J = JacobianSum(parts)
        self.linear = self._linear_part().reshape(-1, C)
        self._squares = sum((self._squared_rounding(*term) for term in self.terms), np.zeros(1))
        active = firing_counts(self._pass.fired[-1], self._feeds)
        described = active, self._feeds.sum(axis=0), self._weights, self._solver
        return Equation([J], *described) if C == 1 else JointEquation(J, *described)

    def propose(self, coefficients, keep):
        """Return what dW_l = keep dW_l + J_l^T coefficients would give."""
        if self._ranks is not None:
            self._ranks.require_same_solution(coefficients)
        layers = zip(self._J.parts, self._pass.inputs, strict=True)
        step = tuple((listed(_summed(J.U, coefficients)), listed(V)) for J, V in layers)
        kept = tuple((keep * scale, pairs) for scale, pairs in self.terms) if keep else ()
        terms = (*kept, (1.0, step))
        forward = self._forward(terms)
        moved = zip(forward.fired, self._pass.fired, strict=True)
        flips = sum(int(np.count_nonzero(new != old)) for new, old in moved)
        rounding = np.sqrt(keep**2 * self._squares + self._squared_rounding(1.0, step))
        return AllLayersTrial(forward.outputs(), None, flips, terms, forward, rounding=rounding)

    def accept(self, trial):
        """Make a proposal the current iterate."""
        self._adopt(trial.terms, trial.forward)

    def restore(self, terms):
        """Make an iterate the current one; return whether there was anything to do."""
        if terms is self.terms:
            return False
        self._adopt(terms, self._forward(terms))
        return True

    def factors(self, terms):
        """Return (A_l, B_l) of every layer at an iterate: its change is A_l^T B_l."""
        layers = zip(self._changes(terms), self._network.weights, strict=True)
        return [change.factors(self._network.dtype, W.shape) for change, W in layers]

    def _adopt(self, terms, forward):
        self.terms, self._pass, self.outputs = terms, forward, forward.outputs()

    def _forward(self, terms):
        changes = self._changes(terms) if terms else None
        return self._network._forward(self._X, self._n_threads, changes, start=self._start)

    def _squared_rounding(self, scale, pairs):
        """Estimate the squared errors of f by a unit in the last place of what A^T B is of.

        Those of one v . b_j agree over the neurons of A, those of different points differ.
        """
        n, C = self.outputs.shape
        total = np.zeros((n, C))
        for J, V, (A, B) in zip(self._J.parts, self._pass.inputs, pairs, strict=True):
            reach = gemm(np.abs(J.U), np.abs(dense(A)).T).astype(np.float64).reshape(n, C, -1)
            reach *= gemm(V, dense(B).T)[:, None, :]
            total += np.einsum("icj,icj->ic", reach, reach)
        return (scale * float(np.finfo(self._network.dtype).eps)) ** 2 * total

    def _changes(self, terms):
        """The change of every layer."""
        return [
            SumOfFactors([(scale, *pairs[level]) for scale, pairs in terms])
            for level in range(self._network.depth)
        ]

    def _linear_part(self):
        """J vec(W - W(0)), shape (n C,)."""
        total = np.zeros(self.outputs.size)
        for scale, pairs in self.terms:
            for part, (A, B) in zip(self._J.parts, pairs, strict=True):
                total += scale * part._matvec_factors(dense(A), dense(B))
        return total


def _summed(U, coefficients):
    """The first factor of J_l^T coefficients: the rows (i, c) of a data point add up."""
    n, C = coefficients.shape
    return np.einsum("ic,icj->ij", coefficients.astype(U.dtype), U.reshape(n, C, -1))
