"""Orders, norms, signs and several axes of fwht in every dtype, by definitions."""

import itertools

import numpy as np
import pytest
import scipy.fft
import scipy.linalg
from hadamard_matrices import matrix

from subquad.hadamard import _levels, _orders, fwht, ifwht

ORDERS = ["natural", "sequency", "dyadic"]
NORMS = [None, "backward", "ortho", "forward"]
FLOATS, INTEGERS = [np.float16, np.float32, np.float64], [np.int32, np.int64]


def ordered(m, order):
    """The matrix of length m, whose rows scipy has in natural order."""
    H = matrix(m) if order == "natural" else scipy.linalg.hadamard(m)
    if order == "sequency":
        changes = np.count_nonzero(np.diff(H, axis=1), axis=1)
        return H[np.argsort(changes)]
    if order == "dyadic":
        k = m.bit_length() - 1
        return H[[int(f"{i:0{k}b}"[::-1], 2) for i in range(m)]]
    return H


def by_definition(x, axes, norm=None, order="natural", signs=None, inverse=False):
    """Products with the matrices, axis by axis, in float64."""
    x, m = np.asarray(x, np.float64), float(np.prod([x.shape[axis] for axis in axes]))
    powers = {None: 0, "backward": 0, "ortho": -0.5, "forward": -1}
    scale = m ** (-1.0 - powers[norm] if inverse else powers[norm])
    diagonal = np.ones(1)
    if signs is not None:
        last = range(x.ndim - len(axes), x.ndim)
        diagonal = np.moveaxis(np.broadcast_to(signs, others(x, axes) + signs.shape), last, axes)
    y = x if inverse else x * diagonal
    for axis in axes:
        W = ordered(x.shape[axis], order)
        y = np.moveaxis(np.tensordot(W, y, (1, axis)), 0, axis)
    return scale * y / diagonal if inverse else scale * y


def others(x, axes):
    kept = {axis % x.ndim for axis in axes}
    return tuple(n for i, n in enumerate(x.shape) if i not in kept)


def integers(rng, shape, dtype):
    return rng.integers(-8, 9, shape).astype(dtype)


def sign_vector(rng, *shape):
    return rng.choice(np.array([-1, 1], np.int8), shape)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("m", [1 << k for k in range(9)])
def test_rows_are_numbered_by_the_order(m, order):
    W = fwht(np.eye(m), axis=0, order=order)
    np.testing.assert_array_equal(W, ordered(m, order))
    np.testing.assert_array_equal(W, W.T)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("kind", FLOATS + INTEGERS)
@pytest.mark.parametrize("function", [fwht, ifwht])
def test_every_combination_of_options(rng, function, kind, order):
    x = integers(rng, (4, 2, 8), kind)
    whole = np.issubdtype(kind, np.integer)
    along = [(0,), (1,), (2,), (0, 1), (1, 2), (2, 1), (0, 2), (2, 0, 1), (-1, 0)]
    for axes, norm, signed in itertools.product(along, NORMS, (False, True)):
        inverse = function is ifwht
        if whole and (norm == "ortho" or inverse != (norm == "forward")):
            continue  # refused, as tested below
        signs = sign_vector(rng, *(x.shape[axis] for axis in axes)) if signed else None
        options = {"norm": norm, "order": order, "signs": signs}
        along_them = {"axis": axes[0]} if len(axes) == 1 else {"axes": axes}
        expected = by_definition(x, axes, **options, inverse=inverse)
        value = function(x, **along_them, **options)
        assert value.dtype == x.dtype
        # Sums of these integers are exact unless 1 / sqrt(m) is rounded: then each entry, and each
        # of the 6 levels, is off by at most eps times the sum of |x|, and the definition by less.
        eps = np.finfo(kind).eps if norm == "ortho" else 0
        size = np.prod([x.shape[axis] for axis in axes]) ** -0.5 * np.abs(x).sum(axis=axes).max()
        np.testing.assert_allclose(value, expected, rtol=0, atol=9 * eps * size)
        for out in (x.copy(), np.empty_like(x), np.empty_like(x, order="F")):
            given = out if np.array_equal(out, x) else x
            assert function(given, **along_them, **options, out=out) is out
            np.testing.assert_array_equal(out, value)


@pytest.mark.parametrize("norm", NORMS)
def test_norms_are_those_of_scipy(rng, norm):
    # Along axes of length 2, Fourier's matrix is Hadamard's.
    x = rng.standard_normal((2, 2, 2, 2))
    for ours, theirs in ((fwht, scipy.fft.fftn), (ifwht, scipy.fft.ifftn)):
        expected = theirs(x, norm=norm).real
        np.testing.assert_allclose(ours(x, axes=(0, 1, 2, 3), norm=norm), expected, rtol=1e-12)
        flat = ours(x.ravel(), norm=norm)
        np.testing.assert_allclose(flat, expected.ravel(), rtol=1e-12)


