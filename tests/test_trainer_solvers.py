"""`solver=` of the trainers: every kind of readout and state, by name and by object."""

import functools

import numpy as np
import pytest
from layers import OUTPUTS, fit, problem, quietly
from reference_factored import Factored

from subquad.lowrank import LowRankMaintenance
from subquad.networks import FactoredNetwork, WideNetwork
from subquad.solvers import AutoSolver, ExactSolver, PcgSolver, SketchSolver, Solution
from subquad.training import FactoredGaussNewton, LastLayerGaussNewton


@pytest.mark.parametrize("regularization", [0.0, 1e-2])
@pytest.mark.parametrize(("readout", "n_outputs"), OUTPUTS)
def test_accurate_solvers_give_the_trajectory_of_the_exact_one(readout, n_outputs, regularization):
    layer, _, y = problem(readout=readout, n_outputs=n_outputs)
    options = {"regularization": regularization, "max_steps": 3}
    expected = fit(layer, y, **options)
    for solver in (PcgSolver(rng=0, rtol=1e-12), ExactSolver(), AutoSolver(rtol=1e-12)):
        trainer = fit(layer, y, solver=solver, **options)
        np.testing.assert_allclose(trainer.outputs, expected.outputs, rtol=1e-6, atol=1e-7)
        assert trainer.change_norm == pytest.approx(expected.change_norm, rel=1e-6)
        assert [record.flips for record in trainer.history] == [
            record.flips for record in expected.history
        ]


@pytest.mark.parametrize(("readout", "n_outputs"), OUTPUTS)
def test_sketch_and_solve_trains_every_readout(readout, n_outputs):
    layer, _, y = problem(n=12, m=900, readout=readout, n_outputs=n_outputs)
    solver = SketchSolver(64 * 12 * n_outputs, rng=0)
    trainer = fit(layer, y, solver=solver, max_steps=30)
    assert trainer.relative_residual < 1e-6


@pytest.mark.parametrize("solver", ["exact", PcgSolver(rng=0, rtol=1e-12)])
def test_sample_weights_enter_every_solver(solver, rng):
    layer, _, y = problem()
    weights = rng.random(24)
    weights[[3, 5]] = 0.0
    trainer = fit(layer, y, solver=solver, sample_weight=weights, regularization=0.1)
    left_out = weights > 0
    again = fit(layer, y, sample_weight=weights, regularization=0.1)
    np.testing.assert_allclose(trainer.outputs[left_out], again.outputs[left_out], rtol=1e-5)


def test_weights_kept_by_low_rank_maintenance_are_trained_by_any_solver():
    network = WideNetwork(6, width=300, rng=0)
    X = np.random.default_rng(1).standard_normal((15, 6))
    layer, y = network.last_layer(X), X[:, 0] * X[:, 1]
    plain = LastLayerGaussNewton(layer, y).run()
    W = network.weights[-1]
    for solver in (PcgSolver(rng=0), "auto"):
        kept = LowRankMaintenance(W._columns.T.copy())
        trainer = LastLayerGaussNewton(layer, y, maintenance=kept, solver=solver).run()
        np.testing.assert_allclose(trainer.outputs, plain.outputs, atol=1e-8)


def test_the_history_tells_solver_iterations_sketch_size_and_condition():
    layer, _, y = problem()
    kappa = np.linalg.cond(_first_gram(layer, y))
    for solver, name, size, iterates in [
        ("exact", "exact", 0, False),
        ("sketch", "sketch", 16 * 24, False),
        ("pcg", "pcg", 4 * 24, True),
        ("auto", "exact", 0, False),
        (ExactSolver(), "exact", 0, False),
        (PcgSolver(200), "pcg", 200, True),
        (PcgSolver(landmarks=10), "pcg", 10, True),
    ]:
        record = quietly(LastLayerGaussNewton(layer, y, solver=solver).step)
        assert (record.solver, record.sketch_size) == (name, size)
        assert (record.n_iterations > 0) is iterates
        assert kappa / 30 <= record.condition <= 30 * kappa


def _first_gram(layer, y):
    trainer = quietly(LastLayerGaussNewton, layer, y)
    (G,) = trainer._fit.state.linearise().grams
    return G


def test_iterations_are_few_and_stop_early_by_default():
    layer, _, y = problem()
    trainer = fit(layer, y, solver="pcg")
    assert trainer.converged
    assert max(record.n_iterations for record in trainer.history) <= 16  # to 1e-3, c = 4


@pytest.mark.parametrize(("readout", "n_outputs"), OUTPUTS)
@pytest.mark.parametrize("solver", ["pcg", "auto"])
def test_leave_one_out_chooses_the_same_regularisation_with_every_solver(
    solver, readout, n_outputs
):
    layer, _, y = problem(readout=readout, n_outputs=n_outputs)
    expected = fit(layer, y, regularization="loo", centred=True, max_steps=2)
    trainer = fit(layer, y, regularization="loo", centred=True, max_steps=2, solver=solver)
    assert trainer.regularization_ == pytest.approx(expected.regularization_, rel=1e-12)
    assert trainer.loo_error == pytest.approx(expected.loo_error, rel=1e-2)


class Jacobi:
    """A user's own solver, on the public parts of a Jacobian alone."""

    name = "jacobi"

    def solve(self, J, c, damping=0.0):
        x = np.zeros(J.n)
        for _ in range(200):
            x += 0.2 * (c - J.product(x) - damping * x) / (J.diagonal() + damping)
        return Solution(x, 200, 0.0, True, "Done.")


