"""A model comes back from its file as it went in; any other file is refused in one sentence."""

import io
import json
import os
import stat
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from layers import quietly

from subquad.io import ModelFileError, check_writable, load_model, read_header, save_model

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


def rewrite(path, change):
    """Write a model anew after `change(header, entries)`, with a sound zip and checksums."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    header = json.loads(entries.pop("header.json"))
    change(header, entries)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("header.json", json.dumps(header))
        for name, content in entries.items():
            archive.writestr(name, content)


def as_npy(array, **options):
    buffer = io.BytesIO()
    np.save(buffer, array, **options)
    return buffer.getvalue()


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


def test_a_file_cut_anywhere_is_refused(path):
    content = path.read_bytes()
    rng = np.random.default_rng(0)
    for length in [0, 1, len(content) - 1, *rng.integers(0, len(content), 40)]:
        path.write_bytes(content[:length])
        with pytest.raises(ModelFileError, match="of another kind, truncated or damaged"):
            load_model(path)


def test_a_changed_byte_is_found_or_changes_nothing(path, regressor):
    content = path.read_bytes()
    n_header = content.index(b"NUMPY")
    rng = np.random.default_rng(0)
    anywhere = rng.integers(0, len(content), 40)
    structure = rng.integers(0, n_header, 40), len(content) - rng.integers(1, 1000, 40)
    found = 0
    for position in np.concatenate([anywhere, *structure]):
        changed = bytearray(content)
        changed[position] ^= 1 << rng.integers(8)
        path.write_bytes(changed)
        try:
            loaded = load_model(path)
        except ModelFileError:
            found += 1
            continue
        np.testing.assert_array_equal(loaded.predict(X), regressor.predict(X))
    assert found >= 60


@pytest.mark.parametrize("kind", ["text", "npz", "zip", "pickle", "empty"])
def test_files_of_other_kinds_are_refused(tmp_path, kind):
    path = tmp_path / "m"
    if kind == "npz":
        np.savez(tmp_path / "m.npz", a=np.ones(3))
        os.rename(tmp_path / "m.npz", path)
    elif kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("header.json", '{"format": "another"}')
    else:
        path.write_bytes({"text": b"hello", "pickle": b"\x80\x04N.", "empty": b""}[kind])
    with pytest.raises(ModelFileError, match=r"m must be a subquad model; it "):
        load_model(path)


def test_a_newer_format_is_refused_with_what_to_do(path):
    rewrite(path, lambda header, entries: header.update(format_version=99))
    with pytest.raises(ModelFileError, match=r"has format 99, of a newer subquad.*Upgrade"):
        load_model(path)


class Dangerous:
    """Writes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_loading_never_executes_what_a_file_holds(path, tmp_path):
    victim = tmp_path / "executed"
    payload = as_npy(np.array([Dangerous(victim)], dtype=object), allow_pickle=True)
    name = "network_.readout"

    def change(header, entries):
        entries[f"{name}.npy"] = payload
        header["arrays"][name] = {"dtype": "|O", "shape": [1]}

    rewrite(path, change)
    with pytest.raises(ModelFileError):
        load_model(path)
    assert not victim.exists()


def set_array(name, array):
    """Return a change of `rewrite` that replaces an array, in the header too."""

    def change(header, entries):
        entries[f"{name}.npy"] = as_npy(array)
        header["arrays"][name] = {"dtype": array.dtype.str, "shape": list(array.shape)}

    return change


@pytest.mark.parametrize(
    "change",
    [
        lambda header, entries: header.update({"class": "object"}),
        lambda header, entries: header.update({"class": "subprocess.Popen"}),
        lambda header, entries: header["state"].update(__class__=1),
        lambda header, entries: header["state"].update(predict=1),
        lambda header, entries: header["state"].update(network_={"import": "os"}),
        lambda header, entries: header["state"].pop("network_"),
        lambda header, entries: header["parameters"].update(unknown=1),
        lambda header, entries: header.pop("state"),
        lambda header, entries: header["arrays"]["network_.readout"].update(shape=[2**40]),
        lambda header, entries: entries.update(extra=b"1"),
        lambda header, entries: entries.pop("network_.readout.npy"),
        set_array("network_.columns.0", np.zeros((5, 255))),
        set_array("network_.columns.1", np.zeros((256, 128))),
        set_array("network_.columns.1", np.full((256, 256), np.nan)),
        set_array("network_.readout", np.ones((1, 128))),
        set_array("network_.readout", np.ones(256)),
        set_array("network_.readout", np.array(["a"])),
        set_array("factors_.0", np.ones((48, 255))),
        set_array("factors_.1", np.ones((47, 256))),
    ],
)
def test_a_header_and_arrays_that_do_not_fit_together_are_refused(path, change):
    rewrite(path, change)
    with pytest.raises(ModelFileError, match="must be a subquad model"):
        load_model(path)


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


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions and links")
def test_saving_follows_a_link_and_the_umask(path, regressor, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(path)
    old_umask = os.umask(0o027)
    try:
        save_model(regressor, link)
    finally:
        os.umask(old_umask)
    assert link.is_symlink()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert load_model(link).n_features_in_ == 4


def test_only_fitted_estimators_of_the_package_are_saved(tmp_path):
    from sklearn.linear_model import Ridge

    from subquad.estimators import GaussNewtonRegressor

    with pytest.raises(TypeError, match=r"estimator must be one of .*got Ridge"):
        save_model(Ridge().fit(X, X[:, 0]), tmp_path / "m")
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


def test_a_header_is_read_without_scikit_learn(path):
    code = (
        "import sys; from subquad.io import read_header; read_header(sys.argv[1]); "
        "sys.exit('sklearn' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-P", "-c", code, str(path)]).returncode == 0
