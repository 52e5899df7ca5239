"""`NystromSolver`: least squares in the span of a few rows of a kernel."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from subquad._ranks import Ranks
from subquad._validation import as_array, as_matrix, as_vector, generator, integer, real
from subquad.solvers._repeats import in_units
from subquad.solvers._solution import Solution
from subquad.solvers.leave_one_out import candidates
from subquad.solvers.nystrom._border import (
    JacobianRows,
    as_rows,
    positive_weights,
)
from subquad.solvers.nystrom._equations import Equations
from subquad.solvers.nystrom._landmarks import checked_landmarks, drawn_landmarks

if TYPE_CHECKING:
    from typing import Any, Literal

    from numpy.typing import ArrayLike

    from subquad._ranks import Communicator
    from subquad._typing import FloatArray, IndexArray
    from subquad.jacobian import Jacobian
    from subquad.solvers._repeats import Repeats


# Leave-one-out errors of so many rows tell their mean square to about one per cent.
LEFT_OUT_ROWS = 2**14
# Landmarks are left in where so many others tell the error to about ten per cent: without its own
# observation, what a landmark adds fits its neighbours alone, and errs by more than at a new row.
FEWEST_LEFT_OUT = 256


@dataclass(frozen=True, eq=False)
class NystromFit:
    """A fit f(x) = sum_k k(x, z_k) coefficients[k].

    Attributes
    ----------
    points : ndarray of intp, shape (M,)
        The rows that are landmarks.
    coefficients : ndarray, shape (M, C)
    mu : float
    loo_error : float
        Mean squared leave-one-out error, over observations and outputs, weighted.
    curve : ndarray, shape (n_candidates, 2)
        Each mu with its error.
    missed : float
        trace(K - K_nys) / trace(K): the part of the kernel that the landmarks do not tell.
    rank : int
        Of the kernel between landmarks.
    message : str
        What was solved, and what it costs in accuracy.
    left_out : ndarray of intp
        The rows that were left out one at a time.
    loo_residuals : ndarray, shape (n_observations, C), or None
        Their errors, if asked for; with repeats those of `repeats.of_points(left_out)`.
    """

    points: IndexArray
    coefficients: FloatArray
    mu: float
    loo_error: float
    curve: FloatArray
    missed: float
    rank: int
    message: str = field(repr=False)
    left_out: IndexArray = field(repr=False)
    loo_residuals: FloatArray | None = field(repr=False)


class NystromSolver:
    """Regularised least squares with the Nystrom kernel of M landmarks among n rows.

    f = K_nZ beta,  beta = argmin sum_i w_i (r_i - f_i)^2 + mu beta^T K_ZZ beta

    Parameters
    ----------
    n_landmarks : int
        M.
    landmarks : {"uniform", "pivoted"} or array_like of int
        How landmarks are drawn from the rows of positive weight, those of zeros last: uniformly, or
        by randomly pivoted Cholesky among 4 M rows that are drawn uniformly. Or the rows
        themselves, whose number then stands in place of `n_landmarks`.
    rng : int, numpy.random.Generator or None
        Draws them, and the rows that are left out one at a time.
    block_size : int, optional
        Rows of K_nZ that are made at a time; by default so many that they take 32 MiB.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.

    Notes
    -----
    n M (d + 2 M) operations and M^2 + n C numbers, beside one block: no array of shape (n, M) is
    kept, blocks are made again when they are needed again. The normal equations are those of the
    features F = K_nZ L^-T, K_ZZ = L L^T, and not of K_nZ itself, whose condition number would be
    squared; they and all sums are in float64, of kernels in either dtype.

    With M = n the fit is the exact one, to the rounding of K in units of mu. Below, its error is
    larger where the kernel's eigenvalues fall slowly and the noise is small. As little as 2 per
    cent missed of the trace has cost 10 per cent of root mean squared error on data with next to
    no noise.

    Rudi, Camoriano and Rosasco (2015) for the method; Chen, Epperly, Tropp and Webber (2023) for
    the pivots.

    Examples
    --------
    >>> from subquad.jacobian import KhatriRao
    >>> rng = np.random.default_rng(0)
    >>> J = KhatriRao(rng.standard_normal((300, 4)), rng.standard_normal((300, 3)))
    >>> fit = NystromSolver(50, rng=0).fit(J, J.matvec(np.ones((4, 3))))
    >>> fit.missed < 1e-12, fit.loo_error < 1e-9  # 12 columns need 12 landmarks
    (True, True)
    """

    name = "nystrom"

    def __init__(
        self,
        n_landmarks: int = 2048,
        *,
        landmarks: Literal["uniform", "pivoted"] | ArrayLike = "uniform",
        rng: int | np.random.Generator | None = None,
        block_size: int | None = None,
    ) -> None:
        self.n_landmarks = integer(n_landmarks, "n_landmarks")
        self.landmarks = checked_landmarks(landmarks)
        self._rng = generator(rng)
        self.block_size = None if block_size is None else integer(block_size, "block_size")

    def fit(
        self,
        kernel: Any,
        r: ArrayLike,
        damping: float | Literal["loo"] = "loo",
        weights: ArrayLike | None = None,
        *,
        repeats: Repeats | None = None,
        grid: ArrayLike | None = None,
        residuals: bool = False,
        comm: Communicator | None = None,
    ) -> NystromFit:
        """Fit r.

        Parameters
        ----------
        kernel : Jacobian or object
            K = J J^T, or what has `block(rows, points)`, the part of K at a slice or an array of
            rows and an array of columns, and `diagonal()`, shape (n,).
        r : array_like, shape (n,) or (n, C)
        damping : "loo" or float, at least 0
            mu, or the word for that of least leave-one-out error.
        weights : array_like, shape (n,), optional
            Sample weights, at least 0.
        repeats : Repeats, optional
            The observations that the rows stand for; `weights` are then their totals.
        grid : array_like, optional
            Candidates for mu in units of the mean of w_i K_ii. Default: 1e-8 to 10, four a decade.
        residuals : bool
            Whether to return the errors of the rows that are left out, one by one.
        comm : mpi4py.MPI.Intracomm, optional
            Its ranks, up to 12 of them, share the blocks of K_nZ of which the normal equations and
            the leave-one-out errors are added up, each calling this with the same arguments and
            seed.

        Returns
        -------
        NystromFit

        Raises
        ------
        TypeError, ValueError
            If an argument is not as described, there are fewer rows of positive weight than
            landmarks, or the kernel is not finite; or if ranks of `comm` have different arguments.

        Notes
        -----
        Ranks have the same bits whatever their number is, if their BLAS has as many threads; those
        of a fit without `comm` differ by the rounding of sums. Each rank has all of r, and asks the
        kernel for its blocks alone. Of a Jacobian in place of a
        kernel every rank makes all columns.

        Errors are those of single observations, each left out of the fit to all others that has
        the same landmarks and mu: e_j = (r_j - f_i) / (1 - h_j). At most 16,384 rows, drawn
        uniformly, are left out: of those that are no landmarks, if there are 256, and of all rows
        otherwise. A landmark that is left out is missed by more than a new row would be.
        """
        r = as_array(r, "r")
        R = as_matrix(r[:, None] if r.ndim == 1 else r, "r", dtype=np.float64)
        weights = positive_weights(weights, repeats, R)
        mu = None if isinstance(damping, str) else real(damping, "damping", minimum=0.0)
        if mu is None and damping != "loo":
            raise ValueError(f"damping must be 'loo' or a number; got {damping!r}.")
        kernel = as_rows(kernel, len(R))
        present = np.flatnonzero(weights > 0)
        points = self._points(kernel, present)
        some, ranks = self._left_out(present, points), None
        if comm is not None:
            ranks, same = Ranks(comm), {"r": R, "weights": weights, "landmarks": points}
            ranks.require_same(
                **same, kernel=kernel.diagonal(), rows_left_out=some, block_size=self.block_size
            )
        unit = 2.0 ** np.frexp(weights.max())[1]  # weights may be too large to be added up
        equations = Equations(kernel, points, R, weights / unit, self.block_size, ranks)
        mean = np.mean(weights[present] / unit * kernel.diagonal()[present])
        mus = mean * candidates(grid) if mu is None else np.array([mu / unit])
        scaled = in_units(repeats, unit)
        sums, total = equations.squared_errors(mus, some, scaled)
        errors = sums / (total * R.shape[1])
        best = np.flatnonzero(errors == errors.min())[-1]
        one_by_one = None
        if residuals:
            one_by_one = equations.errors(mus[best], some, scaled)
        return NystromFit(
            points, equations.coefficients(mus[best]), float(mus[best] * unit),
            float(errors[best]), np.column_stack([mus * unit, errors]), equations.missed,
            equations.whitening.rank, _message(len(points), len(R), equations.missed),
            some, one_by_one,
        )  # fmt: skip

    def solve(
        self, J: Jacobian, c: ArrayLike, damping: float = 0.0, weights: ArrayLike | None = None
    ) -> Solution:
        """Return the `Solution` of (J J^T + mu W^-1) x = c of least objective on the landmarks.

        x minimises sum_i w_i (c_i - (G x)_i)^2 + mu x^T G x among vectors that are 0 at all other
        rows: J^T x is a change of the parameters that M rows of J span. `residual_norm` is that of
        the whole system, which only M = n rows solve; `converged` says whether they did.
        Arguments are those of `fit`.
        """
        c = as_vector(c, "c", size=J.n, dtype=np.float64)
        rows = JacobianRows(J)
        fit = self.fit(rows, c, damping, weights)
        x = np.zeros(J.n)
        x[fit.points] = fit.coefficients[:, 0]
        w = positive_weights(weights, None, c[:, None])
        residual = w * (c - rows.block(slice(None), fit.points) @ x[fit.points]) - fit.mu * x
        norm = float(np.linalg.norm(residual))
        converged = norm <= 1e-6 * np.linalg.norm(w * c)
        info = {"method": self.name, "sketch_size": len(fit.points), "missed": fit.missed}
        return Solution(x, 1, norm, bool(converged), fit.message, info)

    def _points(self, kernel, present):
        """The landmarks: those given, or as many as asked for of the rows that are present."""
        if not isinstance(self.landmarks, str):
            return self._given(present)
        if self.n_landmarks > len(present):
            raise ValueError(
                f"n_landmarks must be at most the number of rows of positive weight, "
                f"{len(present)}; got {self.n_landmarks}."
            )
        telling = kernel.diagonal()[present] > 0  # a row of zeros tells nothing of the others
        useful, rest, M = present[telling], present[~telling], self.n_landmarks
        if len(useful) < M:
            return np.sort(np.append(useful, self._rng.choice(rest, M - len(useful), False)))
        return drawn_landmarks(kernel, self.landmarks, M, useful, self._rng)

    def _left_out(self, present, points):
        """The rows that are left out one at a time."""
        others = np.setdiff1d(present, points)
        some = others if len(others) >= FEWEST_LEFT_OUT else present
        if len(some) <= LEFT_OUT_ROWS:
            return some
        return np.sort(self._rng.choice(some, LEFT_OUT_ROWS, replace=False))

    def _given(self, present):
        points = np.unique(self.landmarks)
        if len(points) == 0 or len(points) < len(self.landmarks):
            raise ValueError("landmarks must be at least 1 row, each given once; got others.")
        if not np.isin(points, present).all():
            raise ValueError("landmarks must be rows of positive weight; got others.")
        return points


def _message(count, n, missed):
    """What was solved, in one line."""
    return (
        f"Solved with {count} landmarks of {n} rows, which miss {missed:.2g} of the kernel's trace."
    )
