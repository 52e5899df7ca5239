"""A damped system whose rows join in blocks, against the same system factored at once."""

import numpy as np
import pytest

from subquad.solvers import DampedCholesky
from subquad.solvers.bordered import BorderedCholesky

RNG = np.random.default_rng(0)
N = 700
B = RNG.standard_normal((N, N))
G = B @ B.T / N
R = RNG.standard_normal((N, 2))
W = RNG.uniform(0.5, 2.0, N)


def in_blocks(sizes, damping=0.1, gram=G):
    system, first = BorderedCholesky(damping, 2), 0
    for size in sizes:
        rows = slice(first, first + size)
        system = system.joined(gram[rows, :first], gram[rows, rows], R[rows], W[rows])
        first += size
    return system


@pytest.mark.parametrize("sizes", [[1], [5], [1, 1, 1], [40, 20, 3, 1], [300, 100, 299, 1]])
def test_blocks_give_the_solution_of_the_whole(sizes):
    n, system = sum(sizes), in_blocks(sizes)
    factor = DampedCholesky(G[:n, :n], 0.1, W[:n])
    assert system.n == n
    # Condition numbers are below 100: both round to some 1e-13.
    np.testing.assert_allclose(system.solution, factor.solve(R[:n]), rtol=0, atol=1e-11)
    np.testing.assert_allclose(system.inverse_diagonal(), factor.inverse_diagonal(), rtol=1e-11)


def test_equal_rows_stay_apart():
    """(G + mu W^-1) is regular whatever G is, as long as mu is not lost in rounding."""
    twice = np.block([[G[:20, :20]] * 2] * 2)
    system = in_blocks([20, 20], 1e-6, twice)
    expected = DampedCholesky(twice, 1e-6, W[:40]).solve(R[:40])
    np.testing.assert_allclose(system.solution, expected, rtol=1e-6)


def test_the_system_before_stays_as_it_is():
    first = in_blocks([30])
    solution, diagonal = first.solution, first.inverse_diagonal()
    first.joined(G[30:40, :30], G[30:40, 30:40], R[30:40], W[30:40])
    np.testing.assert_array_equal(first.solution, solution)
    np.testing.assert_array_equal(first.inverse_diagonal(), diagonal)


@pytest.mark.parametrize("gram", [np.ones((8, 8)), np.full((8, 8), np.nan)])
def test_what_is_singular_or_not_finite_is_refused(gram):
    with pytest.raises(np.linalg.LinAlgError):
        in_blocks([4, 4], 1e-18, gram)
