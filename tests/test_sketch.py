"""Sketches of vectors are multiplications by one matrix, whatever form the vectors come in."""

import copy
import pickle

import numpy as np
import pytest
import scipy.sparse
from reference_sketch import close, count_sketch_matrix, sparse

from subquad.hadamard import fwht
from subquad.sketch import (
    SRHT,
    CountSketch,
    GaussianSketch,
    _base,
    _count_sketch,
    _gaussian,
    _sampled,
    _srht,
)

ALL = [CountSketch, SRHT, GaussianSketch]
M, S = 53, 20


@pytest.fixture(params=ALL, ids=lambda kind: kind.__name__)
def sketch(request):
    return request.param(M, S, rng=7)


@pytest.mark.parametrize("n", [1, 2, 35])
class TestProducts:
    def test_rows(self, rng, dtype, sketch, n):
        X = rng.standard_normal((n, M)).astype(dtype)
        close(sketch.apply(X), X @ sketch.matrix().T, dtype)

    def test_sparse_rows(self, rng, dtype, sketch, n):
        X = sparse(rng, (n, M), dtype)
        close(sketch.apply(X), X.toarray() @ sketch.matrix().T, dtype)

    def test_columns(self, rng, dtype, sketch, n):
        A = rng.standard_normal((M, n)).astype(dtype)
        close(sketch.apply_columns(A), sketch.matrix() @ A, dtype)

    def test_sparse_columns(self, rng, dtype, sketch, n):
        A = sparse(rng, (M, n), dtype)
        close(sketch.apply_columns(A), sketch.matrix() @ A.toarray(), dtype)

    def test_transposed(self, rng, dtype, sketch, n):
        Y = rng.standard_normal((n, S)).astype(dtype)
        close(sketch.apply_transposed(Y), Y @ sketch.matrix(), dtype)


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize(("m", "s"), [(1, 1), (2, 1), (5, 4), (16, 16)])
def test_small_sizes(rng, dtype, kind, m, s):
    sketch = kind(m, s, rng=1)
    X = rng.standard_normal((3, m)).astype(dtype)
    close(sketch.apply(X), X @ sketch.matrix().T, dtype)
    close(sketch.apply_columns(X.T), sketch.matrix() @ X.T, dtype)


def test_parts_of_bounded_size_change_no_bit(rng, dtype, sketch, monkeypatch):
    X = rng.standard_normal((37, M)).astype(dtype)
    forms = X, scipy.sparse.csr_array(X)
    wide = np.ascontiguousarray(X.T)

    def products():
        Y = np.ascontiguousarray(sketch.apply(X))
        tall = sketch.apply_columns(wide), sketch.apply_columns(scipy.sparse.csr_array(wide))
        return *(sketch.apply(form) for form in forms), *tall, sketch.apply_transposed(Y)

    expected = products()
    monkeypatch.setattr(_count_sketch, "_ADDITIONS_PER_CALL", 500)
    monkeypatch.setattr(_count_sketch, "_REALS_AT_ONCE", 100)
    monkeypatch.setattr(_srht, "_REALS_AT_ONCE", 40)  # so that rows are transformed by `fwht`
    monkeypatch.setattr(_sampled, "_REALS_AT_ONCE", 64)
    monkeypatch.setattr(_sampled, "_REALS_PER_CALL", 300)
    monkeypatch.setattr(_sampled, "_CHUNK_BYTES", 128)
    monkeypatch.setattr(_gaussian, "_REALS_AT_ONCE", 300)
    for part, whole in zip(products(), expected, strict=True):
        if isinstance(sketch, GaussianSketch):
            close(part, whole, dtype)
        else:
            np.testing.assert_array_equal(part, whole)


@pytest.mark.parametrize("kind", [CountSketch, SRHT])
def test_neither_threads_nor_instructions_change_a_bit(
    rng, dtype, simd_level, n_threads, monkeypatch, kind
):
    monkeypatch.setattr(_base, "_WORK_PER_THREAD", 1)
    sketch = kind(M, S, rng=7)
    X = rng.standard_normal((37, M)).astype(dtype)
    expected = np.stack([sketch.apply(x[None], n_threads=1)[0] for x in X])
    for form in (X, scipy.sparse.csr_array(X)):
        np.testing.assert_array_equal(sketch.apply(form, n_threads=n_threads), expected)
        columns = sketch.apply_columns(form.T, n_threads=n_threads)
        np.testing.assert_array_equal(columns, expected.T)
    Y = expected
    one = sketch.apply_transposed(Y, n_threads=1)
    np.testing.assert_array_equal(sketch.apply_transposed(Y, n_threads=n_threads), one)


