"""Estimators that take their rows in chunks."""

import numpy as np
import pytest
import scipy.sparse
from sklearn.exceptions import NotFittedError

from subquad import io
from subquad.estimators import (
    GaussNewtonClassifier,
    GaussNewtonRegressor,
    NTKClassifier,
    NTKRegressor,
)
from subquad.training import TrainingWarning

RNG = np.random.default_rng(0)
X = RNG.standard_normal((90, 4))
Y = np.sin(X[:, 0]) * X[:, 1] + 0.1 * RNG.standard_normal(90)
LABELS = np.where(Y > 0.3, "up", np.where(Y < -0.3, "down", "same"))
PARTS = [slice(0, 40), slice(40, 60), slice(60, 90)]


def regressors():
    return [GaussNewtonRegressor(width=256, random_state=0, tol=1e-3), NTKRegressor(depth=2)]


def classifiers():
    return [GaussNewtonClassifier(width=512, random_state=0), NTKClassifier(depth=2)]


@pytest.mark.parametrize("model", regressors(), ids=lambda model: type(model).__name__)
def test_doubled_rows_are_fitted_as_all_rows_are(model):
    """90 rows are more than twice 40: all that was chosen is chosen anew."""
    expected = type(model)(**model.get_params()).fit(X, Y)
    for part in PARTS:
        assert model.partial_fit(X[part], Y[part]) is model
    np.testing.assert_array_equal(model.predict(X), expected.predict(X))
    assert model.loo_error_ == expected.loo_error_


def test_a_kernel_model_is_exact_between():
    """With what was chosen for the first rows, of which all are here."""
    model = NTKRegressor(depth=2, regularization=0.1, constant=1.0, scale_features=False)
    expected = type(model)(**model.get_params()).fit(X[:60], Y[:60])
    for part in PARTS[:2]:
        model.partial_fit(X[part], Y[part])
    first = type(model)(**model.get_params()).fit(X[:40], Y[:40])
    assert model._scaling.target_mean == first._scaling.target_mean
    rows = model._rows(X[:60])
    kernel = model._kernel(rows) + 0.1 * np.eye(60)
    f = model._kernel(rows) @ np.linalg.solve(kernel, model._scaling.scaled(Y[:60, None]))
    np.testing.assert_allclose(model.predict(X[:60]), model._scaling.unscaled(f)[:, 0], atol=1e-9)
    # The rest is where the targets are thought to be centred, of 40 rows and of 60.
    np.testing.assert_allclose(model.loo_error_, expected.loo_error_, rtol=0.05)


@pytest.mark.parametrize("repeated", [False, True])
def test_a_network_model_ends_at_the_same_minimum_between(repeated):
    """Of the objective of 60 rows, in the scaling of 40: within 2 %, which kinks may leave."""
    rows = X[:60].copy()
    if repeated:
        rows[40:50] = rows[5:15]
    options = {"width": 1024, "random_state": 0, "tol": 1e-4, "regularization": 0.5}
    model = GaussNewtonRegressor(**options)
    for part in PARTS[:2]:
        model.partial_fit(rows[part], Y[part])
    # The same fit from W(0).
    found = objective(model, rows)
    model.factors_ = tuple(np.zeros_like(factor) for factor in model.factors_)
    model._go_on(rows, Y[:60, None], np.ones(60), 40)
    assert found < 1.02 * objective(model, rows)
    assert model.influence(X[:2]).shape == (2, 60)


def objective(model, rows):
    A, V = (factor.astype(np.float64) for factor in model.factors_)
    f = model._scaling.scaled(model.predict(rows)[:, None])
    misfit = np.sum((f - model._scaling.scaled(Y[:60, None])) ** 2)
    return misfit + model.regularization_ * np.vdot(A @ A.T, V @ V.T)


@pytest.mark.parametrize("model", classifiers(), ids=lambda model: type(model).__name__)
def test_classes_come_later(model):
    few = LABELS[PARTS[0]] != "same"
    model.partial_fit(X[PARTS[0]][few], LABELS[PARTS[0]][few], classes=["same", "up", "down"])
    assert list(model.classes_) == ["down", "same", "up"]
    for part in PARTS[1:]:
        model.partial_fit(X[part], LABELS[part])
    assert model.score(X, LABELS) > 0.9
    with pytest.raises(ValueError, match=r"y must have no other classes than \['down'.*'new'"):
        model.partial_fit(X[:2], ["up", "new"])
    with pytest.raises(ValueError, match="classes must be"):
        model.partial_fit(X[:2], ["up", "up"], classes=["up", "down"])
    assert model.score(X, LABELS) > 0.9


@pytest.mark.parametrize("model", [*regressors(), *classifiers()], ids=lambda m: type(m).__name__)
def test_a_saved_model_takes_more(model, tmp_path):
    y = LABELS if hasattr(model, "class_weight") else Y
    for part in PARTS[:2]:
        model.partial_fit(X[part], y[part])
    io.save_model(model, tmp_path / "model")
    other = io.load_model(tmp_path / "model")
    np.testing.assert_array_equal(other.predict(X), model.predict(X))
    other.partial_fit(X[60:70], y[60:70])
    model.partial_fit(X[60:70], y[60:70])
    np.testing.assert_array_equal(other.predict(X), model.predict(X))


@pytest.mark.parametrize("model", regressors(), ids=lambda model: type(model).__name__)
def test_what_is_refused_leaves_the_model_as_it_was(model):
    with pytest.raises(NotFittedError):
        model.predict(X)
    with pytest.raises(ValueError, match="minimum of 2"):
        model.partial_fit(X[:1], Y[:1])
    model.partial_fit(X[:40], Y[:40])
    before, state = model.predict(X), dict(vars(model))
    for rows, y in (
        (X[:3, :2], Y[:3]),
        (X[:3], Y[:2]),
        (X[:3] * np.nan, Y[:3]),
        (X[:3], Y[:3, None]),
    ):
        with pytest.raises(ValueError):  # noqa: PT011
            model.partial_fit(rows, y)
    model.regularization = "none"
    with pytest.raises((TypeError, ValueError), match="regularization"):
        model.partial_fit(X[40:], Y[40:])
    model.regularization = "loo"
    assert vars(model).keys() == state.keys()
    np.testing.assert_array_equal(model.predict(X), before)
    model.fit(X, Y)
    with pytest.warns(TrainingWarning, match="partial_fit begins anew with these rows: fit, which"):
        model.partial_fit(X[:40], Y[:40])
    np.testing.assert_array_equal(model.predict(X), before)


def test_sparse_rows_stay_sparse():
    rows = scipy.sparse.random_array((60, 12), density=0.3, rng=RNG, format="csr")
    y = np.asarray(rows.sum(axis=1)).ravel()
    model = NTKRegressor(depth=1)
    model.partial_fit(rows[:40], y[:40]).partial_fit(rows[40:], y[40:])
    assert scipy.sparse.issparse(model.rows_)
    assert model.rows_.shape[0] == 60
    with pytest.raises(ValueError, match="X must be sparse, as at first; got dense rows"):
        model.partial_fit(rows[:2].toarray(), y[:2])
