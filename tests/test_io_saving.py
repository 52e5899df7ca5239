"""A file is replaced whole or stays as it was, with its mode and links; the dead leave nothing."""

import errno
import os
import resource
import signal
import stat
import subprocess
import sys
import threading

import pytest
from fuzz import kill_saves

from subquad.io import check_writable, replacing

pytestmark = pytest.mark.machine

if sys.platform == "win32":
    pytest.skip("permissions, links and signals of POSIX", allow_module_level=True)


def write(path, content):
    with replacing(path) as file:
        file.write(content)


@pytest.fixture
def path(tmp_path):
    """A file that holds b'old'."""
    path = tmp_path / "m.subquad"
    path.write_bytes(b"old")
    return path


# What a file was, but for its content, it stays.


def test_a_new_file_follows_the_umask_and_an_old_one_keeps_its_mode(tmp_path, path):
    os.chmod(path, 0o606)
    old_umask = os.umask(0o027)
    try:
        write(path, b"new")
        write(tmp_path / "another", b"new")
    finally:
        os.umask(old_umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o606
    assert stat.S_IMODE((tmp_path / "another").stat().st_mode) == 0o640


def test_links_are_followed_to_the_end(tmp_path, path):
    (tmp_path / "folder").mkdir()
    first, second = tmp_path / "folder" / "first", tmp_path / "second"
    first.symlink_to("../m.subquad")
    second.symlink_to(first)
    write(second, b"new")
    assert first.is_symlink()
    assert second.is_symlink()
    assert path.read_bytes() == b"new"
    (tmp_path / "dangling").symlink_to("target")
    write(tmp_path / "dangling", b"new")
    assert (tmp_path / "target").read_bytes() == b"new"


def test_other_names_of_a_file_are_spoken_of(tmp_path, path):
    os.link(path, tmp_path / "other")
    with pytest.warns(UserWarning, match="has 2 names; this one gets the new content"):
        write(path, b"new")
    assert path.read_bytes() == b"new"
    assert (tmp_path / "other").read_bytes() == b"old"


@pytest.fixture
def foreign(path):
    """The same file, of another user and group."""
    try:
        os.chown(path, 12345, 23456)
    except PermissionError:
        pytest.skip("only the superuser may give files away")
    return path


def test_the_owner_is_kept(foreign):
    write(foreign, b"new")
    assert (foreign.stat().st_uid, foreign.stat().st_gid) == (12345, 23456)


def test_an_owner_that_cannot_be_kept_is_spoken_of_and_leaves_no_rights_to_others(
    foreign, monkeypatch
):
    def refuse(*_):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    foreign.chmod(0o664)
    monkeypatch.setattr(os, "chown", refuse)
    with pytest.warns(UserWarning, match="belonged to user 12345 and group 23456"):
        write(foreign, b"new")
    assert stat.S_IMODE(foreign.stat().st_mode) == 0o644


def test_extended_attributes_are_kept(path):
    try:
        os.setxattr(path, "user.origin", b"here")
    except (AttributeError, OSError):
        pytest.skip("no extended attributes here")
    write(path, b"new")
    assert os.getxattr(path, "user.origin") == b"here"


def test_devices_and_pipes_are_written_to_and_never_replaced(tmp_path):
    write("/dev/null", b"new")
    check_writable("/dev/null")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    os.mkfifo(tmp_path / "pipe")
    read = []
    reader = threading.Thread(target=lambda: read.append((tmp_path / "pipe").read_bytes()))
    reader.start()
    write(tmp_path / "pipe", b"new")
    reader.join(60)
    assert read == [b"new"]
    assert os.listdir(tmp_path) == ["pipe"]


# Disks that fill, and folders that refuse.


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_device_is_named():
    with pytest.raises(OSError, match=r"No space left on device.*/dev/full"):
        write("/dev/full", bytes(10**6))


def test_a_disk_that_fills_keeps_the_old_file_and_no_part_of_the_new_one(path, tmp_path):
    code = "import sys; from subquad.io import replacing\n" + (
        "with replacing(sys.argv[1]) as file:\n    for _ in range(100): file.write(bytes(10**5))"
    )

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10**6, 10**6))

    command = [sys.executable, "-P", "-c", code, path]
    done = subprocess.run(command, preexec_fn=limit, capture_output=True, text=True)
    assert done.returncode == 1
    assert f"{path}" in done.stderr.splitlines()[-1]
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("fails", ["fsync", "replace"])
def test_what_fails_last_keeps_the_old_file_too(path, tmp_path, monkeypatch, fails):
    def fail(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, fails, fail)
    with pytest.raises(OSError, match=r"No space left on device.*m.subquad"):
        write(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == [path.name]


def test_folders_and_files_that_refuse_are_named(path, tmp_path, monkeypatch):
    with pytest.raises(IsADirectoryError):
        write(tmp_path, b"new")
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(PermissionError, match=r"m\.subquad"):
        write(path, b"new")
    monkeypatch.undo()

    def refuse(*_):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(PermissionError):
        write(path, b"new")
    with pytest.raises(OSError, match=r"path must be writable; .* refuses: Permission denied"):
        check_writable(path)
    monkeypatch.undo()
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == [path.name]


def test_a_name_of_the_greatest_length_can_be_written(tmp_path):
    path = tmp_path / ("x" * 255)
    check_writable(path)
    write(path, b"new")
    assert os.listdir(tmp_path) == [path.name]


# Killed writers, and several at once.


def test_what_a_killed_writer_left_is_removed_by_the_next(path, tmp_path):
    code = "import os, signal, sys; from subquad.io import replacing\n" + (
        "with replacing(sys.argv[1]) as file:\n"
        "    file.write(b'half'); file.flush(); os.kill(os.getpid(), signal.SIGKILL)"
    )
    for _ in range(3):
        done = subprocess.run([sys.executable, "-P", "-c", code, path])
        assert done.returncode == -signal.SIGKILL
        assert len(os.listdir(tmp_path)) == 2
        assert path.read_bytes() == b"old"
    write(path, b"new")
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks its writers")
def test_writers_killed_at_random_moments_leave_a_whole_model(tmp_path):
    pytest.importorskip("sklearn")
    found, most_left = kill_saves.run(15, 0, tmp_path)
    assert found["model 0"] + found["model 1"] == 15
    assert found["a writer that failed"] == found["left over in the end"] == 0
    assert most_left <= 2


def test_files_of_the_living_and_of_others_are_left_alone(path, tmp_path):
    others = {".m.subquad.tmp", ".m.subquad.1234.tmp", ".n.subquad.12345678.tmp"}
    for name in others:
        (tmp_path / name).write_bytes(b"")
    with replacing(path) as first:
        first.write(b"first")
        write(path, b"second")
        assert path.read_bytes() == b"second"
    assert path.read_bytes() == b"first"
    assert set(os.listdir(tmp_path)) == {path.name, *others}


def test_many_writers_at_once_leave_the_whole_file_of_one(path, tmp_path):
    contents = [bytes([i]) * 10**5 for i in range(8)]
    threads = [
        threading.Thread(target=lambda c=content: [write(path, c) for _ in range(20)])
        for content in contents
    ]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert path.read_bytes() in [b"old", *contents]
    assert path.read_bytes() in contents
    assert os.listdir(tmp_path) == [path.name]
