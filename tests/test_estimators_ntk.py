"""NTKRegressor and NTKClassifier: scikit-learn's checks, what is chosen, how well they predict."""

import pickle

import numpy as np
import pytest

pytest.importorskip("sklearn")

from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_digits
from sklearn.linear_model import RidgeCV
from sklearn.utils.estimator_checks import parametrize_with_checks

from subquad.activations import ShiftedReLU
from subquad.estimators import NTKClassifier, NTKRegressor
from subquad.estimators._feature_scales import _cost
from subquad.io import load_model, save_model
from subquad.ntk import ntk, predict
from subquad.training import TrainingWarning

N = 60
X = np.random.default_rng(0).standard_normal((N, 3))
Y = X[:, 0] * X[:, 1]
LABELS = np.array(["low", "mid", "high"])[np.digitize(Y, [-0.3, 0.3])]


@pytest.fixture(params=[NTKRegressor, NTKClassifier])
def new(request):
    """A class of estimators."""
    return request.param


def targets(new):
    return LABELS if new is NTKClassifier else Y


@pytest.mark.filterwarnings("ignore::subquad.training.TrainingWarning")
@parametrize_with_checks([NTKRegressor(depth=1), NTKClassifier(depth=(1, 2))])
def test_scikit_learn_conformance(estimator, check):
    check(estimator)


def test_the_fit_is_kernel_ridge_regression_by_its_definition():
    model = NTKRegressor(depth=2, shift=0.5, regularization=0.3, constant=1.5).fit(X, Y)
    scaled = np.c_[(X - X.mean(0)) / X.std(0), np.full(N, 1.5)]
    scaled /= np.linalg.norm(scaled, axis=1, keepdims=True)
    mean, _ = predict(scaled, Y - Y.mean(), scaled[:7], 2, ShiftedReLU(0.5), regularization=0.3)
    np.testing.assert_allclose(model.predict(X[:7]), mean + Y.mean(), rtol=1e-9)


def test_leave_one_out_error_is_that_of_fits_without_each_row():
    few, y = X[:20], Y[:20]
    options = {"depth": 1, "regularization": 0.1, "scale_features": False, "constant": 1.0}
    model = NTKRegressor(**options).fit(few, y)
    T = (y - y.mean())[np.lexsort(few.T[::-1])]  # rows are merged, and so sorted
    errors = []
    for i in range(20):
        kept = np.delete(np.arange(20), i)
        rows = model.rows_[kept], model.rows_[i : i + 1]
        mean, _ = predict(rows[0], T[kept], rows[1], regularization=0.1)
        errors.append(mean[0] - T[i])
    assert model.loo_error_ == pytest.approx(np.mean(np.square(errors)) / y.var(), rel=1e-8)


def test_leave_one_out_error_is_that_of_fits_without_each_observation_of_repeated_rows():
    points = np.r_[np.arange(8), np.random.default_rng(4).integers(0, 8, 16)]
    few = X[np.lexsort(X[:8].T[::-1])][points]  # in the order that merging gives them
    y = Y[points] + np.random.default_rng(5).standard_normal(24)
    options = {"depth": 1, "regularization": 0.1, "scale_features": False, "constant": 1.0}
    model = NTKRegressor(**options).fit(few, y)
    T, errors = (y - y.mean()) / y.std(), []
    K = ntk(model.rows_)
    for i in range(24):
        p = np.delete(points, i)
        alpha = np.linalg.solve(K[np.ix_(p, p)] + 0.1 * np.eye(23), np.delete(T, i))
        errors.append(K[points[i], p] @ alpha - T[i])
    assert model.loo_error_ == pytest.approx(np.mean(np.square(errors)), rel=1e-8)


def test_a_table_of_few_distinct_rows_is_predicted_by_its_means():
    one_hot = np.repeat(np.eye(4), 25, axis=0)
    means = np.array([1.0, 4.0, 2.0, 8.0])
    exact = NTKRegressor().fit(one_hot, np.repeat(means, 25))
    np.testing.assert_allclose(exact.predict(np.eye(4)), means, rtol=1e-3)
    noise = np.random.default_rng(0).standard_normal(100)
    noisy = NTKRegressor().fit(one_hot, np.repeat(means, 25) + noise)
    np.testing.assert_allclose(noisy.predict(np.eye(4)), means, atol=0.6)  # 3 / sqrt(25)
    assert noisy.loo_error_ < 0.2  # of the variance, of which the noise is .13


