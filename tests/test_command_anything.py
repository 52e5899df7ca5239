"""Anybody's table: text, dates and gaps become columns, alike from every kind of file."""

import io
import json
import os
import re
import shutil
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from command_line import refusal, run
from test_io_refusals import rewrite

from subquad._command.models import compare
from subquad._command.models.encoding import Encoding
from subquad._command.models.kinds import Recipe
from subquad._command.tables import read_training
from subquad.io import load_model, read_header

pytest.importorskip("sklearn")
pandas = pytest.importorskip("pandas")
pytest.importorskip("pyarrow")
pytestmark = pytest.mark.usefixtures("own_folder")

N = 120


def houses(n=N, seed=0):
    """A table of numbers, text, dates and gaps, with columns of no use."""
    rng = np.random.default_rng(seed)
    city, area = rng.choice(["Rome", "Oslo", "Lima"], n, p=[0.5, 0.3, 0.2]), rng.uniform(30, 200, n)
    sold = np.datetime64("2020-01-01") + rng.integers(0, 900, n)
    price = area * np.where(city == "Oslo", 3, 2) + rng.normal(0, 5, n)
    frame = pandas.DataFrame({"number": np.arange(1, n + 1), "city": city, "area": area.round(1)})
    frame["age"], frame["sold"] = rng.integers(0, 80, n) * 1.0, sold.astype(str)
    frame["note"], frame["country"] = [f"see {i}" for i in range(n)], "Utopia"
    frame["lift"], frame["price"] = rng.random(n) < 0.5, price.round(2)
    frame.loc[rng.random(n) < 0.1, "age"] = np.nan
    frame.loc[rng.random(n) < 0.1, "city"] = None
    return frame


def write(frame, kind):
    """The table in a file of a kind."""
    path = f"houses.{kind}"
    if kind == "csv":
        frame.to_csv(path, index=False)
    elif kind == "npz":
        X = frame.drop(columns="price")
        X = X.astype(object).where(X.notna(), "").astype(str).to_numpy(str)
        np.savez(path, X=X, y=frame["price"].to_numpy())
    elif kind == "jsonl":
        frame.to_json(path, orient="records", lines=True)
    elif kind == "xlsx":
        pytest.importorskip("openpyxl")
        frame.to_excel(path, index=False)
    else:
        getattr(frame, f"to_{kind}")(path)
    return path


def fit(capsys, *words):
    """The JSON document of a fit that must succeed."""
    assert run("fit", *words, "--json") == 0
    return json.loads(capsys.readouterr().out)


def predictions(capsys, *words):
    assert run("predict", *words) == 0
    return pandas.read_csv(io.StringIO(capsys.readouterr().out))


@pytest.fixture
def csv():
    return write(houses(), "csv")


RIDGE = ("--target", "price", "--model", "ridge")


@pytest.mark.parametrize("kind", ["npz", "parquet", "feather", "jsonl", "xlsx"])
def test_every_kind_of_file_gives_the_same_model(capsys, csv, kind):
    other = write(houses(), kind)
    words = ("--target", "y") if kind == "npz" else ("--target", "price")
    first = fit(capsys, csv, *RIDGE, "--output", "first")
    second = fit(capsys, other, *words, "--model", "ridge", "--output", "second")
    assert first["scores"] == second["scores"]
    assert first["scores"]["test"]["r2"] > 0.9
    np.testing.assert_array_equal(load_model("first").coef_, load_model("second").coef_)
    found = [predictions(capsys, "first", path)["prediction"] for path in (csv, other)]
    np.testing.assert_array_equal(*found)


def test_what_becomes_of_each_column_is_said(capsys, csv):
    assert run("fit", csv, *RIDGE) == 0
    text = capsys.readouterr().out
    for line in [
        "columns    5 of 8 used, as 13",
        "number: left out: counts the rows",
        "city: text, as 4 categories",
        "age: gaps filled, and told by a column",
        "sold: a date (iso), as time, sine of the year",
        "note: left out: 90 different texts in 90 rows",
        "country: left out: constant",
    ]:
        assert line in text


