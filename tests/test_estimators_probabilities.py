"""Probabilities of the classifiers are calibrated by what each row's fit without it says of it."""

import warnings

import numpy as np
import pytest

pytest.importorskip("sklearn")

from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.ensemble import VotingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.metrics import log_loss
from sklearn.model_selection import cross_val_score

from subquad.estimators import (
    FactoredClassifier,
    GaussNewtonClassifier,
    HalfSpaceSGDClassifier,
    NTKClassifier,
)
from subquad.estimators._calibration import calibration, probabilities
from subquad.io import load_model, save_model

# Of these fits, some end at a kink or by max_steps.
pytestmark = pytest.mark.filterwarnings("ignore::subquad.training.TrainingWarning")

RNG = np.random.default_rng(0)
N = 90
X = RNG.standard_normal((N, 4))
NOISY = X[:, 0] + X[:, 1] + 0.7 * RNG.standard_normal(N)
THREE = np.array(["low", "mid", "high"])[np.digitize(NOISY, [-0.7, 0.9])]
TWO = NOISY > 0.3
NEW = RNG.standard_normal((40, 4))

SMALL = {
    "NTK": lambda **options: NTKClassifier(**{"depth": 1, **options}),
    "GaussNewton": lambda **options: GaussNewtonClassifier(
        **{"width": 256, "random_state": 0, **options}
    ),
    "Factored": lambda **options: FactoredClassifier(
        **{"width": 256, "outer_size": 32, "random_state": 0, **options}
    ),
}
each_model = pytest.mark.parametrize("kind", SMALL)


@each_model
@pytest.mark.parametrize("y", [TWO, THREE, TWO.astype(float), THREE == "mid"])
def test_probabilities_add_up_and_agree_with_predictions(kind, y):
    model = SMALL[kind]().fit(X, y)
    proba, scores = model.predict_proba(NEW), model.decision_function(NEW)
    assert proba.shape == (len(NEW), len(model.classes_))
    assert (proba > 0).all()
    np.testing.assert_allclose(proba.sum(axis=1), 1.0, rtol=1e-14)
    np.testing.assert_array_equal(model.classes_[proba.argmax(axis=1)], model.predict(NEW))
    if len(model.classes_) == 2:
        assert scores.shape == (len(NEW),)
        odds = np.log(proba[:, 1] / proba[:, 0])
        np.testing.assert_allclose(odds, model.calibration_ * scores, rtol=1e-9, atol=1e-12)
    else:
        assert scores.shape == proba.shape


@pytest.mark.parametrize("y", [TWO, THREE])
def test_the_scores_are_those_of_fits_without_a_row(y, monkeypatch):
    """The fit of a kernel to all rows but one, with all else held, is made anew for each row."""
    seen = []
    monkeypatch.setattr(
        "subquad.estimators._calibration.calibration", lambda *args: seen.append(args) or 1.0
    )
    model = NTKClassifier(depth=1).fit(X, y)
    scores, labels, weights, n = seen.pop()
    T, K = model._scaling.scaled(model._indicators(y)), model._kernel(model.rows_)
    order = np.lexsort(X.T[::-1])  # the fit's rows are sorted
    for i in (0, 17, 60):
        kept = np.arange(N) != i
        system = K[np.ix_(kept, kept)] + model.regularization_ * np.eye(N - 1)
        f = K[i, kept] @ np.linalg.solve(system, T[order][kept])
        np.testing.assert_allclose(model._scaling.unscaled(f), scores[i], rtol=1e-7, atol=1e-9)
    np.testing.assert_array_equal(model.classes_[labels], y[order])
    assert weights.tolist() == [1.0] * N
    assert n == N


