"""Convex objectives for `fast_newton`: generalised linear models with an L2 penalty."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np
import scipy.sparse
from scipy.special import expit

from subquad._parallel import resolve_threads
from subquad._validation import as_array, as_vector, even_array, real
from subquad.solvers._tall.dense import DenseTall
from subquad.solvers._tall.matrices import SparseTall, as_tall

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import ArrayLike, NDArray

    from subquad._typing import FloatArray, MatrixLike
    from subquad.jacobian import KhatriRao


_PARAMETERS = """
    f(x) = sum_i w_i loss(eta_i, y_i) + l2 / 2 ||x||^2 with eta = X x.

    Parameters
    ----------
    X : array_like or sparse array, shape (N, d)
        The design: row i is data point i. Copied if it is sparse.
    y : array_like, shape (N,)
        {targets}
    l2 : float, at least 0
        {meaning}
    intercept : bool
        Whether eta = X x[:d] + x[d]; x[d] is not penalised.
    sample_weight : array_like, shape (N,), optional
        w, none negative. Default: 1.
    n_threads : int, optional
        Threads among which the rows of a dense X are divided, in `fast_newton` too.

    Attributes
    ----------
    n_parameters : int
        k: d, or d + 1 with an intercept.
    damping : ndarray, shape (k,)
        l2, and 0 for the intercept: the Hessian is B^T B + diag(damping), B = `sqrt_hessian`.

    Raises
    ------
    TypeError, ValueError
        If an argument has a wrong kind, shape or value, or is not finite.