def test_a_feature_of_two_values_tells_two_classes_apart():
    column = np.arange(60)[:, None] % 2
    flipped = np.where(np.arange(60) < 8, 1 - column[:, 0], column[:, 0])
    for labels in (column[:, 0], flipped):
        for options in ({}, {"scale_features": False, "constant": 1.0}):
            assert NTKClassifier(**options).fit(column, labels).predict([[0], [1]]).tolist() == [
                0,
                1,
            ]


def test_repeated_rows_beyond_those_the_choice_is_made_on_are_fitted_too(monkeypatch):
    monkeypatch.setattr("subquad.estimators._ntk._ROWS_FOR_CHOICE", 30)
    model = NTKRegressor(depth=1).fit(np.vstack([X, X]), np.append(Y, Y))
    assert len(model.dual_coef_) == N
    assert model.score(X, Y) > 0.9


def test_the_candidate_of_least_leave_one_out_error_is_chosen(new):
    y = targets(new)
    chosen = new(depth=(1, 4), shift=(0.0, 1.0), constant="loo").fit(X, y)
    each = [
        new(depth=depth, shift=shift, constant=constant).fit(X, y)
        for depth in (1, 4)
        for shift in (0.0, 1.0)
        for constant in (1.0, 2.0)
    ]
    best = min(each, key=lambda model: model.loo_error_)
    assert (chosen.depth_, chosen.shift_) == (best.depth_, best.shift_)
    assert chosen.loo_error_ == pytest.approx(best.loo_error_, rel=1e-9)


@pytest.mark.parametrize("regularization", ["loo", 0.01])
def test_a_weight_of_k_is_a_row_given_k_times(new, regularization):
    counts = np.random.default_rng(1).integers(0, 4, N)
    y, model = targets(new), new(depth=(1, 2), regularization=regularization)
    weighted = clone(model).fit(X, y, sample_weight=counts)
    repeated = clone(model).fit(np.repeat(X, counts, axis=0), np.repeat(y, counts))
    assert weighted.regularization_ == pytest.approx(repeated.regularization_, rel=1e-9)
    assert weighted.loo_error_ == pytest.approx(repeated.loo_error_, rel=1e-6)
    np.testing.assert_allclose(weighted._outputs(X), repeated._outputs(X), rtol=1e-6, atol=1e-9)


def test_several_targets_are_fitted_as_each_alone():
    two = np.c_[Y, X[:, 2] ** 2]
    options = {"depth": 2, "regularization": 0.01, "constant": 1.0}
    model = NTKRegressor(**options).fit(X, two)
    for c in range(2):
        alone = NTKRegressor(**options).fit(X, two[:, c])
        np.testing.assert_allclose(model.predict(X)[:, c], alone.predict(X), rtol=1e-9)


def test_number_of_threads_does_not_change_a_bit(new, n_threads):
    one, more = (new(n_threads=k).fit(X, targets(new)) for k in (1, n_threads))
    np.testing.assert_array_equal(more._outputs(X), one._outputs(X))


def test_float32_kernels_predict_nearly_the_same(new):
    options = {"depth": 1, "regularization": 1e-2, "constant": 1.0}
    single, double = (
        new(dtype=dtype, **options).fit(X, targets(new)) for dtype in ("float32", "float64")
    )
    assert single.rows_.dtype == np.float32
    np.testing.assert_allclose(single._outputs(X), double._outputs(X), atol=1e-3)


def test_pickled_models_predict_the_same_bit_for_bit(new):
    model = new().fit(X, targets(new))
    copy = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(copy._outputs(X), model._outputs(X))


def test_rows_beyond_those_the_choice_is_made_on_are_fitted_too(new, monkeypatch):
    monkeypatch.setattr("subquad.estimators._ntk._ROWS_FOR_CHOICE", 30)
    model = new(depth=(1, 2)).fit(X, targets(new))
    assert len(model.dual_coef_) == N
    assert model.score(X, targets(new)) > 0.9


