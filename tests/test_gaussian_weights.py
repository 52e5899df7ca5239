"""GaussianWeights multiply as the matrix that they stand for, the same in every part and way."""

import pickle
import tracemalloc

import numpy as np
import pytest
import scipy.sparse

import subquad._implicit
import subquad._implicit_products
import subquad._products
import subquad._validation
from subquad._implicit import GaussianWeights

# Relative to the largest sum of absolute products; sums have up to 700 terms.
TOLERANCE = {np.float32: 3e-6, np.float64: 5e-15}
BOTH = pytest.mark.parametrize("dtype", [np.float32, np.float64])
GRIDS = pytest.mark.parametrize("grid", ["int8", "float32"])


@pytest.fixture
def rng():
    return np.random.default_rng(31)


def sparse_rows(rng, shape, density, dtype):
    return (rng.standard_normal(shape) * (rng.random(shape) < density)).astype(dtype)


def assert_product(result, rows, matrix):
    """Compare result with rows @ matrix in float64."""
    dtype = result.dtype.type
    rows, matrix = rows.astype(float), matrix.astype(float)
    scale = (np.abs(rows) @ np.abs(matrix)).max() + np.finfo(dtype).tiny
    assert result.shape == (len(rows), matrix.shape[1])
    np.testing.assert_allclose(result / scale, rows @ matrix / scale, atol=TOLERANCE[dtype], rtol=0)


# ---- the matrix
@BOTH
@GRIDS
@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (7, 1), (5, 3), (64, 64), (130, 67), (700, 257)])
def test_products_are_those_of_the_dense_matrix(dtype, grid, shape, rng):
    W = GaussianWeights(shape, 5, grid, std=0.3, dtype=dtype)
    dense = W.to_dense()
    assert dense.dtype == dtype
    assert dense.flags.c_contiguous
    for n, density in [(1, 0.0), (1, 0.2), (5, 0.1), (5, 1.0)]:
        H = sparse_rows(rng, (n, shape[1]), density, dtype)
        G = sparse_rows(rng, (n, shape[0]), density, dtype)
        for form in (np.asarray, np.asfortranarray, scipy.sparse.csr_array, scipy.sparse.coo_array):
            assert W.apply(form(H)).dtype == dtype
            assert_product(W.apply(form(H)), H, dense.T)
            assert_product(W.apply_transposed(form(G)), G, dense)


@GRIDS
@pytest.mark.parametrize("density", [0.05, 1.0])
def test_many_rows_are_multiplied_in_parts(grid, density, rng, monkeypatch):
    W = GaussianWeights((300, 90), 6, grid)
    H, G = (sparse_rows(rng, (11, size), density, float) for size in (90, 300))
    H[4:8] = 0
    whole = W.apply(H), W.apply_transposed(G), W.to_dense()
    monkeypatch.setattr(subquad._implicit_products, "_ROWS", 3)
    monkeypatch.setattr(subquad._products, "_MULTIPLY_ADDS_PER_CALL", 1.0)
    parts = W.apply(H), W.apply_transposed(G), W.to_dense()
    for part, expected in zip(parts, whole, strict=True):
        np.testing.assert_array_equal(part, expected)


@BOTH
@GRIDS
def test_results_do_not_depend_on_n_threads(dtype, grid, rng, monkeypatch):
    monkeypatch.setattr(subquad._products, "_MULTIPLY_ADDS_PER_THREAD", 1.0)
    W = GaussianWeights((900, 400), 7, grid, dtype=dtype)
    H, G = (sparse_rows(rng, (9, size), 0.1, dtype) for size in (400, 900))
    one = W.apply(H, 1), W.apply_transposed(G, 1), W.columns(3, 390, 1)
    for n in (2, 3, 16, None):
        several = W.apply(H, n), W.apply_transposed(G, n), W.columns(3, 390, n)
        for result, expected in zip(several, one, strict=True):
            np.testing.assert_array_equal(result, expected)


@BOTH
@GRIDS
def test_rows_give_the_same_bits_stored_dense_or_sparse(dtype, grid, rng):
    W = GaussianWeights((200, 400), 8, grid, dtype=dtype)
    H = sparse_rows(rng, (9, 400), 0.3, dtype)
    np.testing.assert_array_equal(W.apply(H), W.apply(scipy.sparse.csr_array(H)))


