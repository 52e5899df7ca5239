"""Gauss-Newton trainers of other losses: against dense Newton steps, and where losses are flat."""

import warnings

import mpmath
import numpy as np
import pytest

from subquad.activations import GELU
from subquad.jacobian import KhatriRao
from subquad.networks import FactoredNetwork, LastLayer, TwoLayerNetwork, WideNetwork
from subquad.solvers import merge_repeats
from subquad.training import (
    AllLayersGaussNewton,
    CoupledEquation,
    Equation,
    FactoredGaussNewton,
    HuberLoss,
    LastLayerGaussNewton,
    LogisticLoss,
    SquaredLoss,
    StateGaussNewton,
    TrainingWarning,
    Trial,
    TwoLayerGaussNewton,
    as_loss,
)
from subquad.training._losses._misfit import LossMisfit


class LinearState:
    """f = J w for each output, of weights of its own or, coupled, of the same ones."""

    has_kinks = False

    def __init__(self, U, V, weights=None, solver=None):
        self._parts = [KhatriRao(u, V) for u in U]
        self._weights, self._solver, self.n_outputs = weights, solver, len(U)
        self.designs = [np.einsum("ij,ik->ijk", u, V).reshape(len(V), -1) for u in U]
        self.accept(self._trial(np.zeros((len(U), self.designs[0].shape[1]))))

    def _trial(self, w):
        f = np.column_stack([A @ x for A, x in zip(self.designs, w, strict=True)])
        return Trial(f, f, 0, w)

    def linearise(self):
        shape = self.outputs.shape
        described = np.ones(shape, int), np.ones(shape[1], int), self._weights, self._solver
        return Equation(self._parts, *described)

    def propose(self, coefficients, keep):
        steps = [A.T @ g for A, g in zip(self.designs, coefficients.T, strict=True)]
        return self._trial(keep * self.terms + np.array(steps))

    def accept(self, trial):
        self.outputs, self.linear, self.terms = trial.outputs, trial.linear, trial.terms

    def restore(self, terms):
        if terms is self.terms:
            return False
        self.accept(self._trial(terms))
        return True

    def factors(self, terms):
        return terms


class SharedState(LinearState):
    """The same with weights that all outputs share: one Jacobian of n C rows."""

    def __init__(self, U, V, weights=None, solver=None):
        n, C = len(V), len(U)
        self._rows = np.stack(U, axis=1).reshape(n * C, -1), np.repeat(V, C, axis=0)
        super().__init__(U, V, weights, solver)

    def _trial(self, w):
        f = np.column_stack([A @ w[0] for A in self.designs])
        return Trial(f, f, 0, w)

    def linearise(self):
        shape = self.outputs.shape
        described = np.ones(shape, int), np.ones(shape[1], int), self._weights, self._solver
        return CoupledEquation(KhatriRao(*self._rows), *described)

    def propose(self, coefficients, keep):
        step = sum(A.T @ g for A, g in zip(self.designs, coefficients.T, strict=True))
        return self._trial(keep * self.terms + step)


def newton(A, y, weights, loss, mu):
    """The minimum of 2 sum w l(A x, y) + mu |x|^2 by dense Newton steps with halved lengths."""

    def objective(x):
        return 2 * weights @ loss.value(A @ x, y) + mu * x @ x

    x = np.zeros(A.shape[1])
    for _ in range(60):
        f = A @ x
        gradient = A.T @ (weights * loss.derivative(f, y)) + mu * x
        H = (A.T * (weights * loss.second_derivative(f, y))) @ A + mu * np.eye(len(x))
        step, length = np.linalg.solve(H, gradient), 1.0
        while objective(x - length * step) > objective(x) and length > 1e-9:
            length /= 2
        if length <= 1e-9:
            break
        x = x - length * step
    for _ in range(5):  # objectives tell half of the digits
        f = A @ x
        gradient = A.T @ (weights * loss.derivative(f, y)) + mu * x
        H = (A.T * (weights * loss.second_derivative(f, y))) @ A + mu * np.eye(len(x))
        x = x - np.linalg.solve(H, gradient)
    return x


def minimum(state, y, loss, mu, **options):
    """The fit, which claims to have converged, and the weights where its next step would lead.

    That a fit has converged is told by objectives, which hold half of the digits of the weights.
    """
    options = {"loss": loss, "regularization": mu, "tol": 1e-12, **options}
    fit = StateGaussNewton(state, y, np.float64, **options).run()
    assert fit.converged, fit.message
    equation = fit._fit.linearise(fit._rule)
    g, _ = equation.solve(fit.linear_targets, mu)
    return fit, state.propose(g, keep=0.0).terms


