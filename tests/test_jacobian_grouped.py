"""Rows that are sums of tensor products answer as the explicit matrix of these sums."""

import itertools
import tracemalloc

import numpy as np
import pytest
import scipy.sparse

from subquad.jacobian import JacobianSum, KhatriRao
from subquad.jacobian._grouped import gram
from subquad.solvers import fast_least_squares
from subquad.solvers.gram import cost

TOLERANCE = {np.float32: 1e-5, np.float64: 1e-12}
COUNTS = {
    "some empty": [3, 0, 1, 5, 1, 1, 0, 0, 7, 0],
    "one group": [6],
    "single rows": [1, 1, 1, 1],
    "longer than a tile": [2, 700, 0, 3],
    "many of one size": [4] * 90,
    "tiles end within empty ones": [255, 0, 0, 1, 0, 1, 300],
}
STORE = {"dense": np.asarray, "csr": scipy.sparse.csr_array}
WAYS = ["tiles", "matrices"]


@pytest.fixture
def rng():
    return np.random.default_rng(31)


def pointers(counts):
    return np.concatenate([[0], np.cumsum(counts)])


def explicit(U, V, indptr):
    """J as an array, in float64."""
    parts = [(U[a:b].astype(float), V[a:b].astype(float)) for a, b in itertools.pairwise(indptr)]
    return np.stack([np.einsum("tj,tk->jk", u, v).ravel() for u, v in parts])


def factors_of(rng, n_rows, m_u=7, m_v=9, one_hot=False, dtype=np.float64):
    U, V = rng.standard_normal((n_rows, m_u)), rng.standard_normal((n_rows, m_v))
    if one_hot:
        V = np.eye(m_v)[rng.integers(0, m_v, n_rows)]
    return U.astype(dtype), V.astype(dtype)


def assert_close(found, expected, tolerance):
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * np.abs(expected).max())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("stores", list(itertools.product(STORE, STORE)), ids="-".join)
@pytest.mark.parametrize("case", COUNTS)
def test_every_product_equals_that_of_the_explicit_matrix(case, stores, dtype, rng):
    indptr = pointers(COUNTS[case])
    U, V = factors_of(rng, indptr[-1], dtype=dtype)
    U[rng.random(U.shape) < 0.5] = 0
    matrix = explicit(U, V, indptr)
    store_u, store_v = (STORE[name] for name in stores)
    J = KhatriRao(store_u(U), store_v(V), groups=indptr)
    tolerance, n = TOLERANCE[dtype], len(matrix)
    assert (J.n, J.n_rows, J.shape, J.dtype) == (n, indptr[-1], matrix.shape, dtype)
    assert_close(J.to_dense(), matrix, tolerance)
    X = rng.standard_normal((7, 9)).astype(dtype)
    assert J.matvec(X).dtype == dtype
    assert_close(J.matvec(X), matrix @ X.ravel(), tolerance)
    A, B = rng.standard_normal((3, 7)).astype(dtype), rng.standard_normal((3, 9)).astype(dtype)
    assert_close(J.matvec((A, B)), matrix @ (A.T @ B).ravel(), tolerance)
    g = rng.standard_normal(n).astype(dtype)
    A, B = J.adjoint(g)
    pulled = A.T @ B
    pulled = pulled.toarray() if scipy.sparse.issparse(pulled) else pulled
    assert_close(pulled.ravel(), g @ matrix, tolerance)
    G = matrix @ matrix.T  # in float64, whatever the dtype
    assert_close(J.gram(), G, 1e-12)
    assert_close(J.product(g), G @ g, 1e-11)
    assert_close(J.diagonal(), G.diagonal(), 1e-12)
    points = np.array([n - 1, 0, n - 1])
    assert_close(J.columns(points), G[:, points], 1e-12)
    np.testing.assert_array_equal(J.gram(), J.gram().T)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("one_hot", [False, True])
