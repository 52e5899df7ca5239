"""What a half-space report refuses, and what it takes although it looks odd."""

import re
from fractions import Fraction

import numpy as np
import pytest
from reference_halfspace import Model, rows_of

from subquad import HalfSpaceReport
from subquad.halfspace import _report, _search, _store

POINTS = np.arange(12.0).reshape(6, 2)


@pytest.fixture
def report():
    return HalfSpaceReport(POINTS)


def refused(error, message):
    return pytest.raises(error, match=f"^{re.escape(message)}$")


def test_an_empty_set_answers_nothing_and_grows():
    for engine in ("auto", "tree", "scan"):
        report = HalfSpaceReport(np.empty((0, 3), np.float32), engine)
        assert report.query(np.ones(3), -np.inf).tolist() == []
        assert [x.tolist() for x in report.query_batch(np.ones((2, 3)), 0.0)] == [[0, 0, 0], [], []]
        assert report.insert(np.ones((2, 3))).tolist() == [0, 1]
        assert report.query(np.ones(3), 3.0).tolist() == [0, 1]
        report.delete([0, 1])
        assert len(report) == 0
        assert report.query(np.ones(3), -np.inf).tolist() == []


def test_nothing_is_asked_or_changed(report):
    indptr, indices, values = report.query_batch(np.empty((0, 2)), 1.0)
    assert (indptr.tolist(), indices.size, values.size) == ([0], 0, 0)
    for sort in (True, False):
        indptr, indices, values = report.query_batch(np.ones((2, 2)), np.inf, sort=sort)
        assert (indptr.tolist(), indices.size, values.size) == ([0, 0, 0], 0, 0)
    report.delete([])
    report.update([], np.empty((0, 2)))
    assert report.insert(np.empty((0, 2))).tolist() == []
    assert len(report) == 6


@pytest.mark.parametrize("engine", ["tree", "scan"])
def test_equal_points_are_reported_together(dtype, engine):
    points = np.full((5000, 3), 0.1, dtype)
    report = HalfSpaceReport(points, engine)
    total = float(points[0, 0] + points[0, 1] + points[0, 2])
    assert report.query(np.ones(3), total).size == 5000
    assert report.query(np.ones(3), np.nextafter(dtype.type(total), dtype.type(1))).size == 0
    report.update(np.arange(0, 5000, 2), np.zeros((2500, 3), dtype))
    np.testing.assert_array_equal(report.query(np.ones(3), total), np.arange(1, 5000, 2))


@pytest.mark.parametrize("engine", ["tree", "scan"])
def test_a_zero_query_reports_all_or_nothing(engine):
    report = HalfSpaceReport(POINTS, engine)
    assert report.query(np.zeros(2), 0.0).size == 6
    assert report.query(np.zeros(2), np.nextafter(0.0, 1.0)).size == 0


@pytest.mark.parametrize("engine", ["tree", "scan"])
def test_infinite_thresholds_report_all_or_nothing(engine):
    report = HalfSpaceReport(POINTS, engine)
    assert report.query(np.ones(2), -np.inf).size == 6
    assert report.query(np.ones(2), np.inf).size == 0
    answers = rows_of(*report.query_batch(np.ones((2, 2)), [-np.inf, np.inf]))
    assert [indices.size for indices, _ in answers] == [6, 0]


@pytest.mark.parametrize("x", [np.nan, np.inf])
def test_points_and_directions_are_finite(report, x):
    bad = np.array([[0.0, x]])
    for call in (
        lambda: HalfSpaceReport(bad),
        lambda: report.insert(bad),
        lambda: report.update([0], bad),
        lambda: report.query(bad[0], 0.0),
        lambda: report.query_batch(bad, 0.0),
    ):
        with pytest.raises(ValueError, match="must be finite in float64; got 1 NaN or infinite"):
            call()
    assert report.query(np.ones(2), -np.inf).size == 6


@pytest.mark.parametrize(
    ("b", "error", "message"),
    [
        (np.nan, ValueError, "b must not be NaN; got 1 NaN."),
        ([0.0, np.nan, np.nan], ValueError, "b must not be NaN; got 2 NaN."),
        ([0.0, 1.0], ValueError, "b must be a number or have shape (3,); got (2,)."),
        ("1", TypeError, "b must be a real number or an array of them; got str."),
        (None, TypeError, "b must be a real number or an array of them; got NoneType."),
        (np.array(True), TypeError, "b must hold real numbers; got bool."),
        (np.ones(3, complex), TypeError, "b must hold real numbers; got complex128."),
        (
            [[1.0], [1.0, 2.0]],
            ValueError,
            "b must be a number or an array of them; got a ragged one.",
        ),
    ],
)
def test_thresholds_are_numbers(report, b, error, message):
    with refused(error, message):
        report.query_batch(np.ones((3, 2)), b)


