"""Scales of the features that make the targets likely, under a Gaussian process."""

from dataclasses import dataclass

import numpy as np
from scipy.linalg.lapack import dpotri

from subquad._kernels import cholesky
from subquad.ntk import ntk_and_slope

# Use at most so many rows: one evaluation of the likelihood takes n^3 operations.
MOST_ROWS = 1024
# Of fewer distinct rows than these for each feature, no scales are learned by default.
ROWS_PER_FEATURE = 2
MOST_STEPS = 60
# The single factor of all features, from which theirs are sought, need not be exact.
_MOST_SHARED_STEPS = 15
# Stop at this relative decrease of a cost in the hundreds or thousands, which is far below one
# unit of log likelihood.
_TOLERANCE = 1e-6
# Keep the logarithm of a factor within this bound: a feature of factor exp(-5) is all but left out.
_LARGEST_LOG = 5.0
_LOG_NOISE = (-16.0, 2.0)
_FIRST_LOG_NOISE = np.log(1e-2)


@dataclass(frozen=True)
class LikelyFactors:
    """A factor for each feature, and what the factors are worth.

    Attributes
    ----------
    factors : ndarray, shape (n_features,)
    gain : float
        By how much the log marginal likelihood exceeds that of one factor for all features.
    price : float
        d log(n) / 2: the gain that d numbers learned from n rows must have to be worth keeping
        (Schwarz, 1978).
    """

    factors: np.ndarray
    gain: float
    price: float

    @property
    def pay(self):
        """Whether the factors are worth keeping."""
        return self.gain > self.price


def likely_factors(rows, T, weights, depth, activation, n_threads=None):
    """Return `LikelyFactors` of all columns of the rows but the last, the constant coordinate.

    Maximises the marginal likelihood of the targets T (n, C) under covariances a (Theta + mu / w_i)
    of tangent kernels of the weighted rows, times exp(-|l - mean(l)|^2 / 2), l being the logarithms
    of the factors: over l and mu, a in closed form, by L-BFGS. The second term keeps features
    alike that the targets say little about.
    """
    if len(rows) > MOST_ROWS:
        some = np.random.default_rng(0).permutation(len(rows))[:MOST_ROWS]
        rows, T, weights = rows[some], T[some], weights[some]
    kept = weights > 0
    data = rows[kept], T[kept], weights[kept], depth, activation, n_threads
    n_factors = rows.shape[1] - 1
    price = n_factors / 2 * np.log(np.count_nonzero(kept))
    if not T.any():  # constant targets: every scale explains them
        return LikelyFactors(np.ones(n_factors), 0.0, price)
    shared = _minimum(_shared_cost, [0.0, _FIRST_LOG_NOISE], data, _MOST_SHARED_STEPS)
    start = np.append(np.full(n_factors, shared.x[0]), shared.x[1])
    found = _minimum(_penalised_cost, start, data, MOST_STEPS)
    spread = found.x[:-1] - found.x[:-1].mean()
    gain = float(shared.fun - found.fun + 0.5 * spread @ spread)
    return LikelyFactors(np.exp(found.x[:-1]), gain, float(price))


def _minimum(cost, start, data, most_steps):
    """What L-BFGS finds, within the bounds of the logarithms and of the noise's."""
    from scipy.optimize import minimize  # which takes longer to import than many a fit

    bounds = [(-_LARGEST_LOG, _LARGEST_LOG)] * (len(start) - 1) + [_LOG_NOISE]
    options = {"maxiter": most_steps, "ftol": _TOLERANCE}
    return minimize(cost, start, data, jac=True, method="L-BFGS-B", bounds=bounds, options=options)


def _shared_cost(parameters, rows, *data):
    """The cost of one factor for all features, and its gradient."""
    each = np.append(np.full(rows.shape[1] - 1, parameters[0]), parameters[1])
    cost, gradient = _cost(each, rows, *data)
    return cost, np.array([gradient[:-1].sum(), gradient[-1]])


def _penalised_cost(parameters, *data):
    """The cost and half the squared distance of the logarithms from their mean."""
    cost, gradient = _cost(parameters, *data)
    spread = parameters[:-1] - parameters[:-1].mean()
    return cost + 0.5 * spread @ spread, gradient + np.append(spread, 0.0)


def _cost(parameters, rows, T, weights, depth, activation, n_threads):
    """Minus the log marginal likelihood but for constants, and its gradient."""
    factors, noise = np.append(np.exp(parameters[:-1]), 1.0), np.exp(parameters[-1]) / weights
    units = rows * factors
    units /= np.linalg.norm(units, axis=1)[:, None]
    r, M, slope = ntk_and_slope(units, depth, activation, n_threads)
    M.flat[:: len(M) + 1] += noise
    if cholesky.factor(M):
        return np.inf, np.zeros_like(parameters)
    factor = M
    log_det = 2 * np.log(factor.diagonal()).sum()
    inverse, _ = dpotri(factor.T, lower=0, overwrite_c=True)
    inverse = np.triu(inverse) + np.triu(inverse, 1).T
    alpha = inverse @ T
    misfit, n_targets = float(np.sum(alpha * T)), T.size
    cost = 0.5 * (n_targets * np.log(misfit / n_targets) + T.shape[1] * log_det)
    pull, fitted = inverse, alpha @ alpha.T  # from here on in place: matrices are read from memory
    pull *= T.shape[1]
    fitted *= n_targets / misfit
    pull -= fitted
    at_noise = 0.5 * pull.diagonal() @ noise
    bent = np.multiply(pull, slope, out=pull)
    gradient = (units * (bent @ units)).sum(axis=0)
    gradient -= np.multiply(bent, r, out=r).sum(axis=1) @ np.square(units)
    return cost, np.append(gradient[:-1], at_noise)
