"""flush and accumulate are the two ways a low-rank change is put to use."""

import numpy as np
import pytest
import reference_kernels
import scipy.sparse

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


def thin(columns, U, V, n_threads=1):
    """Return columns after flush_thin, its scratch full of NaN before."""
    tile = low_rank.TILE_BYTES // columns.itemsize
    packed = np.full(-(-U.shape[1] // tile) * tile * len(U), np.nan, columns.dtype)
    columns = columns.copy()
    low_rank.flush_thin(columns, U, V, packed, n_threads)
    return columns


# (rank, m_in, m_out): rows in registers are 4 or 6, chunks of them 192; outputs in registers 4 to
# 64, their tiles 32 or 64, and a panel of 64-row factors has 1024 of float32.
@pytest.mark.parametrize(
    "shape",
    [
        *[(1, 1, 1), (1, 5, 7), (2, 6, 63), (3, 7, 64), (16, 23, 65), (63, 24, 31), (64, 25, 33)],
        *[(5, 191, 3), (5, 192, 16), (5, 193, 17), (64, 12, 1025), (64, 13, 2051), (31, 400, 129)],
    ],
    ids=str,
)
def test_flush_of_few_factors_adds_their_product(rng, dtype, simd_level, shape):
    rank, m_in, m_out = shape
    columns = rng.standard_normal((m_in, m_out)).astype(dtype)
    U = rng.standard_normal((rank, m_out)).astype(dtype)
    V = rng.standard_normal((rank, m_in)).astype(dtype)
    expected = reference_kernels.flush(columns, U, V)
    for factor in (U, V):
        factor.flags.writeable = False
    found = thin(columns, U, V)
    reference_kernels.assert_within_rounding(found, expected, rank, dtype)
    np.testing.assert_array_equal(thin(columns, U, V, 3), found)
    half = -(-m_in // 2)  # rows do not depend on their neighbours
    part = thin(columns[half:], U, np.ascontiguousarray(V[:, half:]))
    np.testing.assert_array_equal(part, found[half:])


def in_csr(matrix):
    """(indptr, indices, values) of the nonzeros of a dense matrix."""
    csr = scipy.sparse.csr_array(matrix)
    return csr.indptr.astype(np.intp), csr.indices.astype(np.intp), csr.data


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 7, 5), (16, 65, 130), (64, 200, 33)], ids=str)
@pytest.mark.parametrize("density", [0.0, 0.1, 1.0])
def test_flush_of_sparse_factors_adds_their_product(rng, dtype, shape, density):
    rank, m_in, m_out = shape
    columns = rng.standard_normal((m_in, m_out)).astype(dtype)
    U, V = (
        (rng.standard_normal((rank, size)) * (rng.random((rank, size)) < density)).astype(dtype)
        for size in (m_out, m_in)
    )
    expected = reference_kernels.flush(columns, U, V)
    factors = *in_csr(U), *in_csr(V.T)
    for array in factors:
        array.flags.writeable = False
    found, three = columns.copy(), columns.copy()
    low_rank.flush_sparse(found, *factors, 1)
    reference_kernels.assert_within_rounding(found, expected, rank, dtype)
    low_rank.flush_sparse(three, *factors, 3)
    np.testing.assert_array_equal(three, found)


@pytest.mark.parametrize("shape", [(0, 3, 4), (2, 0, 4), (2, 3, 0)], ids=str)
def test_flush_of_nothing_changes_nothing(rng, dtype, shape):
    rank, m_in, m_out = shape
    columns = rng.standard_normal((m_in, m_out)).astype(dtype)
    before = columns.copy()
    U, V = np.ones((rank, m_out), dtype), np.ones((rank, m_in), dtype)
    low_rank.flush(columns, U, V)
    np.testing.assert_array_equal(columns, before)
    np.testing.assert_array_equal(thin(columns, U, V), before)


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
