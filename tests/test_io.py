"""A model comes back from its file as it went in; saving is all or nothing."""

import copy
import functools
import os
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from layers import quietly

from subquad.io import check_writable, load_model, read_header, save_model

pytest.importorskip("sklearn")
X = np.random.default_rng(0).standard_normal((48, 4))


def new_regressor(**options):
    from subquad.estimators import GaussNewtonRegressor

    options = {"width": 256, "random_state": 0, "max_steps": 5, **options}
    return quietly(GaussNewtonRegressor(**options).fit, X, X[:, 0] * X[:, 1])


@pytest.fixture(scope="module")
def regressor():
    return new_regressor()


@pytest.fixture
def path(regressor, tmp_path):
    """The file of a saved regressor."""
    save_model(regressor, tmp_path / "m.subquad", notes={"source": "normals"})
    return tmp_path / "m.subquad"


@pytest.mark.parametrize("readout", ["partition", "dense"])
@pytest.mark.parametrize("depth", [2, 3])
def test_a_classifier_comes_back_with_every_prediction_and_record(tmp_path, dtype, readout, depth):
    from subquad.estimators import GaussNewtonClassifier

    y = np.array(["low", "mid", "high"])[np.digitize(X[:, 0], [-0.5, 0.5])]
    options = {"width": 384, "depth": depth, "dtype": dtype, "readout": readout, "shift": 0.0}
    model = quietly(GaussNewtonClassifier(**options, max_steps=4, random_state=1).fit, X, y)
    save_model(model, tmp_path / "m")
    loaded = load_model(tmp_path / "m")
    np.testing.assert_array_equal(loaded.decision_function(X), model.decision_function(X))
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
    assert loaded.get_params() == model.get_params()
    assert loaded.history_ == model.history_
    assert vars(loaded).keys() == vars(model).keys()


@pytest.mark.parametrize("scale_features", [True, "marginal_likelihood"])
def test_kernel_models_come_back(tmp_path, dtype, scale_features):
    from subquad.estimators import NTKClassifier, NTKRegressor

    options = {"depth": (1, 2), "scale_features": scale_features, "dtype": dtype.name}
    for new, y in ((NTKRegressor, X[:, :2] * X[:, 2:]), (NTKClassifier, np.sign(X[:, 0]))):
        model = new(**options).fit(X, y)
        save_model(model, tmp_path / "m")
        loaded = load_model(tmp_path / "m")
        np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
        assert loaded.get_params() == model.get_params()
        assert vars(loaded).keys() == vars(model).keys()


def test_a_kernel_model_of_several_outputs_predicts_the_same_bits(tmp_path):
    from subquad.estimators import NTKRegressor

    rng = np.random.default_rng(0)
    X = rng.standard_normal((300, 6))
    model = NTKRegressor(depth=2).fit(X, np.sin(X @ rng.standard_normal((6, 7))))
    save_model(model, tmp_path / "m")
    loaded = load_model(tmp_path / "m")
    assert loaded.dual_coef_.strides == model.dual_coef_.strides
    for n in (1, 2, 50, 300):
        np.testing.assert_array_equal(loaded.predict(X[:n]), model.predict(X[:n]))


@pytest.mark.parametrize("kind", ["NTKRegressor", "GaussNewtonRegressor"])
def test_files_that_hold_the_parts_of_a_scaling_one_by_one_are_read(tmp_path, kind):
    from subquad import estimators

    options = {"depth": 1} if kind == "NTKRegressor" else {"width": 256, "random_state": 0}
    model = quietly(getattr(estimators, kind)(**options).fit, X, X[:, 0] * X[:, 1])
    old = copy.copy(model)
    parts = vars(old.__dict__.pop("_scaling"))
    old.__dict__.update({f"_{name}": value for name, value in parts.items()})
    if kind == "NTKRegressor":
        old.__dict__["feature_scales_"] = parts["scale"]
        old.__dict__["_scale"] = np.ones(4)
    save_model(old, tmp_path / "m")
    loaded = load_model(tmp_path / "m")
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
    assert vars(loaded).keys() == vars(model).keys()


