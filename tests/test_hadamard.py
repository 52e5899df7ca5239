"""fwht is multiplication by a symmetric Hadamard matrix, along any axis, into any array."""

import numpy as np
import pytest
import scipy.linalg
from hadamard_matrices import LENGTHS, matrix, of_order, split

from subquad.hadamard import _levels, _transforms, fwht, next_length

MANY = [m for m in LENGTHS if m <= 128]


@pytest.mark.parametrize("m", [1 << k for k in range(11)])
def test_powers_of_two_have_sylvesters_matrix(dtype, m):
    np.testing.assert_array_equal(fwht(np.eye(m, dtype=dtype)), scipy.linalg.hadamard(m))


@pytest.mark.parametrize("m", MANY)
def test_the_matrix_is_symmetric_and_its_square_is_m(dtype, m):
    H = fwht(np.eye(m, dtype=dtype))
    np.testing.assert_array_equal(H, matrix(m))
    np.testing.assert_array_equal(H, H.T)
    np.testing.assert_array_equal(fwht(H), m * np.eye(m))


@pytest.mark.parametrize("shape", [(24,), (1, 16), (5, 3, 40), (2, 28, 1), (4, 8, 8, 2)], ids=str)
def test_every_axis_of_every_shape(rng, dtype, simd_level, shape):
    x = rng.standard_normal(shape).astype(dtype)
    for axis in range(-len(shape), len(shape)):
        if x.shape[axis] in MANY:
            expected = np.moveaxis(fwht(np.moveaxis(x, axis, -1).copy()), -1, axis)
            np.testing.assert_array_equal(fwht(x, axis=axis), expected)
            np.testing.assert_array_equal(
                fwht(x, axis, orthonormal=True),
                np.moveaxis(fwht(np.moveaxis(x, axis, -1), orthonormal=True), -1, axis),
            )


@pytest.mark.parametrize("m", [256, 96, 320, 448])
@pytest.mark.parametrize("columns", [1, 5, 16, 70])
def test_long_first_axis(rng, dtype, simd_level, m, columns):
    x = rng.integers(-8, 9, (m, columns)).astype(dtype)
    np.testing.assert_array_equal(fwht(x, axis=0), matrix(m) @ x)


@pytest.mark.parametrize("shape", [(0, 8), (3, 0, 4), (0,)], ids=str)
def test_empty_batches(dtype, shape):
    if shape[-1] == 0:
        with pytest.raises(ValueError, match=r"along axis 0; got 0\. The smallest is 1\."):
            fwht(np.ones(shape, dtype))
    else:
        assert fwht(np.ones(shape, dtype)).shape == shape


def test_one_entry_is_kept(dtype):
    np.testing.assert_array_equal(fwht(np.array([3.0], dtype)), [3.0])


@pytest.mark.parametrize("m", [2, 12, 1024, 20 * 64, 28 * 512])
def test_orthonormal_is_its_own_inverse_and_keeps_norms(rng, dtype, m):
    x = rng.standard_normal((3, m)).astype(dtype)
    y = fwht(x, orthonormal=True)
    tolerance = 2 * relative_error_bound(m, dtype) + 2 * np.finfo(dtype).eps
    error = np.linalg.norm(fwht(y, orthonormal=True) - x, axis=1)
    assert np.all(error <= tolerance * np.linalg.norm(x, axis=1))
    norms = np.linalg.norm(y.astype(np.float64), axis=1)
    np.testing.assert_allclose(norms, np.linalg.norm(x.astype(np.float64), axis=1), rtol=tolerance)


def relative_error_bound(m, dtype):
    """Of the 2-norm, as documented, and one percent for what is of second order."""
    order, size = split(m)
    levels = np.log2(size)
    return 1.01 * (1 + levels / 2 + (27 if order > 1 else 0)) * np.finfo(dtype).eps


@pytest.mark.parametrize("m", [2, 64, 4096, 1 << 17, 12, 20, 28, 28 * 1024])
@pytest.mark.parametrize("orthonormal", [False, True])
def test_error_is_within_the_documented_bound(rng, m, orthonormal):
    # Cancelling entries beside equal ones: the largest partial sums for their results.
    x = rng.choice([1.0, 1.0 + 2**-10, -1.0], (20, m)) * rng.uniform(0.5, 1, (20, 1))
    x = x.astype(np.float32)
    exact = fwht(x.astype(np.float64), orthonormal=orthonormal)
    error = np.linalg.norm(fwht(x, orthonormal=orthonormal) - exact, axis=1)
    bound = relative_error_bound(m, np.float32)
    assert np.all(error <= bound * np.linalg.norm(exact, axis=1))


