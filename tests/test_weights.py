"""DenseWeights multiplies as the matrix it was made from, whatever the form of the rows."""

import pickle
import tracemalloc

import numpy as np
import pytest
import scipy.sparse

import subquad._compact
import subquad._products
import subquad._validation
import subquad.weights
from subquad._compact import int8_normals
from subquad._validation import as_csr
from subquad.lowrank import LowRankMaintenance
from subquad.weights import DenseWeights

# Relative to the largest sum of absolute products; sums have up to 700 terms.
TOLERANCE = {np.float32: 3e-6, np.float64: 5e-15}
SHAPES = [(1, 1), (1, 7), (7, 1), (5, 3), (64, 64), (130, 67), (700, 257)]  # (m_out, m_in)
BOTH = pytest.mark.parametrize("dtype", [np.float32, np.float64])
COMPACT = pytest.mark.parametrize("storage", ["bfloat16", "int8"])


@pytest.fixture
def rng():
    return np.random.default_rng(8)


@pytest.fixture(autouse=True)
def threads_for_the_smallest_product(monkeypatch):
    monkeypatch.setattr(subquad._products, "_MULTIPLY_ADDS_PER_THREAD", 1.0)


def sparse_rows(rng, shape, density, dtype):
    return (rng.standard_normal(shape) * (rng.random(shape) < density)).astype(dtype)


def assert_product(result, rows, matrix):
    """Compare result with rows @ matrix in float64."""
    dtype = result.dtype.type
    rows, matrix = rows.astype(float), matrix.astype(float)
    scale = (np.abs(rows) @ np.abs(matrix)).max() + np.finfo(dtype).tiny
    assert result.shape == (len(rows), matrix.shape[1])
    np.testing.assert_allclose(result / scale, rows @ matrix / scale, atol=TOLERANCE[dtype], rtol=0)


@BOTH
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("n", [1, 5])
@pytest.mark.parametrize("density", [0.0, 0.1, 0.35, 0.9])
def test_products_equal_those_of_the_matrix(dtype, shape, n, density, rng):
    matrix = rng.standard_normal(shape).astype(dtype)
    W = DenseWeights(matrix)
    H = sparse_rows(rng, (n, shape[1]), density, dtype)
    G = sparse_rows(rng, (n, shape[0]), density, dtype)
    for form in (np.asarray, np.asfortranarray, scipy.sparse.csr_array, scipy.sparse.coo_array):
        assert W.apply(form(H)).dtype == dtype
        assert_product(W.apply(form(H)), H, matrix.T)
        assert_product(W.apply_transposed(form(G)), G, matrix)


@BOTH
@pytest.mark.parametrize("shape", SHAPES)
def test_shape_dtype_and_dense_form_are_those_of_the_matrix(dtype, shape, rng):
    matrix = rng.standard_normal(shape).astype(dtype)
    W = DenseWeights(matrix)
    assert W.shape == shape
    assert W.dtype == dtype
    assert W.nbytes == matrix.nbytes
    dense = W.to_dense()
    np.testing.assert_array_equal(dense, matrix)
    assert dense.flags.c_contiguous
    assert repr(W) == f"DenseWeights(shape={shape}, dtype={np.dtype(dtype)})"


def test_the_transposed_product_is_the_adjoint(rng):
    W = DenseWeights(rng.standard_normal((300, 200)))
    H = sparse_rows(rng, (6, 200), 0.2, float)
    G = sparse_rows(rng, (6, 300), 0.2, float)
    forward = np.einsum("ij,ij->i", W.apply(scipy.sparse.csr_array(H)), G)
    backward = np.einsum("ij,ij->i", H, W.apply_transposed(scipy.sparse.csr_array(G)))
    np.testing.assert_allclose(forward, backward, rtol=1e-11)