@BOTH
@GRIDS
def test_a_block_and_a_smaller_matrix_are_parts_of_the_whole(dtype, grid):
    W = GaussianWeights((300, 200), 9, grid, std=2.0, dtype=dtype)
    dense = W.to_dense()
    for start, stop in [(0, 200), (0, 0), (5, 6), (63, 129), (150, 200)]:
        np.testing.assert_array_equal(W.columns(start, stop), dense[:, start:stop].T)
    smaller = GaussianWeights((70, 33), 9, grid, std=2.0, dtype=dtype)
    np.testing.assert_array_equal(smaller.to_dense(), dense[:70, :33])


@BOTH
def test_integers_are_the_weights_in_steps(dtype):
    W = GaussianWeights((300, 200), 10, std=0.7, dtype=dtype)
    Q = W.integers(20, 90)
    assert Q.dtype == np.int8
    np.testing.assert_array_equal(dtype(W.step) * Q, W.columns(20, 90))
    with pytest.raises(ValueError, match="grid must be 'int8' to have integers; got 'float32'"):
        GaussianWeights((3, 2), 10, "float32").integers(0, 1)


@GRIDS
def test_dtypes_agree_to_rounding(grid):
    wide = GaussianWeights((100, 50), 11, grid, std=0.1).to_dense()
    narrow = GaussianWeights((100, 50), 11, grid, std=0.1, dtype=np.float32).to_dense()
    np.testing.assert_allclose(narrow, wide, rtol=2.5e-7)


def test_the_weights_take_no_memory_of_their_own():
    W = GaussianWeights((2**31 - 1, 5000), 12, dtype=np.float32)
    assert W.nbytes <= 12 * (5000 + 64)
    assert W.columns(4999, 4999).shape == (0, 2**31 - 1)


def test_equal_arguments_and_pickles_give_equal_weights(rng):
    W = GaussianWeights((30, 20), 13, "float32", std=0.5, dtype=np.float32)
    H = rng.standard_normal((4, 20))
    for other in (
        GaussianWeights((30, 20), 13, "float32", std=0.5, dtype=np.float32),
        pickle.loads(pickle.dumps(W)),
    ):
        assert repr(other) == repr(W)
        np.testing.assert_array_equal(other.apply(H), W.apply(H))


def test_inputs_are_neither_modified_nor_kept(rng):
    W = GaussianWeights((30, 20), 14)
    H = sparse_rows(rng, (4, 20), 0.4, float)
    given = H.copy()
    given.flags.writeable = False
    sparse = scipy.sparse.csr_array(given)
    sparse.data.flags.writeable = sparse.indices.flags.writeable = False
    W.apply(given)
    W.apply(sparse)
    np.testing.assert_array_equal(given, H)
    np.testing.assert_array_equal(sparse.toarray(), H)


# ---- refusals
@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"shape": 5}, ValueError, r"shape must be a pair \(m_out, m_in\); got 5"),
        ({"shape": (0, 5)}, ValueError, "shape must be at least 1; got 0"),
        ({"shape": (2**31, 5)}, ValueError, "shape must be at most 2147483647"),
        ({"seed": -1}, ValueError, "seed must be at least 0; got -1"),
        ({"seed": 2**64}, ValueError, "seed must be at most 18446744073709551615"),
        ({"seed": 1.5}, TypeError, "seed must be an integer; got 1.5"),
        ({"seed": None}, TypeError, "seed must be an integer; got None"),
        ({"grid": "int4"}, ValueError, "grid must be 'int8' or 'float32'; got 'int4'"),
        ({"std": -1.0}, ValueError, "std must be at least 0.0; got -1.0"),
        ({"std": np.nan}, ValueError, "std must be finite; got nan"),
        ({"dtype": np.int8}, TypeError, "dtype must be float32 or float64; got"),
    ],
)
def test_unusable_arguments_are_refused(change, error, message):
    with pytest.raises(error, match=message):
        GaussianWeights(**{"shape": (3, 2), "seed": 0, **change})


