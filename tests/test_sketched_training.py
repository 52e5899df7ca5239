"""Sketched equations as printed: kinds, sizes, precisions, seeds, and no Gram matrix."""

import math

import numpy as np
import pytest
import reference_network as reference
from layers import problem, quietly

from subquad import jacobian
from subquad.jacobian import KhatriRao, MatrixFreeJacobian
from subquad.networks import FactoredNetwork, TwoLayerNetwork, WideNetwork
from subquad.sketch import TensorSketch, TensorSRHT
from subquad.solvers import PcgSolver, SketchSolver, gram_solve
from subquad.training import (
    AllLayersGaussNewton,
    FactoredGaussNewton,
    LastLayerGaussNewton,
    TwoLayerGaussNewton,
)

KINDS = {"TensorSketch": TensorSketch, "TensorSRHT": TensorSRHT}
RNG = np.random.default_rng(11)
U, V, C = RNG.standard_normal((24, 60)), RNG.standard_normal((24, 50)), RNG.standard_normal(24)
G = (U @ U.T) * (V @ V.T)


# ---- kinds and sizes
@pytest.mark.parametrize("kind", KINDS)
def test_the_equation_of_the_sketch_that_is_named_is_solved(kind):
    S = KINDS[kind]((60, 50), 300, rng=7)
    rows = S.apply(U, V)
    solution = SketchSolver(300, kind=kind, rng=7).solve(KhatriRao(U, V), C)
    np.testing.assert_allclose(solution.x, np.linalg.solve(rows @ rows.T, C), rtol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("solver", [SketchSolver, PcgSolver])
def test_layers_and_weights_are_sketched_by_either_kind(kind, solver):
    J = jacobian.JacobianSum([KhatriRao(U, V), KhatriRao(V, U)])
    weights = np.linspace(0.5, 2.0, 24)
    solution = solver(480, kind=kind, rng=0, rtol=1e-8).solve(J, C, 0.1, weights)
    expected = np.linalg.solve(2 * G + np.diag(0.1 / weights), C)
    accurate = 1e-6 if solver is PcgSolver else 2 * solution.info["error_estimate"]
    assert np.linalg.norm(solution.x - expected) <= accurate * np.linalg.norm(expected)


@pytest.mark.parametrize("kind", KINDS)
def test_epsilon_stands_for_the_size_whose_law_gives_it(kind):
    info = SketchSolver(epsilon=0.25, kind=kind, rng=0).solve(KhatriRao(U, V), C).info
    assert info["sketch_size"] == math.ceil(24 / (math.sqrt(1.25) - 1) ** 2)
    assert info["epsilon"] == pytest.approx(0.25, rel=1e-3)


def test_no_more_coordinates_are_sampled_than_there_are():
    J = KhatriRao(U, V)
    solution = SketchSolver(epsilon=1e-3, kind="TensorSRHT", rng=0).solve(J, C)
    assert solution.info["sketch_size"] == 64 * 56  # orders of Hadamard matrices
    np.testing.assert_allclose(G @ solution.x, C, atol=1e-10)  # all of them: an isometry


# ---- the precision of the theorems
def printed_precision():
    return math.sqrt(np.linalg.eigvalsh(G)[0] / (G.diagonal().mean() * 24))


def test_the_printed_precision_sets_the_size():
    # lambda_min is estimated by 16 n columns, whose eps is .56: its root is off by a third or so.
    info = SketchSolver(epsilon="theorem", rng=0).solve(KhatriRao(U, V), C).info
    assert 0.6 < info["epsilon"] / printed_precision() < 1.5


@pytest.mark.parametrize("scale", [1.0, 1e-3, 1e3])
def test_the_printed_precision_stops_the_iterations_in_any_units(scale):
    solution = PcgSolver(16 * 24, rtol="theorem", rng=0).solve(KhatriRao(scale * U, V), C)
    assert 0.6 < solution.info["rtol"] / printed_precision() < 1.5
    assert solution.converged
    assert np.linalg.norm(scale**2 * G @ solution.x - C) <= solution.info["rtol"] * 1.01 * (
        np.linalg.norm(C)
    )


def test_landmarks_know_the_printed_precision_as_well():
    solution = PcgSolver(landmarks=24, rtol="theorem", rng=0).solve(KhatriRao(U, V), C)
    assert solution.info["rtol"] == pytest.approx(printed_precision(), rel=1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SketchSolver(100, epsilon=0.5), "^epsilon must be None where sketch_size"),
        (lambda: SketchSolver(epsilon="printed"), "^epsilon must be a number or 'theorem'"),
        (lambda: SketchSolver(epsilon=0.0), "^epsilon must be"),
        (lambda: PcgSolver(rtol="printed"), "^rtol must be a number or 'theorem'"),
        (lambda: SketchSolver(kind="SRHT"), "^kind must be 'TensorSketch' or 'TensorSRHT'"),
        (lambda: PcgSolver(kind=3), "^kind must be"),
    ],
)
def test_what_is_no_size_precision_or_kind_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# ---- sizes that converge
def test_messages_name_sizes_that_converge():
    J = KhatriRao(U, V)
    with pytest.raises(ValueError, match=r"from 8 n = 192 on; 384 is good\.$"):
        gram_solve(J, C, "sketch", sketch_size=10)
    with pytest.raises(ValueError, match=r"48 is the smallest sensible size for 'pcg', 96"):
        gram_solve(J, C, "pcg", sketch_size=10)


