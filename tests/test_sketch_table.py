"""The script that prints the tables of docs/sketching.md runs, at sizes that take no time."""

import importlib
from argparse import Namespace
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[1] / "asv_benches"

if not FOLDER.is_dir():
    pytest.skip("the benchmarks are not beside these tests", allow_module_level=True)
pytestmark = pytest.mark.sources


def test_contenders_are_timed_and_printed(monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(FOLDER))
    table = importlib.import_module("sketch_table")
    for name, value in {"N": 5, "WIDTH": 40, "SIZE": 16, "SIZES": (8, 32)}.items():
        monkeypatch.setattr(table, name, value)
    monkeypatch.setattr(table, "TALL", {"dense": (60, 3), "csr": (60, 10)})
    monkeypatch.setattr(table, "POLYNOMIALS", {"dense": (6, 5, 8), "csr": (4, 20, 16)})
    options = Namespace(
        threads=[1], repeats=1, cpu=True, skip_sklearn=not table.installed("sklearn")
    )
    table.print_tables([(1, table.worker(options))])
    lines = capsys.readouterr().out.splitlines()
    tables = "\n".join(lines).strip().split("\n\n")
    polynomials = 0 if options.skip_sklearn else 12
    assert [len(part.splitlines()) - 2 for part in tables] == [4, 8, 6, polynomials]
    for part in tables:
        assert len({line.count("|") for line in part.splitlines()}) == 1
