"""column_product adds H W^T to its output, H sparse, and reads no column outside the supports."""

import numpy as np
import pytest
import reference_kernels

from subquad._kernels.column_product import (
    column_product,
    column_product_bfloat16,
    column_product_int8,
    scratch_bytes,
)

# (n, m_in, m_out): around the kernel's blocks of 64 columns, or 128 compact ones, its panels of 64
# to 256 outputs (up to 16384 for few rows), its tiles of 16 to 128 outputs, and the 2 or 16 rows
# from which columns are staged in blocks.
SHAPES = [
    (1, 1, 1),
    (1, 1, 1025),
    (2, 127, 16),
    (3, 128, 15),
    (3, 129, 17),
    (5, 257, 64),
    (15, 128, 127),
    (16, 129, 128),
    (17, 130, 129),
    (4, 64, 511),
    (4, 65, 512),
    (4, 65, 513),
    (3, 255, 1023),
    (3, 256, 1024),
    (3, 257, 1025),
    (129, 300, 33),
    (2, 3, 2100),
    (3, 63, 8193),
    (1, 5, 16385),
    (20, 130, 255),
    (20, 65, 129),
    (20, 255, 127),
    (20, 257, 513),
    (64, 500, 257),
]
SCALE = np.float32(0.037)


def random_rows(rng, n, m_in, dtype, density=0.2):
    """Sparse rows of which the first is full and the last empty, where there are several."""
    H = rng.standard_normal((n, m_in)) * (rng.random((n, m_in)) < density)
    if n > 1:
        H[0] = rng.standard_normal(m_in)
        H[-1] = 0
    return H.astype(dtype)


def run(columns, H, out, n_threads=1, transposed=False):
    """Return out + H W^T, or out + H W, through the entry for the dtype of the columns."""
    out, csr = out.copy(), reference_kernels.csr(H)
    sizes = *H.shape, out.shape[1], len(csr[1]), columns.itemsize, out.itemsize, n_threads
    scratch = np.full(scratch_bytes(*sizes, transposed), 255, np.uint8)  # NaNs, -1
    rest = *csr, out, scratch, n_threads, transposed
    if columns.dtype == np.int8:
        column_product_int8(columns, SCALE, *rest)
    elif columns.dtype == np.uint16:
        column_product_bfloat16(columns, *rest)
    else:
        column_product(columns, *rest)
    return out


def compact_columns(rng, storage, shape):
    """Columns as they are stored, and in float32 what they stand for."""
    if storage == "int8":
        stored = rng.integers(-128, 128, shape).astype(np.int8)
        return stored, stored.astype(np.float64) * float(SCALE)
    stored = (rng.standard_normal(shape, np.float32).view(np.uint32) >> 16).astype(np.uint16)
    return stored, (stored.astype(np.uint32) << 16).view(np.float32)


@pytest.fixture(params=["bfloat16", "int8"])
def storage(request):
    return request.param


# Few entries in a column are added to it where it lies, many to a copy: six are few.
@pytest.mark.parametrize("density", [0.1, 0.7])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_equals_the_dense_product(rng, dtype, simd_level, shape, density):
    n, m_in, m_out = shape
    columns = rng.standard_normal((m_in, m_out)).astype(dtype)
    H = random_rows(rng, n, m_in, dtype, density)
    out = rng.standard_normal((n, m_out)).astype(dtype)
    expected = reference_kernels.column_product(columns, H, out)
    reference_kernels.assert_within_rounding(run(columns, H, out), expected, m_in, dtype)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_compact_storage_equals_the_dense_product(rng, simd_level, storage, shape):
    n, m_in, m_out = shape
    stored, columns = compact_columns(rng, storage, (m_in, m_out))
    H = random_rows(rng, n, m_in, np.float32)
    out = rng.standard_normal((n, m_out), np.float32)
    expected = reference_kernels.column_product(columns, H, out)
    reference_kernels.assert_within_rounding(run(stored, H, out), expected, m_in, np.float32)