def problem(loss, n=30, C=2, seed=0):
    rng = np.random.default_rng(seed)
    U, V = rng.standard_normal((C, n, 5)), rng.standard_normal((n, 4))
    y = rng.standard_normal((n, C))
    y[:4] += 10.0
    weights = rng.uniform(0.5, 2.0, n)
    return list(U), V, np.sign(y) if as_loss(loss).name == "logistic" else y, weights


@pytest.mark.parametrize("mu", [10.0, 0.1, 1e-3])
@pytest.mark.parametrize("loss", ["logistic", "huber", HuberLoss(0.2)], ids=repr)
@pytest.mark.parametrize("weighted", [False, True])
def test_a_linear_fit_is_that_of_dense_newton_steps(loss, mu, weighted):
    U, V, y, w = problem(loss)
    w = w if weighted else None
    state = LinearState(U, V, w)
    _, found = minimum(state, y, loss, mu, sample_weight=w)
    ones = np.ones(len(V)) if w is None else w
    for A, column, x in zip(state.designs, y.T, found, strict=True):
        expected = newton(A, column, ones, as_loss(loss), mu)
        np.testing.assert_allclose(x, expected, rtol=0, atol=1e-9 * np.abs(expected).max())


def test_outputs_that_share_weights_reach_a_stationary_point():
    U, V, y, w = problem("logistic")
    state = SharedState(U, V, w)
    _, found = minimum(state, y, "logistic", 0.1, sample_weight=w)
    A, x = np.concatenate(state.designs), found[0]
    expected = newton(A, y.T.ravel(), np.tile(w, 2), LogisticLoss(), 0.1)
    # Coupled outputs are solved by conjugate gradients, to a relative residual of 1e-8.
    np.testing.assert_allclose(x, expected, rtol=0, atol=1e-7 * np.abs(expected).max())


@pytest.mark.parametrize("solver", ["pcg", "exact"])
def test_every_solver_is_given_the_weights(solver):
    X = np.random.default_rng(0).standard_normal((40, 4))
    y = np.sign(X[:, :2] * X[:, 2:])
    V, rng = np.column_stack([X, np.ones(40)]), np.random.default_rng(1)
    Z, readout = V @ rng.standard_normal((5, 512)), rng.standard_normal((2, 512)) / 16
    layer = LastLayer(V, Z, readout, GELU())
    options = {"loss": "logistic", "regularization": 5.0, "tol": 1e-12, "centred": True}
    fit = LastLayerGaussNewton(layer, y, solver=solver, **options).run()
    assert fit.converged
    one = LastLayerGaussNewton(layer, y, **options).run()
    # Both promise at most 1e-12 |r_0|^2 more, so that the distance of their weights is at most
    # 2 sqrt(1e-12 |r_0|^2 / mu) if the fit is convex, and that of outputs |J| times as large.
    size = np.sqrt(np.linalg.eigvalsh(one.gram()).max())
    bound = 2 * size * 1e-6 * one._fit.initial_norm / np.sqrt(5.0)
    np.testing.assert_allclose(fit.outputs, one.outputs, rtol=0, atol=bound)


def trainers(y, **options):
    """Each trainer on the same rows."""
    X = np.random.default_rng(0).standard_normal((len(y), 8))
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    wide = WideNetwork(8, width=512, rng=0)
    factored = FactoredNetwork(8, width=1024, inner_size=8, outer_size=32, rng=0)
    yield LastLayerGaussNewton(wide.last_layer(X), y, **options)
    yield TwoLayerGaussNewton(TwoLayerNetwork(8, width=512, rng=0), X, y, **options)
    yield AllLayersGaussNewton(wide, X, y, **options)
    yield FactoredGaussNewton(factored, X, y, **options)


def test_each_trainer_lowers_its_loss():
    y = np.sign(np.random.default_rng(1).standard_normal(20))
    for loss in ("logistic", "huber"):
        start = 2 * as_loss(loss).value(np.zeros(20), y).sum()
        for trainer in trainers(y, loss=loss, regularization=1.0, tol=1e-9, centred=True):
            objectives = [start, *(trainer.step().objective for _ in range(4))]
            assert objectives[1] < objectives[0]
            assert objectives[-1] < objectives[1]
            misfit = 2 * as_loss(loss).value(trainer.outputs[:, 0], y).sum()
            assert trainer.residual_norm**2 == pytest.approx(misfit, rel=1e-12)


def test_the_huber_loss_of_a_large_delta_is_the_squared_loss():
    y = np.random.default_rng(1).standard_normal(20)
    options = {"regularization": 1.0, "tol": 1e-6, "centred": True}
    pairs = zip(trainers(y, loss=HuberLoss(1e6), **options), trainers(y, **options), strict=True)
    for huber, squared in pairs:
        huber.step()
        squared.step()
        scale = np.abs(squared.outputs).max()
        # Sums of the same terms in another order, solved with a matrix of condition below 1e3.
        np.testing.assert_allclose(huber.outputs, squared.outputs, rtol=0, atol=1e-10 * scale)
        assert huber.residual_norm == pytest.approx(squared.residual_norm, rel=1e-12)


