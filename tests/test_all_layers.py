"""AllLayersGaussNewton against explicit Jacobians, and what it promises beside."""

import numpy as np
import pytest
import reference_all_layers as reference
import scipy.sparse

from subquad.activations import ReLU, ShiftedReLU
from subquad.jacobian import JacobianSum
from subquad.networks import WideNetwork
from subquad.networks._passes import as_changes
from subquad.ntk import empirical_ntk
from subquad.solvers import PcgSolver
from subquad.training import AllLayersGaussNewton, LastLayerGaussNewton, TrainingWarning
from subquad.training.all_layers import _state


def problem(n=12, d=5, n_outputs=1, width=160, depth=3, seed=0, **options):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d))
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    y = np.column_stack([np.sin(3 * X[:, c]) * X[:, c + 1] for c in range(n_outputs)])
    options = {"activation": ShiftedReLU(0.1), "rng": seed} | options
    network = WideNetwork(d, width=width, depth=depth, n_outputs=n_outputs, **options)
    return network, X, y


def dense(network):
    """Arguments of the reference."""
    weights = [W.to_dense() for W in network.weights]
    return weights, network.readout, network.activation, network.weight_std


@pytest.mark.parametrize("depth", [2, 4])
@pytest.mark.parametrize(
    ("n_outputs", "readout"), [(1, "partition"), (2, "partition"), (2, "dense")]
)
@pytest.mark.parametrize("weighted", [False, True])
def test_steps_are_those_of_explicit_jacobians(depth, n_outputs, readout, weighted):
    network, X, y = problem(n_outputs=n_outputs, depth=depth, readout=readout)
    sample_weight = np.linspace(0.5, 2.0, len(X)) if weighted else None
    trainer = AllLayersGaussNewton(network, X, y, sample_weight=sample_weight, min_active=0)
    weights, a, phi, std = dense(network)
    norms, moved = reference.trajectory(
        weights, a, X, y, phi, std, steps=2, sample_weight=sample_weight
    )
    ours = [trainer.step() for _ in range(2)]
    assert all(record.damping == 0 for record in ours)  # or the reference damps nothing
    residuals = np.array([record.relative_residual for record in ours])
    np.testing.assert_allclose(residuals, norms[1:], rtol=1e-9, atol=1e-12)
    changes = [A.T @ B for A, B in trainer._fit.state.factors(trainer._fit.state.terms)]
    for W, W_moved, change in zip(weights, moved, changes, strict=True):
        size = np.linalg.norm(W_moved - W)
        assert np.linalg.norm(change - (W_moved - W)) <= 1e-9 * size


@pytest.mark.parametrize("n_outputs", [1, 2])
def test_a_regularised_step_is_that_of_explicit_jacobians(n_outputs):
    network, X, y = problem(n_outputs=n_outputs, width=512)
    trainer = AllLayersGaussNewton(network, X, y, regularization=1e-1, min_active=0)
    weights, a, phi, std = dense(network)
    norms, _ = reference.trajectory(weights, a, X, y, phi, std, steps=2, mu=1e-1)
    ours = []
    for _ in range(2):
        record = trainer.step()
        assert record.damping == 0
        ours.append(record.relative_residual)
    np.testing.assert_allclose(ours, norms[1:], rtol=1e-9)


@pytest.mark.parametrize("weights", ["dense", "implicit"])
@pytest.mark.parametrize("activation", [ReLU(), ShiftedReLU(1.0)])
def test_a_deep_network_interpolates_and_its_factors_give_the_outputs(weights, activation):
    network, X, y = problem(n=30, width=1024, weights=weights, activation=activation)
    trainer = AllLayersGaussNewton(network, X, y).run()
    assert trainer.converged
    assert trainer.relative_residual < 1e-10
    np.testing.assert_allclose(network.outputs(X, trainer.factors), y, atol=1e-10)
    assert trainer.rank == 30 * len(trainer.history)
    squares = [np.linalg.norm(A.T @ B) ** 2 for A, B in trainer.factors]
    np.testing.assert_allclose(trainer.layer_changes, np.sqrt(squares))
    np.testing.assert_allclose(trainer.change_norm, np.sqrt(sum(squares)), rtol=1e-6)


def test_float32_and_int8_weights_reach_their_floor():
    network, X, y = problem(n=30, width=1024, weights="int8", dtype=np.float32)
    trainer = AllLayersGaussNewton(network, X, y, tol=1e-5).run()
    assert trainer.converged
    again = network.outputs(X, trainer.factors)
    assert np.linalg.norm(again - y) <= 2e-5 * np.linalg.norm(network.outputs(X) - y)