def test_gaps_and_categories_that_no_training_row_had_are_predicted_with_a_warning(capsys, csv):
    fit(capsys, csv, *RIDGE)
    new = houses().head(4)
    new.loc[0, "city"], new.loc[1, "area"], new.loc[2, "sold"] = "Atlantis", np.nan, None
    new.to_csv("new.csv", index=False)
    assert run("predict", "houses.subquad", "new.csv") == 0
    captured = capsys.readouterr()
    assert np.isfinite(pandas.read_csv(io.StringIO(captured.out))["prediction"]).all()
    assert captured.err.startswith("subquad: warning: the column 'city' holds 1 entries")
    assert "'Atlantis'" in captured.err
    known = predictions(capsys, "houses.subquad", csv)["prediction"]
    assert np.isfinite(known).all()


def test_text_where_the_model_reads_numbers_is_refused_and_a_placeholder_is_a_gap(capsys, csv):
    fit(capsys, csv, *RIDGE)
    new = houses().head(3).astype({"area": object})
    new.loc[1, "area"] = "?"
    new.to_csv("new.csv", index=False)
    assert len(predictions(capsys, "houses.subquad", "new.csv")) == 3
    new.loc[1, "area"] = "large"
    new.to_csv("new.csv", index=False)
    assert "'area' ('large' in row 2)" in refusal(capsys, "predict", "houses.subquad", "new.csv")


@pytest.mark.parametrize(
    ("texts", "kind"),
    [
        (["1", "2.5", "-3e2"], "number"),
        (["1", "?", "2", "n.a."], "number"),
        (["true", "false"], "number"),
        (["2020-01-02", "2021-12-31"], "date"),
        (["2020-01-02 10:30:00", "2021-12-31T08:00"], "date"),
        (["31.12.2020", "01.02.2021"], "date"),
        (["12/31/2020", "01/02/2021"], "date"),
        (["10/11/2020", "01/02/2021"], "text"),
        (["a", "b"], "text"),
        (["a1", "7", "8"], "text"),
    ],
)
def test_the_entries_decide_what_a_column_holds(texts, kind):
    rows = [*texts, ""] * 3
    with open("t.csv", "w") as file:
        file.write("a,y\n" + "".join(f"{text},{i}.5\n" for i, text in enumerate(rows)))
    frame = read_training("t.csv", "y").frame
    assert frame["a"].kind == kind
    assert frame["a"].gaps[len(texts)]
    encoding = Encoding.fit(frame)
    again = Encoding.from_json(json.loads(json.dumps(encoding.as_json())))
    np.testing.assert_array_equal(again.transform(frame), encoding.transform(frame))
    assert encoding.transform(frame).shape == (len(rows), len(encoding.labels))
    assert np.isfinite(encoding.transform(frame)).all()


def test_rare_categories_have_no_column_and_are_known():
    rows = ["a"] * 500 + ["b"] * 498 + ["c", "d"]
    with open("t.csv", "w") as file:
        file.write("a,y\n" + "".join(f"{text},{i}.5\n" for i, text in enumerate(rows)))
    frame = read_training("t.csv", "y").frame
    encoding = Encoding.fit(frame)
    assert encoding.used["a"]["categories"] == ["a", "b"]
    assert encoding.used["a"]["rare"] == ["c", "d"]
    np.testing.assert_array_equal(encoding.transform(frame)[-2:], 0)  # and no warning


def test_the_best_of_the_candidates_is_fitted_and_saved(capsys, monkeypatch):
    monkeypatch.setattr(compare, "FOLDS_OF_FEW", 2)
    rng = np.random.default_rng(0)
    for name, y in [("line", lambda X: X[:, 0]), ("wave", lambda X: np.sin(3 * X[:, 0]))]:
        X = rng.standard_normal((90, 2))
        np.savez(f"{name}.npz", X=X, y=y(X) + 0.05 * rng.standard_normal(90))
        result = fit(capsys, f"{name}.npz")
        found = {row["model"]: row["error"] for row in result["candidates"]}
        assert list(found) == ["ridge", "ntk", "ntk, learned scales", "gn, learned scales"]
        assert result["chosen"] == min(found, key=found.get)
        assert (result["chosen"] == "ridge") == (name == "line")
        assert read_header(f"{name}.subquad")["notes"]["kind"] == result["chosen"]
        predicted = predictions(capsys, f"{name}.subquad", f"{name}.npz")["prediction"]
        assert np.sqrt(np.mean((predicted - y(X)) ** 2)) < 2 * min(found.values())


