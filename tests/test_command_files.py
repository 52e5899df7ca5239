"""The files of the command: what an output may replace, encodings, separators, kinds, packages."""

import gzip
import io
import os
import sys

import numpy as np
import pytest
from command_line import SMALL, column, fitted, refusal, run
from fuzz import mutate_models

from subquad._command.report import Progress, Report
from subquad._command.tables import columns, read_features, read_training
from subquad._command.tables.delimited import Dialect

pytest.importorskip("sklearn")
pyarrow = pytest.importorskip("pyarrow")
pytestmark = pytest.mark.usefixtures("own_folder")

NUMBERS = [f"{i / 7:.3f}" for i in range(40)]

# Outputs and inputs.


@pytest.mark.parametrize("link", [None, os.symlink, os.link], ids=["itself", "symlink", "link"])
def test_no_output_overwrites_an_input_or_another_output(capsys, tmp_path, link):
    path, model = column(tmp_path, NUMBERS[:40]), tmp_path / "m.subquad"
    fitted(capsys, path, "--target", "y", "--model", model)
    same_table, same_model = path, model
    if link is not None:
        same_table, same_model = tmp_path / "linked.csv", tmp_path / "linked.subquad"
        link(path, same_table)
        link(model, same_model)
    before = path.read_bytes(), model.read_bytes()
    picture = tmp_path / "p.png"
    for words, parts in [
        (["fit", path, "--target", "y", "--model", same_table], ["--model", "the data"]),
        (["fit", path, "--target", "y", "--plot", same_table], ["--plot", "the data"]),
        (["predict", model, path, "--output", same_model], ["--output", "the model"]),
        (["predict", model, path, "--output", same_table], ["--output", "the data"]),
        (
            ["fit", path, "--target", "y", "--plot", picture, "--model", picture],
            ["--plot", "the model"],
        ),
    ]:
        sentence = refusal(capsys, *words)
        assert all(part in sentence for part in [*parts, "another file"])
    assert before == (path.read_bytes(), model.read_bytes())


# Kinds of files.


def test_a_named_index_of_a_parquet_file_is_no_feature_but_may_be_asked_for(tmp_path):
    pandas = pytest.importorskip("pandas")
    path = str(tmp_path / "t.parquet")
    frame = pandas.DataFrame({"id": [7, 2, 9], "a": [1.0, 2.0, 5.0], "y": [3.0, 4.0, 6.0]})
    frame.set_index("id").to_parquet(path)
    assert read_training(path, "y").columns == ["a"]
    assert read_features(path).columns == ["a", "y"]
    assert read_features(path, ["id"]).X.tolist() == [[7], [2], [9]]


def test_the_columns_are_looked_at_once_each(tmp_path, monkeypatch):
    counted = []

    class Name(str):
        def __eq__(self, other):
            counted.append(self)
            return str.__eq__(self, other)

        __hash__ = str.__hash__

    n = 2000
    names = [Name(f"f{i}") for i in range(n)]
    table = pyarrow.table([[1.0, 2.0]] * (n + 1), names=[*names, "y"])

    class Table:
        column_names, num_rows, schema = [*names, "y"], 2, table.schema

        def column(self, name):
            return table.column(str(name))

    monkeypatch.setattr(columns.stored, "read", lambda *_: (Table(), set()))
    columns.features_and_target("t.parquet", ".parquet", "y", [], Dialect())
    columns.features("t.parquet", ".parquet", names, Dialect())
    assert len(counted) < 20 * n


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-8-sig", "utf-32"])
@pytest.mark.parametrize("zipped", [False, True])
def test_a_byte_order_mark_is_followed_and_said(capsys, tmp_path, encoding, zipped):
    text = "größe,y\n" + "".join(f"{i},{i / 3}\n" for i in range(20))
    if encoding == "utf-16-le":
        text = "\ufeff" + text
    path = tmp_path / ("t.csv.gz" if zipped else "t.csv")
    path.write_bytes((gzip.compress if zipped else bytes)(text.encode(encoding)))
    table = read_training(str(path), "y")
    assert table.columns == ["größe"]
    np.testing.assert_array_equal(table.X[:, 0], np.arange(20))
    said = fitted(capsys, path, "--target", "y")["data"].get("encoding", "utf-8-sig")
    assert said == encoding.removesuffix("-le")


def test_utf_16_without_a_mark_is_named_and_read_as_asked(capsys, tmp_path):
    path = tmp_path / "t.csv"
    for order in ("le", "be"):
        path.write_bytes("a,y\n1,2.5\n2,3.5\n3,4.5\n".encode(f"utf-16-{order}"))
        sentence = refusal(capsys, "fit", path, "--target", "y")
        assert f"--encoding=utf-16-{order}" in sentence
        dialect = Dialect(encoding=f"utf-16-{order}")
        assert read_training(str(path), "y", dialect=dialect).X.tolist() == [[1], [2], [3]]


@pytest.mark.parametrize("text", ["größe,y\n1,2.5\n2,3.5\n", "a,y\n1,tea\n2,café\n"])
def test_latin_1_is_refused_with_its_place_and_read_as_asked(capsys, tmp_path, text):
    path = tmp_path / "t.csv"
    path.write_bytes(text.encode("latin-1"))
    sentence = refusal(capsys, "fit", path, "--target", "y")
    word, line = ("größe", 1) if "größe" in text else ("café", 3)
    for part in ["UTF-8", f"line {line}", word, "--encoding=latin-1"]:
        assert part in sentence
    table = read_training(str(path), "y", dialect=Dialect(encoding="latin-1"))
    assert word in [*table.columns, *table.y.labels.tolist()]


