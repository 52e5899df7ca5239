"""FactoredRegressor and FactoredClassifier: scikit-learn's checks, and how well they predict."""

import pickle
import warnings

import numpy as np
import pytest

pytest.importorskip("sklearn")

from sklearn.datasets import load_diabetes, load_digits
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import train_test_split
from sklearn.utils.estimator_checks import parametrize_with_checks

from subquad.estimators import FactoredClassifier, FactoredRegressor
from subquad.networks import FactoredNetwork
from subquad.training import TrainingWarning

N = 40
X = np.random.default_rng(0).standard_normal((N, 3))
Y = X[:, 0] * X[:, 1]
LABELS = np.array(["low", "mid", "high"])[np.digitize(Y, [-0.3, 0.3])]
SMALL = {"width": 256, "outer_size": 32, "random_state": 0}


def regressor(**options):
    return FactoredRegressor(**{**SMALL, **options})


def classifier(**options):
    return FactoredClassifier(**{**SMALL, **options})


@pytest.fixture(params=[regressor, classifier], ids=["regressor", "classifier"])
def new(request):
    """A function that makes an estimator."""
    return request.param


def target(new):
    return LABELS if new is classifier else Y


# Some checks fit noise as labels, which 20 steps do not settle.
@pytest.mark.filterwarnings("ignore::subquad.training.TrainingWarning")
@parametrize_with_checks(
    [FactoredRegressor(width=256, outer_size=32), FactoredClassifier(width=256, outer_size=None)]
)
def test_scikit_learn_conformance(estimator, check):
    check(estimator)


def test_pickled_models_predict_the_same_bit_for_bit(new):
    model = new().fit(X, target(new))
    copy = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(copy._outputs(X), model._outputs(X))


def test_number_of_threads_does_not_change_a_bit(new, n_threads):
    one, more = (new(n_threads=k).fit(X, target(new)) for k in (1, n_threads))
    np.testing.assert_array_equal(more._outputs(X), one._outputs(X))


@pytest.mark.parametrize("regularization", ["loo", 0.01])
def test_a_weight_of_k_is_a_row_given_k_times(new, regularization):
    weights = np.random.default_rng(1).integers(0, 4, N)
    rows, y = np.repeat(X, weights, axis=0), np.repeat(target(new), weights)
    weighted, repeated = new(regularization=regularization), new(regularization=regularization)
    weighted.fit(X, target(new), sample_weight=weights)
    repeated.fit(rows, y)
    np.testing.assert_allclose(weighted._outputs(X), repeated._outputs(X), atol=1e-9)


@pytest.mark.parametrize("outer_size", [None, 32])
@pytest.mark.parametrize("sketch", ["srht", "gaussian"])
def test_every_kind_of_factors_fits(new, outer_size, sketch):
    y = target(new)
    assert quietly(new(outer_size=outer_size, sketch=sketch), X, y).score(X, y) > 0.8


def test_without_regularization_it_interpolates():
    model = regressor(regularization=0.0, tol=1e-8).fit(X, Y)
    np.testing.assert_allclose(model.predict(X), Y, atol=1e-6)
    assert model.loo_error_ is None
    assert model.regularization_ == 0


def test_several_targets_have_weights_of_their_own():
    T = np.column_stack([Y, X[:, 2], 3 * Y + 1])
    model = regressor(constant=1.0).fit(X, T)
    assert model.predict(X).shape == (N, 3)
    assert model.weights_.shape == (3, 32, 4)
    np.testing.assert_allclose(model.predict(X)[:, 2], 3 * model.predict(X)[:, 0] + 1, atol=1e-8)
    assert [len(history) > 0 for history in model.histories_] == [True] * 3


def test_one_column_of_targets_stays_a_column():
    assert regressor().fit(X, Y[:, None]).predict(X).shape == (N, 1)


def test_two_classes_share_one_output_and_its_sign_decides():
    model = classifier().fit(X, Y > 0)
    scores = model.decision_function(X)
    assert scores.shape == (N,)
    np.testing.assert_array_equal(model.predict(X), scores > 0)
    assert len(model.weights_) == 1


@pytest.mark.parametrize("unit", [1e-8, 1e8])
def test_units_of_features_and_targets_do_not_matter(unit):
    plain = regressor().fit(X, Y).predict(X)
    scaled = regressor().fit(unit * X, unit * Y + unit).predict(unit * X)
    np.testing.assert_allclose(scaled / unit - 1, plain, atol=1e-6)


def test_loo_error_is_that_of_refits_of_the_linearised_model_without_each_row():
    model = regressor(regularization=0.01, constant=1.0).fit(X, Y)
    rows = model._rows(X)
    J = model.network_.jacobian(rows)
    flat = np.einsum("ik,il->ikl", J.U, J.V).reshape(N, -1)
    y = (Y - Y.mean()) / model._scaling.target_scale
    errors = []
    for i in range(N):
        kept = np.arange(N) != i
        K = flat[kept] @ flat[kept].T + 0.01 * np.eye(N - 1)
        errors.append(y[i] - flat[i] @ flat[kept].T @ np.linalg.solve(K, y[kept]))
    assert model.loo_error_ == pytest.approx(np.mean(np.square(errors)) / 0.01, rel=1e-6)


