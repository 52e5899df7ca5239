"""What the command does to data: it reads what is written, or says in one sentence why not."""

import gzip
import json
import os

import numpy as np
import pytest

from subquad.__main__ import main
from subquad._command.delimited import Dialect
from subquad._command.errors import BadInput
from subquad._command.tables import read_features, read_training
from subquad._command.targets import as_target, choose_task
from subquad.io import load_model, read_header

pytest.importorskip("sklearn")
pyarrow = pytest.importorskip("pyarrow")
pytestmark = pytest.mark.usefixtures("own_folder")

SMALL = ("--width", 256, "--seed", 3)


def run(*words):
    return main([str(word) for word in words])


def fitted(capsys, *words):
    """The JSON document of a fit that must succeed."""
    assert run("fit", *words, *SMALL, "--json") == 0
    return json.loads(capsys.readouterr().out)


def refusal(capsys, *words):
    """The one sentence on standard error of a command that ends with status 2."""
    assert run(*words) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    return captured.err


def column(folder, values, name="t.csv", **written):
    """A table of one feature, the row's number, and the target `values`."""
    path = folder / name
    rows = "".join(f'{i};"{value}"\n' for i, value in enumerate(values))
    path.write_text(f"a;y\n{rows}", **written)
    return path


# Scores that are undefined.


@pytest.mark.parametrize(
    ("target", "options", "defined"),
    [([5.5] * 12, [], set()), (np.arange(12) / 7, ["--test-fraction", 0.1], {"train"})],
    ids=["constant target", "one test row"],
)
def test_a_fit_without_a_score_is_saved_and_the_score_is_null(
    capsys, tmp_path, target, options, defined
):
    model = tmp_path / "m.subquad"
    path = column(tmp_path, target)
    result = fitted(capsys, path, "--target", "y", "--model", model, *options)
    for scores in (result["scores"], result["ridge"], read_header(model)["notes"]["scores"]):
        assert {part for part in ("train", "test") if scores[part]["r2"] is not None} == defined
        assert scores["test"]["rmse"] >= 0
    assert run("fit", path, "--target", "y", "--no-model", *options, *SMALL) == 0
    assert "test R^2 undefined" in capsys.readouterr().out


# Labels.

LABELS = [
    ["02134", "10001"],
    ["007", "7"],
    ["10:30", "7:15"],
    ["true", "FALSE"],
    ["0x1F", "31"],
    ["+1", "-1"],
    ["98765432109876543210", "98765432109876543211"],
    ["-9223372036854775809", "9223372036854775808"],
    ["2020-01-02", "2020-1-2"],
    ["café", "cafe"],
    ["3", "-14"],
    [" x", "x"],
]


@pytest.mark.parametrize("labels", LABELS, ids=lambda labels: labels[0].strip())
def test_labels_are_predicted_as_they_are_written(capsys, tmp_path, labels):
    path = column(tmp_path, labels * 10, encoding="utf-8")
    model = tmp_path / "m.subquad"
    result = fitted(capsys, path, "--target", "y", "--model", model)
    assert result["data"]["task"] == "classification"
    assert set(map(str, load_model(model).classes_.tolist())) == set(labels)
    assert run("predict", model, path) == 0
    assert set(capsys.readouterr().out.split("\n")[1:-1]) <= set(labels)


def test_whole_numbers_with_a_point_are_labels_as_written(tmp_path):
    table = read_training(str(column(tmp_path, ["1.0", "2.0"] * 4)), "y")
    assert choose_task(table.y)[0] == "regression"
    assert set(as_target(table.y, "classification")) == {"1.0", "2.0"}


def test_integers_in_real_numbers_beyond_int64_stay_apart(tmp_path):
    np.savez(tmp_path / "t.npz", X=np.eye(4), y=[1e19, 2e19, 1e19, 2e19])
    y = read_training(str(tmp_path / "t.npz")).y
    assert set(as_target(y, "classification")) == {"1" + "0" * 19, "2" + "0" * 19}


def test_bytes_of_a_parquet_file_are_text_or_refused(tmp_path):
    from pyarrow import parquet

    path = str(tmp_path / "t.parquet")
    for word in ("café".encode(), "café".encode("latin-1")):
        parquet.write_table(pyarrow.table({"a": [1, 2], "y": [word, b"tea"]}), path)
        if word.startswith(b"caf\xc3"):
            assert read_training(path, "y").y.labels.tolist() == ["café", "tea"]
        else:
            with pytest.raises(
                BadInput, match=r"'y' of .* must hold text or numbers; got the byte"
            ):
                read_training(path, "y")


# Numbers that are written in another way.

NUMBERS = [f"{value:.2f}" for value in np.random.default_rng(0).uniform(1, 9, 300)]