@BOTH
@pytest.mark.parametrize("store", [np.asarray, scipy.sparse.csr_array])
def test_sparse_products_do_not_depend_on_n_threads(dtype, store, rng):
    W = DenseWeights.gaussian((1500, 400), std=1.0, rng=rng, dtype=dtype)
    H = store(sparse_rows(rng, (9, 400), 0.1, dtype))
    expected = W.apply(H, n_threads=1)
    for n_threads in (2, 3, 16, None):
        np.testing.assert_array_equal(W.apply(H, n_threads=n_threads), expected)


@BOTH
def test_mostly_zero_rows_give_the_same_bits_stored_dense_or_sparse(dtype, rng):
    W = DenseWeights.gaussian((1500, 400), std=1.0, rng=rng, dtype=dtype)
    H = sparse_rows(rng, (9, 400), 0.1, dtype)
    np.testing.assert_array_equal(W.apply(H), W.apply(scipy.sparse.csr_array(H)))


def test_a_sparse_product_reads_no_column_outside_the_support(rng):
    """[SZZ24], Lemma C.2: O(nnz m) operations."""
    W = DenseWeights(rng.standard_normal((50, 40)))
    H = scipy.sparse.csr_array(sparse_rows(rng, (3, 40), 0.1, float))
    expected = W.apply(H)
    unread = np.setdiff1d(np.arange(40), H.indices)
    assert unread.size > 20
    W._columns[unread] = np.nan
    np.testing.assert_array_equal(W.apply(H), expected)


@pytest.mark.parametrize("density", [0.1, 0.9])
def test_calls_of_bounded_length_change_no_result(density, rng, monkeypatch):
    matrix, H = rng.standard_normal((600, 90)), sparse_rows(rng, (11, 90), density, float)
    G, U, V = (rng.standard_normal((11, size)) for size in (600, 600, 90))
    monkeypatch.setattr(subquad._products, "_MULTIPLY_ADDS_PER_CALL", 600 * 90)
    W = DenseWeights(matrix)
    assert [len(list(subquad._products.blocks_by_work(11, 600 * c))) for c in (90, 27)] == [11, 4]
    assert_product(W.apply(H), H, matrix.T)
    assert_product(W.apply(scipy.sparse.csr_array(H)), H, matrix.T)
    assert_product(W.apply_transposed(G), G, matrix)
    W.add_low_rank(U, V)
    np.testing.assert_allclose(W.to_dense(), matrix + U.T @ V, rtol=0, atol=1e-13)


def test_inputs_are_neither_modified_nor_kept(rng):
    for shape in [(6, 4), (1, 4), (6, 1)]:
        matrix = rng.standard_normal(shape)
        before = matrix.copy()
        W = DenseWeights(matrix)
        assert not np.shares_memory(W._columns, matrix)
        rows = [rng.standard_normal((2, size)) for size in (shape[1], shape[0], shape[0], shape[1])]
        for array in rows:
            array.flags.writeable = False
        W.apply(rows[0])
        W.apply_transposed(rows[1])
        W.add_low_rank(rows[2], rows[3])
        np.testing.assert_array_equal(matrix, before)
        assert not np.shares_memory(W.to_dense(), W._columns)


@BOTH
@pytest.mark.parametrize("rank", [0, 1, 3, 40])
def test_add_low_rank_adds_the_product_of_the_factors(dtype, rank, rng):
    matrix = rng.standard_normal((30, 20)).astype(dtype)
    U, V = (rng.standard_normal((rank, size)).astype(dtype) for size in (30, 20))
    W = DenseWeights(matrix)
    W.add_low_rank(U, V)
    scale = 1.0 + (np.abs(U.T) @ np.abs(V)).max()
    expected = matrix.astype(float) + U.T.astype(float) @ V
    np.testing.assert_allclose(W.to_dense(), expected, atol=TOLERANCE[dtype] * scale, rtol=0)


