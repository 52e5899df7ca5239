"""The gaussian kernels make the entries that their definition says, bit for bit, and multiply.

The definition is written out in reference_gaussian. Integers must equal it exactly; normals must
follow it within rounding, and be the same bits at every instruction-set level.
"""

import zlib

import numpy as np
import pytest
import reference_gaussian
import reference_kernels

from subquad._kernels import _simd, gaussian

TILE, BLOCK = gaussian.TILE, gaussian.BLOCK
# Any numbers would do, and these tell all bytes apart but the two of the zero.
TABLE = np.concatenate([np.arange(128), -np.arange(128)]).astype(np.int8)
LAWS = pytest.mark.parametrize("table", [TABLE, None], ids=["table", "normals"])
BOTH_WAYS = pytest.mark.parametrize("transposed", [False, True], ids=["W", "transpose of W"])
# (n, m_in, m_out): around tiles of 64, their quarters and halves, and runs of 8.
SHAPES = [
    (1, 1, 1),
    (2, 7, 15),
    (3, 8, 16),
    (2, 9, 17),
    (5, 63, 31),
    (1, 64, 64),
    (7, 65, 63),
    (3, 127, 65),
    (9, 200, 127),
    (20, 129, 200),
]


# ---- calls
def make_keys(seed, count):
    keys = np.empty((3, -(-count // TILE) * TILE), np.uint32)
    gaussian.column_keys(seed, 0, keys)
    return keys


def make_columns(keys, table, shape, dtype=np.float64, scale=1.0, first=0, n_threads=1):
    columns = np.full(shape, np.nan, dtype)
    gaussian.fill(keys, table, scale, first, columns, n_threads)
    return columns


def make_plan(H, scale=1.0, sources=None):
    """Return sources, groups, points, columns, ordered for a dense H."""
    indptr, indices, values = reference_kernels.csr(H)
    needed = H.any(axis=0) if sources is None else np.isin(np.arange(H.shape[1]), sources)
    sources, rank = np.flatnonzero(needed), np.cumsum(needed) - 1
    groups = np.full((-(-len(sources) // BLOCK), gaussian.RUN + 1), -1, np.intp)
    points, columns = np.full(len(values), -1, np.int32), np.zeros(len(values), np.uint8)
    ordered = np.full_like(values, np.nan)
    cursor = np.empty((len(groups), 2 * gaussian.RUN), np.intp)
    gaussian.plan(indptr, indices, values, rank, scale, groups, points, columns, ordered, cursor)
    return sources, groups, points, columns, ordered


def multiply(keys, table, H, out, transposed=False, n_threads=1, panels=None, plan=None):
    """Return out + H W^T, or out + H W."""
    out = out.copy()
    scratch = np.full((n_threads, TILE * (BLOCK + 1 + len(H))), np.nan, H.dtype)
    first, last = panels or (0, -(-out.shape[1] // TILE))
    plan = make_plan(H) if plan is None else plan
    gaussian.product(keys, table, transposed, *plan, first, last, out, scratch, n_threads)
    return out


def sparse_rows(rng, shape, dtype, density=0.2):
    """Sparse rows of which the first is full and the last empty, where there are several."""
    H = rng.standard_normal(shape) * (rng.random(shape) < density)
    if len(H) > 1:
        H[0] = rng.standard_normal(shape[1])
        H[-1] = 0
    return H.astype(dtype)


def sizes(shape, transposed):
    """(columns of W, rows of W) where H (n, m_in) is multiplied with W or its transpose."""
    _, m_in, m_out = shape
    return (m_out, m_in) if transposed else (m_in, m_out)


# ---- entries
@pytest.mark.parametrize("seed", [0, 1, 12345, 2**63, 2**64 - 1])
def test_keys_are_draws_of_split_mix(seed):
    np.testing.assert_array_equal(make_keys(seed, 100)[:, :100], reference_gaussian.keys(seed, 100))


@pytest.mark.parametrize("m_out", [1, 15, 16, 17, 63, 64, 65, 127, 128, 129, 1000])
def test_integers_are_the_defined_ones(simd_level, dtype, m_out):
    keys = make_keys(3, 70)
    expected = reference_gaussian.integers(keys[:, 5:12], np.arange(m_out), TABLE)
    integers = np.zeros((7, m_out), np.int8)
    gaussian.fill_integers(keys, TABLE, 5, integers, 1)
    np.testing.assert_array_equal(integers, expected)
    columns = make_columns(keys, TABLE, (7, m_out), dtype, scale=0.3, first=5)
    np.testing.assert_array_equal(columns, dtype.type(0.3) * expected.astype(dtype))


@pytest.mark.parametrize("m_out", [1, 16, 17, 32, 33, 64, 65, 1000])
def test_normals_are_the_defined_ones_within_rounding(simd_level, dtype, m_out):
    keys = make_keys(4, 70)
    expected = reference_gaussian.normals(keys[:, 5:12], np.arange(m_out))
    normals = make_columns(keys, None, (7, m_out), dtype, first=5)
    # u is rounded to 24 bits, which moves the square of the radius by 1.2e-7 at most: that of
    # z^2 = R^2 cos^2 is no more. Polynomials and the rest: 1e-6 of the size.
    assert np.all(np.abs(normals**2.0 - expected**2) <= 1.3e-7 + 2e-6 * expected**2)
    np.testing.assert_allclose(np.sign(normals), np.sign(expected))


@LAWS
def test_entries_have_the_same_bits_at_every_level(simd_level, dtype, table):
    keys = make_keys(5, 3 * TILE)
    made = {}
    for level in ("baseline", simd_level):
        _simd.use_level(level)
        made[level] = make_columns(keys, table, (3 * TILE, 999), dtype, scale=0.37)
    np.testing.assert_array_equal(made["baseline"], made[simd_level])


@pytest.mark.parametrize(
    ("table", "checksum"), [(TABLE, 4108525572), (None, 2890731392)], ids=["table", "normals"]
)
def test_entries_are_those_of_the_first_release(simd_level, table, checksum):
    columns = make_columns(make_keys(2024, TILE), table, (TILE, 500), np.float32)
    assert zlib.crc32(columns.astype("<f4").tobytes()) == checksum


@LAWS
@pytest.mark.parametrize(("first", "count", "m_out"), [(0, 1, 7), (3, 64, 64), (63, 66, 130)])
def test_a_block_is_a_part_of_the_whole(simd_level, dtype, table, first, count, m_out):
    keys = make_keys(6, 200)
    whole = make_columns(keys, table, (200, 300), dtype)
    block = make_columns(keys, table, (count, m_out), dtype, first=first)
    np.testing.assert_array_equal(block, whole[first : first + count, :m_out])


@LAWS
def test_filling_does_not_depend_on_n_threads(simd_level, dtype, table, n_threads):
    keys = make_keys(7, 50)
    one = make_columns(keys, table, (50, 333), dtype)
    several = make_columns(keys, table, (50, 333), dtype, n_threads=n_threads)
    np.testing.assert_array_equal(several, one)


@LAWS
@BOTH_WAYS
def test_one_nonzero_picks_the_very_bits_of_an_entry(rng, simd_level, dtype, table, transposed):
    """Both ways through the product make the entries that fill makes."""
    keys = make_keys(8, 150)
    W = make_columns(keys, table, (150, 170), dtype).T
    matrix = W if transposed else W.T  # sources by outputs
    for source in [0, 1, 15, 16, 17, 31, 32, 63, 64, 100, 149]:
        H = np.zeros((1, len(matrix)), dtype)
        H[0, source] = 1
        out = np.zeros((1, matrix.shape[1]), dtype)
        np.testing.assert_array_equal(multiply(keys, table, H, out, transposed)[0], matrix[source])


def test_rows_beyond_32_bit_sizes_are_made(simd_level):
    """Row 2^31 - 2 of W, by a source of the transposed product."""
    keys, row = make_keys(9, TILE), 2**31 - 2
    plan = make_plan(np.ones((1, 1)))
    plan = (np.array([row]), *plan[1:])
    for table in (TABLE, None):
        out = multiply(keys, table, np.ones((1, 1)), np.zeros((1, TILE)), True, plan=plan)
        if table is None:
            expected = reference_gaussian.normals(keys, np.array([row]))
        else:
            expected = reference_gaussian.integers(keys, np.array([row]), table)
        np.testing.assert_allclose(out[0], expected[:, 0], rtol=0, atol=1e-4)


# ---- products
@LAWS
@BOTH_WAYS
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_products_are_those_of_the_dense_matrix(rng, dtype, simd_level, table, transposed, shape):
    n, m_in, m_out = shape
    n_columns, n_rows = sizes(shape, transposed)
    keys = make_keys(10, n_columns)
    columns = make_columns(keys, table, (n_columns, n_rows), dtype)
    H = sparse_rows(rng, (n, m_in), dtype)
    out = rng.standard_normal((n, m_out)).astype(dtype)
    matrix = columns.T if transposed else columns
    expected = reference_kernels.column_product(matrix, H, out)
    result = multiply(keys, table, H, out, transposed)
    reference_kernels.assert_within_rounding(result, expected, m_in, dtype)


def test_integer_products_are_exact(rng, dtype, simd_level):
    keys = make_keys(11, 150)
    columns = make_columns(keys, TABLE, (150, 100), dtype)
    H = (rng.integers(-8, 9, (9, 150)) * (rng.random((9, 150)) < 0.3)).astype(dtype)
    result = multiply(keys, TABLE, H, np.zeros((9, 100), dtype))
    np.testing.assert_array_equal(result, H @ columns)


def test_rows_without_entries_stay_as_they_were(rng, dtype, simd_level):
    H = sparse_rows(rng, (6, 40), dtype)
    H[2] = 0
    out = rng.standard_normal((6, 70)).astype(dtype)
    result = multiply(make_keys(12, 40), None, H, out)
    np.testing.assert_array_equal(result[[2, 5]], out[[2, 5]])


@LAWS
@BOTH_WAYS
def test_products_do_not_depend_on_n_threads(rng, dtype, simd_level, table, transposed, n_threads):
    keys = make_keys(13, 600)
    H = sparse_rows(rng, (20, 500), dtype)
    out = rng.standard_normal((20, 450)).astype(dtype)
    one = multiply(keys, table, H, out, transposed)
    several = multiply(keys, table, H, out, transposed, n_threads)
    np.testing.assert_array_equal(several, one)


@LAWS
@BOTH_WAYS
def test_products_do_not_depend_on_how_work_is_cut(rng, dtype, simd_level, table, transposed):
    """By rows of H, by panels of outputs, and by sources that nobody needs."""
    keys = make_keys(14, 300)
    H = sparse_rows(rng, (12, 300), dtype, density=0.1)
    H[0, 50:] = 0
    out = rng.standard_normal((12, 200)).astype(dtype)
    whole = multiply(keys, table, H, out, transposed)
    by_rows = [multiply(keys, table, H[i : i + 1], out[i : i + 1], transposed) for i in range(12)]
    np.testing.assert_array_equal(np.concatenate(by_rows), whole)
    by_panels = out
    for panels in [(3, 4), (0, 1), (1, 3)]:
        by_panels = multiply(keys, table, H, by_panels, transposed, panels=panels)
    np.testing.assert_array_equal(by_panels, whole)
    plan = make_plan(H, sources=np.arange(300))
    np.testing.assert_array_equal(multiply(keys, table, H, out, transposed, plan=plan), whole)


@pytest.mark.parametrize("shape", [(0, 3, 4), (2, 3, 0), (0, 0, 0), (2, 3, 4)], ids=str)
def test_nothing_to_add_changes_nothing(rng, dtype, simd_level, shape):
    n, m_in, m_out = shape
    out = rng.standard_normal((n, m_out)).astype(dtype)
    keys = make_keys(15, 10)
    np.testing.assert_array_equal(multiply(keys, None, np.zeros((n, m_in), dtype), out), out)
    assert make_columns(keys, None, (0, 5), dtype).shape == (0, 5)
    assert make_columns(keys, None, (5, 0), dtype).shape == (5, 0)


def test_inputs_may_be_read_only_and_are_not_modified(rng, dtype):
    keys, table = make_keys(16, 40), TABLE.copy()
    H = sparse_rows(rng, (5, 40), dtype)
    plan = make_plan(H)
    inputs = [keys, table, *plan]
    copies = [x.copy() for x in inputs]
    for x in inputs:
        x.flags.writeable = False
    multiply(keys, table, H, np.zeros((5, 30), dtype), plan=plan)
    make_columns(keys, table, (40, 30), dtype)
    for x, copy in zip(inputs, copies, strict=True):
        np.testing.assert_array_equal(x, copy)


# ---- plans
@pytest.mark.parametrize("density", [0.01, 0.2, 1.0])
def test_a_plan_holds_every_entry_once(rng, dtype, density):
    H = (rng.standard_normal((30, 700)) * (rng.random((30, 700)) < density)).astype(dtype)
    sources, groups, points, columns, ordered = make_plan(H, scale=0.5)
    np.testing.assert_array_equal(sources, np.flatnonzero(H.any(axis=0)))
    rebuilt, entry = np.zeros_like(H), 0
    for block, starts in enumerate(groups):
        for length in range(gaussian.RUN, 0, -1):
            g = gaussian.RUN - length
            for run in range(starts[g], starts[g + 1]):
                part = slice(entry, entry + length)
                assert np.all(np.diff(columns[part].astype(int)) > 0)
                where = points[run], sources[block * BLOCK + columns[part].astype(int)]
                assert not rebuilt[where].any()
                rebuilt[where] = ordered[part]
                entry += length
    assert entry == len(ordered)
    np.testing.assert_array_equal(rebuilt, dtype.type(0.5) * H)


def test_runs_of_a_data_point_in_a_block_follow_its_columns(rng):
    H = np.ones((1, 60))
    *_, columns, _ = make_plan(H)
    np.testing.assert_array_equal(columns, np.arange(60))