@pytest.mark.parametrize(
    ("odd", "parts"),
    [
        ("-", ["'-' in row 31 (1 of 300", "--na=-"]),
        ("n.a.", ["'n.a.' in row 31", "--na=n.a."]),
        ("1,234.5", ["'1,234.5' in row 31", "--thousands=,"]),
        ("1234,5", ["'1234,5' in row 31", "--decimal=,"]),
        ("1 234", ["'1 234' in row 31", "--thousands=' '"]),
    ],
)
@pytest.mark.parametrize("numbers", [NUMBERS, ["1", "2", "3"] * 100], ids=["real", "integers"])
def test_one_entry_that_is_no_number_is_named_with_the_option_that_reads_it(
    capsys, tmp_path, numbers, odd, parts
):
    path = column(tmp_path, [*numbers[:30], odd, *numbers[31:]])
    sentence = refusal(capsys, "fit", path, "--target", "y")
    for part in ["'y'", "t.csv", *parts]:
        assert part in sentence
    assert os.listdir(".") == []


@pytest.mark.parametrize(
    ("written", "options"),
    [
        (lambda v: f"{v:,.2f}".replace(",", "_").replace(".", ",").replace("_", "."), ",."),
        (lambda v: f"{v:,.2f}", ".,"),
        (lambda v: f"{v:.2f}".replace(".", ","), ", "),
        (lambda v: f"${v:.2f}", None),
    ],
    ids=["1.234,5", "1,234.5", "1234,5", "$1234"],
)
def test_a_column_in_another_notation_is_refused_and_then_read(capsys, tmp_path, written, options):
    values = np.round(np.random.default_rng(1).uniform(1e3, 1e7, 60), 2)
    path = tmp_path / "t.csv"
    path.write_text("a;y\n" + "".join(f"{written(v)};{written(-v)}\n" for v in values))
    sentence = refusal(capsys, "fit", path, "--target", "y")
    assert written(values[0]) in sentence or written(-values[0]) in sentence
    if options is not None:
        dialect = Dialect(decimal=options[0], thousands=options[1].strip() or None)
        table = read_training(str(path), "y", dialect=dialect)
        np.testing.assert_array_equal(table.X[:, 0], values)
        np.testing.assert_array_equal(as_target(table.y, "regression"), -values)
        np.testing.assert_array_equal(read_features(str(path), ["a"], dialect).X[:, 0], values)
        words = [f"--decimal={options[0]}"]
        words += [f"--thousands={options[1]}"] if options[1].strip() else []
        assert fitted(capsys, path, "--target", "y", *words)["data"]["task"] == "regression"


@pytest.mark.parametrize("wrong", ["1.5", "12.34", "1.2345", "1.234.5"])
def test_separators_in_the_wrong_place_are_no_thousands(wrong):
    assert Dialect(decimal=",", thousands=".").number(wrong) is None
    assert Dialect(decimal=",", thousands=".").number("-1.234.567,8e1") == -12345678.0
    assert Dialect(decimal=",").number("1.5") is None


def test_na_leaves_rows_out_and_says_so(capsys, tmp_path):
    path = tmp_path / "t.csv"
    entries = [(str(i), f"{i / 3}") for i in range(20)]
    entries[4], entries[7], entries[9] = ("4", "-"), ("?", "7"), ("9", "")
    path.write_text("a,y\n" + "".join(f"{a},{y}\n" for a, y in entries))
    result = fitted(capsys, path, "--target", "y", "--na=-", "--na=?")
    assert result["data"]["rows_left_out"] == 3
    assert result["data"]["rows_train"] + result["data"]["rows_test"] == 17
    table = read_training(str(path), "y", dialect=Dialect(na=("-", "?")))
    assert 4 not in table.X
    assert as_target(table.y, "regression").tolist() == [
        float(y) for a, y in entries if a not in ("4", "?", "9")
    ]


def test_text_in_a_feature_is_offered_the_option_that_reads_it(capsys, tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a;y\n1,5;1\n2,5;2\n")
    assert "--decimal=," in refusal(capsys, "fit", path, "--target", "y")


def test_text_among_real_numbers_is_named_and_may_be_a_label(capsys, tmp_path):
    path = column(tmp_path, [*NUMBERS[:30], "$12", *NUMBERS[31:]])
    sentence = refusal(capsys, "fit", path, "--target", "y")
    assert "'$12' in row 31" in sentence
    assert "--task=classification" in sentence
    table = read_training(str(column(tmp_path, ["1", "2", "$12"] * 10)), "y")
    assert set(as_target(table.y, choose_task(table.y)[0])) == {"1", "2", "$12"}


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
    from subquad._command import columns

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

    monkeypatch.setattr(columns, "_parquet", lambda source: (Table(), set()))
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
    monkeypatch.setitem(__import__("sys").modules, module, None)
    sentence = refusal(capsys, "predict", model, path)
    assert f"pip install {distribution} " in sentence
    assert f'".[{extra}]"' in sentence


def test_a_package_missed_on_the_way_is_a_sentence_as_well(capsys, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "threadpoolctl", None)
    path = column(tmp_path, NUMBERS[:40])
    sentence = refusal(capsys, "fit", path, "--target", "y", "--threads", 1, *SMALL)
    assert "pip install threadpoolctl " in sentence


def test_a_terminal_without_tqdm_is_told_of_it_and_gets_the_rows(monkeypatch):
    import io

    from subquad._command.report import Progress, Report

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setitem(__import__("sys").modules, "tqdm", None)
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
