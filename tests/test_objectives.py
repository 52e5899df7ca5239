"""The objectives' gradients and Hessians belong to their values, which are scikit-learn's."""

import math
import re

import numpy as np
import pytest
import scipy.sparse
from reference_solvers import logistic

from subquad.solvers.objectives import LeastSquares, Logistic, Poisson

N, D = 60, 5
LOSSES = [Logistic, Poisson, LeastSquares]


def design(kind="dense", dtype=np.float64, seed=0):
    X = np.random.default_rng(seed).standard_normal((N, D)).astype(dtype)
    if kind == "sparse":
        X[np.abs(X) < 0.8] = 0.0
        return scipy.sparse.csr_array(X)
    return X


def targets(loss, seed=1):
    rng = np.random.default_rng(seed)
    if loss is Logistic:
        return rng.integers(0, 2, N)
    return rng.poisson(2.0, N).astype(float) if loss is Poisson else rng.standard_normal(N)


def objectives():
    """Every loss with every option."""
    weights = np.random.default_rng(2).uniform(0, 2, N)
    for loss in LOSSES:
        for kind in ("dense", "sparse"):
            for options in ({}, {"intercept": True, "sample_weight": weights, "l2": 0.3}):
                name = f"{loss.__name__}-{kind}-{'all options' if options else 'plain'}"
                yield pytest.param(loss(design(kind), targets(loss), **options), id=name)


def differences(function, x, h=1e-5):
    """Central differences of a function along every axis, one row each."""
    steps = h * np.eye(len(x))
    return np.array([(function(x + e) - function(x - e)) / (2 * h) for e in steps])


