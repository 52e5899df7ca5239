"""The kernels of half-space SGD against their definitions."""

import itertools

import numpy as np
import pytest
import reference_half_space_sgd as reference
from reference_kernels import assert_within_rounding

from subquad._kernels import fired_rows

WIDTHS = [1, 63, 64, 65, 300, (1 << 13) + 5]
DIMENSIONS = [1, 2, 3, 5, 8, 17]


def batch(rng, b, m, d, n_outputs, dtype, density=0.3):
    """CSR of who fires, and the arrays that go with it."""
    D = rng.random((b, m)) < density
    indptr = np.concatenate([[0], np.count_nonzero(D, axis=1)]).cumsum(dtype=np.intp)
    indices = np.ascontiguousarray(np.nonzero(D)[1], np.intp)
    return {
        "indptr": indptr,
        "indices": indices,
        "values": rng.standard_normal(len(indices)).astype(dtype),
        "signs": rng.choice(np.array([-1, 1], np.int8), (m, n_outputs)),
        "coefficients": rng.standard_normal((b, n_outputs)),
        "X": rng.standard_normal((b, d)).astype(dtype),
        "W": rng.standard_normal((m, d)).astype(dtype),
    }


def frozen(arrays):
    """The same arrays, read-only."""
    for array in arrays.values():
        array.flags.writeable = False
    return arrays


def move(p, W, U=None, weight=0.0, n_shares=1):
    """Call move_rows; return (who moved, their rows)."""
    neurons = np.arange(n_shares + 1) * len(W) // n_shares
    rows = [p["indices"][first:last] for first, last in itertools.pairwise(p["indptr"])]
    bounds = np.empty((n_shares + 1, len(rows)), np.intp)
    for i, row in enumerate(rows):
        bounds[:, i] = p["indptr"][i] + row.searchsorted(neurons)
    places = (bounds[:-1] - bounds[0]).sum(axis=1)
    moved = np.full(len(p["indices"]), -1, np.intp)
    moved_rows = np.full((len(p["indices"]), W.shape[1]), np.nan, W.dtype)
    counts = np.empty(n_shares, np.intp)
    fired_rows.move_rows(
        p["indices"], bounds[:-1].copy(), bounds[1:], neurons, p["coefficients"], p["signs"],
        p["X"], W, weight, U, places, moved, moved_rows, counts,
    )  # fmt: skip
    lists = [slice(place, place + count) for place, count in zip(places, counts, strict=True)]
    return tuple(np.concatenate([array[s] for s in lists]) for array in (moved, moved_rows))


@pytest.mark.parametrize("n_outputs", [1, 2, 5])
@pytest.mark.parametrize("m", WIDTHS)
def test_signed_sums_are_sums_over_who_fires(rng, dtype, m, n_outputs):
    p = frozen(batch(rng, 7, m, 2, n_outputs, dtype))
    csr = p["indptr"], p["indices"], p["values"]
    out = np.full((7, n_outputs), np.nan)
    fired_rows.signed_sums(*csr, 1.25, p["signs"], out, 1)
    assert_within_rounding(out, reference.signed_sums(*csr, 1.25, p["signs"]), m, np.float64)


@pytest.mark.parametrize("d", DIMENSIONS)
def test_inner_products_are_those_of_who_fires(rng, dtype, d):
    p = frozen(batch(rng, 6, 130, d, 1, dtype))
    values = np.empty_like(p["values"])
    fired_rows.inner_products(p["indptr"], p["indices"], p["X"], p["W"], values, 1)
    points = np.repeat(np.arange(6), np.diff(p["indptr"]))
    terms = p["X"][points].astype(float) * p["W"][p["indices"]].astype(float)
    expected = terms.sum(axis=1), np.abs(terms).sum(axis=1)
    assert_within_rounding(values, expected, d, dtype)


@pytest.mark.parametrize("n_outputs", [1, 3])
@pytest.mark.parametrize("d", DIMENSIONS)
@pytest.mark.parametrize("m", WIDTHS)
def test_rows_move_where_they_fire_and_nowhere_else(rng, dtype, m, d, n_outputs):
    p = batch(rng, 9, m, d, n_outputs, dtype, density=min(0.3, 100 / m))
    W = p["W"].copy()
    indices, rows = move(frozen(p), W)
    expected = reference.move_rows(
        p["indptr"], p["indices"], p["coefficients"], p["signs"], p["X"], p["W"]
    )
    assert_within_rounding(W, expected, 9 * n_outputs + 2, dtype)
    np.testing.assert_array_equal(indices, np.unique(p["indices"]))
    np.testing.assert_array_equal(rows, W[indices])
    still = np.setdiff1d(np.arange(m), indices)
    np.testing.assert_array_equal(W[still], p["W"][still])


def test_a_second_array_moves_by_weight_more(rng, dtype):
    p = frozen(batch(rng, 5, 70, 4, 2, dtype))
    W, U = np.zeros((70, 4), dtype), np.zeros((70, 4), dtype)
    move(p, W, U, weight=8.0)  # a power of two: no rounding of its own
    np.testing.assert_array_equal(U, 8 * W)
    assert U.any()


@pytest.mark.parametrize("m", [2, 500, (1 << 13) + 1, (1 << 14) + 77])
def test_moves_do_not_depend_on_the_number_of_shares(rng, dtype, n_threads, m):
    p = frozen(batch(rng, 16, m, 3, 1, dtype, density=0.1))
    one, more = p["W"].copy(), p["W"].copy()
    first = move(p, one)
    second = move(p, more, n_shares=n_threads)
    np.testing.assert_array_equal(more, one)
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)


def test_sums_and_products_do_not_depend_on_threads(rng, dtype, n_threads):
    p = frozen(batch(rng, 16, 500, 3, 2, dtype))
    csr = p["indptr"], p["indices"]
    sums, values = [], []
    for k in (1, n_threads):
        sums.append(np.empty((16, 2)))
        fired_rows.signed_sums(*csr, p["values"], 0.5, p["signs"], sums[-1], k)
        values.append(np.empty_like(p["values"]))
        fired_rows.inner_products(*csr, p["X"], p["W"], values[-1], k)
    np.testing.assert_array_equal(*sums)
    np.testing.assert_array_equal(*values)


@pytest.mark.parametrize(("b", "density"), [(0, 0.5), (3, 0.0), (1, 1.0)])
def test_batches_that_are_empty_silent_or_full(rng, dtype, b, density):
    p = frozen(batch(rng, b, 65, 3, 1, dtype, density))
    W, out = p["W"].copy(), np.full((b, 1), np.nan)
    values = np.empty_like(p["values"])
    fired_rows.signed_sums(p["indptr"], p["indices"], p["values"], 0.0, p["signs"], out, 2)
    fired_rows.inner_products(p["indptr"], p["indices"], p["X"], W, values, 2)
    indices, _ = move(p, W, n_shares=2)
    assert len(indices) == (65 if density == 1 else 0)
    assert np.isfinite(out).all()
    if density < 1:
        np.testing.assert_array_equal(W, p["W"])
        assert not out.any()
