"""Matrices of more than 2^31 numbers are addressed, and long products hear Ctrl-C in time."""

import mmap
import signal
import sys
import time

import numpy as np
import pytest
import scipy.sparse

from subquad._kernels.column_product import column_product, scratch_bytes
from subquad.weights import DenseWeights, GaussianWeights

WIDTH = 46341  # whose square is the first above 2^31


@pytest.fixture
def sparse_matrix(tmp_path):
    """A float32 matrix of zeros of 8.6 GB, of which a file holds what is touched."""
    path, n_bytes = tmp_path / "matrix", 4 * WIDTH**2
    try:
        with open(path, "wb") as file:
            file.truncate(n_bytes)
        matrix = np.memmap(path, np.float32, "r+", shape=(WIDTH, WIDTH))
        matrix._mmap.madvise(mmap.MADV_RANDOM)  # no reading ahead: a page at a time
    except (OSError, ValueError) as reason:
        pytest.skip(f"no file of {n_bytes} bytes: {reason}")
    if path.stat().st_blocks * 512 > n_bytes // 2:
        pytest.skip("this file system writes zeros out")
    yield matrix
    path.unlink()


@pytest.mark.skipif(sys.platform != "linux", reason="sparse files")
@pytest.mark.parametrize("transposed", [False, True], ids=["W", "transpose of W"])
def test_products_reach_behind_two_to_the_31_numbers(sparse_matrix, simd_level, transposed):
    # Where a place counted in 32 bits would be negative, or that of another number.
    last = WIDTH - 1
    entries = {(last, last): 3.0, (last, last - 1): 5.0, (last - 1, last): 7.0, (0, last): 11.0}
    for place, value in entries.items():
        sparse_matrix[place] = value
    indptr = np.array([0, 2], np.intp)
    indices, values = np.array([last - 1, last], np.intp), np.array([0.5, 2.0], np.float32)
    out = np.zeros((1, WIDTH), np.float32)
    scratch = np.empty(scratch_bytes(1, WIDTH, WIDTH, 2, 4, 4, 1, transposed), np.uint8)
    column_product(sparse_matrix, indptr, indices, values, out, scratch, 1, transposed)
    expected = np.zeros(WIDTH)
    for (input_, output), value in entries.items():
        source, target = (output, input_) if transposed else (input_, output)
        expected[target] += value * {last - 1: 0.5, last: 2.0}.get(source, 0.0)
    np.testing.assert_array_equal(out[0], expected)


def seconds_until_heard(work, first=0.1):
    """Processor time from a signal to its handler, while `work` runs."""
    heard = []

    def interrupt(*_):
        heard.append(time.process_time())
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGVTALRM, interrupt)
    try:
        started = time.process_time()
        signal.setitimer(signal.ITIMER_VIRTUAL, first)
        with pytest.raises(KeyboardInterrupt):
            work()
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
    return heard[0] - started - first


def rows(n, size, count, dtype):
    """n equal rows of which every so many entries are one, `count` of them."""
    indices = np.tile(np.arange(0, size, size // count)[:count], n)
    indptr = np.arange(n + 1) * count
    return scipy.sparse.csr_array((np.ones(n * count, dtype), indices, indptr), (n, size))


def implicit(grid, transposed):
    W = GaussianWeights((30000, 30000), 0, grid, dtype=np.float64)
    H = rows(300, 30000, 6000, np.float64)
    return lambda: (W.apply_transposed if transposed else W.apply)(H, n_threads=1)


def stored(transposed):
    shape = (4096, 8192) if transposed else (8192, 4096)
    W = DenseWeights.gaussian(shape, std=1.0, rng=0, storage="int8")
    H = rows(10000, 4096, 1024, np.float32)
    return lambda: (W.apply_transposed if transposed else W.apply)(H, n_threads=1)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs timers of processor time")
@pytest.mark.parametrize(
    "work",
    [
        pytest.param(lambda: implicit("int8", False), id="implicit int8"),
        pytest.param(lambda: implicit("float32", True), id="implicit float32, transposed"),
        pytest.param(lambda: stored(False), id="stored int8"),
        pytest.param(lambda: stored(True), id="stored int8, transposed"),
    ],
)
def test_a_signal_is_heard_within_a_second_of_a_product_that_takes_longer(work):
    # Each takes a second and a half or more: a single call into the kernel would be noticed.
    assert seconds_until_heard(work()) < 1.0
