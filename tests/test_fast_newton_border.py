"""fast_newton takes a user's own objective, and says where there is no minimum or no way to it."""

import re
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse
from reference_solvers import classes

from subquad.solvers import SolverWarning, fast_newton
from subquad.solvers.objectives import LeastSquares, Logistic, Poisson

PRECONDITIONERS = ["sketch", "exact"]


class Huberish:
    """sum of sqrt(1 + (X x - y)^2), whose second derivatives are (1 + r^2)^(-3/2)."""

    damping = 0.0

    def __init__(self, X, y, wrap=lambda B: B):
        self.X, self.y, self.n_parameters, self.wrap = X, y, X.shape[1], wrap

    def value(self, x):
        return np.sum(np.sqrt(1 + (self.X @ x - self.y) ** 2))

    def gradient(self, x):
        r = self.X @ x - self.y
        return self.X.T @ (r / np.sqrt(1 + r**2))

    def sqrt_hessian(self, x):
        r = self.X @ x - self.y
        return self.wrap((1 + r**2)[:, None] ** -0.75 * self.X)


@pytest.mark.parametrize(
    "wrap", [np.asarray, scipy.sparse.csr_array, scipy.sparse.linalg.aslinearoperator]
)
@pytest.mark.parametrize("preconditioner", PRECONDITIONERS)
def test_a_users_own_objective_is_minimised(wrap, preconditioner):
    X, _ = classes(k=6)
    y = X @ np.arange(6.0) + np.random.default_rng(5).standard_cauchy(len(X))
    f = Huberish(X, y, wrap)
    solution = fast_newton(f, preconditioner=preconditioner, rng=0)
    assert solution.converged, solution.message
    assert np.linalg.norm(f.gradient(solution.x)) < 1e-3
    np.testing.assert_allclose(solution.x, np.arange(6.0), atol=0.3)


# Where there is no minimum, or no way to it


def test_separable_classes_without_a_penalty_are_a_warning():
    X, _ = classes(n=200, k=3)
    f = Logistic(X, X[:, 0] > 0, l2=0.0)
    with pytest.warns(SolverWarning, match="may have no minimum .*: add a penalty"):
        solution = fast_newton(f, max_steps=5, rng=0)
    assert not solution.converged
    assert solution.info["n_steps"] == 5


def test_a_gradient_that_is_not_the_objectives_is_found_out():
    f = Huberish(*classes(k=4))
    f.gradient = lambda x: -Huberish.gradient(f, x)
    with pytest.warns(
        SolverWarning, match="does not fall along the Newton step.* does not belong to f"
    ):
        assert not fast_newton(f, rng=0).converged


def test_a_hessian_that_vanishes_is_not_taken_for_a_minimum():
    f = SimpleNamespace(
        n_parameters=2,
        damping=0.0,
        value=lambda x: float(x.sum()),
        gradient=lambda x: np.ones(2),
        sqrt_hessian=lambda x: np.zeros((5, 2)),
    )
    with pytest.warns(SolverWarning, match="Hessian vanishes along part of the gradient"):
        assert not fast_newton(f, rng=0).converged


@pytest.mark.parametrize("preconditioner", PRECONDITIONERS)
def test_collinear_columns_without_a_penalty_have_a_minimum_all_the_same(preconditioner):
    X, y = classes(k=4)
    f = Logistic(np.c_[X, X[:, :2]], y, l2=0.0)
    solution = fast_newton(f, preconditioner=preconditioner, rng=0)
    assert solution.converged, solution.message
    plain = fast_newton(Logistic(X, y, l2=0.0), rng=0)
    assert solution.info["value"] == pytest.approx(plain.info["value"], rel=1e-10)
    np.testing.assert_allclose(solution.x[:2], solution.x[4:], atol=1e-6)  # least norm


@pytest.mark.parametrize("preconditioner", ["exact", "sketch"])
def test_classes_separated_along_one_direction_alone_are_a_warning(preconditioner):
    # At x = 0 both classes occur; x = 1 is of one class, so that its coefficient has no bound.
    X = np.repeat([[1.0, 0.0], [1.0, 1.0]], 40, axis=0)
    y = np.where(np.arange(80) < 40, np.arange(80) % 2, 1)
    with pytest.warns(SolverWarning, match="f may have no minimum"):
        solution = fast_newton(Logistic(X, y, l2=0.0), preconditioner=preconditioner, rng=0)
    assert not solution.converged
    penalised = fast_newton(Logistic(X, y, l2=1e-3), preconditioner=preconditioner, rng=0)
    assert penalised.converged


