"""HalfSpaceReport gives the answers of a loop over all points, bit for bit, whatever happens."""

import itertools
import pickle
import threading

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from reference_halfspace import Model, half_space, inner_products, rows_of

from subquad import HalfSpaceReport
from subquad.halfspace import _report

ENGINES = ["tree", "scan"]


def gaussian(rng, shape, dtype):
    """Points on a coarse grid, so that ties abound."""
    return rng.standard_normal(shape).round(1).astype(dtype)


def assert_answers(report, expected, A, b, **options):
    """The report answers as the model does."""
    answers = rows_of(*report.query_batch(A, b, **options))
    for (indices, values), a, threshold in zip(answers, A, np.broadcast_to(b, len(A)), strict=True):
        true_indices, true_values = expected.query(a, threshold)
        np.testing.assert_array_equal(indices, true_indices)
        np.testing.assert_array_equal(values, true_values)


def assert_unsorted_answers(report, expected, A, b, **options):
    """Without sorting, the report gives each pair of index and value of the model once."""
    answers = rows_of(*report.query_batch(A, b, sort=False, **options))
    for (indices, values), a, threshold in zip(answers, A, np.broadcast_to(b, len(A)), strict=True):
        true_indices, true_values = expected.query(a, threshold)
        order = np.argsort(indices)
        assert (indices.dtype, values.dtype) == (np.intp, report.dtype)
        np.testing.assert_array_equal(indices[order], true_indices)
        np.testing.assert_array_equal(values[order], true_values)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("n", "d"), [(1, 1), (2, 3), (63, 2), (64, 5), (65, 1), (3000, 3), (999, 17)]
)
def test_answers_are_those_of_a_loop_ties_included(rng, dtype, simd_level, engine, n, d):
    points = gaussian(rng, (n, d), dtype)
    report = HalfSpaceReport(points, engine)
    assert (len(report), report.dimension, report.dtype) == (n, d, dtype)
    assert report.engine == engine
    A = gaussian(rng, (11, d), dtype)
    b = inner_products(points, A[0])[rng.integers(n, size=11)]  # thresholds that points attain
    assert_answers(report, Model(points), A, b)
    assert_answers(report, Model(points), A, 0.5)
    assert_unsorted_answers(report, Model(points), A, b)
    np.testing.assert_array_equal(report.query(A[0], b[0]), half_space(points, A[0], b[0])[0])


@pytest.mark.parametrize("engine", ENGINES)
def test_every_point_ties_with_itself(rng, dtype, engine):
    # Inner products that need rounding, thresholds that equal one of them: no margin is left.
    points = rng.standard_normal((2000, 3)).astype(dtype)
    report, a = HalfSpaceReport(points, engine), rng.standard_normal(3).astype(dtype)
    total = inner_products(points, a)
    for b in np.sort(total)[::97]:
        np.testing.assert_array_equal(report.query(a, b), np.flatnonzero(total >= b))
        above = np.nextafter(b, dtype.type(np.inf))
        np.testing.assert_array_equal(report.query(a, above), np.flatnonzero(total >= above))


@pytest.mark.parametrize("engine", ENGINES)
def test_answers_do_not_depend_on_threads_batches_or_instruction_set(
    rng, dtype, simd_level, n_threads, engine
):
    points, A = gaussian(rng, (2500, 4), dtype), gaussian(rng, (150, 4), dtype)
    report = HalfSpaceReport(points, engine)
    together = report.query_batch(A, 0.7, n_threads=1)
    for other, same in zip(report.query_batch(A, 0.7, n_threads=n_threads), together, strict=True):
        np.testing.assert_array_equal(other, same)
    single = [rows_of(*report.query_batch(A[q : q + 1], 0.7))[0] for q in range(0, 150, 7)]
    for one, same in zip(single, rows_of(*together)[::7], strict=True):
        np.testing.assert_array_equal(one[0], same[0])
        np.testing.assert_array_equal(one[1], same[1])


def moved_and_moved_again(points, engine):
    """A report with a history: lanes given up and taken, leaves out of their places."""
    report = HalfSpaceReport(points, engine)
    report.update(np.arange(0, 900, 3), points[900:1200])
    report.query(points[0], 0.0)
    report.delete(np.arange(50, 250))
    report.insert(points[:300] + points.dtype.type(1))
    return report


