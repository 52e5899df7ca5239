"""The script that counts how many test rows lie inside the intervals runs, and counts rightly."""

import importlib
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sklearn")

FOLDER = Path(__file__).resolve().parents[1] / "asv_benches"
if not FOLDER.is_dir():
    pytest.skip("the benchmarks are not beside these tests", allow_module_level=True)


@pytest.fixture
def coverage_table(monkeypatch):
    """The script."""
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("coverage_table")


def test_errors_of_a_normal_law_are_covered_as_promised(coverage_table):
    # Quantiles of the law itself, 4000 of them: each coverage is exact to one of them.
    quantiles = coverage_table.ndtri((np.arange(4000) + 0.5) / 4000)
    *covered, size, ours, constant = coverage_table.figures(5.0, 2.0, 5.0 + 2.0 * quantiles)
    np.testing.assert_allclose(covered, coverage_table.LEVELS, atol=1 / 2000)
    assert size == pytest.approx(1.0, abs=1e-2)
    assert ours == pytest.approx(0.5 + np.log(2.0) + 0.5 * np.log(2 * np.pi), abs=1e-2)
    assert ours == pytest.approx(constant, abs=1e-3)


def test_the_table_has_a_line_for_each_model(coverage_table, monkeypatch, tmp_path, capsys):
    rng = np.random.default_rng(0)
    X, masks = rng.standard_normal((40, 2)), np.zeros((3, 40), bool)
    masks[:, :10] = True
    np.savez(tmp_path / "uci-yacht.npz", X=X, y=X[:, 0] + rng.standard_normal(40), test_mask=masks)
    monkeypatch.setenv("SUBQUAD_DATA", str(tmp_path))
    models = ["ntk", "gauss-newton"]
    coverage_table.main(["--data", "yacht", "--splits", "2", "--models", *models])
    rows = [line.split("|")[1:-1] for line in capsys.readouterr().out.splitlines()[2:]]
    assert [row[2].strip() for row in rows] == models
    for row in rows:
        assert row[1].strip() == "2"
        assert np.isfinite([float(cell.replace("%", "")) for cell in row[3:]]).all()


def test_without_data_the_script_says_so(coverage_table, monkeypatch):
    monkeypatch.delenv("SUBQUAD_DATA", raising=False)
    with pytest.raises(SystemExit, match=r"^SUBQUAD_DATA is not set: nothing is measured\.$"):
        coverage_table.main([])