def test_steps_converge_with_the_sizes_that_messages_name_and_not_below():
    X = reference.sphere(32, 8, np.random.default_rng(0))
    layer, y = WideNetwork(8, width=1024, rng=0).last_layer(X), np.sign(RNG.standard_normal(32))
    ends = {}
    for c in (2, 8, 16):
        trainer = LastLayerGaussNewton(layer, y, solver=SketchSolver(c * 32, rng=0))
        ends[c] = quietly(trainer.run)
    assert ends[8].converged
    assert ends[16].converged
    assert len(ends[16].history) < len(ends[8].history)
    assert ends[2].relative_residual > 1e-3
    assert ends[2].message.endswith(
        "A sketch of 64 columns is small for 32 rows: steps converge from 256 on, and 512 is a "
        "good size."
    )


# ---- seeds
def trainers(rng):
    layer, _, y = problem()
    X, t = reference.sphere(20, 6, np.random.default_rng(1)), np.random.default_rng(2).random(20)
    options = {"solver": "sketch", "rng": rng, "max_steps": 2}
    yield LastLayerGaussNewton(layer, y, **options)
    yield AllLayersGaussNewton(WideNetwork(6, width=256, rng=0), X, t, **options)
    yield TwoLayerGaussNewton(TwoLayerNetwork(6, 256, rng=0), X, t, **options)
    yield FactoredGaussNewton(FactoredNetwork(6, width=256, inner_size=4, rng=0), X, t, **options)


def test_a_named_solver_is_reproducible_by_a_seed():
    first, second, other = (list(trainers(rng)) for rng in (3, 3, 4))
    for one, same, different in zip(first, second, other, strict=True):
        for trainer in (one, same, different):
            quietly(trainer.run)
        np.testing.assert_array_equal(one.outputs, same.outputs)
        assert not np.array_equal(one.outputs, different.outputs)


# ---- [BPSW21] at its own cost
def fired_problem(rng, n=45, m=70, d=6):
    X, D = rng.standard_normal((n, d)), rng.random((m, n)) < 0.4
    readout = rng.choice([-1.0, 1.0], m)
    J = MatrixFreeJacobian(np.packbits(D, axis=1, bitorder="little"), readout, X)
    return J, KhatriRao(np.ascontiguousarray(D.T * readout), X)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n", [1, 8, 45])
def test_bits_are_sketched_some_points_at_a_time(kind, n, rng, monkeypatch):
    J, dense = fired_problem(rng, n=n)
    S = J.draw_sketch(128, 0, kind)
    assert isinstance(S, KINDS[kind])
    # The size of blocks stands in the module, which the package does not export.
    monkeypatch.setitem(MatrixFreeJacobian.sketch.__globals__, "_BLOCK_BYTES", 1)
    np.testing.assert_allclose(J.sketch(S), dense.sketch(S), rtol=1e-12, atol=1e-12)


def test_a_sketched_preconditioner_forms_no_gram_matrix(monkeypatch):
    X, y = reference.sphere(60, 6, np.random.default_rng(1)), RNG.standard_normal(60)
    network = TwoLayerNetwork(6, 1024, rng=0)
    exact = TwoLayerGaussNewton(network, X, y, solver="exact").run()

    def refuse(*_):
        raise AssertionError("G, or U of all points, was formed")

    for name in ("_form", "columns", "gram"):
        monkeypatch.setattr(MatrixFreeJacobian, name, refuse)
    trainer = TwoLayerGaussNewton(network, X, y, solver="sketch-pcg", rng=0).run()
    assert trainer.solver == "sketch-pcg"
    assert trainer.converged
    assert {record.sketch_size for record in trainer.history} == {240}
    np.testing.assert_allclose(trainer.outputs, exact.outputs, atol=1e-8)
    kept = PcgSolver(forms_gram=False, kind="TensorSRHT", rng=0)
    again = TwoLayerGaussNewton(network, X, y, solver=kept, sample_weight=np.arange(1.0, 61)).run()
    assert again.converged


def test_any_jacobian_may_be_left_unformed():
    J = KhatriRao(U, V)
    solution = PcgSolver(forms_gram=False, rtol=1e-8, rng=0).solve(J, C)
    assert solution.converged
    assert not J.formed
