"""fast_newton finds the minimum of convex objectives, or says what kept it."""

import re
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse
from reference_solvers import logistic, newton

from subquad.solvers import SolverWarning, fast_newton, fast_regression
from subquad.solvers.objectives import LeastSquares, Logistic, Poisson

PRECONDITIONERS = ["sketch", "exact"]


def classes(n=1500, k=20, seed=0, spread=1.0, signal=2.0):
    """A design whose columns have scales from 1 to `spread`, and labels that depend on it."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, k)) * np.geomspace(1, spread, k)
    eta = X @ rng.standard_normal(k) * signal / np.sqrt(k)
    return X, (rng.random(n) < 1 / (1 + np.exp(-eta))).astype(float)


@pytest.mark.parametrize("preconditioner", PRECONDITIONERS)
def test_the_minimum_is_that_of_exact_newton_steps(preconditioner):
    X, y = classes(n=300)
    value, gradient, hessian = logistic(X, y, 0.5)
    expected = newton(value, gradient, hessian, np.zeros(20))
    solution = fast_newton(Logistic(X, y, l2=0.5), preconditioner=preconditioner, tol=1e-15, rng=0)
    assert solution.converged, solution.message
    np.testing.assert_allclose(solution.x, expected, atol=1e-7)
    assert solution.residual_norm == pytest.approx(np.linalg.norm(gradient(solution.x)), rel=0.01)
    assert solution.info["value"] == pytest.approx(value(expected), rel=1e-13)


@pytest.mark.parametrize("spread", [1.0, 1e-2, 1e3])
@pytest.mark.parametrize("preconditioner", PRECONDITIONERS)
def test_neither_steps_nor_iterations_depend_on_the_scaling_of_the_parameters(
    spread, preconditioner
):
    """Newton's method is invariant under it, and so is the preconditioned inner iteration."""
    X, y = classes()
    plain = fast_newton(Logistic(X, y, l2=0.0), preconditioner=preconditioner, rng=0)
    scaled = Logistic(X * np.geomspace(1, spread, 20), y, l2=0.0)
    solution = fast_newton(scaled, preconditioner=preconditioner, rng=0)
    assert solution.info["n_steps"] == plain.info["n_steps"]
    assert abs(solution.n_iterations - plain.n_iterations) <= 2
    assert solution.info["value"] == pytest.approx(plain.info["value"], rel=1e-9)


def test_the_decrement_estimates_what_is_left_and_falls_superlinearly():
    X, y = classes(signal=6.0)
    f = Logistic(X, y, l2=0.1)
    least = fast_newton(f, tol=1e-16, rng=0).info["value"]
    values = [f.value(np.zeros(20))]
    solution = fast_newton(f, tol=1e-12, rng=0, callback=lambda record: values.append(record.value))
    records = solution.info["records"]
    decrements = np.array([record.decrement for record in records])
    left = np.array(values[:-1]) - least
    near = (left < 1e-2 * least) & (left > 1e-10 * least)
    assert near.any()
    np.testing.assert_allclose(decrements[near], left[near], rtol=0.5)
    assert decrements[-1] / decrements[-2] < 0.1 * decrements[1] / decrements[0]
    assert [record.step for record in records] == list(range(1, len(records) + 1))


@pytest.mark.parametrize("start", [-30.0, 0.0, 30.0])
@pytest.mark.parametrize("loss", [Logistic, Poisson])
def test_it_converges_from_far_away(loss, start):
    X, y = classes(k=5)
    X = X / 5
    f = loss(X, y, l2=0.1)
    solution = fast_newton(f, np.full(5, start), rng=0)
    assert solution.converged, solution.message
    assert solution.info["value"] == pytest.approx(fast_newton(f, rng=1).info["value"], rel=1e-9)


@pytest.mark.parametrize("preconditioner", PRECONDITIONERS)
def test_convergence_is_never_claimed_on_the_word_of_an_outdated_preconditioner(preconditioner):
    """exp(eta) falls from 1e60 along the way, and what is left is as little of the old Hessian."""
    for seed in range(12):
        rng = np.random.default_rng(seed)
        X = 10 * rng.standard_normal((300, 8)) * rng.random((300, 1)) ** 20
        f = Poisson(X, rng.poisson(1.0, 300), l2=1e-3)
        least = fast_newton(f, rng=0).info["value"]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SolverWarning)
            solution = fast_newton(
                f, 5 * rng.standard_normal(8), preconditioner=preconditioner, rng=seed
            )
        assert not solution.converged or solution.info["value"] <= least * (1 + 1e-8)


