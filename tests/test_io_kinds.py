"""Every estimator, every network, and pipelines of plain steps are saved and loaded."""

import json
import zipfile

import numpy as np
import pytest
import scipy.sparse
from layers import quietly

pytest.importorskip("sklearn")

from sklearn.decomposition import PCA
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    RobustScaler,
    StandardScaler,
)

from subquad import estimators
from subquad.activations import ReLU
from subquad.estimators import (
    FactoredClassifier,
    FactoredRegressor,
    GaussNewtonRegressor,
    HalfSpaceSGDClassifier,
    HalfSpaceSGDRegressor,
    NTKClassifier,
    NTKRegressor,
    PolynomialTensorSketch,
)
from subquad.io import ModelFileError, load_model, save_model
from subquad.networks import FactoredNetwork, PairedNetwork, TwoLayerNetwork, WideNetwork
from subquad.training import HuberLoss

X = np.random.default_rng(0).standard_normal((60, 3))
Y = X[:, 0] * X[:, 1]
LABELS = np.array(["low", "mid", "high"])[np.digitize(Y, [-0.3, 0.3])]
SMALL = {"width": 512, "random_state": 0}
HALF_SPACE = {**SMALL, "n_epochs": 3}


def saved(model, tmp_path):
    save_model(model, tmp_path / "m")
    return load_model(tmp_path / "m")


@pytest.mark.parametrize(
    ("model", "y"),
    [
        (FactoredRegressor(**SMALL), Y),
        (FactoredRegressor(**SMALL, sketch="gaussian", dtype="float32"), np.c_[Y, X[:, 2]]),
        (FactoredRegressor(**SMALL, outer_size=None, callback=print), Y),
        (FactoredClassifier(**SMALL), LABELS),
        (HalfSpaceSGDRegressor(**HALF_SPACE, loss=HuberLoss(0.5)), np.c_[Y, X[:, 2]]),
        (HalfSpaceSGDRegressor(**HALF_SPACE, dynamics="kernel", report=None), Y),
        (HalfSpaceSGDRegressor(**HALF_SPACE, average=True, dtype="float32"), Y),
        (HalfSpaceSGDClassifier(**HALF_SPACE, loss="logistic", learning_rate=0.5), LABELS),
    ],
    ids=lambda value: type(value).__name__,
)
def test_estimators_predict_as_before(model, y, tmp_path):
    quietly(model.fit, X, y)
    copy = saved(model, tmp_path)
    assert type(copy) is type(model)
    np.testing.assert_array_equal(copy.predict(X), model.predict(X))
    np.testing.assert_array_equal(copy._outputs(X), model._outputs(X))
    if hasattr(model, "predict_proba"):
        np.testing.assert_array_equal(copy.predict_proba(X), model.predict_proba(X))
    assert copy.network_.n_features == model.network_.n_features


def test_every_estimator_is_named_by_the_function_that_saves_them():
    import subquad.io

    assert set(estimators.__all__) <= set(subquad.io._ESTIMATORS)


@pytest.mark.parametrize("average", [False, True])
def test_a_stream_goes_on_where_it_stood(average, tmp_path):
    model = HalfSpaceSGDRegressor(**HALF_SPACE, average=average)
    for _ in range(2):
        quietly(model.partial_fit, X, Y)
    copy = quietly(saved, model, tmp_path)
    for one in (model, copy):
        one.partial_fit(X[:30], Y[:30])
        one.trainer_.run(X=np.c_[X, np.ones(60)], y=Y)  # in the order that the generator tells
    assert copy.n_steps_ == model.n_steps_
    np.testing.assert_allclose(copy.predict(X), model.predict(X), rtol=1e-10)


def test_a_polynomial_sketch_is_saved(tmp_path):
    sketch = PolynomialTensorSketch(degree=3, coef0=1.0, n_components=64, random_state=0).fit(X)
    copy = saved(sketch, tmp_path)
    np.testing.assert_array_equal(copy.transform(X), sketch.transform(X))