@pytest.mark.parametrize("shape", [(1,), (16,), (0, 8), (3, 1, 48)], ids=str)
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("function", [fwht, ifwht])
def test_the_last_axis_may_be_named_in_any_way(rng, dtype, function, norm, shape):
    # Without further options a call takes a shorter way to the kernels, unless `axes` are given.
    x = rng.standard_normal(shape).astype(dtype)
    expected = function(x, axes=(-1,), norm=norm)
    for axis in (-1, np.int64(-1), x.ndim - 1):
        result = function(x, axis, norm=norm)
        assert result is not x
        np.testing.assert_array_equal(result, expected)
        same = x.copy()
        assert function(same, axis, norm=norm, out=same) is same
        np.testing.assert_array_equal(same, expected)
    x.flags.writeable = False
    np.testing.assert_array_equal(function(x, norm=norm), expected)
    with pytest.raises(ValueError, match="out must be writeable"):
        function(x, norm=norm, out=x)


@pytest.mark.parametrize("m", [16, 96, 1024])
def test_orthonormal_is_the_norm_ortho(rng, dtype, m):
    x = rng.standard_normal((3, m)).astype(dtype)
    np.testing.assert_array_equal(fwht(x, orthonormal=True), fwht(x, norm="ortho"))
    np.testing.assert_array_equal(fwht(x, orthonormal=True, norm="ortho"), fwht(x, norm="ortho"))


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("norm", NORMS)
def test_the_inverse_undoes_the_transform(rng, dtype, norm, order):
    x = rng.standard_normal((8, 5, 32)).astype(dtype)
    signs = rng.uniform(0.5, 2, (32, 8))
    options = {"axes": (2, 0), "norm": norm, "order": order, "signs": signs}
    y = ifwht(fwht(x, **options), **options)
    np.testing.assert_allclose(y, x, rtol=0, atol=100 * np.finfo(dtype).eps)


@pytest.mark.parametrize("shape", [(12, 8), (8, 12), (4, 20, 4), (2, 4, 28, 3), (1, 2, 1)], ids=str)
def test_axes_are_transformed_one_after_the_other(rng, dtype, shape):
    x = integers(rng, shape, dtype)
    valid = [axis for axis, n in enumerate(shape) if n != 3]
    for count in range(1, len(valid) + 1):
        for axes in itertools.permutations(valid, count):
            np.testing.assert_array_equal(fwht(x, axes=axes), by_definition(x, axes))


def test_two_axes_are_a_matrix_from_both_sides(rng, dtype):
    X = integers(rng, (64, 32), dtype)
    expected = scipy.linalg.hadamard(64) @ X @ scipy.linalg.hadamard(32)
    np.testing.assert_array_equal(fwht(X, axes=(0, 1)), expected)
    np.testing.assert_array_equal(fwht(X, axes=[-1, -2]), expected)


@pytest.mark.parametrize("axis", [0, 1])
def test_signs_are_a_product_before_the_transform(rng, dtype, axis):
    x = rng.standard_normal((16, 16)).astype(dtype)
    for signs in (sign_vector(rng, 16), rng.standard_normal(16)):
        wide = signs.astype(dtype)[:, None] if axis == 0 else signs.astype(dtype)
        before = signs.copy()
        np.testing.assert_array_equal(fwht(x, axis, signs=signs), fwht(x * wide, axis))
        np.testing.assert_array_equal(ifwht(x, axis, signs=signs), ifwht(x, axis) / wide)
        np.testing.assert_array_equal(signs, before)
    np.testing.assert_array_equal(fwht(x, axis, signs=[0] * 16), np.zeros_like(x))


@pytest.mark.parametrize("order", ORDERS)
def test_results_do_not_depend_on_layout_or_destination(rng, dtype, order):
    x, signs = rng.standard_normal((16, 32)).astype(dtype), sign_vector(rng, 16)
    options = {"axis": 0, "order": order, "signs": signs}
    expected = fwht(x, **options)
    swapped, fixed = x.astype(x.dtype.newbyteorder()), x.copy()
    fixed.flags.writeable = False
    for given in (np.asfortranarray(x), np.repeat(x, 2, axis=1)[:, ::2], swapped, fixed):
        before = given.copy()
        np.testing.assert_array_equal(fwht(given, **options), expected)
        np.testing.assert_array_equal(given, before)
    room = np.concatenate([x.ravel(), np.zeros(64, dtype)])
    ahead = room[40 : 40 + x.size].reshape(x.shape)
    fwht(room[: x.size].reshape(x.shape), out=ahead, **options)
    np.testing.assert_array_equal(ahead, expected)
    fwht(swapped, out=swapped, **options)
    np.testing.assert_array_equal(swapped, expected)


