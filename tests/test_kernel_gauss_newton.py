"""move_all moves every neuron by what fired, finds who fires then, and sums what comes out."""

from dataclasses import dataclass

import numpy as np
import pytest
import reference_kernels
from reference_kernels import pack_bits, padded_size, tiled, unpack_bits

from subquad._kernels import gauss_newton

# Around vectors of 16 (float32) and 8 (float64) points, words of 64, tiles of 128 and 64.
POINTS = [1, 2, 7, 8, 9, 15, 16, 17, 31, 33, 63, 64, 65, 127, 128, 129, 200, 257]


@dataclass
class Step:
    """Arguments of move_all for m neurons in n_outputs contiguous groups, and what they hold."""

    base: np.ndarray
    change: np.ndarray
    fired: np.ndarray  # bits
    gram: np.ndarray  # (n, n)
    weights: np.ndarray  # (n_outputs, n)
    readout: np.ndarray
    chunks: np.ndarray
    n: int

    @property
    def moves(self):
        """diag(weights[c]) K of each output c, as numbers of the dtype."""
        return (self.weights[:, :, None] * self.gram).astype(self.base.dtype)

    @property
    def output_of(self):
        """The output each neuron feeds."""
        return np.repeat(self.chunks[:, 0], self.chunks[:, 2] - self.chunks[:, 1])

    def run(self, keep=1.0, jump=None, with_linear=True, n_threads=1):
        """Return (new_change, new_fired, outputs, linear, flips)."""
        m, ld = self.base.shape
        new_change = np.full((m, ld), np.nan, self.base.dtype)
        new_fired = np.full_like(self.fired, 12345)
        outputs = np.zeros((len(self.chunks), ld))
        linear = np.zeros((len(self.chunks), ld)) if with_linear else None
        flips = np.full(len(self.chunks), -1, np.intp)
        tile = gauss_newton.tile_points(self.base.itemsize)
        packed = np.full(self.n * ld, np.nan)
        gauss_newton.pack_gram(self.gram, tile, packed)
        moves = np.full((n_threads, self.n * min(tile, ld)), np.nan, self.base.dtype)
        gauss_newton.move_all(
            self.base, self.change, self.fired, packed, self.weights, self.readout, keep, jump,
            self.chunks, new_change, new_fired, outputs, linear, flips, moves, n_threads,
        )  # fmt: skip
        return new_change, new_fired, outputs, linear, flips


def chunked(m, n_outputs, size):
    """Chunks (output, first, last + 1) of at most `size` neurons; groups as even as they come."""
    bounds = np.linspace(0, m, n_outputs + 1).astype(int)
    chunks = [
        (c, first, min(first + size, bounds[c + 1]))
        for c in range(n_outputs)
        for first in range(bounds[c], bounds[c + 1], size)
    ]
    return np.array(chunks, np.intp).reshape(-1, 3)


def random_step(rng, n, m, dtype, n_outputs=1, chunk=40):
    """Neurons near their thresholds, so that many begin or cease to fire."""
    ld = padded_size(n, dtype)
    base = np.full((m, ld), -np.inf, dtype)
    change = np.zeros((m, ld), dtype)
    base[:, :n] = rng.standard_normal((m, n))
    change[:, :n] = rng.standard_normal((m, n))
    D = base[:, :n] + change[:, :n] > 0
    gram, weights = rng.standard_normal((n, n)) / np.sqrt(n), rng.standard_normal((n_outputs, n))
    chunks = chunked(m, n_outputs, chunk)
    return Step(base, change, pack_bits(D), gram, weights, rng.standard_normal(m), chunks, n)


def check(step, keep=1.0, jump=None, with_linear=True):
    """Compare every result with its definition, each from the results it is made of."""
    n, dtype = step.n, step.base.dtype
    new_change, new_fired, outputs, linear, flips = step.run(keep, jump, with_linear)
    D = unpack_bits(step.fired, n)
    expected = reference_kernels.moved(
        step.change[:, :n], D, step.moves, step.readout, keep, step.output_of
    )
    reference_kernels.assert_within_rounding(new_change[:, :n], expected, n, dtype)
    new_D = unpack_bits(new_fired, n)
    np.testing.assert_array_equal(new_D, step.base[:, :n] + new_change[:, :n] > 0)
    added = 0.0 if jump is None else jump[:n]
    for k, (_, first, last) in enumerate(step.chunks):
        base, moved = step.base[first:last, :n], new_change[first:last, :n]
        readout = step.readout[first:last]
        expected = reference_kernels.response(base, moved, readout, added)
        reference_kernels.assert_within_rounding(outputs[k, :n], expected, last - first, np.float64)
        assert flips[k] == np.count_nonzero(D[first:last] != new_D[first:last])
        if with_linear:
            expected = reference_kernels.linear_response(base, moved, readout)
            reference_kernels.assert_within_rounding(
                linear[k, :n], expected, last - first, np.float64
            )
    assert not new_change[:, n:].any()
    assert not outputs[:, n:].any()


