"""What the command writes is whole or as before; what it prints no terminal obeys."""

import errno
import io
import os
import signal
import subprocess
import sys
import threading
import zipfile
from subprocess import PIPE

import numpy as np
import pytest
from command_line import SMALL, column, fitted, refusal, run
from test_command_process import COMMAND
from test_io_refusals import rewrite

from subquad._command import stopping
from subquad.io import load_model

pytest.importorskip("sklearn")
pytest.importorskip("pyarrow")
pytestmark = [pytest.mark.machine, pytest.mark.usefixtures("own_folder")]
if sys.platform == "win32":
    pytest.skip("signals and devices of POSIX", allow_module_level=True)

NUMBERS = [f"{i / 7:.3f}" for i in range(40)]


@pytest.fixture
def model(capsys, tmp_path):
    """A model of one feature, whose table is beside it."""
    path = tmp_path / "m.subquad"
    fitted(capsys, column(tmp_path, NUMBERS), "--target", "y", "--model", path)
    return path


# Signals.


def test_a_signal_that_is_ignored_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stopping.Signals():
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.fixture
def ctrl_c():
    """Ctrl-C as Python starts with it, also where a shell runs the tests in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
def test_a_first_signal_waits_for_what_is_held_and_a_second_does_not():
    with stopping.Signals() as signals:
        done = []

        def work(number):
            with signals.held():
                signal.raise_signal(number)
                done.append(number)

        with pytest.raises(KeyboardInterrupt):
            work(signal.SIGTERM)
        assert signals.status == 143
        with pytest.raises(KeyboardInterrupt):
            work(signal.SIGINT)
        assert signals.status == 130
        assert done == [signal.SIGTERM]


def test_the_command_runs_in_other_threads_too(model):
    found = []
    thread = threading.Thread(target=lambda: found.append(run("info", model)))
    thread.start()
    thread.join(60)
    assert found == [0]


# Files.


def test_devices_are_written_to_and_stay_devices(capsys, tmp_path, model):
    path = column(tmp_path, NUMBERS)
    for option in (["--model", "/dev/null"], ["--no-model"]):
        assert run("fit", path, "--target", "y", *SMALL, *option) == 0
    assert run("predict", model, path, "--output", "/dev/null") == 0
    assert not os.path.isfile("/dev/null")
    assert sorted(os.listdir(tmp_path)) == ["m.subquad", "t.csv"]
    capsys.readouterr()
    if os.path.exists("/dev/full"):
        for words in (
            ["fit", path, "--target", "y", "--model", "/dev/full"],
            ["predict", model, path, "--output", "/dev/full"],
        ):
            assert run(*words) == 2
            assert "No space left on device: '/dev/full'." in capsys.readouterr().err


@pytest.mark.parametrize("output", ["--output", "--plot", "--model"])
def test_a_disk_that_fills_keeps_the_old_file(capsys, tmp_path, model, monkeypatch, output):
    if output == "--plot":
        pytest.importorskip("matplotlib")
    old, path = tmp_path / "old.png", column(tmp_path, NUMBERS)
    old.write_bytes(b"old")

    def fail(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    fit = ["fit", path, "--target", "y", *SMALL]
    words = ["predict", model, path] if output == "--output" else fit
    words += ["--no-model"] if output == "--plot" else []
    assert run(*words, output, old) == 2
    assert f"No space left on device: '{old}'." in capsys.readouterr().err
    assert old.read_bytes() == b"old"
    assert sorted(os.listdir(tmp_path)) == ["m.subquad", "old.png", "t.csv"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_standard_output_costs_no_model_but_is_an_error_where_it_is_the_result(
    tmp_path, model
):
    path, other = tmp_path / "t.csv", tmp_path / "other.subquad"
    with open("/dev/full", "w") as full:
        command = [*COMMAND, "fit", path, "--target", "y", *map(str, SMALL), "--model", other]
        assert subprocess.run(command, stdout=full, timeout=120).returncode == 0
        assert load_model(other).n_features_in_ == 1
        command = [*COMMAND, "predict", model, path]
        done = subprocess.run(command, stdout=full, stderr=PIPE, text=True, timeout=120)
        assert done.returncode == 2
        assert "No space left on device" in done.stderr
        assert "Exception ignored" not in done.stderr


# What a file says is shown and not obeyed.


def test_no_line_of_the_command_holds_what_a_terminal_obeys(capsys, tmp_path, model):
    path = column(tmp_path, NUMBERS)
    path.write_text(path.read_text().replace("a;y", "a;\x1b[31my"))
    assert run("fit", path, "--target", "\x1b[31my", "--no-model", *SMALL) == 0
    refusal(capsys, "fit", path, "--target", "\x1b[2Jz")
    path.write_text(path.read_text().replace("a;", "\x1b[1ma;").replace("0;", "x;"))
    refusal(capsys, "fit", path, "--target", "\x1b[31my")
    changes = [
        lambda header, entries: header.update(notes={"\x1b[1m": ["\x1b[2m"], "columns": None}),
        lambda header, entries: header.update(subquad_version="\x1b[3m"),
        lambda header, entries: header["parameters"].update({"\x1b[4m": 1}),
        lambda header, entries: header["state"].update({"\x1b[5m": 1}),
    ]
    for change in changes:
        rewrite(model, change)
        assert run("info", model) == 0
        run("predict", model, path)
    captured = capsys.readouterr()
    assert "\x1b" not in captured.out + captured.err
    assert "\\x1b[1m" in captured.out


@pytest.mark.parametrize("notes", [{"columns": 5}, {"columns": [1]}, {"task": [{"a": [[]]}]}])
def test_odd_notes_are_described_and_predicted_with_or_refused(capsys, tmp_path, model, notes):
    rewrite(model, lambda header, entries: header.update(notes=notes))
    assert run("info", model) == 0
    capsys.readouterr()
    if "columns" in notes:
        assert "must name its columns in text" in refusal(capsys, "predict", model, "digits")


# Codecs.


def npz(path, compression, **arrays):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, array in arrays.items():
            buffer = io.BytesIO()
            np.save(buffer, array)
            archive.writestr(f"{name}.npy", buffer.getvalue())


def test_an_array_that_is_not_asked_for_is_not_decompressed(capsys, tmp_path, monkeypatch):
    path, read = tmp_path / "t.npz", []
    arrays = {"X": np.eye(12), "y": np.arange(12) / 7}
    npz(path, zipfile.ZIP_DEFLATED, **arrays, unused=np.zeros(10**6))
    opened = zipfile.ZipFile.open
    monkeypatch.setattr(
        zipfile.ZipFile, "open", lambda *a, **k: (read.append(str(a[1])), opened(*a, **k))[1]
    )
    fitted(capsys, path)
    assert not any("unused" in name for name in read)


@pytest.mark.parametrize(
    ("offset", "value", "part"),
    [((8, 10), 93, "compression method is not supported"), ((6, 8), 1, "is encrypted")],
)
def test_a_compression_or_encryption_that_is_not_there_is_named(
    capsys, tmp_path, offset, value, part
):
    path = tmp_path / "t.npz"
    npz(path, zipfile.ZIP_STORED, X=np.eye(12), y=np.arange(12) / 7)
    content = bytearray(path.read_bytes())
    for signature, place in zip((b"PK\x03\x04", b"PK\x01\x02"), offset, strict=True):
        start = -1
        while (start := content.find(signature, start + 1)) >= 0:
            content[start + place] = value
    path.write_bytes(content)
    assert part in refusal(capsys, "fit", path)


def test_a_codec_or_a_module_that_python_lacks_is_named(capsys, tmp_path, model, monkeypatch):
    path = tmp_path / "t.csv.bz2"
    path.write_bytes(b"")
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "bz2", None)
        assert "needs the Python module bz2" in refusal(capsys, "fit", path, "--target", "y")
        run("predict", model, tmp_path / "t.csv")  # which needs none
        assert capsys.readouterr().err == ""

    def fail(_):
        raise LookupError("unknown encoding: cp437")

    monkeypatch.setattr(zipfile, "_EndRecData", fail)
    with pytest.raises(OSError, match="cannot be read by this Python: unknown encoding: cp437"):
        load_model(model)
