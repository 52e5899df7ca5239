"""Plain numpy twins of the two-layer network and of the printed iterations for its equation.

Papers by key: [BPSW21] equation 5 (network), Algorithm 1 (training), Algorithm 2 (regression);
[SZZ24] Theorem D.10 (sketch and solve). Dense Jacobians, no blocks, no bits.
"""

import numpy as np
from scipy.linalg import cho_solve, solve_triangular


def mask(X, W, shift=0.0):
    """D, shape (n, m): a neuron fires above shift * ||x_i|| (standard deviation of <w, x_i>)."""
    return X @ W.T > shift * np.linalg.norm(X, axis=1)[:, None]


def outputs(X, W, a, scale=1.0, shift=0.0):
    """f(x_i) = s sum_r a_r max(<w_r, x_i> - b ||x_i||, 0), shape (n, C); [BPSW21] (5)."""
    above = X @ W.T - shift * np.linalg.norm(X, axis=1)[:, None]
    return scale * np.maximum(above, 0) @ np.atleast_2d(a).T


def jacobian(X, W, a, scale=1.0, shift=0.0):
    """Rows vec(s a o d_i, x_i) of one output, shape (n, m d)."""
    U = scale * a * mask(X, W, shift)
    return (U[:, :, None] * X[:, None, :]).reshape(len(X), -1)


def gauss_newton(X, W, a, y, n_steps, scale=1.0, shift=0.0):
    """Return W after plain steps W <- W - J^T (J J^T)^-1 (f - y); [BPSW21] Algorithm 1."""
    for _ in range(n_steps):
        J = jacobian(X, W, a, scale, shift)
        r = outputs(X, W, a, scale, shift)[:, 0] - y
        W = W - (J.T @ np.linalg.solve(J @ J.T, r)).reshape(W.shape)
    return W


def regularised_step(X, W0, W, a, y, mu):
    """Return the minimiser of the linearised |f - y|^2 + mu ||W - W(0)||^2, one ReLU output."""
    J = jacobian(X, W, a)
    target = y - outputs(X, W, a)[:, 0] + J @ (W - W0).ravel()
    return W0 + (J.T @ np.linalg.solve(J @ J.T + mu * np.eye(len(X)), target)).reshape(W.shape)


def limit_gram(X):
    """Infinite-width G of the ReLU network on unit rows: <x, x'> (pi - angle) / 2 pi."""
    R = np.clip(X @ X.T, -1, 1)
    return R * (np.pi - np.arccos(R)) / (2 * np.pi)


def richardson(G, sketched, c, rtol, limit):
    """z <- z + Gt^-1 (c - G z). Return the number of steps, and the last relative residual."""
    factor, z = (np.linalg.cholesky(sketched), True), np.zeros(len(c))
    for step in range(limit):
        left = c - G @ z
        relative = np.linalg.norm(left) / np.linalg.norm(c)
        if not rtol < relative < 1e3:
            return step, relative
        z = z + cho_solve(factor, left)
    return limit, relative


def printed_descent(G, sketched, c, rtol, limit):
    """[BPSW21] Algorithm 2, line 7, R the inverse of the QR factor of the sketch (line 4).

    z <- z - B^T (B z - R^T c) with B = R^T G R, the answer being R z.
    """
    L, z = np.linalg.cholesky(sketched), np.zeros(len(c))
    B = solve_triangular(L, solve_triangular(L, G, lower=True).T, lower=True)
    b = solve_triangular(L, c, lower=True)
    for step in range(limit):
        x = solve_triangular(L, z, lower=True, trans=1)
        relative = np.linalg.norm(c - G @ x) / np.linalg.norm(c)
        if not rtol < relative < 1e3:
            return step, relative
        z = z - B.T @ (B @ z - b)
    return limit, relative