def test_unusable_rows_and_ranges_are_refused():
    W = GaussianWeights((3, 2), 0)
    with pytest.raises(ValueError, match=r"H must have shape \(any, 2\); got \(1, 3\)"):
        W.apply(np.ones((1, 3)))
    with pytest.raises(ValueError, match=r"G must have shape \(any, 3\); got \(1, 2\)"):
        W.apply_transposed(np.ones((1, 2)))
    with pytest.raises(ValueError, match="H must be finite"):
        W.apply(np.array([[1.0, np.inf]]))
    with pytest.raises(ValueError, match="stop must be at most 2; got 3"):
        W.columns(0, 3)
    with pytest.raises(ValueError, match="start must be at most 1; got 2"):
        W.columns(2, 1)


def test_a_low_rank_change_is_refused_with_what_to_do():
    W = GaussianWeights((3, 2), 0)
    with pytest.raises(TypeError, match=r"must be DenseWeights .* give those to LowRankMaint"):
        W.add_low_rank(np.ones((1, 3)), np.ones((1, 2)))


def test_what_does_not_fit_is_refused_before_it_is_made(monkeypatch):
    W = GaussianWeights((3000, 2000), 0)
    monkeypatch.setattr(subquad._validation, "available_memory", lambda: 1000)
    for make in (W.to_dense, lambda: W.columns(0, 2000), lambda: W.integers(0, 2000)):
        with pytest.raises(MemoryError, match=r"weight matrix in (float64|int8) must fit"):
            make()


def test_keys_that_do_not_fit_are_refused_before_they_are_made(monkeypatch):
    monkeypatch.setattr(subquad._validation, "available_memory", lambda: 2 * 10**10)
    message = (
        r"The keys of 2147483647 columns .* must fit in memory; needs 25.8 GB .* fewer columns"
    )
    W = GaussianWeights((1, 2**31 - 1), 0)
    assert W.nbytes == 12 * 2**31
    with pytest.raises(MemoryError, match=message):
        W.apply(scipy.sparse.csr_array((1, 2**31 - 1)))


def test_the_widest_matrix_takes_no_memory_and_its_columns_a_little():
    tracemalloc.start()
    W = GaussianWeights((3, 2**31 - 1), 4)
    last = W.columns(2**31 - 3, 2**31 - 1)
    W.integers(2**30 + 1, 2**30 + 5)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1e5
    assert last.shape == (2, 3)
    assert W.nbytes == 12 * 2**31


@BOTH
@GRIDS
@pytest.mark.parametrize("transposed", [False, True])
def test_few_nonzeros_in_many_columns_are_multiplied_the_same(monkeypatch, dtype, grid, transposed):
    W = GaussianWeights((130, 3000)[:: -1 if transposed else 1], 4, grid, dtype=dtype)
    H = scipy.sparse.random_array((700, 3000), density=1e-4, format="csr", rng=0, dtype=dtype)
    multiply = W.apply_transposed if transposed else W.apply
    few = multiply(H)
    monkeypatch.setattr(subquad._implicit_products, "_FEW", 0)
    np.testing.assert_array_equal(multiply(H), few)


def test_columns_are_the_same_before_and_after_a_product_has_made_the_keys():
    W = GaussianWeights((5, 300), 4)
    before = [W.columns(start, 300) for start in (0, 1, 63, 64, 200, 299)]
    W.apply(np.ones((1, 300)))
    for part, start in zip(before, (0, 1, 63, 64, 200, 299), strict=True):
        np.testing.assert_array_equal(W.columns(start, 300), part)
        np.testing.assert_array_equal(W.to_dense()[:, start:].T, part)


def test_keys_made_in_parts_are_the_same(monkeypatch):
    whole = GaussianWeights((40, 300), 15).to_dense()
    monkeypatch.setattr(subquad._implicit, "_COLUMNS_PER_CALL", 64)
    np.testing.assert_array_equal(GaussianWeights((40, 300), 15).to_dense(), whole)


def test_scratch_is_sized_by_the_threads_that_have_work(monkeypatch):
    scratch, product = [], subquad._implicit_products.gaussian.product

    def record(*arguments):
        scratch.append(len(arguments[-2]))
        product(*arguments)

    monkeypatch.setattr(subquad._implicit_products.gaussian, "product", record)
    GaussianWeights((200, 300), 16).apply(np.ones((2, 300)), n_threads=1024)
    assert scratch == [1]
    monkeypatch.setattr(subquad._products, "_MULTIPLY_ADDS_PER_THREAD", 1.0)
    GaussianWeights((200, 300), 16).apply(np.ones((2, 300)), n_threads=1024)
    assert scratch == [1, 4]  # panels of 64 outputs