def test_linearity_is_exact_where_nothing_is_rounded(rng, dtype):
    x, y = rng.integers(-64, 65, (2, 6, 896)).astype(dtype)
    np.testing.assert_array_equal(fwht(3 * x - y), 3 * fwht(x) - fwht(y))


def test_nan_spreads_over_its_own_vector_only(dtype):
    x = np.ones((3, 64), dtype)
    x[1, 5] = np.nan
    np.testing.assert_array_equal(
        np.isnan(fwht(x)), np.broadcast_to([[False], [True], [False]], x.shape)
    )


@pytest.mark.parametrize("m", [16, 4096, 12 * 512])
def test_does_not_depend_on_n_threads(rng, dtype, n_threads, monkeypatch, m):
    monkeypatch.setattr(_levels, "_REALS_PER_THREAD", 1)
    for n in (1, 2, 9):
        x = rng.standard_normal((n, m)).astype(dtype)
        one = fwht(x, n_threads=1)
        np.testing.assert_array_equal(one, fwht(x, n_threads=n_threads))
        across = fwht(x.T.copy(), axis=0, n_threads=n_threads)
        np.testing.assert_array_equal(one, across.T)


@pytest.mark.parametrize("reals", [64, 1024, 3000])
@pytest.mark.parametrize("m", [1024, 1 << 14, 20 * 256])
def test_long_vectors_go_through_the_kernels_in_parts(rng, dtype, monkeypatch, reals, m):
    x = rng.standard_normal((3, m)).astype(dtype)
    expected = fwht(x), fwht(x.T.copy(), axis=0)
    monkeypatch.setattr(_levels, "_REALS_PER_CALL", reals)
    monkeypatch.setattr(_levels, "_REALS_PER_PIECE", 512)
    np.testing.assert_array_equal(fwht(x), expected[0])
    np.testing.assert_array_equal(fwht(x.T.copy(), axis=0), expected[1])


class TestInput:
    @pytest.fixture
    def x(self, rng, dtype):
        return rng.standard_normal((6, 80)).astype(dtype)

    def test_may_be_read_only_and_is_not_modified(self, x):
        expected, before = fwht(x), x.copy()
        x.flags.writeable = False
        np.testing.assert_array_equal(fwht(x), expected)
        np.testing.assert_array_equal(x, before)

    def test_may_be_in_any_layout(self, x):
        expected = fwht(x)
        wide = np.repeat(np.repeat(x, 2, axis=0), 3, axis=1)
        for layout in (np.asfortranarray(x), wide[::2, ::3], x[::-1][::-1], x[:, ::-1][:, ::-1]):
            np.testing.assert_array_equal(fwht(layout), expected)

    @pytest.mark.parametrize("order", ["<", ">"])
    def test_may_be_in_any_byte_order(self, x, order):
        result = fwht(x.astype(x.dtype.newbyteorder(order)))
        np.testing.assert_array_equal(result, fwht(x))
        assert result.dtype == x.dtype
        assert result.dtype.isnative

    def test_may_be_unaligned(self, x):
        room = np.zeros(x.nbytes + 1, np.uint8)
        unaligned = room[1:].view(x.dtype).reshape(x.shape)
        unaligned[:] = x
        np.testing.assert_array_equal(fwht(unaligned), fwht(x))

    def test_may_be_a_list_of_floats(self):
        np.testing.assert_array_equal(fwht([1.0, 2.0]), [3.0, -1.0])

    @pytest.mark.parametrize("kind", [np.uint8, np.int16, np.uint64, np.complex64, bool, object])
    def test_must_hold_floats_or_wide_integers(self, kind):
        expected = "x must be a float32, float64, float16, bfloat16, int32 or int64 array; got"
        with pytest.raises(TypeError, match=expected):
            fwht(np.ones(8, kind))


