"""Leave-one-out errors are those of refitting without each point, and choose a sensible mu."""

import re

import numpy as np
import pytest
from gram_matrices import WEIGHTS, N, gram, lower_half, read_only, right_hand_side
from scipy.linalg import block_diag

from subquad.solvers import choose_regularization, loo_residuals, merge_repeats

_, _, TWO_POINTS = merge_repeats([0, 0, 1], np.ones((3, 1)), np.ones(3))
NAN = np.where(np.eye(3, k=-1, dtype=bool), np.nan, np.eye(3))


def refit_without_each_point(G, r, mu, weights):
    """e_i by its definition: drop point i, fit the others, predict it."""
    errors = np.empty(len(r))
    for i in range(len(r)):
        kept = (np.arange(len(r)) != i) & (weights > 0)
        M = G[np.ix_(kept, kept)] + mu * np.diag(1 / weights[kept])
        errors[i] = r[i] - G[i, kept] @ np.linalg.solve(M, r[kept])
    return errors


@pytest.mark.parametrize("mu", [1e-6, 0.1, 10.0])
@pytest.mark.parametrize(
    "weights",
    [None, WEIGHTS["weights"], np.r_[0.0, 2.0, 0.0, np.ones(N - 3)]],
    ids=["no weights", "weights", "some weights zero"],
)
def test_leave_one_out_in_closed_form_equals_refitting_without_each_point(mu, weights):
    G, r = gram(), right_hand_side()
    expected = refit_without_each_point(G, r, mu, np.ones(N) if weights is None else weights)
    np.testing.assert_allclose(loo_residuals(lower_half(G), r, mu, weights), expected, rtol=1e-9)


@pytest.mark.parametrize("weights", WEIGHTS.values(), ids=WEIGHTS)
def test_the_curve_is_the_mean_leave_one_out_error_of_all_outputs(weights):
    grams, R = [gram(seed=5), 3 * gram(seed=6)], np.random.default_rng(7).standard_normal((N, 2))
    w = np.ones(N) if weights is None else weights
    mu, loo_error, curve = choose_regularization([lower_half(G) for G in grams], R, weights)
    expected = [
        np.mean(
            [
                np.average(loo_residuals(G, r, candidate, weights) ** 2, weights=w)
                for G, r in zip(grams, R.T, strict=True)
            ]
        )
        for candidate in curve[:, 0]
    ]
    np.testing.assert_allclose(curve[:, 1], expected, rtol=1e-6)
    assert [mu, loo_error] == curve[np.argmin(curve[:, 1])].tolist()
    mean_eigenvalue = np.mean([np.mean(w * G.diagonal()) for G in grams])
    np.testing.assert_allclose(curve[[0, -1], 0], mean_eigenvalue * np.array([1e-8, 10]))


def test_outputs_may_share_one_gram_matrix():
    G, R = gram(), np.random.default_rng(8).standard_normal((N, 3))
    shared, repeated = choose_regularization([G], R), choose_regularization([G] * 3, R)
    np.testing.assert_allclose(shared[2], repeated[2], rtol=1e-12)


def test_the_choice_follows_the_scale_of_the_gram_matrix_and_of_the_targets():
    G, r = gram(), right_hand_side()
    mu, loo_error, _ = choose_regularization([G], r, grid=[0.01, 0.1, 1.0])
    scaled_mu, scaled_error, _ = choose_regularization([1e6 * G], 1e3 * r, grid=[1.0, 0.1, 0.01])
    assert scaled_mu == pytest.approx(1e6 * mu, rel=1e-12)
    assert scaled_error == pytest.approx(1e6 * loo_error, rel=1e-9)


@pytest.mark.parametrize("noise", [1e-2, 1.0])
def test_the_chosen_mu_is_near_the_variance_of_the_noise(noise):
    """For r ~ N(0, G + mu I) mu is the best choice; missed fourfold in 0 of 1000 trials."""
    rng = np.random.default_rng(9)
    J = rng.standard_normal((100, 100)) / np.arange(1, 101)
    R = J @ rng.standard_normal((100, 10)) + np.sqrt(noise) * rng.standard_normal((100, 10))
    mu, _, _ = choose_regularization([J @ J.T], R)
    assert noise / 4 < mu < noise * 4