def test_the_squared_loss_by_name_or_object_is_the_default_bit_for_bit():
    y = np.random.default_rng(1).standard_normal(20)
    for options in ({}, {"regularization": "loo"}):
        three = [
            trainers(y, max_steps=3, **options, **loss)
            for loss in ({}, {"loss": "squared"}, {"loss": SquaredLoss()})
        ]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", TrainingWarning)
            for fits in zip(*three, strict=True):
                first, *others = [fit.run().outputs for fit in fits]
                assert all(np.array_equal(first, other) for other in others)


def test_labels_that_are_separated_end_without_overflow_and_are_named():
    U, V, y, _ = problem("logistic", n=15)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        fit = StateGaussNewton(LinearState(U, V), y, np.float64, loss="logistic").run()
    assert fit.converged
    assert (fit.outputs * y > 0).all()
    assert "The outputs separate the labels" in fit.message
    longer = StateGaussNewton(
        LinearState(U, V), y, np.float64, loss="logistic", tol=1e-140, max_steps=2000
    ).run()
    assert longer.converged
    assert np.isfinite(longer.outputs).all()


def test_labels_may_be_zero_and_one_or_signs_and_nothing_else():
    X = np.random.default_rng(0).standard_normal((20, 4))
    layer = WideNetwork(4, width=512, rng=0).last_layer(X)
    signs = np.sign(X[:, 0])
    options = {"loss": "logistic", "regularization": 1.0, "max_steps": 3, "tol": 1.0}
    expected = LastLayerGaussNewton(layer, signs, **options).run().outputs
    for y in (signs > 0, (signs > 0).astype(int), (signs > 0).astype(float)):
        got = LastLayerGaussNewton(layer, y, **options).run().outputs
        np.testing.assert_array_equal(got, expected)
    message = "y must be -1 or 1, or 0 or 1, for the logistic loss; got 2."
    with pytest.raises(ValueError, match=message.replace(".", r"\.")):
        LastLayerGaussNewton(layer, 2 * signs, **options)
    with pytest.raises(ValueError, match="loss must be 'squared', 'logistic' or 'huber'; got 'hin"):
        LastLayerGaussNewton(layer, signs, loss="hinge")


def test_repeats_of_different_targets_do_not_suit_the_huber_loss():
    layer = LastLayer(np.eye(3), np.ones((3, 64)), np.ones(64) / 8, GELU())
    means, totals, repeats = merge_repeats([0, 0, 1, 2], [[0.0], [1.0], [2.0], [3.0]], np.ones(4))
    with pytest.raises(ValueError, match="repeats must have equal targets at each point"):
        LastLayerGaussNewton(
            layer, means, loss="huber", sample_weight=totals, repeats=repeats, regularization=1.0
        )


@pytest.mark.parametrize("loss", ["logistic", "huber"])
def test_leave_one_out_is_one_newton_step_without_the_row(loss):
    U, V, y, w = problem(loss, C=1)
    state = LinearState(U, V, w)
    fit, _ = minimum(state, y, loss, 2.0, sample_weight=w)
    kind, A = as_loss(loss), state.designs[0]
    x, f = fit.factors[0], fit.outputs[:, 0]
    slopes, h = kind.derivative(f, y[:, 0]), kind.second_derivative(f, y[:, 0])
    errors = np.empty(len(y))
    for i in range(len(y)):
        left = w.copy()
        left[i] = 0.0
        H = (A.T * (left * h)) @ A + 2.0 * np.eye(len(x))
        moved = x - np.linalg.solve(H, A.T @ (left * slopes) + 2.0 * x)
        errors[i] = y[i, 0] - A[i] @ moved
    # Where the Huber loss is flat, its curvature is raised by 1e-6 of what the damping is.
    np.testing.assert_allclose(fit.loo_residuals[:, 0], errors, rtol=1e-6, atol=1e-6)
    losses = 2 * kind.value(y[:, 0] - errors, y[:, 0])
    assert fit.loo_error == pytest.approx(np.average(losses, weights=w), rel=1e-5)


def test_regularization_is_chosen_where_leaving_rows_out_costs_least():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((80, 6))
    y = np.where(X[:, 0] + rng.standard_normal(80) > 0, 1.0, -1.0)
    U = [np.ones((80, 1))]
    options = {"loss": "logistic", "tol": 1e-10}
    chosen = StateGaussNewton(LinearState(U, X), y, np.float64, regularization="loo", **options)
    chosen.run()
    assert chosen.converged
    for factor in (0.1, 10.0):
        mu = factor * chosen.regularization_
        other = StateGaussNewton(LinearState(U, X), y, np.float64, regularization=mu, **options)
        # The choice is as large as costs at most 2 % more than the next smaller one.
        assert chosen.loo_error < 1.03 * other.run().loo_error


