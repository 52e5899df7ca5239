"""The parts of a comparison: folds, linear models and data sets that are scikit-learn's."""

from types import SimpleNamespace

import numpy as np
import pytest

from subquad._command.models import automatic, compare, folding, kinds, linear
from subquad._command.models.encoding import Encoding
from subquad._command.models.kinds import Recipe
from subquad._command.tables import Frame, bundled
from subquad._command.tables.typed import of_numbers
from subquad.io import load_model, save_model
from subquad.solvers import choose_regularization, merge_repeats

sklearn = pytest.importorskip("sklearn")
pytestmark = pytest.mark.usefixtures("own_folder")


def assert_same_folds(folds, expected):
    for pair, others in zip(folds, expected, strict=True):
        for rows, other in zip(pair, others, strict=True):
            np.testing.assert_array_equal(rows, other)


@pytest.mark.parametrize(("n", "n_folds"), [(9, 2), (10, 3), (31, 5)])
def test_folds_are_those_of_scikit_learn(n, n_folds, rng):
    from sklearn.model_selection import KFold, StratifiedKFold

    assert_same_folds(folding.plain(n, n_folds), KFold(n_folds).split(np.zeros(n)))
    shuffled = KFold(n_folds, shuffle=True, random_state=4).split(np.zeros(n))
    order = np.random.RandomState(4).permutation(n)
    assert_same_folds(folding.plain(n, n_folds, order), shuffled)
    y = rng.choice(["c", "a", "b"], 6 * n)
    stratified = StratifiedKFold(n_folds).split(y, y)
    assert_same_folds(folding.stratified(y, n_folds), stratified)


