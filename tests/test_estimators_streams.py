"""Estimators that take their rows in chunks."""

import pickle

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
from subquad.solvers.bordered import BorderedCholesky
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


def uneven(n):
    """Weights of which some are 0."""
    return RNG.choice([0.0, 0.5, 1.0, 2.0], n, p=[0.1, 0.3, 0.3, 0.3])


def test_rows_that_join_a_kernel_model_give_the_fit_of_all():
    """Of several targets, with weights, equal rows, and chunks of any size."""
    rows, T = X.copy(), np.column_stack([Y, Y**2])
    rows[40:44] = rows[10:14]
    weights = uneven(80)
    parts = [slice(0, 45), slice(45, 60), slice(60, 61), slice(61, 80)]
    model = NTKRegressor(depth=2, regularization=0.05)
    for part in parts:
        model.partial_fit(rows[part], T[part], weights[part])
    assert "joined last" in model.solver_report_
    found = model.predict(X), model.loo_error_, model.influence(X[:2])
    model._go_on(rows[:80], T[:80], weights, 61)  # merges equal rows, and factors them all
    np.testing.assert_allclose(found[0], model.predict(X), rtol=1e-7)
    np.testing.assert_allclose(found[1], model.loo_error_, rtol=1e-7)
    np.testing.assert_allclose(found[2], model.influence(X[:2]), rtol=1e-6, atol=1e-9)


def test_probabilities_follow_the_rows_that_join():
    model = NTKClassifier(depth=2, regularization=0.05).partial_fit(X[:50], LABELS[:50])
    model.partial_fit(X[50:80], LABELS[50:80])
    found = model.predict_proba(X)
    model._go_on(X[:80], model._indicators(LABELS[:80]), np.ones(80), 50)
    np.testing.assert_allclose(found, model.predict_proba(X), rtol=1e-6)


def test_a_chunk_asks_a_kernel_model_for_its_own_rows_of_the_kernel():
    model = NTKRegressor(depth=2).partial_fit(X[:50], Y[:50]).partial_fit(X[50:60], Y[50:60])
    kernel, asked = model._kernel, []

    def counted(*sides):
        K = kernel(*sides)
        asked.append(K.size)
        return K

    model._kernel = counted
    model.partial_fit(X[60:70], Y[60:70])
    assert sum(asked) == 10 * 70


def test_rows_join_the_equations_of_landmarks():
    options = {"depth": 1, "solver": "nystrom", "n_landmarks": 15, "regularization": 0.1}
    model = NTKRegressor(**options).partial_fit(X[:50], Y[:50], uneven(50) + 0.1)
    landmarks, weights = model.rows_, model._stream["weights"]
    for part in (slice(50, 60), slice(60, 85)):
        model.partial_fit(X[part], Y[part])
    np.testing.assert_array_equal(model.rows_, landmarks)
    weights = np.append(weights, np.ones(35))
    K = model._kernel(model._rows(X[:85]), landmarks)
    normal = K.T @ (weights[:, None] * K) + 0.1 * model._kernel(landmarks)
    right = K.T @ (weights[:, None] * model._scaling.scaled(Y[:85, None]))
    expected = model._scaling.unscaled(model._kernel(model._rows(X), landmarks)
                                       @ np.linalg.solve(normal, right))  # fmt: skip
    np.testing.assert_allclose(model.predict(X), expected[:, 0], rtol=1e-6)


@pytest.fixture
def linearised(monkeypatch):
    """Have rows join networks of few rows too, however much these bend."""
    monkeypatch.setattr("subquad.estimators._streams._network._FEWEST_ROWS", 40)
    monkeypatch.setattr("subquad.estimators._streams._network._MOST_BEND", np.inf)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_rows_that_join_a_network_are_linearised_where_the_fit_stood(linearised, dtype):
    """Against J of all rows as matrices, each at the weights it met."""
    rows, T, weights = X.copy(), np.column_stack([Y, Y**2]), uneven(75) + 0.1
    rows[60] = rows[3]
    options = {"regularization": 0.1, "constant": 1.0, "random_state": 0, "dtype": dtype}
    model = GaussNewtonRegressor(width=128, **options)
    U, H, aims = [], [], []
    for part in (slice(0, 45), slice(45, 60), slice(60, 75)):
        if part.start:
            add_linearised(model, rows[part], T[part], U, H, aims)
        model.partial_fit(rows[part], T[part], weights[part])
        if not part.start:
            add_linearised(model, rows[part], T[part], U, H, aims)
    assert "joined last" in model.solver_report_
    H, change = np.concatenate(H), 0.0
    for c in range(2):
        J = np.einsum("ni,nj->nij", np.concatenate([u[c] for u in U]), H).reshape(75, -1)
        t = np.concatenate(aims)[:, c]
        g = np.linalg.solve(J @ J.T + 0.1 * np.diag(1 / weights), t)
        change = change + (g @ J).reshape(128, -1)
    A, V = model.factors_
    tol = 1e-7 if dtype == "float64" else 1e-3
    np.testing.assert_allclose(A.T @ V, change, rtol=0, atol=tol * np.abs(change).max())