@BOTH
def test_gaussian_weights_have_the_moments_asked_for(dtype):
    W = DenseWeights.gaussian((500, 400), std=0.25, rng=5, dtype=dtype).to_dense() / 0.25
    assert W.dtype == dtype
    # Four statistics at 5 standard errors of 200 000 draws: false alarm below 3e-6 over rng.
    error = 5.0 / np.sqrt(W.size)
    assert abs(W.mean(dtype=float)) < error
    assert abs(np.square(W, dtype=float).mean() - 1.0) < error * np.sqrt(2.0)
    assert abs((W[1:] * W[:-1]).mean(dtype=float)) < error
    assert abs((W[:, 1:] * W[:, :-1]).mean(dtype=float)) < error


@BOTH
def test_gaussian_weights_depend_on_the_seed_alone(dtype):
    def draw(rng):
        return DenseWeights.gaussian((9, 5), std=2.0, rng=rng, dtype=dtype).to_dense()

    expected = draw(3)
    np.testing.assert_array_equal(draw(np.random.default_rng(3)), expected)
    assert (draw(4) != expected).all()


def test_copies_and_pickles_are_independent(rng):
    W = DenseWeights(rng.standard_normal((6, 4)))
    before = W.to_dense()
    for twin in (W.copy(), pickle.loads(pickle.dumps(W))):
        twin.add_low_rank(np.ones((1, 6)), np.ones((1, 4)))
        np.testing.assert_array_equal(twin.to_dense(), before + 1.0)
    np.testing.assert_array_equal(W.to_dense(), before)


@BOTH
@COMPACT
@pytest.mark.parametrize("shape", SHAPES)
def test_compact_weights_are_within_the_stated_error_of_the_matrix(dtype, storage, shape, rng):
    matrix = (rng.standard_normal(shape) * 10.0 ** rng.integers(-3, 4)).astype(dtype)
    W = DenseWeights(matrix, storage)
    moved = np.abs(W.to_dense().astype(float) - matrix)
    bound = np.abs(matrix) / 256 if storage == "bfloat16" else np.abs(matrix).max() / 254
    assert np.all(moved <= bound * (1 + 1e-6))
    assert W.rounding_error == moved.max()
    assert (W.dtype, W.storage) == (np.float32, storage)
    assert W.nbytes == matrix.size * (2 if storage == "bfloat16" else 1)


@COMPACT
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("n", [1, 5])
@pytest.mark.parametrize("density", [0.0, 0.1, 0.9])
def test_products_of_compact_weights_equal_those_of_what_they_store(
    storage, shape, n, density, rng, monkeypatch
):
    monkeypatch.setattr(subquad._compact, "_ENTRIES_PER_CALL", 1000)
    W = DenseWeights(rng.standard_normal(shape), storage)
    stored = W.to_dense()
    H = sparse_rows(rng, (n, shape[1]), density, np.float32)
    G = sparse_rows(rng, (n, shape[0]), density, np.float32)
    for form in (np.asarray, scipy.sparse.csr_array):
        assert W.apply(form(H)).dtype == np.float32
        assert_product(W.apply(form(H)), H, stored.T)
        assert_product(W.apply_transposed(form(G)), G, stored)


@COMPACT
def test_a_matrix_on_the_grid_is_stored_exactly(storage, rng):
    steps = rng.integers(-127, 128, (30, 20))
    steps[3, 4] = 127
    W = DenseWeights(steps * 0.125, storage)
    assert W.rounding_error == 0.0
    np.testing.assert_array_equal(W.to_dense(), steps * 0.125)
    zero = DenseWeights(np.zeros((3, 2)), storage)
    assert zero.rounding_error == 0.0
    assert not zero.to_dense().any()