@pytest.mark.parametrize("n", POINTS)
def test_step_equals_its_definition_for_every_number_of_points(rng, dtype, simd_level, n):
    check(random_step(rng, n, 70, dtype))


@pytest.mark.parametrize("m", [1, 2, 39, 40, 41, 63, 64, 65, 256, 257])
def test_step_equals_its_definition_for_every_width(rng, dtype, simd_level, m):
    check(random_step(rng, 19, m, dtype))


@pytest.mark.parametrize("n_outputs", [1, 2, 7])
def test_neurons_move_by_their_own_output(rng, dtype, simd_level, n_outputs):
    check(random_step(rng, 66, 100, dtype, n_outputs=n_outputs, chunk=11))


@pytest.mark.parametrize("keep", [0.0, 0.25])
def test_the_change_so_far_may_be_shrunk(rng, dtype, simd_level, keep):
    check(random_step(rng, 40, 50, dtype), keep=keep)


def test_a_jump_is_added_to_what_fires(rng, dtype, simd_level):
    step = random_step(rng, 130, 50, dtype)
    check(step, jump=rng.uniform(0, 1, step.base.shape[1]))


def test_linear_response_is_optional(rng, dtype, simd_level):
    check(random_step(rng, 40, 50, dtype), with_linear=False)


def test_neurons_that_did_not_fire_stay(rng, dtype, simd_level):
    step = random_step(rng, 100, 30, dtype)
    step.fired[:] = 0
    np.testing.assert_array_equal(step.run()[0], step.change)


def test_outputs_see_a_change_below_the_last_place_of_float32(simd_level):
    # base is 1, the change 2^-40: the sum of all neurons is exact in float64 alone.
    m, n, ld = 48, 3, 16
    base = np.full((m, ld), -np.inf, np.float32)
    base[:, :n] = 1
    change = np.zeros((m, ld), np.float32)
    change[:, :n] = 2.0**-40
    fired = pack_bits(np.ones((m, n), bool))
    no_step = np.zeros((n, n)), np.zeros((1, n))
    step = Step(base, change, fired, *no_step, np.ones(m), chunked(m, 1, 16), n)
    np.testing.assert_array_equal(step.run()[2][:, :n], 16 * (1 + 2.0**-40))


def test_does_not_depend_on_n_threads(rng, dtype, simd_level, n_threads):
    step = random_step(rng, 130, 300, dtype, n_outputs=3, chunk=17)
    for one, several in zip(step.run(), step.run(n_threads=n_threads), strict=True):
        np.testing.assert_array_equal(one, several)


def test_no_points_and_no_neurons_are_taken(rng, dtype):
    random_step(rng, 5, 0, dtype).run()
    none = random_step(rng, 4, 6, dtype)
    none.base, none.change = none.base[:, :0].copy(), none.change[:, :0].copy()
    none.fired, none.n = none.fired[:, :0].copy(), 0
    none.gram, none.weights = none.gram[:0, :0].copy(), none.weights[:, :0].copy()
    none.run()


def test_inputs_may_be_read_only_and_are_not_modified(rng, dtype):
    step = random_step(rng, 20, 30, dtype)
    inputs = [step.base, step.change, step.fired, step.readout, step.chunks]
    inputs += [step.gram, step.weights]
    copies = [x.copy() for x in inputs]
    for x in inputs:
        x.flags.writeable = False
    step.run(jump=np.zeros(step.base.shape[1]))
    for x, copy in zip(inputs, copies, strict=True):
        np.testing.assert_array_equal(x, copy)


@pytest.mark.parametrize("n", [0, *POINTS])
def test_pack_gram_tiles_and_pads(rng, dtype, n):
    ld, tile = padded_size(n, dtype), gauss_newton.tile_points(dtype.itemsize)
    K = rng.standard_normal((n, n))
    packed = np.full(n * ld, np.nan)
    gauss_newton.pack_gram(K, tile, packed)
    np.testing.assert_array_equal(packed, tiled(K, ld, tile))