@pytest.mark.parametrize("count", [1.0, 10.0, 1e3, 1e5, 1e7])
def test_saturated_counts_of_any_size_are_fitted_and_it_is_said(count):
    y = np.random.default_rng(0).poisson(count, 8) + 1.0
    X = np.column_stack([np.ones(8), np.eye(8)[:, :7]])
    solution = fast_newton(Poisson(X, y, l2=0.0), preconditioner="exact")
    assert solution.converged, solution.message
    np.testing.assert_allclose(X @ solution.x, np.log(y), rtol=0, atol=1e-7)
    equal = fast_newton(Poisson(np.ones((20, 1)), np.full(20, count), l2=0.0))
    assert equal.converged, equal.message
    assert equal.x[0] == pytest.approx(np.log(count), abs=1e-7)


def test_heavy_rows_that_collide_get_a_stronger_sketch():
    X, y = classes(n=20000, k=40)
    X[40:] = 0.0
    X[:40] = 10 * np.eye(40)
    with np.errstate(all="raise"):
        solution = fast_newton(Logistic(X, y, l2=1e-9), preconditioner="sketch", rng=0)
    expected = fast_newton(Logistic(X[:40], y[:40], l2=1e-9), preconditioner="exact").info["value"]
    assert solution.info["value"] - 19960 * np.log(2) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("loss", [Logistic, LeastSquares])
def test_a_tolerance_of_zero_means_rounding(loss):
    X, y = classes()
    solution = fast_newton(loss(X, y), tol=0.0, rng=0)
    assert solution.converged
    assert solution.info["decrement"] <= 4 * np.finfo(float).eps * solution.info["value"]


def test_a_minimum_of_zero_is_reached():
    X, _ = classes()
    solution = fast_newton(LeastSquares(X, X @ np.ones(20), l2=0.0), rng=0)
    assert solution.converged, solution.message
    np.testing.assert_allclose(solution.x, 1.0, rtol=1e-9)


# What it refuses


def call(objective=None, **options):
    return fast_newton(objective or Logistic(*classes(n=100, k=4)), **options)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"x0": np.zeros(3)}, ValueError, "x0 must have shape (4,); got (3,)"),
        ({"x0": np.full(4, np.nan)}, ValueError, "x0 must be finite"),
        ({"tol": -1.0}, ValueError, "tol must be at least 0.0; got -1.0"),
        ({"tol": 2.0}, ValueError, "tol must be at most 1.0; got 2.0"),
        ({"max_steps": 0}, ValueError, "max_steps must be at least 1; got 0"),
        ({"preconditioner": "none"}, ValueError, "preconditioner must be 'auto', 'sketch' or"),
        ({"sketch_size": 2}, ValueError, "sketch_size must be at least 4"),
        ({"rng": 1.5}, TypeError, "rng must be None"),
    ],
)
def test_bad_arguments_are_refused_by_name(options, error, message):
    with pytest.raises(error, match=re.escape(message)):
        call(**options)


@pytest.mark.parametrize(
    ("method", "result", "error", "message"),
    [
        ("value", np.nan, ValueError, "objective must be finite at x0; got nan"),
        (
            "gradient",
            np.ones(3),
            ValueError,
            "objective.gradient(x) must have shape (4,); got (3,)",
        ),
        ("gradient", np.full(4, np.nan), ValueError, "objective.gradient(x) must be finite"),
        (
            "sqrt_hessian",
            np.ones((9, 3)),
            ValueError,
            "objective.sqrt_hessian(x) must have 4 columns; got (9, 3)",
        ),
        ("sqrt_hessian", "none", ValueError, "objective.sqrt_hessian(x) must"),
    ],
)
def test_bad_answers_of_an_objective_are_refused_by_name(method, result, error, message):
    f = Huberish(*classes(n=100, k=4))
    setattr(f, method, lambda x: result)
    with pytest.raises((error, TypeError), match=re.escape(message)):
        fast_newton(f)