@pytest.mark.parametrize("regularization", ["loo", 1e-4])
def test_a_table_of_few_distinct_rows_is_predicted_by_its_means(regularization):
    means = np.array([1.0, 4.0, 2.0, 8.0])
    noise = np.random.default_rng(0).standard_normal(100)
    model = quietly(
        regressor(regularization=regularization),
        np.repeat(np.eye(4), 25, axis=0),
        np.repeat(means, 25) + noise,
    )
    np.testing.assert_allclose(model.predict(np.eye(4)), means, atol=0.6)  # 3 / sqrt(25)
    assert model.loo_error_ < 0.2  # of the variance, of which the noise is .13


def test_the_constant_has_the_least_leave_one_out_error():
    errors = [regressor(constant=c).fit(X, Y + 1).loo_error_ for c in (1.0, 2.0)]
    assert regressor().fit(X, Y + 1).loo_error_ == min(errors)


def test_features_are_padded_to_a_power_of_two_and_kept_whole():
    model = regressor().fit(X, Y)
    assert isinstance(model.network_, FactoredNetwork)
    assert (model.network_.n_features, model.network_.inner_size) == (4, 4)
    rows = model._rows(X)
    V = model.network_.features(rows)
    np.testing.assert_allclose(V @ V.T, rows @ rows.T, atol=1e-12)


def test_callback_gets_the_record_of_every_step(capsys):
    records = []
    model = classifier(callback=records.append, verbose=1).fit(X, LABELS)
    assert records == [record for history in model.histories_ for record in history]
    assert capsys.readouterr().out.count("relative residual") == len(records)


def test_an_interrupted_fit_keeps_what_it_has_reached():
    def interrupt(record):
        seen.append(record)
        if len(seen) == 3:
            raise KeyboardInterrupt

    seen = []
    model = classifier(callback=interrupt)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, LABELS)
    assert model.decision_function(X).shape == (N, 3)
    assert sum(len(history) for history in model.histories_) == 3


def test_an_interruption_before_the_first_step_leaves_no_model(monkeypatch):
    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    model = regressor().fit(X, Y)
    monkeypatch.setattr(FactoredNetwork, "jacobian", interrupt)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, -Y)
    with pytest.raises(NotFittedError):
        model.predict(X)


def test_a_constant_target_is_named_and_predicted():
    with pytest.warns(TrainingWarning, match="constant target"):
        model = regressor(regularization=0.1).fit(X, np.full(N, 3.0))
    np.testing.assert_allclose(model.predict(X), 3.0)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"inner_size": 5}, ValueError, "inner_size must be at most 4; got 5"),
        ({"inner_size": 0}, ValueError, "inner_size must be at least 1"),
        ({"outer_size": 257}, ValueError, "outer_size must be at most width=256"),
        ({"sketch": "count"}, ValueError, "sketch must be 'srht', 'gaussian' or 'fjlt'"),
        ({"shift": -1.0}, ValueError, "shift must be at least 0"),
        ({"shift": 5.0}, ValueError, "width must let more neurons fire"),
        ({"regularization": "cv"}, ValueError, "regularization must be 'loo' or a number"),
        ({"regularization": -1.0}, ValueError, "regularization must be at least 0"),
        ({"constant": -1.0}, ValueError, "constant must be at least 0"),
        ({"dtype": "int"}, ValueError, "dtype must be 'float64' or 'float32'"),
        ({"callback": 1}, TypeError, "callback must be callable"),
        ({"max_steps": 0.5}, TypeError, "max_steps must be an integer"),
    ],
)
def test_bad_parameters_are_refused(new, options, error, message):
    with pytest.raises(error, match=message):
        new(**options).fit(X, target(new))


def test_a_single_class_is_refused():
    with pytest.raises(ValueError, match="y must have at least 2 classes; got the one class 'a'"):
        classifier().fit(X, ["a"] * N)


def quietly(model, X, y):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TrainingWarning)
        return model.fit(X, y)


def test_diabetes_is_predicted_nearly_as_well_as_by_ridge():
    rows, y = load_diabetes(return_X_y=True)
    scores = []
    for seed in range(3):
        a, b, ya, yb = train_test_split(rows, y, test_size=142, random_state=seed)
        ridge = RidgeCV(np.logspace(-6, 3, 30)).fit(a, ya)
        ours = quietly(FactoredRegressor(random_state=0), a, ya)
        scores.append((ours.score(b, yb), ridge.score(b, yb)))
    ours, ridge = np.mean(scores, axis=0)
    # Seen over eight splits: .458 and .472, the linear model being the better one here; of single
    # splits -.06 to +.01.
    assert ours > ridge - 0.05
    assert ours > 0.4


def test_digits_are_classified_from_500_examples():
    rows, y = load_digits(return_X_y=True)
    a, b, ya, yb = train_test_split(rows, y, train_size=500, random_state=0)
    model = quietly(FactoredClassifier(width=2048, random_state=0), a, ya)
    assert model.score(b, yb) > 0.96