def test_bfloat16_columns_give_the_bits_of_their_float32_form(rng, simd_level):
    stored, columns = compact_columns(rng, "bfloat16", (300, 700))
    for n in (1, 40):
        H = random_rows(rng, n, 300, np.float32)
        out = rng.standard_normal((n, 700), np.float32)
        np.testing.assert_array_equal(run(stored, H, out), run(columns, H, out))


def test_rows_without_entries_stay_as_they_were(rng, dtype, simd_level):
    columns = rng.standard_normal((40, 70)).astype(dtype)
    H = random_rows(rng, 6, 40, dtype)
    H[2] = 0
    out = rng.standard_normal((6, 70)).astype(dtype)
    np.testing.assert_array_equal(run(columns, H, out)[[2, 5]], out[[2, 5]])


def test_columns_outside_the_supports_are_not_read(rng, dtype, simd_level):
    columns = rng.standard_normal((300, 600)).astype(dtype)
    H = random_rows(rng, 4, 300, dtype, density=0.05)
    H[0] = 0
    columns[~H.any(axis=0)] = np.nan
    assert np.isfinite(run(columns, H, np.zeros((4, 600), dtype))).all()


def test_integer_products_are_exact(rng, dtype, simd_level):
    columns = rng.integers(-8, 9, (200, 1100)).astype(dtype)
    H = (rng.integers(-8, 9, (9, 200)) * (rng.random((9, 200)) < 0.3)).astype(dtype)
    np.testing.assert_array_equal(run(columns, H, np.zeros((9, 1100), dtype)), H @ columns)


def test_does_not_depend_on_n_threads(rng, dtype, simd_level, n_threads):
    columns = rng.standard_normal((260, 4100)).astype(dtype)
    H = random_rows(rng, 20, 260, dtype)
    out = rng.standard_normal((20, 4100)).astype(dtype)
    np.testing.assert_array_equal(run(columns, H, out, n_threads), run(columns, H, out))


def test_compact_storage_does_not_depend_on_n_threads(rng, simd_level, storage, n_threads):
    stored, _ = compact_columns(rng, storage, (260, 4100))
    for n in (1, 20):
        H = random_rows(rng, n, 260, np.float32)
        out = rng.standard_normal((n, 4100), np.float32)
        np.testing.assert_array_equal(run(stored, H, out, n_threads), run(stored, H, out))


@pytest.mark.parametrize("density", [0.2, 0.7])
def test_does_not_depend_on_how_rows_are_grouped(rng, dtype, simd_level, density):
    columns = rng.standard_normal((260, 1030)).astype(dtype)
    H = random_rows(rng, 20, 260, dtype, density)
    out = rng.standard_normal((20, 1030)).astype(dtype)
    one_by_one = [run(columns, H[i : i + 1], out[i : i + 1]) for i in range(20)]
    np.testing.assert_array_equal(run(columns, H, out), np.concatenate(one_by_one))


@pytest.mark.parametrize("shape", [(0, 3, 4), (2, 0, 4), (2, 3, 0), (0, 0, 0), (2, 3, 4)], ids=str)
def test_nothing_to_add_changes_nothing(rng, dtype, simd_level, shape):
    n, m_in, m_out = shape
    out = rng.standard_normal((n, m_out)).astype(dtype)
    columns = rng.standard_normal((m_in, m_out)).astype(dtype)
    np.testing.assert_array_equal(run(columns, np.zeros((n, m_in), dtype), out), out)


def test_inputs_may_be_read_only_and_are_not_modified(rng, dtype):
    columns = rng.standard_normal((30, 40)).astype(dtype)
    indptr, indices, values = reference_kernels.csr(random_rows(rng, 5, 30, dtype))
    scratch = np.empty(scratch_bytes(5, 30, 40, len(indices), *2 * (dtype.itemsize,), 1), np.uint8)
    inputs = [columns, indptr, indices, values]
    copies = [x.copy() for x in inputs]
    for x in inputs:
        x.flags.writeable = False
    out = np.zeros((5, 40), dtype)
    column_product(columns, indptr, indices, values, out, scratch, 1)
    for x, copy in zip(inputs, copies, strict=True):
        np.testing.assert_array_equal(x, copy)
