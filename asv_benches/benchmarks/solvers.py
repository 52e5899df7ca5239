"""Tall regression and logistic regression, beside numpy, scipy and scikit-learn.

The suites build y = A^T b with cond(A) = 1e4, or labels of a logistic model; scikit-learn's
newton-cholesky is asked for the optimum to about 1e-8, like fast_newton.
"""

import importlib.util
import warnings

import numpy as np
import scipy.sparse
from scipy.sparse.linalg import lsqr

from subquad.solvers import fast_least_squares, fast_newton, fast_regression
from subquad.solvers.objectives import Logistic

COND = 1e4


def regression_problem(n, k, density=None, cond=COND, seed=0):
    """Return A (n, k) of about this condition number, dense or CSR, and b = A x + noise.

    The dense A is a Gaussian matrix times one with singular values from 1 to 1 / cond; the columns
    of the sparse A are scaled by as much.
    """
    rng = np.random.default_rng(seed)
    scales = np.geomspace(1.0, 1.0 / cond, k)
    if density is None:
        rotation = np.linalg.qr(rng.standard_normal((k, k)))[0]
        A = rng.standard_normal((n, k)) @ (scales[:, None] * rotation)
        A /= np.sqrt(n)
    else:
        A = scipy.sparse.random_array((n, k), density=density, rng=rng, format="csr")
        A.data = rng.standard_normal(A.nnz) * scales[A.indices]
    return A, A @ rng.standard_normal(k) + rng.standard_normal(n) / np.sqrt(n)


def regression_calls(A, b):
    """Return calls that solve min |A x - b|, by name; each returns x."""
    y = A.T @ b
    dense = A.toarray() if scipy.sparse.issparse(A) else A
    calls = {
        f"fast_regression {kind}": lambda kind=kind: (
            fast_regression(A, y, preconditioner=kind, rng=0).x
        )
        for kind in ("sketch", "exact")
    }
    calls["fast_least_squares"] = lambda: fast_least_squares(A, b, rng=0).x
    calls["numpy lstsq"] = lambda: np.linalg.lstsq(dense, b, rcond=None)[0]
    calls["scipy lsqr"] = lambda: lsqr(A, b, atol=1e-14, btol=1e-14, iter_lim=5 * A.shape[1])[0]
    return calls


def classification_problem(n, k, seed=0):
    """Return X (n, k) and labels 0 and 1 of a logistic model."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, k))
    eta = X @ rng.standard_normal(k) * (2 / np.sqrt(k))
    return X, (rng.random(n) < 1 / (1 + np.exp(-eta))).astype(np.float64)


def classification_calls(X, y, tol=1e-10):
    """Return calls that fit l2 = 1 logistic regression with an intercept; each returns (w, c)."""

    def ours(kind):
        f = Logistic(X, y, l2=1.0, intercept=True)
        return fast_newton(f, preconditioner=kind, tol=tol, rng=0).x

    calls = {f"fast_newton {kind}": lambda kind=kind: ours(kind) for kind in ("sketch", "exact")}
    if importlib.util.find_spec("sklearn") is not None:
        from sklearn.linear_model import LogisticRegression

        for solver, its_tol in (("newton-cholesky", 1e-6), ("lbfgs", 1e-6)):

            def theirs(solver=solver, its_tol=its_tol):
                model = LogisticRegression(C=1.0, solver=solver, tol=its_tol, max_iter=2000)
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    model.fit(X, y)
                return np.r_[model.coef_[0], model.intercept_]

            calls[f"scikit-learn {solver}"] = theirs
    return calls


class Regression:
    """Dense A, k = 200, cond(A) = 1e4."""

    params = [
        ["fast_regression sketch", "fast_regression exact", "fast_least_squares", "numpy lstsq"],
        [1000, 20000, 200000],
    ]
    param_names = ["implementation", "rows"]
    timeout = 300

    def setup(self, implementation, rows):
        self.solve = regression_calls(*regression_problem(rows, 200))[implementation]

    def time_dense(self, implementation, rows):
        self.solve()


class SparseRegression:
    """CSR A with 1 % nonzeros, k = 200, cond(A) about 1e4."""

    params = [
        ["fast_regression sketch", "fast_regression exact", "fast_least_squares", "numpy lstsq"],
        [2000, 20000, 200000],
    ]
    param_names = ["implementation", "rows"]
    timeout = 300

    def setup(self, implementation, rows):
        self.solve = regression_calls(*regression_problem(rows, 200, 0.01))[implementation]

    def time_sparse(self, implementation, rows):
        self.solve()


class LogisticRegressions:
    """Dense X, k = 100, l2 = 1."""

    params = [
        [
            "fast_newton sketch",
            "fast_newton exact",
            "scikit-learn newton-cholesky",
            "scikit-learn lbfgs",
        ],
        [1000, 20000, 200000],
    ]
    param_names = ["implementation", "rows"]
    timeout = 300

    def setup(self, implementation, rows):
        calls = classification_calls(*classification_problem(rows, 100))
        if implementation not in calls:
            raise NotImplementedError("scikit-learn is not installed")
        self.fit = calls[implementation]

    def time_fit(self, implementation, rows):
        self.fit()