@pytest.mark.parametrize(("m", "s"), [(3000, 40), (4096, 1), (9000, 700)])
def test_srht_of_tall_columns_has_the_bits_of_rows(rng, dtype, n_threads, monkeypatch, m, s):
    monkeypatch.setattr(_base, "_WORK_PER_THREAD", 1)
    sketch = SRHT(m, s, rng=7)
    A = rng.standard_normal((m, 150)).astype(dtype)
    expected = sketch.apply(np.ascontiguousarray(A.T)).T
    A.flags.writeable = False
    for threads in (1, n_threads):
        np.testing.assert_array_equal(sketch.apply_columns(A, n_threads=threads), expected)
    strided = np.repeat(A, 2, axis=0)[::2, ::-1]
    np.testing.assert_array_equal(sketch.apply_columns(strided), expected[:, ::-1])
    swapped = A.astype(dtype.newbyteorder(">"))
    np.testing.assert_array_equal(sketch.apply_columns(swapped), expected)


class TestMatrix:
    def test_of_count_sketch_has_one_sign_in_each_column(self):
        S = CountSketch(200, 9, rng=0)
        np.testing.assert_array_equal(S.matrix(), count_sketch_matrix(S.buckets, S.signs, 9))

    @pytest.mark.parametrize(("m", "padded"), [(40, 40), (33, 40), (64, 64), (100, 112)])
    def test_of_srht_is_a_sample_of_a_signed_transform(self, m, padded):
        S = SRHT(m, 11, rng=0)
        assert S.padded_length == padded
        assert len(set(S.rows)) == 11
        H = fwht(np.eye(padded))[:, :m]
        np.testing.assert_allclose(
            S.matrix(), H[S.rows] * S.signs / np.sqrt(11), rtol=4e-16, atol=0
        )

    def test_of_srht_with_all_rows_is_orthogonal(self):
        S = SRHT(100, 112, rng=0).matrix()
        np.testing.assert_allclose(S.T @ S, np.eye(100), atol=1e-14)

    def test_of_gaussian_is_in_float32_but_for_its_scale(self):
        S = GaussianSketch(30, 7, rng=0)
        entries = S.matrix() * np.sqrt(7)
        np.testing.assert_allclose(entries.astype(np.float32), entries, rtol=1e-15)

    def test_that_would_not_fit_is_refused(self, sketch, monkeypatch):
        monkeypatch.setattr("subquad._validation.available_memory", lambda: 1000)
        with pytest.raises(MemoryError, match=r"S with shape \(20, 53\) must fit in memory"):
            sketch.matrix()
        with pytest.raises(MemoryError, match="S with shape"):
            GaussianSketch(M, S)


class TestSampling:
    def test_is_reproducible_and_happens_once(self, rng, sketch):
        again = type(sketch)(M, S, rng=np.random.default_rng(7))
        other = type(sketch)(M, S, rng=8)
        np.testing.assert_array_equal(sketch.matrix(), again.matrix())
        assert not np.array_equal(sketch.matrix(), other.matrix())
        X = rng.standard_normal((2, M))
        np.testing.assert_array_equal(sketch.apply(X), sketch.apply(X))

    def test_advances_the_generator_it_is_given(self):
        generator = np.random.default_rng(7)
        first, second = CountSketch(M, S, rng=generator), CountSketch(M, S, rng=generator)
        assert not np.array_equal(first.matrix(), second.matrix())

    # Golden: draws must not change with the machine, nor with a release.
    def test_draws_are_what_they_were(self):
        assert CountSketch(5, 9, rng=3).buckets.tolist() == [7, 0, 1, 2, 1]
        assert CountSketch(5, 9, rng=3).signs.tolist() == [-1, 1, 1, -1, 1]
        assert SRHT(100, 5, rng=3).rows.tolist() == [19, 46, 64, 72, 82]

    def test_result_cannot_be_changed(self, sketch):
        arrays = [x for x in vars(sketch).values() if isinstance(x, np.ndarray)]
        assert arrays
        assert not any(x.flags.writeable for x in arrays)
        with pytest.raises(AttributeError, match="cannot be changed"):
            sketch.sketch_size = 3
        with pytest.raises(AttributeError, match="cannot be changed"):
            del sketch.sketch_size

    @pytest.mark.parametrize(
        "copied", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))]
    )
    def test_result_can_be_copied_and_pickled(self, sketch, copied):
        twin = copied(sketch)
        np.testing.assert_array_equal(twin.matrix(), sketch.matrix())
        assert not any(x.flags.writeable for x in vars(twin).values() if isinstance(x, np.ndarray))
        assert (
            repr(twin) == repr(sketch) == f"{type(sketch).__name__}(n_features=53, sketch_size=20)"
        )

    def test_of_srht_is_pickled_without_what_products_need(self, rng):
        sketch = SRHT(3000, 40, rng=7)
        before = pickle.dumps(sketch)
        sketch.apply_columns(rng.standard_normal((3000, 4)))
        assert pickle.dumps(sketch) == before


