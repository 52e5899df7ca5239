"""Records that theorems speak of, against their definitions on matrices in plain numpy."""

import numpy as np
import pytest
import reference_network as reference
from layers import problem, quietly

from subquad.activations import GELU, ShiftedReLU
from subquad.io._codec import Reader, Writer
from subquad.networks import (
    FactoredNetwork,
    LastLayer,
    PairedNetwork,
    TwoLayerNetwork,
    WideNetwork,
)
from subquad.solvers import PcgSolver
from subquad.training import (
    AllLayersGaussNewton,
    FactoredGaussNewton,
    FactoredGradientDescent,
    HalfSpaceSGD,
    LastLayerGaussNewton,
    LowRankGradientDescent,
    TwoLayerGaussNewton,
)

RNG = np.random.default_rng(5)
X = reference.sphere(18, 5, RNG)
Y = RNG.standard_normal(18)


def expected(J, J0, changes, flips):
    """The facts by their definitions: G = J J^T, singular values, rows."""
    G, G0 = J @ J.T, J0 @ J0.T
    ranks, eps = [], np.finfo(float).eps
    for change in changes:
        values = np.linalg.svd(change, compute_uv=False)
        ranks.append(int((values > max(change.shape) * eps * values[0]).sum()))
    return {
        "least_eigenvalue": np.linalg.eigvalsh(G)[0],
        "largest_eigenvalue": np.linalg.eigvalsh(G)[-1],
        "gram_distance": np.linalg.norm(G - G0, 2),
        "gram_change": np.linalg.norm(G - G0) / np.linalg.norm(G0),
        "row_moves": tuple(np.linalg.norm(change, axis=1).max() for change in changes),
        "flips": flips,
        "ranks": tuple(ranks),
    }


def check(found, wanted, rtol=1e-9):
    """Numbers agree to rounding of the largest eigenvalue, counts exactly."""
    size = wanted["largest_eigenvalue"]
    assert (found.flips, found.ranks) == (wanted["flips"], wanted["ranks"])
    for name in ("least_eigenvalue", "largest_eigenvalue", "gram_distance"):
        assert abs(getattr(found, name) - wanted[name]) <= rtol * size, name
    assert found.gram_change == pytest.approx(wanted["gram_change"], rel=1e-7, abs=rtol)
    assert found.row_moves == pytest.approx(wanted["row_moves"], rel=rtol)
    assert found.largest_row_move == max(found.row_moves)
    assert found.rank == max(found.ranks)


def dense_jacobian(pairs):
    """J of one output by all weights from the factors (u, v) of each layer."""
    return np.hstack([np.einsum("ir,ij->irj", U, V).reshape(len(U), -1) for U, V in pairs])


# ---- one matrix that moves
@pytest.mark.parametrize(("readout", "n_outputs"), [("single", 1), ("partition", 3), ("dense", 3)])
def test_the_last_layer_is_measured_as_defined(readout, n_outputs):
    layer, dense, y = problem(readout=readout, n_outputs=n_outputs)
    trainer = LastLayerGaussNewton(layer, y, min_active=0, diagnostics=True)
    for _ in range(3):
        record = trainer.step()
        A, V = trainer._fit.state.factors(trainer._fit.state.terms)
        W = dense.W + A.T @ V
        flips = np.count_nonzero(dense.mask(W) != dense.mask(dense.W))
        facts = expected(dense.jacobian(W), dense.jacobian(dense.W), [W - dense.W], flips)
        check(record.diagnostics, facts)


def test_smooth_neurons_never_flip():
    layer = problem()[0]
    smooth = LastLayer(layer.features, layer.preactivations, layer.readout, GELU())
    record = LastLayerGaussNewton(smooth, RNG.standard_normal(24), diagnostics=True).step()
    assert record.diagnostics.flips == 0
    assert record.diagnostics.gram_change > 0


@pytest.mark.parametrize("solver", ["exact", PcgSolver(landmarks=8, rng=0)])
def test_two_layers_are_measured_as_defined_with_and_without_a_gram_matrix(solver):
    network = TwoLayerNetwork(5, 256, rng=1)
    trainer = TwoLayerGaussNewton(network, X, Y, solver=solver, diagnostics=True)
    for _ in range(2):
        record = trainer.step()
        A, V = trainer._fit.state.factors(trainer._fit.state.terms)
        change = A.T @ V
        masks = [X @ W.T > 0 for W in (network.weights, network.weights + change)]
        first, now = (dense_jacobian([(network.readout * D, X)]) for D in masks)
        flips = np.count_nonzero(masks[0] != masks[1])
        check(record.diagnostics, expected(now, first, [change], flips))


@pytest.mark.parametrize("kind", [FactoredGaussNewton, FactoredGradientDescent])
@pytest.mark.parametrize("outer_size", [None, 16])
def test_a_factored_network_is_measured_as_defined(kind, outer_size):
    network = FactoredNetwork(5, width=512, inner_size=4, outer_size=outer_size, rng=2)
    trainer = kind(network, X, Y, diagnostics=True)
    for _ in range(2):
        record = trainer.step()
        change = trainer._fit.state.terms
        B = network.weights + change
        C, A = network.inner_matrix(), network.outer_matrix()
        fired = [X @ C.T @ M.T @ A.T > 0 for M in (network.weights, B)]
        Us = [(D * network.readout) @ A / np.sqrt(512) for D in fired]
        first, now = (dense_jacobian([(U, X @ C.T)]) for U in Us)
        flips = np.count_nonzero(fired[0] != fired[1])
        check(record.diagnostics, expected(now, first, [change], flips))