@pytest.mark.parametrize("engine", ["tree", "scan"])
def test_minus_infinity_reports_points_whose_product_overflows_to_nan(dtype, simd_level, engine):
    large = np.finfo(dtype).max
    points = np.array([[large, -large], [0, 0], [large, large], [1, 2]] * 50, dtype)
    report, a = HalfSpaceReport(points, engine), np.array([2, 2], dtype)
    report.delete([1, 5])
    there = np.delete(np.arange(200), [1, 5])
    np.testing.assert_array_equal(report.query(a, -np.inf), there)
    _, indices, values = report.query_batch(a[None], [-np.inf])
    np.testing.assert_array_equal(indices, there)
    np.testing.assert_array_equal(np.isnan(values), there % 4 == 0)
    assert not (report.query(a, -float(large)) % 4 == 0).any()


@pytest.mark.parametrize(
    "b",
    [
        2**53 + 1,
        np.int64(2**53 + 1),
        np.array(2**53 + 1),
        np.array([2**53 + 1]),
        np.array([2**53 + 1], np.uint64),
        Fraction(2**54 + 1, 2),
    ],
)
def test_a_threshold_that_no_real_holds_is_rounded_up(b):
    report = HalfSpaceReport(np.array([[2.0**53 - 1], [2.0**53], [2.0**53 + 2]]))
    assert report.query_batch(np.ones((1, 1)), b)[1].tolist() == [2]


def test_thresholds_round_up_in_the_dtype_of_the_points():
    report = HalfSpaceReport(np.array([[2.0**24], [2.0**24 + 2]], np.float32))
    assert report.query(np.ones(1), 2**24 + 1).tolist() == [1]
    assert report.query(np.ones(1), np.int32(2**24 + 1)).tolist() == [1]
    assert report.query(np.ones(1), 2**24).tolist() == [0, 1]
    # Twice rounded, by way of float64, this would be 2^24.
    assert report.query(np.ones(1), Fraction(2**24) + Fraction(1, 2**60)).tolist() == [1]
    assert report.query(np.ones(1), 10**400).tolist() == []
    assert report.query(np.ones(1), -(10**400)).tolist() == [0, 1]
    if np.finfo(np.longdouble).nmant > 52:
        wide = np.longdouble(2) ** 24 + np.longdouble(2) ** -38
        assert report.query(np.ones(1), wide).tolist() == [1]


@pytest.mark.parametrize("sort", [1, 2, None, "no", 0.0])
def test_sort_is_a_bool(report, sort):
    with refused(TypeError, f"sort must be True or False; got {sort!r}."):
        report.query_batch(np.ones((3, 2)), 0.0, sort)
    with refused(TypeError, f"sort must be True or False; got {sort!r}."):
        report.query_batch(np.empty((0, 2)), 0.0, sort=sort)
    answers = (report.query_batch(np.ones((3, 2)), 4.0, sort=flag) for flag in (True, np.True_))
    for one, other in zip(*answers, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("indices", "error", "message"),
    [
        ([6], ValueError, "indices must be in [0, 6); got 6."),
        ([-1], ValueError, "indices must be in [0, 6); got -1."),
        ([0, 3, 0], ValueError, "indices must be distinct; got 0 twice."),
        ([[0]], ValueError, "indices must have shape (any,); got (1, 1)."),
        ([0.0], TypeError, "indices must hold integers; got float64."),
        ([True], TypeError, "indices must hold integers; got bool."),
        (
            [1, 2],
            ValueError,
            "indices must name points that are there; got 2, which was deleted.",
        ),
    ],
)
def test_indices_name_points_that_are_there_once(report, indices, error, message):
    report.delete([2])
    model = Model(POINTS)
    model.delete([2])
    for change in (report.delete, lambda i: report.update(i, np.zeros((len(i), 2)))):
        with refused(error, message):
            change(indices)
    np.testing.assert_array_equal(report.query(np.ones(2), -np.inf), model.there())


