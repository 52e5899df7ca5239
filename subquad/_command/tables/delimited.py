"""CSV and TSV files: how one is written, and its entries as the text that stands in it.

A `Dialect` holds what the user said about a file. What it leaves open is taken from the file where
only one answer is possible: the encoding from a byte-order mark, the separator from a header that
would otherwise be one column. A file that is not UTF-8 is refused with the option that reads it,
since the same bytes are other letters in other encodings.
"""

import csv
import functools
import importlib
import io
import re
from dataclasses import dataclass, replace

from subquad._command.errors import BadInput, one_line

SEPARATORS = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
OTHER_SEPARATORS = (",", ";", "\t", "|")
BYTE_ORDER_MARKS = {
    b"\xff\xfe\x00\x00": "utf-32",
    b"\x00\x00\xfe\xff": "utf-32",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}
# These ways of writing numbers are tried on an entry that is none, to offer them.
NOTATIONS = (
    {"decimal": ","},
    *({"thousands": mark} for mark in (",", " ", "'", "\xa0")),
    *({"decimal": ",", "thousands": mark} for mark in (".", " ", "'", "\xa0")),
)
# A line of names has fewer characters: few bytes may decompress to a line of billions.
LONGEST_LINE = 2**24
# A message quotes this many characters on each side of a byte that cannot be read.
CONTEXT = 12


@dataclass(frozen=True)
class Dialect:
    """How a file separates its columns and writes text, numbers and missing values."""

    sep: str | None = None
    encoding: str | None = None
    decimal: str = "."
    thousands: str | None = None
    na: tuple[str, ...] = ()

    def number(self, text):
        """Return the number that an entry writes, or None if it writes none."""
        text = text.strip()
        if not _number_pattern(self.decimal, self.thousands).fullmatch(text):
            return None
        return float(text.replace(self.thousands or "", "").replace(self.decimal, "."))

    @property
    def plain(self):
        """Whether numbers are written as in a program: a point, and no thousands separators."""
        return self.decimal == "." and self.thousands is None

    def notations(self, text):
        """Return the options under which an entry that is no number would be one."""
        found = []
        for marks in NOTATIONS:
            thousands, decimal = marks.get("thousands"), marks.get("decimal", self.decimal)
            # A mark must occur to be worth an option; with points between thousands, a comma need
            # not occur to be the decimal mark, since the point cannot be.
            used = all(mark in text for mark in marks.values()) or (thousands or " ") == "." in text
            if used and thousands != decimal and replace(self, **marks).number(text) is not None:
                found.append(" ".join(f"--{name}={quoted(mark)}" for name, mark in marks.items()))
        return found


PLAIN = Dialect()


def checked(dialect):
    """Return the dialect as read, once each of its options can be what it says."""
    sep = {"tab": "\t", "\\t": "\t"}.get(dialect.sep, dialect.sep)
    if sep is not None and (len(sep) != 1 or not sep.isascii() or sep in '"\r\n'):
        raise BadInput(f"--sep must be one character, or tab; got {dialect.sep!r}")
    thousands = dialect.thousands
    if thousands is not None and (
        len(thousands) != 1 or thousands.isalnum() or thousands in f"+-{dialect.decimal}"
    ):
        raise BadInput(
            "--thousands must be one character that is no letter, digit, sign or decimal mark; "
            f"got {thousands!r}"
        )
    try:
        io.TextIOWrapper(io.BytesIO(), dialect.encoding or "utf-8")
    except LookupError:
        raise BadInput(
            f"--encoding must be one that Python knows; got {dialect.encoding!r}"
        ) from None
    return replace(dialect, sep=sep)


def read(source, suffix, dialect, select=list):
    """Return an Arrow table of text, the names of all columns, and the dialect as it was read.

    `select` says of their names which columns are wanted: no other takes memory.
    """
    import pyarrow
    from pyarrow import csv as arrow_csv

    dialect = replace(dialect, encoding=dialect.encoding or _encoding(source))
    names, dialect = _header(source, suffix, dialect)
    wanted = select(names)
    missing = [*arrow_csv.ConvertOptions().null_values, *dialect.na]
    try:
        table = arrow_csv.read_csv(
            source,
            # A block must hold whole rows, however many columns they have.
            read_options=arrow_csv.ReadOptions(
                encoding=dialect.encoding, block_size=max(2**20, 256 * len(names))
            ),
            parse_options=arrow_csv.ParseOptions(delimiter=dialect.sep, newlines_in_values=True),
            convert_options=arrow_csv.ConvertOptions(
                column_types=dict.fromkeys(names, pyarrow.string()),
                include_columns=wanted if len(set(names)) == len(names) else None,
                null_values=missing,
                strings_can_be_null=True,
            ),
        )
    except UnicodeError:
        _require_readable(source, dialect.encoding)
        raise
    except pyarrow.ArrowException as error:
        if dialect.encoding.lower() in ("utf8", "utf-8"):
            _require_readable(source, dialect.encoding)
        raise BadInput(
            f"{source} cannot be read as a table: {one_line(error)}{other_separator(names)}"
        ) from error
    if table.column_names not in (names, wanted):
        raise BadInput(f"{source} must name its columns in plain or quoted text; got {names!r}")
    return table, names, dialect