def test_repeated_rows_leave_the_kernel_regular_and_interpolation_is_exact():
    model = NTKRegressor(depth=1, regularization=0.0, constant=1.0)
    model.fit(np.vstack([X, X]), np.append(Y, Y))
    np.testing.assert_allclose(model.predict(X), Y, atol=1e-9)


def test_rows_on_one_ray_warn_that_the_kernel_is_singular():
    rays = np.vstack([X, 2 * X])
    model = NTKRegressor(depth=1, regularization=0.0, scale_features=False, constant=0.0)
    with pytest.warns(TrainingWarning, match="regularization must be larger"):
        model.fit(rays, np.append(Y, Y))
    np.testing.assert_allclose(model.predict(X), Y, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"depth": 0}, ValueError, "depth must be at least 1; got 0"),
        ({"depth": ()}, ValueError, "depth must have at least 1 candidate"),
        ({"shift": -1.0}, ValueError, "shift must be at least 0"),
        ({"regularization": -1.0}, ValueError, "regularization must be at least 0"),
        ({"regularization": "cv"}, TypeError, "regularization must be a real number"),
        ({"constant": -1.0}, ValueError, "constant must be at least 0"),
        ({"scale_features": "ard"}, ValueError, "scale_features must be True, False or"),
        ({"dtype": "float16"}, TypeError, "dtype must be float32 or float64"),
    ],
)
def test_parameters_out_of_range_are_refused_by_name(new, options, error, message):
    with pytest.raises(error, match=message):
        new(**options).fit(X, targets(new))


def test_a_kernel_that_does_not_fit_is_refused_before_it_is_made(new, monkeypatch):
    monkeypatch.setattr("subquad._validation.available_memory", lambda: 10_000)
    with pytest.raises(MemoryError, match="The kernel of 60 rows and its factor must fit"):
        new().fit(X, targets(new))


@pytest.mark.parametrize(("shift", "depth"), [(0.0, 2), (0.7, 1)])
def test_gradient_of_the_marginal_likelihood_is_its_derivative(shift, depth):
    rng = np.random.default_rng(2)
    rows, T = np.c_[X[:25], np.ones(25)], rng.standard_normal((25, 2))
    data = rows, T, rng.uniform(0.5, 2.0, 25), depth, ShiftedReLU(shift), 1
    at = np.array([0.1, -0.3, 0.2, -2.0])
    _, gradient = _cost(at, *data)
    for step, slope in zip(1e-5 * np.eye(4), gradient, strict=True):
        difference = (_cost(at + step, *data)[0] - _cost(at - step, *data)[0]) / 2e-5
        assert slope == pytest.approx(difference, rel=1e-6, abs=1e-7)


def test_marginal_likelihood_finds_which_features_matter():
    rng = np.random.default_rng(3)
    features = rng.standard_normal((200, 6))
    y = np.sin(2 * features[:, 0]) + features[:, 1] ** 2
    train, test = slice(0, 120), slice(120, None)
    plain = NTKRegressor(depth=1, scale_features=True).fit(features[train], y[train])
    scaled = clone(plain).set_params(scale_features="marginal_likelihood")
    scaled.fit(features[train], y[train])
    assert scaled.feature_scales_[:2].max() < 0.2 * scaled.feature_scales_[2:].min()
    scores = [model.score(features[test], y[test]) for model in (scaled, plain)]
    assert scores[0] > 0.95 > scores[1]
    default = NTKRegressor(depth=1).fit(features[train], y[train])
    assert default.learned_scales_
    np.testing.assert_array_equal(default.predict(features), scaled.predict(features))


def test_scales_that_do_not_pay_are_not_learned():
    rng = np.random.default_rng(1)
    features = rng.standard_normal((120, 20))
    y = features[:, 0] + 2 * rng.standard_normal(120)
    default, plain = (NTKRegressor(scale_features=s).fit(features, y) for s in ("auto", True))
    assert not default.learned_scales_
    np.testing.assert_array_equal(default.predict(features), plain.predict(features))


