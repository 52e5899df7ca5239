"""Documents as files: a zip of a JSON header and plain arrays, nothing that can execute.

``header.json`` comes first and describes every array; each array is an uncompressed ``NAME.npy``,
so that ``numpy.load`` opens the file as well. Reading trusts nothing: entries, sizes, types and
checksums must agree, and no size is believed that the file is too short for.
"""

from __future__ import annotations

import contextlib
import io
import math
import os
import re
import zipfile
from typing import TYPE_CHECKING

import numpy as np

from subquad._validation import as_path
from subquad.io._header import MODEL, VERSION, ModelFileError, as_text, checked_header, parsed
from subquad.io._replacing import replacing

if TYPE_CHECKING:
    from typing import Any


HEADER = "header.json"
LARGEST_HEADER = 2**24
# A list of entries of this many bytes holds thousands of them; a model has dozens.
LARGEST_DIRECTORY = 2**20
ARRAY_KINDS = "fiubU"
BYTES_PER_READ = 2**18
LARGEST_CODE_POINT = 0x10FFFF
# What NumPy writes before an array's numbers, in every version of it.
_PREAMBLE = re.compile(
    rb"\x93NUMPY\x01\x00.."
    rb"\{'descr': '([^']{2,16})', 'fortran_order': (False|True), 'shape': \(([0-9, ]*)\), \} *\n",
    re.DOTALL,
)
_DTYPE = re.compile(rf"[<>|=]?[{ARRAY_KINDS}][1-9][0-9]{{0,8}}")


class _File(io.BufferedReader):
    """A file whose single reads are bounded until the list of its entries is read."""

    largest = LARGEST_DIRECTORY

    def read(self, size=-1):
        """Read, or refuse, as many bytes."""
        if size is not None and size > self.largest:
            raise ModelFileError("has a list of entries too long to be one")
        return super().read(size)


def write_container(path, header, arrays, kind=MODEL):
    """Write header and arrays to `path` at once or not at all."""
    described = {name: _describe(array) for name, array in arrays.items()}
    document = {"format": kind, "format_version": VERSION, **header, "arrays": described}
    text = as_text(document)
    if len(text.encode()) > LARGEST_HEADER:
        raise ValueError(
            f"notes must fit, with all that is no array, in {LARGEST_HEADER} bytes of JSON; "
            f"got {len(text.encode())}."
        )
    with replacing(path) as file:
        _write_zip(file, text, arrays)


def read_header(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the header of a model file; no array is read."""
    with _opened(path, MODEL) as (archive, _):
        return _header(archive, MODEL)


def read_container(path, kind=MODEL):
    """Return the header and the arrays of a file."""
    with _opened(path, kind) as (archive, size):
        header = _header(archive, kind)
        if sum(entry.file_size for entry in archive.infolist()) > size:
            raise ModelFileError("holds arrays larger than itself")
        return header, {name: _array(archive, name, d) for name, d in header["arrays"].items()}


def _describe(array):
    """Shape and type of an array, as the header holds them; refuses what only pickle could hold."""
    if array.dtype.kind not in ARRAY_KINDS:
        raise TypeError(f"a model must hold arrays of numbers or strings; got {array.dtype}.")
    return {"dtype": array.dtype.str, "shape": list(array.shape)}


def _write_zip(file, text, arrays):
    """Write the header, then every array, its memory in the order that it has here.

    BLAS adds up rows and columns in another order: a model that came back with the other one would
    predict other last bits.
    """
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(HEADER, text)
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                in_order = np.require(array, requirements="F" if array.flags.fnc else "C")
                np.lib.format.write_array(entry, in_order, version=(1, 0), allow_pickle=False)


@contextlib.contextmanager
def _opened(path, kind):
    """Open the archive; whatever a damaged one makes its readers raise becomes one sentence."""
    with _File(io.FileIO(as_path(path))) as file:
        try:
            with zipfile.ZipFile(file) as archive:
                file.largest = math.inf
                yield archive, os.fstat(file.fileno()).st_size
        except ModelFileError as error:
            raise ModelFileError(f"{path} must be a {kind}; it {error}.") from error
        except (MemoryError, ImportError):
            raise
        except Exception as error:  # bytes of unknown origin may make the readers raise anything
            if "unknown encoding" in str(error):  # names in a zip are in one of MS-DOS
                raise OSError(f"{path} cannot be read by this Python: {error}.") from error
            raise ModelFileError(
                f"{path} must be a {kind}; it is of another kind, truncated or damaged."
            ) from error


def _header(archive, kind):
    """Header, once format, version and the list of entries are as they should be."""
    if HEADER not in archive.NameToInfo:
        raise ModelFileError(f"has no {HEADER}")
    entry = archive.getinfo(HEADER)
    if entry.file_size > LARGEST_HEADER:
        raise ModelFileError("has a header too large to be one")
    _require_stored(entry)
    header = checked_header(parsed(archive.read(entry).decode()), kind)
    expected = {HEADER, *(f"{name}.npy" for name in header["arrays"])}
    if sorted(archive.namelist()) != sorted(expected):
        raise ModelFileError("holds other entries than its header lists")
    return header


def _require_stored(entry):
    """Refuse an entry that is compressed, which may be any size once it is not, or encrypted."""
    if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size:
        raise ModelFileError("holds a compressed entry, which none of its kind does")


def _array(archive, name, described):
    """One array, as its header describes it; sizes are compared before memory is taken."""
    entry, shape = archive.getinfo(f"{name}.npy"), tuple(described["shape"])
    _require_stored(entry)
    dtype = np.dtype(described["dtype"]) if _DTYPE.fullmatch(described["dtype"]) else None
    preamble = 0 if dtype is None else entry.file_size - math.prod(shape) * dtype.itemsize
    if not 10 < preamble < 2**16 + 10:
        raise ModelFileError(f"holds an array {name!r} of another size than its header says")
    with archive.open(entry) as file:
        order = _order(file.read(preamble), shape, dtype)
        if order is None:
            raise ModelFileError(f"holds an array {name!r} other than its header says")
        numbers = np.empty(math.prod(shape), dtype)
        left = memoryview(numbers.view(np.uint8))
        while len(left):  # a checksum is compared once the last byte is read
            chunk = file.read(min(len(left), BYTES_PER_READ))
            if not chunk:
                raise ModelFileError(f"holds an array {name!r} that ends too early")
            left[: len(chunk)] = chunk
            left = left[len(chunk) :]
        file.read(1)
    return _sound(numbers, name).reshape(shape, order=order)


def _order(preamble, shape, dtype):
    """Order of an array's memory, "C" or "F"; None if its preamble says another type or shape."""
    match = _PREAMBLE.fullmatch(preamble)
    if match is None:
        return None
    descr, fortran, sizes = (group.decode() for group in match.groups())
    if descr != dtype.str or tuple(int(n) for n in sizes.split(",") if n.strip()) != shape:
        return None
    return "F" if fortran == "True" else "C"


def _sound(numbers, name):
    """Return an array, once its bytes are values of its type."""
    kind, sound = numbers.dtype.kind, True
    if kind == "b":
        sound = numbers.view(np.uint8).max(initial=0) <= 1
    elif kind == "U":
        codes = numbers.view(np.dtype(np.uint32).newbyteorder(numbers.dtype.byteorder))
        sound = codes.max(initial=0) <= LARGEST_CODE_POINT
    if not sound:
        raise ModelFileError(f"holds an array {name!r} of bytes that are no values of its type")
    return numbers
