"""LastLayerGaussNewton takes the steps of its definition, and returns the best iterate."""

import numpy as np
import pytest
import reference_gauss_newton as reference
from layers import OUTPUTS, change, fit, problem, quietly, residual_norms
from reference_network import gram

from subquad.activations import ShiftedReLU, ThresholdedReLU
from subquad.lowrank import LowRankMaintenance
from subquad.networks import LastLayer
from subquad.training import LastLayerGaussNewton


# the definition -----------------------------------------------------------------------------------
@pytest.mark.parametrize(("readout", "n_outputs"), OUTPUTS)
@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_steps_are_those_of_explicit_jacobians(readout, n_outputs, shift):
    layer, dense, y = problem(readout=readout, n_outputs=n_outputs, shift=shift, m=480)
    norms, W = reference.gauss_newton(dense, y, 3)
    trainer = LastLayerGaussNewton(layer, y, tol=1e-13)
    for _ in range(3):
        trainer.step()
    scale = norms[0]
    np.testing.assert_allclose(
        residual_norms(trainer, layer, y), norms, rtol=1e-7, atol=1e-9 * scale
    )
    np.testing.assert_allclose(change(trainer), W - dense.W, rtol=0, atol=1e-8)
    np.testing.assert_allclose(trainer.outputs, dense.outputs(W), rtol=0, atol=1e-8)


@pytest.mark.parametrize(("readout", "n_outputs"), OUTPUTS)
@pytest.mark.parametrize("mu", [0.5, 40.0])
def test_damped_step_is_that_of_the_explicit_normal_equations(readout, n_outputs, mu):
    layer, dense, y = problem(1, readout=readout, n_outputs=n_outputs)
    trainer = LastLayerGaussNewton(layer, y, damping=mu)
    record = trainer.step()
    J = dense.jacobian(dense.W)
    g = np.linalg.solve(J @ J.T + mu * np.eye(len(J)), (dense.outputs(dense.W) - y).ravel())
    assert record.damping == mu
    np.testing.assert_allclose(change(trainer), -(J.T @ g).reshape(dense.W.shape), atol=1e-9)


def test_dense_readout_solves_the_full_system():
    # Block-preconditioned conjugate gradients against one solve with the explicit nC x nC matrix.
    layer, dense, y = problem(2, readout="dense", n_outputs=4)
    G = gram(dense, dense.W)
    g = np.linalg.solve(G, (dense.outputs(dense.W) - y).ravel()).reshape(24, 4)
    trainer = LastLayerGaussNewton(layer, y)
    record = trainer.step()
    A, _ = trainer.factors
    u = dense.scale * dense.mask(dense.W)
    # The iteration ends at 1e-8 of the right-hand side; the blocks leave a small condition number.
    np.testing.assert_allclose(A, -u * (g @ dense.readout), rtol=0, atol=1e-7 * np.abs(A).max())
    assert 0 < record.n_iterations < 60


def test_partitioned_outputs_are_trained_as_if_alone():
    layer, _, y = problem(3, readout="partition", n_outputs=3, m=480)
    together = LastLayerGaussNewton(layer, y)
    together.step()
    for c in range(3):
        block = slice(160 * c, 160 * (c + 1))
        alone = LastLayer(
            layer.features,
            layer.preactivations[:, block].copy(),
            layer.readout[c, block].copy(),
            layer.activation,
            thresholds=layer.thresholds,
        )
        trainer = LastLayerGaussNewton(alone, y[:, c])
        trainer.step()
        np.testing.assert_allclose(trainer.outputs[:, 0], together.outputs[:, c], atol=1e-10)


@pytest.mark.parametrize("seed", [0, 2, 3])
def test_safeguard_is_the_nonmonotone_rule(seed):
    # More data than the width can follow: some steps are rejected, damped and tried again.
    layer, dense, y = problem(seed, n=60, m=80, m_in=4, shift=0.0)
    expected = reference.levenberg_marquardt(dense, y, 12)
    assert expected.steps.max() > 0  # the safeguard is needed here
    trainer = LastLayerGaussNewton(layer, y, max_steps=12)
    quietly(trainer.run)
    found = residual_norms(trainer, layer, y)
    # Rounding is amplified from step to step by flips; the first steps are compared closely.
    np.testing.assert_allclose(found[:7], expected.norms[:7], rtol=1e-5)
    dampings = [record.damping for record in trainer.history]
    np.testing.assert_allclose(dampings[:6], expected.steps[:6], rtol=1e-6)


