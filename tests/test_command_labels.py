"""Labels and numbers reach the model as they are written, or the command says why they cannot."""

import csv
import os

import numpy as np
import pytest
from command_line import SMALL, column, fitted, refusal, run

from subquad._command.errors import BadInput
from subquad._command.tables import read_features, read_training
from subquad._command.tables.delimited import Dialect
from subquad._command.tables.targets import as_target, choose_task
from subquad.io import load_model, read_header, save_model

pytest.importorskip("sklearn")
pyarrow = pytest.importorskip("pyarrow")
pytestmark = pytest.mark.usefixtures("own_folder")

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


def test_probabilities_are_written_in_columns_named_by_class(capsys, tmp_path):
    path, model = column(tmp_path, ["no", "yes, but", "no"] * 8), tmp_path / "m.subquad"
    fitted(capsys, path, "--target", "y", "--model", model)
    assert run("predict", model, path, "--proba") == 0
    head, *rows = csv.reader(capsys.readouterr().out.splitlines())
    assert head == ["prediction", "probability_no", "probability_yes, but"]
    chances = np.array([row[1:] for row in rows], dtype=float)
    table = read_features(str(path), ["a"], Dialect(";"))
    np.testing.assert_array_equal(chances, load_model(model).predict_proba(table.X))
    assert [row[0] for row in rows] == [head[1:][i].split("_")[1] for i in chances.argmax(axis=1)]


def test_probabilities_of_a_regressor_are_refused(capsys, tmp_path):
    path, model = column(tmp_path, np.arange(12) / 7), tmp_path / "m.subquad"
    fitted(capsys, path, "--target", "y", "--model", model)
    sentence = refusal(capsys, "predict", model, path, "--proba")
    assert "--proba must come with a classifier; got a GaussNewtonRegressor" in sentence


def test_probabilities_of_a_file_without_a_calibration_are_refused(capsys, tmp_path):
    path, model = column(tmp_path, ["no", "yes"] * 8), tmp_path / "m.subquad"
    fitted(capsys, path, "--target", "y", "--model", model)
    estimator = load_model(model)
    del estimator.calibration_
    save_model(estimator, model, notes=read_header(model)["notes"])
    assert "Fit it again" in refusal(capsys, "predict", model, path, "--proba")
    assert run("predict", model, path) == 0


def test_whole_numbers_with_a_point_are_labels_as_written(tmp_path):
    table = read_training(str(column(tmp_path, ["1.0", "2.0"] * 4)), "y")
    assert choose_task(table.y)[0] == "regression"
    assert set(as_target(table.y, "classification")) == {"1.0", "2.0"}


def test_integers_in_real_numbers_beyond_int64_stay_apart(tmp_path):
    np.savez(tmp_path / "t.npz", X=np.eye(4), y=[1e19, 2e19, 1e19, 2e19])
    y = read_training(str(tmp_path / "t.npz")).y
    assert set(as_target(y, "classification")) == {"1" + "0" * 19, "2" + "0" * 19}


def test_a_label_of_any_length_stays_whole(tmp_path):
    table = read_training(str(column(tmp_path, ["1" * 5000, "1" * 5001] * 4)), "y")
    assert choose_task(table.y)[0] == "classification"
    assert set(map(len, as_target(table.y, "classification"))) == {5000, 5001}


def test_numbers_stored_as_text_are_labels_until_a_regression_is_asked_for(tmp_path):
    from pyarrow import parquet

    path = str(tmp_path / "t.parquet")
    y = ["1", "2", "2", "-"] * 3
    parquet.write_table(pyarrow.table({"a": range(12), "y": y}), path)
    table = read_training(path, "y", dialect=Dialect(na=("-",)))
    assert table.read == {"rows_left_out": 3}
    assert choose_task(table.y)[0] == "classification"
    assert as_target(table.y, "classification").tolist() == ["1", "2", "2"] * 3
    assert as_target(table.y, "regression").tolist() == [1, 2, 2] * 3


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
        ("1,234.5", ["'1,234.5' in row 31", "with --thousands=',', or"]),
        ("1234,5", ["'1234,5' in row 31", "with --decimal=',', or"]),
        ("1 234", ["'1 234' in row 31", "with --thousands=' ', or"]),
        ("1.234.567", ["'1.234.567' in row 31", "with --decimal=',' --thousands='.', or"]),
        ("1.234,5", ["'1.234,5' in row 31", "with --decimal=',' --thousands='.', or"]),
        ("1,234", ["'1,234' in row 31", "with --decimal=',' or --thousands=',', or"]),
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
    assert result["data"]["rows_left_out"] == 2
    result = fitted(capsys, path, "--target", "y", "--na=-", "--na=?", "--gaps", "drop")
    assert result["data"]["rows_left_out"] == 3
    assert result["data"]["rows_train"] + result["data"]["rows_test"] == 17
    table = read_training(str(path), "y", dialect=Dialect(na=("-", "?")), drop_gaps=True)
    assert 4 not in table.X
    assert as_target(table.y, "regression").tolist() == [
        float(y) for a, y in entries if a not in ("4", "?", "9")
    ]


def test_text_in_a_feature_is_offered_the_option_that_reads_it(capsys, tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a;y\n1,5;1\n2,5;2\n")
    assert "--decimal=','" in refusal(capsys, "fit", path, "--target", "y")


def test_text_among_real_numbers_is_named_and_may_be_a_label(capsys, tmp_path):
    path = column(tmp_path, [*NUMBERS[:30], "$12", *NUMBERS[31:]])
    sentence = refusal(capsys, "fit", path, "--target", "y")
    assert "'$12' in row 31" in sentence
    assert "--task=classification" in sentence
    table = read_training(str(column(tmp_path, ["1", "2", "$12"] * 10)), "y")
    assert set(as_target(table.y, choose_task(table.y)[0])) == {"1", "2", "$12"}