def test_a_deleted_index_is_not_given_out_again(report):
    report.delete([5])
    assert report.insert(np.ones((1, 2))).tolist() == [6]
    with refused(ValueError, "indices must name points that are there; got 5, which was deleted."):
        report.update([5], np.ones((1, 2)))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda r: r.query(np.ones(3), 0.0), "a must have shape (2,); got (3,)."),
        (
            lambda r: r.query_batch(np.ones(2), 0.0),
            "A must have shape (any, 2); got (2,).",
        ),
        (
            lambda r: r.insert(np.ones((1, 3))),
            "points must have shape (any, 2); got (1, 3). Row i is data point i.",
        ),
        (
            lambda r: r.update([0], np.ones((2, 2))),
            "new_points must have shape (1, 2); got (2, 2). Row i is data point i.",
        ),
        (
            lambda r: HalfSpaceReport(np.ones((3, 0))),
            "points must have at least 0 rows and 1 column; got (3, 0).",
        ),
        (
            lambda r: HalfSpaceReport(POINTS, "kd"),
            "method must be 'auto', 'tree' or 'scan'; got 'kd' (str).",
        ),
        (lambda r: HalfSpaceReport(POINTS, n_threads=0), "n_threads must be positive, negative or "
         "None; got 0. Use -1 for all."),
    ],
)  # fmt: skip
def test_shapes_and_names_are_checked(report, call, message):
    with refused(ValueError, message):
        call(report)


def test_integer_points_are_refused_by_name():
    with refused(
        TypeError,
        "points must be a float32 or float64 array; got int64. "
        "Convert it with .astype(np.float64).",
    ):
        HalfSpaceReport(np.ones((2, 2), np.int64))


def test_arrays_of_any_layout_are_taken_and_not_written(rng, tmp_path):
    points = rng.standard_normal((300, 3))
    expected = HalfSpaceReport(points).query_batch(points[:5], 0.4)
    file = np.lib.format.open_memmap(tmp_path / "points.npy", "w+", points.dtype, points.shape)
    file[:] = points
    wide = np.zeros((300, 6))
    wide[:, ::2] = points
    frozen = points.copy()
    frozen.flags.writeable = False
    layouts = [np.asfortranarray(points), points.astype(">f8"), file, wide[:, ::2], frozen]
    for layout in layouts:
        report = HalfSpaceReport(layout, "tree")
        for got, want in zip(report.query_batch(layout[:5], 0.4), expected, strict=True):
            np.testing.assert_array_equal(got, want)
        report.update(np.arange(300, dtype=">u2"), layout)
        np.testing.assert_array_equal(layout, points)


def test_queries_take_the_dtype_of_the_points(rng):
    points = rng.standard_normal((300, 3)).astype(np.float32)
    report, A = HalfSpaceReport(points), rng.standard_normal((4, 3))
    double, single = (report.query_batch(x, 0.4) for x in (A, A.astype(np.float32)))
    for got, want in zip(double, single, strict=True):
        np.testing.assert_array_equal(got, want)
    assert double[2].dtype == np.float32


def test_points_that_do_not_fit_are_refused_before_they_are_copied(monkeypatch):
    monkeypatch.setattr(_report, "LARGE", 1)
    monkeypatch.setattr("subquad._validation.available_memory", lambda: 1000)
    with pytest.raises(MemoryError, match=r"The report must fit in memory; needs .* bytes"):
        HalfSpaceReport(np.zeros((1000, 3)))


def test_answers_that_do_not_fit_are_refused_before_they_are_written(monkeypatch):
    report = HalfSpaceReport(np.zeros((100_000, 1)), "scan")
    report.query_batch(np.ones((4, 1)), -np.inf)
    monkeypatch.setattr(_search, "LARGE", 1)
    monkeypatch.setattr("subquad._validation.available_memory", lambda: 1000)
    with pytest.raises(MemoryError, match=r"The answers must fit in memory; needs .* bytes"):
        report.query_batch(np.ones((4, 1)), -np.inf)


def test_growth_that_does_not_fit_is_refused_before_points_move(monkeypatch):
    report = HalfSpaceReport(np.zeros((100, 1)), "scan")
    monkeypatch.setattr(_store, "LARGE", 1)
    monkeypatch.setattr("subquad._validation.available_memory", lambda: 1000)
    with pytest.raises(MemoryError, match="The report must fit in memory"):
        report.insert(np.zeros((1000, 1)))
    assert len(report) == 100
    assert report.query(np.ones(1), -np.inf).size == 100


def test_more_answers_than_32_bits_count_are_refused_with_their_bytes(monkeypatch):
    # 2^31 answers of 12 bytes; only the message is made here, not the answers.
    monkeypatch.setattr("subquad._validation.available_memory", lambda: 10**9)
    with pytest.raises(MemoryError, match=f"{12 * 2**31} bytes"):
        _search._results(2**31, np.dtype(np.float32))