class TestSize:
    @pytest.mark.parametrize("kind", ALL)
    def test_is_kept_with_what_it_was_derived_from(self, kind):
        sketch = kind(500, n_points=2, epsilon=0.9, delta=0.5, rng=0)
        assert sketch.guarantee == (2, 0.9, 0.5)
        assert kind(500, sketch.sketch_size, rng=0).guarantee is None

    def test_follows_the_stated_constants(self):
        # By hand: 2 * 3 / (.81 * .5) = 14.8; (sqrt 2 + sqrt(2 ln 4))^2 / (sqrt 1.9 - 1)^2 = 66.3.
        assert CountSketch(500, n_points=2, epsilon=0.9, delta=0.5).sketch_size == 15
        assert GaussianSketch(500, n_points=2, epsilon=0.9, delta=0.5).sketch_size == 67
        # 3 / .81 (sqrt 2 + sqrt(8 ln(6 M)))^2 ln 12 = 1114.4 for M = 2^14; M is enough.
        assert SRHT(2**14, n_points=2, epsilon=0.9, delta=0.5).sketch_size == 1115
        assert SRHT(500, n_points=2, epsilon=0.9, delta=0.5).sketch_size == 512

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({}, "sketch_size must be given, or else all of n_points, epsilon and delta; got"),
            ({"n_points": 3, "epsilon": 0.5}, "got n_points=3, epsilon=0.5, delta=None"),
            ({"sketch_size": 3, "delta": 0.1}, "sketch_size must be None where n_points, epsilon"),
            ({"sketch_size": 0}, "sketch_size must be at least 1; got 0"),
            ({"sketch_size": 2**31}, "sketch_size must be at most"),
            ({"n_points": 0, "epsilon": 0.5, "delta": 0.1}, "n_points must be at least 1"),
            ({"n_points": 3, "epsilon": 0.0, "delta": 0.1}, "epsilon must be greater than 0"),
            ({"n_points": 3, "epsilon": 1.5, "delta": 0.1}, "epsilon must be less than 1; got 1.5"),
            ({"n_points": 3, "epsilon": 0.5, "delta": -1}, "delta must be greater than 0.0; got"),
            ({"n_points": 3, "epsilon": 0.5, "delta": np.nan}, "delta must be finite; got nan"),
        ],
    )
    @pytest.mark.parametrize("kind", ALL)
    def test_must_make_sense(self, kind, arguments, message):
        with pytest.raises(ValueError, match=message):
            kind(M, **arguments)

    def test_must_not_be_absurd(self):
        with pytest.raises(ValueError, match=r"at most 1073741824 rows; it would need 4\d+\. Pass"):
            CountSketch(M, n_points=2000, epsilon=0.1, delta=0.001)

    def test_of_srht_is_at_most_the_padded_length(self):
        with pytest.raises(ValueError, match="at most 56 for 53 features; got 57"):
            SRHT(M, 57)

    def test_must_be_an_integer(self):
        with pytest.raises(TypeError, match=r"sketch_size must be an integer; got 2\.5"):
            CountSketch(M, 2.5)
        with pytest.raises(ValueError, match="n_features must be at least 1; got 0"):
            CountSketch(0, 3)