POINTS = np.r_[np.arange(N), np.random.default_rng(20).integers(0, N, 3 * N)]
TARGETS = np.random.default_rng(21).standard_normal((len(POINTS), 2))
OBSERVATION_WEIGHTS = {
    "equal": np.ones(len(POINTS)),
    "unequal": np.random.default_rng(22).uniform(0.1, 3.0, len(POINTS)),
}


def refit_without_each_observation(G, points, y, mu, weights):
    """e_j by its definition: drop observation j, fit all others without merging, predict it."""
    errors = np.empty(len(y))
    for j in range(len(y)):
        kept = np.arange(len(y)) != j
        M = G[np.ix_(points[kept], points[kept])] + mu * np.diag(1 / weights[kept])
        errors[j] = y[j] - G[points[j], points[kept]] @ np.linalg.solve(M, y[kept])
    return errors


@pytest.mark.parametrize("mu", [1e-3, 0.1, 10.0])
@pytest.mark.parametrize("weights", OBSERVATION_WEIGHTS.values(), ids=OBSERVATION_WEIGHTS)
def test_single_observations_of_merged_points_are_left_out_as_by_refitting(mu, weights):
    means, totals, repeats = merge_repeats(POINTS, TARGETS, weights)
    for c in range(2):
        expected = refit_without_each_observation(gram(), POINTS, TARGETS[:, c], mu, weights)
        one = repeats.columns(slice(c, c + 1))
        found = loo_residuals(lower_half(gram()), means[:, c], mu, totals, repeats=one)
        np.testing.assert_allclose(found, expected, rtol=1e-8)


@pytest.mark.parametrize("weights", OBSERVATION_WEIGHTS.values(), ids=OBSERVATION_WEIGHTS)
@pytest.mark.parametrize("n_grams", [1, 2])
def test_mu_is_chosen_by_the_errors_of_single_observations(weights, n_grams):
    means, totals, repeats = merge_repeats(POINTS, TARGETS, weights)
    grams = [gram(seed=5), 3 * gram(seed=6)][:n_grams]
    mu, error, curve = choose_regularization(grams, means, totals, [0.01, 0.1], repeats=repeats)
    expected = []
    for candidate in curve[:, 0]:
        squares = [
            refit_without_each_observation(grams[c % n_grams], POINTS, y, candidate, weights) ** 2
            for c, y in enumerate(TARGETS.T)
        ]
        expected.append(np.average(np.mean(squares, axis=0), weights=weights))
    np.testing.assert_allclose(curve[:, 1], expected, rtol=1e-8)
    assert (mu, error) == tuple(curve[np.argmin(curve[:, 1])])


def test_whole_weights_count_observations_up_to_a_common_divisor():
    counts = np.random.default_rng(23).integers(1, 4, N)
    r, G = right_hand_side()[:, None], gram()
    written_out = merge_repeats(np.repeat(np.arange(N), counts), np.repeat(r, counts, axis=0),
                                np.ones(counts.sum()))  # fmt: skip
    for factor in (1, 2):
        means, totals, repeats = merge_repeats(np.arange(N), r, float(factor) * counts)
        errors = loo_residuals(G, means[:, 0], factor * 0.1, totals, repeats=repeats)
        expected = loo_residuals(G, written_out[0][:, 0], 0.1, repeats=written_out[2])
        np.testing.assert_allclose(np.repeat(errors, counts), expected, rtol=1e-12)


@pytest.mark.parametrize("weights", [np.ones(N), np.full(N, 3.0), WEIGHTS["weights"]])
def test_points_of_one_observation_need_no_repeats(weights):
    means, totals, repeats = merge_repeats(np.arange(N), right_hand_side()[:, None], weights)
    assert repeats is None
    np.testing.assert_allclose(means[:, 0], right_hand_side(), rtol=1e-15)
    np.testing.assert_array_equal(totals, weights)