@pytest.mark.parametrize(("sep", "name"), [(";", "t.csv"), ("\t", "t.csv"), (",", "t.tsv")])
def test_a_header_of_one_column_tells_the_separator(capsys, tmp_path, sep, name):
    path = tmp_path / name
    path.write_text(f"a{sep}b{sep}y\n" + "".join(f"{i}{sep}{-i}{sep}{i / 3}\n" for i in range(20)))
    result = fitted(capsys, path, "--target", "y")
    assert result["data"]["separator"] == sep
    assert result["data"]["features"] == 2
    assert read_features(str(path), ["b"]).X[3, 0] == -3


def test_a_separator_that_cannot_be_told_is_asked_for(capsys, tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("size, mm;y\n1;2.5\n2;3.5\n")
    assert "--sep=';'" in refusal(capsys, "fit", path, "--target", "y")
    assert read_training(str(path), "y", dialect=Dialect(sep=";")).columns == ["size, mm"]


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["--sep", ";;"], "--sep must be one character"),
        (["--encoding", "hex"], "--encoding must be one"),
        (["--encoding", "latin-99"], "--encoding must be one"),
        (["--thousands", "."], "--thousands must be"),
        (["--thousands", "0"], "--thousands must be"),
    ],
)
def test_an_option_that_cannot_be_is_refused(capsys, tmp_path, words, part):
    path = column(tmp_path, NUMBERS[:12])
    assert part in refusal(capsys, "fit", path, "--target", "y", *words)


@pytest.mark.parametrize("words", [["--sep", ";"], ["--decimal", ","], ["--na", "-"]])
def test_options_of_text_go_with_text(capsys, words):
    assert words[0] in refusal(capsys, "fit", "digits", *words)


def test_an_array_of_objects_is_ignored_until_it_is_asked_for(capsys, tmp_path):
    path = tmp_path / "t.npz"
    extra = np.array([{"a": 1}, None], dtype=object)
    np.savez(path, X=np.eye(12), y=np.arange(12) / 7, extra=extra)
    assert fitted(capsys, path)["data"]["rows_train"] == 9
    sentence = refusal(capsys, "fit", path, "--target", "extra")
    assert "the array extra of" in sentence
    assert "astype(str)" in sentence


def compressed(path, *pieces):
    """A gzip file of pieces, each (text, times)."""
    with gzip.open(path, "wb", compresslevel=1) as file:
        for text, times in pieces:
            for _ in range(times):
                file.write(text.encode())
    return path


def test_columns_that_are_not_asked_for_take_no_memory(capsys, tmp_path):
    # Of 40 columns of text, 240 MB in all, which a file of a thousandth of that holds.
    header = ",".join(f"text{i}" for i in range(40))
    row = ",".join(["x" * 2000] * 40)
    path = compressed(
        tmp_path / "t.csv.gz", (f"a,y,{header}\n", 1), (f"1.5,2.5,{row}\n2.5,3.5,{row}\n", 1500)
    )
    assert os.path.getsize(path) < 4e6
    with mutate_models.Peak() as peak:
        assert read_features(str(path), ["a"]).X.shape == (3000, 1)
        ignore = [f"text{i}" for i in range(40)]
        assert read_training(str(path), "y", ignore).X.shape == (3000, 1)
    assert peak.n_bytes < 120e6
    assert read_training(str(path), "y", ignore).columns == ["a"]
    assert "and 22 more" in refusal(capsys, "fit", path, "--target", "y", "--ignore", "b")


def test_a_line_that_is_too_long_to_name_columns_is_refused_early(capsys, tmp_path):
    path = compressed(tmp_path / "t.csv.gz", ("x" * 2**20, 64))
    with mutate_models.Peak() as peak:
        assert "must begin with a line of names" in refusal(capsys, "fit", path, "--target", "y")
    assert peak.n_bytes < 200e6


# Packages that are not there.


@pytest.mark.parametrize(
    ("module", "distribution", "extra"),
    [("sklearn", "scikit-learn", "sklearn"), ("pyarrow", "pyarrow", "io")],
)
def test_a_prediction_without_a_package_says_how_to_install_it(
    capsys, tmp_path, monkeypatch, module, distribution, extra
):
    path, model = column(tmp_path, NUMBERS[:40]), tmp_path / "m.subquad"
    fitted(capsys, path, "--target", "y", "--model", model)
    monkeypatch.setitem(sys.modules, module, None)
    sentence = refusal(capsys, "predict", model, path)
    assert f"pip install {distribution} " in sentence
    assert f'".[{extra}]"' in sentence


def test_a_package_missed_on_the_way_is_a_sentence_as_well(capsys, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "threadpoolctl", None)
    path = column(tmp_path, NUMBERS[:40])
    sentence = refusal(capsys, "fit", path, "--target", "y", "--threads", 1, *SMALL)
    assert "pip install threadpoolctl " in sentence


def test_a_terminal_without_tqdm_is_told_of_it_and_gets_the_rows(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setitem(sys.modules, "tqdm", None)
    report = Report(as_json=False)
    report.stream = Terminal()
    assert Progress(report, 3).bar is None
    assert "pip install tqdm " in report.stream.getvalue()


def test_info_shows_no_character_that_a_terminal_obeys(capsys, tmp_path):
    path = column(tmp_path, NUMBERS[:40])
    path.write_text(path.read_text().replace("a;y", "\x1b[31mred;y"))
    model = tmp_path / "m.subquad"
    fitted(capsys, path, "--target", "y", "--model", model)
    assert run("info", model) == 0
    assert "\x1b" not in (text := capsys.readouterr().out)
    assert "\\x1b[31mred" in text
