"""Sketches of pairs are multiplications of rows vec(u_i v_i^T) by one matrix."""

import copy
import pickle

import numpy as np
import pytest
import scipy.sparse
from reference_sketch import khatri_rao

from subquad.hadamard import fwht
from subquad.sketch import TensorSketch, TensorSRHT, _fft, _tensor_base, use_fft_backend
from subquad.sketch import _base as base

ALL = [TensorSketch, TensorSRHT]
M_U, M_V, S = 13, 21, 18
BACKENDS = [name for name in _fft.BACKENDS if name == "scipy" or _fft._has_pyfftw()]


@pytest.fixture(params=ALL, ids=lambda kind: kind.__name__)
def sketch(request):
    return request.param((M_U, M_V), S, rng=7)


@pytest.fixture(params=BACKENDS)
def backend(request):
    """Let one library transform during the test."""
    use_fft_backend(request.param)
    yield request.param
    use_fft_backend(None)


def sides(rng, n, dtype, m_u=M_U, m_v=M_V):
    U, V = rng.standard_normal((n, m_u)), rng.standard_normal((n, m_v))
    U *= rng.random(U.shape) < 0.6
    V *= rng.random(V.shape) < 0.6
    return U.astype(dtype), V.astype(dtype)


def close(actual, expected, dtype):
    """Within what the sums and transforms of these sizes can lose, and no dtype but this."""
    assert actual.dtype == dtype
    size = max(1.0, np.abs(expected).max(initial=0.0))
    np.testing.assert_allclose(actual, expected, rtol=0, atol=100 * np.finfo(dtype).eps * size)


def identity(x):
    return x


@pytest.mark.parametrize("n", [1, 2, 35])
class TestProducts:
    def test_every_form_of_either_side(self, rng, dtype, sketch, n):
        U, V = sides(rng, n, dtype)
        expected = khatri_rao(U, V) @ sketch.matrix().T
        for u_form in (identity, scipy.sparse.csr_array):
            for v_form in (identity, scipy.sparse.csr_array):
                for prepare in (identity, sketch.prepare):
                    result = sketch.apply(u_form(U), prepare(v_form(V)))
                    close(result, expected, dtype)

    def test_gram(self, rng, dtype, sketch, n):
        U, V = sides(rng, n, dtype)
        Z = khatri_rao(U, V) @ sketch.matrix().T
        for second in (V, scipy.sparse.csr_array(V), sketch.prepare(V)):
            G = sketch.gram(U, second)
            close(G, Z @ Z.T, dtype)
            np.testing.assert_array_equal(G, G.T)


@pytest.mark.parametrize("s", [1, 2, 3, 8, 17, 64, 97])
@pytest.mark.parametrize("n", [1, 9])
def test_odd_and_prime_sizes(rng, dtype, backend, s, n):
    sketch = TensorSketch((M_U, M_V), s, rng=2)
    U, V = sides(rng, n, dtype)
    Z = khatri_rao(U, V) @ sketch.matrix().T
    close(sketch.apply(U, V), Z, dtype)
    close(sketch.apply(U, sketch.prepare(V)), Z, dtype)
    close(sketch.gram(U, V), Z @ Z.T, dtype)


@pytest.mark.parametrize(("m", "s"), [((1, 1), 1), ((1, 5), 3), ((16, 12), 192)])
def test_small_and_whole_sizes(rng, dtype, m, s):
    for kind in ALL:
        sketch = kind(m, s, rng=1)
        U, V = sides(rng, 4, dtype, *m)
        close(sketch.apply(U, V), khatri_rao(U, V) @ sketch.matrix().T, dtype)


def test_one_width_stands_for_both(sketch):
    assert type(sketch)(5, 4).n_features == (5, 5)


class TestMatrix:
    def test_of_tensor_sketch_has_one_sign_in_each_column(self):
        S = TensorSketch((7, 4), 5, rng=0).matrix()
        assert S.shape == (5, 28)
        np.testing.assert_array_equal(np.abs(S).sum(axis=0), 1)
        np.testing.assert_array_equal(np.abs(S).max(axis=0), 1)

    def test_of_tensor_srht_is_a_sample_of_a_kronecker_product(self):
        S = TensorSRHT((7, 11), 9, rng=0)
        assert S.padded_lengths == (8, 12)
        H = np.kron(fwht(np.eye(8))[:, :7] * S.signs[0], fwht(np.eye(12))[:, :11] * S.signs[1])
        rows = S.pairs[0] * 12 + S.pairs[1]
        assert len(set(rows)) == 9
        np.testing.assert_allclose(S.matrix(), H[rows] / 3, rtol=4e-16)

    def test_of_tensor_srht_with_all_rows_is_orthogonal(self):
        S = TensorSRHT((7, 11), 96, rng=0).matrix()
        np.testing.assert_allclose(S.T @ S, np.eye(77), atol=1e-14)

    def test_that_would_not_fit_is_refused(self, sketch, monkeypatch):
        monkeypatch.setattr("subquad._validation.available_memory", lambda: 1000)
        with pytest.raises(MemoryError, match=r"S with shape \(18, 273\) must fit in memory"):
            sketch.matrix()
        U = np.ones((40, M_U))
        with pytest.raises(MemoryError, match=r"G with shape \(40, 40\) must fit in memory"):
            sketch.gram(U, np.ones((40, M_V)))
        with pytest.raises(MemoryError, match="The transforms of V must fit in memory"):
            sketch.prepare(np.ones((40, M_V)))


