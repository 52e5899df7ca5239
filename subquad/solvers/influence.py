"""What the factor of a fit also knows: the influence of its observations, and what it is sure of.

A linearised fit minimises sum_i w_i (r_i - f_i)^2 + mu ||dW||^2, so that f = G al with
al = M^-1 r, M = G + mu W^-1, and f_* = K_* al at other points. An observation j with the share s_j
of the weight of its point p is missed, when it is left out, by

    e_j = (r_j - f_p) / (1 - s_j S_pp),   S = G M^-1,   1 - S_pp = mu (M^-1)_pp / w_p,

which for s_j = 1 is al_p / (M^-1)_pp: see `loo_residuals`. Without it every prediction is another,

    f_*^(-j) - f_* = -s_j K_* M^-1[:, p] e_j.

Where outputs are coupled, a point is a block of C rows of J, e_j a vector and S_pp a C x C block.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from subquad._validation import as_matrix, as_vector, require_memory
from subquad.jacobian import Jacobian, kept_gram
from subquad.solvers._left_out import left_out

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from subquad.solvers._repeats import Repeats


# Memory is asked for only above so many bytes: the question itself takes time.
_ALWAYS_THERE = 2**26


def influence(
    gram: ArrayLike | Jacobian,
    r: ArrayLike,
    damping: float,
    cross: ArrayLike | Jacobian | None = None,
    *,
    weights: ArrayLike | None = None,
    repeats: Repeats | None = None,
) -> NDArray[np.float64]:
    """Return by how much each prediction changes when one observation is left out of the fit.

    out[i, j] = f^(-j)(x_i) - f(x_i) = -s_j (K_* M^-1)_ip e_j, exact for the linearised fit

    Parameters
    ----------
    gram : array_like, shape (n, n) or (n C, n C), or Jacobian
        G, of which only the lower half is read, or J with G = J J^T. n rows stand for all outputs
        alike; n C rows (i, c) couple the outputs.
    r : array_like, shape (n,) or (n, C)
        What the linearised fit is fitted to: for a Gauss-Newton step, y - f + J vec(W - W(0)). With
        `repeats`, the mean targets of the points.
    damping : float, at least 0
        mu.
    cross : array_like, shape (k, n) or (k C, n C), or Jacobian, optional
        K_* between k other points and those of the fit, or the Jacobian at these. The points of
        the fit by default, K_* = G.
    weights : array_like, shape (n,), optional
        Sample weights, at least 0. Where 0, the point is not in the fit and has no influence.
    repeats : Repeats, optional
        The observations that the points stand for, which are then what is left out; `weights` are
        their totals. Each is left out with its whole weight, also where weights are counts.

    Returns
    -------
    ndarray of float64, shape (k, n_observations) or (k, n_observations, C)
        In the units of r, with the outputs last where r has two dimensions.

    Raises
    ------
    TypeError, ValueError
        If an argument has a wrong kind or shape or is not finite; ValueError also if M is singular.
    MemoryError
        If the result does not fit.

    Notes
    -----
    n^3 / 3 operations for the factor, as much for the diagonal of its inverse and 2 n^2 k for
    M^-1 K_*^T; (n C)^3 where outputs are coupled. mu and the linearisation are held: the network
    whose training has left out an observation also moves its linearisation.

    Allen (1974) for e_j; Koh and Liang (2017), whose influence is the derivative with respect to
    w_j, would have r_j - f_p in place of e_j: too little by the factor 1 - s_j S_pp.

    Examples
    --------
    >>> G = np.array([[2.0, 1.0], [1.0, 2.0]])
    >>> influence(G, [1.0, 1.0], 2.0).round(9)  # f is 0.6; of one point, 0.5 and 0.25
    array([[-0.35, -0.1 ],
           [-0.1 , -0.35]])
    """
    return influence_as("damping", gram, r, damping, cross, weights=weights, repeats=repeats)


def influence_as(name, gram, r, damping, cross=None, *, weights=None, repeats=None):
    """Return `influence`, with messages that call the damping by another name."""
    fit = left_out(gram, r, damping, weights, repeats, whole=True, name=name)
    K = _cross(cross, gram, fit)
    k, n_observations, C = len(K) // fit.size, len(fit.points), fit.errors.shape[1]
    n_bytes = 8 * k * C * max(n_observations, fit.factor.n)
    if n_bytes > _ALWAYS_THERE:
        what = f"Influences of shape {(k, n_observations, C)}"
        require_memory(n_bytes, what, "Give fewer points at a time as cross.")
    paths = fit.factor._solve(np.ascontiguousarray(K.T)).reshape(-1, fit.size, k, fit.size)
    errors = -fit.shares[:, None] * fit.errors
    if fit.size == 1:
        out = np.einsum("jk,jc->kjc", paths[fit.points, 0, :, 0], errors)
    else:
        out = np.einsum("jakc,ja->kjc", paths[fit.points], errors)
    _require_finite(out)
    return out[:, :, 0] if np.ndim(r) == 1 else out


def predictive_variance(
    gram: ArrayLike | Jacobian,
    r: ArrayLike,
    damping: float,
    cross: ArrayLike | Jacobian,
    prior: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    repeats: Repeats | None = None,
    noise: bool = True,
) -> NDArray[np.float64]:
    """Return the variance of a new observation at each of some points.

    out_ic = s_c^2 (k_i - (K_* M^-1 K_*^T)_ii) + s_c^2 rho_c / w,   rho_c >= mu

    Parameters
    ----------
    gram, r, damping, weights, repeats
        As in `influence`. With repeats, each observation is left out as `loo_residuals` does.
    cross : array_like, shape (k, n) or (k C, n C), or Jacobian
        As in `influence`.
    prior : array_like, shape (k,) or (k C,)
        k_i, the diagonal of the Gram matrix of the new points.
    noise : bool
        Whether to add the second term, the variance of the noise. Without it, what is returned is
        how sure the function itself is.

    Returns
    -------
    ndarray of float64, shape (k,) or (k, C)
        In squared units of r.

    Raises
    ------
    TypeError, ValueError
        As `influence`; ValueError also if mu is 0 where points stand for several observations,
        whose noise would have no variance.

    Notes
    -----
    Linearised Laplace, or the posterior of a Gaussian process with the covariance s^2 G and noise
    of variance s^2 mu / w_j: Rasmussen and Williams (2006), equations 2.26 and 5.12. The scale s,
    which mu does not tell, makes the mean square of the leave-one-out errors, in units of their own
    deviations, equal to 1, for each output by itself. The noise, s^2 rho / w_j, is that of largest
    leave-one-out likelihood (their Section 5.4.2) from rho = mu upwards, and none if mu = 0: a mu
    that predicts best may be far too small for it, as repeated points show. The new observation
    has the mean weight of those of the fit, so that no scale of the weights matters; where they are
    counts, that of one.

    Examples
    --------
    >>> cross, prior = [[1.0, 0.0], [0.0, 0.0]], [1.0, 1.0]  # at a point of the fit, and far away
    >>> predictive_variance(np.eye(2), [1.0, -1.0], 0.0, cross, prior)
    array([0., 1.])
    """
    return predictive_variance_as(
        "damping", gram, r, damping, cross, prior, weights=weights, repeats=repeats, noise=noise
    )


def predictive_variance_as(
    name, gram, r, damping, cross, prior, *, weights=None, repeats=None, noise=True
):
    """Return `predictive_variance`, with messages that call the damping by another name."""
    fit = left_out(gram, r, damping, weights, repeats, whole=False, name=name)
    K = _cross(cross, gram, fit)
    prior = as_vector(prior, "prior", size=len(K), dtype=np.float64)
    if fit.factor.damping == 0 and (fit.shares < 1).any():
        raise ValueError(
            f"{name} must be positive where points stand for several observations; got 0.0."
        )
    paths = fit.factor._solve(np.ascontiguousarray(K.T))
    left = prior - np.einsum("ij,ji->i", K, paths)
    # Rounding may leave less than nothing of a point that the fit knows.
    left = np.maximum(left, 0.0).reshape(-1, fit.size)
    scales, noises = fit.scales()
    out = scales * (left + (noises / fit.unit_weight if noise else 0.0))
    _require_finite(out)
    return out[:, 0] if np.ndim(r) == 1 else out


def _cross(cross, gram, fit):
    """Return K_* as a trusted matrix; all of G by default."""
    if cross is None:
        G = np.asarray(kept_gram(gram) if isinstance(gram, Jacobian) else gram, np.float64)
        return np.tril(G) + np.tril(G, -1).T
    if isinstance(cross, Jacobian):
        if not isinstance(gram, Jacobian):
            raise TypeError("cross must be a matrix where gram is one; got a Jacobian.")
        cross = cross.gram(gram)
    cross = as_matrix(cross, "cross", n_columns=fit.factor.n, dtype=np.float64)
    if len(cross) % fit.size:
        raise ValueError(f"cross must have a multiple of {fit.size} rows; got {len(cross)}.")
    return cross


def _require_finite(out):
    """Refuse a result that has overflowed."""
    if not np.isfinite(out).all():
        raise ValueError("r must be smaller; got numbers with which the result overflows float64.")