def test_column_names_come_back(tmp_path):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=list("abcd"))
    from subquad.estimators import GaussNewtonRegressor

    model = quietly(GaussNewtonRegressor(width=256, random_state=0).fit, frame, X[:, 0])
    save_model(model, tmp_path / "m")
    loaded = load_model(tmp_path / "m")
    assert loaded.feature_names_in_.tolist() == list("abcd")
    np.testing.assert_array_equal(loaded.predict(frame), model.predict(frame))


def test_what_lives_only_in_the_process_is_left_out(tmp_path):
    model = new_regressor(callback=print, random_state=np.random.RandomState(0))
    save_model(model, tmp_path / "m")
    loaded = load_model(tmp_path / "m")
    assert loaded.callback is None
    assert loaded.random_state is None
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))


def test_the_header_says_what_the_model_is_without_reading_arrays(path):
    header = read_header(path)
    assert header["class"] == "GaussNewtonRegressor"
    assert header["parameters"]["width"] == 256
    assert header["notes"] == {"source": "normals"}


def test_numpy_opens_the_arrays(path, regressor):
    with np.load(path) as arrays:
        readout = arrays["network_.readout"]
    np.testing.assert_array_equal(readout, regressor.network_.readout)


def test_an_interrupted_save_leaves_the_old_model_and_nothing_else(
    path, regressor, tmp_path, monkeypatch
):
    before = path.read_bytes()

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("numpy.lib.format.write_array", interrupt)
    with pytest.raises(KeyboardInterrupt):
        save_model(regressor, path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == [path.name]


def test_only_fitted_estimators_of_the_package_are_saved(tmp_path):
    from sklearn.linear_model import Lasso

    from subquad.estimators import GaussNewtonRegressor

    with pytest.raises(TypeError, match=r"estimator must be one of .*got Lasso"):
        save_model(Lasso().fit(X, X[:, 0]), tmp_path / "m")
    with pytest.raises(ValueError, match="estimator must be fitted"):
        save_model(GaussNewtonRegressor(), tmp_path / "m")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["folder", "missing/m", "file/m", "x" * 300])
def test_a_path_that_cannot_be_written_is_found_out_beforehand(tmp_path, regressor, name):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"^--model must "):
        check_writable(tmp_path / name, name="--model")
    with pytest.raises(OSError, match=r"\[Errno"):
        save_model(regressor, tmp_path / name)
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]


def test_a_disk_without_room_is_found_out_beforehand(tmp_path):
    with pytest.raises(OSError, match="path must have room for"):
        check_writable(tmp_path / "m", n_bytes=2**62)


def test_checking_a_path_leaves_no_trace(path, tmp_path):
    before = path.read_bytes()
    check_writable(path, n_bytes=1)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize(
    ("notes", "sentence"),
    [
        ([1], "notes must be a dict or None; got list"),
        ({"a": {1}}, "notes must hold what JSON can"),
        ({"a": float("nan")}, "notes must hold what JSON can"),
        ({"a": [0] * 2**20}, "notes must be shorter"),
        ({"a": "x" * 2**25}, "notes must fit"),
        ({"a": functools.reduce(lambda value, _: [value], range(80), 1)}, "notes must be shorter"),
    ],
)
def test_notes_that_no_reader_would_take_are_not_written(regressor, tmp_path, notes, sentence):
    with pytest.raises((TypeError, ValueError), match=sentence):
        save_model(regressor, tmp_path / "m", notes=notes)
    assert os.listdir(tmp_path) == []


def test_models_load_in_threads_and_leave_the_warnings_as_they_are(path):
    before = list(warnings.filters)
    with ThreadPoolExecutor(8) as pool:
        loaded = list(pool.map(load_model, [path] * 64))
    assert warnings.filters == before
    assert {model.n_features_in_ for model in loaded} == {4}


def test_loading_touches_no_state_of_the_process(path, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("process-wide")

    monkeypatch.setattr(warnings, "catch_warnings", refuse)
    monkeypatch.setattr(warnings, "simplefilter", refuse)
    monkeypatch.setattr(warnings, "filterwarnings", refuse)
    assert load_model(path).n_features_in_ == 4


def test_a_header_is_read_without_scikit_learn(path):
    code = (
        "import sys; from subquad.io import read_header; read_header(sys.argv[1]); "
        "sys.exit('sklearn' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-P", "-c", code, str(path)]).returncode == 0