def test_neither_threads_nor_instructions_change_a_bit(
    rng, dtype, backend, simd_level, n_threads, monkeypatch, sketch
):
    monkeypatch.setattr(base, "_WORK_PER_THREAD", 1)
    monkeypatch.setattr(_fft, "_ROWS", (2, 4))
    U, V = sides(rng, 37, dtype)
    for second in (V, sketch.prepare(V, n_threads=n_threads)):
        one = sketch.apply(U, second, n_threads=1)
        np.testing.assert_array_equal(sketch.apply(U, second, n_threads=n_threads), one)
        sparse = scipy.sparse.csr_array(U)
        np.testing.assert_array_equal(sketch.apply(sparse, second, n_threads=n_threads), one)


def test_parts_of_bounded_size_give_the_same(rng, dtype, sketch, monkeypatch):
    U, V = sides(rng, 37, dtype)
    expected, G = sketch.apply(U, V), sketch.gram(U, V)
    monkeypatch.setattr(_fft, "_REALS_PER_CALL", 100)
    monkeypatch.setattr(_tensor_base, "_PANEL_BYTES", 1000)
    monkeypatch.setattr(_tensor_base, "_MULTIPLY_ADDS_PER_CALL", 500)
    np.testing.assert_array_equal(sketch.apply(U, V), expected)
    for second in (V, sketch.prepare(V)):
        in_parts = sketch.gram(U, second)
        close(in_parts, G, dtype)
        np.testing.assert_array_equal(in_parts, in_parts.T)


class TestSampling:
    def test_is_reproducible(self, sketch):
        again = type(sketch)((M_U, M_V), S, rng=np.random.default_rng(7))
        np.testing.assert_array_equal(sketch.matrix(), again.matrix())
        other = type(sketch)((M_U, M_V), S, rng=8)
        assert not np.array_equal(sketch.matrix(), other.matrix())

    # Golden: draws must not change with the machine, nor with a release.
    def test_draws_are_what_they_were(self):
        sketch = TensorSketch((3, 2), 9, rng=3)
        assert [x.tolist() for x in sketch.buckets] == [[7, 0, 1], [1, 7]]
        assert [x.tolist() for x in sketch.signs] == [[1, -1, -1], [1, 1]]
        assert [x.tolist() for x in TensorSRHT((5, 3), 4, rng=3).pairs] == [
            [1, 1, 6, 6],
            [1, 2, 0, 3],
        ]

    def test_result_cannot_be_changed(self, sketch):
        arrays = [x for value in vars(sketch).values() if isinstance(value, tuple) for x in value]
        arrays = [x for x in arrays if isinstance(x, np.ndarray)]
        assert arrays
        assert not any(x.flags.writeable for x in arrays)
        with pytest.raises(AttributeError, match="cannot be changed"):
            sketch.sketch_size = 3

    @pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
    def test_result_can_be_copied_and_pickled(self, rng, sketch, copied):
        twin = copied(sketch)
        np.testing.assert_array_equal(twin.matrix(), sketch.matrix())
        assert not twin.signs[1].flags.writeable
        name = type(sketch).__name__
        assert repr(twin) == repr(sketch) == f"{name}(n_features=(13, 21), sketch_size=18)"
        U, V = sides(rng, 3, np.float64)
        prepared = copied(sketch.prepare(V))
        np.testing.assert_array_equal(twin.apply(U, prepared), sketch.apply(U, V))


