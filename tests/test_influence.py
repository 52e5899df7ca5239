"""Influences are the differences that refits make, and variances those of the posterior."""

import re

import numpy as np
import pytest
from gram_matrices import lower_half, read_only

from subquad.jacobian import KhatriRao
from subquad.solvers import influence, loo_residuals, merge_repeats, predictive_variance

N, K, C = 9, 4, 3
RNG = np.random.default_rng(0)
POINTS = np.r_[np.arange(N), 0, 0, 3]
WEIGHTS = {
    "even": np.ones(len(POINTS)),
    "uneven": RNG.uniform(0.5, 2.0, len(POINTS)),
    "counts": RNG.integers(1, 4, len(POINTS)).astype(float),
}


def jacobians(size, seed=1):
    """Rows of J at the points of a fit and at others, `size` of them for each point."""
    rng = np.random.default_rng(seed)
    return [rng.standard_normal((n * size, 40)) for n in (N, K)]


def rows_of(points, size):
    """The rows (i, c) of some points."""
    return (np.asarray(points)[:, None] * size + np.arange(size)).ravel()


def prediction(J, J_other, points, targets, weights, mu, size):
    """Fit observations one by one, in the space of the weights where mu > 0; predict."""
    rows = J[rows_of(points, size)]
    w = np.repeat(weights, size)
    M = rows @ rows.T + mu * np.diag(1 / w)
    aims = targets.reshape(len(rows), -1) if size > 1 else targets
    return (J_other @ (rows.T @ np.linalg.solve(M, aims))).reshape(len(J_other) // size, -1)


def refits(J, J_other, points, targets, weights, mu, size=1):
    """f^(-j) - f by definition, shape (k, n_observations, C)."""
    full = prediction(J, J_other, points, targets, weights, mu, size)
    changes = []
    for j in range(len(points)):
        kept = np.arange(len(points)) != j
        arguments = points[kept], targets[kept], weights[kept], mu, size
        changes.append(prediction(J, J_other, *arguments) - full)
    return np.stack(changes, axis=1)


@pytest.mark.parametrize("mu", [1e-3, 1.0, 100.0])
@pytest.mark.parametrize("size", [1, C], ids=["shared", "coupled"])
@pytest.mark.parametrize("weights", WEIGHTS.values(), ids=WEIGHTS)
def test_influence_is_what_refits_without_each_observation_change(mu, size, weights):
    J, others = jacobians(size)
    targets = np.random.default_rng(2).standard_normal((len(POINTS), C))
    means, totals, repeats = merge_repeats(POINTS, targets, weights)
    expected = refits(J, others, POINTS, targets, weights, mu, size)
    (gram,) = read_only(lower_half(J @ J.T))
    found = influence(gram, means, mu, others @ J.T, weights=totals, repeats=repeats)
    np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-10 * abs(expected).max())
    at_home = influence(gram, means, mu, repeats=repeats)
    expected = refits(J, J, POINTS, targets, weights, mu, size)
    np.testing.assert_allclose(at_home, expected, rtol=1e-8, atol=1e-10 * abs(expected).max())


@pytest.mark.parametrize("size", [1, C], ids=["shared", "coupled"])
def test_influence_on_a_fit_that_interpolates(size):
    J, others = jacobians(size)
    targets = np.random.default_rng(2).standard_normal((N, C))
    expected = refits(J, others, np.arange(N), targets, np.ones(N), 0.0, size)
    found = influence(J @ J.T, targets, 0.0, others @ J.T)
    np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-9)


def test_a_jacobian_stands_for_its_gram_matrix():
    rng = np.random.default_rng(3)
    J = KhatriRao(rng.standard_normal((N, 5)), rng.standard_normal((N, 6)))
    others = KhatriRao(rng.standard_normal((K, 5)), rng.standard_normal((K, 6)))
    r = rng.standard_normal(N)
    for cross, written_out in ((others, others.gram(J)), (None, None)):
        expected = influence(J.gram(), r, 0.1, written_out)
        np.testing.assert_array_equal(influence(J, r, 0.1, cross), expected)
    prior = others.diagonal()
    np.testing.assert_array_equal(
        predictive_variance(J, r, 0.1, others, prior),
        predictive_variance(J.gram(), r, 0.1, others.gram(J), prior),
    )


def test_what_a_row_does_to_itself_is_in_its_leave_one_out_error():
    J, _ = jacobians(1)
    r, G, mu = np.random.default_rng(4).standard_normal(N), J @ J.T, 5.0
    fit = G @ np.linalg.solve(G + mu * np.eye(N), r)
    changed = fit + influence(G, r, mu).diagonal()
    np.testing.assert_allclose(r - changed, loo_residuals(G, r, mu), rtol=1e-10)


