"""The kernels of the half-space report: collect, sort_hits, refit, split."""

import numpy as np
import pytest
from reference_halfspace import half_space, inner_products

from subquad._kernels import half_space as kernel
from subquad._kernels import half_space_tree as tree

FAN, ITEMS = 16, 8
GUARD = -7


def blocks_of(rng, n_blocks, d, dtype, empty=0.2):
    """Blocks of points with empty lanes, their ids in any order, and the rows in that order."""
    rows = rng.standard_normal((64 * n_blocks, d)).astype(dtype)
    rows[rng.random(len(rows)) < empty] = np.nan
    ids = rng.permutation(len(rows)).astype(np.int32).reshape(n_blocks, 64)
    points = np.ascontiguousarray(rows.reshape(n_blocks, 64, d).swapaxes(1, 2))
    return points, ids, rows


def no_codes(d):
    """What `collect` takes for codes and their fits where there are none."""
    return np.empty((0, (d + 1) // 2, 128), np.uint8), np.empty((0, 3))


def no_boxes(d, dtype):
    """What `collect` takes for boxes of nodes and items where there is no tree."""
    return np.empty((0, d, 2, FAN), dtype), np.empty((0, d, 2, ITEMS), dtype)


def codes_of(points, stale=None):
    """The codes of blocks and their fits; a block that is not stale keeps those it has not."""
    n_blocks, d, _ = points.shape
    stale = np.ones(n_blocks, np.uint8) if stale is None else stale
    codes = np.full((n_blocks, (d + 1) // 2, 128), 77, np.uint8)
    fits = np.full((n_blocks, 3), 0.5)
    kernel.encode(points, stale, codes, fits)
    assert not stale.any()
    return codes, fits


def collect(points, ids, A, b, capacity, n_threads=1, n_groups=1, codes=None):
    """The hits of a scan over all blocks: ids, values, counts, items tested."""
    codes = no_codes(points.shape[1]) if codes is None else codes
    n_queries, dtype = len(A), points.dtype
    hit_ids = np.full((n_queries, capacity), GUARD, np.int32)
    hit_values = np.full((n_queries, capacity), GUARD, dtype)
    counts, tested = np.zeros(n_queries, np.intp), np.zeros(n_groups, np.intp)
    kernel.collect(
        points, ids, *codes, *no_boxes(points.shape[1], dtype), np.empty(0, np.intp), 0, -1, 0,
        len(points), A, b, hit_ids, hit_values, counts, tested, n_threads,
    )  # fmt: skip
    return hit_ids, hit_values, counts, tested


@pytest.mark.parametrize("d", [1, 2, 3, 7, 33])
@pytest.mark.parametrize("n_queries", [1, 2, 3, 4, 5, 64])
def test_hits_are_those_of_a_loop_in_the_order_of_the_lanes(rng, dtype, simd_level, d, n_queries):
    points, ids, rows = blocks_of(rng, 19, d, dtype)
    A = rng.standard_normal((n_queries, d)).astype(dtype)
    b = rng.choice([-np.inf, -1, 0, 1.5, np.inf], n_queries).astype(dtype)
    hit_ids, hit_values, counts, tested = collect(points, ids, A, b, len(rows) + kernel.SLACK)
    for q in range(n_queries):
        lanes, values = half_space(rows, A[q], b[q])
        assert counts[q] == lanes.size
        np.testing.assert_array_equal(hit_ids[q, : lanes.size], ids.ravel()[lanes])
        np.testing.assert_array_equal(hit_values[q, : lanes.size], values)
    assert tested.tolist() == [19 * ITEMS * n_queries]


SCALES = {  # of the points: alike, blocks and coordinates of their own, beyond the squares, zero
    "alike": lambda rng, shape, limits: 1.0,
    "apart": lambda rng, shape, limits: 10 ** rng.uniform(-4, 4, (shape[0], shape[1], 1)),
    "outliers": lambda rng, shape, limits: 1e3 ** (rng.random(shape) < 0.01),
    "large": lambda rng, shape, limits: limits.max / 10,
    "small": lambda rng, shape, limits: limits.tiny,
    "zero": lambda rng, shape, limits: 0.0,
}


def offset(product, sign):
    """A number beside this one, or itself."""
    return product if sign == 0 else np.nextafter(product, product.dtype.type(sign * np.inf))


@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid value")
@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("d", [1, 2, 5, 8, 31, kernel.MOST_CODED])
def test_codes_change_no_hit(rng, dtype, simd_level, d, scale):
    points, ids, _ = blocks_of(rng, 21, d, dtype)
    points *= np.asarray(SCALES[scale](rng, points.shape, np.finfo(dtype)), dtype)
    points[7] = np.nan
    there = points.swapaxes(1, 2)[ids >= 0]
    A = rng.standard_normal((13, d)).astype(dtype)
    A[3] *= dtype.type(1e-30)
    A[4], A[5, 1:] = 0, 0
    A[6], A[7] = there[0], -there[1]
    A, b = np.nan_to_num(A, nan=1.0), np.empty(13, dtype)
    for q in range(13):  # thresholds that points attain, or miss by one bit
        products = inner_products(there, A[q])
        products = np.append(np.sort(products[~np.isnan(products)]), 0.0).astype(dtype)
        rank = [-2, -3, -30, products.size // 2][q % 4] % products.size
        b[q] = offset(products[rank], q % 3 - 1)
    b[8:11] = -np.inf, np.inf, 0
    b[12] = products[0]  # of the last query: nearly all points are hits
    A, b = np.tile(A, (4, 1)), np.tile(b, 4)
    capacity = ids.size + kernel.SLACK
    plain = collect(points, ids, A, b, capacity)
    coded = collect(points, ids, A, b, capacity, codes=codes_of(points))
    np.testing.assert_array_equal(coded[2], plain[2])
    np.testing.assert_array_equal(coded[3], plain[3])
    for q, count in enumerate(plain[2]):
        for got, want in zip(coded[:2], plain[:2], strict=True):
            np.testing.assert_array_equal(got[q, :count], want[q, :count])


@pytest.mark.parametrize("d", [1, 2, 7, 64, kernel.MOST_CODED])
def test_codes_are_as_near_and_as_short_as_they_say(rng, dtype, simd_level, d):
    points, _, _ = blocks_of(rng, 9, d, dtype)
    points *= (10 ** rng.uniform(-4, 4, (9, 1, 1))).astype(dtype)
    codes, fits = codes_of(points)
    whole = codes.reshape(9, -1, 64, 2).transpose(0, 1, 3, 2).reshape(9, -1, 64).astype(int) - 128
    assert (whole[:, d:] == 0).all()
    assert abs(whole).max() <= 127
    whole, x = whole[:, :d], np.nan_to_num(points.astype(np.float64))
    assert np.sqrt((whole**2).sum(axis=1)).max() < 252
    step, length, error = 1 / fits[:, :1, None], fits[:, 1:2], fits[:, 2:]
    distances = np.sqrt(((x - step * whole) ** 2).sum(axis=1))
    assert (distances <= error).all()
    assert (error[:, 0] <= 1.01 * distances.max(axis=1) + 1e-5 * length[:, 0]).all()
    assert (np.sqrt((x**2).sum(axis=1)) <= length).all()
    assert (np.sqrt(((step * whole) ** 2).sum(axis=1)) <= length).all()


def test_only_stale_blocks_are_encoded(rng, dtype):
    points, _, _ = blocks_of(rng, 6, 5, dtype)
    stale = np.array([1, 0, 0, 1, 0, 1], np.uint8)
    some, all_of_them = codes_of(points, stale.copy()), codes_of(points)
    for got, want in zip(some, all_of_them, strict=True):
        np.testing.assert_array_equal(got[stale == 1], want[stale == 1])
    assert (some[0][stale == 0] == 77).all()
    assert (some[1][stale == 0] == 0.5).all()


@pytest.mark.parametrize("capacity", [kernel.SLACK, 200, 333])
def test_hits_without_room_are_counted_and_none_is_written_elsewhere(
    rng, dtype, simd_level, capacity
):
    points, ids, rows = blocks_of(rng, 30, 3, dtype)
    A, b = rng.standard_normal((5, 3)).astype(dtype), np.array([-9, 0, 0.5, 1, 9], dtype)
    hit_ids, _, counts, _ = collect(points, ids, A, b, capacity)
    for q in range(5):
        lanes, _ = half_space(rows, A[q], b[q])
        assert counts[q] == lanes.size
        sure = min(lanes.size, capacity - kernel.SLACK)
        np.testing.assert_array_equal(hit_ids[q, :sure], ids.ravel()[lanes][:sure])


def test_groups_and_threads_share_out_the_queries(rng, dtype, simd_level, n_threads):
    points, ids, _ = blocks_of(rng, 12, 4, dtype)
    A, b = rng.standard_normal((50, 4)).astype(dtype), np.full(50, 0.3, dtype)
    one = collect(points, ids, A, b, 64 * 12 + kernel.SLACK)
    several = collect(points, ids, A, b, 64 * 12 + kernel.SLACK, n_threads, 7)
    np.testing.assert_array_equal(several[2], one[2])
    for q, count in enumerate(one[2]):
        for got, want in zip(several[:2], one[:2], strict=True):
            np.testing.assert_array_equal(got[q, :count], want[q, :count])


def test_a_range_of_blocks_continues_where_the_last_one_ended(rng, dtype, simd_level):
    points, ids, _ = blocks_of(rng, 40, 2, dtype)
    A, b = rng.standard_normal((3, 2)).astype(dtype), np.zeros(3, dtype)
    whole = collect(points, ids, A, b, 64 * 40 + kernel.SLACK)
    pieces = [np.full_like(x, GUARD) for x in whole[:2]]
    counts, tested = np.zeros(3, np.intp), np.zeros(1, np.intp)
    for begin, end in ((0, 1), (1, 1), (1, 23), (23, 40)):
        kernel.collect(
            points, ids, *no_codes(2), *no_boxes(2, dtype), np.empty(0, np.intp), 0, -1, begin,
            end, A, b, *pieces, counts, tested, 1,
        )  # fmt: skip
    np.testing.assert_array_equal(counts, whole[2])
    for q, count in enumerate(counts):
        np.testing.assert_array_equal(pieces[0][q, :count], whole[0][q, :count])


@pytest.mark.parametrize("n_leaves", [1, 2, 16, 17, 300])
def test_a_tree_finds_what_a_scan_finds_and_boxes_are_exact(rng, dtype, simd_level, n_leaves):
    d = 3
    points, ids, rows = blocks_of(rng, n_leaves, d, dtype)
    points[n_leaves // 2] = np.nan  # a leaf without a point
    first = np.array([0, *np.cumsum([-(-n_leaves // FAN), -(-n_leaves // FAN**2)])[:-1]], np.intp)
    first = first[: 1 if n_leaves <= FAN else 2]
    n_nodes = sum(-(-n_leaves // FAN ** (k + 1)) for k in range(first.size))
    if n_leaves > FAN**2:
        first, n_nodes = np.append(first, n_nodes), n_nodes + 1
    bounds = np.empty((n_nodes, d, 2, FAN), dtype)
    bounds[:, :, 0], bounds[:, :, 1] = np.inf, -np.inf
    items = np.empty((n_leaves, d, 2, ITEMS), dtype)
    stale, stale_nodes = np.ones(n_leaves, np.uint8), np.zeros(n_nodes, np.uint8)
    kernel.refit(points, first, stale, stale_nodes, bounds, items)
    assert not stale.any()
    assert not stale_nodes.any()
    for leaf in range(n_leaves):
        box = bounds[leaf // FAN, :, :, leaf % FAN]
        lanes = np.where(np.isnan(points[leaf]), np.inf, points[leaf])
        np.testing.assert_array_equal(box[:, 0], lanes.min(axis=1))
        lanes = np.where(np.isnan(points[leaf]), -np.inf, points[leaf])
        np.testing.assert_array_equal(box[:, 1], lanes.max(axis=1))
        lanes = points[leaf].reshape(d, ITEMS, -1)
        lows = np.where(np.isnan(lanes), np.inf, lanes).min(axis=2)
        highs = np.where(np.isnan(lanes), -np.inf, lanes).max(axis=2)
        np.testing.assert_array_equal(items[leaf, :, 0], lows)
        np.testing.assert_array_equal(items[leaf, :, 1], highs)
    A = rng.standard_normal((9, d)).astype(dtype)
    A[1, 0], A[2] = 0, 0
    b = rng.choice([-np.inf, -1, 0, 2, 9], 9).astype(dtype)
    capacity = len(rows) + kernel.SLACK
    hit_ids, hit_values = np.empty((9, capacity), np.int32), np.empty((9, capacity), dtype)
    counts, tested = np.zeros(9, np.intp), np.zeros(1, np.intp)
    kernel.collect(
        points, ids, *no_codes(d), bounds, items, first, n_leaves, first.size - 1, 0, 1, A, b,
        hit_ids, hit_values, counts, tested, 1,
    )  # fmt: skip
    scanned_ids, _, scanned, _ = collect(points, ids, A, b, capacity)
    np.testing.assert_array_equal(counts, scanned)
    for q, count in enumerate(counts):
        np.testing.assert_array_equal(hit_ids[q, :count], scanned_ids[q, :count])
    assert tested[0] <= 9 * n_leaves * ITEMS


@pytest.mark.parametrize("key_bits", [1, 5, 11, 12, 20, 22, 23, 31])
def test_hits_are_sorted_by_id(rng, dtype, simd_level, n_threads, key_bits):
    n_queries, most = 7, min(3000, 1 << key_bits)
    counts = rng.integers(0, most + 1, n_queries)
    counts[0] = most
    indptr = np.append(0, np.cumsum(counts)).astype(np.intp)
    ids = np.empty((n_queries, most), np.int32)
    for q in range(n_queries):
        ids[q] = rng.choice(1 << key_bits, most, replace=False, shuffle=True)
    values = rng.standard_normal((n_queries, most)).astype(dtype)
    indices, out = np.empty(indptr[-1], np.intp), np.empty(indptr[-1], dtype)
    scratch = np.empty((n_threads, 2 * most), np.uint64)
    kernel.sort_hits(ids, values, indptr, key_bits, scratch, indices, out, n_threads)
    for q, count in enumerate(counts):
        order = np.argsort(ids[q, :count])
        row = slice(indptr[q], indptr[q + 1])
        np.testing.assert_array_equal(indices[row], ids[q, :count][order])
        np.testing.assert_array_equal(out[row], values[q, :count][order])


def test_hits_without_keys_are_copied_as_they_came(rng, dtype, simd_level, n_threads):
    counts = np.array([0, 3, 1, 16, 17, 0, 64, 133, 200])
    ids = rng.integers(2**31, size=(counts.size, 200)).astype(np.int32)
    values = rng.standard_normal(ids.shape).astype(dtype)
    indptr = np.append(0, np.cumsum(counts))
    guard = 5  # entries past the last row, which stay as they are
    indices = np.full(indptr[-1] + guard, GUARD, np.intp)
    out, scratch = np.full(indices.size, GUARD, dtype), np.empty((n_threads, 0), np.uint64)
    kernel.sort_hits(ids, values, indptr, 0, scratch, indices, out, n_threads)
    for q, count in enumerate(counts):
        row = slice(indptr[q], indptr[q + 1])
        np.testing.assert_array_equal(indices[row], ids[q, :count])
        np.testing.assert_array_equal(out[row], values[q, :count])
    assert (indices[indptr[-1] :] == GUARD).all()
    assert (out[indptr[-1] :] == GUARD).all()


@pytest.mark.parametrize("n_leaves", [1, 2, 15, 16, 17, 40, 300])
def test_leaves_share_the_points_evenly_and_apart(rng, dtype, n_leaves):
    rows = rng.standard_normal((50 * n_leaves + 7, 3)).astype(dtype).round(1)
    before, ids = rows.copy(), np.arange(len(rows), dtype=np.int32)
    axis, value = np.zeros(n_leaves, np.int32), np.zeros(n_leaves, dtype)
    begins = np.zeros(n_leaves + 1, np.intp)
    tree.split(rows, ids, axis, value, begins)
    np.testing.assert_array_equal(rows, before[ids])
    assert np.unique(ids).size == ids.size
    sizes = np.diff(begins)
    assert sizes.min() >= 50
    assert sizes.max() <= 58
    for leaf in range(1, n_leaves):  # the rows to the right of a split, up to the next one
        right = rows[begins[leaf] : begins[leaf + 1], axis[leaf]]
        left = rows[begins[leaf - 1] : begins[leaf], axis[leaf]]
        assert left.max() <= value[leaf] <= right.min()


def test_nothing_is_taken(dtype):
    points, ids, _ = blocks_of(np.random.default_rng(0), 2, 3, dtype)
    nothing = np.empty((0, 3), dtype)
    hit_ids, _, counts, _ = collect(points, ids, nothing, nothing[:, 0], kernel.SLACK)
    assert hit_ids.size == counts.size == 0
    axis, value, begins = np.ones(3, np.int32), np.ones(3, dtype), np.ones(4, np.intp)
    tree.split(nothing, np.empty(0, np.int32), axis, value, begins)
    assert begins.tolist() == [0, 0, 0, 0]
