"""Regularised fits end where a long run of L-BFGS finds next to nothing lower, at kinks too.

The objective is |f(W) - y|^2 + mu ||W - W(0)||^2, piecewise quadratic: it has a kink wherever a
neuron begins or ceases to fire. Here it stands by its definition in plain numpy, with its gradient.
"""

import numpy as np
import pytest
from layers import quietly
from scipy.optimize import minimize

from subquad.activations import ReLU, ShiftedReLU, Tanh
from subquad.networks import FactoredNetwork, LastLayer, TwoLayerNetwork
from subquad.training import FactoredGaussNewton, LastLayerGaussNewton, TwoLayerGaussNewton

# What a fit may end above L-BFGS, as a fraction. Of nine problems drawn like those below, eight
# ended within 4e-4 of it and one, the first factored network with seed 0, 1.3e-3 above.
BOUND = 1e-3


class Problem:
    """f(W) = phi(V W^T A^T - tau) a^T, A being the identity but for a factored network."""

    def __init__(
        self, kind, mu, seed, *, n=30, d=5, m=128, shift=0.0, n_outputs=1, outer_size=None
    ):
        rng = np.random.default_rng(seed)
        X = rng.standard_normal((n, d))
        X /= np.linalg.norm(X, axis=1, keepdims=True)
        self.mu, self.y, self.A = mu, rng.standard_normal((n, n_outputs)), None
        self.V = X
        activation = ShiftedReLU(shift)
        described = {"n_outputs": n_outputs, "activation": activation, "rng": seed}
        if kind in ("last layer", "torch"):
            self._last_layer(kind, X, m, n_outputs, activation, rng)
        elif kind == "two layers":
            network = TwoLayerNetwork(d, width=m, **described)
            self.trainer = lambda **o: TwoLayerGaussNewton(network, X, self.y, **o)
            self.start, self.a = network.weights, activation.scale * network.readout
            self.tau = np.full(n, shift)
            self.end = lambda trainer: self.start + trainer.change
        else:
            network = FactoredNetwork(d, width=m, inner_size=d, outer_size=outer_size, **described)
            self.trainer = lambda **o: FactoredGaussNewton(network, X, self.y, **o)
            self.V = X @ network.inner_matrix().T
            self.A = network.outer_matrix()
            self.start, self.tau = network.weights, shift * np.linalg.norm(self.V, axis=1)
            self.a = activation.scale / np.sqrt(m) * network.readout
            self.end = lambda trainer: trainer.weights

    def _last_layer(self, kind, X, m, n_outputs, activation, rng):
        """Weights and readouts as in the paper, or as torch draws them, with a bias."""
        n, d = X.shape
        if kind == "torch":
            self.V = np.column_stack([np.sqrt(d) * X, np.ones(n)])
            W = rng.uniform(-1, 1, (m, d + 1)) / np.sqrt(d)
            a, activation = rng.uniform(-1, 1, (n_outputs, m)) / np.sqrt(m), ReLU()
        else:
            W = np.sqrt(2 / m) * rng.standard_normal((m, d))
            a = rng.choice([-1.0, 1.0], (n_outputs, m))
        layer = LastLayer(self.V, self.V @ W.T, a, activation)
        self.trainer = lambda **o: LastLayerGaussNewton(layer, self.y, **o)
        self.start, self.a, self.tau = W, activation.scale * a, layer.thresholds
        self.end = lambda trainer: W + trainer.factors[0].T @ trainer.factors[1]

    def objective(self, w):
        """F and its gradient at W = w as a matrix."""
        W = w.reshape(self.start.shape)
        Z = self.V @ W.T if self.A is None else self.V @ W.T @ self.A.T
        above = Z - self.tau[:, None]
        r = np.maximum(above, 0) @ self.a.T - self.y
        U = (above > 0) * (r @ self.a)
        U = U if self.A is None else U @ self.A
        change = W - self.start
        value = np.vdot(r, r) + self.mu * np.vdot(change, change)
        return value, 2 * (U.T @ self.V + self.mu * change).ravel()

    def least(self, W):
        """The objective at the end of L-BFGS from W, begun anew until that gains nothing."""
        w, value = W.ravel(), self.objective(W.ravel())[0]
        options = {"maxiter": 1000, "maxfun": 2000, "maxcor": 20, "ftol": 0.0, "gtol": 0.0}
        for _ in range(4):
            found = minimize(self.objective, w, jac=True, method="L-BFGS-B", options=options)
            gained, w, value = found.fun < (1 - 1e-6) * value, found.x, min(found.fun, value)
            if not gained:
                break
        return value