class TestSize:
    def test_follows_the_stated_constants(self):
        sketch = TensorSketch(500, n_points=2, epsilon=0.9, delta=0.5)
        # 11 * 4 / (.81 * .5) = 108.6; 120 = 2^3 3 5 transforms faster than 109.
        assert sketch.sketch_size == 120
        assert sketch.guarantee == (2, 0.9, 0.5)
        # 3 * 2 / .81 (1 + sqrt(8 ln(12 * 2^13)))^2 (1 + sqrt(8 ln(12 * 2^26)))^2 ln 12 = 393592
        assert TensorSRHT(2**13, n_points=2, epsilon=0.9, delta=0.5).sketch_size == 393592
        assert TensorSRHT((8, 4), n_points=2, epsilon=0.9, delta=0.5).sketch_size == 32

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"n_features": 5}, "sketch_size must be given, or else all of n_points, epsilon"),
            ({"n_features": (5, 0), "sketch_size": 3}, "n_features must be at least 1; got 0"),
            ({"n_features": (5,), "sketch_size": 3}, "n_features must be a number or a pair"),
            ({"n_features": 5, "sketch_size": 3, "delta": 0.1}, "sketch_size must be None where"),
            ({"n_features": 5, "n_points": 2, "epsilon": 2.0, "delta": 0.1}, "epsilon must be"),
        ],
    )
    @pytest.mark.parametrize("kind", ALL)
    def test_must_make_sense(self, kind, arguments, message):
        with pytest.raises(ValueError, match=message):
            kind(**arguments)

    def test_of_tensor_srht_is_at_most_the_padded_product(self):
        with pytest.raises(ValueError, match=r"at most 32 for \(8, 3\) features; got 33"):
            TensorSRHT((8, 3), 33)


class TestInput:
    @pytest.fixture
    def pair(self, rng, dtype):
        return sides(rng, 6, dtype)

    def test_is_not_modified_and_may_be_read_only(self, pair, sketch):
        U, V = (x.copy() for x in pair)
        U.flags.writeable = V.flags.writeable = False
        sketch.apply(U, V)
        sketch.gram(U, V)
        np.testing.assert_array_equal(U, pair[0])
        np.testing.assert_array_equal(V, pair[1])

    def test_may_be_in_any_layout_and_byte_order(self, pair, sketch, tmp_path):
        U, V = pair
        expected = sketch.apply(U, V)
        mapped = np.memmap(tmp_path / "U", U.dtype, "w+", shape=U.shape)
        mapped[:] = U
        swapped = V.astype(V.dtype.newbyteorder(">"))
        for u_form, v_form in ((np.asfortranarray(U), swapped), (mapped, V[:, ::-1][:, ::-1])):
            np.testing.assert_array_equal(sketch.apply(u_form, v_form), expected)
            np.testing.assert_array_equal(sketch.apply(u_form, sketch.prepare(v_form)), expected)

    @pytest.mark.parametrize("index", [np.int32, np.int64])
    def test_may_be_unsorted_csr_with_duplicates(self, pair, sketch, index):
        U, V = pair
        messy = scipy.sparse.csr_array((6, M_U), dtype=U.dtype)
        messy.indptr = np.arange(0, 19, 3).astype(index)
        messy.indices = np.tile([4, 1, 4], 6).astype(index)
        messy.data = np.arange(18, dtype=U.dtype)
        expected = khatri_rao(messy.toarray(), V) @ sketch.matrix().T
        close(sketch.apply(messy, V), expected, U.dtype)
        assert messy.indices[:3].tolist() == [4, 1, 4]

    def test_of_two_dtypes_takes_the_wider(self, rng, sketch):
        U, V = sides(rng, 3, np.float32)
        wide = V.astype(np.float64)
        expected = sketch.apply(U.astype(np.float64), wide)
        np.testing.assert_array_equal(sketch.apply(U, wide), expected)
        np.testing.assert_array_equal(sketch.apply(U, sketch.prepare(wide)), expected)
        np.testing.assert_array_equal(sketch.apply(scipy.sparse.csr_array(U), wide), expected)
        with pytest.raises(TypeError, match="V must be prepared in float64 as U; got float32"):
            sketch.apply(wide[:, :M_U], sketch.prepare(V))

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_must_be_finite(self, pair, sketch, value):
        U, V = pair
        for which, name in ((0, "U"), (1, "V")):
            wrong = [U.copy(), V.copy()]
            wrong[which][4, 3] = value
            for product in (sketch.apply, sketch.gram):
                with pytest.raises(ValueError, match=rf"{name} must be finite .* \(4, 3\)"):
                    product(*wrong)
            wrong[which] = scipy.sparse.csr_array(wrong[which])
            with pytest.raises(ValueError, match=rf"{name}.data must be finite"):
                sketch.apply(*wrong)
        with pytest.raises(ValueError, match=r"V must be finite .* \(4, 3\)"):
            sketch.prepare(wrong[1].toarray())

    def test_nan_meets_a_zero_row_and_is_still_refused(self, sketch):
        U, V = np.ones((2, M_U)), np.zeros((2, M_V))
        U[1, 0] = np.nan
        with pytest.raises(ValueError, match="U must be finite"):
            sketch.apply(U, V)

    def test_that_overflows_is_infinite(self, sketch):
        U, V = np.full((2, M_U), 1e38, np.float32), np.full((2, M_V), 1e38, np.float32)
        assert not np.isfinite(sketch.apply(U, V)).any()

    def test_must_fit_together(self, sketch):
        U, V = np.ones((3, M_U)), np.ones((3, M_V))
        with pytest.raises(ValueError, match=r"U must have shape \(any, 13\); got \(3, 21\)"):
            sketch.apply(V, U)
        with pytest.raises(ValueError, match=r"V must have shape \(3, 21\); got \(2, 21\)"):
            sketch.apply(U, V[:2])
        with pytest.raises(ValueError, match=r"V must have shape \(3, 21\); got \(2, 21\)"):
            sketch.apply(U, scipy.sparse.csr_array(V[:2]))
        with pytest.raises(ValueError, match="V must have 3 rows as U; got 2"):
            sketch.apply(U, sketch.prepare(V[:2]))
        with pytest.raises(ValueError, match="U must have at least 1 row"):
            sketch.apply(U[:0], V[:0])
        with pytest.raises(TypeError, match="U must be a float32 or float64 array; got int64"):
            sketch.apply(U.astype(np.int64), V)

    def test_must_be_prepared_by_the_same_sketch(self, sketch):
        U, V = np.ones((3, M_U)), np.ones((3, M_V))
        twin = type(sketch)((M_U, M_V), S, rng=7)
        np.testing.assert_array_equal(sketch.apply(U, twin.prepare(V)), sketch.apply(U, V))
        other = type(sketch)((M_U, M_V), S, rng=8)
        with pytest.raises(ValueError, match="V must be prepared by this sketch; got one of"):
            sketch.apply(U, other.prepare(V))