@pytest.mark.parametrize(
    "options", [{"constant": 1.0}, {"regularization": 0.1}, {"scale_features": True}]
)
def test_no_scales_are_learned_where_others_are_given(options):
    assert NTKRegressor(depth=1).fit(X, Y).learned_scales_
    assert not NTKRegressor(depth=1, **options).fit(X, Y).learned_scales_


def test_no_scales_are_learned_of_few_rows_or_features_of_one_unit_or_for_labels():
    wide = np.random.default_rng(2).standard_normal((30, 20))
    assert not NTKRegressor(depth=1).fit(wide, wide[:, 0]).learned_scales_
    pixels = np.random.default_rng(3).integers(0, 17, (60, 16))
    assert not NTKRegressor(depth=1).fit(pixels, pixels[:, 0]).learned_scales_
    assert not NTKClassifier(depth=1).fit(X, LABELS).learned_scales_


def test_digits_are_recognised():
    images, labels = load_digits(return_X_y=True)
    model = NTKClassifier().fit(images[:800], labels[:800])
    assert model.score(images[800:], labels[800:]) >= 0.96  # measured 0.971, of 997


def test_diabetes_is_predicted_better_than_by_the_mean_and_as_well_as_by_ridge():
    features, y = load_diabetes(return_X_y=True)
    train = np.random.default_rng(0).permutation(len(y))
    train, test = train[:300], train[300:]
    ours = NTKRegressor(depth=1).fit(features[train], y[train]).score(features[test], y[test])
    ridge = RidgeCV(np.logspace(-3, 3, 13)).fit(features[train], y[train])
    assert ours > ridge.score(features[test], y[test]) - 0.05


def table(n, seed=0):
    rows = np.random.default_rng(seed).standard_normal((n, 3))
    return rows, np.column_stack([np.sin(rows[:, 0]) + rows[:, 1], rows[:, 1] * rows[:, 2]])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("landmarks", ["uniform", "pivoted"])
def test_landmarks_predict_as_least_squares_in_their_span(dtype, landmarks):
    rows, y = table(300)
    options = {"depth": 2, "constant": 1.0, "dtype": dtype, "regularization": 0.1}
    model = NTKRegressor(solver="nystrom", n_landmarks=50, landmarks=landmarks, **options)
    model.fit(rows, y)
    Z, R = model.rows_.astype(float), model._scaling.rows(rows)
    K = ntk(R, Z, 2)
    mean, spread = y.mean(0), y.std(0)
    beta = np.linalg.solve(K.T @ K + 0.1 * ntk(Z, depth=2), K.T @ ((y - mean) / spread))
    tolerance = 1e-8 if dtype == "float64" else 1e-3
    np.testing.assert_allclose(
        model.predict(rows), (K @ beta) * spread + mean, atol=tolerance * np.abs(y).max()
    )
    assert model.rows_.shape == (50, 4)
    assert model.dual_coef_.shape == (50, 2)
    assert (model.solver_, 0 < model.missed_trace_ < 1) == ("nystrom", True)
    assert model.solver_report_.startswith("Solved with 50 landmarks of 300 rows, which miss 0.")


def test_all_rows_as_landmarks_are_the_exact_fit():
    rows, y = table(200)
    exact = NTKRegressor(depth=1, constant=1.0).fit(rows, y)
    model = NTKRegressor(depth=1, constant=1.0, solver="nystrom").fit(rows, y)
    assert len(model.rows_) == 200
    assert model.regularization_ == pytest.approx(exact.regularization_, rel=1e-9)
    assert model.loo_error_ == pytest.approx(exact.loo_error_, rel=1e-6)
    np.testing.assert_allclose(model.predict(rows), exact.predict(rows), atol=1e-6)


def test_iterations_predict_as_the_exact_fit():
    rows, y = table(300)
    weights = np.random.default_rng(1).uniform(0.5, 2, 300)
    options = {"depth": 1, "constant": 1.0, "regularization": 0.01}
    exact = NTKRegressor(solver="exact", **options).fit(rows, y, weights)
    model = NTKRegressor(solver="pcg", **options).fit(rows, y, weights)
    np.testing.assert_allclose(model.predict(rows), exact.predict(rows), atol=1e-3)
    _, deviations = model.predict(rows[:5], return_std=True)
    _, expected = exact.predict(rows[:5], return_std=True)
    np.testing.assert_allclose(deviations, expected, rtol=1e-6)
    assert model.loo_error_ == pytest.approx(exact.loo_error_, rel=1e-6)  # of all 300 rows
    assert "iterations of conjugate gradients" in model.solver_report_


