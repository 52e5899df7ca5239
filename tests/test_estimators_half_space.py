"""The half-space estimators: scikit-learn's checks, streams, what may not change predictions."""

import pickle

import numpy as np
import pytest

pytest.importorskip("sklearn")

from sklearn.utils.estimator_checks import parametrize_with_checks

from subquad.estimators import HalfSpaceSGDClassifier, HalfSpaceSGDRegressor
from subquad.training import TrainingWarning

N = 200
X = np.random.default_rng(0).standard_normal((N, 3))
Y = X[:, 0] * X[:, 1]
LABELS = np.array(["low", "mid", "high"])[np.digitize(Y, [-0.3, 0.3])]
SMALL = {"width": 512, "random_state": 0, "n_epochs": 10}


def regressor(**options):
    return HalfSpaceSGDRegressor(**{**SMALL, **options})


def classifier(**options):
    return HalfSpaceSGDClassifier(**{**SMALL, **options})


@pytest.fixture(params=[regressor, classifier], ids=["regressor", "classifier"])
def new(request):
    """A function that makes an estimator."""
    return request.param


def targets_of(new):
    return LABELS if new is classifier else Y


# The checks with a single constant target are right to be warned of.
@pytest.mark.filterwarnings("ignore::subquad.training.TrainingWarning")
@parametrize_with_checks(
    [
        HalfSpaceSGDRegressor(width=1024, n_epochs=30),
        HalfSpaceSGDClassifier(width=1024, n_epochs=20),
    ]
)
def test_scikit_learn_conformance(estimator, check):
    check(estimator)


def test_products_of_features_are_learned():
    assert regressor(width=2048, n_epochs=60).fit(X, Y).score(X, Y) > 0.95
    model = classifier(width=2048, n_epochs=60, average=True).fit(X, LABELS)
    assert model.score(X, LABELS) > 0.9


@pytest.mark.parametrize("method", ["auto", "tree", "scan"])
def test_predictions_do_not_depend_on_the_report(new, method):
    y = targets_of(new)
    with_report, without = (new(report=report).fit(X, y) for report in (method, None))
    np.testing.assert_allclose(with_report._outputs(X), without._outputs(X), rtol=0, atol=1e-10)


def test_number_of_threads_does_not_change_a_bit(new, n_threads):
    y = targets_of(new)
    one, more = (new(n_threads=k).fit(X, y) for k in (1, n_threads))
    np.testing.assert_array_equal(more._outputs(X), one._outputs(X))


def test_partial_fit_goes_on_where_it_was(new):
    y = targets_of(new)
    model = new()
    classes = {"classes": np.unique(y)} if new is classifier else {}
    model.partial_fit(X[:64], y[:64], **classes)
    for first in range(64, N, 32):
        model.partial_fit(X[first : first + 32], y[first : first + 32])
    assert model.n_steps_ == 2 + 5
    once = new().partial_fit(X[:64], y[:64], **classes).partial_fit(X[64:], y[64:])
    np.testing.assert_array_equal(model._outputs(X), once._outputs(X))


def test_partial_fit_of_a_classifier_wants_its_classes_first():
    model = classifier()
    with pytest.raises(ValueError, match="classes must be given in the first call"):
        model.partial_fit(X, LABELS)
    model.partial_fit(X, LABELS, classes=["high", "low", "mid"])
    with pytest.raises(ValueError, match="classes must be those of the first call"):
        model.partial_fit(X, LABELS, classes=["high", "low"])
    with pytest.raises(ValueError, match=r"y must have no other classes .* got \['new'\]"):
        model.partial_fit(X, np.where(LABELS == "low", "new", LABELS))
    with pytest.raises(ValueError, match="classes must have at least 2 classes"):
        classifier().partial_fit(X, LABELS, classes=["high"])


def test_partial_fit_refuses_another_number_of_outputs():
    with pytest.raises(ValueError, match="y must have 1 outputs, as at first; got 2"):
        regressor().partial_fit(X, Y).partial_fit(X, np.column_stack([Y, Y]))