@pytest.mark.parametrize("engine", ENGINES)
def test_the_order_of_unsorted_answers_follows_from_the_history_alone(
    rng, dtype, simd_level, n_threads, engine
):
    points, A = gaussian(rng, (2500, 3), dtype), gaussian(rng, (150, 3), dtype)
    first, second = (moved_and_moved_again(points, engine) for _ in range(2))
    expected = first.query_batch(A, 0.7, sort=False, n_threads=1)
    for report in (first, second, pickle.loads(pickle.dumps(second))):
        answers = report.query_batch(A, 0.7, sort=False, n_threads=n_threads)
        for other, same in zip(answers, expected, strict=True):
            np.testing.assert_array_equal(other, same)
    for q in range(0, 150, 7):
        _, *one = first.query_batch(A[q : q + 1], 0.7, sort=False)
        for other, same in zip(one, rows_of(*expected)[q], strict=True):
            np.testing.assert_array_equal(other, same)


def test_unsorted_answers_of_a_tree_are_not_sorted(rng):
    points = rng.standard_normal((2500, 3))
    _, indices, _ = HalfSpaceReport(points, "tree").query_batch(points[:1], 0.0, sort=False)
    assert (np.diff(indices) < 0).any()  # else the tests of their order compare nothing


class Interleaved(RuleBasedStateMachine):
    """Any sequence of operations, against a model."""

    @initialize(
        seed=st.integers(0, 2**32 - 1),
        n=st.sampled_from([0, 1, 70, 1500]),
        d=st.sampled_from([1, 2, 3, 6]),
        engine=st.sampled_from([*ENGINES, "auto"]),
        dtype=st.sampled_from([np.float32, np.float64]),
    )
    def begin(self, seed, n, d, engine, dtype):
        self.rng, self.shape, self.dtype = np.random.default_rng(seed), d, dtype
        points = self.points(n)
        self.report, self.model = HalfSpaceReport(points, engine), Model(points)

    def points(self, count, scale=1.0):
        return gaussian(self.rng, (count, self.shape), self.dtype) * self.dtype(scale)

    def some(self, fraction):
        there = self.rng.permutation(self.model.there())
        return there[: round(fraction * there.size)]

    @rule(count=st.sampled_from([0, 1, 5, 200, 900]))
    def insert(self, count):
        points = self.points(count)
        indices = self.report.insert(points)
        np.testing.assert_array_equal(indices, self.model.insert(points))

    @rule(fraction=st.sampled_from([0.01, 0.3, 0.9, 1.0]))
    def delete(self, fraction):
        gone = self.some(fraction)
        self.report.delete(gone)
        self.model.delete(gone)

    @rule(
        fraction=st.sampled_from([0.01, 0.5, 1.0]),
        kept=st.sampled_from([0.0, 1.0]),
        scale=st.sampled_from([0.0, 0.01, 1.0, 7.0]),
    )
    def update(self, fraction, kept, scale):
        """Nudges, moves to anywhere, all to one place, all far away."""
        moved = self.some(fraction)
        points = self.dtype(kept) * self.model.rows[moved] + self.points(moved.size, scale)
        self.report.update(moved, points)
        self.model.update(moved, points)

    @rule()
    def pickle(self):
        self.report = pickle.loads(pickle.dumps(self.report))

    @rule(quantile=st.sampled_from([0.0, 0.5, 0.99]), n_threads=st.sampled_from([1, 2]))
    def query(self, quantile, n_threads):
        A = self.points(3)
        total = inner_products(self.model.rows, A[0])
        total = total[~np.isnan(total)]
        b = np.quantile(total, quantile, method="nearest") if total.size else 0.0
        assert_unsorted_answers(self.report, self.model, A, float(b), n_threads=n_threads)
        assert_answers(self.report, self.model, A, float(b), n_threads=n_threads)

    @invariant()
    def counts(self):
        assert len(self.report) == len(self.model)


TestInterleaved = Interleaved.TestCase
TestInterleaved.settings = settings(max_examples=60, stateful_step_count=12, deadline=None)