# ---- every layer
def wide(**options):
    return WideNetwork(5, width=112, depth=3, activation=ShiftedReLU(0.5), rng=3, **options)


def facts_of_all_layers(network, factors, rows):
    """The definition for W_l(0) + A_l^T B_l: Jacobians of the moved and the first network."""
    moved = [W.to_dense() + A.T @ B for W, (A, B) in zip(network.weights, factors, strict=True)]
    other = WideNetwork._from_parts(
        [type(W)(M) for W, M in zip(network.weights, moved, strict=True)],
        network.readout,
        network.activation,
    )
    Js = [
        dense_jacobian([(K.U, K.V) for K in (net.jacobian(rows, layer) for layer in (1, 2, 3))])
        for net in (other, network)
    ]
    fired = [net._forward(rows, 1).fired for net in (other, network)]
    flips = sum(np.count_nonzero(a != b) for a, b in zip(*fired, strict=True))
    return expected(*Js, [A.T @ B for A, B in factors], flips)


def test_all_layers_are_measured_as_defined():
    network = wide()
    trainer = AllLayersGaussNewton(network, X, Y, diagnostics=True)
    for _ in range(2):
        record = trainer.step()
        factors = trainer._fit.state.factors(trainer._fit.state.terms)
        check(record.diagnostics, facts_of_all_layers(network, factors, X))


@pytest.mark.parametrize("rank_budget", [np.inf, 1])
def test_gradient_descent_is_measured_as_defined_before_and_after_a_flush(rank_budget):
    network = wide()
    options = {"rank_budget": rank_budget, "diagnostics": True}
    trainer = LowRankGradientDescent(network, step_size="auto", **options)
    kept = LowRankGradientDescent(network, step_size="auto", rank_budget=np.inf)
    for _ in range(2):
        record = trainer.step(X[:9], Y[:9])
        kept.step(X[:9], Y[:9])
        facts = facts_of_all_layers(network, [W.factors for W in kept.weights], X[:9])
        check(record.diagnostics, facts)


# ---- batches
@pytest.mark.parametrize("dynamics", ["network", "kernel"])
def test_stochastic_descent_is_measured_on_the_points_of_its_batch(dynamics):
    network = PairedNetwork(5, width=512, n_outputs=2, scale=2.0, rng=4)
    y = RNG.standard_normal((18, 2))
    trainer = HalfSpaceSGD(network, dynamics=dynamics, learning_rate=4.0, diagnostics=True)
    for _ in range(3):
        record = trainer.step(X, y)
        change = trainer.weights - network.weights
        moving = trainer.weights if dynamics == "network" else network.weights
        fired = [X @ W.T >= network.shift for W in (moving, network.weights)]
        readout = network.factor * network.signs[:, 0]
        now, first = (dense_jacobian([(D * readout, X)]) for D in fired)
        flips = np.count_nonzero(fired[0] != fired[1])
        check(record.diagnostics, expected(now, first, [change], flips))
    assert (record.diagnostics.flips > 0) == (dynamics == "network")


# ---- on request, and without consequences
def trainers(**options):
    """One of each, on the same targets."""
    network = FactoredNetwork(5, width=256, inner_size=4, rng=2)
    yield LastLayerGaussNewton(problem()[0], problem()[2], max_steps=4, **options)
    yield LastLayerGaussNewton(
        problem()[0], problem()[2], regularization=0.1, search_kinks=False, **options
    )
    yield TwoLayerGaussNewton(TwoLayerNetwork(5, 128, rng=1), X, Y, max_steps=4, **options)
    yield AllLayersGaussNewton(wide(), X, Y, max_steps=4, **options)
    yield FactoredGaussNewton(network, X, Y, max_steps=4, **options)
    yield FactoredGradientDescent(network, X, Y, max_steps=4, **options)


def test_diagnostics_change_no_step_and_are_absent_unless_asked_for():
    pairs = zip(trainers(diagnostics=True), trainers(), strict=True)
    for asked, plain in pairs:
        quietly(asked.run)
        quietly(plain.run)
        np.testing.assert_array_equal(asked.outputs, plain.outputs)
        assert all(record.diagnostics is None for record in plain.history)
        assert all(record.diagnostics is not None for record in asked.history)
        assert "diagnose" in asked.history[0].seconds
        assert "diagnose" not in plain.history[0].seconds


@pytest.mark.parametrize("make", [HalfSpaceSGD, LowRankGradientDescent])
def test_diagnostics_change_no_step_of_a_trainer_of_batches(make):
    network, options = PairedNetwork(5, width=512, rng=4), {"learning_rate": 1.0}
    if make is LowRankGradientDescent:
        network, options = wide(), {"step_size": "auto"}
    asked, plain = (make(network, diagnostics=d, **options) for d in (True, False))
    for trainer in (asked, plain):
        trainer.step(X, Y)
        trainer.step(X, Y)
    np.testing.assert_array_equal(asked.outputs(X), plain.outputs(X))
    assert plain.history[0].diagnostics is None


def test_a_resumed_fit_compares_with_the_network_as_it_came():
    layer, _, y = problem()
    first, second = (LastLayerGaussNewton(layer, y, diagnostics=True) for _ in range(2))
    first.step()
    state = first.state_dict()
    second.load_state_dict(state)
    assert second.step().diagnostics == first.step().diagnostics


def test_records_with_and_without_diagnostics_are_written_and_read():
    layer, _, y = problem()
    for asked in (True, False):
        record = LastLayerGaussNewton(layer, y, diagnostics=asked).step()
        json = Writer().encode("record", record)
        assert ("diagnostics" in json["step"]["dict"]) == asked  # older versions know no such field
        assert Reader({}).decode(json) == record
