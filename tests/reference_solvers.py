"""Plain definitions of what the regression and Newton solvers compute.

[BPSW21], Algorithms 2 and 3, line by line with the corrections that their tests need: y is an
argument of Algorithm 2, and its test is relative.
"""

import numpy as np
from scipy.linalg import solve_triangular


def tall_matrix(n=400, k=12, cond=1e3, seed=0, coherent=False):
    """A matrix with singular values from 1 to 1 / cond, orthogonal factors random."""
    rng = np.random.default_rng(seed)
    Q = np.linalg.qr(rng.standard_normal((n, k)))[0]
    if coherent:
        Q = np.eye(n, k)[rng.permutation(n)]
    W = np.linalg.qr(rng.standard_normal((k, k)))[0]
    return (Q * np.geomspace(1, 1 / cond, k)) @ W.T


def relative_residual(A, y, x, damping=0.0):
    """||A^T A x + mu x - y|| / ||y||."""
    return np.linalg.norm(A.T @ (A @ x) + damping * x - y) / np.linalg.norm(y)


def problem(seed=1, **options):
    """A tall matrix A and A^T b for a random b."""
    A = tall_matrix(**options)
    b = np.random.default_rng(seed).standard_normal(len(A))
    return A, b, A.T @ b


def least_norm_solution(A, y, damping=0.0):
    """(A^T A + mu I)^+ y by the singular value decomposition of A."""
    _, sigma, Vt = np.linalg.svd(A, full_matrices=False)
    kept = sigma > 1e-10 * sigma[0]
    return Vt[kept].T @ (Vt[kept] @ y / (sigma[kept] ** 2 + damping))


def printed_iteration(A, y, SA, n_iterations):
    """[BPSW21], Algorithm 2, lines 5-8, as printed: residuals ||A^T A x_t - y|| / ||y||.

    Line 7: z <- z - B^T (B z - R^T y) with B = R^T A^T A R, R here the inverse of the QR factor.
    """
    R = np.linalg.inv(np.linalg.qr(SA, mode="r"))
    B = R.T @ (A.T @ A) @ R
    z, residuals = np.zeros(len(y)), []
    for _ in range(n_iterations):
        residuals.append(np.linalg.norm(A.T @ (A @ (R @ z)) - y) / np.linalg.norm(y))
        z = z - B.T @ (B @ z - R.T @ y)
    return np.array(residuals)


def preconditioned_condition(A, SA):
    """Condition number of A R^-1, R the QR factor of S A."""
    R = np.linalg.qr(SA, mode="r")
    return np.linalg.cond(solve_triangular(R, A.T, trans="T").T)


def classes(n=1500, k=20, seed=0, spread=1.0, signal=2.0):
    """A design whose columns have scales from 1 to `spread`, and labels that depend on it."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, k)) * np.geomspace(1, spread, k)
    eta = X @ rng.standard_normal(k) * signal / np.sqrt(k)
    return X, (rng.random(n) < 1 / (1 + np.exp(-eta))).astype(float)


def newton(value, gradient, hessian, x, n_steps=100):
    """[BPSW21], Algorithm 3, with exact steps, halved until f falls."""
    for _ in range(n_steps):
        p = np.linalg.solve(hessian(x), gradient(x))
        t = 1.0
        while t > 1e-12 and not value(x - t * p) <= value(x) - 1e-4 * t * gradient(x) @ p:
            t /= 2
        if t <= 1e-12:
            break
        x = x - t * p
    return x


def logistic(X, y, l2, w=1.0):
    """Value, gradient and Hessian of L2-regularised logistic regression, entry by entry."""

    def value(x):
        eta = X @ x
        return np.sum(w * (np.logaddexp(0, eta) - y * eta)) + l2 / 2 * np.sum(x**2)

    def gradient(x):
        return X.T @ (w * (1 / (1 + np.exp(-(X @ x))) - y)) + l2 * x

    def hessian(x):
        p = 1 / (1 + np.exp(-(X @ x)))
        return X.T @ np.diag(w * p * (1 - p)) @ X + l2 * np.eye(X.shape[1])

    return value, gradient, hessian
