"""The linear equation of a Gauss-Newton step: (G + mu W^-1) g = r with G = J J^T.

W holds the sample weights. Each output has a Jacobian of its own where no neuron feeds two; else
there is one of n C rows. Without a solver of the user's choice the equation is solved exactly. The
file is longer than others since both cases answer the same questions, side by side.
"""

from __future__ import annotations

import copy
import functools
import math
from typing import TYPE_CHECKING

import numpy as np

from subquad._parallel import map_in_threads
from subquad.jacobian import gram_times, kept_gram
from subquad.solvers import DampedCholesky, choose_regularization, loo_residuals, pcg
from subquad.solvers.leave_one_out import loo_residuals_by

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import ArrayLike, NDArray

    from subquad._typing import FloatArray, IndexArray
    from subquad.jacobian import Jacobian
    from subquad.solvers import Repeats, Solver


# Stop the iterations for coupled outputs at this relative residual: a step needs no smaller one.
_COUPLED_RTOL = 1e-8
# Keep the factors of the last solution, for the leave-one-out errors, if they have so many entries.
MOST_KEPT = 2**24
# Give outputs threads of their own from so many data points on: less is not worth the start.
_LARGE_BLOCK = 256


class Activity:
    """How many neurons fire: all that a step needs which solves no equation.

    Parameters
    ----------
    active : ndarray of int, shape (n, C)
        How many neurons of output c fire at data point i.
    widths : ndarray of int, shape (C,)
        How many neurons output c has.

    Attributes
    ----------
    report : dict
        What a `StepRecord` tells of the solution: solver, sketch_size, condition.
    """

    def __init__(self, active: NDArray[np.intp], widths: NDArray[np.intp]) -> None:
        self.active, self._widths, self.report = active, widths, {}

    @property
    def active_fraction(self) -> float:
        """Fraction of (neuron, data point) pairs that fire."""
        return float(self.active.sum() / (len(self.active) * self._widths.sum()))


def firing_counts(fired, feeds):
    """Return how many neurons of each output fire at each data point, shape (n, C).

    `fired`, shape (n, m), is not zero where one does; `feeds`, shape (m, C), says which outputs a
    neuron has.
    """
    return ((fired != 0).astype(np.float32) @ feeds.astype(np.float32)).astype(np.intp)


