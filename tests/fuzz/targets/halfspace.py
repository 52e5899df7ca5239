"""Half-space reports against a dictionary of points."""

import itertools

import numpy as np

from subquad.halfspace import HalfSpaceReport, SharedHalfSpaceReport

from ..alone import Alone
from ..cases import target
from ..draws import as_float64, dtype_of

_STEPS = ("query", "query", "query_batch", "query_batch", "insert", "delete", "update")


@target(
    "halfspace.HalfSpaceReport",
    *(f"halfspace.HalfSpaceReport.{name}" for name in sorted(set(_STEPS))),
    share=60,
)
def report(draw, attempt):
    d = draw.choice((1, 2, 3, 5, 9, 17))
    points = draw.array((draw.choice((0, 1, 5, 33, 65, 200)), d))
    method = draw.option(("auto", "tree", "scan"))
    options = {"n_threads": draw.n_threads()} if draw.chance(0.2) else {}
    _changed_and_asked(draw, attempt, attempt(HalfSpaceReport, points, method, **options), points)


@target(
    "halfspace.SharedHalfSpaceReport",
    *(f"halfspace.SharedHalfSpaceReport.{name}" for name in sorted(set(_STEPS))),
    share=10,
)
def shared_report(draw, attempt):
    points = draw.array((draw.choice((0, 1, 5, 33, 65)), draw.choice((1, 2, 3, 9))))
    method = draw.option(("auto", "tree", "scan"))
    report = attempt(SharedHalfSpaceReport, points, Alone(), method)
    _changed_and_asked(draw, attempt, report, points)


def _changed_and_asked(draw, attempt, report, points):
    """Take a few steps with a report of these points."""
    state = dict(enumerate(as_float64(points)))
    attempt.equal(report.dtype, dtype_of(points))
    n_ids = len(state)
    for _ in range(draw.between(1, 5)):
        step = draw.choice(_STEPS)
        if step == "insert":
            more = draw.array((draw.between(0, 5), report.dimension))
            ids = attempt(report.insert, more)
            with np.errstate(over="ignore"):
                rows = as_float64(more).astype(report.dtype).astype(float)
            attempt.equal(ids.tolist(), list(range(n_ids, n_ids + len(rows))))
            state |= dict(zip(range(n_ids, n_ids + len(rows)), rows, strict=True))
            n_ids += len(rows)
        elif step in ("delete", "update"):
            _change(draw, attempt, report, state, step)
        else:
            _ask(draw, attempt, report, state, step)
        attempt.holds(len(report) == len(state), f"{len(report)} points for {len(state)}")


def _change(draw, attempt, report, state, step):
    """Take out points, or move them."""
    ids = sorted(state)
    chosen = draw.indices(draw.between(0, 5), len(ids))
    draw.wrong = None  # what is no position among those that are there may be an index
    if isinstance(chosen, np.ndarray) and chosen.dtype.kind == "i" and chosen.ndim == 1 and ids:
        if chosen.size and 0 <= chosen.min() and chosen.max() < len(ids):
            chosen = np.array(ids)[chosen]
    if step == "delete":
        attempt(report.delete, chosen)
        for i in np.asarray(chosen).tolist():
            del state[i]
        return
    rows = draw.array((len(np.atleast_1d(np.asarray(chosen, object))), report.dimension))
    attempt(report.update, chosen, rows)
    with np.errstate(over="ignore"):
        rows = as_float64(rows).astype(report.dtype).astype(float)
    for i, row in zip(np.asarray(chosen).tolist(), rows, strict=True):
        assert i in state
        state[i] = row


def _ask(draw, attempt, report, state, step):
    """Compare the answers to queries that rounding does not decide."""
    n = 1 if step == "query" else draw.between(0, 9)
    A = draw.array((report.dimension,) if step == "query" else (n, report.dimension))
    b = draw.choice((0.0, 0.5, -0.5, 1e-300, np.inf, -np.inf, 1, np.float32(0.1), True, 10**400))
    draw.hostile |= b is True
    if step == "query_batch" and draw.chance(0.4):
        wrong = draw.wrong
        b = draw.array((n,), finite=False)
        draw.wrong = wrong  # integers and other reals may be thresholds
    if draw.goes_wrong():
        b = draw.choice((np.nan, None, "0", 1j, [0.0] * (n + 1), [[0.0]], np.datetime64("2020")))
    if step == "query":
        ids = attempt(report.query, A, b)
        answers, A = [ids], as_float64(A)[None]
    else:
        sort = () if isinstance(report, SharedHalfSpaceReport) else (draw.option((True, False)),)
        indptr, ids, values = attempt(report.query_batch, A, b, *sort)
        answers = [np.sort(ids[i:j]) for i, j in itertools.pairwise(indptr)]
        A = as_float64(A)
        attempt.holds(len(answers) == len(A) and len(values) == len(ids), "rows of the answer")
    _check(attempt, report, state, A, b, answers)


def _check(attempt, report, state, A, b, answers):
    points = np.array([state[i] for i in sorted(state)]).reshape(-1, report.dimension)
    ids = np.array(sorted(state), np.intp)
    eps = 8 * (report.dimension + 8) * float(np.finfo(report.dtype).eps)
    with np.errstate(all="ignore"):
        A = A.astype(report.dtype).astype(float)
        b = np.array([float(x) if abs(x) < 10**300 else np.inf * (1 if x > 0 else -1)
                      for x in np.broadcast_to(np.asarray(b, object), len(A))])  # fmt: skip
        products, size = A @ points.T, np.abs(A) @ np.abs(points).T
        bound = eps * (size + np.abs(b)[:, None] * np.isfinite(b)[:, None])
        bound += float(np.finfo(report.dtype).tiny)
        sure = size < float(np.finfo(report.dtype).max) / 4
        inside = sure & (products >= b[:, None] + bound) | (b == -np.inf)[:, None]
        outside = sure & (products < b[:, None] - bound)
    for found, must, mustnt in zip(answers, inside, outside, strict=True):
        attempt.holds((np.diff(found) > 0).all(), "indices must rise")
        found = np.isin(ids, found)
        attempt.holds(not (must & ~found).any(), f"a point is missing: {ids[must & ~found][:5]}")
        attempt.holds(not (mustnt & found).any(), f"too many: {ids[mustnt & found][:5]}")
