"""Files that are written whole or not at all: the old one stays until the new one is complete.

A new file is written beside its final place, brought to the disk and moved over the old one. Its
writer holds a lock on it. A process that is killed loses the lock: the next one to write the same
file finds what it left, and removes it.
"""

from __future__ import annotations

import contextlib
import errno
import glob
import os
import secrets
import shutil
import stat
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from subquad._validation import as_path, real

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO


try:
    import fcntl
except ImportError:  # on Windows, where a file that is open cannot be removed
    fcntl = None

# So many characters of a file's name stand in the name of the file that is to replace it: as many
# as keep the longest name that a file can have short enough.
_CHARACTERS_OF_NAME = 50


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a binary file that takes the place of `path` when the block ends, whole.

    Parameters
    ----------
    path : str or path-like
        The file to write. A link is followed. A device, pipe or socket is written to as it is.

    Yields
    ------
    file
        Where to write. If the block raises, or the process ends, the old file stays as it was.

    Raises
    ------
    OSError
        If the folder refuses a new file, or the disk has no room for it.

    Warns
    -----
    UserWarning
        If the old file has other names (hard links), which go on naming the old content, or an
        owner that the new one cannot be given.

    Notes
    -----
    Mode, owner and extended attributes are those of the old file; a file that is new gets what the
    umask allows. A process that is killed leaves at most one hidden file beside `path`, which the
    next call for the same path removes.
    """
    path = as_path(path)
    with _naming(path):
        if _is_special(path):
            with open(path, "wb") as file:
                yield file
        else:
            with _beside(Path(os.fsdecode(os.path.realpath(path)))) as file:
                yield file


@contextlib.contextmanager
def _beside(path):
    """Open a new file beside `path` that is moved there when the block ends."""
    _require_replaceable(path)
    _remove_what_was_left(path)
    descriptor, temporary = _new_file_beside(path)
    try:
        with os.fdopen(descriptor, "wb") as file:
            _take_over(path, temporary)
            yield file
            file.flush()
            os.fsync(file.fileno())
            # Moved before it is closed, which ends the lock: else it could be taken for a remnant.
            if fcntl is not None:
                os.replace(temporary, path)
        if fcntl is None:
            os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    _bring_to_disk(path.parent)


@contextlib.contextmanager
def _naming(path):
    """Give an error of the system that names no file this one's name."""
    try:
        yield
    except OSError as error:
        if error.filename is not None or error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, os.fspath(path)) from error


def check_writable(path: str | os.PathLike[str], n_bytes: int = 0, name: str = "path") -> None:
    """Refuse a path that a file of `n_bytes` could not be written to, before any work is done.

    Parameters
    ----------
    path : str or path-like
        The file to be written.
    n_bytes : int, default 0
        Its expected size; 0 asks for no particular room.
    name : str, default "path"
        What the messages call the path.

    Raises
    ------
    OSError
        If the folder is missing or refuses a new file, the path is a folder or a read-only file, or
        the disk has less room than `n_bytes`.
    """
    given = as_path(path, name)
    path = Path(os.fsdecode(os.path.realpath(given)))
    n_bytes = real(n_bytes, "n_bytes", minimum=0.0)
    if os.path.isdir(path):  # unlike Path.is_dir, never raises for a name that cannot exist
        raise OSError(f"{name} must name a file; {path} is a folder.")
    if not _is_special(given) and not os.path.isdir(path.parent):
        raise OSError(f"{name} must lie in a folder that exists; {path.parent} does not.")
    if os.path.exists(given) and not os.access(given, os.W_OK):
        raise OSError(f"{name} must be writable; {path} is read-only.")
    if _is_special(given):
        return
    if n_bytes:
        free = shutil.disk_usage(path.parent).free
        if free < n_bytes:
            raise OSError(
                f"{name} must have room for {n_bytes:.0f} bytes; {path.parent} has {free}."
            )
    # A trial file is the only test that also holds for the superuser and for read-only mounts.
    try:
        _require_replaceable(path)  # the system may find its name too long
        descriptor, trial = _new_file_beside(path)
    except OSError as error:
        reason = error.strerror or error
        raise OSError(f"{name} must be writable; {path.parent} refuses: {reason}.") from error
    os.unlink(trial)
    os.close(descriptor)