@pytest.mark.parametrize("shape", [(60, 4), (30, 45)])
def test_ridge_leaves_each_row_out_and_is_that_of_scikit_learn(shape, rng):
    from sklearn.linear_model import Ridge

    X, penalties = rng.standard_normal(shape), [0.1, 3.0]
    y = X[:, 0] + 0.3 * rng.standard_normal(len(X)) + 5.0
    errors = []
    for penalty in penalties:
        kept = ~np.eye(len(X), dtype=bool)
        fits = [Ridge(alpha=penalty).fit(X[rows], y[rows]) for rows in kept]
        pairs = enumerate(fits)
        errors.append(np.mean([(y[i] - one.predict(X[i : i + 1])[0]) ** 2 for i, one in pairs]))
    np.testing.assert_allclose(linear.leave_one_out(X, y, penalties), errors, rtol=1e-9)
    found = linear.ridge(X, y)
    expected = Ridge(alpha=found.penalty).fit(X, y)
    np.testing.assert_allclose(found.predict(X), expected.predict(X), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(found.by_scikit_learn().predict(X), found.predict(X), rtol=1e-12)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_ridge_of_classes_is_that_of_scikit_learn(n_classes, rng):
    from sklearn.linear_model import RidgeClassifierCV

    X, penalties = rng.standard_normal((40, 60)), np.logspace(0, 3, 7)
    y = rng.integers(0, n_classes, 40)
    found = linear.ridge_of_classes(X, y, penalties)
    expected = RidgeClassifierCV(alphas=penalties).fit(X, y)
    assert found.penalty == expected.alpha_
    np.testing.assert_array_equal(found.predict(X), expected.predict(X))


@pytest.mark.parametrize("n_classes", [2, 3])
def test_logistic_regression_is_that_of_scikit_learn(n_classes, rng):
    from sklearn.linear_model import LogisticRegression

    X = rng.standard_normal((150, 4))
    score = X[:, 0] + 0.7 * rng.standard_normal(150)
    y = np.array(["a", "b", "c"])[np.digitize(score, [-0.3, 0.6][: n_classes - 1])]
    found = linear.logistic(X, y, 0.5)
    expected = LogisticRegression(C=0.5, tol=1e-10, max_iter=1000).fit(X, y)
    same = found.by_scikit_learn()
    # Gradients of at most 1e-4 of a loss whose curvature the penalty keeps above 1 / 75.
    np.testing.assert_allclose(same.predict_proba(X), expected.predict_proba(X), atol=1e-2)
    np.testing.assert_array_equal(same.predict(X), found.predict(X))
    assert linear.inverse_penalty(X, y, 0) in linear.INVERSE_PENALTIES
    assert linear.inverse_penalty(X[:4], np.array([*"aabb"]), 0) == 1.0


@pytest.mark.parametrize("name", ["digits", "iris"])
def test_a_bundled_table_is_that_of_scikit_learn(name):
    from sklearn import datasets

    X, y, names = bundled.read(name)
    bunch = getattr(datasets, f"load_{name}")()
    np.testing.assert_array_equal(X, bunch.data)
    np.testing.assert_array_equal(y, bunch.target)
    assert names == list(bunch.feature_names)


@pytest.mark.parametrize("kind", ["gn", "ntk"])
@pytest.mark.parametrize("task", ["regression", "classification"])
def test_a_model_of_trusted_rows_is_the_estimator_it_stands_for(kind, task, rng):
    from subquad import estimators

    X = rng.standard_normal((50, 3))
    y = X[:, 0] * X[:, 1]
    y = y if task == "regression" else y > 0
    options = {"width": 256} if kind == "gn" else {}
    args = SimpleNamespace(seed=3, threads=1)
    model = kinds.make(kind, task, args, options).fit(X, y)
    public = getattr(estimators, model.stands_for)
    assert issubclass(public, sklearn.base.BaseEstimator)
    same = public(**model.get_params()).fit(X, y)
    assert same.get_params() == model.get_params()
    np.testing.assert_array_equal(same.predict(X), model.predict(X))
    save_model(model, "m")
    loaded = load_model("m")
    assert type(loaded) is public
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
    with pytest.raises(ValueError, match=r"X must be finite in float64; got 1 NaN"):
        model.predict(np.where(np.arange(3) == 1, np.nan, X[:1]))


def comparison(n=90):
    """What `measured` takes, of a table of so many rows."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, 2))
    frame = Frame("t", [of_numbers(str(j), column) for j, column in enumerate(X.T)])
    args = SimpleNamespace(seed=0, threads=1, scale_features=None)
    y = np.sin(2 * X[:, 0]) + 0.1 * rng.standard_normal(n)
    return Encoding.fit(frame), frame, y, folding.plain(n, 3), "regression", args


@pytest.mark.parametrize(("look", "fold"), [(0.0, 9.0), (9.0, 0.0), (9.0, 9.0)])
def test_a_network_is_given_up_where_it_is_not_ahead(monkeypatch, look, fold):
    monkeypatch.setattr(compare, "FEW_ROWS", 50)
    monkeypatch.setattr(compare, "ROWS_OF_A_LOOK", 40)
    data = comparison()
    y, recipe = data[2], Recipe("gn", options={"width": 128})
    rival = SimpleNamespace(predicted=y + fold, look=SimpleNamespace(error=look))
    found = compare.measured(recipe, *data, {}, [rival])
    expected = {(0.0, 9.0): (50, "after a fit to 40 rows"), (9.0, 0.0): (30, "after 1 of 3 folds")}
    n, how = expected.get((look, fold), (90, ""))
    assert (len(found.predicted), len(found.rows), found.given_up) == (n, n, how)
    assert found.error == pytest.approx(np.sqrt(np.mean((found.predicted - y[found.rows]) ** 2)))
    assert found.recipe == recipe


def test_a_model_that_was_given_up_is_not_chosen():
    found = [SimpleNamespace(error=2.0, given_up=""), SimpleNamespace(error=1.0, given_up="so")]
    assert automatic.Outcome(found).best is found[0]


def test_folds_of_many_rows_share_what_the_first_one_chose(monkeypatch):
    data = comparison()
    chosen = []
    fit = kinds.quietly_fitted
    monkeypatch.setattr(
        kinds, "quietly_fitted", lambda recipe, *rest: chosen.append(recipe) or fit(recipe, *rest)
    )
    found = compare.measured(Recipe("ntk"), *data, {})
    assert chosen == 3 * [Recipe("ntk")]
    monkeypatch.setattr(compare, "FEW_ROWS", 50)
    chosen.clear()
    shared = compare.measured(Recipe("ntk"), *data, {})
    some, first, *others = [{*recipe.options} for recipe in chosen]
    assert (some, first) == (set(), {"depth", "constant"})
    assert others == 2 * [{"depth", "constant", "regularization"}]
    assert chosen[2].options["regularization"] == shared.model.estimator.regularization_
    assert shared.error < 2 * found.error
    chosen.clear()
    compare.measured(Recipe("ntk"), *data)  # as for --cv
    assert chosen == 3 * [Recipe("ntk")]


def test_a_single_candidate_has_the_error_that_it_has_among_others(rng):
    A = rng.standard_normal((20, 6))
    places, T = np.append(np.arange(20), [3, 3]), rng.standard_normal((22, 2))
    means, totals, repeats = merge_repeats(places, T, np.ones(22))
    for data in [(T[:20], rng.uniform(0.5, 2, 20), None), (means, totals, repeats)]:
        R, weights, seen = data
        curve = choose_regularization([A @ A.T], R, weights, repeats=seen)[2]
        for mu, error in curve[::6]:
            ratio = mu / curve[0, 0] * 1e-8
            one = choose_regularization([A @ A.T], R, weights, [ratio], repeats=seen)
            np.testing.assert_allclose(one[:2], (mu, error), rtol=1e-6)
