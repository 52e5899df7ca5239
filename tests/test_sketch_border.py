"""What sketches of vectors take and refuse: any form of a finite real matrix, any array for out."""

import numpy as np
import pytest
import scipy.sparse
from reference_sketch import close, sparse

from subquad.sketch import SRHT, CountSketch, GaussianSketch, _base

ALL = [CountSketch, SRHT, GaussianSketch]
M, S = 53, 20


@pytest.fixture(params=ALL, ids=lambda kind: kind.__name__)
def sketch(request):
    return request.param(M, S, rng=7)


class TestInput:
    """apply; the other products pass the same border."""

    def expected(self, sketch, X):
        return sketch.apply(np.ascontiguousarray(X))

    def test_may_be_read_only_and_is_not_modified(self, rng, dtype, sketch):
        X = rng.standard_normal((6, M)).astype(dtype)
        before = X.copy()
        X.flags.writeable = False
        np.testing.assert_array_equal(sketch.apply(X), sketch.apply(before))
        np.testing.assert_array_equal(X, before)

    def test_may_be_in_any_layout_and_byte_order(self, rng, dtype, sketch, tmp_path):
        X = rng.standard_normal((6, M)).astype(dtype)
        expected = sketch.apply(X)
        mapped = np.memmap(tmp_path / "X", dtype, "w+", shape=X.shape)
        mapped[:] = X
        wide = np.repeat(np.repeat(X, 2, axis=0), 3, axis=1)
        swapped = X.astype(dtype.newbyteorder(">"))
        for form in (np.asfortranarray(X), wide[::2, ::3], mapped, swapped):
            result = sketch.apply(form)
            np.testing.assert_array_equal(result, expected)
            assert result.dtype.isnative
        np.testing.assert_array_equal(
            sketch.apply_columns(swapped.T), sketch.apply_columns(np.ascontiguousarray(X.T))
        )

    @pytest.mark.parametrize("index", [np.int32, np.int64])
    @pytest.mark.parametrize("container", [scipy.sparse.csr_array, scipy.sparse.csr_matrix])
    def test_may_be_unsorted_csr_with_duplicates(self, rng, dtype, sketch, index, container):
        X = container(rng.standard_normal((2, M)).astype(dtype))
        indices = np.concatenate([[5, 5, 3], rng.permutation(M)[:4]]).astype(index)
        X.indptr, X.indices = np.array([0, 3, 7], index), indices
        X.data = rng.standard_normal(7).astype(dtype)
        X.has_canonical_format = X.has_sorted_indices = False
        before = X.indices.copy(), X.data.copy()
        close(sketch.apply(X), X.toarray() @ sketch.matrix().T, dtype)
        columns = sketch.apply_columns(container(X.T))
        close(columns, sketch.matrix() @ X.toarray().T, dtype)
        np.testing.assert_array_equal(X.indices, before[0])
        np.testing.assert_array_equal(X.data, before[1])

    @pytest.mark.parametrize("form", [scipy.sparse.csc_array, scipy.sparse.coo_array])
    def test_may_be_sparse_in_any_format(self, rng, dtype, sketch, form):
        X = sparse(rng, (5, M), dtype)
        np.testing.assert_array_equal(sketch.apply(form(X)), sketch.apply(X))

    def test_may_be_zero(self, dtype, sketch):
        zero = np.zeros((3, M), dtype)
        for form in (zero, scipy.sparse.csr_array(zero)):
            np.testing.assert_array_equal(sketch.apply(form), np.zeros((3, S)))
            np.testing.assert_array_equal(sketch.apply_columns(form.T), np.zeros((S, 3)))

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_must_be_finite(self, sketch, value):
        X = np.ones((3, M))
        X[1, 2] = value
        with pytest.raises(ValueError, match="X must be finite"):
            sketch.apply(X)
        with pytest.raises(ValueError, match=r"X.data must be finite"):
            sketch.apply(scipy.sparse.csr_array(X))
        with pytest.raises(ValueError, match="A must be finite"):
            sketch.apply_columns(X.T)
        with pytest.raises(ValueError, match="Y must be finite"):
            sketch.apply_transposed(X[:, :S])

    @pytest.mark.parametrize("kind", [np.int64, np.complex128, np.float16, object])
    def test_must_be_float32_or_float64(self, sketch, kind):
        with pytest.raises(TypeError, match="X must be a float32 or float64 array"):
            sketch.apply(np.ones((3, M)).astype(kind))

    @pytest.mark.parametrize("shape", [(3, M + 1), (M,), (0, M), (1, 1, M)])
    def test_must_have_the_right_shape(self, sketch, shape):
        with pytest.raises(ValueError, match="X must have"):
            sketch.apply(np.ones(shape))

    def test_must_have_the_right_shape_for_the_other_products(self, sketch):
        with pytest.raises(ValueError, match=r"A must have shape \(53, any\); got \(54, 2\)"):
            sketch.apply_columns(np.ones((M + 1, 2)))
        with pytest.raises(ValueError, match=r"A must have shape \(53, any\); got \(54, 2\)"):
            sketch.apply_columns(scipy.sparse.csr_array(np.ones((M + 1, 2))))
        with pytest.raises(ValueError, match=r"Y must have shape \(any, 20\); got \(2, 53\)"):
            sketch.apply_transposed(np.ones((2, M)))
        with pytest.raises(ValueError, match=r"X must have at least 1 row .*; got \(0, 53\)"):
            sketch.apply(scipy.sparse.csr_array((0, M)))


