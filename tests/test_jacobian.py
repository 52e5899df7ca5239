"""KhatriRao answers as the matrix whose i-th row is vec(u_i v_i^T), without forming it."""

import itertools

import numpy as np
import pytest
import reference_network as reference
import scipy.sparse

import subquad._validation
from subquad.jacobian import KhatriRao
from subquad.lowrank import LowRankMaintenance

TOLERANCE = {np.float32: 1e-5, np.float64: 1e-13}
SHAPES = [(1, 1, 1), (1, 5, 3), (4, 1, 6), (6, 7, 1), (9, 20, 13), (5, 3, 700)]  # (n, m_u, m_v)
DENSITIES = [(1.0, 1.0), (0.3, 1.0), (1.0, 0.02), (0.02, 0.3)]
STORE = {"dense": np.asarray, "csr": scipy.sparse.csr_array, "coo": scipy.sparse.coo_matrix}


@pytest.fixture
def rng():
    return np.random.default_rng(21)


def sparse_rows(rng, shape, density, dtype=float):
    return (rng.standard_normal(shape) * (rng.random(shape) < density)).astype(dtype)


def as_dense(x):
    return x.toarray() if scipy.sparse.issparse(x) else x


def cases(rng, dtype):
    """Yield J, its definition in float64 and the sizes, over shapes, densities and storages."""
    storages = itertools.product(STORE.values(), STORE.values())
    for (n, m_u, m_v), (in_u, in_v), (store_u, store_v) in itertools.product(
        SHAPES, DENSITIES, list(storages)
    ):
        U = sparse_rows(rng, (n, m_u), in_u, dtype)
        V = sparse_rows(rng, (n, m_v), in_v, dtype)
        explicit = np.stack([np.kron(u, v) for u, v in zip(U, V, strict=True)]).astype(float)
        yield KhatriRao(store_u(U), store_v(V)), explicit, (n, m_u, m_v)


def assert_close(result, expected, dtype):
    assert result.dtype == dtype
    assert result.shape == expected.shape
    atol = TOLERANCE[dtype] * (1.0 + np.abs(expected).max())
    np.testing.assert_allclose(result, expected, rtol=0, atol=atol)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_product_equals_that_of_the_explicit_matrix(dtype, rng):
    for J, explicit, (n, m_u, m_v) in cases(rng, dtype):
        assert J.shape == explicit.shape
        assert J.dtype == dtype
        assert_close(J.to_dense(), explicit, dtype)
        assert J.gram().dtype == np.float64
        assert_close(J.gram().astype(dtype), explicit @ explicit.T, dtype)
        X = rng.standard_normal((m_u, m_v)).astype(dtype)
        assert_close(J.matvec(X), explicit @ X.ravel(), dtype)
        A, B = (rng.standard_normal((3, size)).astype(dtype) for size in (m_u, m_v))
        assert_close(J.matvec((A, B)), explicit @ (A.T @ B).ravel(), dtype)
        pair = STORE["csr"](A), STORE["csr"](B)
        assert_close(J.matvec(pair), explicit @ (A.T @ B).ravel(), dtype)
        g = rng.standard_normal(n).astype(dtype)
        A, B = J.adjoint(g)
        assert_close((as_dense(A).T @ as_dense(B)).ravel(), explicit.T @ g, dtype)


