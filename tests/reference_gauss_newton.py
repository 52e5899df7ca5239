"""Gauss-Newton by its definition: explicit Jacobians, eigenvalues, float64, plain numpy.

A layer is a `reference_network.Layer`. Key: [SZZ24] Song, Zhang, Zhang. "Corrected" marks a printed
formula that does not hold as it stands; the docstring then says what is used instead.
"""

from dataclasses import dataclass

import numpy as np


# ---- Gauss-Newton
def solve(G, mu, r):
    """Return (G + mu I)^-1 r; a pseudo-inverse that drops lambda <= n eps lambda_max."""
    values, vectors = np.linalg.eigh(G)
    values = values + mu
    keep = values > len(G) * np.finfo(float).eps * values[-1]
    return vectors[:, keep] @ ((vectors[:, keep].T @ r) / values[keep])


def gauss_newton(layer, y, n_steps):
    """W <- W - J^T (J J^T)^+ (f - y) ([SZZ24] Algorithm 2, sign corrected); (norms of f - y, W)."""
    W, y = layer.W.copy(), np.reshape(y, (len(layer.V), -1))
    norms = [np.linalg.norm(layer.outputs(W) - y)]
    for _ in range(n_steps):
        J = layer.jacobian(W)
        g = solve(J @ J.T, 0.0, (layer.outputs(W) - y).ravel())
        W = W - (J.T @ g).reshape(W.shape)
        norms.append(np.linalg.norm(layer.outputs(W) - y))
    return np.array(norms), W


@dataclass(frozen=True)
class Descent:
    """One run: norm (or objective) of each accepted iterate, what each step used, the best W."""

    norms: np.ndarray
    steps: np.ndarray  # the damping of each step, or its length
    W: np.ndarray
    n_evaluations: int


def levenberg_marquardt(layer, y, max_steps, tol=1e-10):
    """Non-monotone Levenberg-Marquardt: damped only where a step beats none of the last 5 norms.

    accept if |r+| <= (1 - 1e-4) max(last 5 |r|); mu starts at 0; on rejection
    mu = max(10 mu, 1e-8 tr(G)/n), at most 12 tries; on acceptance mu / 10, and 0 below
    1e-9 tr(G)/n; the best iterate is returned; stop after 20 accepted steps without 0.1 % gain.
    """
    W, y, mu, evaluations = layer.W.copy(), np.reshape(y, (len(layer.V), -1)), 0.0, 1
    r = (layer.outputs(W) - y).ravel()
    norms, dampings, best, since_gain = [np.linalg.norm(r)], [], W, 0
    while len(dampings) < max_steps and min(norms) > tol * norms[0] and since_gain < 20:
        J = layer.jacobian(W)
        G = J @ J.T
        mean = np.trace(G) / len(G)
        for _ in range(12):
            trial = W - (J.T @ solve(G, mu, r)).reshape(W.shape)
            r_trial = (layer.outputs(trial) - y).ravel()
            evaluations += 1
            if np.linalg.norm(r_trial) <= (1.0 - 1e-4) * max(norms[-5:]):
                break
            mu = max(10.0 * mu, 1e-8 * mean)
        else:
            break
        W, r = trial, r_trial
        dampings.append(mu)
        mu = mu / 10.0 if mu / 10.0 >= 1e-9 * mean else 0.0
        since_gain = 0 if np.linalg.norm(r) < (1.0 - 1e-3) * min(norms) else since_gain + 1
        if np.linalg.norm(r) < min(norms):
            best = W
        norms.append(np.linalg.norm(r))
    return Descent(np.array(norms), np.array(dampings), best, evaluations)


# ---- regularised Gauss-Newton
def objective(layer, W, y, mu, weights=None):
    """sum_i w_i |y_i - f_i(W)|^2 + mu ||W - W(0)||_F^2."""
    r = np.reshape(y, (len(layer.V), -1)) - layer.outputs(W)
    w = np.ones(len(r)) if weights is None else np.asarray(weights, dtype=float)
    return float(w @ np.square(r).sum(axis=1) + mu * np.square(W - layer.W).sum())


def regularised_step(layer, W, y, mu, weights=None):
    """Return the minimiser of the objective with f replaced by its linearisation at W."""
    J = layer.jacobian(W)
    n_outputs = len(layer.readout)
    r = (np.reshape(y, (len(layer.V), -1)) - layer.outputs(W)).ravel()
    target = r + J @ (W - layer.W).ravel()
    root = np.sqrt(
        np.repeat(np.ones(len(J) // n_outputs) if weights is None else weights, n_outputs)
    )
    g = np.linalg.solve(root[:, None] * (J @ J.T) * root + mu * np.eye(len(r)), root * target)
    return layer.W + (J.T @ (root * g)).reshape(W.shape)


def regularised_descent(layer, y, mu, n_steps, weights=None):
    """Regularised steps, each halved until the objective falls; stop where it cannot."""
    W = layer.W.copy()
    values, lengths = [objective(layer, W, y, mu, weights)], []
    for _ in range(n_steps):
        direction = regularised_step(layer, W, y, mu, weights) - W
        for length in 0.5 ** np.arange(40):
            value = objective(layer, W + length * direction, y, mu, weights)
            if value < values[-1]:
                break
        else:
            break
        W = W + length * direction
        values.append(value)
        lengths.append(length)
    return Descent(np.array(values), np.array(lengths), W, len(values))


def leave_one_out(G, r, mu):
    """Residual of each data point under the fit that never saw it, by n separate fits."""
    n = len(G)
    residuals = np.empty(n)
    for i in range(n):
        rest = np.delete(np.arange(n), i)
        alpha = np.linalg.solve(G[np.ix_(rest, rest)] + mu * np.eye(n - 1), r[rest])
        residuals[i] = r[i] - G[i, rest] @ alpha
    return residuals