def test_an_object_of_the_users_own_solves():
    layer, _, y = problem()
    trainer = fit(layer, y, solver=Jacobi())
    assert trainer.converged
    assert trainer.history[0].solver == "jacobi"
    assert trainer.history[0].n_iterations == 200
    assert np.isnan(trainer.history[0].condition)


def test_what_is_no_solver_is_refused():
    layer, _, y = problem()
    with pytest.raises(ValueError, match=r"^solver must be 'exact', 'sketch', 'pcg' or 'auto'"):
        LastLayerGaussNewton(layer, y, solver="qr")
    for wrong in (None, 3, PcgSolver, object()):
        with pytest.raises(TypeError, match=r"^solver must be a name or an object"):
            LastLayerGaussNewton(layer, y, solver=wrong)
    with pytest.raises(ValueError, match=r"^sketch_size must be at least n=24"):
        fit(layer, y, solver=PcgSolver(10))


FACTORED = [
    ({"outer_size": None}, 1),
    ({"outer_size": None}, 3),
    ({"outer_size": 64}, 1),
    ({"outer_size": 64}, 3),
    ({"outer_size": 64, "sketch": "gaussian"}, 2),
]


def factored(kind, n_outputs, dtype=np.float64, **options):
    """A network of two or three factors, points on the sphere with targets, and their trainer."""
    rng = np.random.default_rng(1)
    X, y = rng.standard_normal((24, 16)), rng.standard_normal((24, n_outputs))
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    network = FactoredNetwork(
        16, width=1024, inner_size=16, n_outputs=n_outputs, rng=7, dtype=dtype, **kind
    )
    make = functools.partial(FactoredGaussNewton, network, X, y)
    return network, X, functools.partial(make, **options)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("regularization", [0.0, 1e-2, "loo"])
@pytest.mark.parametrize(("kind", "n_outputs"), FACTORED)
def test_factored_networks_take_the_same_steps_with_accurate_solvers(
    kind, n_outputs, regularization, weighted
):
    weights = np.random.default_rng(2).uniform(0.5, 2.0, 24) if weighted else None
    options = {"regularization": regularization, "sample_weight": weights, "centred": True}
    _, _, trainer = factored(kind, n_outputs, **options)
    expected = trainer()
    others = [
        trainer(solver=solver)
        for solver in (ExactSolver(), PcgSolver(rng=0, rtol=1e-12), AutoSolver(rtol=1e-12))
    ]
    for _ in range(2):
        record = expected.step()
        for other in others:
            step = other.step()
            assert step.flips == record.flips
            assert other.regularization_ == pytest.approx(expected.regularization_, rel=1e-6)
            np.testing.assert_allclose(other.outputs, expected.outputs, atol=1e-7)
            assert other.change_norm == pytest.approx(expected.change_norm, rel=1e-6)
    if regularization == "loo":
        assert others[0].loo_error == pytest.approx(expected.loo_error, rel=1e-6)


@pytest.mark.parametrize(("kind", "n_outputs"), FACTORED)
def test_the_system_of_a_factored_network_is_that_of_its_jacobian(kind, n_outputs):
    network, X, trainer = factored(kind, n_outputs, solver="pcg")
    (block,) = trainer()._fit.state.linearise().jacobians
    J = Factored.of(network).jacobian(X)  # rows (c, i)
    J = J.reshape(n_outputs, 24, -1).swapaxes(0, 1).reshape(24 * n_outputs, -1)
    G, g = J @ J.T, np.random.default_rng(0).standard_normal(24 * n_outputs)
    assert not block.formed
    np.testing.assert_allclose(block.product(g), G @ g, atol=1e-12 * np.linalg.norm(G))
    np.testing.assert_allclose(block.diagonal(), G.diagonal(), rtol=1e-12)
    np.testing.assert_allclose(block.columns(np.array([5, 2])), G[:, [5, 2]], atol=1e-12)
    np.testing.assert_allclose(block.gram(), G, atol=1e-12)


@pytest.mark.parametrize(("kind", "n_outputs"), FACTORED)
def test_factored_networks_record_their_solver(kind, n_outputs):
    network, X, trainer = factored(kind, n_outputs)
    rows, J = 24 * n_outputs, Factored.of(network).jacobian(X)
    kappa = np.linalg.cond(J) ** 2
    for solver, name, size, iterates in [
        ("sketch", "sketch", 16 * rows, False),
        ("pcg", "pcg", 4 * rows, True),
        ("auto", "exact", 0, False),
        (ExactSolver(), "exact", 0, False),
        (PcgSolver(landmarks=10), "pcg", 10, True),
    ]:
        record = quietly(trainer(solver=solver).step)
        assert (record.solver, record.sketch_size) == (name, size)
        assert (record.n_iterations > 0) is iterates
        assert kappa / 30 <= record.condition <= 30 * kappa
    record = trainer().step()
    assert (record.solver, record.sketch_size) == ("exact", 0)
    assert (record.n_iterations > 0) is (n_outputs > 1)  # conjugate gradients on what is shared


@pytest.mark.parametrize(("kind", "n_outputs"), FACTORED)
def test_factored_networks_interpolate_with_every_solver(kind, n_outputs):
    for solver in ("pcg", "auto", SketchSolver(64 * 24 * n_outputs, rng=0)):
        _, _, trainer = factored(kind, n_outputs, solver=solver, tol=1e-6)
        assert quietly(trainer().run).converged
    _, _, trainer = factored(kind, n_outputs, np.float32, solver="pcg", tol=1e-5)
    assert quietly(trainer().run).converged
