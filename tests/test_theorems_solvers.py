"""What the theory promises of sketched solvers and of two-layer training, measured.

Fixed-step iterations diverge where conjugate gradients converge; training with sketch-and-solve has
the rate of the sketch; two-layer training has a rate, a limit of its Gram matrix, and a matrix-free
product.

Seeds are fixed, so that a test gives the same answer each time; how rarely a fresh seed would
leave the bounds is said beside them.
"""

import numpy as np
import pytest
import reference_network as reference
import reference_two_layer as two

from subquad.activations import ShiftedReLU
from subquad.jacobian import KhatriRao, MatrixFreeJacobian
from subquad.networks import TwoLayerNetwork, WideNetwork
from subquad.sketch import TensorSketch
from subquad.solvers import SketchSolver, gram_solve
from subquad.training import LastLayerGaussNewton, TwoLayerGaussNewton

N, M = 64, 1024


def equation(seed):
    """Return J with sparse Gaussian factors, a tenth of their entries, and a right-hand side."""
    rng = np.random.default_rng([seed, 16])
    U, V = rng.standard_normal((2, N, M)) * (rng.random((2, N, M)) < 0.1)
    return KhatriRao(U, V), rng.standard_normal(N)


def sketched(J, times_n, seed):
    return TensorSketch((M, M), times_n * N, rng=[4, 8, 64].index(times_n) + 10 * seed).gram(
        J.U, J.V
    )


# The largest eigenvalue of Gt^-1 G is near 1 / (1 - c^-1/2)^2: 4 at c = 4 (seen 3.5-4.1 in 10),
# 2.4 at c = 8 (2.1-2.5), 1.3 at c = 64. Richardson needs it below 2, line 7 below sqrt(2): a seed
# that leaves these regions would be ten standard deviations off.
@pytest.mark.parametrize("seed", range(10))
def test_fixed_steps_diverge_with_small_sketches_and_conjugate_gradients_converge(seed):
    J, c = equation(seed)
    G = J.gram()
    _, richardson = two.richardson(G, sketched(J, 4, seed), c, 1e-12, 300)
    _, printed = two.printed_descent(G, sketched(J, 8, seed), c, 1e-12, 300)
    assert richardson > 100
    assert printed > 100
    for times_n, most in ((4, 42), (8, 34)):
        solution = gram_solve(J, c, "pcg", sketch_size=times_n * N, rtol=1e-12, rng=seed)
        assert solution.converged
        assert solution.n_iterations <= most
        assert np.linalg.norm(G @ solution.x - c) <= 2e-12 * np.linalg.norm(c)


@pytest.mark.parametrize("seed", range(3))
def test_fixed_steps_converge_with_sketches_of_sixty_four_times_n(seed):
    J, c = equation(seed)
    G, S = J.gram(), sketched(J, 64, seed)
    steps, left = two.richardson(G, S, c, 1e-12, 300)
    assert left <= 1e-12
    assert 17 <= steps <= 30  # 20-24 in ten seeds
    slow, left = two.printed_descent(G, S, c, 1e-12, 300)
    assert left <= 1e-12
    assert slow > 2 * steps  # it squares the condition number: 55-92


# The median of a run varies by 0.015 (standard deviation over seeds): bounds are 9 and more away.
@pytest.mark.parametrize(("times_n", "low", "high"), [(16, 0.15, 0.45), (64, 0.05, 0.25)])
def test_outer_rate_of_sketch_and_solve_is_the_error_of_the_sketch(times_n, low, high):
    layer, y = last_layer(0)
    solver = SketchSolver(times_n * N, rng=1)
    trainer = LastLayerGaussNewton(layer, y, solver=solver).run()
    assert trainer.converged
    assert low <= np.median([record.ratio for record in trainer.history]) <= high
    assert {record.sketch_size for record in trainer.history} == {times_n * N}


def test_last_ratio_of_the_exact_solver_is_far_below_that():
    layer, y = last_layer(0)
    assert LastLayerGaussNewton(layer, y).run().history[-1].ratio < 1e-2


def last_layer(seed):
    rng = np.random.default_rng([seed, 17])
    X, y = reference.sphere(N, 16, rng), rng.choice([-1.0, 1.0], N)
    return WideNetwork(16, width=M, activation=ShiftedReLU(1.2), rng=seed).last_layer(X), y


# Over 8 fresh seeds: largest ratio 0.027-0.040, 3-4 steps, Gram error 0.020-0.045, ratio of least
# eigenvalues 0.98-1.01: bounds are more than five standard deviations away.
@pytest.mark.parametrize("solver", ["exact", "pcg"])
@pytest.mark.parametrize("seed", range(3))
def test_two_layer_training_contracts_at_least_tenfold_and_its_gram_matrix_is_near_its_limit(
    solver, seed
):
    rng = np.random.default_rng([seed, 18])
    X, y = reference.sphere(32, 16, rng), rng.choice([-1.0, 1.0], 32)
    network = TwoLayerNetwork(16, 2048, rng=seed)
    trainer = TwoLayerGaussNewton(network, X, y, solver=solver, rng=seed).run()
    assert trainer.solver == solver
    assert trainer.converged
    assert len(trainer.history) <= 6
    assert max(record.ratio for record in trainer.history) <= 0.1
    J = two.jacobian(X, network.weights, network.readout[0])
    G, limit = J @ J.T, two.limit_gram(X)
    assert np.linalg.norm(G - limit, 2) <= 0.1 * np.linalg.norm(limit, 2)
    assert np.linalg.eigvalsh(G)[0] >= 0.85 * np.linalg.eigvalsh(limit)[0]


@pytest.mark.parametrize(("n", "d", "m"), [(1, 1, 20), (7, 3, 64), (100, 9, 1000), (65, 16, 31)])
def test_matrix_free_product_equals_that_with_the_gram_matrix(n, d, m, rng):
    X, W = rng.standard_normal((n, d)), rng.standard_normal((m, d))
    a, g = rng.standard_normal(m), rng.standard_normal(n)
    J = two.jacobian(X, W, a)
    bits = np.packbits(two.mask(X, W).T, axis=1, bitorder="little")
    system = MatrixFreeJacobian(bits, a, X)
    G = J @ J.T
    size = np.linalg.norm(G, 2) * np.linalg.norm(g)
    assert np.linalg.norm(system.product(g) - G @ g) <= 1e-10 * size
    A, B = system.adjoint(g)
    np.testing.assert_allclose((A.T @ B).ravel(), J.T @ g, rtol=1e-10, atol=1e-10 * size)
    np.testing.assert_allclose(system.matvec(W), J @ W.ravel(), rtol=0, atol=1e-10 * size)
    np.testing.assert_allclose(system.columns(np.arange(n)[::2]), G[:, ::2], atol=1e-10 * size)
    np.testing.assert_allclose(system.diagonal(), G.diagonal(), rtol=1e-10)
    np.testing.assert_array_equal(system.active, two.mask(X, W).sum(axis=1))
