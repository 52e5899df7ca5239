"""Leave-one-out errors are those of refitting without each point, and choose a sensible mu."""

import re

import numpy as np
import pytest
from gram_matrices import WEIGHTS, N, gram, lower_half, read_only, right_hand_side
from scipy.linalg import block_diag

from subquad.solvers import choose_regularization, loo_residuals

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
