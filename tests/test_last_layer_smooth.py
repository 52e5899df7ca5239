"""Last layers with smooth activations: the same Gauss-Newton steps, with dense derivatives."""

import numpy as np
import pytest
from layers import change, fit, quietly
from scipy.optimize import minimize

from subquad.activations import GELU, LeakyReLU, Sigmoid, SiLU, Tanh
from subquad.lowrank import LowRankMaintenance
from subquad.networks import LastLayer
from subquad.training import LastLayerGaussNewton

KINDS = [GELU(), GELU("tanh"), SiLU(), Tanh(), Sigmoid(), LeakyReLU(0.2)]
# Shapes of readouts: one output, several that share neurons, several that do not.
READOUTS = ["single", "shared", "separate"]


def problem(phi=None, *, n=20, m=150, m_in=7, readout="single", dtype=np.float64, seed=0):
    """Return a LastLayer, its weights, and targets."""
    rng = np.random.default_rng(seed)
    V, W = rng.standard_normal((n, m_in)), rng.standard_normal((m, m_in)) / np.sqrt(m_in)
    n_outputs = 1 if readout == "single" else 3
    a = rng.standard_normal((n_outputs, m)) / np.sqrt(m)
    if readout == "separate":
        a *= np.arange(m) * n_outputs // m == np.arange(n_outputs)[:, None]
    layer = LastLayer(V.astype(dtype), (V @ W.T).astype(dtype), a.astype(dtype), phi or GELU())
    return layer, W, rng.standard_normal((n, n_outputs))


def outputs(layer, W):
    """f(X; W), written out."""
    return layer.activation(layer.features @ W.T) @ layer.readout.T


def jacobian(layer, W):
    """J with rows (i, c), written out."""
    slopes = layer.activation.derivative(layer.features @ W.T)
    J = np.einsum("cr,ir,ij->icrj", layer.readout, slopes, layer.features)
    return J.reshape(layer.n * layer.n_outputs, -1)


