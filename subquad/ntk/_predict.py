"""Regression by the kernels of infinitely wide networks."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.linalg import solve_triangular
from scipy.linalg.lapack import dpocon

from subquad._parallel import blocks, resolve_threads
from subquad._shapes import MAX_DEPTH
from subquad._validation import as_array, as_matrix, integer, one_of, real, require_memory
from subquad.ntk._dual import as_dual
from subquad.ntk._panels import limit_kernels
from subquad.ntk._points import as_points

if TYPE_CHECKING:
    from typing import Literal

    from numpy.typing import ArrayLike, DTypeLike

    from subquad._typing import FloatArray, MatrixLike
    from subquad.ntk._dual import DualLike


_KERNELS = ("ntk", "nngp")
# A kernel's entries carry a few roundings each: points count as one where their correlation is 1
# to so many units in the last place.
_PARALLEL = 16
# A matrix is singular where its smallest eigenvalue is at most so many times n eps max A_ii.
_SINGULAR = 8
# The eigenvalues are computed where LAPACK's estimate of 1 / |A^-1|, which may be larger than the
# smallest of them or smaller by sqrt(n), is below so many times that limit.
_DOUBTFUL = 10
_ENTRIES_PER_BLOCK = 2**22


class Prediction(NamedTuple):
    """What a network of infinite width predicts: mean, and variance if it was asked for."""

    mean: FloatArray
    variance: FloatArray | None


def predict(
    X: MatrixLike,
    y: ArrayLike,
    X_test: MatrixLike,
    depth: int = 1,
    activation: DualLike | None = None,
    *,
    kernel: Literal["ntk", "nngp"] = "ntk",
    regularization: float = 0.0,
    return_variance: bool = False,
    dtype: DTypeLike | None = None,
    n_threads: int | None = None,
) -> Prediction:
    """Predict by kernel ridge regression with a kernel of infinite width.

    mean = T_* (T + mu I)^-1 y,  T the kernel of X and T_* that between X_test and X.

    Parameters
    ----------
    X : array_like or sparse array, shape (n, d)
    y : array_like, shape (n,) or (n, n_outputs)
    X_test : array_like or sparse array, shape (k, d)
    depth, activation, dtype, n_threads
        As in `ntk`.
    kernel : {"ntk", "nngp"}
        "ntk": `ntk`, the limit of training all layers by gradient descent, to its end for mu = 0.
        "nngp": K_L, the Gaussian process that the network is at initialisation; mu is then the
        variance of the noise.
    regularization : float, at least 0
        mu.
    return_variance : bool
        For "nngp", the posterior variance of the function. For "ntk", the variance of the trained
        network over its initialisation.

    Returns
    -------
    Prediction
        (mean, variance): mean of the shape of y; variance of shape (k,), the same for all outputs,
        or None.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described; ValueError also, with the smallest eigenvalue, if
        T + mu I is not positive definite.
    MemoryError
        If the kernels do not fit.

    Notes
    -----
    n^3 / 3 operations and two n x n matrices. Variances: Rasmussen and Williams (2006), equation
    2.26; Lee et al. (2019), equation 16 at the end of training.

    Examples
    --------
    >>> X, y = np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([1.0, -1.0])
    >>> mean, variance = predict(X, y, X, kernel="nngp", return_variance=True)
    >>> mean.round(9), bool(abs(variance).max() < 1e-9)
    (array([ 1., -1.]), True)
    """
    one_of(kernel, "kernel", _KERNELS)
    depth, mu = (
        integer(depth, "depth", maximum=MAX_DEPTH),
        real(regularization, "regularization", minimum=0.0),
    )
    dual, n_threads = as_dual(activation), resolve_threads(n_threads)
    points = as_points(X, "X", dtype=dtype)
    y = as_array(y, "y")
    T = as_matrix(y[:, None] if y.ndim == 1 else y, "y", n_rows=len(points), dtype=np.float64)
    dense = not points.sparse
    tests = as_points(X_test, "X_test", dtype=points.dtype, n_columns=points.n_columns, dense=dense)
    if tests.sparse != points.sparse:
        points = as_points(X, "X", dtype=dtype, dense=True)
    of_initialisation = kernel == "ntk" and return_variance
    kinds = ["ntk" if kernel == "ntk" else depth] + [depth] * of_initialisation
    inside = limit_kernels(points, None, dual, depth, kinds, n_threads)
    across = limit_kernels(tests, points, dual, depth, kinds, n_threads)
    factor = cholesky(inside[0], mu, "kernel")
    half = solve_triangular(factor, across[0].T.astype(np.float64), lower=True, check_finite=False)
    mean = half.T @ solve_triangular(factor, T, lower=True, check_finite=False)
    variance = None
    if return_variance:
        prior = _diagonal(tests, dual, depth)
        if kernel == "nngp":
            variance = prior - np.einsum("ij,ij->j", half, half)
        else:
            weights = solve_triangular(factor, half, trans=1, lower=True, check_finite=False)
            spread = inside[1] @ weights - 2 * across[1].T
            variance = prior + np.einsum("ij,ij->j", weights, spread)
        variance = np.maximum(variance, 0.0)  # what rounding leaves of zero
    return Prediction(mean[:, 0] if y.ndim == 1 else mean, variance)


def _diagonal(points, dual, depth):
    """K_L(x, x) for each point."""
    squares = np.square(points.norms)
    for _ in range(depth):
        squares = dual._second_moments(np.sqrt(squares))
    return squares


def cholesky(kernel, mu, name):
    """Return the lower factor of kernel + mu I, in float64; refuse one that is not positive."""
    n = len(kernel)
    require_memory(16 * n * n, f"{name} and its factor", "Take fewer rows.")
    A = kernel.astype(np.float64)
    A.flat[:: n + 1] += mu
    eps, largest = float(np.finfo(kernel.dtype).eps), float(A.diagonal().max())
    tiny = _SINGULAR * n * float(np.finfo(np.float64).eps) * largest
    pair, factor = _parallel_pair(A, _PARALLEL * eps), None
    with contextlib.suppress(np.linalg.LinAlgError):
        factor = np.linalg.cholesky(A) if pair is None else None
    if factor is not None and dpocon(factor.T, 1.0)[0] > _DOUBTFUL * tiny:
        return factor
    smallest = float(np.linalg.eigvalsh(A)[0])
    if factor is not None and smallest > tiny:
        return factor
    enough = max(n * eps * largest, 2 * tiny, -2 * smallest)
    rows = "repeated rows" if pair is None else f"repeated rows, such as {pair[0]} and {pair[1]}"
    raise ValueError(
        f"{name} must be positive definite; got the smallest eigenvalue {smallest:.3g} with "
        f"regularization={mu:.3g}. Remove {rows}, use float64, or give a regularization of "
        f"about {enough:.1g} or more."
    )


def _parallel_pair(A, tolerance):
    """Return two rows of points with A_ij / sqrt(A_ii A_jj) = 1 to rounding, or None.

    Rows that repeat, or for a homogeneous kernel are multiples, make A singular however Cholesky's
    sums are rounded: the last pivot is then noise, of a size that no bound tells from a small one.
    """
    with np.errstate(divide="ignore"):
        scale = 1 / np.sqrt(A.diagonal())
    for rows in blocks(len(A), _ENTRIES_PER_BLOCK // len(A)):
        correlations = A[rows] * scale[rows, None] * scale
        first = np.arange(rows.start, rows.stop)
        correlations[first - rows.start, first] = 0.0
        near = np.argmax(correlations)
        if correlations.flat[near] >= 1 - tolerance:
            i, j = np.unravel_index(near, correlations.shape)
            return tuple(sorted((int(i) + rows.start, int(j))))
    return None