@pytest.mark.parametrize("mu", [0.0, 1.0])
@pytest.mark.parametrize("size", [1, C], ids=["shared", "coupled"])
def test_a_point_of_weight_0_has_no_influence(mu, size):
    J, others = jacobians(size)
    targets, weights = np.random.default_rng(5).standard_normal((N, C)), np.ones(N)
    weights[[2, 5]] = 0.0
    kept = weights > 0
    found = influence(J @ J.T, targets, mu, others @ J.T, weights=weights)
    assert not found[:, ~kept].any()
    rows = rows_of(np.flatnonzero(kept), size)
    alone = influence(J[rows] @ J[rows].T, targets[kept], mu, others @ J[rows].T)
    np.testing.assert_allclose(found[:, kept], alone, rtol=1e-8, atol=1e-11)
    arguments = mu, others @ J.T, np.square(others).sum(axis=1)
    np.testing.assert_allclose(
        predictive_variance(J @ J.T, targets, *arguments, weights=weights),
        predictive_variance(
            J[rows] @ J[rows].T, targets[kept], mu, others @ J[rows].T, arguments[2]
        ),
        rtol=1e-8,
    )


def posterior(J, others, points, weights, mu, noise, size):
    """Variances, over s^2, of new observations with so much noise, by the rules of normal laws."""
    rows = J[rows_of(points, size)]
    M = rows @ rows.T + mu * np.diag(1 / np.repeat(weights, size))
    cross = others @ rows.T
    spread = others @ others.T - cross @ np.linalg.solve(M, cross.T)
    return (spread.diagonal() + noise).reshape(-1, size)


def likeliest(errors, spreads, weights, mu):
    """The scale of the function and the noise over it, for each output, of all candidates."""
    found = []
    for e, phi in zip(errors.T, spreads.T, strict=True):
        rates = []
        for multiple in [0.0, *10.0 ** np.arange(-8, 2.1, 0.25)]:
            rho = mu + multiple * np.mean(phi * weights)
            variance = phi + rho / weights
            scale = np.mean(e**2 / variance)
            likelihood = np.mean(-np.log(scale * variance) - e**2 / (scale * variance))
            rates.append((likelihood, scale, rho))
        found.append(max(rates)[1:])
    return np.transpose(found)


@pytest.mark.parametrize("size", [1, C], ids=["shared", "coupled"])
@pytest.mark.parametrize("weights", WEIGHTS.values(), ids=WEIGHTS)
def test_variances_are_those_of_the_posterior_scaled_by_leave_one_out_errors(size, weights):
    mu, (J, others) = 2.0, jacobians(size)
    targets = np.random.default_rng(6).standard_normal((len(POINTS), C))
    means, totals, repeats = merge_repeats(POINTS, targets, weights)
    points = POINTS
    whole = (weights == weights.round()).all()
    if whole:  # so many observations of weight 1
        copies = weights.astype(int)
        points, targets = np.repeat(points, copies), np.repeat(targets, copies, axis=0)
    w = np.ones(len(points)) if whole else weights
    errors, spreads = [], []
    for j in range(len(points)):
        kept, here = np.arange(len(points)) != j, J[rows_of(points[[j]], size)]
        f = prediction(J, here, points[kept], targets[kept], w[kept], mu, size)[0]
        errors.append(targets[j] - f)
        spreads.append(posterior(J, here, points[kept], w[kept], mu, 0.0, size)[0])
    scales, rho = likeliest(np.array(errors), np.broadcast_to(spreads, (len(w), C)), w, mu)
    expected = posterior(J, others, points, w, mu, 0.0, size) + rho / w.mean()
    expected = scales * expected
    noise = scales * np.broadcast_to(rho / w.mean(), expected.shape)
    prior = np.square(others).sum(axis=1)
    found = predictive_variance(
        lower_half(J @ J.T), means, mu, others @ J.T, prior, weights=totals, repeats=repeats
    )
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    sure = predictive_variance(
        J @ J.T, means, mu, others @ J.T, prior, weights=totals, repeats=repeats, noise=False
    )
    np.testing.assert_allclose(sure, expected - noise, rtol=1e-7, atol=1e-9 * expected.max())
    one = predictive_variance(
        J @ J.T if size == 1 else J[::C] @ J[::C].T,
        means[:, 0],
        mu,
        others[::size] @ J[::size].T,
        prior[::size],
        repeats=repeats.columns(slice(1)),
    )
    assert one.shape == (K,)
    if size == 1:
        np.testing.assert_allclose(one, found[:, 0], rtol=1e-12)


@pytest.mark.parametrize("weights", [None, RNG.uniform(0.5, 2.0, N)], ids=["even", "uneven"])
def test_a_scale_of_the_weights_does_not_matter(weights):
    J, others = jacobians(1)
    r, weights = J @ np.ones(40), np.ones(N) if weights is None else weights
    prior = np.square(others).sum(axis=1)
    found = [
        predictive_variance(J @ J.T, r, 3.0 * scale, others @ J.T, prior, weights=scale * weights)
        for scale in (1.0, 16.0)
    ]
    np.testing.assert_allclose(*found, rtol=1e-10)


