"""Every bad input of the command gets one sentence that names it, status 2, and costs no fit."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest
from command_line import refusal, run

from subquad._command import saved

pytest.importorskip("sklearn")
pytest.importorskip("pyarrow")
pytestmark = pytest.mark.usefixtures("own_folder")

GOOD = "a,b,y\n" + "".join(f"{i},{i * i},{i / 3}\n" for i in range(12))

MIXED = "a,b,y\n" + "".join(f"{i},{'$' if i == 7 else ''}{i},{i / 3}\n" for i in range(60))


@pytest.fixture
def no_fit(monkeypatch):
    """Make every fit fail the test: a refusal comes before the work."""

    def fit(*_):
        pytest.fail("a fit was begun")

    monkeypatch.setattr("subquad.estimators._gauss_newton.GaussNewtonRegression.fit", fit)
    monkeypatch.setattr("subquad.estimators._gauss_newton.GaussNewtonClassification.fit", fit)


def write(folder, text, name="table.csv"):
    path = folder / name
    path.write_text(text)
    return path


@pytest.mark.usefixtures("no_fit")
@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a,b,y\n1,2,\n4,5,6\n", ["target 'y'", "missing", "first in row 1"]),
        ("a,b,y\n1,2,3\n4,inf,6\n", ["finite", "'b', row 2"]),
        (MIXED, ["text", "'b' ('$7' in row 8)", "--na=X", "--ignore"]),
        ("a,b,y\n1,,3\n1,,6\n", ["tells rows apart", "a (constant), b (empty)"]),
        (",b,y\n0,2,3\n1,5,6\n", ["column 1 has no name", "index"]),
        ("b,b,y\n0,2,3\n1,5,6\n", ["once", "'b' twice"]),
        ("a,b,y\n0,2,3\n1,5\n", ["Expected 3 columns, got 2"]),
        ("a,b,y\n", ["at least one row"]),
        ("", ["Empty CSV file"]),
        ("y\n1\n2\n", ["besides the target"]),
        ("a,b,y\n1,2,3.5\n", ["2 rows or more", "1 of 1"]),
    ],
    ids=lambda value: repr(value)[:24] if isinstance(value, str) else "",
)
def test_a_table_is_refused_with_its_place_of_trouble(capsys, tmp_path, text, parts):
    sentence = refusal(capsys, "fit", write(tmp_path, text), "--target", "y", "--width", 64)
    for part in [*parts, "table.csv"]:
        assert part in sentence


@pytest.mark.usefixtures("no_fit")
@pytest.mark.parametrize(
    ("words", "parts"),
    [
        ([], ["--target", "a, b, y"]),
        (["--target", "z"], ["target column", "got z", "a, b, y"]),
        (["--target", "y", "--ignore", "c"], ["ignore", "got c", "a, b, y"]),
        (["--target", "y", "--ignore", "a", "--ignore", "b"], ["besides the target"]),
        (["--target", "y", "--ignore", "a,b"], ["besides the target"]),
        (["--target", "y", "--ignore", "a,y"], ["--ignore", "the target", "'y'"]),
        (["--target", "y", "--cv", 1], ["--cv", "at least 2", "got 1"]),
        (["--target", "y", "--cv", 3, "--test-fraction", 0.5], ["--cv", "--test-fraction"]),
        (["--target", "y", "--report", "no/such/page.html"], ["--report", "no/such"]),
        (["--target", "y", "--report", "table.csv"], ["--report", "the data"]),
        (["--target", "y", "--model", "ridge", "--width", 64], ["--model", "gn", "--width"]),
        (["--target", "y", "--no-model", "--model", "m"], ["--no-model", "--model m"]),
        (["--target", "y", "--test-fraction", 1], ["--test-fraction", "got 1.0"]),
        (["--target", "y", "--test-fraction", 0.95], ["2 rows or more", "1 of 12"]),
        (["--target", "y", "--seed", -1], ["--seed", "got -1"]),
        (["--target", "y", "--task", "classification"], ["'y'", "labels", "fractions"]),
        (["--target", "y", "--plot", "curve.xyz"], ["--plot", "png", "curve.xyz"]),
        (["--target", "y", "--model", "."], ["--model", "folder"]),
        (["--target", "y", "--model", "no/such/m.subquad"], ["--model", "no/such"]),
        (["--target", "y", "--plot", "no/such/curve.png"], ["--plot", "no/such"]),
    ],
    ids=lambda value: " ".join(map(str, value)),
)
def test_an_option_is_refused_by_name(capsys, tmp_path, monkeypatch, words, parts):
    monkeypatch.chdir(tmp_path)
    sentence = refusal(capsys, "fit", write(tmp_path, GOOD), *words)
    for part in parts:
        assert part in sentence
    assert os.listdir(tmp_path) == ["table.csv"]


@pytest.mark.parametrize(
    ("words", "argument"),
    [
        (["--width", 8], "width"),
        (["--depth", 1], "depth"),
        (["--shift", -1], "shift"),
        (["--regularization", -1], "regularization"),
        (["--threads", 0], "n_threads"),
        (["--max-steps", -1], "max_steps"),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, list) else "",
)
def test_a_size_the_network_cannot_have_is_refused_in_the_words_of_the_library(
    capsys, tmp_path, words, argument
):
    sentence = refusal(capsys, "fit", write(tmp_path, GOOD), "--target", "y", *words)
    assert sentence.startswith(f"subquad: {argument} must ")


@pytest.mark.usefixtures("no_fit")
@pytest.mark.parametrize(
    ("source", "part"),
    [
        ("digit", "digits, diabetes, breast_cancer; got 'digit'"),
        ("missing.csv", "exists; got 'missing.csv'"),
        ("table.pdf", "got 'table.pdf'"),
    ],
)
def test_an_unknown_source_is_refused(capsys, source, part):
    assert part in refusal(capsys, "fit", source)


@pytest.mark.usefixtures("no_fit")
@pytest.mark.parametrize("words", [["--target", "y"], ["--ignore", "y"]])
def test_a_bundled_data_set_takes_no_column_names(capsys, words):
    assert words[0] in refusal(capsys, "fit", "diabetes", *words)


@pytest.mark.usefixtures("no_fit")
@pytest.mark.parametrize(
    ("arrays", "part"),
    [
        ({"x": np.ones((3, 2)), "y": np.ones(3)}, "an array X must be in"),
        ({"X": np.ones((3, 2))}, "the target array must be in"),
        ({"X": np.ones(3), "y": np.ones(3)}, "shape (3,)"),
        ({"X": np.ones((3, 2)), "y": np.ones(4)}, "3 rows of X; got shape (4,)"),
        ({"X": np.array([[1.0, np.inf]] * 3), "y": np.ones(3)}, "column 1, row 1"),
        ({"X": np.array([[1.0, np.nan]] * 3), "y": np.ones(3)}, "0 (constant), 1 (empty)"),
        ({"X": np.ones((3, 2)), "y": np.array([1, 2, np.inf])}, "column 'y', row 3"),
        ({"X": np.ones((3, 2)), "y": np.ones(3) * 1j}, "complex128"),
        ({"X": np.ones((3, 2)), "y": np.array([None] * 3)}, "Object arrays cannot be loaded"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_arrays_are_refused_with_what_is_wrong_with_them(capsys, tmp_path, arrays, part):
    np.savez(tmp_path / "data.npz", **arrays)
    assert part in refusal(capsys, "fit", tmp_path / "data.npz")


@pytest.mark.usefixtures("no_fit")
def test_a_file_that_only_claims_to_be_npz_is_refused(capsys, tmp_path):
    assert "NPZ" in refusal(capsys, "fit", write(tmp_path, "hello", "data.npz"))


@pytest.mark.usefixtures("no_fit")
@pytest.mark.parametrize(
    ("package", "words", "extra"),
    [
        ("pyarrow", ["table.csv", "--target", "y"], "io"),
        ("sklearn", ["digits"], "sklearn"),
        ("matplotlib", ["digits", "--plot", "curve.png"], "plot"),
    ],
)
def test_a_missing_extra_is_named(capsys, tmp_path, monkeypatch, package, words, extra):
    monkeypatch.chdir(tmp_path)
    write(tmp_path, GOOD)
    monkeypatch.setitem(__import__("sys").modules, package, None)
    assert f'pip install "subquad[{extra}]"' in refusal(capsys, "fit", *words)


@pytest.mark.parametrize("command", ["predict", "info"])
def test_a_file_that_is_no_model_is_refused(capsys, tmp_path, command):
    path = write(tmp_path, GOOD)
    words = [path, path] if command == "predict" else [path]
    assert "table.csv must be a subquad model" in refusal(capsys, command, *words)


def test_a_model_file_that_does_not_exist_is_refused(capsys):
    assert "missing.subquad" in refusal(capsys, "info", "missing.subquad")


def test_a_table_without_the_columns_of_the_model_is_refused(capsys, tmp_path):
    model = tmp_path / "m.subquad"
    words = ["--target", "y", "--width", "256", "--model", model]
    assert run("fit", write(tmp_path, GOOD), *words) == 0
    capsys.readouterr()
    other = write(tmp_path, GOOD.replace("b", "c"), "other.csv")
    assert "got b. It has: a, c, y" in refusal(capsys, "predict", model, other)
    np.savez(tmp_path / "data.npz", X=np.ones((2, 3)))
    assert "2 features" in refusal(capsys, "predict", model, tmp_path / "data.npz")
    unwritable = tmp_path / "no" / "out.csv"
    assert "--output" in refusal(capsys, "predict", model, other, "--output", unwritable)


@pytest.mark.parametrize(
    ("option", "value"),
    [("--n", 0), ("--width", 0), ("--depth", 1), ("--outputs", 0), ("--shift", "nan")],
)
def test_a_plan_of_an_impossible_network_is_refused(capsys, option, value):
    sizes = {"--n": 10, "--width": 64, "--depth": 2, option: value}
    words = [word for pair in sizes.items() for word in pair]
    assert option in refusal(capsys, "plan", *words)


# Files that cannot be read.

DATA = "the data must be a file"
MODEL = "the model must be a file"


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["fit", "none.csv"], f"{DATA} that exists; got 'none.csv'"),
        (["fit", "folder.csv"], f"{DATA}; got the folder 'folder.csv'"),
        (["fit", "none.npz"], f"{DATA} that exists; got 'none.npz'"),
        (["predict", "none", "none.csv"], f"{MODEL} that exists; got 'none'. Name a file that"),
        (["predict", "folder.csv", "none.csv"], f"{MODEL}; got the folder 'folder.csv'. Name"),
        (["info", "none"], f"{MODEL} that exists; got 'none'. Name a file that `subquad fit`"),
        (["info", "folder.csv"], f"{MODEL}; got the folder 'folder.csv'. Name a file that"),
        (["info", "empty.csv/m"], f"{MODEL} that exists; got 'empty.csv/m'"),
        (["info", "m" * 300], f"{MODEL} that exists; got 'mmm"),
        (["info", "empty.csv"], "empty.csv must be a subquad model; it is of another kind"),
        (
            ["fit", "digits", "--resume", "--model", "m"],
            "no 'm.checkpoint'. Leave out --resume to begin anew",
        ),
        (
            ["fit", "digits", "--resume", "--model", "folder.csv/m"],
            "the checkpoint must be a file; got the folder 'folder.csv/m.checkpoint'",
        ),
    ],
)
def test_a_file_that_is_not_there_is_named_with_what_to_do(capsys, words, part):
    Path("folder.csv", "m.checkpoint").mkdir(parents=True)
    Path("empty.csv").touch()
    assert part in refusal(capsys, *words)


@pytest.mark.parametrize("words", [["info", "m"], ["predict", "m", "t.csv"], ["fit", "t.csv"]])
def test_a_file_that_may_not_be_read_is_named_with_what_to_do(capsys, monkeypatch, words):
    for name in ("m", "t.csv"):
        Path(name).touch()
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    text = refusal(capsys, *words)
    assert f"must be a file that you may read; got '{words[1]}'. Change its permissions" in text


def test_an_error_of_the_system_about_a_file_says_what_the_file_must_be(capsys, monkeypatch):
    Path("m").touch()
    for code, part in [
        (errno.EACCES, "a file must be one that you may read, or write, as was asked; got"),
        (errno.ENOENT, "a file must have a path that exists; got No such file or directory: 'm'"),
        (errno.EIO, "a file must be one that can be opened and kept; got"),
    ]:

        def failing(path, code=code):
            raise OSError(code, os.strerror(code), path)

        monkeypatch.setattr(saved, "read_header", failing)
        assert part in refusal(capsys, "info", "m")
