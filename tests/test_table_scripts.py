"""The scripts that print the tables of the pages run, at sizes that take no time."""

import importlib
import importlib.util
import itertools
import shutil
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).resolve().parents[1] / "asv_benches"

if not FOLDER.is_dir():
    pytest.skip("the benchmarks are not beside these tests", allow_module_level=True)

TINY = Namespace(threads=[1], level=[None], repeats=1, cpu=True, width=256, flush_width=192)
# They assert on no computed number.
pytestmark = pytest.mark.sources


@pytest.fixture
def script(monkeypatch):
    """Return a function that imports a script."""
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module


@pytest.fixture
def rates(script, monkeypatch):
    """Keep from measuring the machine."""
    figures = {"bandwidth": 1e10, "float32": 1e11, "float64": 5e10}
    roofline = script("roofline")
    monkeypatch.setattr(roofline, "measure", lambda *_: figures)
    monkeypatch.setattr(roofline, "bandwidth", lambda *_: figures["bandwidth"])


def tables_in(text, script):
    """The tables of a text; each row has as many cells as there are heads."""
    tables = script("performance_page").tables_of(text)
    for heads, rows in tables:
        assert rows
        assert all(len(row) == len(heads) for row in rows)
    return tables


def test_contenders_take_turns_and_the_warm_ups_are_left_out(script, monkeypatch):
    clockwork, order = script("side_by_side"), []
    monkeypatch.setattr(clockwork, "PAUSE", 0)
    calls = {name: lambda name=name: order.append(name) or len(order) for name in "ab"}
    assert clockwork.alternated(calls, 2, warm_ups=1) == {"a": [3, 5], "b": [4, 6]}
    assert order == ["a", "b"] * 3


def test_medians_time_every_second_call(script, monkeypatch):
    clockwork, durations = script("side_by_side"), itertools.cycle([100, 1])
    monkeypatch.setattr(clockwork, "PAUSE", 0)
    now = [0]

    def call():
        now[0] += next(durations)

    assert clockwork.medians({"a": call}, 3, clock=lambda: now[0]) == {"a": 1.0}
    assert clockwork.medians_of({"a": [[1, 2], [3, 10]]}) == {"a": 2.5}


SCRIPT = """
import os
from side_by_side import measured_here, parser

def part(options, *words):
    return [options.threads, words, os.environ["OMP_NUM_THREADS"], os.environ["SUBQUAD_SIMD_LEVEL"]]

measured_here(parser("A script.", levels=True).parse_args(), part=part)
"""


def test_a_part_is_measured_in_a_process_of_its_own(script, monkeypatch, tmp_path):
    clockwork = script("side_by_side")
    path = tmp_path / "script.py"
    path.write_text(SCRIPT)
    monkeypatch.setenv("PYTHONPATH", str(FOLDER))
    monkeypatch.setattr(clockwork.sys, "argv", [str(path), "--threads", "1", "2"])
    found = clockwork.apart(path, 3, "part", "word", 4, level="baseline")
    assert found == [[3], ["word", 4], "3", "baseline"]


@pytest.mark.usefixtures("rates")
@pytest.mark.parametrize(
    ("name", "n_tables"), [("column_product_table", 2), ("gaussian_table", 2), ("kernels_table", 3)]
)
def test_contenders_are_timed_and_printed(script, monkeypatch, capsys, name, n_tables):
    module = script(name)
    for constant in ("GRAM_POINTS", "FIRED_POINTS", "RANKS"):
        monkeypatch.setattr(module, constant, (3, 8), raising=False)
    options = Namespace(**vars(TINY), points=[1, 20], density=0.1)
    module.print_tables([("best", 1, module.measure(options))])
    tables = tables_in(capsys.readouterr().out, script)
    assert len(tables) == n_tables
    page = script("performance_page")
    assert all(page.ratios(*table)[1] for table in tables)


def test_whole_fits_are_timed_and_reach_their_goal(script, capsys):
    module = script("fit_table")
    table = module.measure(1024, 8, repeats=1, n_threads=1)
    assert {"subquad, dense", "subquad, int8", "subquad, implicit"} <= set(table)
    for name, figures in table.items():
        parts = sum(figures[part] for part in module.PARTS)
        assert figures["total"] == pytest.approx(parts)
        assert figures["relative residual"] <= (module.EASY_TOL if "torch" in name else module.TOL)
    module.print_table(["x"] * (9 + len(table) - 3), module.rows([(1, table)]))
    assert capsys.readouterr().out.count("subquad") == 3


@pytest.mark.parametrize("same", [True, False])
def test_ranks_are_compared_by_the_clock_and_by_the_processor(same, script, monkeypatch, capsys):
    ranks_table = script("ranks_table")

    def job(ranks, width, n):
        seconds = dict.fromkeys(ranks_table.PHASES, 1 / ranks)
        result = "a" if same else str(ranks)
        return {"wall": seconds, "processor": seconds, "steps": 3, "result": result}

    monkeypatch.setattr(ranks_table, "job", job)
    ranks_table.main(["--width", "512", "--ranks", "1", "2"])
    ((heads, rows),) = tables_in(capsys.readouterr().out, script)
    cells = dict(zip(heads, rows[1], strict=True))
    assert cells["speed-up, wall"] == cells["speed-up, processor"] == "2"
    assert cells["result"] == ("equal" if same else "DIFFERS")