class Equation(Activity):
    """G block diagonal: one Jacobian of n rows for each output.

    Parameters
    ----------
    jacobians : list of Jacobian
        One for each output.
    active, widths
        As in `Activity`.
    weights : ndarray, shape (n,) or (n, C), or None
        Sample weights, or weights of each row and output.
    solver : object, optional
        A `subquad.solvers.Solver`; by default every block is factored by Cholesky, and the factor
        serves the leave-one-out errors as well.
    n_threads : int
        Of the factorisations, one output each.

    Attributes
    ----------
    mean_eigenvalue : float
        Of W^1/2 G W^1/2: the scale of the damping.
    """

    def __init__(
        self,
        jacobians: list[Any],
        active: IndexArray,
        widths: IndexArray,
        weights: FloatArray,
        solver: Solver | None = None,
        n_threads: int = 1,
    ) -> None:
        super().__init__(active, widths)
        self.jacobians, self._weights, self._solver = jacobians, weights, solver
        self._n_threads = n_threads if jacobians[0].n >= _LARGE_BLOCK else 1
        self._factored = None

    @functools.cached_property
    def grams(self) -> list[Any]:
        """The Gram matrix of each output, or one that all outputs share."""
        return [kept_gram(J) for J in self.jacobians]

    def gram(self, output: int | None = None) -> NDArray[np.float64]:
        """Return G, shape (n C, n C) with rows (i, c), or its block (n, n) of one output."""
        if output is not None:
            return self.jacobians[output].gram()
        C = len(self.jacobians)
        if C == 1:
            return self.jacobians[0].gram()
        G = np.zeros((len(self.active) * C,) * 2)
        for c, J in enumerate(self.jacobians):
            G[c::C, c::C] = J.gram()
        return G

    def solve(self, r: ArrayLike, damping: float) -> tuple[FloatArray, int]:
        """Return g (n, C) with (G_c + mu W^-1) g_c = r_c, and the number of iterations."""
        if self._solver is not None:
            return self._solve_by_choice(r, damping)
        few = r.size * len(r) <= MOST_KEPT
        self._factored = None  # the factors before these are given up first

        def solve_block(c):
            G = self._gram_of(c)
            factor = DampedCholesky(G, damping, self._weights_of(c))
            return factor._solve(r[:, c]), _condition(G, factor), factor if few else None

        columns, conditions, factors = zip(*self._of_each_output(solve_block, r), strict=True)
        self._factored = (damping, factors) if few else None
        self.report = {"condition": max(conditions)}
        return np.column_stack(columns), 0

    def product(self, g: ArrayLike) -> NDArray[np.float64]:
        """Return G g, shape (n, C)."""
        pairs = zip(np.ascontiguousarray(g.T), self.jacobians, strict=True)
        return np.column_stack([gram_times(J, g_c) for g_c, J in pairs])

    def quadratic(self, g: ArrayLike) -> float:
        """Return g^T G g, the squared Frobenius norm of the change that g stands for."""
        columns = np.ascontiguousarray(g.T)
        pairs = zip(columns, self.jacobians, strict=True)
        return float(sum(g_c @ gram_times(J, g_c) for g_c, J in pairs))

    def choose_regularization(
        self, r: ArrayLike, repeats: Repeats | None = None
    ) -> tuple[float, float, FloatArray]:
        """Return the mu of least leave-one-out error for the targets r, under the mean Gram matrix.

        The blocks differ by which neurons they count and by little else: their mean costs one
        eigendecomposition instead of one per output.
        """
        grams = self.grams
        mean = grams[0] if len(grams) == 1 else sum(grams) / len(grams)
        mu, _, _ = choose_regularization([mean], r, self._weights, repeats=repeats)
        return mu

    def _weighted(self, weights: FloatArray) -> Equation:
        """Return the same equation with weights of each row and output, shape (n, C)."""
        other = copy.copy(self)
        vars(other).pop("mean_eigenvalue", None)
        other._factored = None
        other._weights = weights
        return other

    def leave_one_out(
        self, r: ArrayLike, mu: float, repeats: Repeats | list[Repeats] | None = None
    ) -> FloatArray | None:
        """Return leave-one-out errors of the linearised fit of r, shape (C, n_observations).

        Repeats may be a list, one for each output. None where G must not be formed: it takes the
        diagonal of an inverse.
        """
        if not all(getattr(J, "forms_gram", True) for J in self.jacobians):
            return None
        _ = self.grams  # formed before threads ask for them

        damping, factors = self._factored or (None, None)

        def errors_of(c):
            of_outputs = isinstance(repeats, list)
            one = repeats[c] if of_outputs else repeats and repeats.columns(slice(c, c + 1))
            if damping == mu:
                return loo_residuals_by(factors[c], self._gram_of(c), r[:, c], one)
            return loo_residuals(self._gram_of(c), r[:, c], mu, self._weights_of(c), repeats=one)

        return np.array(self._of_each_output(errors_of, r))

    def mean_square(self, errors: FloatArray, repeats: Repeats | None = None) -> float:
        """Return the weighted mean square of errors (C, n_observations)."""
        weights = repeats.weights if repeats else self._weights
        return float(np.average(np.square(errors).mean(axis=0), weights=weights))

    @functools.cached_property
    def mean_eigenvalue(self) -> float:
        """Of G; formed where it is asked for, since a step that is made again needs none."""
        if self._solver is not None:
            diagonals = [J.diagonal() for J in self.jacobians]
        elif self._weights is None:
            return float(np.mean([np.trace(G) / len(G) for G in self.grams]))
        else:
            diagonals = [G.diagonal() for G in self.grams]
        if self._weights is not None and self._weights.ndim == 2:
            if diagonals[0].size > len(self._weights):  # rows (i, c)
                return float(np.mean(self._weights.ravel() * diagonals[0]))
            return float(np.mean(self._weights * np.column_stack(diagonals)))
        if self._weights is not None:
            # A Jacobian of coupled outputs has C rows for each weight.
            weights = np.repeat(self._weights, diagonals[0].size // len(self._weights))
            diagonals = [weights * diagonal for diagonal in diagonals]
        return float(np.mean([diagonal.mean() for diagonal in diagonals]))

    def _solve_by_choice(self, r, damping):
        """Ask the user's solver for the solution of every block."""
        solutions = [
            self._solution(J, np.ascontiguousarray(r[:, c]), damping, self._weights_of(c))
            for c, J in enumerate(self.jacobians)
        ]
        self.report = _report(self._solver, solutions)
        g = np.column_stack([solution.x for solution in solutions])
        return g, sum(solution.n_iterations for solution in solutions)

    def _solution(self, J, c, damping, weights):
        """Solve one block, telling the solver of weights only where there are any."""
        if weights is None:
            return self._solver.solve(J, c, damping)
        return self._solver.solve(J, c, damping, weights)

    def _weights_of(self, c):
        """The weights of an output's rows, shape (n,), or None."""
        if self._weights is None or self._weights.ndim == 1:
            return self._weights
        return np.ascontiguousarray(self._weights[:, c])

    def _gram_of(self, c):
        """The Gram matrix of an output."""
        return self.grams[c if len(self.grams) > 1 else 0]

    def _of_each_output(self, function, r):
        """[function(c) for every column c of r]."""
        return map_in_threads(function, range(r.shape[1]), self._n_threads)


class CoupledEquation(Equation):
    """G of outputs that share neurons or weights: one Jacobian of n C rows (i, c).

    Solved by conjugate gradients, preconditioned by the diagonal blocks: these hold all of G but
    the coupling, some 30 % of it. Leave-one-out errors are those of the diagonal blocks.

    Parameters
    ----------
    J : Jacobian
        It may have `output_grams()`, the diagonal blocks: one for each output, or one that all
        share. Without, they are taken from its Gram matrix.
    active, widths, weights, solver
        As in `Equation`.
    """

    def __init__(
        self,
        J: Jacobian,
        active: IndexArray,
        widths: IndexArray,
        weights: FloatArray | None,
        solver: Solver | None = None,
    ) -> None:
        super().__init__([J], active, widths, weights, solver)

    @functools.cached_property
    def grams(self) -> list[Any]:
        """The diagonal blocks of G."""
        J, C = self.jacobians[0], len(self._widths)
        if hasattr(J, "output_grams"):
            return J.output_grams()
        G = kept_gram(J)
        return [np.ascontiguousarray(G[c::C, c::C]) for c in range(C)]

    def gram(self, output: int | None = None) -> NDArray[np.float64]:
        """Return G, shape (n C, n C) with rows (i, c), or its block (n, n) of one output."""
        if output is None:
            return self.jacobians[0].gram()
        return self.grams[output if len(self.grams) > 1 else 0].copy()

    def solve(self, r: ArrayLike, damping: float) -> tuple[FloatArray, int]:
        """Return g (n, C) with (G + mu W^-1) g = r, and the number of iterations."""
        if self._solver is not None:
            return self._solve_by_choice(r, damping)
        n, C = r.shape
        roots = np.ones(n) if self._weights is None else np.sqrt(self._weights)
        roots = roots.reshape(n, -1)
        if roots.shape[1] == 1:
            factors = [DampedCholesky(roots * G * roots.T, damping) for G in self.grams]
        else:
            factors = [
                DampedCholesky(root[:, None] * self._gram_of(c) * root, damping)
                for c, root in enumerate(roots.T)
            ]
        self.report = {"condition": max(factor.condition for factor in factors)}

        def matvec(h):
            return roots * self.product(roots * h) + damping * h

        def precondition(h):
            return np.column_stack(
                [factors[c if len(factors) > 1 else 0]._solve(h[:, c]) for c in range(C)]
            )

        solution = pcg(
            matvec, roots * r, preconditioner=precondition, rtol=_COUPLED_RTOL, max_iterations=500
        )
        return roots * solution.x, solution.n_iterations

    def quadratic(self, g: ArrayLike) -> float:
        """Return g^T G g."""
        return float(np.vdot(g, self.product(g)))

    def product(self, g: ArrayLike) -> NDArray[np.float64]:
        """Return G g, shape (n, C)."""
        return gram_times(self.jacobians[0], np.ascontiguousarray(g).ravel()).reshape(g.shape)

    def _weights_of_rows(self, C):
        """The weights of rows (i, c), shape (n C,), or None."""
        if self._weights is None or self._weights.ndim == 2:
            return None if self._weights is None else self._weights.ravel()
        return np.repeat(self._weights, C)

    def _solve_by_choice(self, r, damping):
        weights = self._weights_of_rows(r.shape[1])
        solution = self._solution(self.jacobians[0], r.ravel(), damping, weights)
        self.report = _report(self._solver, [solution])
        return solution.x.reshape(r.shape), solution.n_iterations


class JointEquation(CoupledEquation):
    """G of outputs that share most of their weights: all n C rows (i, c) factored at once."""

    def solve(self, r, damping):
        """Return g (n, C) with (G + mu W^-1) g = r, and the number of iterations."""
        if self._solver is not None:
            return self._solve_by_choice(r, damping)
        G = kept_gram(self.jacobians[0])
        weights = self._weights_of_rows(r.shape[1])
        factor = DampedCholesky(G, damping, weights)
        self.report = {"condition": _condition(G, factor)}
        return factor._solve(r.ravel()).reshape(r.shape), 0


def _condition(G, factor):
    """Condition number of G + mu I to an order of magnitude, in next to no time."""
    if factor.singular:
        return factor.condition
    return (math.sqrt(np.vdot(G, G)) + factor.damping) * factor.inverse_norm


def _report(solver, solutions):
    """The fields of a `StepRecord` that tell of these solutions."""
    known = [solution.info.get("condition", np.nan) for solution in solutions]
    return {
        "solver": solutions[0].info.get("method", solver.name),
        "sketch_size": max(int(solution.info.get("sketch_size", 0)) for solution in solutions),
        "condition": float(max(known)),
    }