class TestOut:
    def test_is_filled_and_returned(self, rng, dtype, sketch):
        U, V = sides(rng, 6, dtype)
        expected = sketch.apply(U, V)
        for out in (
            np.full((6, S), np.nan, dtype),
            np.full((6, S), np.nan, dtype, order="F"),
            np.full((6, S), np.nan, dtype.newbyteorder(">")),
        ):
            assert sketch.apply(U, V, out=out) is out
            np.testing.assert_array_equal(out, expected)

    def test_may_overlap_the_input(self, rng, dtype):
        for kind in ALL:
            sketch = kind(16, 16, rng=0)
            U, V = sides(rng, 5, dtype, 16, 16)
            expected = sketch.apply(U, V)
            assert sketch.apply(U, V, out=V) is V
            np.testing.assert_array_equal(V, expected)

    def test_must_be_able_to_take_the_result(self, sketch):
        U, V = np.ones((3, M_U)), np.ones((3, M_V))
        with pytest.raises(ValueError, match=r"out must have shape \(3, 18\); got \(3, 13\)"):
            sketch.apply(U, V, out=np.empty((3, M_U)))
        with pytest.raises(TypeError, match="out must be a float64 array; got float32"):
            sketch.apply(U, V, out=np.empty((3, S), np.float32))


class TestBackend:
    def test_results_agree(self, rng, dtype, monkeypatch):
        if len(BACKENDS) < 2:
            pytest.skip("pyfftw is not installed")
        sketch = TensorSketch((M_U, M_V), S, rng=7)
        U, V = sides(rng, 35, dtype)
        results = []
        for name in BACKENDS:
            use_fft_backend(name)
            results.append(sketch.apply(U, V))
        use_fft_backend(None)
        close(*results, dtype)

    def test_can_be_chosen_by_the_environment(self, monkeypatch):
        monkeypatch.setenv("SUBQUAD_FFT_BACKEND", "scipy")
        assert _fft.fft_backend() == "scipy"
        monkeypatch.setenv("SUBQUAD_FFT_BACKEND", "cufft")
        with pytest.raises(ValueError, match="SUBQUAD_FFT_BACKEND must be one of pyfftw, scipy"):
            _fft.fft_backend()

    def test_is_scipy_where_pyfftw_is_missing(self, monkeypatch):
        monkeypatch.delenv("SUBQUAD_FFT_BACKEND", raising=False)
        monkeypatch.setattr(_fft, "_has_pyfftw", lambda: False)
        assert _fft.fft_backend() == "scipy"
        with pytest.raises(ValueError, match=r"an installed library; got 'pyfftw'\. Install it"):
            use_fft_backend("pyfftw")

    def test_keeps_a_bounded_number_of_workspaces(self, monkeypatch):
        for s in range(1, 30):
            TensorSketch(5, s, rng=0).apply(np.ones((2, 5)), np.ones((2, 5)))
        assert len(_fft._idle) <= _fft._KEPT
        monkeypatch.setattr(_fft, "_LARGEST_KEPT", 100)
        TensorSketch(5, 64, rng=0).apply(np.ones((2, 5)), np.ones((2, 5)))
        assert all(idle.size != 64 for idle in _fft._idle)