@pytest.mark.parametrize("f", list(objectives()))
def test_gradient_is_the_derivative_of_the_value(f):
    x = 0.3 * np.random.default_rng(3).standard_normal(f.n_parameters)
    # Truncation h^2 and rounding eps |f| / h are both near 1e-9 here.
    np.testing.assert_allclose(f.gradient(x), differences(f.value, x), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("f", list(objectives()))
def test_root_of_the_hessian_and_damping_make_the_derivative_of_the_gradient(f):
    x = 0.3 * np.random.default_rng(3).standard_normal(f.n_parameters)
    B = f.sqrt_hessian(x)
    B = B.toarray() if scipy.sparse.issparse(B) else B
    hessian = B.T @ B + np.diag(f.damping)
    np.testing.assert_allclose(hessian, differences(f.gradient, x), rtol=1e-6, atol=1e-6)


def test_logistic_loss_is_its_definition():
    X, y, w = design(), targets(Logistic), np.linspace(0, 2, N)
    value, gradient, hessian = logistic(X, y, 0.7, w)
    f = Logistic(X, y, l2=0.7, sample_weight=w)
    x = np.random.default_rng(4).standard_normal(D)
    B = f.sqrt_hessian(x)
    assert f.value(x) == pytest.approx(value(x), rel=1e-13)
    np.testing.assert_allclose(f.gradient(x), gradient(x), rtol=1e-11)
    np.testing.assert_allclose(B.T @ B + 0.7 * np.eye(D), hessian(x), rtol=1e-11)


@pytest.mark.parametrize(
    ("loss", "name"), [(Logistic, "HalfBinomialLoss"), (Poisson, "HalfPoissonLoss")]
)
def test_losses_are_those_of_scikit_learn(loss, name):
    losses = pytest.importorskip("sklearn._loss")
    y, eta = targets(loss).astype(float), np.linspace(-30, 30, N)
    peer = getattr(losses, name)()
    f = loss(eta[:, None], y, l2=0.0)
    values, slopes = peer.loss_gradient(y_true=y, raw_prediction=eta)
    if loss is Poisson:
        values = values + peer.constant_to_optimal_zero(y)
    assert f.value(np.ones(1)) == pytest.approx(values.sum(), rel=1e-12)
    assert f.gradient(np.ones(1))[0] == pytest.approx(slopes @ eta, rel=1e-12)


def test_an_intercept_is_a_column_of_ones_without_penalty():
    X, y = design(), targets(Logistic)
    f = Logistic(X, y, l2=2.0, intercept=True)
    g = Logistic(np.c_[X, np.ones(N)], y, l2=2.0)
    x = np.arange(1.0, D + 2)
    assert (f.n_parameters, f.damping[-1]) == (D + 1, 0.0)
    assert f.value(x) + x[-1] ** 2 == pytest.approx(g.value(x))


def test_sample_weights_count_repetitions():
    X, y = design(), targets(Poisson)
    w = np.arange(N) % 3
    f = Poisson(X, y, sample_weight=w)
    g = Poisson(np.repeat(X, w, axis=0), np.repeat(y, w))
    x = 0.1 * np.ones(D)
    assert f.value(x) == pytest.approx(g.value(x))
    np.testing.assert_allclose(f.gradient(x), g.gradient(x))


@pytest.mark.parametrize("loss", LOSSES)
def test_no_value_warns_or_is_wrong_far_from_the_optimum(loss):
    f = loss(design(), targets(loss))
    for x in (np.full(D, 1e5), np.full(D, -1e5)):
        assert f.value(x) > 0  # perhaps infinite, which backtracking refuses
    if loss is Logistic:
        assert np.isfinite(f.value(np.full(D, 1e5)))


def test_single_precision_designs_are_multiplied_in_double_precision():
    X, y = design(dtype=np.float32), targets(Logistic)
    f, g = Logistic(X, y), Logistic(X.astype(np.float64), y)
    x = np.linspace(-1, 1, D)
    assert f.value(x) == pytest.approx(g.value(x), rel=1e-14)
    np.testing.assert_allclose(f.gradient(x), g.gradient(x), rtol=1e-12)


def test_a_point_changed_in_place_is_a_new_point():
    f = LeastSquares(design(), targets(LeastSquares))
    x = np.zeros(D)
    before = f.value(x)
    x[0] = 1.0
    assert f.value(x) != before


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Logistic(design(), np.full(N, 2)), ValueError, "y must be 0 or 1; got 60 other"),
        (lambda: Poisson(design(), np.full(N, -1.0)), ValueError, "y must be at least 0; got -1.0"),
        (lambda: Logistic(design(), np.ones(3)), ValueError, "y must have shape (60,); got (3,)"),
        (lambda: Logistic(design(), np.ones(N), l2=-1), ValueError, "l2 must be at least 0.0"),
        (
            lambda: Logistic(design(), np.ones(N), sample_weight=-np.ones(N)),
            ValueError,
            "sample_weight must be at least 0; got -1.0",
        ),
        (
            lambda: LeastSquares(design(), np.full(N, np.nan)),
            ValueError,
            "y must be finite in float64",
        ),
        (lambda: LeastSquares(np.ones((N, 2), int), np.ones(N)), TypeError, "X must be a float32"),
        (
            lambda: LeastSquares(scipy.sparse.linalg.aslinearoperator(design()), np.ones(N)),
            TypeError,
            "X must be an array or a sparse array; got",
        ),
    ],
)
def test_bad_arguments_are_refused_by_name(make, error, message):
    with pytest.raises(error, match=re.escape(message)):
        make()


def test_the_poisson_loss_keeps_its_digits_near_the_fit():
    """Half the deviance is y (exp(t) - 1 - t) for t = eta - log y: compare with its series."""
    y, t = 1e5, np.array([1e-7, -1e-5, 1e-3, 0.05])
    for one in t:
        loss = Poisson(np.ones((1, 1)), [y], l2=0.0)
        exact = y * sum(one**k / math.factorial(k) for k in range(2, 12))
        # Rounding of eta itself, 4 units in its last place, moves the loss by y |t| of them.
        allowed = 1e-14 * exact + 4 * y * abs(one) * np.spacing(np.log(y))
        assert abs(loss.value(np.array([np.log(y) + one])) - exact) <= allowed
