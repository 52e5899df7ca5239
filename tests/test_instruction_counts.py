"""Instruction counts are read from callgrind's files, and compared with those of a base.

A real kernel is counted by the benchmark `Instructions`, which tests/test_benchmarks.py runs.
"""

import importlib
import json
import shutil
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[1] / "asv_benches"

if not FOLDER.is_dir():
    pytest.skip("the benchmarks are not beside these tests", allow_module_level=True)


@pytest.fixture
def counts(monkeypatch):
    """The script."""
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("instruction_counts")


BASE = {"flush": 1000, "gram": 2000}


@pytest.mark.parametrize(
    ("now", "failing"),
    [
        ({"flush": 1100, "gram": 2000}, []),
        ({"flush": 1101, "gram": 1500}, ["flush"]),
        ({"flush": 900}, ["gram"]),
        ({"flush": 1000, "gram": 2000, "new": 10**9}, []),
    ],
)
def test_a_kernel_fails_above_the_limit_or_where_it_is_gone(counts, now, failing):
    rows, found = counts.compared(BASE, now)
    assert found == failing
    assert [row[0] for row in rows] == [*BASE, *(now.keys() - BASE.keys())]


def test_the_table_has_the_change_of_each(counts):
    rows, _ = counts.compared({"flush": 1000, "gone": 5}, {"flush": 950, "new": 7})
    assert rows == [["flush", 1000, 950, "-5.0 %"], ["gone", 5, "", ""], ["new", "", 7, ""]]


@pytest.fixture
def counted(counts, monkeypatch):
    """Stand-ins for valgrind and for the machine: `flush` needs 1200 instructions."""
    monkeypatch.setattr(counts.counting, "missing", lambda: "")
    monkeypatch.setattr(counts, "counted_here", lambda only: {"flush": 1200, "gram": 2000})
    monkeypatch.setattr(counts, "machine", lambda: {"compiler": "cc 1"})


@pytest.mark.usefixtures("counted")
def test_the_status_tells_whether_a_base_is_exceeded(counts, tmp_path, capsys):
    base = tmp_path / "base.json"
    assert counts.main(["--write", str(base)]) == 0
    assert counts.main(["--against", str(base)]) == 0
    base.write_text(json.dumps({"machine": {"compiler": "cc 1"}, "counts": BASE}))
    assert counts.main(["--against", str(base), "--limit", "0.2"]) == 0
    capsys.readouterr()
    assert counts.main(["--against", str(base)]) == 1
    assert capsys.readouterr().out.endswith("Over the limit of 10 %, or gone: flush.\n")


@pytest.mark.usefixtures("counted")
def test_counts_of_another_compiler_are_refused(counts, tmp_path):
    base = tmp_path / "base.json"
    base.write_text(json.dumps({"machine": {"compiler": "cc 2"}, "counts": BASE}))
    with pytest.raises(SystemExit, match=r"must hold counts of cc 1; got those of cc 2\."):
        counts.main(["--against", str(base)])


def test_it_is_said_what_counting_lacks(counts, monkeypatch):
    monkeypatch.setattr(counts.counting, "missing", lambda: "valgrind is not installed")
    with pytest.raises(SystemExit, match="cannot be counted: valgrind is not installed"):
        counts.main([])


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
@pytest.mark.usefixtures("counted")
def test_what_is_no_revision_is_refused(counts):
    with pytest.raises(SystemExit, match="--base must be a revision of this repository; got 'no'"):
        counts.main(["--base", "no"])


DUMPED = """# callgrind format
part: 1

desc: Timerange: Basic block 0 - 59477
desc: Trigger: Client Request: half-space tree

positions: line
events: Ir
summary: 1013708

fn=(1) add
0 54
"""


def test_files_of_callgrind_are_read_by_their_marks(counts, tmp_path):
    (tmp_path / "out.1").write_text(DUMPED)
    (tmp_path / "out.2").write_text(DUMPED.replace("tree", "scan").replace("1013708", "7"))
    (tmp_path / "out").write_text(DUMPED.replace("Client Request: half-space tree", "exit"))
    found = counts.counting.counts_in(tmp_path.iterdir())
    assert found == {"half-space tree": 1013708, "half-space scan": 7}


def test_every_kernel_is_prepared_and_called(counts):
    try:
        for prepare in importlib.import_module("benchmarks.counted").KERNELS.values():
            prepare()()
    finally:
        importlib.import_module("benchmarks.suite").Suite().teardown()  # threads and level