@COMPACT
def test_gaussian_weights_of_compact_storage_have_the_moments_asked_for(storage):
    W = DenseWeights.gaussian((500, 400), std=0.25, rng=5, storage=storage)
    assert W.rounding_error == 0.0
    entries = W.to_dense().astype(float) / 0.25
    # Five statistics at 5 standard errors of 200 000 draws: false alarm below 3e-6 over rng. The
    # kurtosis of the int8 grid is 2.92, and rounding to 8 bits moves that of a normal by 1e-5.
    error = 5.0 / np.sqrt(entries.size)
    kurtosis = 2.92 if storage == "int8" else 3.0
    assert abs(entries.mean()) < error
    assert abs(np.square(entries).mean() - 1.0) < error * np.sqrt(2.0)
    assert abs((entries**4).mean() - kurtosis) < error * np.sqrt(96.0) + 5e-3
    assert abs((entries[1:] * entries[:-1]).mean()) < error
    assert abs((entries[:, 1:] * entries[:, :-1]).mean()) < error


def test_the_int8_grid_has_variance_one_and_is_symmetric():
    steps, scale = int8_normals()
    grid = scale * steps.astype(float)
    np.testing.assert_array_equal(steps, -steps[::-1])
    assert np.square(grid).mean() == pytest.approx(1.0, rel=1e-14)
    assert (grid**4).mean() == pytest.approx(2.92, abs=5e-3)
    assert (len(np.unique(steps)), steps.max()) == (163, 127)
    assert grid.max() == pytest.approx(2.89, abs=5e-3)


@COMPACT
def test_gaussian_weights_of_compact_storage_depend_on_the_seed_alone(storage, monkeypatch):
    def draw(rng):
        return DenseWeights.gaussian((90, 64), std=2.0, rng=rng, storage=storage).to_dense()

    np.testing.assert_array_equal(draw(np.random.default_rng(3)), draw(3))
    assert np.mean(draw(4) == draw(3)) < 0.05


@COMPACT
def test_compact_products_do_not_depend_on_n_threads(storage, rng):
    W = DenseWeights.gaussian((1500, 400), std=1.0, rng=rng, storage=storage)
    for n in (1, 20):
        H = scipy.sparse.csr_array(sparse_rows(rng, (n, 400), 0.1, np.float32))
        expected = W.apply(H, n_threads=1)
        for n_threads in (2, 3, None):
            np.testing.assert_array_equal(W.apply(H, n_threads=n_threads), expected)


@COMPACT
def test_compact_weights_refuse_changes_in_place_and_take_them_as_factors(storage, rng):
    W = DenseWeights(rng.standard_normal((30, 20)), storage)
    before = W.to_dense()
    U, V, Y = (rng.standard_normal((3, size)).astype(np.float32) for size in (30, 20, 20))
    with pytest.raises(ValueError, match=r"^W must be stored in float32 .*rank_budget=inf"):
        W.add_low_rank(U, V)
    np.testing.assert_array_equal(W.to_dense(), before)
    lrm = LowRankMaintenance(W, rank_budget=np.inf)
    lrm.update(U, V)
    assert_product(lrm.query(Y), Y, (before + U.T @ V).T)


@COMPACT
def test_copies_and_pickles_of_compact_weights_are_independent(storage, rng):
    W = DenseWeights(rng.standard_normal((6, 4)), storage)
    before = W.to_dense()
    for twin in (W.copy(), pickle.loads(pickle.dumps(W))):
        assert (twin.storage, twin.rounding_error) == (W.storage, W.rounding_error)
        np.testing.assert_array_equal(twin.to_dense(), before)
        twin._columns.stored[:] = 0
    np.testing.assert_array_equal(W.to_dense(), before)
    assert repr(W) == f"DenseWeights(shape=(6, 4), dtype=float32, storage={storage!r})"


