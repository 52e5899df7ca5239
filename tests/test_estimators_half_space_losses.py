"""Losses of the half-space estimators: scikit-learn's checks, probabilities, outliers."""

import pickle
import re

import numpy as np
import pytest

pytest.importorskip("sklearn")

from scipy.special import expit
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.ensemble import VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from subquad.estimators import HalfSpaceSGDClassifier, HalfSpaceSGDRegressor, Scaling
from subquad.training import HuberLoss, LogisticLoss

N = 200
X = np.random.default_rng(0).standard_normal((N, 3))
Y = X[:, 0] * X[:, 1]
LABELS = np.array(["low", "mid", "high"])[np.digitize(Y, [-0.3, 0.3])]


def regressor(**options):
    return HalfSpaceSGDRegressor(**{"width": 512, "random_state": 0, "n_epochs": 10, **options})


def classifier(**options):
    return HalfSpaceSGDClassifier(**{"width": 512, "random_state": 0, "n_epochs": 10, **options})


# The checks with a single constant target are right to be warned of.
@pytest.mark.filterwarnings("ignore::subquad.training.TrainingWarning")
@parametrize_with_checks(
    [
        HalfSpaceSGDRegressor(loss="huber", width=512, n_epochs=20),
        HalfSpaceSGDRegressor(loss="absolute", width=512, n_epochs=20, average=True),
        HalfSpaceSGDClassifier(loss="logistic", width=512, n_epochs=10),
        HalfSpaceSGDClassifier(loss="hinge", width=512, n_epochs=10),
    ]
)
def test_scikit_learn_conformance(estimator, check):
    check(estimator)


@pytest.mark.parametrize("loss", ["squared", "logistic", "hinge"])
def test_products_of_features_are_classified(loss):
    model = classifier(width=2048, n_epochs=60, loss=loss, average=True).fit(X, LABELS)
    assert model.score(X, LABELS) > 0.9  # .94 to .97
    assert model.trainer_.loss.name == loss


@pytest.mark.parametrize("loss", ["squared", "huber", "absolute"])
def test_products_of_features_are_fitted(loss):
    model = regressor(width=2048, n_epochs=60, loss=loss, average=True).fit(X, Y)
    assert model.score(X, Y) > 0.9
    assert model.trainer_.loss.name == loss


def test_the_defaults_are_the_squared_loss():
    assert HalfSpaceSGDRegressor().loss == HalfSpaceSGDClassifier().loss == "squared"
    for new, y in ((regressor, Y), (classifier, LABELS)):
        plain, named = new().fit(X, y), new(loss="squared").fit(X, y)
        np.testing.assert_array_equal(plain._outputs(X), named._outputs(X))


