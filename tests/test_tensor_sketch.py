"""Sketches of pairs are multiplications of rows vec(u_i v_i^T) by one matrix."""

import copy
import pickle

import numpy as np
import pytest
import scipy.sparse
from reference_sketch import close, khatri_rao, sides

from subquad.hadamard import fwht
from subquad.sketch import TensorSketch, TensorSRHT, _fft, _prepared, _tensor_base, use_fft_backend
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
    monkeypatch.setattr(_prepared, "_MULTIPLY_ADDS_PER_CALL", 500)
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
        monkeypatch.setattr(_fft, "_chosen", None)
        monkeypatch.setenv("SUBQUAD_FFT_BACKEND", "scipy")
        assert _fft.fft_backend() == "scipy"
        monkeypatch.setattr(_fft, "_chosen", None)
        monkeypatch.setenv("SUBQUAD_FFT_BACKEND", "cufft")
        with pytest.raises(ValueError, match="SUBQUAD_FFT_BACKEND must be one of pyfftw, scipy"):
            _fft.fft_backend()

    def test_is_scipy_where_pyfftw_is_missing(self, monkeypatch):
        monkeypatch.delenv("SUBQUAD_FFT_BACKEND", raising=False)
        monkeypatch.setattr(_fft, "_chosen", None)
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