@pytest.mark.parametrize("case", COUNTS)
def test_every_way_to_a_gram_matrix_agrees(case, one_hot, way, rng):
    indptr = pointers(COUNTS[case])
    U, V = factors_of(rng, indptr[-1], m_v=50, one_hot=one_hot)
    J = KhatriRao(U, scipy.sparse.csr_array(V) if one_hot else V, indptr)
    matrix = explicit(U, V, indptr)
    G = gram(J, way=way)
    assert_close(G, matrix @ matrix.T, 1e-12)
    np.testing.assert_array_equal(G, G.T)
    if one_hot:
        assert_close(gram(J, way="columns"), G, 1e-12)
    others = [KhatriRao(*factors_of(rng, 300, m_v=50), groups) for groups in (None, [0, 299, 300])]
    for other in [*others, KhatriRao(STORE["csr"](U), V, indptr)]:
        expected = matrix @ other.to_dense().T
        assert_close(gram(J, other, way=way), expected, 1e-12)
        assert_close(gram(other, J, way=way), expected.T, 1e-12)


def test_the_way_follows_the_multiply_adds(rng):
    """Tiles for short groups and wide factors, matrices for long groups and narrow ones."""
    wide = KhatriRao(*factors_of(rng, 40, 300, 200), pointers([2] * 20))
    work = wide.gram_work()
    assert min(work, key=work.get) == "tiles"
    assert work["matrices"] == 300 * 200 * (40 + 20 * 20 + 20**2 / 2)
    narrow = KhatriRao(*factors_of(rng, 4000, 8, 6), pointers([200] * 20))
    work = narrow.gram_work()
    assert min(work, key=work.get) == "matrices"
    assert work["matrices"] == 8 * 6 * (4000 + 20 * 20 + 20**2 / 2)
    assert 4000**2 / 2 * (8 + 6) < work["tiles"] < 4000**2 / 2 * (8 + 6 + 64)
    cross = narrow.gram_work(KhatriRao(*factors_of(rng, 30, 8, 6)))
    assert cross["matrices"] == 8 * 6 * (4030 + 20 * 50 + 20 * 30)
    for J in (wide, narrow):
        work = J.gram_work()
        np.testing.assert_array_equal(J.gram(), gram(J, way=min(work, key=work.get)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("sides", ["V", "U", "both"])
@pytest.mark.parametrize("case", COUNTS)
def test_the_way_by_columns_of_a_sparse_factor_agrees(case, sides, dtype, rng):
    def made(indptr):
        U, V = factors_of(rng, indptr[-1], 40, 30, dtype=dtype)
        U[rng.random(U.shape) < 0.9] = 0
        V[rng.random(V.shape) < 0.95] = 0
        stored = [
            STORE["csr"](x) if sides in (name, "both") else x for x, name in ((U, "U"), (V, "V"))
        ]
        return KhatriRao(*stored, groups=indptr), explicit(U, V, indptr)

    (J, left), (other, right) = made(pointers(COUNTS[case])), made(pointers([0, 30, 0, 10, 1]))
    G = gram(J, way="columns")
    np.testing.assert_allclose(G, left @ left.T, rtol=0, atol=1e-11)
    np.testing.assert_array_equal(G, G.T)
    np.testing.assert_allclose(gram(J, other, "columns"), left @ right.T, rtol=0, atol=1e-11)
    np.testing.assert_allclose(gram(other, J, "columns"), right @ left.T, rtol=0, atol=1e-11)


def test_one_hot_inputs_of_many_words_take_the_way_by_columns(rng):
    """400 rows of 5000 words: few words occur twice, and few pairs of rows share one."""
    words, indptr = rng.integers(0, 5000, 4000), pointers([40] * 100)
    V = scipy.sparse.csr_array((np.ones(4000), words, np.arange(4001)), shape=(4000, 5000))
    J = KhatriRao(rng.standard_normal((4000, 300)), V, indptr)
    work = J.gram_work()
    assert min(work, key=work.get) == "columns"
    assert "columns" not in J.gram_work(KhatriRao(np.ones((2, 300)), np.ones((2, 5000))))
    some = np.arange(0, 100, 9)
    np.testing.assert_allclose(J.gram()[:, some], J.columns(some), rtol=0, atol=1e-10)
    np.testing.assert_allclose(J.gram()[0], gram(J, way="tiles")[0], rtol=0, atol=1e-10)


def test_groups_of_single_rows_are_the_rows(rng):
    U, V = factors_of(rng, 30)
    J, rows = KhatriRao(U, V, np.arange(31)), KhatriRao(U, V)
    assert_close(J.gram(), rows.gram(), 1e-14)
    np.testing.assert_array_equal(J.matvec(np.ones((7, 9))), rows.matvec(np.ones((7, 9))))


def test_groups_are_read_and_kept_apart(rng):
    U, V = factors_of(rng, 6)
    indptr = np.array([0, 2, 6])
    J = KhatriRao(U, V, groups=indptr)
    before = J.gram()
    indptr[1] = 5
    np.testing.assert_array_equal(J.groups, [0, 2, 6])
    np.testing.assert_array_equal(J.gram(), before)
    with pytest.raises(ValueError, match="read-only"):
        J.groups[1] = 3
    assert KhatriRao(U, V).groups is None
    assert repr(J) == "KhatriRao(n=2, n_rows=6, m_u=7, m_v=9, dtype=float64)"
    for groups in ([0, 2, 6], (0, 2, 6), np.array([0, 2, 6], np.uint8)):
        np.testing.assert_array_equal(KhatriRao(U, V, groups).gram(), before)


def test_read_only_and_strided_factors_are_taken_and_not_written(rng):
    U, V = factors_of(rng, 12)
    wide = np.asfortranarray(U)
    for x in (U, V, wide):
        x.flags.writeable = False
    J, other = KhatriRao(U, V, [0, 5, 12]), KhatriRao(wide, V[:, ::-1], [0, 5, 12])
    for way in WAYS:
        assert_close(gram(J, way=way), explicit(U, V, [0, 5, 12]) @ J.to_dense().T, 1e-12)
        assert_close(gram(J, other, way), J.to_dense() @ other.to_dense().T, 1e-12)


def test_products_do_not_depend_on_n_threads(rng):
    U, V = factors_of(rng, 300, 200, 150)
    J = KhatriRao(scipy.sparse.csr_array(U * (rng.random(U.shape) < 0.1)), V, [0, 100, 100, 300])
    X = rng.standard_normal((200, 150))
    for n_threads in (2, 5, None):
        np.testing.assert_array_equal(J.matvec(X, n_threads), J.matvec(X, 1))


def peak(function):
    """Return the most bytes that a call allocated at a time."""
    function()
    tracemalloc.start()
    function()
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return most


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_gram_matrix_never_takes_memory_for_all_pairs_of_rows(dtype, rng):
    """All pairs of 4000 rows are 128 MB; tiles take 256 x 256 numbers a few times."""
    J = KhatriRao(*factors_of(rng, 4000, 16, 12, dtype=dtype), pointers([40] * 100))
    tile = 8 * 256 * 256
    assert peak(lambda: gram(J, way="tiles")) < 6 * tile + 2 * 8 * 100**2
    factors_and_result = 8 * 100 * (16 * 12 + 3 * 100)
    assert peak(lambda: gram(J, way="matrices")) < 2 * factors_and_result + 2**17


def test_products_take_memory_for_a_block_of_rows(rng, monkeypatch):
    """V has 4000 x 50 numbers; blocks of 256 rows and of 8 columns of U, a few of each."""
    monkeypatch.setattr("subquad.jacobian._grouped._products._BLOCK_BYTES", 1)
    J = KhatriRao(*factors_of(rng, 4000, 60, 50, dtype=np.float32), pointers([40] * 100))
    X, g = rng.standard_normal((60, 50)), rng.standard_normal(100)
    pair = J.adjoint(g)
    vectors, block = 8 * 4 * 4000, 8 * 256 * 50
    assert peak(lambda: J.matvec(X)) < vectors + 2 * block
    assert peak(lambda: J.product(g)) < vectors + 6 * block
    assert peak(lambda: J.matvec(pair)) < vectors + 8 * 4 * 256 * 4000 / 2
    matrix = explicit(J.U, J.V, J.groups)
    assert_close(J.product(g), matrix @ (matrix.T @ g), 1e-12)
    assert_close(J.matvec(X), matrix @ X.ravel(), 1e-5)
    assert_close(J.matvec(pair), matrix @ (matrix.T @ g), 1e-5)


def test_solvers_forecast_what_the_rows_of_the_factors_take(rng):
    U, V = factors_of(rng, 400, 30, 20)
    J, rows = KhatriRao(U, V, pointers([100] * 4)), KhatriRao(U, V)
    assert cost.product_seconds(J) == cost.product_seconds(rows)
    assert cost.gram_seconds(J) == pytest.approx(2 * cost._GEMM * J.gram_work()["matrices"])
    assert cost.gram_seconds(JacobianSum([J, J])) == 2 * cost.gram_seconds(J)
    # Transforms of 400 rows, and a Gram matrix of 4.
    saved = cost._GEMM * (400**2 - 4**2) * 1024
    expected = cost.sketch_seconds(rows, 1024) - saved
    assert cost.sketch_seconds(J, 1024) == pytest.approx(expected)


@pytest.mark.parametrize("sketch", ["count", "srht"])
def test_least_squares_sketch_grouped_rows(sketch, rng):
    U, V = factors_of(rng, 60, 20, 15)
    J = KhatriRao(U, V, pointers([10] * 6))
    b = rng.standard_normal(300)
    expected = np.linalg.lstsq(J.to_dense().T, b, rcond=None)[0]
    found = fast_least_squares(J, b, sketch=sketch, sketch_size=100, rng=0)
    np.testing.assert_allclose(found.x, expected, rtol=0, atol=1e-8)


def test_least_squares_take_grouped_rows(rng):
    """A = J^T, one column for each sequence."""
    U, V = factors_of(rng, 30, 12, 11)
    J = KhatriRao(U, V, pointers([4, 1, 0, 5, 10, 10]))
    A = J.to_dense().T
    b = rng.standard_normal(len(A))
    expected = np.linalg.lstsq(A[:, [0, 1, 3, 4, 5]], b, rcond=None)[0]
    kept = KhatriRao(U, V, pointers([4, 1, 5, 10, 10]))
    found = fast_least_squares(kept, b, rng=0)
    np.testing.assert_allclose(found.x, expected, rtol=0, atol=1e-8)


U, V = np.ones((6, 2)), np.ones((6, 3))


@pytest.mark.parametrize(
    ("groups", "error", "message"),
    [
        ([0, 4, 2, 6], ValueError, "^groups must not decrease; got 2 after 4, at index 2.$"),
        ([1, 6], ValueError, "^groups must begin at 0; got 1.$"),
        ([-1, 6], ValueError, "^groups must begin at 0; got -1.$"),
        ([0, 5], ValueError, "^groups must end at 6, the number of rows; got 5.$"),
        ([0, 7], ValueError, "^groups must end at 6, the number of rows; got 7.$"),
        ([0], ValueError, r"^groups must have shape \(n \+ 1,\) .*; got \(1,\).$"),
        ([], TypeError, "^groups must be an array of integers; got float64.$"),
        ([[0, 6]], ValueError, r"^groups must have shape \(n \+ 1,\) .*; got \(1, 2\).$"),
        (6, ValueError, r"^groups must have shape \(n \+ 1,\) .*; got \(\).$"),
        ([0.0, 6.0], TypeError, "^groups must be an array of integers; got float64.$"),
        ([False, True], TypeError, "^groups must be an array of integers; got bool.$"),
        ("06", TypeError, "^groups must be an array of integers; got <U2.$"),
        ([[0], [1, 6]], ValueError, "^groups must have rows of equal length; got ragged ones.$"),
        (np.array([0, 2**63], np.uint64), ValueError, "^groups must hold integers of at most"),
        (np.ma.array([0, 6]), TypeError, "^groups must be an array of integers; got Masked"),
        (STORE["csr"](np.eye(2)), TypeError, "^groups must be an array of integers; got csr_arr"),
    ],
)
def test_what_does_not_divide_the_rows_is_refused_in_a_sentence(groups, error, message):
    with pytest.raises(error, match=message):
        KhatriRao(U, V, groups=groups)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: KhatriRao(U, V[:5], [0, 6]), ValueError, r"^V must have shape \(6, any\)"),
        (lambda: KhatriRao(U, V, [0, 6]).matvec(np.ones((3, 2))), ValueError, "^X must have shape"),
        (lambda: KhatriRao(U, V, [0, 6]).adjoint(np.ones(6)), ValueError, r"^g must .*\(1,\)"),
        (lambda: KhatriRao(U, V, [0, 6]).product(np.ones(6)), ValueError, r"^g must .*\(1,\)"),
        (lambda: KhatriRao(U, V, [0, 6]).gram(U), TypeError, "^other must be a KhatriRao"),
        (
            lambda: KhatriRao(U, V, [0, 6]).gram(KhatriRao(V, U, [0, 6])),
            ValueError,
            "^other must have factors of 2 and 3 columns; got 3 and 2",
        ),
    ],
)
def test_impossible_arguments_are_refused_by_name(call, error, message):
    with pytest.raises(error, match=message):
        call()