def test_outliers_move_robust_losses_little():
    rng = np.random.default_rng(1)
    damaged = Y.copy()
    damaged[rng.choice(N, N // 20, replace=False)] += 1000.0
    error = {
        loss: np.median(np.abs(regressor(loss=loss, average=True).fit(X, damaged).predict(X) - Y))
        for loss in ("squared", "huber", "absolute")
    }
    assert error["huber"] < 0.5 < 20 < error["squared"]  # .14 and 52
    assert error["absolute"] < 0.5  # .10


def test_robust_losses_scale_targets_by_medians():
    for loss in ("huber", "absolute", HuberLoss(0.5)):
        scaling = regressor(loss=loss, n_epochs=1).fit(X, Y)._scaling
        median = np.median(Y)
        assert scaling.target_mean == pytest.approx(median, rel=1e-12)
        distance = 1.4826022185056018 * np.median(np.abs(Y - median))
        assert scaling.target_scale == pytest.approx(distance, rel=1e-12)
    mostly_zero = np.where(np.arange(N) < 50, Y, 0.0)
    scaling = regressor(loss="huber", n_epochs=1).fit(X, mostly_zero)._scaling
    assert scaling.target_scale == pytest.approx(mostly_zero.std(), rel=1e-12)
    T = 1e308 * np.sign(Y)[:, None]
    huge = Scaling.fit(X, T, np.ones(N), True).with_robust_targets(T)
    assert np.isfinite([huge.target_mean, huge.target_scale]).all()


def test_units_of_the_targets_do_not_matter():
    plain = regressor(loss="huber").fit(X, Y).predict(X)
    scaled = regressor(loss="huber").fit(X, 2.0**20 * Y).predict(X)
    np.testing.assert_allclose(scaled, 2.0**20 * plain, rtol=1e-6, atol=1e-3)


def test_several_targets_are_fitted_together():
    targets = np.column_stack([Y, 100 + 1e3 * X[:, 2]])
    model = regressor(width=2048, n_epochs=60, loss="huber").fit(X, targets)
    assert model.predict(X).shape == targets.shape
    assert model.score(X, targets) > 0.9


def test_probabilities_of_two_classes_are_those_of_the_log_odds():
    for loss in ("logistic", LogisticLoss()):
        model = classifier(loss=loss).fit(X, Y > 0)
        proba = model.predict_proba(X)
        np.testing.assert_allclose(proba[:, 1], expit(model.decision_function(X)), rtol=1e-15)
        np.testing.assert_allclose(proba.sum(axis=1), 1.0, rtol=0, atol=1e-15)
        np.testing.assert_array_equal(model.classes_[proba.argmax(axis=1)], model.predict(X))


def test_probabilities_of_more_classes_are_those_of_each_against_the_rest():
    model = classifier(loss="logistic").fit(X, LABELS)
    proba, own = model.predict_proba(X), expit(model.decision_function(X))
    np.testing.assert_allclose(proba, own / own.sum(axis=1, keepdims=True), rtol=1e-12)
    np.testing.assert_array_equal(model.classes_[proba.argmax(axis=1)], model.predict(X))


def test_probabilities_exist_where_all_classes_are_far_from_likely(monkeypatch):
    model = classifier(loss="logistic").fit(X, LABELS)
    outputs = np.array([[-2000.0, -2001.0, -3000.0], [800.0, 900.0, -900.0]])
    monkeypatch.setattr(model, "_outputs", lambda X: outputs)
    odds = np.exp(-1.0)
    expected = [[1 / (1 + odds), odds / (1 + odds), 0.0], [0.5, 0.5, 0.0]]
    np.testing.assert_allclose(model.predict_proba(X[:2]), expected, rtol=1e-12)


@pytest.mark.parametrize("loss", ["squared", "hinge"])
def test_other_losses_have_no_probabilities(loss):
    model = classifier(loss=loss).fit(X, LABELS)
    assert not hasattr(model, "predict_proba")
    with pytest.raises(AttributeError, match="predict_proba"):
        model.predict_proba(X)
    assert hasattr(classifier(loss="logistic"), "predict_proba")


def test_probabilities_are_those_of_the_loss_that_was_fitted():
    model = classifier(loss="squared").fit(X, LABELS).set_params(loss="logistic")
    assert not hasattr(model, "predict_proba")
    assert hasattr(model.fit(X, LABELS).set_params(loss="squared"), "predict_proba")


def test_soft_voting_and_scores_of_probabilities_give_numbers():
    iris, y = load_iris(return_X_y=True)
    model = classifier(loss="logistic")
    # With three seeds the least were .96 and -.42; a constant has .5 and -1.1.
    for scoring, least in (("roc_auc_ovr", 0.9), ("neg_log_loss", -0.7)):
        scores = cross_val_score(model, iris, y, cv=3, scoring=scoring, error_score="raise")
        assert (scores > least).all()
    voting = VotingClassifier(
        [("net", model), ("line", make_pipeline(StandardScaler(), LogisticRegression()))],
        voting="soft",
    )
    assert voting.fit(iris, y).score(iris, y) > 0.95


def test_probabilities_lose_much_less_than_a_constant():
    data, y = load_breast_cancer(return_X_y=True)
    half = np.arange(len(y)) % 2 == 0
    model = classifier(loss="logistic").fit(data[half], y[half])
    rate = y[half].mean()
    left = log_loss(y[~half], model.predict_proba(data[~half]))
    assert left < 0.2  # .11 to .12
    assert left < 0.3 * log_loss(y[~half], np.full((~half).sum(), rate))


def test_partial_fit_goes_on_where_it_was():
    once = classifier(loss="logistic").partial_fit(X[:64], LABELS[:64], classes=np.unique(LABELS))
    once.partial_fit(X[64:], LABELS[64:])
    twice = classifier(loss="logistic").partial_fit(X[:64], LABELS[:64], classes=np.unique(LABELS))
    for first in range(64, N, 32):
        twice.partial_fit(X[first : first + 32], LABELS[first : first + 32])
    np.testing.assert_array_equal(once.predict_proba(X), twice.predict_proba(X))


@pytest.mark.parametrize("loss", ["logistic", LogisticLoss()], ids=repr)
def test_pickled_and_cloned_models_are_the_same(loss):
    model = classifier(loss=loss).fit(X, LABELS)
    copy = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(copy.predict_proba(X), model.predict_proba(X))
    np.testing.assert_array_equal(
        clone(model).fit(X, LABELS).predict_proba(X), model.predict_proba(X)
    )


@pytest.mark.parametrize(
    ("model", "loss", "message"),
    [
        (regressor, "l1", "loss must be 'squared', 'huber' or 'absolute'; got 'l1'."),
        (regressor, "logistic", "loss must be 'squared', 'huber' or 'absolute'; got 'logistic'."),
        (regressor, None, "loss must be 'squared', 'huber' or 'absolute'; got NoneType."),
        (classifier, "huber", "loss must be 'squared', 'logistic' or 'hinge'; got 'huber'."),
        (
            classifier,
            HuberLoss(2.0),
            "loss must be 'squared', 'logistic' or 'hinge'; got HuberLoss(delta=2.0).",
        ),
    ],
)
def test_losses_are_refused_in_a_sentence(model, loss, message):
    y = LABELS if model is classifier else Y
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        model(loss=loss).fit(X, y)