def _require_replaceable(path):
    """Raise what opening the file for writing would, though moving another over it would not."""
    code = None
    try:
        if stat.S_ISDIR(os.stat(path).st_mode):
            code = errno.EISDIR
        elif not os.access(path, os.W_OK):
            code = errno.EACCES
    except FileNotFoundError:
        pass
    if code is not None:
        raise OSError(code, os.strerror(code), str(path))


def _is_special(path):
    """Whether a path names something that holds no content of its own, such as /dev/null."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def _new_file_beside(path):
    """Open and lock a new, hidden file in the folder of `path`; return descriptor and path."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    while True:
        temporary = path.parent / f"{_prefix(path)}{secrets.token_hex(4)}.tmp"
        descriptor = os.open(temporary, flags, 0o666)
        if _lock(descriptor) and (fcntl is None or os.fstat(descriptor).st_nlink):
            return descriptor, temporary
        os.close(descriptor)  # another writer took it for a remnant before it was locked


def _lock(descriptor, wait=True):
    """Lock an open file; return whether it is ours. Disks without locks give it to everyone."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError:
        return wait  # a remnant that cannot be told from a file in use stays
    return True


def _remove_what_was_left(path):
    """Remove the hidden files of writers to `path` that were killed."""
    for name in glob.glob(f"{glob.escape(_prefix(path))}????????.tmp", root_dir=path.parent):
        with contextlib.suppress(OSError):
            descriptor = os.open(path.parent / name, os.O_WRONLY | getattr(os, "O_NOFOLLOW", 0))
            try:
                if _lock(descriptor, wait=False):
                    os.unlink(path.parent / name)
            finally:
                os.close(descriptor)
                if fcntl is None:
                    os.unlink(path.parent / name)


def _prefix(path):
    """Begin of the names of files that are to replace `path`."""
    return f".{path.name[:_CHARACTERS_OF_NAME]}."


def _take_over(path, temporary):
    """Give a new file the mode, owner and extended attributes of the old one, and say what not."""
    try:
        old = os.stat(path)
    except OSError:
        return  # there is none
    shutil.copystat(path, temporary)
    os.utime(temporary)  # its time is its own
    new = os.stat(temporary)
    if (new.st_uid, new.st_gid) != (old.st_uid, old.st_gid):
        _take_over_owner(path, temporary, old)
    if old.st_nlink > 1:
        warnings.warn(
            f"{path} has {old.st_nlink} names; this one gets the new content, and the others keep "
            "the old one.",
            UserWarning,
            stacklevel=5,
        )


def _take_over_owner(path, temporary, old):
    """Give a new file the owner and group of the old one where this process may."""
    try:
        os.chown(temporary, old.st_uid, old.st_gid)
        os.chmod(temporary, stat.S_IMODE(old.st_mode))  # chown takes some bits away
        return
    except (AttributeError, OSError):
        pass
    try:
        os.chown(temporary, -1, old.st_gid)
    except (AttributeError, OSError):
        # What the old group was allowed is not for another group, unless all others are.
        others = (old.st_mode & stat.S_IRWXO) << 3
        os.chmod(temporary, stat.S_IMODE(old.st_mode) & (~stat.S_IRWXG | others))
    warnings.warn(
        f"{path} belonged to user {old.st_uid} and group {old.st_gid}, whom the new file cannot "
        "be given to: it belongs to who wrote it.",
        UserWarning,
        stacklevel=6,
    )


def _bring_to_disk(folder):
    """Have the folder's new list of names survive a loss of power, where that can be asked for."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