@pytest.mark.parametrize("n_classes", [2, 4])
def test_the_parameter_is_the_minimum_of_the_log_loss(n_classes):
    scores = RNG.standard_normal((N, 1 if n_classes == 2 else n_classes))
    labels = RNG.integers(0, n_classes, N)
    labels[: N // 2] = probabilities(scores, 1.0).argmax(axis=1)[: N // 2]
    weights = RNG.uniform(0.5, 2.0, N)
    t = calibration(scores, labels, weights, N)
    wrong = 1.0 / (N + 2)
    targets = np.full((N, n_classes), wrong / (n_classes - 1))
    targets[np.arange(N), labels] = 1.0 - wrong

    def loss(t):
        return -weights @ (targets * np.log(probabilities(scores, t))).sum(axis=1)

    # A minimum is flat: a relative step of 1e-3 costs some 1e-6 of the loss, and not its rounding.
    assert t > 0
    assert loss(t) < min(loss(0.999 * t), loss(1.001 * t))


def test_scores_that_tell_all_classes_apart_give_finite_probabilities():
    labels = np.arange(N) % 3
    scores = 2.0 * np.eye(3)[labels] - 1.0
    t = calibration(scores, labels, np.ones(N), N)
    proba = probabilities(scores, t)
    # One row in N + 2 counts as wrong.
    np.testing.assert_allclose(proba[np.arange(N), labels], 1 - 1 / (N + 2), rtol=1e-9)


@pytest.mark.parametrize("scores", [np.zeros((N, 3)), -np.eye(3)[np.arange(N) % 3]])
def test_scores_that_tell_nothing_or_mislead_give_even_chances_in_their_order(scores):
    t = calibration(scores, np.arange(N) % 3, np.ones(N), N)
    assert t > 0
    np.testing.assert_allclose(probabilities(scores, t), 1 / 3, atol=1e-5)


def test_sizes_of_scores_and_weights_do_not_matter():
    scores, labels = RNG.standard_normal((N, 1)), RNG.integers(0, 2, N)
    labels[: N // 2] = scores[: N // 2, 0] > 0
    weights = RNG.uniform(0.5, 2.0, N)
    t = calibration(scores, labels, weights, N)
    assert calibration(1e150 * scores, labels, weights, N) == pytest.approx(t / 1e150, rel=1e-9)
    assert calibration(1e-150 * scores, labels, weights, N) == pytest.approx(t * 1e150, rel=1e-9)
    assert calibration(scores, labels, 1e200 * weights, N) == pytest.approx(t, rel=1e-9)


@each_model
def test_whole_weights_count_rows(kind):
    counts = RNG.integers(0, 3, N).astype(float)
    repeated = np.repeat(np.arange(N), counts.astype(int))
    counted = SMALL[kind]().fit(X, THREE, sample_weight=counts)
    given = SMALL[kind]().fit(X[repeated], THREE[repeated])
    doubled = SMALL[kind]().fit(X, THREE, sample_weight=2 * counts)
    assert counted.calibration_ == pytest.approx(given.calibration_, rel=1e-6)
    assert counted.calibration_ == pytest.approx(doubled.calibration_, rel=1e-6)


@each_model
def test_rows_of_both_classes_keep_probabilities_apart_from_certainty(kind):
    """Each row is given four times, three with one label: no score can do better than 3 in 4."""
    base = X[:30]
    y = np.r_[np.tile(base[:, 0] > 0, 3), base[:, 0] <= 0]
    model = SMALL[kind]().fit(np.tile(base, (4, 1)), y)
    highest = model.predict_proba(base).max(axis=1)
    assert 0.6 < highest.mean() < 0.9


@each_model
def test_fits_are_deterministic_and_follow_weights(kind):
    weights = RNG.uniform(0.1, 3.0, N)
    model = SMALL[kind]().fit(X, THREE, sample_weight=weights)
    proba = model.predict_proba(NEW)
    np.testing.assert_array_equal(clone(model).fit(X, THREE, weights).predict_proba(NEW), proba)
    assert not np.array_equal(SMALL[kind]().fit(X, THREE).predict_proba(NEW), proba)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("NTK", {"solver": "pcg"}),
        ("NTK", {"solver": "nystrom", "n_landmarks": 30}),
        ("NTK", {"solver": "nystrom", "n_landmarks": 30, "regularization": None}),
        ("NTK", {"solver": "pcg", "regularization": None}),
        ("GaussNewton", {"solver": "pcg"}),
        ("GaussNewton", {"readout": "dense"}),
        ("GaussNewton", {"regularization": None}),
        ("Factored", {"regularization": None}),
        ("Factored", {"outer_size": None}),
    ],
)
def test_every_way_to_solve_has_probabilities_next_to_those_of_the_exact_one(kind, options):
    exact = SMALL[kind]().fit(X, THREE)
    if "regularization" in options:  # given as a number
        options = {**options, "regularization": exact.regularization_}
    repeated = np.r_[np.arange(N), 3, 3, 7]
    other = SMALL[kind](**options).fit(X[repeated], THREE[repeated])
    assert 0.5 < other.calibration_ / exact.calibration_ < 2.0
    assert log_loss(THREE[repeated], other.predict_proba(X[repeated])) < np.log(3)


