"""Where a table comes from: a file by its suffix, standard input, or a bundled data set."""

import atexit
import contextlib
import os
import shutil
import sys
import tempfile
from pathlib import Path

from subquad._command.errors import BadInput, require_file
from subquad._command.tables import arrays, stored
from subquad._command.tables.delimited import SEPARATORS, checked

BUILT_IN = ("digits", "diabetes", "breast_cancer")
STANDARD_INPUT = "-"
# The first bytes of what may come by standard input; all else is text.
_SIGNATURES = {b"PAR1": ".parquet", b"ARROW1": ".feather"}
_kept = {}


@contextlib.contextmanager
def opened(source):
    """Yield the path of a source, and its kind: a suffix, or None for a bundled data set."""
    if source == STANDARD_INPUT:
        path, suffix = _standard_input()
        try:
            yield path, suffix
        except BadInput as error:
            raise BadInput(str(error).replace(path, "standard input")) from error
    else:
        yield source, suffix_of(source)


def suffix_of(source):
    """Kind of a file by its suffix, compression aside, or None for a bundled data set."""
    if source in BUILT_IN:
        return None
    suffixes = [s for s in map(str.lower, Path(source).suffixes) if s not in (".gz", ".bz2")]
    known = (*SEPARATORS, *stored.SUFFIXES, *arrays.SUFFIXES)
    if not suffixes or suffixes[-1] not in known:
        raise BadInput(
            "the data must be a .csv, .tsv, .parquet, .feather, .jsonl, .xlsx or .npz file, - or "
            f"one of {', '.join(BUILT_IN)}; got {source!r}"
        )
    require_file("the data", source)
    return suffixes[-1]


def checked_for(dialect, source, suffix):
    """Dialect of a text file; refuse its options for another kind of data."""
    if suffix in SEPARATORS:
        return checked(dialect)
    text_only = {"sep": None, "encoding": None, "decimal": ".", "thousands": None}
    for name, default in text_only.items():
        if getattr(dialect, name) != default:
            raise BadInput(f"--{name} must go with a .csv or .tsv file; got {source!r}")
    if dialect.na and suffix not in stored.SUFFIXES:
        raise BadInput(f"--na must go with a file that names its columns; got {source!r}")
    return dialect


def _standard_input():
    """Path of a file that holds all of standard input, and its kind; read once."""
    if not _kept or _kept["stream"] is not sys.stdin or not os.path.exists(_kept["path"]):
        stream = getattr(sys.stdin, "buffer", None)
        content = sys.stdin.read().encode() if stream is None else stream.read()
        if not content:
            raise BadInput("standard input must hold a table; got nothing")
        kinds = (kind for mark, kind in _SIGNATURES.items() if content.startswith(mark))
        suffix = next(kinds, ".csv")
        folder = tempfile.mkdtemp(prefix="subquad-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        path = os.path.join(folder, f"standard input{suffix}")
        Path(path).write_bytes(content)
        _kept.update(stream=sys.stdin, path=path, suffix=suffix)
    return _kept["path"], _kept["suffix"]