SMALL = {"n": 20, "d": 4, "m": 64}
PROBLEMS = [
    ("last layer", 1.0, 1, {**SMALL, "m": 96, "shift": 1.0}),
    ("torch", 0.1, 1, SMALL),
    ("two layers", 0.1, 0, SMALL),
    ("two layers", 1.0, 0, {**SMALL, "shift": 0.5}),
    ("factored", 0.1, 1, {**SMALL, "outer_size": 8}),
    ("factored", 1.0, 1, {**SMALL, "shift": 0.5, "n_outputs": 2}),
]


def fit(problem, **options):
    options = {"regularization": problem.mu, "tol": 1e-9, "max_steps": 100} | options
    return quietly(problem.trainer(min_active=0, **options).run)


def n_ordinary(trainer):
    """How many steps there were before kinks were searched."""
    return [record.stationarity is None for record in trainer.history].index(True)


@pytest.fixture(scope="module")
def fits():
    """Every problem with its trainer, and the objective that the definition gives at its end."""
    problems = [Problem(kind, mu, seed, **options) for kind, mu, seed, options in PROBLEMS]
    trainers = [fit(problem) for problem in problems]
    return [
        (p, t, p.objective(p.end(t).ravel())[0]) for p, t in zip(problems, trainers, strict=True)
    ]


def test_long_runs_of_lbfgs_from_the_end_of_a_fit_find_next_to_nothing(fits):
    for problem, trainer, value in fits:
        assert value <= (1 + BOUND) * problem.least(problem.end(trainer))


def test_long_runs_of_lbfgs_from_the_start_end_no_lower_on_average(fits):
    """One by one they end at different minima, some percent higher or lower at such widths."""
    assert np.mean([value / p.least(p.start) for p, _, value in fits]) <= 1 + BOUND


def test_a_search_lowers_the_objective_and_claims_no_more_than_it_computed(fits):
    for problem, trainer, value in fits:
        objectives = [record.objective for record in trainer.history]
        assert value == pytest.approx(min(objectives), rel=1e-9)
        assert value < min(objectives[: n_ordinary(trainer)])
        assert max(objectives) <= (1 + 1e-12) * problem.objective(problem.start.ravel())[0]
        assert not trainer.converged  # what is promised at a kink is not reached
        assert trainer.stationarity > 1e-9
        assert "kink" in trainer.message


def test_steps_around_kinks_are_not_counted_by_max_steps():
    problem = Problem("two layers", 1.0, 0, **SMALL, shift=0.5)
    whole = fit(problem)
    steps = n_ordinary(whole)
    assert len(whole.history) > 300
    assert fit(problem, max_steps=steps + 1).history == whole.history
    short = fit(problem, max_steps=steps - 1)
    assert short.history == whole.history[: steps - 1]
    assert "max_steps" in short.message


@pytest.mark.parametrize("n_outputs", [1, 2])
def test_a_fit_interrupted_among_kinks_goes_on_in_the_same_bits(n_outputs):
    problem = Problem("last layer", 1.0, 1, n=12, d=4, m=32, n_outputs=n_outputs)
    states, options = {}, {"regularization": 1.0, "tol": 1e-9, "min_active": 0}

    def keep(record):
        states[record.step] = whole.state_dict()

    whole = problem.trainer(**options, callback=keep)
    quietly(whole.run)
    first = n_ordinary(whole)
    for step in (first, first + 101, first + 250, len(whole.history) - 1):
        resumed = problem.trainer(**options)
        resumed.load_state_dict(states[step])
        quietly(resumed.run)
        assert resumed.history == whole.history
        np.testing.assert_array_equal(resumed.factors[0], whole.factors[0])
        assert (resumed.loo_error, resumed.message) == (whole.loo_error, whole.message)


def test_smooth_layers_have_no_kinks_to_search():
    rng = np.random.default_rng(0)
    X, W = rng.standard_normal((20, 4)), rng.standard_normal((64, 4))
    layer = LastLayer(X, X @ W.T, rng.choice([-1.0, 1.0], 64), Tanh())
    trainer = LastLayerGaussNewton(layer, X[:, 0], regularization=1e-3, tol=0.0, max_steps=100)
    quietly(trainer.run)
    assert len(trainer.history) <= 100
    assert all(record.stationarity is not None for record in trainer.history)