class TestOut:
    @pytest.fixture
    def x(self, rng, dtype):
        return rng.standard_normal((4, 48)).astype(dtype)

    @pytest.mark.parametrize("axis", [0, 1])
    @pytest.mark.parametrize("orthonormal", [False, True])
    def test_is_filled_and_returned(self, x, axis, orthonormal):
        out = np.full_like(x, np.nan)
        assert fwht(x, axis, orthonormal, out=out) is out
        np.testing.assert_array_equal(out, fwht(x, axis, orthonormal))

    @pytest.mark.parametrize("axis", [0, 1])
    @pytest.mark.parametrize("orthonormal", [False, True])
    def test_may_be_the_input(self, x, axis, orthonormal):
        expected = fwht(x, axis, orthonormal)
        assert fwht(x, axis, orthonormal, out=x) is x
        np.testing.assert_array_equal(x, expected)

    @pytest.mark.parametrize("axis", [0, 1])
    def test_may_be_another_view_of_the_input(self, x, axis):
        expected = fwht(x, axis)
        fwht(x, axis, out=x[:])
        np.testing.assert_array_equal(x, expected)

    def test_may_overlap_the_input(self, rng, dtype):
        room = rng.standard_normal(100).astype(dtype)
        expected = fwht(room[3:67])
        fwht(room[3:67], out=room[10:74])
        np.testing.assert_array_equal(room[10:74], expected)

    def test_may_be_in_any_layout_and_byte_order(self, x):
        expected = fwht(x)
        for out in (
            np.empty_like(x, order="F"),
            np.empty((8, 96), x.dtype)[::2, ::2],
            np.empty(x.shape, x.dtype.newbyteorder(">")),
        ):
            fwht(x, out=out)
            np.testing.assert_array_equal(out, expected)
            out[:] = x
            fwht(out, out=out)
            np.testing.assert_array_equal(out, expected)

    def test_may_be_memory_mapped(self, x, tmp_path):
        expected = fwht(x)
        mapped = np.memmap(tmp_path / "x", x.dtype, "w+", shape=x.shape)
        mapped[:] = x
        assert fwht(mapped, out=mapped) is mapped
        np.testing.assert_array_equal(mapped, expected)

    def test_must_be_an_array(self, x):
        with pytest.raises(TypeError, match="out must be an ndarray; got list"):
            fwht(x, out=x.tolist())

    def test_must_have_the_dtype_of_the_input(self, x):
        other = np.float64 if x.dtype == np.float32 else np.float32
        with pytest.raises(TypeError, match=f"out must be a {x.dtype} array as x; got"):
            fwht(x, out=np.empty(x.shape, other))

    def test_must_have_the_shape_of_the_input(self, x):
        with pytest.raises(ValueError, match=r"out must have shape \(4, 48\) as x; got \(48, 4\)"):
            fwht(x, out=np.empty((48, 4), x.dtype))

    def test_must_be_writeable(self, x):
        out = np.empty_like(x)
        out.flags.writeable = False
        with pytest.raises(ValueError, match="out must be writeable; got a read-only array"):
            fwht(x, out=out)


@pytest.mark.parametrize(
    ("m", "nearest"),
    [(3, "2 and 4"), (9, "8 and 12"), (100, "96 and 112"), (4095, "3584 and 4096")],
)
def test_other_lengths_are_refused_with_the_nearest_valid_ones(m, nearest):
    with pytest.raises(ValueError, match=f"along axis 0; got {m}. The nearest are {nearest}."):
        fwht(np.ones(m))


def test_a_scalar_is_refused():
    with pytest.raises(ValueError, match="x must have at least 1 dimension"):
        fwht(1.0)


@pytest.mark.parametrize(("axis", "limit"), [(2, "at most 1"), (-3, "at least -2")])
def test_an_axis_that_is_not_there_is_refused(axis, limit):
    with pytest.raises(ValueError, match=f"axis must be {limit}; got {axis}"):
        fwht(np.ones((2, 2)), axis=axis)


def test_n_threads_is_checked_for_small_arrays_too():
    with pytest.raises(ValueError, match="n_threads must be positive, negative or None"):
        fwht(np.ones(2), n_threads=0)


def test_a_result_that_would_not_fit_is_refused(monkeypatch):
    monkeypatch.setattr(_transforms, "_LARGE", 100)
    monkeypatch.setattr("subquad._validation.available_memory", lambda: 1000)
    x = np.ones(256)
    with pytest.raises(MemoryError, match=r"The result must fit in memory; needs .* Pass out=x"):
        fwht(x)
    fwht(x, out=x)


def test_next_length_is_the_smallest_valid_one():
    for m in range(1, 3000):
        assert next_length(m) == next(length for length in LENGTHS if length >= m)


def test_next_length_wants_a_positive_integer():
    with pytest.raises(ValueError, match="m must be at least 1; got 0"):
        next_length(0)


@pytest.mark.parametrize("order", [12, 20, 28])
def test_further_orders_are_the_slowest_index(rng, dtype, order):
    # Kronecker order: entry (a, b) of an (order, size) array stands at a * size + b.
    x = rng.integers(-8, 9, (order, 32)).astype(dtype)
    expected = of_order(order) @ x @ scipy.linalg.hadamard(32)
    np.testing.assert_array_equal(fwht(x.ravel()), expected.ravel())
