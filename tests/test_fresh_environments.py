"""The script that times a new user's first steps: its table, its pages, and what it prints."""

import datetime
import importlib
from pathlib import Path
from types import SimpleNamespace

import pytest

FOLDER = Path(__file__).resolve().parents[1] / "asv_benches"

if not FOLDER.is_dir():
    pytest.skip("the benchmarks are not beside these tests", allow_module_level=True)


@pytest.fixture
def fresh(monkeypatch):
    """The script."""
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("fresh_environments")


def test_the_houses_have_text_dates_gaps_and_a_price_that_follows(fresh):
    heads, *rows = fresh.houses(400, seed=3)
    assert [heads, *rows] == fresh.houses(400, seed=3)
    assert [heads, *rows] != fresh.houses(400, seed=4)
    columns = dict(zip(heads, zip(*rows, strict=True), strict=True))
    assert columns["id"] == tuple(range(1, 401))
    gaps = {name for name, cells in columns.items() if "" in cells}
    assert gaps == set(heads) - {"id", "price"}
    assert {type(cell) for cell in columns["sold"]} == {str, datetime.date}
    assert len(set(columns["district"]) - {""}) == 8
    prices = {True: [], False: []}
    for area, price in zip(columns["area"], columns["price"], strict=True):
        if area:
            prices[float(area) > 125].append(price)
    assert min(map(len, prices.values())) > 100
    assert sum(prices[True]) / len(prices[True]) > 1.5 * sum(prices[False]) / len(prices[False])


def test_without_torch_the_tutorial_ends_before_the_section_that_needs_it(fresh):
    text = "# A\n\n## B\n\nb\n\n## C\n\n```python\nimport numpy\nimport torch\n```\n\n## D\n"
    assert fresh.before_torch(text) == "# A\n\n## B\n\nb\n"
    assert fresh.before_torch("# A\n\n## B\n") == "# A\n\n## B\n"
    page = fresh.REPOSITORY / fresh.TUTORIAL
    if page.exists():
        kept = fresh.before_torch(page.read_text(encoding="utf-8"))
        assert "torch import" not in kept
        assert "save_model" in kept


class Failing:
    """An environment in which the tutorial fails."""

    def __init__(self, *_, compiler=True):
        self.compiler = compiler

    def run(self, *_):
        return 12.4, 3.6


@pytest.fixture
def failing(fresh, monkeypatch):
    def tutorial(*_):
        raise RuntimeError("pages.py\nAssertionError")

    monkeypatch.setattr(fresh, "Environment", Failing)
    monkeypatch.setattr(fresh, "fit", lambda *_: (61.0, 20.0))
    monkeypatch.setattr(fresh, "tutorial", tutorial)


@pytest.mark.usefixtures("failing")
def test_a_step_that_fails_is_said_and_the_others_are_timed(fresh, capsys):
    steps = ["install", "fit", "tutorial"]
    assert fresh.main(["--only", "sources", "--steps", *steps]) == 1
    out, err = capsys.readouterr()
    assert out.splitlines()[-1].endswith(", sources | 12 (4) | 61 (20) | failed |  |")
    assert "tutorial failed: pages.py" in err
    assert fresh.main(["--only", "sources", "--steps", "fit"]) == 0


def test_nothing_follows_an_installation_that_failed(fresh, capsys):
    def run(*_):
        raise RuntimeError("pip")

    options = SimpleNamespace(steps=["fit"], rows=5, torch=False)
    assert fresh.measured(SimpleNamespace(run=run), ".", options) == {"install": None}
    assert "install failed: pip" in capsys.readouterr().err


@pytest.mark.machine
def test_where_no_compiler_is_to_be_found_there_is_none(fresh, monkeypatch, tmp_path):
    monkeypatch.setattr(fresh, "fresh_copy", lambda folder: folder.mkdir())
    monkeypatch.setattr(fresh.subprocess, "run", lambda *_, **__: None)
    environment = fresh.Environment(tmp_path, "python", compiler=False)
    assert environment.variables["PATH"] == str(tmp_path / "env" / "bin")
    assert environment.variables["CC"] == "/bin/false"
    assert "PYTHONPATH" not in environment.variables