def test_a_run_that_is_resumed_goes_on_in_the_same_bits():
    X = np.random.default_rng(0).standard_normal((30, 4))
    y = np.sign(X[:, 0] * X[:, 1])
    layer = WideNetwork(4, width=512, rng=0).last_layer(X)
    options = {"loss": "logistic", "regularization": "loo", "tol": 1e-4, "search_kinks": False}

    def trainer():
        return LastLayerGaussNewton(layer, y, centred=True, max_steps=30, **options)

    whole = trainer()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TrainingWarning)
        whole.run()
        for n_steps in (1, 4):
            first, second = trainer(), trainer()
            for _ in range(n_steps):
                first.step()
            second.load_state_dict(first.state_dict())
            second.run()
            assert np.array_equal(second.outputs, whole.outputs)
            assert second.regularization_ == whole.regularization_
        other = LastLayerGaussNewton(layer, y, centred=True, max_steps=30, regularization="loo")
        with pytest.raises(ValueError, match="state must be of a fit with the same"):
            other.load_state_dict(first.state_dict())


def test_second_derivatives_are_exact_where_they_cancel():
    f = np.array([-700.0, -36.0, -1e-9, 0.0, 3.0, 36.0, 700.0])
    got = LogisticLoss().second_derivative(f, np.ones(7))
    with mpmath.workdps(700):
        p = [1 / (1 + mpmath.exp(-mpmath.mpf(x))) for x in f.tolist()]
        expected = [float(q * (1 - q)) for q in p]
    np.testing.assert_allclose(got, expected, rtol=4e-16)


def test_second_derivatives_are_those_of_finite_differences():
    f = np.arange(-48, 49) / 16
    h = 2.0**-12
    for loss in (SquaredLoss(), LogisticLoss(), HuberLoss(0.3)):
        y = np.ones(f.shape)
        slopes = loss.derivative(f + h, y) - loss.derivative(f - h, y)
        smooth = np.abs(np.abs(f - y) - getattr(loss, "delta", np.inf)) > h
        # The fourth derivative of the logistic loss is at most 1/8; slopes are known to 4e-16.
        bound = h**2 / 48 + 1e-15 / h
        got = loss.second_derivative(f, y)[smooth]
        np.testing.assert_allclose(got, slopes[smooth] / (2 * h), rtol=0, atol=bound)


@pytest.mark.parametrize("loss", [LogisticLoss(), HuberLoss(0.3)], ids=repr)
def test_safe_curvatures_are_of_parabolas_above_the_loss(loss):
    f = np.concatenate([np.arange(-48, 49) / 4, [1e-12, 400.0, -400.0]])
    y = np.full(f.shape, -1.0)
    value, slope = loss.value(f, y), loss.derivative(f, y)
    curvature = loss._safe_curvature(f, y)
    assert (curvature >= loss.second_derivative(f, y)).all()
    missed = f >= 0 if loss.name == "logistic" else np.full(f.shape, True)
    assert (curvature[missed] > 0).all()
    moves = f[None] - f[missed][:, None]
    above = value[missed][:, None] + slope[missed][:, None] * moves
    above += 0.5 * curvature[missed][:, None] * moves**2
    assert (above >= loss.value(f, y)[None] - 1e-11 * (1 + np.abs(above))).all()


def test_the_least_squares_near_an_iterate_has_the_gradient_of_the_loss():
    rng = np.random.default_rng(0)
    y, f = np.sign(rng.standard_normal((6, 2))), 3 * rng.standard_normal((6, 2))
    w = rng.uniform(1.0, 2.0, 6)
    U, V = list(rng.standard_normal((2, 6, 3))), rng.standard_normal((6, 2))
    misfit = LossMisfit(LogisticLoss(), y, np.zeros((6, 2)), w)
    equation = misfit.linearise(LinearState(U, V, w).linearise(), f, 1.0, 0.0)
    gradient = equation._weights * misfit.residual(f)
    expected = w[:, None] * LogisticLoss().derivative(f, y)
    np.testing.assert_allclose(gradient, expected, rtol=1e-14)
    h = 1e-6
    s = rng.standard_normal((6, 2))
    after, _ = misfit.model(f, np.zeros((6, 2)), h * s)
    slope = (after - misfit.norm_of(f) ** 2) / h
    assert slope == pytest.approx(2 * np.sum(expected * s), rel=1e-4)