def test_the_number_of_distinct_rows_decides_the_solver(monkeypatch):
    monkeypatch.setattr("subquad.estimators._many_rows.EXACT_ROWS", 50)
    monkeypatch.setattr("subquad.estimators._many_rows.ITERATED_ROWS", 100)
    rows, y = table(150)
    for n, solver in ((50, "exact"), (51, "pcg"), (100, "pcg"), (101, "nystrom")):
        model = NTKRegressor(depth=1, n_landmarks=20).fit(rows[:n], y[:n])
        assert model.solver_ == solver
    twice = np.concatenate([rows[:50], rows[:50]])
    assert NTKRegressor(depth=1).fit(twice, twice[:, 0]).solver_ == "exact"


def test_repeated_rows_and_counts_are_one_fit_by_landmarks():
    rows, y = table(120)
    some = np.arange(0, 120, 3)
    counts = np.ones(120)
    counts[some] = 2
    options = {"depth": 1, "constant": 1.0, "solver": "nystrom", "n_landmarks": 30}
    counted = NTKRegressor(**options).fit(rows, y, counts)
    given = NTKRegressor(**options).fit(
        np.concatenate([rows, rows[some]]), np.concatenate([y, y[some]])
    )
    assert given.loo_error_ == pytest.approx(counted.loo_error_, rel=1e-9)
    np.testing.assert_allclose(given.predict(rows), counted.predict(rows), atol=1e-9)


def test_a_classifier_by_landmarks_tells_classes_and_is_saved_bit_for_bit(tmp_path):
    rows, y = table(300)
    labels = np.array(["low", "mid", "high"])[np.digitize(y[:, 0], [-0.5, 0.5])]
    model = NTKClassifier(solver="nystrom", n_landmarks=60).fit(rows, labels)
    assert model.score(rows, labels) > 0.9
    save_model(model, tmp_path / "m")
    again = load_model(tmp_path / "m")
    np.testing.assert_array_equal(again.decision_function(rows), model.decision_function(rows))
    assert again.solver_report_ == model.solver_report_
    copy = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(copy.decision_function(rows), model.decision_function(rows))


def test_n_threads_changes_no_bit_of_a_fit_by_landmarks_or_iterations():
    rows, y = table(700)
    for solver, count in (("nystrom", {"n_landmarks": 40}), ("pcg", {})):
        fits = [
            NTKRegressor(depth=1, solver=solver, n_threads=n, **count).fit(rows, y) for n in (1, 2)
        ]
        np.testing.assert_array_equal(fits[0].dual_coef_, fits[1].dual_coef_)


@pytest.mark.parametrize("ask", ["predict", "influence"])
def test_landmarks_alone_tell_neither_deviations_nor_influence(ask):
    rows, y = table(100)
    model = NTKRegressor(depth=1).fit(rows, y)  # whose observations are given up
    model.set_params(solver="nystrom", n_landmarks=20).fit(rows, y)
    with pytest.raises(ValueError, match="solver must be 'exact' or 'pcg' for deviations and"):
        model.predict(rows, return_std=True) if ask == "predict" else model.influence(rows)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"solver": "fast"}, "solver must be 'auto', 'exact', 'pcg' or 'nystrom'; got 'fast'"),
        ({"n_landmarks": 0}, "n_landmarks must be at least 1; got 0"),
        ({"n_landmarks": N + 1}, f"n_landmarks must be at most {N}, .*; got {N + 1}"),
        ({"solver": "exact", "n_landmarks": 5}, "n_landmarks must be None for solver='exact'; got"),
        ({"landmarks": "best"}, "landmarks must be 'uniform' or 'pivoted'; got 'best'"),
    ],
)
def test_landmarks_that_cannot_be_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        NTKRegressor(**{"solver": "nystrom", "depth": 1, **options}).fit(X, Y)