@pytest.mark.parametrize("engine", ENGINES)
def test_many_moves_keep_the_number_of_points_tested(rng, engine):
    points = rng.standard_normal((20_000, 3)).astype(np.float32)
    A, b = rng.standard_normal((16, 3)).astype(np.float32), 3.5
    report, model = HalfSpaceReport(points, engine), Model(points)
    for step in range(40):
        moved = rng.permutation(20_000)[:1000]
        rows = rng.standard_normal((1000, 3)).astype(np.float32)
        if step % 2:  # [QSY23]: most moves are small
            rows = model.rows[moved] + np.float32(0.02) * rows
        report.update(moved, rows)
        model.update(moved, rows)
        assert_answers(report, model, A[:2], b)
    report.query_batch(A, b)
    fresh = HalfSpaceReport(model.rows, engine)
    fresh.query_batch(A, b)
    assert report.n_tested <= 1.3 * fresh.n_tested


@pytest.mark.parametrize("engine", ENGINES)
def test_many_more_hits_than_the_time_before_are_all_reported(rng, dtype, engine):
    points = gaussian(rng, (30_000, 2), dtype)
    report, A = HalfSpaceReport(points, engine), gaussian(rng, (5, 2), dtype)
    for b in (9.0, -9.0, 0.0, -np.inf, np.inf):
        assert_answers(report, Model(points), A, b)


def test_auto_takes_the_tree_in_few_dimensions_and_the_scan_in_many(rng):
    few, many = rng.standard_normal((20_000, 3)), rng.standard_normal((20_000, 16))
    assert HalfSpaceReport(few).engine == "tree"
    assert HalfSpaceReport(many).engine == "scan"
    assert HalfSpaceReport(few[:50]).engine == "scan"


def test_auto_chooses_again_when_the_points_have_changed(rng):
    points = rng.standard_normal((10_000, 16))
    report = HalfSpaceReport(points)
    assert report.engine == "scan"
    flat = np.zeros_like(points)
    flat[:, :2] = points[:, :2]
    for _ in range(2):
        report.update(np.arange(10_000), flat)
        report.query(points[0], 1.0)
    assert report.engine == "tree"
    assert_answers(report, Model(flat), points[:9], 1.0)
    report.update(np.arange(10_000), points)
    assert_answers(report, Model(points), points[:9], 1.0)
    assert report.engine == "scan"


@pytest.mark.parametrize("engine", ENGINES)
def test_numbers_that_overflow_are_reported_as_the_loop_reports_them(dtype, engine):
    large = np.finfo(dtype).max
    points = np.array(list(itertools.product([-large, -1, 0, 1, large], repeat=3)), dtype)
    points = np.repeat(points, 3, axis=0)
    report, model = HalfSpaceReport(points, engine), Model(points)
    A = np.array(list(itertools.product([-large, -1, 0, 1, large], repeat=3)), dtype)
    for b in (-np.inf, -1.0, 0.0, float(large), np.inf):
        assert_answers(report, model, A, b)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_threshold_between_two_numbers_of_float32_is_rounded_up(engine):
    points = np.array([[0.1], [0.5]], np.float32)
    report, a = HalfSpaceReport(points, engine), np.array([1.0])
    assert report.query(a, float(np.float32(0.1))).tolist() == [0, 1]
    assert report.query(a, float(np.float32(0.1)) + 1e-12).tolist() == [1]
    assert report.query(a, 1e300).tolist() == []
    assert report.query(a, -1e300).tolist() == [0, 1]


@pytest.mark.parametrize("engine", ENGINES)
def test_threads_may_read_together_and_changes_wait(rng, engine):
    points = gaussian(rng, (4000, 3), np.float64)
    report, A = HalfSpaceReport(points, engine), gaussian(rng, (8, 3), np.float64)
    there = {tuple(half_space(points, a, 1.0)[0]) for a in A}
    shifted = points + 1.0
    there |= {tuple(half_space(shifted, a, 1.0)[0]) for a in A}
    wrong = []

    def read():
        for _ in range(40):
            rows = rows_of(*report.query_batch(A, 1.0, n_threads=1))
            wrong.extend(i for i, _ in rows if tuple(i) not in there)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for step in range(20):
        report.update(np.arange(4000), points if step % 2 else shifted)
    for reader in readers:
        reader.join()
    assert not wrong


