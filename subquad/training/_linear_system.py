"""The damped linear systems (G + mu W^-1) g = r of a Gauss-Newton step."""

import math

import numpy as np

from subquad._parallel import map_in_threads
from subquad.solvers.conjugate_gradient import pcg
from subquad.solvers.exact import DampedCholesky
from subquad.solvers.leave_one_out import choose_regularization, loo_residuals

_COUPLED_RTOL = 1e-8
_LARGE_BLOCK = 256  # data points from which on an output's factorisation is worth a thread


class BlockSystem:
    """G block diagonal, one n x n block per output: C Cholesky factorisations.

    Attributes
    ----------
    active : ndarray, shape (n, C)
        How many neurons of output c fire at data point i.
    report : dict
        What a `StepRecord` tells of the last solution: solver, sketch_size, condition.
    """

    def __init__(self, grams, active, widths, weights, n_threads=1):
        self.grams, self.active, self._widths, self._weights = grams, active, widths, weights
        self._n_threads = n_threads if len(grams[0]) >= _LARGE_BLOCK else 1
        self.report = {}
        self.mean_eigenvalue = float(np.mean([np.trace(G) / len(G) for G in grams]))

    @property
    def active_fraction(self):
        """Fraction of (neuron, data point) pairs that fire."""
        return float(self.active.sum() / (len(self.active) * self._widths.sum()))

    def solve(self, r, damping):
        """Return g (n, C) with (G_c + mu W^-1) g_c = r_c, and the number of iterations: 0."""

        def solve_block(c):
            factor = DampedCholesky(self.grams[c], damping, self._weights)
            return factor._solve(r[:, c]), _condition(self.grams[c], factor)

        columns, conditions = zip(*self._of_each_output(solve_block, r), strict=True)
        self.report = {"condition": max(conditions)}
        return np.column_stack(columns), 0

    def quadratic(self, g):
        """Return g^T G g, the squared Frobenius norm of the change that g stands for."""
        return float(sum(g[:, c] @ (G @ g[:, c]) for c, G in enumerate(self.grams)))

    def choose_regularization(self, r):
        """Return the mu of least leave-one-out error for the targets r, under the mean Gram matrix.

        The blocks differ by which neurons they count and by little else: their mean costs one
        eigendecomposition instead of one per output.
        """
        mean = self.grams[0] if len(self.grams) == 1 else sum(self.grams) / len(self.grams)
        mu, _, _ = choose_regularization([mean], r, self._weights)
        return mu

    def leave_one_out(self, r, mu):
        """Return the leave-one-out mean squared error of the linearised fit of r."""

        def errors_of(c):
            G = self.grams[c if len(self.grams) > 1 else 0]
            return loo_residuals(G, r[:, c], mu, self._weights)

        squares = np.square(self._of_each_output(errors_of, r))
        return float(np.average(squares.mean(axis=0), weights=self._weights))

    def _of_each_output(self, function, r):
        """[function(c) for every column c of r]."""
        return map_in_threads(function, range(r.shape[1]), self._n_threads)


def _condition(G, factor):
    """Condition number of G + mu I to an order of magnitude, in next to no time."""
    if factor.singular:
        return factor.condition
    return (math.sqrt(np.vdot(G, G)) + factor.damping) * factor.inverse_norm


class CoupledSystem(BlockSystem):
    """G of a readout that couples the outputs: conjugate gradients on n C unknowns.

    `grams` are the diagonal blocks, which precondition: they hold all of G but the coupling, some
    30 % of it. Leave-one-out errors are those of the diagonal blocks.

    Parameters
    ----------
    product : callable
        g (n, C) -> G g.
    """

    def __init__(self, grams, product, active, widths, weights):
        super().__init__(grams, active, widths, weights)
        self._product = product

    def solve(self, r, damping):
        """Return g (n, C) with (G + mu W^-1) g = r, and the number of iterations."""
        n, C = r.shape
        roots = np.ones(n) if self._weights is None else np.sqrt(self._weights)
        roots = roots[:, None]
        factors = [DampedCholesky(roots * G * roots.T, damping) for G in self.grams]
        self.report = {"condition": max(factor.condition for factor in factors)}

        def matvec(h):
            return roots * self._product(roots * h) + damping * h

        def precondition(h):
            return np.column_stack(
                [factors[c if len(factors) > 1 else 0]._solve(h[:, c]) for c in range(C)]
            )

        solution = pcg(
            matvec, roots * r, preconditioner=precondition, rtol=_COUPLED_RTOL, max_iterations=500
        )
        return roots * solution.x, solution.n_iterations

    def quadratic(self, g):
        """Return g^T G g."""
        return float(np.vdot(g, self._product(g)))
