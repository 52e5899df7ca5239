"""A table is the same matrix and target from every kind of file that can hold it."""

import gzip

import numpy as np
import pytest

from subquad._command.errors import BadInput
from subquad._command.tables import read_features, read_training
from subquad._command.tables.targets import as_target, choose_task, from_array

pyarrow = pytest.importorskip("pyarrow")

X = np.array([[1.0, -2.5, 0.0], [3.0, 4e-7, 1.0], [5.0, 6.25, 1.0], [0.1, 1e300, 0.0]])
Y = np.array([0.5, -1.5, 2.5, 1 / 3])
NAMES = ["a", "b", "flag", "y"]


def as_text(delimiter):
    rows = np.column_stack([X, Y]).tolist()
    lines = [
        NAMES,
        *([repr(a), repr(b), ["false", "true"][int(f)], repr(y)] for a, b, f, y in rows),
    ]
    return "".join(delimiter.join(line) + "\n" for line in lines)


def write(folder, kind):
    path = folder / f"table{kind}"
    if kind == ".npz":
        np.savez(path, X=X, y=Y)
    elif kind == ".parquet":
        from pyarrow import parquet

        columns = [X[:, 0], X[:, 1], X[:, 2].astype(bool), Y]
        parquet.write_table(pyarrow.table(columns, names=NAMES), path)
    elif kind == ".csv.gz":
        path.write_bytes(gzip.compress(as_text(",").encode()))
    else:
        path.write_text(as_text("\t" if kind == ".tsv" else ","))
    return str(path)


KINDS = [".csv", ".tsv", ".csv.gz", ".parquet", ".npz", ".CSV"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_file_gives_the_same_numbers(tmp_path, kind):
    table = read_training(write(tmp_path, kind), "y")
    np.testing.assert_array_equal(table.X, X)
    np.testing.assert_array_equal(as_target(table.y, "regression"), Y)
    assert table.X.dtype == np.float64
    assert table.columns == (None if kind == ".npz" else NAMES[:3])


def test_features_come_in_the_order_the_model_asks_for(tmp_path):
    table = read_features(write(tmp_path, ".csv"), ["flag", "a"])
    np.testing.assert_array_equal(table.X, X[:, [2, 0]])


def test_ignored_columns_are_left_out(tmp_path):
    table = read_training(write(tmp_path, ".csv"), "y", ["a", "flag"])
    np.testing.assert_array_equal(table.X, X[:, 1:2])


def test_a_number_in_quotes_and_a_name_with_a_comma_are_read(tmp_path):
    path = tmp_path / "quoted.csv"
    path.write_text('"size, mm",y\n"1.5","two\nlines"\n2.5,one\n')
    table = read_training(str(path), "y")
    np.testing.assert_array_equal(table.X, [[1.5], [2.5]])
    assert table.columns == ["size, mm"]
    assert table.y.labels.tolist() == ["two\nlines", "one"]


def test_the_index_pandas_stores_in_a_parquet_file_is_no_feature(tmp_path):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"a": [1.0, 2.0], "y": [3.0, 4.0]}, index=[7, 9])
    frame.to_parquet(tmp_path / "table.parquet")
    assert read_training(str(tmp_path / "table.parquet"), "y").columns == ["a"]


def test_categories_of_a_parquet_file_are_labels(tmp_path):
    from pyarrow import parquet

    labels = pyarrow.array(["u", "v", "u"]).dictionary_encode()
    table = pyarrow.table({"a": [1, 2, 3], "y": labels})
    parquet.write_table(table, tmp_path / "table.parquet")
    y = read_training(str(tmp_path / "table.parquet"), "y").y
    assert y.labels.tolist() == ["u", "v", "u"]
    assert choose_task(y)[0] == "classification"


@pytest.mark.parametrize(
    ("name", "shape", "task"),
    [
        ("digits", (1797, 64), "classification"),
        ("breast_cancer", (569, 30), "classification"),
        ("diabetes", (442, 10), "regression"),
    ],
)
def test_bundled_data_sets_know_their_task(name, shape, task):
    pytest.importorskip("sklearn")
    table = read_training(name)
    assert table.X.shape == shape
    assert choose_task(table.y)[0] == task


@pytest.mark.parametrize(
    ("y", "task"),
    [
        (["u", "v"] * 5, "classification"),
        ([True, False] * 5, "classification"),
        ([0, 1] * 5, "classification"),
        (list(range(20)) * 2, "classification"),
        (list(range(21)) * 2, "regression"),
        (list(range(10)), "regression"),
        ([0.0, 1.0] * 5, "regression"),
    ],
    ids=["text", "booleans", "two integers", "20 integers", "21 integers", "a count", "real"],
)
def test_the_task_follows_from_the_target_and_can_be_overruled(y, task):
    y = from_array("table.npz", "y", np.array(y))
    assert choose_task(y)[0] == task
    assert choose_task(y, "regression") == ("regression", "as asked")


def test_whole_numbers_stored_as_real_ones_can_be_labels():
    labels = as_target(from_array("t", "y", np.array([0.0, 2.0, 2.0])), "classification")
    assert labels.dtype == np.int64
    assert labels.tolist() == [0, 2, 2]


def test_text_is_no_target_of_a_regression():
    with pytest.raises(BadInput, match=r"'y' of t\.npz must hold numbers .* got 'two' in row 2"):
        as_target(from_array("t.npz", "y", np.array(["1", "two"])), "regression")