def test_a_pickled_report_goes_on_alone(rng):
    points = gaussian(rng, (500, 3), np.float32)
    report = HalfSpaceReport(points, "tree", n_threads=1)
    other = pickle.loads(pickle.dumps(report))
    other.delete([0, 1])
    assert (len(report), len(other)) == (500, 498)
    assert_answers(report, Model(points), points[:3], 0.3)


def assert_codes_hold(report):
    """Each point is as near to its code as its block says; return the largest such distance."""
    points, _, taken, *_, stale, codes, fits = report._store.lanes
    assert not stale.any()
    n_blocks, d, _ = points.shape
    lanes = (taken[:, None] >> np.arange(64, dtype=np.uint64) & np.uint64(1)).astype(bool)
    whole = codes.reshape(n_blocks, -1, 64, 2).transpose(0, 1, 3, 2).reshape(n_blocks, -1, 64)
    whole = whole[:, :d].astype(np.float64) - 128
    e = np.sqrt(((points - whole / fits[:, :1, None]) ** 2).sum(axis=1))
    blocks, _ = np.nonzero(lanes)
    assert (e[lanes] <= fits[blocks, 2]).all()
    assert (np.sqrt((points.astype(np.float64) ** 2).sum(axis=1))[lanes] <= fits[blocks, 1]).all()
    assert np.sqrt((whole**2).sum(axis=1))[lanes].max() < 252
    return fits[blocks, 2].max()


@pytest.mark.parametrize("d", [1, 6, 7])
def test_codes_follow_the_points(rng, dtype, d, monkeypatch):
    monkeypatch.setattr("subquad.halfspace._store._codes_pay", lambda d: True)
    points = gaussian(rng, (1000, d), dtype)
    report, model = HalfSpaceReport(points, "scan"), Model(points)
    first = assert_codes_hold(report)
    for scale in (1, 1.01, 30, 0, 1e-3, 1e20, 1):
        moved = rng.permutation(model.there())[:300]
        new = (rng.standard_normal((300, d)) * scale).astype(dtype)
        report.update(moved, new)
        model.update(moved, new)
        report.delete(moved[:5])
        model.delete(moved[:5])
        np.testing.assert_array_equal(report.insert(new[:90]), model.insert(new[:90]))
        assert_answers(report, model, points[:3], 0.5)
        with np.errstate(over="ignore", invalid="ignore"):
            assert_codes_hold(report)
    moved = model.there()
    report.update(moved, (1e-3 * rng.standard_normal((moved.size, d))).astype(dtype))
    report.query(points[0], 1.0)
    assert assert_codes_hold(report) < 0.01 * first  # steps became shorter with the points


def test_points_tested_are_counted(rng):
    report = HalfSpaceReport(rng.standard_normal((6400, 3)), "scan")
    report.query_batch(rng.standard_normal((5, 3)), 1.0)
    assert report.n_tested == 5 * 6400


def test_its_arrays_are_its_own(rng):
    points = gaussian(rng, (200, 2), np.float64)
    before = points.copy()
    report = HalfSpaceReport(points, "tree")
    points[:] = 0
    assert_answers(report, Model(before), before[:3], 0.1)
    first = report.query(before[0], 0.0)
    kept = first.copy()
    report.query(-before[0], 0.0)
    np.testing.assert_array_equal(first, kept)


def test_a_long_search_comes_in_pieces(rng, monkeypatch):
    points, A = gaussian(rng, (40_000, 2), np.float64), gaussian(rng, (3, 2), np.float64)
    reports = [HalfSpaceReport(points, engine) for engine in ENGINES]
    monkeypatch.setattr("subquad.halfspace._search._PRODUCTS_PER_CALL", 1 << 14)
    for report in reports:
        assert_answers(report, Model(points), A, 1.0)


def test_module_says_where_its_room_ends(monkeypatch):
    monkeypatch.setattr(_report, "MOST_IDS", 10)
    report = HalfSpaceReport(np.zeros((9, 1)))
    assert report.insert(np.zeros((1, 1))).tolist() == [9]
    with pytest.raises(ValueError, match=r"points must have at most 10 indices in all; got 11\."):
        report.insert(np.zeros((1, 1)))
    assert len(report) == 10