@pytest.mark.parametrize("preconditioner", PRECONDITIONERS)
def test_least_squares_is_ridge_regression_in_a_step_or_two(preconditioner):
    X, _ = classes()
    y = X @ np.arange(20.0) + np.random.default_rng(0).standard_normal(len(X))
    solution = fast_newton(
        LeastSquares(X, y, l2=3.0), preconditioner=preconditioner, tol=1e-14, rng=0
    )
    expected = np.linalg.solve(X.T @ X + 3 * np.eye(20), X.T @ y)
    np.testing.assert_allclose(solution.x, expected, rtol=1e-6)
    assert solution.info["n_steps"] <= 8  # each is solved to a tenth at least


@pytest.mark.parametrize("preconditioner", PRECONDITIONERS)
def test_sparse_designs_give_what_dense_ones_give(preconditioner):
    X, y = classes()
    X[np.abs(X) < 1.0] = 0.0
    options = {"intercept": True, "sample_weight": np.linspace(0, 2, len(X))}
    dense, sparse = (
        fast_newton(Logistic(Z, y, **options), preconditioner=preconditioner, rng=0)
        for Z in (X, scipy.sparse.csr_array(X))
    )
    assert sparse.info["value"] == pytest.approx(dense.info["value"], rel=1e-10)
    assert sparse.converged


def test_results_do_not_depend_on_the_number_of_threads(n_threads):
    X, y = classes()
    one, many = (
        fast_newton(Logistic(X, y), preconditioner="sketch", rng=0, n_threads=n)
        for n in (1, n_threads)
    )
    assert np.array_equal(one.x, many.x)


def test_a_kept_preconditioner_is_replaced_once_it_costs_more_than_a_new_one():
    X, y = classes(n=6000, k=60, signal=8.0)
    solution = fast_newton(Logistic(X, y, l2=1e-3), preconditioner="exact", rng=0, tol=1e-13)
    made = [record for record in solution.info["records"] if record.preconditioner == "exact"]
    assert len(made) == solution.info["n_preconditioners"] < solution.info["n_steps"]
    assert solution.n_iterations == sum(r.cg_iterations for r in solution.info["records"])


# A user's own objective


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


# The peer


def scikit_learn_minimum(f, X, y, C):
    linear_model = pytest.importorskip("sklearn.linear_model")
    model = linear_model.LogisticRegression(C=C, solver="newton-cholesky", tol=1e-11, max_iter=500)
    model.fit(X, y)
    return f.value(np.r_[model.coef_[0], model.intercept_])


def data(name):
    if name == "synthetic":
        return classes(n=8000, k=50, seed=3)
    datasets = pytest.importorskip("sklearn.datasets")
    X, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    return (X - X.mean(0)) / (X.std(0) + (X.std(0) == 0)), y


@pytest.mark.parametrize("preconditioner", PRECONDITIONERS)
@pytest.mark.parametrize(
    ("name", "label"), [("breast_cancer", 1), ("digits", 3), ("digits", 8), ("synthetic", 1)]
)
def test_the_optimum_of_scikit_learn_is_reached(name, label, preconditioner):
    """To 1e-8 in the objective; digits one class against the others."""
    X, y = data(name)
    y = (y == label).astype(float)
    f = Logistic(X, y, l2=1.0, intercept=True)
    solution = fast_newton(f, preconditioner=preconditioner, rng=0)
    assert solution.converged
    least = scikit_learn_minimum(f, X, y, 1.0)
    assert solution.info["value"] <= least + 1e-8 * least


def test_ill_conditioned_designs_reach_the_optimum_of_scikit_learn_too():
    """breast_cancer as it comes: scales from 1e-3 to 1e3."""
    datasets = pytest.importorskip("sklearn.datasets")
    X, y = datasets.load_breast_cancer(return_X_y=True)
    f = Logistic(X, y, l2=1.0, intercept=True)
    least = scikit_learn_minimum(f, X, y, 1.0)
    assert fast_newton(f, rng=0).info["value"] <= least + 1e-8 * least


def test_one_newton_step_is_the_solution_of_a_regression():
    """[BPSW21], Algorithm 3, lines 6 and 7, with f = least squares."""
    X, _ = classes()
    y = np.random.default_rng(8).standard_normal(len(X))
    f = LeastSquares(X, y, l2=0.0)
    step = fast_regression(f.sqrt_hessian(np.zeros(20)), f.gradient(np.zeros(20)), rng=0).x
    np.testing.assert_allclose(fast_newton(f, tol=1e-15, rng=0).x, -step, rtol=1e-6)