def test_a_job_of_ranks_measures_its_fit(script):
    ranks_table = script("ranks_table")
    if not (ranks_table.mpiexec() and importlib.util.find_spec("mpi4py")):
        pytest.skip("needs mpi4py and mpiexec")
    found = ranks_table.job(1, 512, 8)
    assert found["converged"]
    assert set(found["wall"]) == set(found["processor"]) == set(ranks_table.PHASES)


def test_fits_of_weights_that_are_not_stored_are_measured(script, monkeypatch, capsys, tmp_path):
    wide = script("wide_table")
    digits_in(tmp_path)
    monkeypatch.setenv("SUBQUAD_DATA", str(tmp_path))
    monkeypatch.setattr(wide, "TOL", 1e-4)  # points without structure, at a small width, in float32
    monkeypatch.setattr(
        wide, "apart", lambda _, n, __, *fit: wide.measure(Namespace(threads=[n]), *fit)
    )
    wide.main(["--small", "--threads", "1"])
    ((heads, cells),) = tables_in(capsys.readouterr().out, script)
    assert [row[0] for row in cells] == list(wide.SMALL)
    assert all(float(row[heads.index("relative residual")]) <= wide.TOL for row in cells)
    monkeypatch.delenv("SUBQUAD_DATA")
    wide.main([])
    assert "SUBQUAD_DATA must name the folder" in capsys.readouterr().out


def digits_in(folder):
    """Write a file of the form of mnist10k.npz."""
    rng = np.random.default_rng(0)
    X = rng.integers(0, 256, (40, 784)) * (rng.random((40, 784)) < 0.2)
    np.savez(folder / "mnist10k.npz", X=X.astype(np.uint8), y=rng.integers(0, 10, 40))


def test_spectra_of_structured_weights_are_compared(script, capsys):
    pytest.importorskip("sklearn")
    module = script("spectra_table")
    module.main(["--points", "12", "--width", "512", "--draws", "2"])
    ((_, cells),) = tables_in(capsys.readouterr().out, script)
    assert [row[0] for row in cells] == list(module.KINDS)


def test_fits_of_many_rows_are_measured(script, monkeypatch, capsys):
    pytest.importorskip("sklearn")
    rows = script("many_rows_table")
    options = rows.options_of(["--rows", "80", "9000", "--landmarks", "20", "--width", "256"])
    labels = [fit[0] for fit in rows.chosen(options)]
    every = ["NTK exact", "NTK", "NTK 20 landmarks", "Gauss-Newton"]
    assert labels == every + every[1:]
    options.rows, options.chunk = [80], 30
    monkeypatch.setattr(rows, "apart", lambda _, n, __, *fit: rows.measure(options, *fit))
    rows.main(options)
    ((_, cells),) = tables_in(capsys.readouterr().out, script)
    assert [row[0] for row in cells[4:]] == ["NTK, 30 at a time", "Gauss-Newton, 30 at a time"]
    assert [row[-1] for row in cells] == ["exact", "exact", "nystrom", "exact", "exact", "exact"]


def test_probabilities_are_measured_beside_those_of_logistic_regression(script, capsys):
    pytest.importorskip("sklearn")
    module = script("probabilities_table")
    module.main(["--data", "breast_cancer", "--splits", "2", "--small"])
    ((_, rows),) = tables_in(capsys.readouterr().out, script)
    assert [row[1] for row in rows] == ["NTK", "Gauss-Newton", "factored", "logistic"]
    assert all(0 < float(row[2].split()[0]) < 0.3 for row in rows)
    # Of two rows, both predicted with .9 and one right: the bin's accuracy is .5.
    proba = module.np.array([[0.1, 0.9], [0.1, 0.9]])
    assert module.calibration_error(proba, module.np.array([1, 0])) == pytest.approx(0.4)


def test_log_losses_are_measured_beside_those_of_logistic_regression(script, capsys):
    pytest.importorskip("sklearn")
    module = script("log_loss_table")
    module.main(["--data", "breast_cancer", "--folds", "1", "--small"])
    ((_, rows),) = tables_in(capsys.readouterr().out, script)
    assert [row[1] for row in rows] == list(module.NAMES)
    assert all(0 < float(row[2].split()[0]) < 1.0 for row in rows)


def test_pools_are_timed(script):
    table = script("pools_table").measure(256, [8], repeats=1)
    assert all(seconds > 0 for seconds in table[8].values())