def test_the_gram_is_the_operator_applied_to_its_adjoint(rng):
    J = KhatriRao(sparse_rows(rng, (7, 30), 0.4), rng.standard_normal((7, 11)))
    columns = [J.matvec(J.adjoint(e)) for e in np.eye(7)]
    np.testing.assert_allclose(np.stack(columns), J.gram(), rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(J.gram(), J.gram().T)


def test_the_gram_of_a_last_layer_is_the_jacobian_times_its_transpose():
    """[SZZ24], Section 2.2: G = J J^T = (U U^T) o (V V^T), on the golden network."""
    layer = reference.golden()[2]
    U = layer.scale * layer.readout[0] * layer.mask(layer.W)
    J = KhatriRao(scipy.sparse.csr_array(U), layer.V)
    explicit = layer.jacobian(layer.W)
    np.testing.assert_allclose(J.to_dense(), explicit, rtol=1e-14, atol=0)
    for expected in (explicit @ explicit.T, reference.gram(layer, layer.W)):
        np.testing.assert_allclose(J.gram(), expected, rtol=1e-12, atol=1e-12)


def test_the_gauss_newton_change_has_the_norm_of_the_residual_in_the_inverse_gram(rng):
    """||dW||_F^2 = r^T G^-1 r and J vec(dW) = -r for dW = -J^T G^-1 r, held as factors."""
    n, m_u, m_v = 12, 80, 30
    J = KhatriRao(sparse_rows(rng, (n, m_u), 0.3), rng.standard_normal((n, m_v)))
    r = rng.standard_normal(n)
    g = np.linalg.solve(J.gram(), r)
    lrm = LowRankMaintenance(np.zeros((m_u, m_v)), rank_budget=n + 1)
    lrm.update(*J.adjoint(-g))
    np.testing.assert_allclose(np.linalg.norm(lrm.to_dense()) ** 2, r @ g, rtol=1e-9)
    np.testing.assert_allclose(J.matvec(lrm.factors), -r, rtol=0, atol=1e-12)


@pytest.mark.parametrize("store", ["dense", "csr"])
def test_products_do_not_depend_on_n_threads(store, rng):
    U = STORE[store](sparse_rows(rng, (9, 200), 0.1))
    J = KhatriRao(U, rng.standard_normal((9, 1500)))
    X = rng.standard_normal((200, 1500))
    expected = J.matvec(X, n_threads=1)
    for n_threads in (2, 5, None):
        np.testing.assert_array_equal(J.matvec(X, n_threads=n_threads), expected)


@pytest.mark.parametrize("store", STORE)
def test_the_diagonal_is_summed_in_float64_whatever_the_dtype(store, rng):
    U, V = (sparse_rows(rng, (9, m), 0.5, np.float32) for m in (40, 30))
    J = KhatriRao(STORE[store](U), STORE[store](V))
    squares = [np.square(x.astype(float)).sum(axis=1) for x in (U, V)]
    np.testing.assert_allclose(J.diagonal(), squares[0] * squares[1], rtol=1e-14)


def test_factors_share_the_wider_dtype(rng):
    narrow, wide = rng.standard_normal((3, 4)).astype(np.float32), rng.standard_normal((3, 5))
    for U, V in [(narrow, wide), (wide, narrow), (scipy.sparse.csr_array(narrow), wide)]:
        J = KhatriRao(U, V)
        assert J.U.dtype == J.V.dtype == J.dtype == J.gram().dtype == np.float64


def test_factors_are_not_copied_and_not_written(rng):
    U, V = rng.standard_normal((3, 4)), rng.standard_normal((3, 5))
    before = U.copy(), V.copy()
    J = KhatriRao(U, V)
    assert np.shares_memory(J.U, U)
    assert np.shares_memory(J.V, V)
    sparse = KhatriRao(scipy.sparse.csr_array(U), V)
    for operator in (J, sparse):
        A, _ = operator.adjoint(np.full(3, 2.0))
        A *= 3.0
        operator.gram()
        operator.matvec(np.ones((4, 5)))
        operator.to_dense()
    with pytest.raises(ValueError, match="read-only"):
        J.V[0] = 0.0
    np.testing.assert_array_equal(U, before[0])
    np.testing.assert_array_equal(V, before[1])
    np.testing.assert_array_equal(sparse.U.toarray(), before[0])


J = KhatriRao(np.ones((3, 4)), np.ones((3, 5)))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: KhatriRao(np.ones((3, 4)), np.ones((2, 5))),
            ValueError,
            r"^V must .*\(3, any",
        ),
        (lambda: KhatriRao(np.ones(3), np.ones((3, 5))), ValueError, "^U must have shape"),
        (lambda: KhatriRao(np.ones((3, 4)), np.ones((3, 5), int)), TypeError, "^V must .*int64"),
        (lambda: KhatriRao([[np.nan]], [[1.0]]), ValueError, "^U must be finite"),
        (
            lambda: KhatriRao(np.ones((2, 3)), scipy.sparse.eye_array(3)),
            ValueError,
            r"^V must .*\(2,",
        ),
        (lambda: J.matvec(np.ones((5, 4))), ValueError, r"^X must have shape \(4, 5\); got \(5, 4"),
        (lambda: J.matvec(np.ones(20)), ValueError, r"^X must have shape \(4, 5\); got \(20,\)"),
        (lambda: J.matvec((np.ones((2, 4)),)), ValueError, "^X must be a matrix or a pair"),
        (lambda: J.matvec((np.ones((2, 4)), np.ones((1, 5)))), ValueError, r"^X\[1\] must .*\(2,"),
        (lambda: J.matvec((np.ones((2, 5)), np.ones((2, 5)))), ValueError, r"^X\[0\] must have"),
        (lambda: J.matvec(np.ones((4, 5)), n_threads=0), ValueError, "^n_threads must"),
        (lambda: J.adjoint(np.ones(4)), ValueError, r"^g must have shape \(3,\); got \(4,\)"),
        (lambda: J.adjoint([0.0, np.inf, 0.0]), ValueError, "^g must be finite"),
    ],
)
def test_bad_arguments_are_named(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_a_jacobian_that_cannot_fit_is_refused_by_to_dense_alone(monkeypatch):
    monkeypatch.setattr(subquad._validation, "available_memory", lambda: 479)
    with pytest.raises(MemoryError, match=r"J with shape \(3, 20\) must fit.*480 bytes"):
        J.to_dense()
    assert J.gram().shape == (3, 3)
