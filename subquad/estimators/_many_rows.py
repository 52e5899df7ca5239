"""How a kernel's equations are solved for few rows, for more, and for as many as there are."""

from dataclasses import dataclass

import numpy as np

from subquad._validation import integer, one_of, require_memory
from subquad.solvers import NystromSolver
from subquad.solvers.nystrom import iterated

# Factor the kernel of at most so many rows, which takes seconds; for twice as many, iterations took
# a seventh of the processor's time, the choice on fewer rows included.
EXACT_ROWS = 4096
# Keep the kernel of at most so many rows, 2 GiB in float64: beyond, landmarks stand for the rows.
ITERATED_ROWS = 16384
# Precondition by so many columns: 8,000 rows of a smooth kernel then took 19 iterations, whose cost
# is of the order of what the columns cost.
_PRECONDITIONING = 1024
# The choice of scalings and of mu is then made on so many rows, by eigendecompositions.
ROWS_FOR_QUICK_CHOICE = 1024
# With so many landmarks, 100,000 rows took 37 seconds of one thread.
DEFAULT_LANDMARKS = 2048
SOLVERS = ("auto", "exact", "pcg", "nystrom")
SOLVER = f"""
    solver : {{"auto", "exact", "pcg", "nystrom"}}
        "exact": n^2 numbers and one factorisation. "pcg": the same equations with n^2 numbers and
        conjugate gradients. "nystrom": least squares on `n_landmarks` rows, M^2 + n numbers.
        "auto": "exact" up to {EXACT_ROWS:,} distinct rows, "pcg" up to {ITERATED_ROWS:,}, and then
        "nystrom".
    n_landmarks : int or None
        M, for "nystrom" alone, which takes n M^2 operations. None: {DEFAULT_LANDMARKS:,}, or all
        distinct rows, if they are fewer.
    landmarks : {{"uniform", "pivoted"}}
        How they are drawn: see `subquad.solvers.NystromSolver`."""
STEP_SOLVER = f"""
    solver : {{"auto", "exact", "pcg"}}
        How the equation of a step is solved: by one factorisation for each output, or by conjugate
        gradients, 2 n^2 operations each, that {_PRECONDITIONING:,} of its columns precondition.
        "auto": "exact" up to {EXACT_ROWS:,} distinct rows, without regularization, and where
        outputs share neurons; otherwise "pcg". With "pcg", the regularization and the constant
        are chosen on {ROWS_FOR_QUICK_CHOICE:,} of the rows."""
SOLVED = """
    solver_ : {"exact", "pcg", "nystrom"}
    solver_report_ : str
        What was solved, how, and what it costs in accuracy, in one line.
    missed_trace_ : float
        trace(K - K_nys) / trace(K); 0 but for "nystrom"."""


@dataclass(frozen=True)
class KernelRows:
    """The blocks of a kernel between the rows of X, made when asked for.

    `kernel(rows, others)` gives them; `diagonal` is what all rows that are not 0 have with
    themselves.
    """

    rows: np.ndarray
    kernel: object

    def block(self, rows, points):
        """The kernel between some rows and points."""
        return self.kernel(self.rows[rows], self.rows[points])

    def diagonal(self):
        """Of the kernel of unit rows, and 0 for rows of 0."""
        return kernel_diagonal(self.rows, self.kernel)


def kernel_diagonal(rows, kernel):
    """The diagonal of a kernel of rows of norm 1, dense or sparse, or 0, whose kernel is 0."""
    present = abs(rows).sum(axis=1) > 0
    which = np.flatnonzero(present)[:1]
    one = float(kernel(rows[which])[0, 0]) if len(which) else 0.0
    return np.where(present, one, 0.0)


def check_solver(solver, n_landmarks, landmarks):
    """Refuse what is no solver, no number of landmarks and no way of drawing them."""
    one_of(solver, "solver", SOLVERS)
    if n_landmarks is not None:
        integer(n_landmarks, "n_landmarks")
        if solver in ("exact", "pcg"):
            raise ValueError(f"n_landmarks must be None for solver={solver!r}; got {n_landmarks}.")
    one_of(landmarks, "landmarks", ("uniform", "pivoted"))


def solver_for(solver, n):
    """Return the name of the solver of n distinct rows."""
    if solver != "auto":
        return solver
    return "exact" if n <= EXACT_ROWS else "pcg" if n <= ITERATED_ROWS else "nystrom"


def step_solver_for(solver, n, coupled, regularization):
    """Return the name of the solver of a Gauss-Newton step for n distinct rows."""
    if solver != "auto":
        return solver
    exact = n <= EXACT_ROWS or coupled or regularization == 0
    return "exact" if exact else "pcg"


def step_report(solver, n, n_iterations):
    """Return a line about how the steps of a fit were solved."""
    if solver == "exact":
        return f"Steps were solved exactly for {n} rows."
    return (
        f"Steps were solved for {n} rows by conjugate gradients, at most {n_iterations} iterations "
        f"a step, which {min(_PRECONDITIONING, n)} landmarks preconditioned."
    )


def some_of(X, T, weights, repeats, most):
    """Return the data of at most so many rows, drawn uniformly by one seed."""
    n = X.shape[0]
    if n <= most:
        return X, T, weights, repeats
    some = np.random.default_rng(0).permutation(n)[:most]
    return X[some], T[some], weights[some], repeats and repeats.of_points(some)


def by_landmarks(
    kernel, T, damping, weights, repeats, n_landmarks, landmarks, residuals, comm=None
):
    """Return the `NystromFit` of targets to `KernelRows`, on request with its errors by rows.

    The ranks of `comm`, if given, share the rows.
    """
    n, M = len(T), n_landmarks
    require_memory(
        8 * (4 * M * M + 4 * max(256 * M, 2**22)), f"Equations of {M} landmarks", "Take fewer."
    )
    if n_landmarks > n:
        raise ValueError(
            f"n_landmarks must be at most {n}, the number of distinct rows; got {n_landmarks}."
        )
    solver = NystromSolver(n_landmarks, landmarks=landmarks, rng=0)
    return solver.fit(kernel, T, damping, weights, repeats=repeats, residuals=residuals, comm=comm)


def by_iterations(K, T, mu, weights):
    """Return (K + mu W^-1)^-1 T, whether it converged, and a line about it; K is written over."""
    rng = np.random.default_rng(0)
    alpha, count, residual = iterated(K, T, mu, weights, _PRECONDITIONING, rng)
    points = min(_PRECONDITIONING, len(K))
    line = (
        f"Solved for {len(K)} rows by {count} iterations of conjugate gradients, which {points} "
        f"landmarks preconditioned, to a relative residual of {residual:.1e}."
    )
    return alpha, residual <= 1e-3, line