@pytest.mark.parametrize(
    "network",
    [
        WideNetwork(3, width=32, rng=0),
        WideNetwork(3, width=32, activation=ReLU(), rng=0),
        FactoredNetwork(8, width=64, inner_size=4, outer_size=8, rng=0),
        FactoredNetwork(8, width=64, inner_size=4, outer_size=8, sketch="gaussian", rng=0),
        FactoredNetwork(8, width=64, inner_size=4, n_outputs=2, rng=0, dtype=np.float32),
        TwoLayerNetwork(3, 64, n_outputs=2, rng=0),
        PairedNetwork(3, width=64, n_outputs=2, rng=0),
    ],
    ids=lambda network: type(network).__name__,
)
def test_networks_are_saved(network, tmp_path):
    copy = saved(network, tmp_path)
    rows = np.random.default_rng(1).standard_normal((5, network.n_features))
    assert repr(copy) == repr(network)
    np.testing.assert_array_equal(copy.outputs(rows), network.outputs(rows))


STEPS = [StandardScaler(), MinMaxScaler(), MaxAbsScaler(), RobustScaler(), Normalizer()]


@pytest.mark.parametrize("step", STEPS, ids=lambda step: type(step).__name__)
def test_pipelines_of_plain_steps_are_saved(step, tmp_path):
    model = make_pipeline(SimpleImputer(), step, "passthrough", NTKClassifier(depth=1))
    gaps = X.copy()
    gaps[3, 1] = np.nan
    model.fit(gaps, LABELS)
    copy = saved(model, tmp_path)
    assert [name for name, _ in copy.steps] == [name for name, _ in model.steps]
    np.testing.assert_array_equal(copy.predict_proba(gaps), model.predict_proba(gaps))
    assert copy.score(gaps, LABELS) == model.score(gaps, LABELS)


def test_a_pipeline_of_a_table_with_names_and_of_a_sketch_is_saved(tmp_path):
    pd = pytest.importorskip("pandas")
    table = pd.DataFrame(X, columns=["a", "b", "c"])
    sketch = PolynomialTensorSketch(degree=2, n_components=64, random_state=0)
    last = GaussNewtonRegressor(**SMALL)
    model = make_pipeline(StandardScaler().set_output(transform="pandas"), sketch, last)
    model.fit(table, Y)
    np.testing.assert_array_equal(saved(model, tmp_path).predict(table), model.predict(table))


def test_other_steps_and_models_are_refused_by_name(tmp_path):
    model = make_pipeline(PCA(2), NTKRegressor(depth=1)).fit(X, Y)
    with pytest.raises(TypeError, match=r"estimator must have steps out of .*; got PCA\."):
        save_model(model, tmp_path / "m")
    with pytest.raises(ValueError, match="estimator must be fitted"):
        save_model(make_pipeline(StandardScaler(), NTKRegressor()), tmp_path / "m")
    with pytest.raises(ValueError, match="estimator must be fitted"):
        save_model(FactoredRegressor(), tmp_path / "m")
    with pytest.raises(TypeError, match=r"estimator must be one of .*, Pipeline, .*; got PCA\."):
        save_model(PCA(), tmp_path / "m")
    text = make_pipeline(SimpleImputer(strategy="most_frequent"), NTKRegressor(depth=1))
    text[0].fit(np.array([["a"], ["b"]], dtype=object))
    text[-1].fit(X, Y)
    with pytest.raises(TypeError, match="to be saved"):
        save_model(text, tmp_path / "m")
    assert not (tmp_path / "m").exists()


def damaged(path, change):
    """The file with another header."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    header = json.loads(entries["header.json"])
    change(header)
    entries["header.json"] = json.dumps(header).encode()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)


def test_a_header_that_asks_for_other_classes_is_refused(tmp_path):
    path = tmp_path / "m"
    pipeline = make_pipeline(StandardScaler(), NTKRegressor(depth=1)).fit(X, Y)
    for change in (
        lambda header: header["state"]["steps"][0][1].update({"class": "FunctionTransformer"}),
        lambda header: header["state"]["steps"][0][1]["state"].update({"transform": 1}),
        lambda header: header["state"]["steps"].append(["x", {"class": "Pipeline"}]),
        lambda header: header.update({"class": "TwoLayerNetwork"}),
    ):
        save_model(pipeline, path)
        damaged(path, change)
        with pytest.raises(ModelFileError):
            load_model(path)


def test_sketches_out_of_range_are_refused(tmp_path):
    sketch = PolynomialTensorSketch(n_components=64, random_state=0).fit(scipy.sparse.eye_array(4))
    sketch.indexHash_[0, 0] = 64
    save_model(sketch, tmp_path / "m")
    with pytest.raises(ModelFileError, match=r"do not fit together .*in \[0, 64\)"):
        load_model(tmp_path / "m")