@pytest.mark.parametrize("phi", KINDS, ids=repr)
def test_outputs_are_those_of_the_network(phi):
    layer, W, _ = problem(phi, readout="shared")
    A = np.random.default_rng(1).standard_normal((5, layer.width))
    V = np.random.default_rng(2).standard_normal((5, 7))
    np.testing.assert_allclose(layer.outputs(), outputs(layer, W), rtol=1e-12, atol=1e-13)
    moved = outputs(layer, W + A.T @ V)
    np.testing.assert_allclose(layer.outputs((A, V)), moved, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("phi", KINDS, ids=repr)
@pytest.mark.parametrize("readout", READOUTS)
@pytest.mark.parametrize("regularization", [0.0, 0.3])
def test_two_steps_are_those_of_the_explicit_jacobian(phi, readout, regularization):
    layer, W0, y = problem(phi, readout=readout)
    trainer = quietly(
        LastLayerGaussNewton, layer, y, regularization=regularization, damping=0.1, tol=0.0
    )
    W = W0
    for _ in range(2):
        record = trainer.step()
        assert record.flips == 0
        assert record.active_fraction == 1
        # The damping of the accepted trial pulls towards the present iterate.
        J, r, mu = jacobian(layer, W), (outputs(layer, W) - y).ravel(), record.damping
        total = regularization + mu
        H = J.T @ J + total * np.eye(J.shape[1])
        step = np.linalg.solve(H, J.T @ r + regularization * (W - W0).ravel())
        W = W - step.reshape(W.shape)
        scale = np.abs(W - W0).max()
        np.testing.assert_allclose(change(trainer), W - W0, atol=1e-6 * scale)
        np.testing.assert_allclose(trainer.outputs, outputs(layer, W), atol=1e-6)


@pytest.mark.parametrize("phi", KINDS, ids=repr)
@pytest.mark.parametrize("readout", READOUTS)
def test_it_interpolates(phi, readout):
    layer, _, y = problem(phi, readout=readout, m=600)
    y = 0.3 * y
    trainer = fit(layer, y)
    assert trainer.converged
    assert trainer.relative_residual < 1e-10
    np.testing.assert_allclose(layer.outputs(trainer.factors), y, atol=1e-8)


@pytest.mark.parametrize("readout", READOUTS)
def test_float32_reaches_its_own_floor(readout):
    layer, _, y = problem(SiLU(), readout=readout, dtype=np.float32)
    trainer = fit(layer, y)
    assert trainer.relative_residual < 1e-6
    assert trainer.factors[0].dtype == np.float32
    np.testing.assert_allclose(layer.outputs(trainer.factors), y, atol=1e-5)


@pytest.mark.parametrize("phi", [GELU(), Tanh()], ids=repr)
@pytest.mark.parametrize("mu", [0.3, 1.0])
def test_a_long_quasi_newton_run_gains_nothing_from_where_a_regularised_fit_ends(phi, mu):
    # From there: the objective has several minima, and another run may find another one.
    layer, W0, y = problem(phi, n=15, m=60, m_in=4)
    trainer = fit(layer, y, regularization=mu, tol=1e-8, max_steps=200)
    assert trainer.converged or mu < 1

    def objective(w):
        W = w.reshape(W0.shape)
        r = (outputs(layer, W) - y).ravel()
        gradient = 2 * (jacobian(layer, W).T @ r + mu * (W - W0).ravel())
        return r @ r + mu * np.sum((W - W0) ** 2), gradient

    end = (W0 + change(trainer)).ravel()
    best = minimize(objective, end, jac=True, method="L-BFGS-B", options={"maxiter": 300})
    assert objective(end)[0] <= best.fun * (1 + 1e-3)


@pytest.mark.parametrize("readout", ["single", "shared"])
def test_loo_chooses_a_regularisation_and_reports_its_error(readout):
    layer, _, y = problem(GELU(), readout=readout)
    trainer = quietly(LastLayerGaussNewton, layer, y, regularization="loo")
    error = trainer.choose_regularization()
    assert trainer.regularization_ > 0
    # The same by n refits of the first linearisation, each output under its own Gram matrix.
    J, f = jacobian(layer, layer_weights(layer)), layer.outputs()
    squares = []
    for c in range(layer.n_outputs):
        G, target = J[c :: layer.n_outputs] @ J[c :: layer.n_outputs].T, (y - f)[:, c]
        for i in range(layer.n):
            kept = np.arange(layer.n) != i
            A = G[np.ix_(kept, kept)] + trainer.regularization_ * np.eye(layer.n - 1)
            squares.append((target[i] - G[i, kept] @ np.linalg.solve(A, target[kept])) ** 2)
    assert error == pytest.approx(np.mean(squares), rel=1e-6)


def layer_weights(layer):
    """W(0) of `problem`, from what the layer has: V has full column rank."""
    return np.linalg.lstsq(layer.features, layer.preactivations, rcond=None)[0].T


def test_sample_weights_and_a_constant_column_enter_as_they_should():
    layer, W, y = problem(Tanh(), n=30)
    V = np.hstack([layer.features, np.ones((30, 1))])
    layer = LastLayer(V, layer.preactivations, layer.readout, Tanh())
    weights = np.r_[np.ones(15), np.zeros(15)]
    trainer = fit(layer, y, sample_weight=weights)
    assert trainer.converged
    dW = change(trainer)
    moved = Tanh()(V[:, :-1] @ (W + dW[:, :-1]).T + dW[:, -1]) @ layer.readout.T
    np.testing.assert_allclose(moved[:15], y[:15], atol=1e-8)


def test_saturated_neurons_are_named_as_silent():
    layer, _, y = problem(Tanh())
    stuck = layer.preactivations.copy()
    stuck[3] = 1e4
    layer = LastLayer(layer.features, stuck, layer.readout, Tanh())
    trainer = LastLayerGaussNewton(layer, y, regularization=1.0)
    with pytest.warns(UserWarning, match="No neuron fires at data point 3"):
        trainer.step()


def test_what_a_smooth_layer_has_not_is_refused():
    layer, W, y = problem()
    with pytest.raises(ValueError, match=r"^thresholds must be None for GELU\(.*; got an array"):
        LastLayer(layer.features, layer.preactivations, layer.readout, GELU(), thresholds=y[:, 0])
    with pytest.raises(ValueError, match=r"^maintenance must be None for GELU"):
        LastLayerGaussNewton(layer, y, maintenance=LowRankMaintenance(W))
    with pytest.raises(TypeError, match=r"^activation must be one of subquad.activations; got str"):
        LastLayer(layer.features, layer.preactivations, layer.readout, "gelu")


def test_a_narrow_layer_is_no_mistake():
    layer, _, y = problem(Tanh(), n=5, m=6, m_in=5)
    assert fit(layer, 0.01 * y).converged
