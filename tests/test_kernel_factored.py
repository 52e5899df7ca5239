"""forward and backward are the responses of a stack of Hadamard transforms, and their transpose.

Numbers are small integers, so that nothing is rounded and results can be compared exactly.
"""

from types import SimpleNamespace

import numpy as np
import pytest
from reference_factored import bits_of, transformed, transformed_back

from subquad._kernels import factored

GUARD = 77


def problem(rng, dtype, n, p, m, n_outputs=1, neurons=None, transform=True):
    neurons = m if neurons is None else neurons
    readout = rng.integers(-2, 3, (n_outputs, m))
    readout[:, neurons:] = 0
    return SimpleNamespace(
        x=rng.integers(-3, 4, (n, p if transform else m)).astype(dtype),
        signs=rng.choice([-1, 1], m if transform else 0).astype(dtype),
        readout=readout.astype(dtype),
        neurons=neurons,
        thresholds=rng.integers(0, 3, n).astype(dtype),
        before=rng.integers(0, 2**63, (n, m // 64)).astype(np.uint64),
        weights=rng.integers(-3, 4, (n, n_outputs)).astype(np.float64),
        p=p if transform else m,
        jumps=False,
    )


def forward(case, n_threads=1):
    n, words = case.before.shape
    outputs = np.full((n, len(case.readout)), np.nan)
    fired = np.full((n, words), GUARD, np.uint64)
    active, flips = np.full((2, n), -1, np.intp)
    factored.forward(
        case.x, case.signs, case.readout, case.neurons, case.thresholds, case.jumps, case.before,
        outputs, fired, active, flips, scratch(case, n_threads), n_threads,
    )  # fmt: skip
    return outputs, fired, active, flips


def backward(case, fired, n_threads=1):
    out = np.full((len(fired), case.p), np.nan, case.x.dtype)
    factored.backward(
        fired, case.weights, case.signs, case.readout, out, scratch(case, n_threads), n_threads
    )
    return out


def scratch(case, n_threads):
    size = factored.scratch_size(case.p if case.signs.size else 1)
    return np.full((n_threads, size), np.nan, case.x.dtype)


def expected_preactivations(case):
    x = case.x.astype(np.float64)
    return transformed(x, case.signs.reshape(-1, case.p)) if case.signs.size else x


def expected_forward(case):
    Z, tau = expected_preactivations(case), case.thresholds.astype(np.float64)[:, None]
    fired = (Z > tau) & (np.arange(Z.shape[1]) < case.neurons)
    phi = fired * (Z if case.jumps else Z - tau)
    bits = bits_of(fired)
    flips = np.unpackbits((bits ^ case.before).view(np.uint8), axis=1).sum(axis=1)
    return phi @ case.readout.T.astype(np.float64), bits, fired.sum(axis=1), flips


def expected_backward(case, mask):
    w = mask * (case.weights @ case.readout.astype(np.float64))
    return transformed_back(w, case.signs.reshape(-1, case.p)) if case.signs.size else w


def assert_forward(case, n_threads=1):
    for actual, expected in zip(forward(case, n_threads), expected_forward(case), strict=True):
        np.testing.assert_array_equal(actual, expected)


SHAPES = [(1, 64), (2, 64), (8, 192), (16, 1024), (32, 2112), (64, 1088), (256, 2304), (2048, 4096)]


@pytest.mark.parametrize(("p", "m"), SHAPES)
def test_forward_is_the_definition(rng, dtype, simd_level, p, m):
    for n in (1, 7, 17):
        assert_forward(problem(rng, dtype, n, p, m))


@pytest.mark.parametrize(("p", "m"), SHAPES)
def test_backward_is_the_transpose(rng, dtype, simd_level, p, m):
    for n in (1, 7, 17):
        case = problem(rng, dtype, n, p, m)
        mask = rng.random((n, m)) < 0.4
        np.testing.assert_array_equal(backward(case, bits_of(mask)), expected_backward(case, mask))


@pytest.mark.parametrize("m", [64, 1024, 1600])
def test_without_signs_the_input_is_the_preactivations(rng, dtype, simd_level, m):
    case = problem(rng, dtype, 11, None, m, n_outputs=2, transform=False)
    assert_forward(case)
    mask = rng.random((11, m)) < 0.5
    np.testing.assert_array_equal(backward(case, bits_of(mask)), expected_backward(case, mask))


@pytest.mark.parametrize("n_outputs", [2, 5])
def test_outputs_share_the_neurons(rng, dtype, simd_level, n_outputs):
    case = problem(rng, dtype, 9, 16, 1088, n_outputs)
    assert_forward(case)
    mask = rng.random((9, 1088)) < 0.5
    np.testing.assert_array_equal(backward(case, bits_of(mask)), expected_backward(case, mask))


@pytest.mark.parametrize("neurons", [1, 63, 64, 65, 1025, 1100])
def test_padding_never_fires(rng, dtype, simd_level, neurons):
    case = problem(rng, dtype, 9, 64, 1152, neurons=neurons)
    case.thresholds[:] = 0
    assert_forward(case)
    assert forward(case)[2].max() > 0


def test_an_activation_that_jumps_answers_with_all_of_z(rng, dtype, simd_level):
    case = problem(rng, dtype, 9, 32, 256)
    case.thresholds[:] = 2
    case.jumps = True
    assert_forward(case)


def test_a_neuron_at_its_threshold_does_not_fire(dtype, simd_level):
    case = problem(np.random.default_rng(0), dtype, 1, 1, 64)
    case.signs[:], case.x[:], case.thresholds[:] = 1, 2, 2
    _, fired, active, _ = forward(case)
    assert not fired.any()
    assert active[0] == 0


@pytest.mark.parametrize("p", [8, 256])
def test_any_number_of_threads_gives_the_same_bits(dtype, n_threads, simd_level, p):
    rng = np.random.default_rng(5)
    case = problem(rng, dtype, 37, p, 2304, n_outputs=2)
    case.x += rng.standard_normal(case.x.shape).astype(dtype)  # now sums are rounded
    case.readout += rng.standard_normal(case.readout.shape).astype(dtype)
    case.weights += rng.standard_normal(case.weights.shape)
    one, many = forward(case), forward(case, n_threads)
    for a, b in zip(one, many, strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(backward(case, one[1]), backward(case, one[1], n_threads))


def test_a_point_does_not_depend_on_those_beside_it(dtype, simd_level):
    rng = np.random.default_rng(6)
    case = problem(rng, dtype, 13, 16, 2112)
    case.x += rng.standard_normal(case.x.shape).astype(dtype)
    alone = problem(rng, dtype, 1, 16, 2112)
    alone.signs, alone.readout = case.signs, case.readout
    alone.x, alone.thresholds, alone.before = case.x[12:], case.thresholds[12:], case.before[12:]
    np.testing.assert_array_equal(forward(alone)[0], forward(case)[0][12:])


def test_no_data_points_are_no_work(dtype, simd_level):
    case = problem(np.random.default_rng(0), dtype, 0, 16, 64)
    assert forward(case)[0].shape == (0, 1)
    assert backward(case, np.empty((0, 1), np.uint64)).shape == (0, 16)


def test_kernels_take_one_dtype_and_contiguous_arrays(rng):
    case = problem(rng, np.dtype(np.float32), 4, 16, 64)
    case.readout = case.readout.astype(np.float64)
    with pytest.raises((TypeError, ValueError)):
        forward(case)
    case = problem(rng, np.dtype(np.float32), 4, 16, 64)
    case.x = np.asfortranarray(case.x)
    with pytest.raises((TypeError, ValueError), match=r"contiguous|No matching signature"):
        forward(case)


def test_read_only_inputs_are_accepted(rng, dtype):
    case = problem(rng, dtype, 4, 16, 64)
    for array in (case.x, case.signs, case.readout, case.thresholds, case.before, case.weights):
        array.flags.writeable = False
    assert_forward(case)
    backward(case, case.before)
