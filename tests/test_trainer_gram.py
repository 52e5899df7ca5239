"""The Gram matrix that a trainer shows is that of explicit Jacobians where the trainer stands."""

import functools

import numpy as np
import pytest
import reference_all_layers
from layers import OUTPUTS, problem, quietly

from subquad.activations import GELU, ShiftedReLU
from subquad.networks import FactoredNetwork, LastLayer, TwoLayerNetwork, WideNetwork
from subquad.training import (
    AllLayersGaussNewton,
    FactoredGaussNewton,
    FactoredGradientDescent,
    LastLayerGaussNewton,
    LowRankGradientDescent,
    StateGaussNewton,
    TwoLayerGaussNewton,
)

CLOSE = {"rtol": 1e-10, "atol": 1e-12}


def stacked(jacobians):
    """J of all outputs with rows (i, c), from one (n, p) for each output.

    The columns are those of all outputs together.
    """
    return np.stack(jacobians, axis=1).reshape(-1, jacobians[0].shape[1])


def require_gram(trainer, J, n_outputs):
    """Compare G and the block of each output with J J^T."""
    np.testing.assert_allclose(trainer.gram(), J @ J.T, **CLOSE)
    for c in range(n_outputs):
        rows = J[c::n_outputs]
        np.testing.assert_allclose(trainer.gram(c), rows @ rows.T, **CLOSE)


def require_everywhere(make, explicit, n_outputs):
    """Compare before the first step, in the callback, after the run, and after a second one."""
    seen = []

    def look(record):
        require_gram(trainer, explicit(trainer), n_outputs)
        seen.append(record.step)

    trainer = make(callback=look)
    require_gram(trainer, explicit(trainer), n_outputs)
    quietly(trainer.run)
    require_gram(trainer, explicit(trainer), n_outputs)
    quietly(trainer.run)
    require_gram(trainer, explicit(trainer), n_outputs)
    assert seen


def terms(trainer):
    """The present iterate, which `factors` of the trainer is only after `run`."""
    return trainer._fit.state.factors(trainer._fit.state.terms)


@pytest.mark.parametrize("regularization", [0.0, 1e-2])
@pytest.mark.parametrize(("readout", "n_outputs"), OUTPUTS)
def test_of_a_last_layer(readout, n_outputs, regularization):
    layer, dense, y = problem(readout=readout, n_outputs=n_outputs)

    def explicit(trainer):
        A, V = terms(trainer)
        return dense.jacobian(dense.W + A.T @ V)

    options = {"regularization": regularization, "max_steps": 4, "min_active": 0}
    weights = np.linspace(0.5, 2.0, layer.n)  # which are not in G
    make = functools.partial(LastLayerGaussNewton, layer, y, sample_weight=weights, **options)
    require_everywhere(make, explicit, n_outputs)


@pytest.mark.parametrize("activation", [GELU(), ShiftedReLU(0.4)])
def test_the_jacobian_of_a_last_layer_is_its_derivative(activation, rng):
    V, W, a = (rng.standard_normal(shape) for shape in [(7, 5), (30, 5), (2, 30)])
    layer = LastLayer(V, V @ W.T, a, activation)
    factors = 0.1 * rng.standard_normal((3, 30)), rng.standard_normal((3, 5))
    for given, start in ((None, W), (factors, W + factors[0].T @ factors[1])):
        steps = 1e-6 * np.eye(W.size).reshape(-1, *W.shape)
        ends = [
            [LastLayer(V, V @ (start + s * step).T, a, activation).outputs() for s in (1, -1)]
            for step in steps
        ]
        expected = np.stack([(up - down) / 2e-6 for up, down in ends], axis=2)
        for c in range(2):
            found = layer.jacobian(factors=given, output=c)
            np.testing.assert_allclose(found.to_dense(), expected[:, c], rtol=1e-5, atol=1e-7)


def test_of_a_smooth_last_layer(rng):
    V, W, a = (rng.standard_normal(shape) for shape in [(12, 5), (80, 5), (2, 80)])
    layer = LastLayer(V, V @ W.T, a, GELU())

    def explicit(trainer):
        factors = terms(trainer)
        return stacked([layer.jacobian(factors=factors, output=c).to_dense() for c in range(2)])

    y = rng.standard_normal((12, 2))
    make = functools.partial(LastLayerGaussNewton, layer, y, regularization=1e-2, max_steps=4)
    require_everywhere(make, explicit, 2)