def quoted(text):
    """Return text in quotes that a shell takes off."""
    return f'"{text}"' if "'" in text else f"'{text}'"


def other_separator(names):
    """Return a hint that columns are separated otherwise, if their names hold such a character."""
    for sep in OTHER_SEPARATORS[1:]:
        if any(sep in name for name in names):
            word = "tab" if sep == "\t" else quoted(sep)
            return f". If columns are separated otherwise, add --sep={word}"
    return ""


def _encoding(source):
    """Encoding a file's first bytes tell of: that of its byte-order mark, else UTF-8."""
    with _opened(source) as file:
        head = file.read(2**12)
    for mark, encoding in BYTE_ORDER_MARKS.items():
        if head.startswith(mark):
            return encoding
    if b"\0" not in head:
        return "utf-8"
    remedy, low, high = "", head[::2].count(0), head[1::2].count(0)
    if not low or not high:
        order = "le" if high else "be"
        remedy = (
            f", as UTF-16 has. Read it with --encoding=utf-16-{order}, or save the file as UTF-8"
        )
    raise BadInput(f"{source} must be text; got zero bytes{remedy}")


def _header(source, suffix, dialect):
    """Names of the columns, and the dialect with its separator."""
    try:
        if dialect.sep is not None:
            return _first_row(source, dialect.encoding, dialect.sep), dialect
        sep = SEPARATORS[suffix]
        names = _first_row(source, dialect.encoding, sep)
        if len(names) == 1:
            rows = {s: _first_row(source, dialect.encoding, s) for s in OTHER_SEPARATORS}
            sep = max(rows, key=lambda s: (len(rows[s]), s == sep))
            names = rows[sep]
    except UnicodeError:
        _require_readable(source, dialect.encoding)
        raise
    return names, replace(dialect, sep=sep)


def _first_row(source, encoding, sep):
    """Entries of the first line that is not empty."""
    encoding = "utf-8-sig" if encoding == "utf-8" else encoding
    with io.TextIOWrapper(_opened(source), encoding, newline="") as file:
        lines = _bounded(source, file)
        try:
            return next((row for row in csv.reader(lines, delimiter=sep) if row), [])
        except csv.Error as error:
            raise BadInput(f"{source} must begin with the names of its columns; {error}") from error


def _bounded(source, file):
    """Lines of a file of which none is too long to be one of names."""
    while line := file.readline(LONGEST_LINE):
        if len(line) == LONGEST_LINE:
            raise BadInput(
                f"{source} must begin with a line of names; got one of {LONGEST_LINE} characters "
                "or more"
            )
        yield line


def _require_readable(source, encoding):
    """Refuse a file that is not in its encoding, quoting the first bytes that are not."""
    if encoding.lower() not in ("utf8", "utf-8"):
        raise BadInput(f"{source} must be in its encoding; got bytes that are not {encoding}")
    with _opened(source) as file:
        for number, line in enumerate(file, start=1):
            try:
                line.decode()
            except UnicodeDecodeError as error:
                around = line[max(0, error.start - CONTEXT) : error.start + CONTEXT]
                raise BadInput(
                    f"{source} must be UTF-8; got the byte 0x{line[error.start]:02x} in line "
                    f"{number}, where Latin-1 has {around.decode('latin-1').strip()!r}. If that is "
                    "right, read the file with --encoding=latin-1; else name its --encoding"
                ) from None


def _opened(source):
    """Open a file's bytes, decompressed as its suffix asks."""
    # A Python may have been built without these; most tables do not need them.
    module = {".gz": "gzip", ".bz2": "bz2"}.get(source[source.rfind(".") :].lower())
    opener = open if module is None else importlib.import_module(module).open
    return opener(source, "rb")


@functools.cache
def _number_pattern(decimal, thousands):
    """Numbers as a dialect writes them; thousands are separated everywhere or nowhere."""
    point, whole = re.escape(decimal), r"\d+"
    if thousands is not None:
        whole = rf"(?:\d+|\d{{1,3}}(?:{re.escape(thousands)}\d{{3}})+)"
    digits = rf"(?:{whole}(?:{point}\d*)?|{point}\d+)"
    return re.compile(rf"[+-]?(?:{digits}(?:e[+-]?\d+)?|nan|inf|infinity)", re.ASCII | re.I)
