"""Direct solution of the damped Gram system, by Cholesky or, where G is singular, by eigenvalues.

The default of every trainer: for the sizes a Gram matrix fits in memory, forming and factoring it
measured faster than any sketched or iterative solver.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import eigh
from scipy.linalg.blas import dsymv, dtrmv
from scipy.linalg.lapack import dpocon, dpotrs, dtrtri

from subquad._kernels import cholesky
from subquad._validation import (
    as_array,
    as_gram,
    as_matrix,
    as_vector,
    real,
    require_weights_in_range,
)
from subquad.solvers._solution import Solution, solved_in_range

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


_EPS = np.finfo(np.float64).eps
_POWER_STEPS = 4
# A residual of n times so many units in the last place is what a stable factorisation leaves.
_ROUNDINGS = 8.0


def solve_damped(
    G: ArrayLike, c: ArrayLike, damping: float = 0.0, weights: ArrayLike | None = None
) -> Solution:
    """Solve (G + mu W^-1) g = c for a symmetric positive semidefinite G.

    Parameters
    ----------
    G : array_like, shape (n, n)
        Only the lower half, diagonal included, is read. Not modified.
    c : array_like, shape (n,)
    damping : float, at least 0
        mu.
    weights : array_like, shape (n,), optional
        Sample weights w >= 0, the diagonal of W; 1 if not given. Where w_i = 0, g_i = 0 and
        equation i is dropped.

    Returns
    -------
    Solution
        Converged where the residual is what rounding leaves. Not converged where the matrix is
        numerically singular: x is then the least-squares solution of least norm (with weights,
        least norm of W^-1/2 x). `info["rank"]` is the number of eigenvalues it uses.

    Raises
    ------
    TypeError, ValueError
        If an argument has a wrong kind or shape, is not finite, or is negative.

    Notes
    -----
    n^3 / 3 operations by Cholesky; about 9 n^3 by eigenvalues, where that fails. With weights,
    solved in the symmetric form (W^1/2 G W^1/2 + mu I) h = W^1/2 c, g = W^1/2 h, which needs no
    1 / w. Eigenvalues up to n * eps * lambda_max count as 0.

    Examples
    --------
    >>> solve_damped([[2.0, 0.0], [1.0, 2.0]], [3.0, 3.0]).x
    array([1., 1.])
    """
    factor = DampedCholesky(G, damping, weights)
    c = as_vector(c, "c", size=factor.n, dtype=np.float64)
    G = as_gram(G, "G")

    def solve(c):
        g = factor._solve(c)
        residual = _residual_norm(G, factor, g, c)
        solved, message = _solves(G, factor, g, c), factor.message
        if not (solved or factor.singular):
            message = f"Rounding spoils the solution: scale the system or add damping. {message}"
        return Solution(
            x=g,
            n_iterations=0,
            residual_norm=residual,
            converged=solved and not factor.singular,
            message=message,
            info={"rank": factor.rank},
        )

    return solved_in_range(solve, c)


class DampedCholesky:
    """The factored matrix M = G + mu W^-1, kept to be solved with again.

    Parameters
    ----------
    G, damping, weights
        As in `solve_damped`. Not kept.

    Attributes
    ----------
    n : int
    damping : float
    rank : int
        Eigenvalues in use; n unless M is numerically singular.
    singular : bool
    inverse_norm : float
        Estimate of ||W^-1/2 M^-1 W^-1/2||_1; of the spectral norm on the range if singular.
    message : str
        How M was factored.

    Notes
    -----
    M counts as singular where Cholesky fails or LAPACK's estimate of 1 / ||M^-1||_1 is at most
    n * eps * max(diag M), beyond which a solution would be noise, and some eigenvalue is at most
    n * eps * lambda_max.

    Examples
    --------
    >>> factor = DampedCholesky(np.diag([1.0, 3.0]), damping=1.0)
    >>> factor.solve([2.0, 2.0]), factor.inverse_diagonal()
    (array([1. , 0.5]), array([0.5 , 0.25]))
    """

    def __init__(
        self, G: ArrayLike, damping: float = 0.0, weights: ArrayLike | None = None
    ) -> None:
        G = as_gram(G, "G")
        self.n = len(G)
        self.damping = real(damping, "damping", minimum=0.0)
        roots = np.ones(self.n) if weights is None else np.sqrt(sample_weights(weights, self.n))
        self._roots = roots
        self._eigenvalues = None
        self._factor, smallest = _cholesky(_scaled_matrix(G, roots, self.damping))
        if self._factor is None:
            B = _scaled_matrix(G, roots, self.damping)
            self._eigenvalues, self._factor = _spectrum(B)
            smallest = self._eigenvalues[0] if len(self._eigenvalues) else 1.0
        with np.errstate(over="ignore"):
            self.inverse_norm = float(np.divide(1.0, smallest))
        self.rank = self._factor.shape[1]
        self.singular = self.rank < self.n

    @property
    def condition(self) -> float:
        """Estimate of the condition number of W^1/2 M W^1/2, of its range if it is singular.

        The largest eigenvalue by a few power steps (at most a few times too small), the smallest
        by LAPACK's estimate of ||M^-1||_1 (at most sqrt(n) times too small).
        """
        if self._eigenvalues is not None:
            return float(self._eigenvalues[-1] / self._eigenvalues[0]) if self.rank else 1.0
        x = np.cos(np.arange(self.n))
        for _ in range(_POWER_STEPS):
            x = dtrmv(self._factor, dtrmv(self._factor, x / np.linalg.norm(x)), trans=1)
        return max(float(np.linalg.norm(x) * self.inverse_norm), 1.0)

    @property
    def message(self) -> str:
        """How the matrix was factored, and if it is singular, why it may be and what helps."""
        if not self.singular:
            return (
                f"Solved by {'Cholesky' if self._eigenvalues is None else 'eigen'} factorisation."
            )
        return (
            f"The Gram matrix is numerically singular: {self.rank} of its {self.n} eigenvalues "
            "are used. Data points may be repeated, or too few neurons fire; damping cures it."
        )

    def solve(self, c: ArrayLike) -> NDArray[np.float64]:
        """Return M^-1 c.

        Parameters
        ----------
        c : array_like, shape (n,) or (n, k)

        Returns
        -------
        ndarray of float64, shape of c
            The least-squares solution of least norm if M is singular.
        """
        c = as_array(c, "c")
        if c.ndim == 2:
            return self._solve(as_matrix(c, "c", n_rows=self.n, dtype=np.float64))
        return self._solve(as_vector(c, "c", size=self.n, dtype=np.float64))

    def inverse_diagonal(self) -> NDArray[np.float64]:
        """Return the diagonal of M^-1, shape (n,); of its pseudo-inverse if M is singular."""
        if self._eigenvalues is None:
            root, _ = dtrtri(self._factor, lower=0)
        else:
            root = self._factor / np.sqrt(self._eigenvalues)
        return self._roots**2 * np.einsum("ij,ij->i", root, root)

    def _solve(self, c):
        """Trusted twin of `solve`."""
        roots = self._roots if c.ndim == 1 else self._roots[:, None]
        if self._eigenvalues is None:
            return roots * dpotrs(self._factor, roots * c, lower=0)[0]
        coordinates = self._factor.T @ (roots * c)
        return roots * (self._factor @ (coordinates.T / self._eigenvalues).T)


def sample_weights(weights, n):
    """Return weights as a trusted float64 vector, none negative."""
    weights = as_vector(weights, "weights", size=n, dtype=np.float64)
    if (weights < 0).any():
        first = int(np.argmax(weights < 0))
        raise ValueError(f"weights must be at least 0; got {weights[first]} at index {first}.")
    require_weights_in_range(weights, "weights")
    return weights


def symmetric_product(G, x):
    """Return G x, of G only the lower half being read."""
    return dsymv(1.0, G.T, x, lower=0)  # by columns, the lower half of G is the upper one of G.T


def _residual_norm(G, factor, g, c):
    """||M g - c|| over the equations of positive weight."""
    kept = factor._roots > 0
    residual = (symmetric_product(G, g) - c)[kept]
    residual += factor.damping * g[kept] / factor._roots[kept] ** 2
    return float(np.linalg.norm(residual))


def _solves(G, factor, g, c):
    """Whether M g - c is as small as rounding leaves it after a stable solution.

    Tested as |r_i| <= n eps (|M| |h| + |c|)_i for the symmetric form, without squares, which would
    overflow. No entry of M is larger than the largest of its diagonal.
    """
    roots, kept = factor._roots, factor._roots > 0
    h = np.divide(g, roots, out=np.zeros_like(g), where=kept)
    r = roots * (symmetric_product(G, g) - c) + factor.damping * h
    largest = (roots**2 * G.diagonal() + factor.damping).max()
    size = largest * np.abs(h).sum() + np.abs(roots * c).max()
    return bool(np.abs(r).max() <= _ROUNDINGS * factor.n * _EPS * size)


def _scaled_matrix(G, roots, damping):
    """W^1/2 G W^1/2 + mu I in memory of its own; the lower half counts."""
    if (roots == 1.0).all():
        B = G.copy(order="K")
    else:
        B = roots[:, None] * G
        B *= roots
    B.flat[:: len(B) + 1] += damping
    return B


def _cholesky(B):
    """Upper U with U^T U = B, None if B is numerically singular; estimate of 1 / ||B^-1||_1.

    U takes the memory of B.
    """
    tiny = len(B) * _EPS * B.diagonal().max()
    B = np.ascontiguousarray(B)
    if cholesky.factor(B):
        return None, 0.0
    factor = B.T
    smallest, _ = dpocon(factor, 1.0)
    return (factor if smallest > tiny else None), smallest


def _spectrum(B):
    """Eigenvalues of B above n * eps * lambda_max, and their eigenvectors."""
    if not np.isfinite(np.tril(B)).all():
        raise ValueError("G must be finite; got NaN or infinite entries in its lower half.")
    eigenvalues, vectors = eigh(
        B.T, lower=False, driver="evd", overwrite_a=True, check_finite=False
    )
    kept = eigenvalues > len(B) * _EPS * max(eigenvalues[-1], 0.0)
    return eigenvalues[kept], vectors[:, kept]
