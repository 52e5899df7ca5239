"""What sketches must do to Gram matrices and subspaces, by theory and as measured.

Seeds are fixed: a right implementation that draws in the same order passes always. The probability
given with each bound is that of a false alarm for one that draws differently.
"""

import numpy as np
import pytest
import scipy.linalg
import scipy.stats
from reference_sketch import khatri_rao, tensor_sketch

from subquad.sketch import SRHT, CountSketch, GaussianSketch, TensorSketch, TensorSRHT
from subquad.solvers.conjugate_gradient import pcg

N, M = 64, 1024
VECTORS = [CountSketch, SRHT, GaussianSketch]
PAIRS = [TensorSketch, TensorSRHT]


def sparse_factors(rng, n, m):
    """U and V: Gaussian, a tenth of the entries kept."""
    return rng.standard_normal((2, n, m)) * (rng.random((2, n, m)) < 0.1)


def gram(U, V):
    return (U @ U.T) * (V @ V.T)


def distortion(G, sketched):
    """||G^-1/2 (sketched - G) G^-1/2||."""
    L = np.linalg.cholesky(G)
    whitened = scipy.linalg.solve_triangular(L, sketched, lower=True)
    whitened = scipy.linalg.solve_triangular(L, whitened.T, lower=True)
    return np.abs(np.linalg.eigvalsh(whitened) - 1).max()


# eps is (1 + c^-1/2)^2 - 1 for normal entries. 60 draws gave, for c = 4, 16, 64, a mean of 1.24,
# .554, .261 with a standard deviation of .065, .028, .012 for TensorSketch, and 1.28, .571, .266
# with .10, .033, .012 for TensorSRHT: for each draw, a false alarm has a probability of about 1e-4
# (TensorSRHT at c = 4) or less than 1e-6. Iterations were 31-35, 19-20 and 13-14.
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", PAIRS)
@pytest.mark.parametrize(
    ("c", "least", "most", "iterations"),
    [(4, 0.9, 1.7, 42), (16, 0.4, 0.8, 24), (64, 0.2, 0.35, 17)],
)
def test_distortion_and_preconditioning(seed, kind, c, least, most, iterations):
    rng = np.random.default_rng(seed)
    U, V = sparse_factors(rng, N, M)
    G, sketched = gram(U, V), kind(M, c * N, rng=rng).gram(U, V)
    assert least < distortion(G, sketched) < most
    factor = scipy.linalg.cho_factor(sketched)
    solution = pcg(
        lambda x: G @ x,
        rng.standard_normal(N),
        preconditioner=lambda r: scipy.linalg.cho_solve(factor, r),
        rtol=1e-12,
    )
    assert solution.converged
    assert solution.n_iterations <= iterations


# The squared deviation is (|diag G|^2 + |G|_F^2) / (400 s), |.|: trace: about 2 % of |G|_F for
# these, and the sum of 36 like squares; three times that is chi^2_36 above 9 * 36, below 1e-40.
@pytest.mark.parametrize("kind", PAIRS)
def test_sketched_grams_are_unbiased(kind):
    rng = np.random.default_rng(5)
    n, s, draws = 8, 64, 400
    U, V = sparse_factors(rng, n, M)
    G = gram(U, V)
    mean = sum(kind(M, s, rng=rng).gram(U, V) for _ in range(draws)) / draws
    error = np.linalg.norm(mean - G) / np.linalg.norm(G)
    expected = np.sqrt((np.trace(G) ** 2 / np.sum(G**2) + 1) / (draws * s))
    assert error < 3 * expected
    assert error < 0.06


# Each entry of S^T S has a variance of at most 2 / s; 6 deviations of the mean of 1500 draws are
# exceeded with a probability below 2e-9 an entry, 1e-7 for all 36 (central limit theorem).
@pytest.mark.parametrize("kind", [*VECTORS, *PAIRS])
def test_the_mean_of_squares_is_the_identity(kind):
    rng = np.random.default_rng(6)
    draws, s = 1500, 5
    m = 6 if kind in VECTORS else (2, 3)
    mean = sum(S.T @ S for S in (kind(m, s, rng=rng).matrix() for _ in range(draws))) / draws
    np.testing.assert_allclose(mean, np.eye(6), rtol=0, atol=6 * np.sqrt(2 / (s * draws)))


def test_tensor_sketch_is_its_definition():
    rng = np.random.default_rng(7)
    for s in (1, 7, 32):
        S = TensorSketch((9, 14), s, rng=rng)
        U, V = rng.standard_normal((3, 9)), rng.standard_normal((3, 14))
        halves = list(zip(S.buckets, S.signs, strict=True))
        expected = [tensor_sketch(u, v, halves, s) for u, v in zip(U, V, strict=True)]
        np.testing.assert_allclose(S.apply(U, V), expected, rtol=0, atol=1e-10)


# With sizes derived for delta = .2, more than 24 failures of 60 are less likely than 2e-4. The
# bounds are not sharp: there is hardly ever one.
@pytest.mark.parametrize("kind", [*VECTORS, *PAIRS])
def test_derived_sizes_keep_norms_in_a_subspace(kind):
    assert scipy.stats.binom.sf(24, 60, 0.2) < 2e-4
    rng = np.random.default_rng(8)
    failures = 0
    for _ in range(60):
        if kind in VECTORS:
            basis = np.linalg.qr(rng.standard_normal((600, 2)))[0].T
            S = kind(600, n_points=2, epsilon=0.5, delta=0.2, rng=rng)
            Z = S.apply(basis)
        else:
            U, V = rng.standard_normal((2, 2, 24))
            U[:, 1:] *= 0.1  # rows close to each other, whose differences matter
            S = kind(24, n_points=2, epsilon=0.5, delta=0.2, rng=rng)
            Z = np.linalg.solve(np.linalg.cholesky(gram(U, V)), S.apply(U, V))
        failures += np.abs(np.linalg.eigvalsh(Z @ Z.T) - 1).max() > 0.5
    assert failures <= 24


# 60 draws gave 1.05 +- .19, 1.05 +- .15 and 1.11 +- .14 at c = 4, .48 +- .06, .06, .04 at c = 16,
# against 1.25 and .5625 for infinite dimension; four deviations either way.
@pytest.mark.parametrize("kind", VECTORS)
@pytest.mark.parametrize(("c", "most"), [(4, 1.85), (16, 0.75)])
def test_distortion_of_a_subspace(kind, c, most):
    rng = np.random.default_rng(9)
    basis = np.linalg.qr(rng.standard_normal((4096, 16)))[0]
    Z = kind(4096, 16 * c, rng=rng).apply_columns(basis)
    assert np.abs(np.linalg.eigvalsh(Z.T @ Z) - 1).max() < most


# |S x|^2 / |x|^2 has variance at most 2 / s for each of these; the mean of 200 is within 6 of its
# deviations but for 2e-9. J x is taken as sum_i x_i S (u_i (x) v_i).
def test_norms_of_combinations_of_pairs_are_kept_on_average():
    rng = np.random.default_rng(10)
    U, V = sparse_factors(rng, 5, 40)
    x = rng.standard_normal(5)
    expected = np.sum((x @ khatri_rao(U, V)) ** 2)
    for kind in PAIRS:
        ratios = [
            np.sum((x @ kind(40, 50, rng=rng).apply(U, V)) ** 2) / expected for _ in range(200)
        ]
        assert abs(np.mean(ratios) - 1) < 6 * np.sqrt(2 / (50 * 200))
