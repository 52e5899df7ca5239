"""flush and accumulate are the two ways a low-rank change is put to use."""

import numpy as np
import pytest
import reference_kernels

from subquad._kernels import low_rank


@pytest.mark.parametrize(
    "shape", [(1, 1, 1), (1, 5, 7), (16, 64, 65), (3, 129, 1), (64, 130, 257)], ids=str
)
def test_flush_adds_the_product_of_the_factors(rng, dtype, shape):
    rank, m_in, m_out = shape
    columns = rng.standard_normal((m_in, m_out)).astype(dtype)
    U = rng.standard_normal((rank, m_out)).astype(dtype)
    V = rng.standard_normal((rank, m_in)).astype(dtype)
    expected = reference_kernels.flush(columns, U, V)
    for factor in (U, V):
        factor.flags.writeable = False
    low_rank.flush(columns, U, V)
    reference_kernels.assert_within_rounding(columns, expected, rank, dtype)


@pytest.mark.parametrize("shape", [(0, 3, 4), (2, 0, 4), (2, 3, 0)], ids=str)
def test_flush_of_nothing_changes_nothing(rng, dtype, shape):
    rank, m_in, m_out = shape
    columns = rng.standard_normal((m_in, m_out)).astype(dtype)
    before = columns.copy()
    low_rank.flush(columns, np.ones((rank, m_out), dtype), np.ones((rank, m_in), dtype))
    np.testing.assert_array_equal(columns, before)


def accumulation(rng, n, m, dtype):
    """Arguments of accumulate, and its D as a mask."""
    D = rng.random((n, m)) < 0.3
    A = rng.standard_normal((n, m)).astype(dtype)
    return D, rng.standard_normal(n), rng.standard_normal(m), A


@pytest.mark.parametrize("n", [1, 2, 16])
@pytest.mark.parametrize("m", [1, 63, 64, 65, 255, 256, 257])
def test_accumulate_adds_where_neurons_fired(rng, dtype, n, m):
    D, coefficients, readout, A = accumulation(rng, n, m, dtype)
    expected = reference_kernels.accumulate(D, coefficients, readout, A.astype(np.float64))
    before = A.copy()
    low_rank.accumulate(reference_kernels.pack_bits(D), coefficients, readout, A, 1)
    reference_kernels.assert_within_rounding(A, expected, 1, dtype)
    np.testing.assert_array_equal(A[~D], before[~D])


def test_accumulate_does_not_depend_on_n_threads(rng, dtype, n_threads):
    D, coefficients, readout, A = accumulation(rng, 17, 300, dtype)
    other = A.copy()
    low_rank.accumulate(reference_kernels.pack_bits(D), coefficients, readout, A, 1)
    low_rank.accumulate(reference_kernels.pack_bits(D), coefficients, readout, other, n_threads)
    np.testing.assert_array_equal(A, other)


@pytest.mark.parametrize("shape", [(0, 5), (5, 0)], ids=str)
def test_accumulate_takes_empty_arrays(dtype, shape):
    bits = reference_kernels.pack_bits(np.zeros(shape, bool))
    low_rank.accumulate(bits, np.ones(shape[0]), np.ones(shape[1]), np.zeros(shape, dtype), 2)


def test_accumulate_takes_read_only_inputs(rng, dtype):
    D, coefficients, readout, A = accumulation(rng, 4, 70, dtype)
    bits = reference_kernels.pack_bits(D)
    for x in (bits, coefficients, readout):
        x.flags.writeable = False
    low_rank.accumulate(bits, coefficients, readout, A, 1)
    np.testing.assert_array_equal(reference_kernels.unpack_bits(bits, 70), D)