@pytest.mark.parametrize("repeated", [False, True])
def test_landmarks_that_are_all_rows_know_the_errors_of_the_exact_fit(repeated):
    """Of 90 rows, all 90 landmarks: the fit, and so its calibration, are the exact ones."""
    rows = np.r_[np.arange(N), 3, 3, 7] if repeated else np.arange(N)
    y = THREE[rows].copy()
    y[-1] = "mid"
    options = {"regularization": 0.5, "constant": 1.0}
    exact = SMALL["NTK"](**options).fit(X[rows], y)
    every = SMALL["NTK"](solver="nystrom", n_landmarks=N, **options).fit(X[rows], y)
    iterated = SMALL["NTK"](solver="pcg", **options).fit(X[rows], y)
    assert every.calibration_ == pytest.approx(exact.calibration_, rel=1e-6)
    assert iterated.calibration_ == pytest.approx(exact.calibration_, rel=1e-6)


@pytest.mark.parametrize("kind", ["GaussNewton", "Factored"])
def test_fits_without_leave_one_out_scores_say_how_to_get_them(kind):
    model = SMALL[kind](regularization=0.0, max_steps=2).fit(X, THREE)
    with pytest.raises(ValueError, match=r"without regularization.*Fit anew with regul"):
        model.predict_proba(NEW)
    with pytest.raises(NotFittedError):
        SMALL[kind]().predict_proba(NEW)


def test_a_kernel_that_interpolates_has_them_unless_it_is_singular():
    assert NTKClassifier(depth=1, regularization=0.0).fit(X, TWO).predict_proba(NEW).shape
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = NTKClassifier(depth=1, regularization=0.0, scale_features=False)
        model.fit(np.r_[X, X * (1 + 1e-15)][:, :1], np.r_[TWO, TWO])
    with pytest.raises(ValueError, match=r"too small for them. Give regularization='loo'"):
        model.predict_proba(NEW[:, :1])


def test_a_warm_start_has_none_and_a_new_fit_has_them_again():
    model = SMALL["GaussNewton"](warm_start=True).fit(X, THREE)
    first = model.predict_proba(NEW)
    with pytest.raises(ValueError, match="a warm start continued"):
        model.fit(X, THREE).predict_proba(NEW)
    model.set_params(warm_start=False).fit(X, THREE)
    np.testing.assert_array_equal(model.predict_proba(NEW), first)


@pytest.mark.parametrize("kind", ["NTK", "GaussNewton"])
def test_a_saved_model_has_its_probabilities_and_an_older_one_says_so(kind, tmp_path):
    model = SMALL[kind]().fit(X, THREE)
    save_model(model, tmp_path / "m")
    np.testing.assert_array_equal(
        load_model(tmp_path / "m").predict_proba(NEW), model.predict_proba(NEW)
    )
    expected = model.predict(NEW)
    del model.calibration_
    save_model(model, tmp_path / "old")
    old = load_model(tmp_path / "old")
    np.testing.assert_array_equal(old.predict(NEW), expected)
    with pytest.raises(ValueError, match=r"saved by a version that kept none. Fit it again"):
        old.predict_proba(NEW)
    for wrong in ("x", -1.0, np.ones(2), [1.0]):
        model.calibration_ = wrong
        save_model(model, tmp_path / "wrong")
        with pytest.raises(ValueError, match="calibration_"):
            load_model(tmp_path / "wrong")


