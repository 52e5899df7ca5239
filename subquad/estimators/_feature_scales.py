"""Scales of the features that make the targets likely, under a Gaussian process."""

import numpy as np
from scipy.linalg.lapack import dpotri
from scipy.optimize import minimize

from subquad.ntk import ntk_and_slope

# Use at most so many rows: one evaluation of the likelihood takes n^3 operations.
_MOST_ROWS = 1024
_MOST_STEPS = 60
# Stop at this relative decrease of a cost in the hundreds or thousands, which is far below one
# unit of log likelihood.
_TOLERANCE = 1e-6
# Keep the logarithm of a factor within this bound: a feature of factor exp(-5) is all but left out.
_LARGEST_LOG = 5.0
_LOG_NOISE = (-16.0, 2.0)


def likely_factors(rows, T, weights, depth, activation, n_threads=None):
    """Return a factor for each feature but the last, the constant coordinate.

    Maximises the marginal likelihood of the targets T (n, C) under covariances a (Theta + mu / w_i)
    of tangent kernels of the weighted rows, over the factors and mu, a in closed form, by L-BFGS.
    """
    if len(rows) > _MOST_ROWS:
        some = np.random.default_rng(0).permutation(len(rows))[:_MOST_ROWS]
        rows, T, weights = rows[some], T[some], weights[some]
    kept = weights > 0
    data = rows[kept], T[kept], weights[kept], depth, activation, n_threads
    n_factors = rows.shape[1] - 1
    if not T.any():  # constant targets: every scale explains them
        return np.ones(n_factors)
    start = np.append(np.zeros(n_factors), np.log(1e-2))
    bounds = [(-_LARGEST_LOG, _LARGEST_LOG)] * n_factors + [_LOG_NOISE]
    found = minimize(
        _cost, start, data, jac=True, method="L-BFGS-B", bounds=bounds,
        options={"maxiter": _MOST_STEPS, "ftol": _TOLERANCE},
    )  # fmt: skip
    return np.exp(found.x[:-1])


def _cost(parameters, rows, T, weights, depth, activation, n_threads):
    """Minus the log marginal likelihood but for constants, and its gradient."""
    factors, noise = np.append(np.exp(parameters[:-1]), 1.0), np.exp(parameters[-1]) / weights
    units = rows * factors
    units /= np.linalg.norm(units, axis=1)[:, None]
    r, M, slope = ntk_and_slope(units, depth, activation, n_threads)
    M.flat[:: len(M) + 1] += noise
    try:
        factor = np.linalg.cholesky(M)
    except np.linalg.LinAlgError:
        return np.inf, np.zeros_like(parameters)
    inverse, _ = dpotri(factor.T, lower=0)
    inverse = np.triu(inverse) + np.triu(inverse, 1).T
    alpha = inverse @ T
    misfit, n_targets = float(np.sum(alpha * T)), T.size
    log_det = 2 * np.log(factor.diagonal()).sum()
    cost = 0.5 * (n_targets * np.log(misfit / n_targets) + T.shape[1] * log_det)
    pull = T.shape[1] * inverse - (n_targets / misfit) * (alpha @ alpha.T)
    bent = pull * slope
    gradient = (units * (bent @ units)).sum(axis=0) - (bent * r).sum(axis=1) @ np.square(units)
    return cost, np.append(gradient[:-1], 0.5 * pull.diagonal() @ noise)
