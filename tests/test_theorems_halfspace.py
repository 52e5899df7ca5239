"""What the half-space report promises about the number of points it tests."""

import numpy as np
import pytest
from reference_halfspace import half_space, rows_of

from subquad import HalfSpaceReport

N = 32768


def directions(rng, count, d):
    A = rng.standard_normal((count, d))
    return (A / np.linalg.norm(A, axis=1, keepdims=True)).astype(np.float32)


def fraction_tested(report, A, b):
    report.query_batch(A, b)
    return report.n_tested / (len(A) * len(report))


def moved_some(report, points, rng):
    """Move one point in ten anywhere, and all others a little."""
    points += np.float32(0.01) * rng.standard_normal(points.shape, np.float32)
    anywhere = rng.permutation(N)[: N // 10]
    points[anywhere] = rng.standard_normal((anywhere.size, points.shape[1]), np.float32)
    report.update(np.arange(N), points)


@pytest.mark.parametrize(("d", "least", "most"), [(3, 0.0, 0.10), (16, 0.90, 1.0)])
def test_a_tree_tests_few_points_in_three_dimensions_and_nearly_all_in_sixteen(rng, d, least, most):
    # b = sqrt(0.4 log 2m), where 2.1 % of Gaussian points are reported.
    points, A = rng.standard_normal((N, d), np.float32), directions(rng, 32, d)
    report, b = HalfSpaceReport(points, "tree"), np.sqrt(0.4 * np.log(2 * N))
    for _ in range(3):
        assert least < fraction_tested(report, A, b) <= most
        moved_some(report, points, rng)


@pytest.mark.parametrize("engine", ["tree", "scan"])
@pytest.mark.parametrize("d", [3, 16])
def test_answers_are_exact_also_after_updates(rng, engine, d):
    points, A = rng.standard_normal((N, d), np.float32), directions(rng, 16, d)
    report = HalfSpaceReport(points, engine)
    for _ in range(3):
        for a, (indices, values) in zip(A, rows_of(*report.query_batch(A, 2.0)), strict=True):
            expected = half_space(points, a, 2.0)
            np.testing.assert_array_equal(indices, expected[0])
            np.testing.assert_array_equal(values, expected[1])
        moved_some(report, points, rng)
