"""Saved models as files: a zip of a JSON header and plain arrays, nothing that can execute.

``header.json`` comes first and describes every array; each array is an uncompressed ``NAME.npy``,
so that ``numpy.load`` opens the file as well. Reading trusts nothing: entries, sizes, types and checksums must agree.
"""

import contextlib
import json
import math
import zipfile

import numpy as np

from subquad.io._replacing import replacing

FORMAT = "subquad model"
VERSION = 1
HEADER = "header.json"
LARGEST_HEADER = 2**24
LARGEST_ARRAY_PREAMBLE = 2**16
ARRAY_KINDS = "fiubU"


class ModelFileError(ValueError):
    """A file that is not a model this version can read; its text says why in one sentence."""


def write_container(path, header, arrays):
    """Write header and arrays to `path` at once or not at all."""
    described = {name: _describe(array) for name, array in arrays.items()}
    document = {"format": FORMAT, "format_version": VERSION, **header, "arrays": described}
    text = json.dumps(document, indent=1, allow_nan=False)
    with replacing(path) as file:
        _write_zip(file, text, arrays)


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


@contextlib.contextmanager
def _opened(path):
    """Open the archive; whatever a damaged one makes its readers raise becomes one sentence."""
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
