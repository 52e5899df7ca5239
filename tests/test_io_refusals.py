"""A file that is not a whole model of this package is refused in one sentence, and runs nothing."""

import io
import json
import os
import re
import zipfile

import numpy as np
import pytest
from fuzz import mutate_models
from layers import quietly

from subquad.io import ModelFileError, load_model, read_header, save_model

pytest.importorskip("sklearn")
# Files, whatever BLAS multiplies.
pytestmark = pytest.mark.machine
X = np.random.default_rng(0).standard_normal((48, 4))


@pytest.fixture(scope="module")
def regressor():
    from subquad.estimators import GaussNewtonRegressor

    estimator = GaussNewtonRegressor(width=256, random_state=0, max_steps=5)
    return quietly(estimator.fit, X, X[:, 0] * X[:, 1])


@pytest.fixture
def path(regressor, tmp_path):
    """The file of a saved regressor."""
    save_model(regressor, tmp_path / "m.subquad")
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


def test_a_small_file_cut_at_every_offset_is_refused(tmp_path):
    content, path = mutate_models.whole_files()[4], tmp_path / "m"
    sentences = set()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(ModelFileError) as caught:
            load_model(path)
        sentences.add(str(caught.value))
    assert sentences == {
        f"{path} must be a subquad model; it is of another kind, truncated or damaged."
    }


def test_mutations_are_refused_in_a_sentence_or_load_as_models_that_predict(tmp_path):
    counts, failures, _, largest = mutate_models.run(400, 0, tmp_path)
    assert not failures
    assert counts["refused"] > 300
    assert counts["loaded"] > 0
    assert largest[0] < 100e6


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("depth_", 10**7),
        ("depth_", "2"),
        ("depth_", 0),
        ("n_features_in_", 10**8),
        ("n_features_in_", 0),
        ("shift_", -1.0),
        ("shift_", {"float": "nan"}),
        ("_one_dimensional", True),
        ("_one_dimensional", None),
        ("regularization_", "x"),
        ("feature_names_in_", {"strings": ["a", "b"]}),
        ("_scaling", None),
    ],
)
def test_a_forged_attribute_of_a_kernel_model_is_refused(tmp_path, name, value):
    (tmp_path / "m").write_bytes(mutate_models.whole_files()[4])
    rewrite(tmp_path / "m", lambda header, entries: header["state"].update({name: value}))
    with pytest.raises(ModelFileError, match=r"its parts do not fit together \("):
        load_model(tmp_path / "m")


@pytest.mark.parametrize("key", ["class", "state", "parameters", "arrays", "format_version"])
@pytest.mark.parametrize("value", [None, 0, [1]])
def test_a_header_without_a_part_or_with_another_is_refused_by_every_reader(path, key, value):
    rewrite(path, lambda header, entries: header.update({key: value}))
    for reader in (load_model, read_header):
        with pytest.raises(ModelFileError, match=r"it has a header (that|whose) "):
            reader(path)


@pytest.mark.parametrize("name", ["header.json", "network_.readout.npy"])
def test_a_compressed_entry_is_refused_before_it_is_read(path, name):
    with zipfile.ZipFile(path) as archive:
        entries = {entry: archive.read(entry) for entry in archive.namelist()}
    entries[name] += bytes(2**28)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for entry, content in entries.items():
            archive.writestr(entry, content)
    assert os.path.getsize(path) < 2**20
    del entries, content
    with (
        mutate_models.Peak() as peak,
        pytest.raises(ModelFileError, match=r"header too large|compr"),
    ):
        load_model(path)
    assert peak.n_bytes < 50e6


def test_sizes_that_the_file_is_too_short_for_are_not_believed(path):
    # Every array of the same bytes, though each would be as large as the file.
    rewrite(path, set_array("factors_.1", np.zeros((10**6, 1))))
    content = bytearray(path.read_bytes())
    sizes = [m.start() for m in re.finditer(b"PK\x01\x02", content)]
    for start in sizes:
        content[start + 20 : start + 28] = content[sizes[-1] + 20 : sizes[-1] + 28]
    path.write_bytes(content)
    with pytest.raises(ModelFileError):
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