"""


class Objective(Protocol):
    """What `fast_newton` minimises: f with Hessian B(x)^T B(x) + diag(damping).

    Attributes
    ----------
    n_parameters : int
        k.
    damping : float or ndarray, shape (k,)
        At least 0.
    """

    @property
    def n_parameters(self) -> int:
        """Return k."""

    @property
    def damping(self) -> float | FloatArray:
        """Return the diagonal that is added to B^T B."""

    def value(self, x: FloatArray) -> float:
        """Return f(x), a float; infinite or NaN where f is not defined."""

    def gradient(self, x: FloatArray) -> FloatArray:
        """Return the gradient at x, shape (k,)."""

    def sqrt_hessian(self, x: FloatArray) -> Any:
        """Return B(x), shape (N, k): anything that `fast_regression` takes for A."""


# A linear predictor is known to so many units in the last place.
_ROUNDINGS = 4


class _LinearModel:
    """What the losses share."""

    def __init__(
        self,
        X: MatrixLike | KhatriRao,
        y: ArrayLike,
        *,
        l2: float = 1.0,
        intercept: bool = False,
        sample_weight: ArrayLike | None = None,
        n_threads: int | None = None,
    ) -> None:
        tall = as_tall(X, "X", resolve_threads(n_threads))
        if not isinstance(tall, (DenseTall, SparseTall)):
            raise TypeError(f"X must be an array or a sparse array; got {type(X).__name__}.")
        self._tall = _with_ones(tall) if intercept else tall
        n, k = self._tall.shape
        self.n_parameters, self.intercept = k, bool(intercept)
        self.y = self._checked(_as_floats(y, "y", n))
        self.damping = np.full(k, real(l2, "l2", minimum=0.0))
        if intercept:
            self.damping[-1] = 0.0
        self.weights = None if sample_weight is None else _as_weights(sample_weight, n)
        self._seen = None, None

    def value(self, x: ArrayLike) -> float:
        """Return f(x); infinite where it overflows."""
        x = self._as_parameters(x)
        with np.errstate(over="ignore", invalid="ignore"):
            losses = self._losses(self.predictor(x))
            total = losses.sum() if self.weights is None else self.weights @ losses
            return float(total + 0.5 * x @ (self.damping * x))

    def gradient(self, x: ArrayLike) -> NDArray[np.float64]:
        """Return the gradient at x, shape (k,)."""
        x = self._as_parameters(x)
        return self._tall.transposed(self._weighted(self._slopes(self.predictor(x)))) + (
            self.damping * x
        )

    def sqrt_hessian(self, x: ArrayLike) -> Any:
        """Return diag(sqrt(w h)) X, h the second derivatives of the loss: a matrix like X."""
        weighted = self._weighted_design(x)
        return weighted.dense() if isinstance(weighted, DenseTall) else weighted.scaled()

    def predictor(self, x: ArrayLike) -> NDArray[np.float64]:
        """Return eta, shape (N,)."""
        x = self._as_parameters(x)
        seen, eta = self._seen
        if seen is None or not np.array_equal(seen, x):
            eta = self._tall.multiply(x)
            self._seen = x.copy(), eta
        return eta

    def _as_parameters(self, x):
        """Return x in trusted form; a step may have left what is finite."""
        x = as_array(x, "x", np.float64)
        if x.shape != (self.n_parameters,):
            raise ValueError(f"x must have shape ({self.n_parameters},); got {x.shape}.")
        return x

    def _displacement(self, p):
        """Return by how much a step p moves a prediction at most, in units of eta."""
        return float(np.abs(self._tall.multiply(p)).max())

    def _rounding(self, x):
        """Return the decrement that a rounding of every eta by a few units in the last place is."""
        eta = self.predictor(x)
        curvatures = self._weighted(self._curvatures(eta))
        return float(curvatures @ np.square(_ROUNDINGS * np.finfo(np.float64).eps * eta)) / 2

    def _weighted_design(self, x):
        """sqrt_hessian(x) as the solvers take it, without a copy of X."""
        return self._tall.weighted(self._weighted(self._curvatures(self.predictor(x))))

    def _weighted(self, v):
        return v if self.weights is None else self.weights * v

    def _checked(self, y):
        """Targets that the loss is made for."""
        return y


def _documented(targets, meaning):
    """Put the parameters into the docstring of a class, before its examples."""

    def decorate(kind):
        parameters = _PARAMETERS.format(targets=targets, meaning=meaning)
        kind.__doc__ = kind.__doc__.replace("\n    Examples\n", f"{parameters}\n    Examples\n", 1)
        return kind

    return decorate


@_documented("0 or 1, of any real dtype.", "1 / C of scikit-learn's LogisticRegression.")
class Logistic(_LinearModel):
    """Logistic regression: loss = log(1 + exp(eta)) - y eta.

    Examples
    --------
    >>> f = Logistic(np.array([[1.0], [2.0]]), [0, 1], l2=0.5)
    >>> x = np.zeros(1)
    >>> round(f.value(x), 6), f.gradient(x), f.sqrt_hessian(x)[:, 0]
    (1.386294, array([-0.5]), array([0.5, 1. ]))
    """

    def _checked(self, y):
        if wrong := np.count_nonzero((y != 0) & (y != 1)):
            raise ValueError(f"y must be 0 or 1; got {wrong} other values.")
        return y

    def _losses(self, eta):
        return np.log1p(np.exp(-np.abs(eta))) + np.maximum(eta, 0.0) - self.y * eta

    def _slopes(self, eta):
        return expit(eta) - self.y

    def _curvatures(self, eta):
        p = expit(-np.abs(eta))
        return p * (1.0 - p)


@_documented("At least 0, such as counts.", "N alpha of scikit-learn's PoissonRegressor.")
class Poisson(_LinearModel):
    """Poisson regression: loss = exp(eta) - y eta + y log y - y, half the deviance.

    Examples
    --------
    >>> Poisson(np.ones((2, 1)), [1, 3], l2=0.0).gradient(np.zeros(1))
    array([-2.])
    """

    def _checked(self, y):
        if (y < 0).any():
            raise ValueError(f"y must be at least 0; got {y.min()}.")
        self._seen_counts = y > 0
        self._logs = np.log(y, out=np.zeros_like(y), where=self._seen_counts)
        return y

    def _losses(self, eta):
        """y (exp(t) - 1 - t) for t = eta - log y, whose terms do not cancel near t = 0."""
        fitted = self.y * _above_tangent(eta - self._logs)
        return np.where(self._seen_counts, fitted, np.exp(eta))

    def _slopes(self, eta):
        return np.exp(eta) - self.y

    def _curvatures(self, eta):
        return np.exp(eta)


@_documented("Real numbers.", "alpha of scikit-learn's Ridge.")
class LeastSquares(_LinearModel):
    """Ridge regression: loss = (eta - y)^2 / 2.

    Examples
    --------
    >>> LeastSquares(np.ones((2, 1)), [1, 3], l2=1.0).gradient(np.zeros(1))
    array([-4.])
    """

    def _losses(self, eta):
        return 0.5 * (eta - self.y) ** 2

    def _slopes(self, eta):
        return eta - self.y

    def _curvatures(self, eta):
        return np.ones_like(eta)


def _above_tangent(t):
    """Return exp(t) - 1 - t >= 0, to a few roundings of the result where |t| is small."""
    small = np.abs(t) < 0.1
    u = np.where(small, t, 0.0)
    series = 1.0
    for k in range(11, 2, -1):  # 1 + u / 3 (1 + u / 4 (1 + ...))
        series = 1.0 + u / k * series
    return np.where(small, u * u / 2 * series, np.expm1(t) - t)


def _with_ones(tall):
    """X with a column of ones at its end."""
    if isinstance(tall, DenseTall):
        return DenseTall(tall.A, ones=True, n_threads=tall.n_threads)
    X = scipy.sparse.hstack([tall.A, np.ones((tall.shape[0], 1))], format="csr")
    return SparseTall(scipy.sparse.csr_array(X))


def _as_floats(y, name, n):
    """Targets as float64; class labels may be integers or bools."""
    kind = getattr(getattr(y, "dtype", None), "kind", "f")
    if kind in "biu" or isinstance(y, (list, tuple)):
        y = even_array(y, name)
        y = y.astype(np.float64) if y.dtype.kind in "biuf" else y
    return as_vector(y, name, size=n, dtype=np.float64)


def _as_weights(sample_weight, n):
    w = _as_floats(sample_weight, "sample_weight", n)
    if (w < 0).any():
        raise ValueError(f"sample_weight must be at least 0; got {w.min()}.")
    return w
