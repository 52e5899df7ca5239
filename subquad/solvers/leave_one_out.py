"""The regularisation mu, chosen by leave-one-out in closed form.

Fit residuals r by minimising sum_i w_i (r_i - f_i)^2 + mu ||dW||^2 with f = G al, so that
al = M^-1 r for M = G + mu W^-1. The prediction of point i by the fit without it errs by exactly

    e_i = al_i / (M^-1)_ii,

and one eigendecomposition of G gives every e_i for every mu.

A point may stand for several observations, of which one at a time is left out: see `Repeats`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from subquad._validation import as_array, as_gram, as_matrix, as_vector, real, require_in_range
from subquad.solvers._repeats import in_units
from subquad.solvers.exact import DampedCholesky, sample_weights, symmetric_product

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    from subquad.solvers._repeats import Repeats


# Scale what is larger than this, or smaller than the inverse: its square may overflow.
_LARGE = 1e100
# Candidates for mu are four a decade, in units of the mean eigenvalue.
_GRID = np.logspace(-8, 1, 37)


def choose_regularization(
    grams: Sequence[ArrayLike],
    r: ArrayLike,
    weights: ArrayLike | None = None,
    grid: ArrayLike | None = None,
    *,
    repeats: Repeats | None = None,
) -> tuple[float, float, NDArray[np.float64]]:
    """Choose the mu of least mean squared leave-one-out error, jointly over all outputs.

    Parameters
    ----------
    grams : sequence of array_like, each of shape (n, n)
        The Gram matrix of each output, or a single one that all outputs share. Only lower halves
        are read.
    r : array_like, shape (n, C), or (n,) for one output
        What is to be fitted.
    weights : array_like, shape (n,), optional
        Sample weights, at least 0: of the fit and of the mean. Each error leaves out a sample
        with its whole weight.
    grid : array_like, optional
        Candidates for mu, as multiples of the mean eigenvalue of W^1/2 G W^1/2. Default: 1e-8 to
        10, four a decade.
    repeats : Repeats, optional
        The observations that the points stand for; `weights` are then their totals.

    Returns
    -------
    mu : float
        Of equal candidates, the largest.
    loo_error : float
        The (weighted) mean of e_i^2 at mu over points, or observations, and outputs.
    curve : ndarray, shape (n_candidates, 2)
        Each mu with its error.

    Raises
    ------
    TypeError, ValueError
        If an argument has a wrong kind or shape or is not finite, or all Gram matrices are zero.

    Notes
    -----
    About 9 n^3 operations per Gram matrix, for its eigenvalues and -vectors, and 4 n^2 per
    candidate. All in float64: in float32 the eigenvalues near mu are noise for every mu below
    1e-7 lambda_max. One Cholesky factorisation and inversion per candidate is as fast for six
    candidates, and slower for more; it is how a single candidate is judged.

    Examples
    --------
    >>> mu, loo_error, curve = choose_regularization([np.eye(3)], np.ones(3))
    >>> mu, loo_error, curve.shape  # independent points predict nothing about each other
    (10.0, 1.0, (37, 2))
    """
    grams, R, roots = _checked(grams, r, weights_of(repeats, weights))
    grid = candidates(grid)
    unit = _unit(np.square(roots).max())
    roots = roots / np.sqrt(unit)
    repeats = in_units(repeats, unit)
    mean_eigenvalue = np.mean([roots**2 * G.diagonal() for G in grams])
    if not mean_eigenvalue > 0:
        raise ValueError("grams must have a positive trace; got none, so that no neuron fires.")
    size = _unit(mean_eigenvalue)
    mus = mean_eigenvalue / size * grid
    every = [slice(c, c + 1) for c in range(R.shape[1])] if len(grams) > 1 else [slice(None)]
    require_deviations(repeats, R)
    with np.errstate(over="ignore", invalid="ignore"):
        sums = sum(
            _squared_errors(
                G, R[:, columns], roots, mus, size, repeats and repeats.columns(columns)
            )
            for G, columns in zip(grams, every, strict=True)
        )
    errors = sums / (np.sum(roots**2) * R.shape[1])
    best = np.flatnonzero(errors == require_in_range(errors, "grams and r", "errors").min())[-1]
    with np.errstate(over="ignore"):
        mus = require_in_range(mus * size * unit, "grams and weights", "mu")
    return float(mus[best]), float(errors[best]), np.column_stack([mus, errors])


def loo_residuals(
    gram: ArrayLike,
    r: ArrayLike,
    mu: float,
    weights: ArrayLike | None = None,
    *,
    repeats: Repeats | None = None,
) -> NDArray[np.float64]:
    """Return e_i, the error at point i of the fit without it; or e_j, if observations are given.

    Parameters
    ----------
    gram : array_like, shape (n, n)
        Only the lower half is read.
    r : array_like, shape (n,)
    mu : float, at least 0
    weights : array_like, shape (n,), optional
        Sample weights, at least 0. Where 0, the point is not in the fit and its e_i is the
        fit's own error.
    repeats : Repeats, optional
        The observations, with one target, that the points stand for; `weights` are then their
        totals.

    Returns
    -------
    ndarray of float64, shape (n,), or (n_observations,) with `repeats`

    Raises
    ------
    TypeError, ValueError
        As `choose_regularization`; ValueError also if mu = 0 and the matrix is singular.

    Examples
    --------
    >>> loo_residuals([[1.0, 0.0], [0.5, 1.0]], [1.0, 1.0], mu=0.0)
    array([0.5, 0.5])
    """
    gram = as_gram(gram, "gram")
    r = as_vector(r, "r", size=len(gram), dtype=np.float64)
    weights = weights_of(repeats, weights)
    require_deviations(repeats, r[:, None])
    factor = DampedCholesky(gram, real(mu, "mu", minimum=0.0), weights)
    return loo_residuals_by(factor, gram, r, repeats)


def loo_residuals_by(factor, gram, r, repeats=None):
    """Return what `loo_residuals` does, by the `DampedCholesky` of the matrix; trusted."""
    if factor.singular:
        raise ValueError(
            f"mu must be positive for a singular gram (rank {factor.rank} of {factor.n}); got "
            f"{factor.damping}."
        )
    alpha = factor._solve(r)
    if repeats is not None:
        return left_out_errors(factor, alpha[:, None], repeats)[:, 0]
    diagonal = factor.inverse_diagonal()
    absent = diagonal == 0
    diagonal[absent] = 1.0
    errors = alpha / diagonal
    errors[absent] = (r - symmetric_product(gram, alpha))[absent]
    return require_in_range(errors, "gram and r", "errors")


def left_out_errors(factor, alpha, repeats=None):
    """Return e (n_observations, C) from a `DampedCholesky` and alpha = M^-1 r (n, C), trusted.

    All weights are positive.
    """
    diagonal = factor.inverse_diagonal()
    if repeats is None:
        return alpha / diagonal[:, None]
    return repeats.errors(alpha, diagonal, factor.damping)


def _unit(number):
    """Return 1, or a power of four near a number that is so large or small that squares fail."""
    if not number > 0 or 1 / _LARGE <= number <= _LARGE:
        return 1.0
    return 4.0 ** (np.frexp(number)[1] // 2)


def _squared_errors(G, columns, roots, mus, size, repeats=None):
    """Sum_i w_i e_i^2 over the columns, for every mu in units of `size`: shape (len(mus),)."""
    B = G / size * roots * roots[:, None]  # 1 / size may overflow where G / size does not
    if len(mus) == 1:
        sums = _factored_sum(B, columns, roots, mus, repeats)
        if sums is not None:
            return sums
    eigenvalues, V = np.linalg.eigh(B)  # of the lower half
    inverse = 1 / (np.maximum(eigenvalues, 0.0)[:, None] + mus)
    diagonal = np.square(V) @ inverse
    total = np.zeros(len(mus))
    for c, beta in enumerate((V.T @ (roots[:, None] * columns)).T):
        solutions = V @ (beta[:, None] * inverse)
        if repeats is None:
            total += np.square(solutions / diagonal).sum(axis=0)
        else:
            total += _sums_of_squares(repeats, c, roots, mus, solutions, diagonal)
    return total


def _factored_sum(B, columns, roots, mus, repeats):
    """The same for a single mu by one Cholesky factor; None where it may lose too much."""
    factor = DampedCholesky(B, mus[0])
    if factor.singular:
        return None
    solutions, diagonal = factor._solve(roots[:, None] * columns), factor.inverse_diagonal()
    diagonal = diagonal[:, None]
    if repeats is None:
        return np.array([np.square(solutions / diagonal).sum()])
    each = enumerate(solutions.T)
    return sum(_sums_of_squares(repeats, c, roots, mus, x[:, None], diagonal) for c, x in each)


def _sums_of_squares(repeats, c, roots, mus, solutions, diagonal):
    """Sum_j w_j e_j^2 for every mu, from (B + mu)^-1 W^1/2 r and the diagonal of (B + mu)^-1."""
    one = repeats.columns(slice(c, c + 1))
    sums = np.empty(len(mus))
    for k, mu in enumerate(mus):  # one at a time: there may be many more observations than points
        alpha, inverse_diagonal = roots * solutions[:, k], roots**2 * diagonal[:, k]
        errors = one.errors(alpha[:, None], inverse_diagonal, mu)[:, 0]
        sums[k] = one.weights @ np.square(errors)
    return sums


def weights_of(repeats, weights):
    """Weights of the points; refuse those that are not the totals of their observations."""
    if repeats is None:
        return weights
    if weights is not None and not np.array_equal(weights, repeats.totals):
        raise ValueError("weights must be the totals of repeats; got others.")
    return repeats.totals


def require_deviations(repeats, R):
    """Refuse observations of other points or targets than those of R (n, C)."""
    if repeats is None:
        return
    shape = len(repeats.totals), repeats.deviations.shape[1]
    if shape != R.shape:
        raise ValueError(f"repeats must have points and targets {R.shape}; got {shape}.")


def _checked(grams, r, weights):
    """Gram matrices, r as (n, C), and the square roots of the weights, trusted."""
    r = as_array(r, "r")
    R = as_matrix(r[:, None] if r.ndim == 1 else r, "r", dtype=np.float64)
    n, n_outputs = R.shape
    if not isinstance(grams, (tuple, list, np.ndarray)) or getattr(grams, "ndim", 1) == 0:
        raise TypeError(f"grams must be a sequence of matrices; got {type(grams).__name__}.")
    grams = [as_gram(G, f"grams[{i}]", size=n) for i, G in enumerate(grams)]
    if len(grams) not in (1, n_outputs):
        raise ValueError(
            f"grams must have 1 or {n_outputs} matrices, one per column of r; got {len(grams)}."
        )
    for i, G in enumerate(grams):
        if not np.isfinite(np.tril(G)).all():
            raise ValueError(f"grams[{i}] must be finite; got NaN or infinite entries.")
    return grams, R, np.ones(n) if weights is None else np.sqrt(sample_weights(weights, n))


def candidates(grid):
    """Return the grid as a rising vector of positive numbers; None is the default one."""
    if grid is None:
        return _GRID
    grid = as_vector(grid, "grid", dtype=np.float64)
    if grid.min() <= 0:
        raise ValueError(f"grid must be positive; got {grid.min()}.")
    return np.sort(grid)
