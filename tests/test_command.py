"""The command: what a person types ends in a result, or in one sentence and status 2."""

import json
import re
import time
import tracemalloc

import numpy as np
import pytest
from command_line import run
from layers import quietly

from subquad._command import kernel_forecast
from subquad._command.forecast import EXACT_ROWS, ROWS_FOR_QUICK_CHOICE, Fit, memory
from subquad._command.models.network import OPTIONS
from subquad._command.models.scores import of_ridge
from subquad._command.tables import Split
from subquad.estimators import _many_rows

pytest.importorskip("sklearn")
pytest.importorskip("pyarrow")
pytestmark = pytest.mark.usefixtures("own_folder")

SMALL = ("--width", 512, "--seed", 3)


@pytest.fixture
def table(tmp_path):
    """A regression table of 80 rows: two informative columns and one of no use."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((80, 3))
    rows = np.column_stack([X, X[:, 0] + np.sin(X[:, 1])]).tolist()
    path = tmp_path / "table.csv"
    path.write_text("\n".join(["a,b,noise,y", *(",".join(map(repr, row)) for row in rows)]))
    return path


def fitted(capsys, *words):
    """The JSON document of a fit that must succeed, and the lines beside it."""
    assert run("fit", *words, "--json") == 0
    captured = capsys.readouterr()
    return json.loads(captured.out), captured.err


def test_digits_are_fitted_in_six_steps_and_recognised(capsys):
    result, _ = fitted(capsys, "digits", "--model", "gn")
    assert (result["data"]["rows_train"], result["data"]["rows_test"]) == (1000, 797)
    assert result["network"]["width"] == 2048
    assert result["network"]["shift"] == 0
    assert len(result["training"]["steps"]) <= 6
    assert result["scores"]["train"]["accuracy"] == 1.0
    assert result["scores"]["test"]["accuracy"] >= 0.985
    assert result["ridge"]["test"]["accuracy"] >= 0.98


def test_lines_for_a_person_hold_every_fact_and_a_row_for_each_step(capsys, table):
    assert run("fit", table, "--target", "y", *SMALL) == 0
    captured = capsys.readouterr()
    labels = [
        "data",
        "network",
        "forecast",
        "training",
        "solver",
        "memory",
        "model",
        "scores",
        "ridge",
    ]
    labels += ["seconds"]
    found = [line.split()[0] for line in captured.out.splitlines() if line[0] != " "]
    assert found == labels
    steps = int(re.search(r"training +(\d+) steps", captured.out)[1])
    rows = [line.split() for line in captured.out.splitlines() if line[0] == " "][1:]
    assert [int(row[0]) for row in rows] == list(range(1, steps + 1))
    assert captured.err == ""


def test_scores_of_a_regression_are_those_of_the_rows_held_out(capsys, table):
    result, _ = fitted(capsys, table, "--target", "y", *SMALL)
    assert result["data"]["task"] == "regression"
    assert (result["data"]["rows_train"], result["data"]["rows_test"]) == (60, 20)
    assert result["scores"]["test"]["r2"] > 0.8
    assert result["scores"]["train"]["rmse"] < result["scores"]["test"]["rmse"]


def test_the_same_seed_gives_the_same_scores_and_another_one_does_not(capsys, table):
    words = (table, "--target", "y", "--width", 512, "--test-fraction", 0.5)
    scores = [fitted(capsys, *words, "--seed", seed)[0]["scores"] for seed in (3, 3, 4)]
    assert scores[0] == scores[1]
    assert scores[0] != scores[2]


def test_every_network_option_reaches_the_estimator(capsys, table):
    given = {"width": 600, "depth": 3, "shift": 0.25, "dtype": "float32", "regularization": 0.125}
    words = [word for name, value in given.items() for word in (f"--{name}", value)]
    words += ["--max-steps", 2, "--threads", 1, "--no-scale-features"]
    result, _ = fitted(capsys, table, "--target", "y", *words)
    expected = {**given, "max_steps": 2, "n_threads": 1, "scale_features": False}
    assert result["network"].items() >= expected.items()
    assert len(result["training"]["steps"]) <= 2


def test_options_left_out_have_the_defaults_the_help_names(capsys):
    from subquad.estimators import GaussNewtonClassifier, GaussNewtonRegressor

    with pytest.raises(SystemExit):
        run("fit", "--help")
    text = " ".join(capsys.readouterr().out.split("options:")[1].split())
    for estimator in (GaussNewtonClassifier(), GaussNewtonRegressor()):
        for name in OPTIONS:
            default = getattr(estimator, name)
            default = default if isinstance(default, str) else f"{default:g}"
            option = name.replace("_", "-")
            assert re.search(rf"--{option} .*?\(default (\w+)\)", text)[1] == default


def test_features_are_scaled_as_the_estimator_finds_right_unless_told(capsys):
    small = ("--width", 512, "--max-steps", 1, "--regularization", 1)
    assert fitted(capsys, "digits", *small)[0]["network"]["scale_features"] == "auto"
    assert not fitted(capsys, "digits", *small, "--no-scale-features")[0]["network"][
        "scale_features"
    ]


def test_without_test_rows_only_training_scores_are_given(capsys, table):
    result, _ = fitted(capsys, table, "--target", "y", "--test-fraction", 0, *SMALL)
    assert result["scores"]["test"] is None
    assert result["scores"]["train"]["r2"] > 0.9


def test_a_saved_model_predicts_the_rows_of_a_file_by_the_names_of_its_columns(
    capsys, table, tmp_path
):
    model, output = tmp_path / "m.subquad", tmp_path / "out.csv"
    result, _ = fitted(
        capsys, table, "--target", "y", "--test-fraction", 0, *SMALL, "--model", model
    )
    columns = np.genfromtxt(table, delimiter=",", names=True)
    shuffled = tmp_path / "shuffled.csv"
    order = ["noise", "y", "b", "a"]
    values = np.column_stack([columns[name] for name in order])
    np.savetxt(shuffled, values, "%.17g", ",", header=",".join(order), comments="")
    assert run("predict", model, shuffled, "--output", output) == 0
    predicted = np.genfromtxt(output, names=True)["prediction"]
    rmse = np.sqrt(np.mean((predicted - columns["y"]) ** 2))
    assert rmse == pytest.approx(result["scores"]["train"]["rmse"], rel=1e-6)
    assert run("predict", model, table) == 0
    assert capsys.readouterr().out == output.read_text()


def test_labels_of_text_are_learned_and_predicted(capsys, tmp_path):
    rng = np.random.default_rng(0)
    angles = rng.uniform(0, 2 * np.pi, 90)
    names = np.array(["low", "mid", "high"])[np.digitize(np.sin(angles), [-0.5, 0.5])]
    rows = [f"{np.cos(t)},{np.sin(t)},{name}" for t, name in zip(angles, names, strict=True)]
    path = tmp_path / "labels.tsv"
    path.write_text("\n".join(["x,y,kind", *rows]).replace(",", "\t"))
    model = tmp_path / "m.subquad"
    result, _ = fitted(capsys, path, "--target", "kind", *SMALL, "--model", model)
    assert result["data"]["task"] == "classification"
    assert result["scores"]["test"]["accuracy"] >= 0.8
    assert run("predict", model, path) == 0
    header, *predicted = capsys.readouterr().out.splitlines()
    assert header == "prediction"
    assert np.mean(np.array(predicted) == names) >= 0.8


def test_info_tells_parameters_origin_and_scores(capsys, table, tmp_path):
    model = tmp_path / "m.subquad"
    result, _ = fitted(capsys, table, "--target", "y", *SMALL, "--model", model)
    assert run("info", model, "--json") == 0
    header = json.loads(capsys.readouterr().out)
    assert header["class"] == "GaussNewtonRegressor"
    assert header["parameters"]["width"] == 512
    assert header["notes"]["columns"] == ["a", "b", "noise"]
    assert header["notes"]["scores"] == result["scores"]
    assert run("info", model) == 0
    assert "GaussNewtonRegressor" in capsys.readouterr().out


def test_a_picture_of_the_residuals_is_saved(capsys, table, tmp_path):
    pytest.importorskip("matplotlib")
    fitted(capsys, table, "--target", "y", *SMALL, "--plot", tmp_path / "curve.png")
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_a_narrow_network_is_fitted_with_a_warning_of_one_line(capsys, table):
    _, lines = fitted(capsys, table, "--target", "y", "--width", 48, "--shift", 0)
    warnings = [line for line in lines.splitlines() if "warning" in line]
    assert warnings
    assert all(line.startswith("subquad: warning: ") for line in warnings)


def test_ctrl_c_before_the_first_step_ends_with_130_and_leaves_no_file(
    capsys, table, tmp_path, monkeypatch
):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("subquad.estimators._gauss_newton.GaussNewtonRegression.fit", interrupt)
    words = ["--target", "y", "--model", "gn", "--output", tmp_path / "m.subquad"]
    assert run("fit", table, *words) == 130
    assert "interrupted" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["table.csv"]


@pytest.mark.parametrize("n", [40, 150], ids=["wide", "tall"])
def test_the_penalty_of_ridge_has_the_least_leave_one_out_error(n):
    from subquad.estimators import GaussNewtonRegressor

    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, 3))
    y = np.sin(X[:, 0]) + 0.3 * rng.standard_normal(n)
    estimator = quietly(GaussNewtonRegressor(width=96, random_state=0).fit, X, y)
    chosen = of_ridge(estimator, Split(X, y, X[:0], y[:0]))
    assert chosen["test"] is None
    F = estimator.network_.features(estimator._rows(X))
    F = F - F.mean(axis=0)

    def hat(penalty):
        return 1 / n + F @ np.linalg.solve(F.T @ F + penalty * np.eye(F.shape[1]), F.T)

    def loo_error(penalty):
        H = hat(penalty)
        return np.mean(np.square((y - H @ y) / (1 - np.diag(H))))

    errors = [loo_error(chosen["penalty"] * factor) for factor in 10.0 ** np.arange(-2, 3)]
    assert min(errors) >= loo_error(chosen["penalty"])
    residual = y - hat(chosen["penalty"]) @ y
    assert chosen["train"]["rmse"] == pytest.approx(np.sqrt(np.mean(residual**2)))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("n", "width", "n_outputs"), [(150, 2048, 1), (400, 512, 6)])
def test_the_memory_forecast_is_that_of_the_arrays_of_a_fit(n, width, n_outputs, dtype):
    from subquad.estimators import GaussNewtonRegressor

    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((n, 20)), rng.standard_normal((n, n_outputs))
    options = {"width": width, "dtype": dtype, "constant": 1.0, "max_steps": 3, "n_threads": 1}
    estimator = GaussNewtonRegressor(**options, random_state=0)
    quietly(estimator.fit, X[:50, :1], Y[:50])  # what a first call imports
    tracemalloc.start()
    quietly(estimator.fit, X, Y)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    expected = memory(Fit(n, width, 2, 20, n_outputs, dtype=dtype))["total"]
    assert 0.7 < peak / expected < 1.3


def test_a_plan_names_the_solver_of_the_estimators_and_does_not_grow_by_the_cube(capsys):
    assert (EXACT_ROWS, ROWS_FOR_QUICK_CHOICE) == (
        _many_rows.EXACT_ROWS,
        _many_rows.ROWS_FOR_QUICK_CHOICE,
    )
    plans = []
    for n in (4096, 4097):
        assert run("plan", "--n", n, "--width", 2048, "--depth", 2, "--json") == 0
        plans.append(json.loads(capsys.readouterr().out))
    assert [plan["solver"] for plan in plans] == ["exact", "pcg"]
    assert plans[1]["seconds"]["regularization"] < plans[0]["seconds"]["regularization"]
    coupled = Fit(5000, 2048, 2, 8, n_outputs=3, readout="dense")
    assert coupled.solver == _many_rows.step_solver_for("auto", 5000, True, "loo") == "exact"
    assert run("plan", "--n", 5000, "--width", 2048, "--depth", 2) == 0
    assert "conjugate gradients, which 1024 landmarks precondition" in capsys.readouterr().out


@pytest.mark.parametrize("n", [_many_rows.EXACT_ROWS, _many_rows.ITERATED_ROWS])
def test_a_plan_of_a_kernel_names_the_solver_of_the_estimators(n):
    assert kernel_forecast.LANDMARKS == _many_rows.DEFAULT_LANDMARKS
    for rows in (n, n + 1):
        planned = kernel_forecast.KernelFit(rows, n_features=3, n_outputs=1)
        assert planned.solver == _many_rows.solver_for("auto", rows)


def test_a_plan_of_any_size_is_made_at_once_and_allocates_nothing(capsys):
    started = time.monotonic()
    assert run("plan", "--n", 10**6, "--width", 10**6, "--depth", 3, "--json") == 0
    assert time.monotonic() - started < 5
    plan = json.loads(capsys.readouterr().out)
    assert plan["memory_bytes"]["weights"] == 8 * (2 * 10**12 + 64 * 10**6)
    assert plan["memory_bytes"]["total"] == sum(
        value for name, value in plan["memory_bytes"].items() if name != "total"
    )
    assert run("plan", "--n", 10**6, "--width", 10**6, "--depth", 3) == 0
    assert "does not fit" in capsys.readouterr().out


def test_a_fit_saves_its_model_under_the_name_of_its_source(capsys, table, own_folder):
    fitted(capsys, table, "--target", "y", *SMALL)
    assert [path.name for path in own_folder.iterdir()] == [f"{table.stem}.subquad"]
    fitted(capsys, table, "--target", "y", *SMALL, "--no-model")
    assert len(list(own_folder.iterdir())) == 1