def test_the_gram_matrix_is_that_of_the_empirical_kernel():
    network, X, y = problem(n=9, width=128)
    trainer = AllLayersGaussNewton(network, X, y, min_active=0)
    equation = trainer._fit.state.linearise()
    (J,) = equation.jacobians
    assert isinstance(J, JacobianSum)
    for level, part in enumerate(J.parts, 1):
        K = empirical_ntk(network, X, layer=level)
        np.testing.assert_allclose(part.gram() / network.width, K, rtol=1e-10, atol=1e-12)


def test_the_last_layer_alone_is_the_last_layer_of_all():
    network, X, y = problem(n=9, width=256)
    ours = AllLayersGaussNewton(network, X, y, min_active=0)
    last = LastLayerGaussNewton(network.last_layer(X), y, min_active=0)
    G = ours._fit.state.linearise().jacobians[0].parts[-1].gram()
    np.testing.assert_allclose(G, last._fit.state.linearise().grams[0], rtol=1e-10)


def test_weights_that_are_whole_numbers_are_repetitions():
    network, X, y = problem(n=8, width=256)
    counts = np.arange(8) % 3 + 1.0
    options = {"regularization": 1e-2, "min_active": 0}
    weighted = AllLayersGaussNewton(network, X, y, sample_weight=counts, **options)
    repeated = AllLayersGaussNewton(
        network, *(np.repeat(a, counts.astype(int), axis=0) for a in (X, y)), **options
    )
    for _ in range(2):
        ours, theirs = weighted.step(), repeated.step()
        np.testing.assert_allclose(ours.objective, theirs.objective, rtol=1e-9)


def test_results_do_not_depend_on_the_number_of_threads():
    network, X, y = problem(n=40, width=512)
    one, two = (AllLayersGaussNewton(network, X, y, n_threads=k, max_steps=3) for k in (1, 2))
    for trainer in (one, two):
        for _ in range(3):
            trainer.step()
    assert np.array_equal(one.outputs, two.outputs)


def test_a_point_without_a_neuron_is_named_and_harms_nothing():
    network, X, y = problem(n=10, width=512)
    X[4] = 0
    trainer = AllLayersGaussNewton(network, X, y, max_steps=4)
    with pytest.warns(TrainingWarning, match="data point 4"):
        trainer.step()
    assert np.isfinite(trainer.outputs).all()
    assert trainer.outputs[4] == 0


def test_centred_outputs_of_all_layers():
    network, X, y = problem(n=10, width=512)
    trainer = AllLayersGaussNewton(network, X, y, centred=True).run()
    np.testing.assert_allclose(network.outputs(X, trainer.factors, centred=True), y, atol=1e-9)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_terms_of_few_neurons_are_lists_and_change_no_bit(monkeypatch, dtype):
    options = {"width": 512, "activation": ShiftedReLU(1.5), "dtype": dtype}
    kept = AllLayersGaussNewton(*problem(**options), min_active=0)
    monkeypatch.setattr(_state, "_FEW", 0.0)
    whole = AllLayersGaussNewton(*problem(**options), min_active=0)
    for _ in range(3):
        monkeypatch.undo()
        kept.step()
        monkeypatch.setattr(_state, "_FEW", 0.0)
        whole.step()
    for (_, layers), (_, arrays) in zip(kept._fit.state.terms, whole._fit.state.terms, strict=True):
        pairs = [
            (a, b) for pair in zip(layers, arrays, strict=True) for a, b in zip(*pair, strict=True)
        ]
        assert [scipy.sparse.issparse(a) for a, _ in pairs] == [True, False, *(4 * [True])]
        assert not any(scipy.sparse.issparse(b) for _, b in pairs)
        assert all(8 * a.nnz < b.nbytes // 2 for a, b in pairs if scipy.sparse.issparse(a))
    np.testing.assert_array_equal(kept.outputs, whole.outputs)
    for pair, other in zip(kept.factors, whole.factors, strict=True):
        np.testing.assert_array_equal(pair[0], other[0])
        np.testing.assert_array_equal(pair[1], other[1])


@pytest.mark.parametrize("activation", [ReLU(), ShiftedReLU(0.5)])
def test_a_pass_near_the_first_one_differs_from_it_by_what_the_weights_do(activation):
    rng = np.random.default_rng(0)
    options = {"width": 4096, "depth": 3, "weights": "implicit", "activation": activation}
    X = rng.standard_normal((4, 6))
    X = (X / np.linalg.norm(X, axis=1, keepdims=True)).astype(np.float32)
    first, exact = (WideNetwork(6, **options, rng=0, dtype=t) for t in (np.float32, np.float64))
    pairs = [
        (1e-5 * rng.standard_normal((2, 4096)), rng.standard_normal((2, W.shape[1])))
        for W in first.weights
    ]
    pairs = [(A, B / np.sqrt(B.shape[1])) for A, B in pairs]
    start = first._forward(X, 1, keep=True)
    near = first._forward(X, 1, as_changes(first, pairs), start=start)
    moved = near.outputs() - start.outputs()
    expected = exact.outputs(X, pairs) - exact.outputs(X)
    # Sums over all neurons anew are off by some 16 eps |f|; 4 are those of one rounding of each z.
    error = np.linalg.norm(moved - expected) / np.linalg.norm(start.outputs())
    assert error <= 4 * np.finfo(np.float32).eps


def test_the_change_of_a_layer_is_the_sum_of_its_terms():
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal((3, m)) * (rng.random((3, m)) < 0.1) for m in (40, 30, 40, 30)]
    A, B, C, D = map(_state.listed, arrays)
    change = _state.SumOfFactors([(0.5, A, B), (2.0, C, D)])
    dW = 0.5 * arrays[0].T @ arrays[1] + 2.0 * arrays[2].T @ arrays[3]
    X, Y = rng.standard_normal((2, 40)), rng.standard_normal((2, 30))
    out, back = np.ones((2, 40)), np.ones((2, 30))
    change.add_product(out, Y)
    change.add_transposed_product(back, X)
    np.testing.assert_allclose(out, 1 + Y @ dW.T, rtol=1e-13)
    np.testing.assert_allclose(back, 1 + X @ dW, rtol=1e-13)
    P, Q = change.factors(np.dtype(float), (40, 30))
    assert P.shape == (6, 40)
    np.testing.assert_allclose(P.T @ Q, dW, atol=1e-14)


