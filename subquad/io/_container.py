"""Saved models as files: a zip of a JSON header and plain arrays, nothing that can execute.

``header.json`` comes first and describes every array; each array is an uncompressed ``NAME.npy``,
so that ``numpy.load`` opens the file as well. A file is written beside its final place and moved
there whole. Reading trusts nothing: entries, sizes, types and checksums must agree.
"""

import contextlib
import json
import math
import os
import secrets
import zipfile
from pathlib import Path

import numpy as np

from subquad._validation import real

FORMAT = "subquad model"
VERSION = 1
HEADER = "header.json"
LARGEST_HEADER = 2**24
LARGEST_ARRAY_PREAMBLE = 2**16
ARRAY_KINDS = "fiubU"


class ModelFileError(ValueError):
    """A file that is not a model this version can read; its text says why in one sentence."""


def check_writable(path, n_bytes=0, name="path"):
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
    path = Path(os.fsdecode(os.path.realpath(as_path(path, name))))
    n_bytes = real(n_bytes, "n_bytes", minimum=0.0)
    if os.path.isdir(path):  # unlike Path.is_dir, never raises for a name that cannot exist
        raise OSError(f"{name} must name a file; {path} is a folder.")
    if not os.path.isdir(path.parent):
        raise OSError(f"{name} must lie in a folder that exists; {path.parent} does not.")
    if os.path.exists(path) and not os.access(path, os.W_OK):
        raise OSError(f"{name} must be writable; {path} is read-only.")
    if n_bytes:
        free = _free_bytes(path.parent)
        if free < n_bytes:
            raise OSError(
                f"{name} must have room for {n_bytes:.0f} bytes; {path.parent} has {free}."
            )
    # A trial file is the only test that also holds for the superuser and for read-only mounts.
    try:
        descriptor, trial = _new_file_beside(path)
    except OSError as error:
        reason = error.strerror or error
        raise OSError(f"{name} must be writable; {path.parent} refuses: {reason}.") from error
    os.close(descriptor)
    os.unlink(trial)


def as_path(path, name="path"):
    """Return a path as the string, or the bytes, that it stands for."""
    try:
        path = os.fspath(path)
    except TypeError:
        kind = type(path).__name__
        raise TypeError(f"{name} must be a string or path-like; got {kind}.") from None
    if ("\0" if isinstance(path, str) else b"\0") in path:
        raise ValueError(f"{name} must name a file; got {path!r}, with a null character.")
    return path


def write_container(path, header, arrays):
    """Write header and arrays to `path` at once or not at all."""
    path = Path(os.fsdecode(os.path.realpath(as_path(path))))
    described = {name: _describe(array) for name, array in arrays.items()}
    document = {"format": FORMAT, "format_version": VERSION, **header, "arrays": described}
    text = json.dumps(document, indent=1, allow_nan=False)
    descriptor, temporary = _new_file_beside(path)
    try:
        with os.fdopen(descriptor, "wb") as file:
            _write_zip(file, text, arrays)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def read_header(path):
    """Return the header of a model file; no array is read."""
    with _opened(path) as archive:
        return _header(archive)


def read_container(path):
    """Return the header and the arrays of a model file."""
    with _opened(path) as archive:
        header = _header(archive)
        return header, {name: _array(archive, name, d) for name, d in header["arrays"].items()}


def _describe(array):
    """Shape and type of an array, as the header holds them; refuses what only pickle could hold."""
    if array.dtype.kind not in ARRAY_KINDS:
        raise TypeError(f"a model must hold arrays of numbers or strings; got {array.dtype}.")
    return {"dtype": array.dtype.str, "shape": list(array.shape)}


def _write_zip(file, text, arrays):
    """Write the header, then every array."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(HEADER, text)
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, np.ascontiguousarray(array), allow_pickle=False)


def _new_file_beside(path):
    """Open a new, hidden file in the folder of `path`; the umask decides who may read it."""
    temporary = path.parent / f".{path.name}.{secrets.token_hex(4)}.tmp"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    return os.open(temporary, flags, 0o666), temporary


def _free_bytes(folder):
    """Room left on the disk that holds a folder."""
    import shutil

    return shutil.disk_usage(folder).free


@contextlib.contextmanager
def _opened(path):
    """Open the archive; whatever a damaged one makes its readers raise becomes one sentence."""
    path = as_path(path)
    with open(path, "rb") as file:
        try:
            with zipfile.ZipFile(file) as archive:
                yield archive
        except ModelFileError as error:
            raise ModelFileError(f"{path} must be a subquad model; it {error}.") from error
        except MemoryError:
            raise
        except Exception as error:  # bytes of unknown origin may make the readers raise anything
            raise ModelFileError(
                f"{path} must be a subquad model; it is of another kind, truncated or damaged."
            ) from error


def _header(archive):
    """Header, once format, version and the list of entries are as they should be."""
    if HEADER not in archive.namelist():
        raise ModelFileError(f"has no {HEADER}")
    if archive.getinfo(HEADER).file_size > LARGEST_HEADER:
        raise ModelFileError("has a header too large to be one")
    header = json.loads(archive.read(HEADER))
    if header["format"] != FORMAT:
        raise ModelFileError(f"holds a {header['format']!r}")
    if header["format_version"] > VERSION:
        raise ModelFileError(
            f"has format {header['format_version']}, of a newer subquad; this one reads {VERSION}. "
            "Upgrade subquad to read it"
        )
    expected = {HEADER, *(f"{name}.npy" for name in header["arrays"])}
    if sorted(archive.namelist()) != sorted(expected):
        raise ModelFileError("holds other entries than its header lists")
    return header


def _array(archive, name, described):
    """One array, as its header describes it; sizes are compared before memory is taken."""
    dtype, shape = np.dtype(described["dtype"]), tuple(described["shape"])
    entry = archive.getinfo(f"{name}.npy")
    preamble = entry.file_size - math.prod(shape) * dtype.itemsize
    stored = entry.compress_type == zipfile.ZIP_STORED and entry.file_size == entry.compress_size
    if dtype.kind not in ARRAY_KINDS or not stored or not 0 < preamble <= LARGEST_ARRAY_PREAMBLE:
        raise ModelFileError(f"holds an array {name!r} of another size than its header says")
    with archive.open(entry) as file:
        if np.lib.format.read_magic(file) != (1, 0):
            raise ModelFileError(f"holds an array {name!r} in an unknown layout")
        if np.lib.format.read_array_header_1_0(file)[::2] != (shape, dtype):
            raise ModelFileError(f"holds an array {name!r} other than its header says")
    # Opened anew: seeking back would switch off the checksum.
    with archive.open(entry) as file:
        return np.lib.format.read_array(file, allow_pickle=False)