W = DenseWeights(np.ones((3, 2)))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: DenseWeights(np.ones(3)), ValueError, r"^matrix must have shape .*got \(3,\)"),
        (lambda: DenseWeights(np.ones((2, 0))), ValueError, r"^matrix must .*got \(2, 0\)"),
        (lambda: DenseWeights(np.ones((2, 2), int)), TypeError, "^matrix must be .*got int64"),
        (lambda: DenseWeights([[np.nan, 1.0]]), ValueError, "^matrix must be finite.* 1 NaN"),
        (
            lambda: W.apply(np.ones((4, 3))),
            ValueError,
            r"^H must have shape \(any, 2\); got \(4",
        ),
        (lambda: W.apply(scipy.sparse.eye_array(3)), ValueError, r"^H must .*\(any, 2\); got \(3"),
        (lambda: W.apply([[np.inf, 1.0]]), ValueError, "^H must be finite"),
        (lambda: W.apply(np.ones((1, 2)), n_threads=0), ValueError, "^n_threads must"),
        (lambda: W.apply_transposed(np.ones((4, 2))), ValueError, r"^G must have shape \(any, 3\)"),
        (lambda: W.add_low_rank(np.ones((1, 2)), np.ones((1, 2))), ValueError, r"^U must .*, 3\)"),
        (
            lambda: W.add_low_rank(np.ones((2, 3)), np.ones((1, 2))),
            ValueError,
            r"^V must .*\(2, 2\)",
        ),
        (lambda: DenseWeights.gaussian(3, std=1.0), ValueError, "^shape must be a pair.*got 3"),
        (lambda: DenseWeights.gaussian((3, 0), std=1.0), ValueError, "^shape must be at least 1"),
        (lambda: DenseWeights.gaussian((3, 1.5), std=1.0), TypeError, "^shape must be an integer"),
        (lambda: DenseWeights.gaussian((3, 2), std=-1.0), ValueError, "^std must be at least 0"),
        (lambda: DenseWeights.gaussian((3, 2), std=1.0, rng=1.5), TypeError, "^rng must be"),
        (lambda: DenseWeights.gaussian((3, 2), std=1.0, dtype="f2"), TypeError, "^dtype must be"),
        (lambda: DenseWeights.gaussian((3, 2), std=1.0, dtype="no"), TypeError, "^dtype must be"),
        (
            lambda: DenseWeights.gaussian((3, 2), std=1.0, dtype="f8", storage="int8"),
            ValueError,
            "^dtype must be float32 or None with storage='int8'; got float64",
        ),
        (lambda: DenseWeights(np.ones((2, 2)), "int4"), ValueError, "^storage must .*got 'int4'"),
        (lambda: DenseWeights(np.ones((2, 2)), 8), ValueError, "^storage must be None.* got 8"),
        (
            lambda: DenseWeights([[1e39]], "int8"),
            ValueError,
            "^matrix must have entries of at most 3.39e.38 .*got 1e.39",
        ),
        (lambda: DenseWeights.gaussian((2**31, 1), std=1.0), ValueError, "^shape must be at most"),
    ],
)
def test_bad_arguments_are_named(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_a_matrix_that_cannot_fit_is_refused_before_it_is_allocated(monkeypatch):
    weights = DenseWeights(np.ones((10, 20)))
    monkeypatch.setattr(subquad._validation, "available_memory", lambda: 1599)
    for call in (
        lambda: DenseWeights(np.ones((10, 20))),
        lambda: DenseWeights.gaussian((20, 10), std=1.0),
        weights.copy,
        weights.to_dense,
    ):
        with pytest.raises(MemoryError, match=r"weight matrix in float64 must fit.*1600 bytes"):
            call()
    assert DenseWeights.gaussian((20, 10), std=1.0, dtype=np.float32).nbytes == 800


@BOTH
@pytest.mark.parametrize("storage", [None, "bfloat16", "int8"])
@pytest.mark.parametrize("n", [1, 7, 8, 13, 40])
@pytest.mark.parametrize("density", [0.0, 0.05, 0.9])
def test_transposed_products_of_many_rows_equal_those_of_the_matrix(
    dtype, storage, n, density, rng
):
    W = DenseWeights(rng.standard_normal((700, 270)).astype(dtype), storage)
    G = sparse_rows(rng, (n, 700), density, W.dtype)
    matrix = W.to_dense()
    for form in (np.asarray, scipy.sparse.csr_array):
        result = W.apply_transposed(form(G), n_threads=1)
        assert_product(result, G, matrix)
        np.testing.assert_array_equal(W.apply_transposed(form(G), n_threads=2), result)


def test_small_products_are_not_shared_among_threads(monkeypatch):
    monkeypatch.setattr(subquad._products, "_MULTIPLY_ADDS_PER_THREAD", 1e6)
    useful = subquad._products._useful_threads
    assert useful(8, m_in=100, m_out=100, nnz=500, stored=4) == 1
    assert useful(8, m_in=1000, m_out=1000, nnz=3100, stored=4) == 3
    assert useful(8, m_in=10**6, m_out=4000, nnz=10**4, stored=4) == 8
    assert useful(8, m_in=1000, m_out=10**4, nnz=900, stored=4) == 9 * 4 * 10**6 // 2**22


# ---- memory
def peak_of(call):
    """Bytes that a call allocates at most, besides what it returns."""
    tracemalloc.start()
    try:
        result = call()
        return tracemalloc.get_traced_memory()[1] - result.nbytes
    finally:
        tracemalloc.stop()


@pytest.mark.machine
@pytest.mark.parametrize("density", [0.15, 0.9])
@pytest.mark.parametrize("storage", [None, "int8"])
def test_products_of_many_rows_take_bounded_memory(density, storage, rng):
    W = DenseWeights(np.ones((300, 2000), np.float32), storage)
    H, G = (sparse_rows(rng, (n, m), density, W.dtype) for n, m in [(5000, 2000), (30_000, 300)])
    calls = [(W.apply, H), (W.apply_transposed, G)]
    if storage is None:
        # The change is applied to dense rows, whatever the weights are.
        lrm = LowRankMaintenance(W, rank_budget=np.inf)
        lrm.update(np.ones((2, 300), np.float32), np.ones((2, 2000), np.float32))
        calls += [(lrm.query, H), (lrm.query_transposed, G)]
    for multiply, rows in calls:
        csr = scipy.sparse.csr_array(rows)
        conversion = peak_of(lambda csr=csr: as_csr(csr, "H")[1])
        assert peak_of(lambda m=multiply, x=rows: m(x)) < 80e6
        assert peak_of(lambda m=multiply, x=csr: m(x)) < conversion + csr.nnz * 8 + 80e6


def test_a_product_that_cannot_fit_is_refused(monkeypatch):
    W, H = DenseWeights(np.ones((2**15, 1))), np.ones((2**10, 1))
    monkeypatch.setattr(subquad._validation, "available_memory", lambda: 2**28 - 1)
    for rows in (H, scipy.sparse.csr_array(H)):
        with pytest.raises(MemoryError, match=r"A 1024 x 32768 product .* must fit .*fewer"):
            W.apply(rows)


@pytest.mark.parametrize("density", [0.1, 0.9])
@pytest.mark.parametrize("storage", [None, "bfloat16"])
def test_blocks_of_rows_change_no_result(density, storage, rng, monkeypatch):
    W = DenseWeights(rng.standard_normal((600, 90)), storage)
    H, G = (sparse_rows(rng, (23, m), density, W.dtype) for m in (90, 600))
    sparse = scipy.sparse.csr_array
    whole = [W.apply(H), W.apply(sparse(H)), W.apply_transposed(G), W.apply_transposed(sparse(G))]
    monkeypatch.setattr(subquad._products, "_NONZEROS_PER_CALL", 200)
    monkeypatch.setattr(subquad._products, "_DENSE_BYTES_PER_CALL", 5000)
    parts = [W.apply(H), W.apply(sparse(H)), W.apply_transposed(G), W.apply_transposed(sparse(G))]
    for part, expected in zip(parts, whole, strict=True):
        np.testing.assert_allclose(part, expected, rtol=0, atol=1e-4 if storage else 1e-12)
        if density == 0.1:  # by the sparse kernel, whose rows do not depend on each other
            np.testing.assert_array_equal(part, expected)