def test_projections_and_kernels_are_measured_beside_torch(script, monkeypatch, capsys):
    pytest.importorskip("torch")
    module = script("torch_table")
    monkeypatch.setattr(script("side_by_side"), "PAUSE", 0)
    sizes = {"SIZE": 16, "SIZES": (5, 8, 8, 1), "KERNEL_POINTS": 4}
    sizes |= {"SMALL": (3, 1, 4, 4), "LARGE": (3, 1, 6, 8), "SEQUENCES": (2, 3, 5, 6)}
    for name, value in sizes.items():
        monkeypatch.setattr(module, name, value)
    options = Namespace(**vars(TINY), draws=2, skip_trak=True, all_threads=[1])
    module.print_tables([(1, module.worker(options))], (6, module.large_kernel(6)))
    tables = tables_in(capsys.readouterr().out, script)
    assert [len(rows) for _, rows in tables] == [2, 3, 1, 1]
    page = script("performance_page")
    assert [bool(page.ratios(*table)[1]) for table in tables] == [True, False, True, False]
    assert float(tables[2][1][0][-1]) < 1e-5  # the two kernels are the same


def test_the_table_beside_torch_is_that_of_projections_by_trak(script, monkeypatch, capsys):
    pytest.importorskip("torch")
    module = script("torch_table")
    figures = {"subquad": 1e-3, "gradients": 1e-2, "sparse signs": 0.1}
    result = {"projections": [figures, figures], "trak": (50.0, 0.18)}
    result |= {"errors": {module.named(module.LARGE): figures}, "kernel": (figures, 0.0)}
    result["kernel"][0]["torch.func"] = 2e-2
    module.print_tables([(2, result)], (4096, (1.0, 2.0)))
    [(_, first), (_, second), (_, third), _] = tables_in(capsys.readouterr().out, script)
    assert [row[-2:] for row in first] == [["100x", "5e+04x"], ["100x", "-"]]
    assert second[0][-1] == "0.18 (1 draw)"
    assert third[0][3] == "20x"


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
def test_the_roofline_is_measured(script, monkeypatch):
    roofline = script("roofline")
    monkeypatch.setattr(roofline, "ITERATIONS", 200_000)
    figures = roofline.measure(1, megabytes=4)
    assert set(figures) == {"bandwidth", "float32", "float64"}
    assert all(1e6 < figure < 1e16 for figure in figures.values())


@pytest.mark.usefixtures("rates")
def test_kernels_are_compared_with_their_bounds(script, monkeypatch, capsys):
    monkeypatch.setattr(script("side_by_side"), "PAUSE", 0)
    module = script("roofline_table")
    options = Namespace(**vars(TINY), neurons=256)
    module.print_tables([("best", 1, module.measure(options))])
    ((heads, rows),) = tables_in(capsys.readouterr().out, script)
    assert len(rows) == 10
    assert {row[heads.index("set by")] for row in rows} == {"memory", "arithmetic"}
    assert all(float(row[heads.index("bound (ms)")]) > 0 for row in rows)


def test_the_quality_of_every_estimator_is_beside_that_of_others(script, monkeypatch, capsys):
    module = script("estimators_table")
    monkeypatch.delenv("SUBQUAD_DATA", raising=False)
    models = ["NTK", "ridge", "GP", "boosting"]
    module.main(["--tables", "yacht", "iris", "--models", *models, "--splits", "2"])
    text = capsys.readouterr().out
    assert "SUBQUAD_DATA is not set" in text
    ((heads, [row]),) = tables_in(text, script)
    assert heads == ["table", "measure", "splits", *models]
    assert row[:3] == ["iris", "accuracy", "2"]
    assert row[5] == ""  # no Gaussian process is measured on classes
    assert any(cell.startswith("**") for cell in row)


@pytest.mark.parametrize("name", ["rents", "loans"])
def test_the_command_is_measured_beside_ridge_and_boosting(script, monkeypatch, capsys, name):
    for package in ("sklearn", "pandas", "pyarrow"):
        pytest.importorskip(package)
    quality = script("quality_tables")
    X, y = getattr(quality, name)(32)
    masks = [[i % 4 == split for i in range(32)] for split in range(2)]
    masks = quality.np.array(masks)
    monkeypatch.setattr(quality, "load", lambda *_: (X, y, masks))
    quality.main(["--data", name])
    [(heads, [row])] = tables_in(capsys.readouterr().out, script)
    assert heads == list(quality.HEADS)
    assert row[:4] == [name, "32", "2", "RMSE" if name == "rents" else "share wrong"]
    assert row[-1].split()[0] in ("better", "level", "worse")


TOLD = """import time: self [us] | cumulative | imported package
import time:       100 |        100 |   numpy
import time:        40 |         40 |       pandas
import time:        20 |         60 |     sklearn.utils
import time:        10 |         70 |   sklearn
import time:         5 |        175 | subquad.estimators
"""


def test_an_import_is_shared_among_those_who_asked_for_it(script, capsys):
    module = script("import_table")
    found = module.shares(TOLD)
    assert found == pytest.approx({"subquad": 5e-6, "scikit-learn": 7e-5, "others": 1e-4})
    module.main(["--repeats", "1", "--modules", "subquad", "--fits"])
    ((heads, [row]),) = tables_in(capsys.readouterr().out, script)
    assert heads[0] == "import"
    assert row[0] == "subquad"
    assert float(row[1]) > 0