@pytest.mark.parametrize("order", ORDERS[1:])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_long_arrays_are_put_in_order_in_parts(rng, monkeypatch, order, axis):
    x = integers(rng, (16, 64, 32), np.float64)
    expected = fwht(x, axis, order=order)
    monkeypatch.setattr(_orders, "_KEPT_LENGTH", 4)
    monkeypatch.setattr(_orders, "_PARTS", 3)
    np.testing.assert_array_equal(_orders.positions(order, 512), _orders._computed(order, 512))
    for reals in (20, 500, 3000):
        monkeypatch.setattr(_orders, "_REALS_PER_CALL", reals)
        np.testing.assert_array_equal(fwht(x, axis, order=order), expected)


@pytest.mark.parametrize("kind", FLOATS + INTEGERS)
def test_no_option_depends_on_n_threads(rng, n_threads, monkeypatch, kind):
    monkeypatch.setattr(_levels, "_REALS_PER_THREAD", 1)
    x = (9 * rng.standard_normal((32, 3, 64))).astype(kind)
    for axes in ((0,), (2,), (0, 2)):
        signs = sign_vector(rng, *(x.shape[axis] for axis in axes))
        options = {"axes": axes, "order": "sequency", "signs": signs}
        several = fwht(x, **options, n_threads=n_threads)
        np.testing.assert_array_equal(fwht(x, **options, n_threads=1), several)


def test_no_vectors_give_none():
    for kind in FLOATS + INTEGERS:
        x = np.empty((0, 8), kind)
        assert fwht(x, order="dyadic", signs=np.ones(8, int)).shape == (0, 8)
        assert ifwht(x, norm="forward").dtype == kind


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"order": "walsh"}, "order must be 'natural', 'sequency' or 'dyadic'; got 'walsh'"),
        ({"norm": "unitary"}, "norm must be None, 'backward', 'ortho' or 'forward'; got"),
        ({"axes": ()}, r"axes must be one or more different axes; got \(\)"),
        ({"axes": (0, -2)}, r"axes must be one or more different axes; got \(0, -2\)"),
        ({"axes": (0, 2)}, "axes must be at most 1; got 2"),
        ({"axes": (0, 1), "axis": 0}, "axis must be left out where axes is given; got 0"),
        ({"signs": np.ones(4)}, r"signs must have shape \(8,\); got \(4,\)"),
        ({"signs": np.ones((4, 8))}, r"signs must have shape \(8,\); got \(4, 8\)"),
        ({"signs": [1.0] * 7 + [np.nan]}, "signs must be finite in float32; got 1 NaN"),
        ({"signs": [1e300] * 8}, "signs must be finite in float32; got 8 NaN or inf"),
    ],
)
def test_options_are_refused(options, message):
    for function in (fwht, ifwht):
        with pytest.raises(ValueError, match=message):
            function(np.ones((4, 8), np.float32), **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"axes": 1}, "axes must be a tuple of integers; got int"),
        ({"axes": (0.5,)}, "axes must be an integer; got 0.5"),
        ({"signs": [True] * 8}, "signs must be an array of real numbers, not masked; got bool"),
        ({"signs": np.ma.ones(8)}, "signs must be an array of real numbers, not masked; got"),
        ({"signs": ["+"] * 8}, "signs must be an array of real numbers"),
    ],
)
def test_options_of_a_wrong_type_are_refused(options, message):
    with pytest.raises(TypeError, match=message):
        fwht(np.ones((4, 8)), **options)


def test_other_lengths_have_their_natural_order_only():
    for order in ORDERS[1:]:
        message = f"x must have 2\\^k entries along axis 0 in {order} order; got 24. 12, 20 and 28"
        with pytest.raises(ValueError, match=message):
            fwht(np.ones((24, 4)), axis=0, order=order)


def test_orthonormal_and_another_norm_are_refused():
    with pytest.raises(ValueError, match="norm must be 'ortho' or None where orthonormal is set"):
        fwht(np.ones(4), orthonormal=True, norm="forward")


def test_the_inverse_does_not_divide_by_0():
    with pytest.raises(ValueError, match=r"signs must not be 0, since ifwht .* got 2 zeros"):
        ifwht(np.ones(4), signs=[1, 0, 0, 1])


def test_what_is_refused_leaves_the_array_as_it_was(dtype):
    x = np.arange(8, dtype=dtype)
    for wrong in ({"n_threads": 0}, {"norm": "unitary"}, {"order": "dyadic", "n_threads": 0}):
        with pytest.raises(ValueError, match="must be"):
            fwht(x, out=x, **({"signs": [-1] * 8} | wrong))
        np.testing.assert_array_equal(x, np.arange(8))