@pytest.mark.parametrize("solver", ["exact", "pcg"])
@pytest.mark.parametrize("n_outputs", [1, 2])
def test_of_a_two_layer_network(solver, n_outputs, rng):
    network = TwoLayerNetwork(6, 90, activation=ShiftedReLU(0.2), n_outputs=n_outputs, rng=1)
    X, y = rng.standard_normal((14, 6)), rng.standard_normal((14, n_outputs))

    def explicit(trainer):
        parts = range(n_outputs)
        at = {"factors": terms(trainer)}
        return stacked([network.jacobian(X, output=c, **at).to_dense() for c in parts])

    options = {"regularization": 1e-2, "max_steps": 3, "min_active": 0, "solver": solver}
    make = functools.partial(TwoLayerGaussNewton, network, X, y, **options)
    require_everywhere(make, explicit, n_outputs)


@pytest.mark.parametrize("cls", [FactoredGaussNewton, FactoredGradientDescent])
@pytest.mark.parametrize("outer_size", [None, 16])
@pytest.mark.parametrize("n_outputs", [1, 3])
def test_of_a_factored_network(cls, outer_size, n_outputs, rng):
    sizes = {"inner_size": 4, "outer_size": outer_size}
    network = FactoredNetwork(8, width=128, n_outputs=n_outputs, rng=1, **sizes)
    X, y = rng.standard_normal((10, 8)), rng.standard_normal((10, n_outputs))

    def explicit(trainer):
        B = network.weights + trainer._fit.state.terms
        parts = range(n_outputs)
        return stacked([network.jacobian(X, B, output=c).to_dense() for c in parts])

    make = functools.partial(cls, network, X, y, max_steps=3, min_active=0)
    require_everywhere(make, explicit, n_outputs)


@pytest.mark.parametrize("readout", ["partition", "dense"])
@pytest.mark.parametrize("n_outputs", [1, 2])
def test_of_all_layers(readout, n_outputs, rng):
    shape = {"width": 48, "depth": 2, "n_outputs": n_outputs, "readout": readout}
    network = WideNetwork(5, activation=ShiftedReLU(0.1), rng=1, **shape)
    X, y = rng.standard_normal((9, 5)), rng.standard_normal((9, n_outputs))
    weights = [W.to_dense() for W in network.weights]
    known = network.readout, X, network.activation, network.weight_std

    def at(factors):
        moved = [W + A.T @ B for W, (A, B) in zip(weights, factors, strict=True)]
        return reference_all_layers.linearised(moved, *known)[1]

    options = {"regularization": 1e-1, "max_steps": 3, "min_active": 0}
    make = functools.partial(AllLayersGaussNewton, network, X, y, **options)
    require_everywhere(make, lambda trainer: at(terms(trainer)), n_outputs)

    descent = LowRankGradientDescent(network, step_size="auto", rank_budget=np.inf)
    for _ in range(2):
        J = at([W.factors for W in descent.weights])
        np.testing.assert_allclose(descent.gram(X), J @ J.T, **CLOSE)
        descent.step(X, y)


def test_looking_at_it_changes_no_step_and_an_output_that_is_none_is_refused():
    layer, _, y = problem(readout="partition", n_outputs=3)
    options = {"max_steps": 3, "min_active": 0}
    plain, looked = (LastLayerGaussNewton(layer, y, **options) for _ in range(2))
    G = looked.gram()
    G[:] = np.nan  # the caller's own
    looked._callback = lambda _: looked.gram(0).fill(np.nan)
    quietly(plain.run)
    quietly(looked.run)
    assert np.array_equal(plain.outputs, looked.outputs)
    with pytest.raises(ValueError, match=r"output must be at most 2; got 3"):
        looked.gram(3)
    with pytest.raises(TypeError, match="output must be an integer"):
        looked.gram("0")


def test_a_state_of_the_users_own_has_one(rng):
    V, W, a = (rng.standard_normal(shape) for shape in [(8, 3), (20, 3), (1, 20)])
    layer = LastLayer(V, V @ W.T, a, GELU())
    trainer = LastLayerGaussNewton(layer, rng.standard_normal(8), max_steps=2)
    state = trainer._fit.state
    state.n_outputs = 1
    own = StateGaussNewton(state, rng.standard_normal(8), np.float64, max_steps=2)
    np.testing.assert_allclose(own.gram(), layer.jacobian().gram(), **CLOSE)