@pytest.mark.parametrize(
    ("cls", "seed", "shift", "max_steps"),
    [(ShiftedReLU, 1, 0.0, 3), (ThresholdedReLU, 3, 0.3, 15), (ThresholdedReLU, 5, 0.3, 15)],
)
def test_best_iterate_is_returned_where_it_is_not_the_last(cls, seed, shift, max_steps):
    layer, _, y = problem(seed, n=60, m=80, m_in=4, shift=shift, cls=cls)
    trainer = fit(layer, y, max_steps=max_steps)
    norms = residual_norms(trainer, layer, y)
    assert norms.argmin() < len(norms) - 1
    assert trainer.residual_norm == pytest.approx(norms.min(), rel=1e-12)  # evaluated anew
    assert np.linalg.norm(trainer.outputs - y) == pytest.approx(norms.min(), rel=1e-9)
    recomputed = layer.outputs(trainer.factors)
    np.testing.assert_allclose(recomputed, trainer.outputs, rtol=0, atol=1e-7)


def test_interrupted_run_keeps_the_best_iterate_and_can_go_on():
    layer, _, y = problem(4, n=60, m=200, m_in=8)

    def interrupt(record):
        if record.step == 2:
            raise KeyboardInterrupt

    trainer = LastLayerGaussNewton(layer, y, callback=interrupt)
    with pytest.raises(KeyboardInterrupt):
        trainer.run()
    assert len(trainer.history) == 2
    assert trainer.residual_norm == residual_norms(trainer, layer, y).min()
    np.testing.assert_allclose(layer.outputs(trainer.factors), trainer.outputs, atol=1e-9)
    assert not trainer.converged
    quietly(trainer.run)
    assert len(trainer.history) > 2
    uninterrupted = fit(layer, y)
    np.testing.assert_allclose(
        residual_norms(trainer, layer, y),
        residual_norms(uninterrupted, layer, y),
        rtol=1e-9,
        atol=1e-12,
    )


def test_error_of_a_callback_keeps_the_best_iterate():
    layer, _, y = problem(4, n=60, m=200, m_in=8)

    def fail(record):
        raise RuntimeError("the callback's own")

    trainer = LastLayerGaussNewton(layer, y, callback=fail)
    with pytest.raises(RuntimeError, match="the callback's own"):
        trainer.run()
    np.testing.assert_allclose(layer.outputs(trainer.factors), trainer.outputs, atol=1e-9)
    assert trainer.residual_norm < residual_norms(trainer, layer, y)[0]


# the paper's own path -----------------------------------------------------------------------------
@pytest.mark.parametrize("rank_budget", [1, 8, 60, np.inf])
@pytest.mark.parametrize(
    "options",
    [{}, {"n_outputs": 3, "readout": "partition"}, {"n_outputs": 2, "readout": "dense"}],
    ids=["one", "partition", "dense"],
)
def test_maintained_weights_follow_the_same_path(rank_budget, options):
    layer, dense, y = problem(19, m=480, **options)
    plain = LastLayerGaussNewton(layer, y, tol=1e-9).run()
    maintained = LowRankMaintenance(dense.W, rank_budget=rank_budget)
    trainer = LastLayerGaussNewton(layer, y, tol=1e-9, maintenance=maintained).run()
    size = residual_norms(plain, layer, y)[0]
    np.testing.assert_allclose(
        residual_norms(trainer, layer, y), residual_norms(plain, layer, y), rtol=0, atol=1e-9 * size
    )
    np.testing.assert_allclose(maintained.to_dense() - dense.W, change(plain), atol=1e-8)


@pytest.mark.parametrize("seed", [1, 3, 5])
def test_maintained_weights_end_at_the_best_iterate(seed):
    # Where f jumps the last iterate need not be the best.
    layer, dense, y = problem(seed, n=60, m=80, m_in=4, shift=0.3, cls=ThresholdedReLU)
    plain = fit(layer, y, max_steps=15)
    maintained = LowRankMaintenance(dense.W, rank_budget=20)
    trainer = fit(layer, y, maintenance=maintained, max_steps=15)
    np.testing.assert_allclose(
        residual_norms(trainer, layer, y), residual_norms(plain, layer, y), rtol=1e-5
    )
    found = maintained.to_dense()
    np.testing.assert_allclose(found - dense.W, change(trainer), rtol=0, atol=1e-9)
    final = np.linalg.norm(dense.outputs(found) - y)
    assert final == pytest.approx(trainer.residual_norm, rel=1e-6)
