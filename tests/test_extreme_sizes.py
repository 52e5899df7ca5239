"""Right sides and targets of any size: solved, or refused in a sentence, never a success on NaN."""

import numpy as np
import pytest

from subquad.jacobian import KhatriRao
from subquad.networks import TwoLayerNetwork, WideNetwork
from subquad.solvers import gram_solve, pcg, solve_damped
from subquad.training import LastLayerGaussNewton, TwoLayerGaussNewton

SIZES = [1e-300, 1e-170, 1e-100, 1.0, 1e100, 1e160, 1e300]


def system():
    rng = np.random.default_rng(0)
    J = KhatriRao(rng.standard_normal((6, 30)), rng.standard_normal((6, 5)))
    return J, rng.standard_normal(6)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("method", ["exact", "pcg", "auto"])
def test_gram_equations_are_solved_for_right_sides_of_any_size(method, size):
    J, c = system()
    expected = np.linalg.solve(J.gram(), c)
    solution = gram_solve(J, size * c, method, rng=0)
    assert solution.converged, solution.message
    np.testing.assert_allclose(solution.x / size, expected, rtol=1e-8)
    assert 0 <= solution.residual_norm <= 1e-9 * size * np.linalg.norm(c)


@pytest.mark.parametrize("size", SIZES)
def test_other_solvers_scale_as_well(size):
    J, c = system()
    G = J.gram()
    expected = np.linalg.solve(G, c)
    for solution in (pcg(G.__matmul__, size * c, rtol=1e-12), solve_damped(G, size * c)):
        assert solution.converged, solution.message
        np.testing.assert_allclose(solution.x / size, expected, rtol=1e-8)


def test_a_solution_that_overflows_is_no_success():
    for solution in (
        gram_solve(KhatriRao(np.full((1, 1), 1e-60), np.ones((1, 1))), [1e300], "exact"),
        solve_damped([[1e-100]], [1e300]),
    ):
        assert not solution.converged
        assert "overflows" in solution.message


@pytest.mark.parametrize("size", [1e160, 1e-170])
def test_targets_whose_squares_no_float_holds_are_refused(size):
    X = np.random.default_rng(1).standard_normal((50, 4))
    y = np.full(50, size)
    with pytest.raises(ValueError, match=r"^y must be 0 or between .* in size; got .* Scale it"):
        LastLayerGaussNewton(WideNetwork(4, width=256, rng=0).last_layer(X), y)
    with pytest.raises(ValueError, match=r"^y must be 0 or between"):
        TwoLayerGaussNewton(TwoLayerNetwork(4, width=256, rng=0), X, y)
    LastLayerGaussNewton(WideNetwork(4, width=256, rng=0).last_layer(X), 0 * y, centred=True)
