"""GaussNewtonClassifier by log-loss, GaussNewtonRegressor by the Huber loss."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

pytest.importorskip("sklearn")

from scipy.special import expit, softmax
from sklearn.metrics import log_loss
from sklearn.utils.estimator_checks import parametrize_with_checks

from subquad.estimators import GaussNewtonClassifier, GaussNewtonRegressor
from subquad.estimators._log_odds import LogOdds, prior_log_odds
from subquad.io import load_model, save_model
from subquad.training import HuberLoss, TrainingWarning

pytestmark = pytest.mark.filterwarnings("ignore::subquad.training.TrainingWarning")
SMALL = {"width": 256, "random_state": 0}


def labelled(n=120, seed=0, classes=2):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, 3))
    scores = np.column_stack([X[:, 0], X[:, 1], -X.sum(axis=1)])[:, :classes]
    if classes == 2:
        scores = np.column_stack([np.zeros(n), 2 * X[:, 0]])
    noise = rng.gumbel(size=scores.shape)
    return X, np.array(["a", "b", "c"])[(scores + noise).argmax(axis=1)]


@parametrize_with_checks(
    [
        # A choice of mu is a path of fits, which takes most of the time: a fixed mu. Of the Huber
        # loss also because leaving out a row of weight 2, and one of two equal rows, differ.
        GaussNewtonClassifier(width=256, loss="log_loss", max_steps=3, regularization=1.0),
        GaussNewtonRegressor(width=256, loss="huber", max_steps=3, regularization=0.1),
    ]
)
def test_scikit_learn_finds_nothing_wrong(estimator, check):
    check(estimator)


@pytest.mark.parametrize("classes", [2, 3])
def test_outputs_are_log_odds_and_probabilities_are_theirs(classes):
    X, y = labelled(classes=classes)
    model = GaussNewtonClassifier(**SMALL, loss="log_loss").fit(X, y)
    scores, proba = model.decision_function(X), model.predict_proba(X)
    t = model.calibration_
    if classes == 2:
        assert_allclose(proba[:, 1], expit(t * scores), rtol=1e-12)
    else:
        assert_allclose(proba, softmax(t * scores, axis=1), rtol=1e-12)
    assert_array_equal(model.classes_[proba.argmax(axis=1)], model.predict(X))
    # Classes overlap, with odds of exp(2 x): what is better than their frequencies generalises.
    X_new, y_new = labelled(seed=1, n=2000, classes=classes)
    frequencies = np.mean(y[:, None] == model.classes_, axis=0)
    worse = log_loss(y_new, np.tile(frequencies, (2000, 1)))
    assert log_loss(y_new, model.predict_proba(X_new)) < 0.9 * worse
    assert 0.3 < t < 3.0


def test_leave_one_out_tells_the_loss_of_new_rows():
    X, y = labelled(n=200)
    model = GaussNewtonClassifier(**SMALL, loss="log_loss").fit(X, y)
    X_new, y_new = labelled(seed=1, n=2000)
    odds = model.decision_function(X_new) * np.where(y_new == model.classes_[1], 1, -1)
    new = np.logaddexp(0, -odds)
    # Five standard errors of the difference of two means of 200 and 2000 rows.
    assert abs(model.loo_error_ - new.mean()) < 5 * new.std() * np.sqrt(1 / 200 + 1 / 2000)


def test_a_repeated_row_counts_as_often_as_it_stands_there():
    X, y = labelled(n=60)
    counts = np.random.default_rng(0).integers(1, 4, 60)
    options = {**SMALL, "loss": "log_loss", "constant": 1.0, "scale_features": False}
    one = GaussNewtonClassifier(**options).fit(X, y, sample_weight=counts)
    other = GaussNewtonClassifier(**options).fit(np.repeat(X, counts, axis=0), np.repeat(y, counts))
    # The constant coordinate and the weights' moments are summed in another order.
    assert one.regularization_ == pytest.approx(other.regularization_, rel=1e-9)
    assert_allclose(one.decision_function(X), other.decision_function(X), rtol=1e-6, atol=1e-8)
    assert one.calibration_ == pytest.approx(other.calibration_, rel=1e-6)


def test_rows_of_both_labels_have_the_odds_of_their_frequencies():
    X = np.repeat([[0.0], [1.0]], [8, 8], axis=0)
    y = np.repeat([0, 1, 0, 1], [6, 2, 2, 6])
    model = GaussNewtonClassifier(**SMALL, loss="log_loss", regularization=1e-6, tol=1e-12)
    odds = model.fit(X, y).decision_function([[0.0], [1.0]])
    assert_allclose(odds, [-np.log(3), np.log(3)], rtol=1e-3)
    model.set_params(class_weight={0: 2.0})
    odds = model.fit(X, y).decision_function([[0.0], [1.0]])
    assert_allclose(odds, np.log([2 / 12, 6 / 4]), rtol=1e-3)


def test_class_weights_multiply_those_of_rows():
    X, y = labelled(n=80)
    weights = np.where(y == "a", 3.0, 1.0)
    options = {**SMALL, "loss": "log_loss"}
    one = GaussNewtonClassifier(**options, class_weight={"a": 3.0}).fit(X, y)
    other = GaussNewtonClassifier(**options).fit(X, y, sample_weight=weights)
    assert_array_equal(one.decision_function(X), other.decision_function(X))
    assert_array_equal(one.predict_proba(X), other.predict_proba(X))


def test_a_network_that_hardly_moves_has_the_odds_of_the_classes_weights():
    X, y = labelled(n=80)
    options = {**SMALL, "loss": "log_loss", "regularization": 1e16}
    model = GaussNewtonClassifier(**options, class_weight={"a": 3.0}).fit(X, y)
    n_a = np.count_nonzero(y == "a")
    # mu |W - W(0)|^2 is at most the first objective, below 2 * 240 log 2, so that the weights move
    # by less than 2e-7; rows of J have norms below 100, and odds are 50 outputs.
    assert_allclose(model.decision_function(X), np.log((80 - n_a) / (3 * n_a)), rtol=0, atol=1e-3)


def test_the_choice_of_mu_does_not_depend_on_the_tolerance():
    # The default one is coarser than what ends the fit of a candidate.
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 2))
    y = np.sin(2 * X[:, 0]) + X[:, 1] + 0.1 * rng.standard_t(2, 60)
    for loss in ("huber", HuberLoss(0.3)):
        coarse = GaussNewtonRegressor(**SMALL, loss=loss).fit(X, y)
        fine = GaussNewtonRegressor(**SMALL, loss=loss, tol=1e-6).fit(X, y)
        assert coarse.regularization_ == fine.regularization_
        assert len(coarse.history_) <= len(fine.history_)


def test_huber_fits_are_not_moved_by_outliers():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((150, 2))
    clean = np.sin(X[:, 0]) + X[:, 1]
    y = clean + 0.05 * rng.standard_normal(150)
    y[:10] += 100.0
    new = rng.standard_normal((300, 2))
    truth = np.sin(new[:, 0]) + new[:, 1]
    errors = {}
    for loss in ("squared", "huber", HuberLoss(0.3)):
        model = GaussNewtonRegressor(**SMALL, loss=loss).fit(X, y)
        errors[str(loss)] = np.sqrt(np.mean((model.predict(new) - truth) ** 2))
    assert errors["huber"] < 0.2 * errors["squared"]
    assert errors["HuberLoss(delta=0.3)"] < 0.2 * errors["squared"]


def test_a_huge_delta_is_the_squared_loss_of_robust_scales():
    X = np.random.default_rng(0).standard_normal((60, 2))
    y = X[:, 0] * X[:, 1]
    options = {**SMALL, "regularization": 0.1, "tol": 1e-10, "constant": 1.0}
    huber = GaussNewtonRegressor(**options, loss=HuberLoss(1e9)).fit(X, y)
    scale = huber._scaling.target_scale
    same = GaussNewtonRegressor(**options).fit(X, y)
    # mu is in units of the scaled targets, whose scales the two losses measure differently.
    assert np.isfinite(huber.predict(X)).all()
    assert (scale > 0).all()
    assert np.corrcoef(huber.predict(X), same.predict(X))[0, 1] > 0.99


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_saved_models_load_as_they_were(tmp_path, dtype):
    X, y = labelled()
    for model, target in (
        (GaussNewtonClassifier(**SMALL, loss="log_loss", dtype=dtype), y),
        (GaussNewtonRegressor(**SMALL, loss="huber", dtype=dtype), X[:, 0]),
    ):
        model.fit(X, target)
        save_model(model, tmp_path / "model.subquad")
        loaded = load_model(tmp_path / "model.subquad")
        assert loaded.loss == model.loss
        assert_array_equal(loaded.predict(X), model.predict(X))
        if target is y:
            assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))


def test_a_warm_start_goes_on_with_the_same_loss():
    X, y = labelled()
    model = GaussNewtonClassifier(
        **SMALL, loss="log_loss", regularization=100.0, warm_start=True, tol=1e-6
    ).fit(X, y)
    first = np.mean(np.logaddexp(0, -model.decision_function(X) * np.where(y == "b", 1, -1)))
    assert model.calibration_ is not None
    model.fit(X, y)
    second = np.mean(np.logaddexp(0, -model.decision_function(X) * np.where(y == "b", 1, -1)))
    assert second < first  # the pull is now towards the weights that the first fit has reached
    assert model.calibration_ is None
    assert_allclose(model.predict_proba(X)[:, 1], expit(model.decision_function(X)), rtol=1e-12)


def test_separable_labels_without_regularization_have_finite_odds():
    X = np.linspace(-1, 1, 20)[:, None]
    model = GaussNewtonClassifier(**SMALL, loss="log_loss", regularization=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TrainingWarning)
        model.fit(X, X[:, 0] > 0)
    assert np.isfinite(model.decision_function(X)).all()
    assert model.score(X, X[:, 0] > 0) == 1.0


def test_losses_that_do_not_fit_are_refused_in_a_sentence():
    X, y = labelled(n=20)
    with pytest.raises(ValueError, match=r"^loss must be 'squared' or 'log_loss'; got 'huber'"):
        GaussNewtonClassifier(**SMALL, loss="huber").fit(X, y)
    with pytest.raises(ValueError, match=r"^loss must be 'squared' or 'huber'; got 'log_loss'"):
        GaussNewtonRegressor(**SMALL, loss="log_loss").fit(X, X[:, 0])
    model = GaussNewtonClassifier(**SMALL, loss="log_loss").fit(X, y)
    with pytest.raises(ValueError, match="loss must be 'squared' for deviations and influence"):
        model.influence(X)
    model = GaussNewtonRegressor(**SMALL, loss="huber").fit(X, X[:, 0])
    with pytest.raises(ValueError, match="loss must be 'squared' for deviations and influence"):
        model.predict(X, return_std=True)


def test_log_odds_of_shared_rows_have_the_mean_loss_of_their_labels():
    f, loss = np.linspace(-3, 3, 7), LogOdds(5.0)
    one, other = np.ones(7), -np.ones(7)
    for method in ("_value", "_derivative"):
        shared = getattr(loss, method)(f, 0.5 * one)  # three of four labels are 1
        mean = 0.75 * getattr(loss, method)(f, one) + 0.25 * getattr(loss, method)(f, other)
        assert_allclose(shared, mean, rtol=1e-13, atol=1e-15)
    h = 1e-6
    slope = (loss._value(f + h, one) - loss._value(f - h, one)) / (2 * h)
    assert_allclose(loss._derivative(f, one), slope, atol=1e-6)
    bend = (loss._derivative(f + h, one) - loss._derivative(f - h, one)) / (2 * h)
    assert_allclose(loss._second_derivative(f, one), bend, atol=1e-5)
    with pytest.raises(ValueError, match="y must be from -1 to 1; got 2"):
        loss.value([0.0], [2.0])


def test_the_odds_at_first_are_those_of_the_frequencies_and_finite():
    T = np.array([[1.0, -1.0], [1.0, -1.0], [1.0, 1.0]])
    odds = prior_log_odds(T, np.array([1.0, 2.0, 1.0]))
    assert np.isfinite(odds).all()
    assert odds[1] == pytest.approx(np.log(1 / 3))