class TestOut:
    def test_is_filled_and_returned(self, rng, dtype, sketch):
        X = rng.standard_normal((6, M)).astype(dtype)
        Y = sketch.apply(X)
        for product, argument in (
            (sketch.apply, X),
            (sketch.apply_columns, X.T),
            (sketch.apply_transposed, Y),
        ):
            expected = product(argument)
            for out in (
                np.full(expected.shape, np.nan, dtype),
                np.full(expected.shape, np.nan, dtype, order="F"),
                np.full(expected.shape, np.nan, dtype.newbyteorder(">")),
            ):
                assert product(argument, out=out) is out
                np.testing.assert_array_equal(out, expected)

    def test_may_overlap_the_input(self, rng, dtype):
        for kind in ALL:
            sketch = kind(16, 16, rng=0)
            X = rng.standard_normal((5, 16)).astype(dtype)
            expected = sketch.apply(X)
            assert sketch.apply(X, out=X) is X
            np.testing.assert_array_equal(X, expected)

    def test_must_be_able_to_take_the_result(self, dtype, sketch):
        X = np.ones((6, M), dtype)
        other = np.float64 if dtype == np.float32 else np.float32
        out = np.empty((6, S), dtype)
        out.flags.writeable = False
        with pytest.raises(TypeError, match="out must be an ndarray; got list"):
            sketch.apply(X, out=[])
        with pytest.raises(TypeError, match=f"out must be a {dtype} array; got"):
            sketch.apply(X, out=np.empty((6, S), other))
        with pytest.raises(ValueError, match=r"out must have shape \(6, 20\); got \(6, 53\)"):
            sketch.apply(X, out=np.empty((6, M), dtype))
        with pytest.raises(ValueError, match="out must be writeable"):
            sketch.apply(X, out=out)


def test_a_result_that_would_not_fit_is_refused(sketch, monkeypatch):
    monkeypatch.setattr(_base, "_LARGE", 100)
    monkeypatch.setattr("subquad._validation.available_memory", lambda: 1000)
    X = np.ones((40, M))
    with pytest.raises(MemoryError, match=r"The result must fit in memory; .* \(6400 bytes\)"):
        sketch.apply(X)
    sketch.apply(X, out=np.empty((40, S)))


def test_n_threads_is_checked(sketch):
    with pytest.raises(ValueError, match="n_threads must be positive, negative or None"):
        sketch.apply(np.ones((2, M)), n_threads=0)
