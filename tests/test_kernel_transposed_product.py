"""column_product with `transposed` adds G W to its output, G sparse, W given by its columns."""

import numpy as np
import pytest
import reference_kernels
from test_kernel_column_product import compact_columns, random_rows, run

# (n, sources, outputs): around the groups of 16 rows of W that are read together, the blocks of 64
# of them, vectors of 2 to 16 outputs, and tiles of 16 to 128.
SHAPES = [
    (1, 1, 1),
    (1, 1, 300),
    (2, 15, 127),
    (3, 16, 128),
    (3, 17, 129),
    (5, 63, 15),
    (4, 64, 16),
    (4, 65, 17),
    (16, 129, 31),
    (17, 257, 257),
    (64, 500, 130),
    (129, 40, 3),
    (7, 2000, 40),
]


def sparse_rows(rng, n, sources, dtype):
    """Rows of which few groups of 16 sources have an entry, besides those of `random_rows`."""
    G = random_rows(rng, n, sources, dtype, density=0.15)
    if n > 2:
        G[0] = 0
        G[:, 32 : max(32, sources - 20)] *= rng.random(max(0, sources - 52)) < 0.02
    return G


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_equals_the_dense_product(rng, dtype, simd_level, shape):
    n, sources, outputs = shape
    columns = rng.standard_normal((outputs, sources)).astype(dtype)
    out = rng.standard_normal((n, outputs)).astype(dtype)
    for rows in (random_rows, sparse_rows):
        G = rows(rng, n, sources, dtype)
        expected = reference_kernels.column_product(columns.T, G, out)
        found = run(columns, G, out, transposed=True)
        reference_kernels.assert_within_rounding(found, expected, sources, dtype)


@pytest.mark.parametrize("storage", ["bfloat16", "int8"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_compact_storage_equals_the_dense_product(rng, simd_level, storage, shape):
    n, sources, outputs = shape
    stored, columns = compact_columns(rng, storage, (outputs, sources))
    G = sparse_rows(rng, n, sources, np.float32)
    out = rng.standard_normal((n, outputs), np.float32)
    expected = reference_kernels.column_product(columns.T, G, out)
    found = run(stored, G, out, transposed=True)
    reference_kernels.assert_within_rounding(found, expected, sources, np.float32)


@pytest.mark.parametrize("storage", [None, "bfloat16", "int8"])
def test_does_not_depend_on_n_threads_nor_on_how_rows_are_grouped(rng, dtype, storage, simd_level):
    columns = rng.standard_normal((300, 260)).astype(dtype)
    if storage is not None:
        columns, dtype = compact_columns(rng, storage, (300, 260))[0], np.dtype(np.float32)
    G = random_rows(rng, 20, 260, dtype)
    out = rng.standard_normal((20, 300)).astype(dtype)
    expected = run(columns, G, out, transposed=True)
    for n_threads in (2, 3):
        np.testing.assert_array_equal(run(columns, G, out, n_threads, True), expected)
    one_by_one = [run(columns, G[i : i + 1], out[i : i + 1], 1, True) for i in range(20)]
    np.testing.assert_array_equal(np.concatenate(one_by_one), expected)


def test_reads_no_group_of_rows_without_an_entry(rng, dtype, simd_level):
    columns = rng.standard_normal((40, 200)).astype(dtype)
    G = np.zeros((3, 200), dtype)
    G[:, [17, 100, 199]] = rng.standard_normal((3, 3))
    expected = run(columns, G, np.zeros((3, 40), dtype), transposed=True)
    read = np.isin(np.arange(200) // 16, [1, 6, 12])
    columns[:, ~read] = np.nan
    found = run(columns, G, np.zeros((3, 40), dtype), transposed=True)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("shape", [(0, 3, 4), (2, 0, 4), (2, 3, 0), (0, 0, 0), (2, 3, 4)], ids=str)
def test_nothing_to_add_changes_nothing(rng, dtype, shape):
    n, sources, outputs = shape
    out = rng.standard_normal((n, outputs)).astype(dtype)
    columns = np.ones((outputs, sources), dtype)
    G = np.zeros((n, sources), dtype)
    np.testing.assert_array_equal(run(columns, G, out, transposed=True), out)
