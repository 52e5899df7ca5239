"""Grouped rows, and trainers of all layers: inputs may lie in memory in any way."""

import os

import numpy as np
import pytest
from layers import quietly

from subquad import KhatriRao
from subquad.networks import WideNetwork
from subquad.sketch import TensorSketch, TensorSRHT
from subquad.training import AllLayersGaussNewton, LowRankGradientDescent

RNG = np.random.default_rng(0)
U, V = RNG.standard_normal((12, 6)), RNG.standard_normal((12, 5))
GROUPS = np.arange(0, 13, 3)
X, Y = RNG.standard_normal((8, 4)), RNG.standard_normal(8)


def read_only(x, folder):
    path = folder / f"{len(os.listdir(folder))}.npy"
    np.save(path, x)
    return np.load(path, mmap_mode="r")


LAYOUTS = {
    "mapped": read_only,
    "reversed": lambda x, _: x[::-1].copy()[::-1],
    "strided": lambda x, _: np.repeat(x, 2, axis=-1)[..., ::2],
    "column by column": lambda x, _: np.asfortranarray(x),
    "of the other byte order": lambda x, _: x.astype(x.dtype.newbyteorder()),
}


@pytest.fixture(params=LAYOUTS)
def laid_out(request, tmp_path):
    """The same numbers elsewhere in memory."""
    return lambda x: LAYOUTS[request.param](x, tmp_path)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_grouped_rows_may_lie_in_any_way(laid_out, dtype):
    def answers(U, V, groups, c):
        J = KhatriRao(U, V, groups=groups)
        return J.gram(), J.matvec(c[:30].reshape(6, 5)), *J.adjoint(c[:4]), J.diagonal()

    given = U.astype(dtype), V.astype(dtype), GROUPS, RNG.standard_normal(40).astype(dtype)
    for found, expected in zip(answers(*map(laid_out, given)), answers(*given), strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("kind", [TensorSketch, TensorSRHT])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sketches_of_grouped_rows_may_lie_in_any_way(laid_out, kind, dtype):
    S = kind((6, 5), 8, rng=0)
    given = U.astype(dtype), V.astype(dtype)
    found = S.apply(*map(laid_out, given), groups=laid_out(GROUPS))
    np.testing.assert_array_equal(found, S.apply(*given, groups=GROUPS))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_trainers_of_all_layers_take_data_that_lies_in_any_way(laid_out, dtype):
    def outputs(X, y, weights):
        network = WideNetwork(4, width=256, rng=0, dtype=dtype)
        newton = AllLayersGaussNewton(network, X, y, sample_weight=weights, max_steps=2)
        descent = LowRankGradientDescent(network, step_size=0.01).run(X, y, n_epochs=2)
        return quietly(newton.run).outputs, descent.outputs(X)

    given = X.astype(dtype), Y.astype(dtype), np.arange(1.0, 9.0)
    for found, expected in zip(outputs(*map(laid_out, given)), outputs(*given), strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("n", [0, 1])
def test_grouped_rows_of_one_point_or_none(n):
    rows = slice(0, 3 * n)
    J = lambda: KhatriRao(U[rows], V[rows], groups=GROUPS[: n + 1])  # noqa: E731
    S = TensorSketch((6, 5), 8, rng=0)
    if n == 0:
        for call in (J, lambda: S.apply(U[rows], V[rows], groups=GROUPS[: n + 1])):
            with pytest.raises(ValueError, match=r"^\w+ must have at least 1 .*; got .*\.$"):
                call()
        return
    row = (U[rows].T @ V[rows]).ravel()
    np.testing.assert_allclose(J().gram(), [[row @ row]], rtol=1e-14)
    np.testing.assert_allclose(
        S.apply(U[rows], V[rows], groups=GROUPS[: n + 1]), [S.matrix() @ row], rtol=1e-12
    )
