"""The page of measurements is written from results, which are kept for each processor."""

import importlib
import time
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[1] / "asv_benches"

if not FOLDER.is_dir():
    pytest.skip("the benchmarks are not beside these tests", allow_module_level=True)


@pytest.fixture
def script(monkeypatch):
    """Return a function that imports a script."""
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module


PAGE = """text
<!-- table: a_table.py --width 3 -->
old
<!-- end -->
more
<!-- table: b_table.py -->
<!-- end -->
"""


def held_by(script, folder, processor, **tables):
    """Results of a processor: what its commands printed."""
    held = script("results").Results(folder / f"{processor}.json", processor)
    for name, text in tables.items():
        held.enter(f"{name}.py", text)
    return held


def test_a_page_shows_the_tables_of_every_processor_and_keeps_the_rest(script, tmp_path):
    page, results = script("performance_page"), script("results")
    first = page.written(PAGE, [])
    assert first == PAGE
    held_by(script, tmp_path, "Z", b_table="of Z")
    held_by(script, tmp_path, "A", b_table="of A\n\nmore of A\n")
    once = page.written(PAGE, results.of_all(tmp_path))
    assert "<!-- table: a_table.py --width 3 -->\nold\n<!-- end -->" in once
    shown = (
        "<!-- table: b_table.py -->\n\n**A**\n\nof A\n\nmore of A\n\n**Z**\n\nof Z\n\n<!-- end -->"
    )
    assert shown in once
    assert page.written(once, results.of_all(tmp_path)) == once


def test_a_run_enters_its_own_file_and_no_other(script, monkeypatch, tmp_path):
    page, results = script("performance_page"), script("results")
    monkeypatch.setattr(results, "FOLDER", tmp_path / "results")
    old = held_by(script, tmp_path / "results", "old", b_table="before").path
    kept, target = old.read_bytes(), tmp_path / "page.md"
    target.write_text(PAGE)
    monkeypatch.setattr(page, "printed", lambda command, *_: f"of {command}\n")

    def files():
        return (tmp_path / "results").glob("*.json")

    assert page.main(["--page", str(target), "--processor", "New 9", "--only", "b_table,c"]) == 0
    assert {path.name for path in files()} == {"old.json", "new-9.json"}
    assert old.read_bytes() == kept
    held = results.Results(tmp_path / "results" / "new-9.json")
    assert (held.name, held.text("b_table.py")) == ("New 9", "of b_table.py")
    assert "**New 9**\n\nof b_table.py\n\n**old**\n\nbefore" in target.read_text()


def test_tables_that_no_results_hold_are_kept_under_no_name(script, tmp_path):
    page, results = script("performance_page"), script("results")
    table = "| n |\n|---|\n| 1 |"
    page.keep_unnamed(PAGE.replace("old", table), tmp_path)
    page.keep_unnamed(PAGE, tmp_path)
    [held] = results.of_all(tmp_path)
    assert held.name == "a processor that was not recorded"
    assert held.tables.keys() == {"a_table.py --width 3"}


def test_a_table_that_takes_too_long_keeps_its_figures_of_before(script, capsys, tmp_path):
    page, now = script("performance_page"), [0.0]
    held = held_by(script, tmp_path, "A", a="before", b="before", c="before")

    def run(command, left):
        now[0] += 50 if command == "a.py" else 30
        if now[0] > 60:
            raise page.subprocess.TimeoutExpired(command, left)
        return "after"

    late = page.measure(["a.py", "b.py", "c.py"], held, run, minutes=1, clock=lambda: now[0])
    assert late == ["b.py", "c.py"]
    assert [held.text(f"{name}.py") for name in "abc"] == ["after", "before", "before"]
    assert held.tables["a.py"]["seconds"] == 50
    assert "b.py (10 s left)" in capsys.readouterr().err