def test_loss_curve_has_a_mean_per_pass(new):
    model = new(n_epochs=4).fit(X, targets_of(new))
    losses = [record.loss for record in model.history_]
    assert len(losses) == model.n_steps_ == 4 * 7
    np.testing.assert_allclose(model.loss_curve_, np.reshape(losses, (4, 7)).mean(axis=1))


def test_several_targets_are_fitted_together():
    targets = np.column_stack([Y, 100 + 1e3 * X[:, 2]])
    model = regressor(width=2048, n_epochs=60).fit(X, targets)
    assert model.predict(X).shape == targets.shape
    assert model.score(X, targets) > 0.9


def test_two_classes_share_one_output_and_its_sign_decides():
    model = classifier().fit(X, Y > 0)
    scores = model.decision_function(X)
    assert scores.shape == (N,)
    np.testing.assert_array_equal(model.predict(X), scores > 0)


@pytest.mark.parametrize("options", [{"average": True}, {"dynamics": "kernel"}], ids=str)
def test_options_reach_the_trainer(new, options):
    y = targets_of(new)
    plain, other = new().fit(X, y), new(**options).fit(X, y)
    assert [r.fired_fraction for r in other.history_] != []
    assert not np.array_equal(plain._outputs(X), other._outputs(X))


def test_float32_network_fits_as_well(new):
    y = targets_of(new)
    single, full = (new(dtype=dtype).fit(X, y) for dtype in ("float32", "float64"))
    assert single.network_.dtype == np.float32
    np.testing.assert_allclose(single._outputs(X), full._outputs(X), atol=1e-2)


def test_pickled_models_predict_and_go_on_the_same(new):
    y = targets_of(new)
    model = new().fit(X, y)
    copy = pickle.loads(pickle.dumps(model))
    for each in (model, copy):
        each.partial_fit(X, y)
    np.testing.assert_array_equal(copy._outputs(X), model._outputs(X))


def test_models_mapped_from_a_file_predict_and_go_on_the_same(new, tmp_path):
    joblib = pytest.importorskip("joblib")
    y = targets_of(new)
    for options in ({}, {"average": True}, {"report": None}, {"dynamics": "kernel"}):
        model = new(**options).fit(X, y)
        joblib.dump(model, tmp_path / "model")
        mapped = joblib.load(tmp_path / "model", mmap_mode="r")
        np.testing.assert_array_equal(mapped._outputs(X), model._outputs(X))
        for each in (model, mapped):
            each.partial_fit(X, y)
        np.testing.assert_array_equal(mapped._outputs(X), model._outputs(X))


def test_divergence_ends_the_fit_with_a_warning():
    model = regressor(learning_rate=300.0, n_epochs=1000)
    with pytest.warns(TrainingWarning, match="Lower learning_rate"):
        model.fit(X, Y)
    assert len(model.loss_curve_) < 1000


def test_constant_targets_are_predicted_with_a_warning():
    with pytest.warns(TrainingWarning, match="y must vary"):
        model = regressor().fit(X, np.full(N, 3.0))
    np.testing.assert_allclose(model.predict(X), 3.0)


def test_verbose_prints_a_line_per_pass_and_the_callback_sees_each_step(capsys):
    seen = []
    regressor(n_epochs=3, verbose=1, callback=seen.append).fit(X, Y)
    assert len(capsys.readouterr().out.splitlines()) == 3
    assert len(seen) == 3 * 7


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"constant": -1.0}, "constant must be at least 0"),
        ({"n_epochs": 0}, "n_epochs must be at least 1"),
        ({"width": 511}, "width must be even"),
        ({"report": "ball"}, "report must be 'auto', 'tree', 'scan' or None"),
        ({"dynamics": "lazy"}, "dynamics must be 'network' or 'kernel'"),
    ],
    ids=str,
)
def test_parameters_are_refused_by_name(new, options, message):
    with pytest.raises(ValueError, match=message):
        new(**options).fit(X, targets_of(new))