def test_noise_that_mu_knows_nothing_of_is_learned_from_repeated_points():
    # Every point twice, with noise of variance 0.02 about a function of variance 22; mu claims next
    # to none, so that left out, an observation is predicted by its twin and missed with 0.04. 200
    # pairs tell that to 10 per cent, 5 times which are allowed.
    J, points = np.random.default_rng(8).standard_normal((200, 250)), np.repeat(np.arange(200), 2)
    f = J @ np.ones(250) * 0.3
    targets = f[points] + np.sqrt(0.02) * np.random.default_rng(9).standard_normal(400)
    means, totals, repeats = merge_repeats(points, targets[:, None], np.ones(400))
    G = J @ J.T
    found = predictive_variance(G, means, 1e-7, G, G.diagonal(), weights=totals, repeats=repeats)
    np.testing.assert_allclose(found, 0.04, rtol=0.5)


def test_variances_are_not_negative_where_nothing_is_left_to_know():
    J, _ = jacobians(1)
    G = J @ J.T
    found = predictive_variance(G, np.ones(N), 0.0, G, G.diagonal())
    assert (found >= 0).all()
    assert found.max() < 1e-9
    assert not predictive_variance(G, np.zeros(N), 1.0, G, G.diagonal()).any()


def test_intervals_cover_what_they_promise_under_the_model():
    # 400 fits covered 0.890 of new observations, with a deviation of 0.059: the scale of each is
    # estimated from 60 rows. The mean of 100 fits deviates by 0.006; 4 of that are allowed.
    rng, mu, inside = np.random.default_rng(7), 0.3, []
    for _ in range(100):
        J = rng.standard_normal((460, 30))
        f = J @ rng.standard_normal(30) + np.sqrt(mu) * rng.standard_normal(460)
        seen, new = J[:60], J[60:]
        cross = new @ seen.T
        mean = cross @ np.linalg.solve(seen @ seen.T + mu * np.eye(60), f[:60])
        prior = np.square(new).sum(axis=1)
        deviation = np.sqrt(predictive_variance(seen @ seen.T, f[:60], mu, cross, prior))
        inside.append(np.mean(abs(f[60:] - mean) < 1.6449 * deviation))
    assert abs(np.mean(inside) - 0.89) < 0.024


REPEATED = merge_repeats([0, 0, 1], np.ones((3, 1)), np.ones(3))[2]


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (
            lambda: predictive_variance(np.eye(2), [1e200, 1.0], 0.1, np.eye(2), np.ones(2)),
            ValueError,
            "r must be smaller; got numbers with which the result overflows float64.",
        ),
        (
            lambda: influence(np.eye(3), np.ones((2, 2)), 0.1),
            ValueError,
            "gram must have 2 or 4 rows for r of shape (2, 2); got 3.",
        ),
        (
            lambda: influence(np.eye(3), np.ones(2), 0.1),
            ValueError,
            "gram must have 2 rows for r of shape (2, 1); got 3.",
        ),
        (
            lambda: influence(np.ones((3, 3)), np.ones(3), 0.0),
            ValueError,
            "damping must be positive for a singular gram (rank 1 of 3); got 0.0.",
        ),
        (
            lambda: influence(np.eye(2), np.ones(2), -1.0),
            ValueError,
            "damping must be at least 0.0; got -1.0.",
        ),
        (
            lambda: influence(np.eye(2), np.ones(2), 0.1, np.ones((4, 3))),
            ValueError,
            "cross must have shape (any, 2); got (4, 3).",
        ),
        (
            lambda: influence(
                np.eye(2), np.ones(2), 0.1, KhatriRao(np.ones((1, 1)), np.ones((1, 1)))
            ),
            TypeError,
            "cross must be a matrix where gram is one; got a Jacobian.",
        ),
        (
            lambda: influence(np.eye(2), np.ones(2), 0.1, weights=np.ones(2), repeats=REPEATED),
            ValueError,
            "weights must be the totals of repeats; got others.",
        ),
        (
            lambda: influence(np.eye(2), np.ones((2, 2)), 0.1, repeats=REPEATED),
            ValueError,
            "repeats must have points and targets (2, 2); got (2, 1).",
        ),
        (
            lambda: influence(np.eye(2), [1.0, np.nan], 0.1),
            ValueError,
            "r must be finite",
        ),
        (
            lambda: predictive_variance(
                np.eye(2), np.ones(2), 0.0, np.eye(2), np.ones(2), repeats=REPEATED
            ),
            ValueError,
            "damping must be positive where points stand for several observations; got 0.0.",
        ),
        (
            lambda: predictive_variance(np.eye(2), np.ones(2), 0.1, np.eye(2), np.ones(3)),
            ValueError,
            "prior must have shape (2,); got (3,).",
        ),
        (
            lambda: influence(np.eye(2), np.ones(2), 0.1, np.ones((3, 2)) * np.inf),
            ValueError,
            "cross must be finite",
        ),
    ],
)
def test_what_does_not_fit_is_refused(call, kind, message):
    with pytest.raises(kind, match="^" + re.escape(message)):
        call()


def test_a_coupled_cross_matrix_has_whole_points():
    with pytest.raises(ValueError, match=r"^cross must have a multiple of 3 rows; got 4\.$"):
        influence(np.eye(6), np.ones((2, 3)), 0.1, np.ones((4, 6)))