SLEEPER = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(child.pid, file=open(sys.argv[1], "w"), flush=True)
child.wait()
"""


@pytest.mark.machine
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="reads /proc")
def test_a_script_that_is_stopped_ends_with_the_processes_that_it_started(
    script, monkeypatch, tmp_path
):
    page = script("performance_page")
    monkeypatch.setattr(page, "FOLDER", tmp_path)
    (tmp_path / "sleeper.py").write_text(SLEEPER)
    told = tmp_path / "pid"

    def late(process, timeout):
        for _ in range(6000):
            if told.exists() and told.read_text().endswith("\n"):
                raise page.subprocess.TimeoutExpired("sleeper.py", timeout)
            time.sleep(0.01)

    monkeypatch.setattr(page.subprocess.Popen, "communicate", late)
    with pytest.raises(page.subprocess.TimeoutExpired):
        page.printed(f"sleeper.py {told}", timeout=1)
    assert_gone(int(told.read_text()))


def assert_gone(pid):
    """Wait for the end of a process: it is gone, or what is left of it has not been collected."""
    for _ in range(1000):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return
        if state == "Z":
            return
        time.sleep(0.01)
    raise AssertionError(f"process {pid} goes on")


def test_a_glance_has_a_column_for_each_processor(script, tmp_path):
    page = script("performance_page")
    text = "Flush:\n\n| n | BLAS takes |\n|---|---|\n| 1 | 2x |\n| 2 | 8x |"
    first = held_by(script, tmp_path, "A", t=text)
    second = held_by(script, tmp_path, "B", t=text.replace("8x", "4.5x"))
    other = held_by(script, tmp_path, "C", u=text)
    glance = page.at_a_glance(["t.py"], [first, second, other])
    assert glance.splitlines()[0] == "| table | ratio | A | B |"
    assert glance.splitlines()[2] == "| `t` | Flush: BLAS takes | 4x | 3x |"


@pytest.mark.parametrize(
    ("told", "name"),
    [
        ("model name : Intel(R) Xeon(R) CPU E5-2673 v4 @ 2.30GHz", "Intel Xeon E5-2673 v4"),
        ("cpu family : 25\nmodel : 1\nmodel name : AMD EPYC", "AMD EPYC family 25 model 1"),
        ("model name : AMD EPYC 9754 128-Core Processor", "AMD EPYC 9754"),
    ],
)
def test_a_processor_has_a_name(script, monkeypatch, tmp_path, told, name):
    module, path = script("processor"), tmp_path / "cpuinfo"
    path.write_text(told + "\n\n" + told.replace("model", "other"))
    found = module.from_proc(path)
    monkeypatch.setattr(module, "from_proc", lambda: found)
    assert module.name() == name
    assert module.file_name("Intel Xeon E5-2673 v4") == "intel-xeon-e5-2673-v4"


def test_the_pages_are_those_of_the_results(script):
    page, results = script("performance_page"), script("results")
    if not page.PAGE.exists():
        pytest.skip("the page is not beside these tests")
    text = page.PAGE.read_text(encoding="utf-8")
    assert page.written(text, results.of_all()) == text


def test_every_command_of_the_page_is_there(script):
    page = script("performance_page")
    if not page.PAGE.exists():
        pytest.skip("the page is not beside these tests")
    blocks = page.BLOCK.findall(page.PAGE.read_text(encoding="utf-8"))
    assert len(blocks) == page.PAGE.read_text(encoding="utf-8").count("<!-- table:")
    assert all((FOLDER / command.split()[0]).exists() for _, command, _, _ in blocks)


def test_ratios_are_drawn_and_tables_without_them_are_not(script, tmp_path):
    pytest.importorskip("matplotlib")
    page = script("performance_page")
    text = (
        "| n | time (ms) | numpy takes |\n|---:|---:|---:|\n| 1 | 2 | 3.5x |\n| 4 | 5 | 1e+03x |\n"
    )
    [(heads, rows)] = page.tables_of(text)
    assert page.ratios(heads, rows) == (["1", "4"], {"numpy takes": [3.5, 1000.0]})
    assert page.plot(heads, rows, tmp_path / "a.svg")
    assert "<svg" in (tmp_path / "a.svg").read_text()
    assert not page.plot(["n", "time"], [["1", "2"]], tmp_path / "b.svg")