@pytest.mark.parametrize(
    ("n", "solver"), [(2048, None), (2049, "pcg"), (4096, "pcg"), (4097, None), (100_000, None)]
)
def test_a_kernel_of_more_rows_than_were_compared_is_solved_by_iterations(n, solver):
    fitted = SimpleNamespace(depth_=2, regularization_=0.1)
    found = SimpleNamespace(
        recipe=Recipe("ntk", "learned"), model=SimpleNamespace(estimator=fitted)
    )
    recipe = compare.refined(found, n)
    assert recipe.options.get("solver") == solver
    assert recipe.options.get("regularization") == (0.1 if n > 2048 else None)
    if solver:
        exact = Recipe("ntk", "learned", {"depth": 2})
        forecasts = [compare.seconds_of(each, n, 1, 1e10) for each in (recipe, exact)]
        assert forecasts[0] < forecasts[1]


@pytest.mark.parametrize(
    ("words", "kind", "path"),
    [
        (["--model", "ridge"], "Ridge", "houses.subquad"),
        (["--model", "ridge", "--model", "m"], "Ridge", "m"),
        (["--output", "m", "--model", "ridge"], "Ridge", "m"),
        (["--model", "./ridge", "--model", "ridge"], "Ridge", "ridge"),
        (["--model", "m", "--width", 128], "GaussNewtonRegressor", "m"),
        (["--model", "gn", "--width", 128], "GaussNewtonRegressor", "houses.subquad"),
        (["--model", "ntk", "--ignore", "sold,city"], "NTKRegressor", "houses.subquad"),
    ],
)
def test_a_word_is_a_kind_of_model_and_anything_else_its_file(capsys, csv, words, kind, path):
    fit(capsys, csv, "--target", "price", *words)
    assert read_header(path)["class"] == kind
    assert sorted(os.listdir(".")) == sorted(["houses.csv", path])


def test_the_file_of_a_kernel_holds_its_rows_and_little_else(capsys, csv):
    fit(capsys, csv, "--target", "price", "--model", "ntk", "--test-fraction", 0)
    # Of 5,000 rows that would be 0.9 MB beside the header.
    assert os.path.getsize("houses.subquad") < N * 8 * 22 + 20_000


def test_columns_are_ignored_with_commas_and_standard_input_is_a_table(capsys, csv, monkeypatch):
    words = [*RIDGE, "--ignore", "note,country", "--ignore", "lift"]
    result = fit(capsys, csv, *words)
    assert result["data"]["features"] == 5
    with open(csv, "rb") as file:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(file))
        assert fit(capsys, "-", *words)["scores"] == result["scores"]
    assert os.path.exists("table.subquad")
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    assert "standard input must hold a table" in refusal(capsys, "fit", "-", *words)
    monkeypatch.setattr(sys, "stdin", io.StringIO("a,b\n1,2\n"))
    sentence = refusal(capsys, "fit", "-", *words)
    assert "the target column must be in standard input; got price" in sentence


def test_identifiers_intervals_and_scores_of_a_saved_model(capsys, csv):
    result = fit(capsys, csv, *RIDGE, "--id", "note", "--cv", 4)
    assert result["cv"]["folds"] == 4
    assert 0.9 < result["cv"]["r2"] < result["scores"]["train"]["r2"]
    assert result["scores"]["test"] is None
    found = predictions(capsys, "houses.subquad", csv, "--id", "note", "--interval", 0.8)
    assert list(found.columns) == ["note", "prediction", "lower", "upper"]
    assert found["note"].tolist() == houses()["note"].tolist()
    price = houses()["price"]
    inside = ((found["lower"] < price) & (price < found["upper"])).mean()
    # 0.8 within four standard errors of a share of 120 rows, and ridge has seen these.
    assert 0.65 < inside <= 0.95
    assert run("evaluate", "houses.subquad", csv, "--json") == 0
    score = json.loads(capsys.readouterr().out)
    assert score["rows"] == N
    assert score["rmse"] == pytest.approx(np.sqrt(np.mean((found["prediction"] - price) ** 2)))
    assert "above 0" in refusal(capsys, "predict", "houses.subquad", csv, "--interval", 2)
    assert "with a classifier" in refusal(capsys, "predict", "houses.subquad", csv, "--proba")


def test_classes_of_a_table_with_text_have_probabilities(capsys):
    frame = houses()
    frame["dear"] = np.where(frame["price"] > frame["price"].median(), "yes", "no")
    frame.drop(columns="price").to_csv("t.csv", index=False)
    result = fit(capsys, "t.csv", "--target", "dear", "--model", "ridge")
    assert result["fit"]["class"] == "LogisticRegression"
    found = predictions(capsys, "t.subquad", "t.csv", "--proba")
    assert list(found.columns) == ["prediction", "probability_no", "probability_yes"]
    most = found[["probability_no", "probability_yes"]].to_numpy().argmax(axis=1)
    assert (np.array(["no", "yes"])[most] == found["prediction"]).all()
    assert run("evaluate", "t.subquad", "t.csv") == 0
    assert "accuracy 0.9" in capsys.readouterr().out
    assert "--interval" in refusal(capsys, "predict", "t.subquad", "t.csv", "--interval", 0.9)


