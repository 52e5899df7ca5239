"""fast_newton finds the minimum of convex objectives, or says what kept it."""

import warnings

import numpy as np
import pytest
import scipy.sparse
from reference_solvers import classes, logistic, newton

from subquad.solvers import SolverWarning, fast_newton, fast_regression
from subquad.solvers.objectives import LeastSquares, Logistic, Poisson

PRECONDITIONERS = ["sketch", "exact"]


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