def add_linearised(model, rows, T, U, H, aims):
    """Note the Jacobians of some rows at the present weights, and what linear models aim at."""
    layer = model.network_.last_layer(model._rows(rows))
    A, V = model.factors_
    Z = layer.preactivations + layer.features @ (V.T @ A)
    slopes = (layer.thresholds[:, None] < Z) * layer.activation.scale
    f = layer.outputs((A, V)) - layer.outputs()
    U.append([slopes * a for a in layer.readout])
    H.append(layer.features)
    linear = (slopes * (Z - layer.preactivations)) @ layer.readout.T
    aims.append(model._scaling.scaled(T) - f + linear)


@pytest.mark.parametrize("kind", ["kernel", "network"])
def test_a_stream_ends_within_two_percent_of_the_fit_of_all(kind, monkeypatch):
    """Errors on 2,000 new rows: 2 % is what is promised, of 780 rows at 60 a time."""
    monkeypatch.setattr("subquad.estimators._streams._network._FEWEST_ROWS", 200)
    rng = np.random.default_rng(5)
    rows = rng.uniform(-1, 1, (2780, 4))
    clean = np.cos(2 * rows[:, 0] + rows[:, 1]) + rows[:, 2] * rows[:, 3]
    y = clean + 0.1 * rng.standard_normal(len(rows))
    model = (
        GaussNewtonRegressor(width=512, random_state=0)
        if kind == "network"
        else NTKRegressor(depth=2)
    )
    full = type(model)(**model.get_params()).fit(rows[:780], y[:780])
    for first in range(0, 780, 60):
        model.partial_fit(rows[first : first + 60], y[first : first + 60])
    assert "joined last" in model.solver_report_
    errors = [np.sqrt(np.mean((m.predict(rows[780:]) - clean[780:]) ** 2)) for m in (model, full)]
    assert np.hypot(errors[0], 0.1) < 1.02 * np.hypot(errors[1], 0.1)


def test_a_network_that_bends_is_trained_on_all_rows(linearised, monkeypatch):
    def fitted():
        model = GaussNewtonRegressor(width=128, random_state=0).partial_fit(X[:50], Y[:50])
        return model.partial_fit(X[50:80], Y[50:80])

    assert "joined last" in fitted().solver_report_
    monkeypatch.setattr("subquad.estimators._streams._network._MOST_BEND", 0.0)
    model = fitted()
    assert "joined last" not in model.solver_report_
    monkeypatch.setattr("subquad.estimators._streams._network._FEWEST_ROWS", 1000)
    np.testing.assert_array_equal(fitted().predict(X), model.predict(X))


def test_a_trained_network_goes_on_from_rows_that_joined(linearised):
    """Equal rows that came apart are merged, and so is what they changed."""
    rows = X.copy()
    rows[50:60] = rows[:10]
    model = GaussNewtonRegressor(width=256, random_state=0, regularization=0.1)
    model.partial_fit(rows[:50], Y[:50]).partial_fit(rows[50:60], Y[50:60])
    assert len(model.factors_[0]) == 60
    before = model.predict(X)
    model.max_steps = 0
    model._go_on(rows[:60], Y[:60, None], np.ones(60), 60)
    assert len(model.factors_[0]) == 50
    np.testing.assert_allclose(model.predict(X), before, atol=1e-9)


@pytest.mark.parametrize("kind", ["kernel", "landmarks", "network"])
def test_a_saved_stream_goes_on_in_the_same_bits(linearised, kind, tmp_path):
    model = {
        "kernel": NTKRegressor(depth=2),
        "landmarks": NTKRegressor(depth=2, solver="nystrom", n_landmarks=20),
        "network": GaussNewtonRegressor(width=256, random_state=0),
    }[kind]
    for part in (slice(0, 50), slice(50, 60), slice(60, 65)):
        model.partial_fit(X[part], Y[part])
    io.save_model(model, tmp_path / "model")
    saved = (tmp_path / "model").stat().st_size
    others = [io.load_model(tmp_path / "model"), pickle.loads(pickle.dumps(model))]
    for other in [model, *others]:
        other.partial_fit(X[65:80], Y[65:80])
        np.testing.assert_array_equal(other.predict(X), model.predict(X))
        assert other.loo_error_ == model.loo_error_
    io.save_model(others[0], tmp_path / "model")
    assert (tmp_path / "model").stat().st_size < 2 * saved


@pytest.mark.parametrize("model", regressors(), ids=lambda model: type(model).__name__)
def test_a_chunk_that_is_interrupted_leaves_the_model_as_it_was(model, linearised, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    model.partial_fit(X[:50], Y[:50]).partial_fit(X[50:60], Y[50:60])
    before, state = model.predict(X), dict(vars(model))
    monkeypatch.setattr(BorderedCholesky, "joined", interrupt)
    with pytest.raises(KeyboardInterrupt):
        model.partial_fit(X[60:70], Y[60:70])
    monkeypatch.undo()
    assert vars(model) == state
    np.testing.assert_array_equal(model.predict(X), before)


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