def test_a_name_that_is_almost_right_is_asked_about(capsys, csv):
    assert "got Prise (did you mean price?)" in refusal(capsys, "fit", csv, "--target", "Prise")


@pytest.mark.parametrize("change", [{}, {"used": 3}, {"used": {"area": {"kind": "number"}}}])
def test_an_encoding_of_unknown_origin_is_refused(capsys, csv, change):
    fit(capsys, csv, *RIDGE)
    encoding = {**read_header("houses.subquad")["notes"]["encoding"], **change}
    if not change:
        encoding["scale"] = encoding["scale"][1:]
    rewrite("houses.subquad", lambda header, _: header["notes"].update(encoding=encoding))
    sentence = refusal(capsys, "predict", "houses.subquad", csv)
    assert "the model must tell how its columns are read" in sentence


@pytest.mark.machine
@pytest.mark.parametrize("n_done", [0, 1])
def test_ctrl_c_in_a_comparison_keeps_the_best_so_far_or_says_there_is_none(
    capsys, csv, monkeypatch, n_done
):
    measured, calls = compare.measured, []

    def interrupted(*data):
        calls.append(data)
        if len(calls) > n_done:
            raise KeyboardInterrupt
        return measured(*data)

    monkeypatch.setattr(compare, "measured", interrupted)
    assert run("fit", csv, "--target", "price") == 130
    text = capsys.readouterr().out
    assert os.path.exists("houses.subquad") == bool(n_done)
    if n_done:
        assert "kept       ridge, as the comparison fitted it" in text
        assert len(predictions(capsys, "houses.subquad", csv)) == N
    else:
        assert "there is nothing to save" in text


@pytest.mark.machine
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_completes_options_and_their_words(capsys, shell):
    assert run("completion", shell) == 0
    script = capsys.readouterr().out
    for word in ["evaluate", "auto ntk gn ridge", "interval"]:
        assert word in script
    if shell == "bash" and shutil.which("bash"):
        ask = "COMP_WORDS=(subquad fit t.csv --model n); COMP_CWORD=4; _subquad; echo $COMPREPLY"
        done = subprocess.run(["bash", "-c", script + ask], capture_output=True, text=True)
        assert done.stdout == "ntk\n", done.stderr


# The page.


@pytest.mark.machine
@pytest.mark.parametrize("target", ["price", "city"])
def test_a_page_about_the_fit_asks_nothing_of_anybody(capsys, csv, target):
    pytest.importorskip("matplotlib")
    frame = houses(60).dropna()
    frame.to_csv(csv, index=False)
    fit(capsys, csv, "--target", target, "--model", "ridge", "--report", "out.html")
    with open("out.html", encoding="utf-8") as file:
        page = file.read()
    parts = ["Data", "Columns", "Candidates", "Predictions of rows held out", "Curves"]
    for part in [*parts, "What each column is worth", "To repeat it", 'aria-label="Calibration"']:
        assert part in page
    assert ("Confusion matrix" in page) == (target == "city")
    assert not re.search(r'(src|href)="(?!#|data:)', page)
    names = re.findall(r'\bid="([^"]+)"', page)
    assert len(names) == len(set(names))
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if target == "city":  # one look is enough
        return
    if chromium is None:
        pytest.skip("Chromium is not installed")
    command = [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-gpu-sandbox"]
    command += ["--enable-logging=stderr", "--user-data-dir=profile", "--screenshot=page.png"]
    command += ["--disable-background-networking", "--window-size=1000,2400"]
    done = subprocess.run(
        [*command, "--virtual-time-budget=2000", f"file://{os.path.abspath('out.html')}"],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert "CONSOLE" not in done.stderr
    with open("page.png", "rb") as file:
        picture = file.read()
    from matplotlib import image

    shown = image.imread(io.BytesIO(picture))[..., :3]
    assert shown.shape[:2] == (2400, 1000)
    assert np.mean(shown.min(axis=2) < 0.9) > 0.01  # something is drawn