def test_scikit_learn_scores_and_combines_them():
    data, y = load_iris(return_X_y=True)
    models = [(kind, make()) for kind, make in SMALL.items()]
    models.append(("half-space", HalfSpaceSGDClassifier(width=256, n_epochs=20, loss="logistic")))
    models[-1][1].set_params(random_state=0)
    for _, model in models:
        assert cross_val_score(model, data, y, cv=3, scoring="roc_auc_ovr").min() > 0.97
        assert cross_val_score(model, data, y, cv=3, scoring="neg_log_loss").min() > -0.4
    vote = VotingClassifier(models, voting="soft").fit(data[::2], y[::2])
    assert vote.score(data[1::2], y[1::2]) > 0.9


def test_probabilities_of_new_rows_are_right_as_often_as_they_say():
    """Mean probability of what is predicted against accuracy, on 285 rows.

    The accuracy of that many rows has a standard deviation of at most .014 where it is .94 or
    more; three of these are allowed.
    """
    data, y = load_breast_cancer(return_X_y=True)
    model = NTKClassifier(depth=1).fit(data[::2], y[::2])
    proba, labels = model.predict_proba(data[1::2]), y[1::2]
    right = proba.argmax(axis=1) == labels
    assert right.mean() > 0.94
    assert abs(proba.max(axis=1).mean() - right.mean()) < 3 * 0.014
    assert log_loss(labels, proba) < 0.15


@each_model
def test_class_weights_multiply_sample_weights(kind):
    weights = RNG.uniform(0.5, 2.0, N)
    factors = {"low": 0.5, "high": 3.0}
    model = SMALL[kind](class_weight=factors).fit(X, THREE, weights)
    times = np.array([factors.get(label, 1.0) for label in THREE])
    same = SMALL[kind]().fit(X, THREE, weights * times)
    np.testing.assert_array_equal(model.predict_proba(NEW), same.predict_proba(NEW))


@each_model
def test_balanced_classes_have_one_total_weight(kind):
    y = NOISY > 1.2  # few rows
    total = {label: np.count_nonzero(y == label) for label in (False, True)}
    by_hand = {label: N / (2 * count) for label, count in total.items()}
    model = SMALL[kind](class_weight="balanced").fit(X, y)
    np.testing.assert_allclose(
        model.predict_proba(NEW),
        SMALL[kind](class_weight=by_hand).fit(X, y).predict_proba(NEW),
        rtol=1e-6,
    )
    assert model.predict(X).sum() >= SMALL[kind]().fit(X, y).predict(X).sum()


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ("even", r"class_weight must be 'balanced', a dict or None; got 'even'\."),
        ({"none": 1.0}, r"class_weight must name labels of y alone, .*; got \['none'\]\."),
        ({"low": -1.0}, r"class_weight\['low'\] must be at least 0.0; got -1.0\."),
        ({"low": "x"}, r"class_weight\['low'\] must be a real number; got "),
    ],
)
def test_wrong_class_weights_are_refused(wrong, sentence):
    for new in SMALL.values():
        with pytest.raises((ValueError, TypeError), match=sentence):
            new(class_weight=wrong).fit(X, THREE)


@pytest.mark.parametrize("kind", ["NTK", "GaussNewton"])
def test_class_weights_of_labels_of_any_kind_are_saved(kind, tmp_path):
    for y, weights in (
        (THREE, {"low": 2.0}),
        (TWO, {True: 2.0}),
        (TWO.astype(int), {0: 2, np.int64(1): 1.5}),
        (TWO.astype(float), {0.0: 2.0}),
        (TWO, "balanced"),
    ):
        model = SMALL[kind](class_weight=weights).fit(X, y)
        save_model(model, tmp_path / "m")
        loaded = load_model(tmp_path / "m")
        assert loaded.class_weight == weights
        np.testing.assert_array_equal(loaded.fit(X, y).predict(NEW), model.predict(NEW))