def test_pcg_takes_the_same_steps():
    network, X, y = problem(n=20, width=512)
    solvers = "exact", PcgSolver(rtol=1e-12, rng=0)
    exact, pcg = (AllLayersGaussNewton(network, X, y, solver=solver) for solver in solvers)
    for trainer in (exact, pcg):
        trainer.step()
    np.testing.assert_allclose(exact.outputs, pcg.outputs, atol=1e-6 * np.abs(y).max())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"network": 3}, "network must be a WideNetwork; got int"),
        ({"X": np.zeros((12, 4))}, r"X must have shape \(any, 5\)"),
        ({"y": np.zeros(11)}, "y must"),
        ({"regularization": -1.0}, "regularization must"),
        ({"min_active": 10**6}, "width must let more neurons fire"),
    ],
)
def test_bad_arguments_are_named(change, message):
    network, X, y = problem()
    arguments = {"network": network, "X": X, "y": y[:, 0]} | change
    with pytest.raises((TypeError, ValueError), match=message):
        AllLayersGaussNewton(**arguments)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_factors_may_be_lists_of_rows(rank):
    network, X, _ = problem()
    rng = np.random.default_rng(0)
    pairs = [
        (rng.standard_normal((rank, 160)), rng.standard_normal((rank, m_in)))
        for m_in in (5, 160, 160)
    ]
    A, V = pairs[-1]
    last = network.outputs(X, (A, V))
    assert np.array_equal(network.outputs(X, (A.tolist(), V.tolist())), last)
    assert np.array_equal(network.outputs(X, [A.tolist(), V.tolist()]), last)
    lists = [(A.tolist(), V.tolist()) for A, V in pairs]
    assert np.array_equal(network.outputs(X, lists), network.outputs(X, pairs))


@pytest.mark.parametrize(
    ("factors", "message"),
    [
        ([(np.zeros((1, 160)), np.zeros((1, 5)))], "factors must have one pair for each of the 3"),
        ([(np.zeros((1, 160)),)] * 3, r"factors\[0\] must be a pair"),
        ([(np.zeros((1, 160)), np.zeros((1, 160)))] * 3, r"factors\[0\]\[1\] must have shape"),
    ],
)
def test_bad_factors_of_all_layers_are_named(factors, message):
    network, X, _ = problem()
    with pytest.raises(ValueError, match=message):
        network.outputs(X, factors)


@pytest.mark.filterwarnings("ignore::subquad.training.TrainingWarning")
@pytest.mark.parametrize("seed", [2, 5])
def test_factors_give_the_outputs_that_are_reported(seed):
    # Points on one ray: coefficients of 1e6 solve the equation, and float32 does not hold them.
    rng = np.random.default_rng(seed)
    X = np.where((X := rng.standard_normal((5, 3))) > 0.5, X, 0).astype(np.float32)
    network = WideNetwork(3, width=48, n_outputs=2, dtype=np.float32, rng=0, activation=ReLU())
    y = rng.standard_normal((5, 2))
    trainer = AllLayersGaussNewton(network, X, y, min_active=0).run()
    assert np.linalg.norm(network.outputs(X, trainer.factors) - trainer.outputs) <= 1e-2