def test_without_regularization_a_repeated_point_is_predicted_by_its_other_observations():
    means, totals, repeats = merge_repeats([0, 0, 1], [[1.0], [3.0], [5.0]], np.ones(3))
    errors = loo_residuals(np.eye(2), means[:, 0], 0.0, totals, repeats=repeats)
    np.testing.assert_allclose(errors, [-2.0, 2.0, 5.0])


def test_observations_of_some_points_are_those_of_a_smaller_problem():
    kept = np.array([7, 2, 5])
    _, _, repeats = merge_repeats(POINTS, TARGETS, np.ones(len(POINTS)))
    some, order = repeats.of_points(kept), np.isin(POINTS, kept)
    np.testing.assert_array_equal(kept[some.points], POINTS[order])
    np.testing.assert_array_equal(some.deviations, repeats.deviations[order])
    np.testing.assert_array_equal(some.totals, repeats.totals[kept])


def test_of_equal_candidates_the_largest_is_chosen():
    assert choose_regularization([np.eye(4)], np.zeros(4), grid=[1.0, 3.0, 2.0])[0] == 3.0


def test_arguments_are_not_modified():
    G, r, weights = read_only(gram(), right_hand_side(), WEIGHTS["weights"])
    choose_regularization([G], r, weights)
    loo_residuals(G, r, 0.1, weights)


def test_blocks_are_independent_problems():
    """A block-diagonal Gram matrix has the leave-one-out errors of its blocks."""
    A, B, r = gram(seed=10), gram(seed=11), right_hand_side(2 * N)
    together = loo_residuals(block_diag(A, B), r, 0.1)
    apart = np.r_[loo_residuals(A, r[:N], 0.1), loo_residuals(B, r[N:], 0.1)]
    np.testing.assert_allclose(together, apart, rtol=1e-12)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: loo_residuals(np.eye(2), np.ones(2), 0.1, np.ones(2), repeats=TWO_POINTS),
            ValueError,
            "weights must be the totals of repeats; got others.",
        ),
        (
            lambda: choose_regularization([np.eye(2)], np.ones((2, 2)), repeats=TWO_POINTS),
            ValueError,
            "repeats must have points and targets (2, 2); got (2, 1).",
        ),
        (
            lambda: merge_repeats([0, 2], np.ones((2, 1)), np.ones(2)),
            ValueError,
            "points must be 0, ..., n - 1, each at least once; got others.",
        ),
        (
            lambda: merge_repeats([0.0, 1.0], np.ones((2, 1)), np.ones(2)),
            ValueError,
            "points must be 2 integers, one per row of T; got float64 of shape (2,).",
        ),
        (
            lambda: merge_repeats([0, 1], np.ones((2, 1)), [1.0, 0.0]),
            ValueError,
            "weights must be positive; got 0.0.",
        ),
        (
            lambda: choose_regularization([np.eye(3), np.eye(2)], np.ones((3, 2))),
            ValueError,
            "grams[1] must have shape (3, 3); got (2, 2).",
        ),
        (
            lambda: choose_regularization([np.eye(3)] * 2, np.ones((3, 3))),
            ValueError,
            "grams must have 1 or 3 matrices, one per column of r; got 2.",
        ),
        (
            lambda: choose_regularization([np.zeros((3, 3))], np.ones(3)),
            ValueError,
            "grams must have a positive trace; got none, so that no neuron fires.",
        ),
        (
            lambda: choose_regularization([NAN], np.ones(3)),
            ValueError,
            "grams[0] must be finite; got NaN",
        ),
        (
            lambda: choose_regularization([np.eye(3)], np.ones(3), grid=[1.0, 0.0]),
            ValueError,
            "grid must be positive; got 0.0.",
        ),
        (
            lambda: loo_residuals(np.ones((3, 3)), np.ones(3), 0.0),
            ValueError,
            "mu must be positive for a singular gram (rank 1 of 3); got 0.0.",
        ),
    ],
)
def test_bad_arguments_are_refused_by_name(call, error, message):
    with pytest.raises(error, match=re.escape(message)):
        call()
