"""What a column holds: numbers, dates or text, found out from its entries.

The entries decide and not the kind of file, so that the same table is typed alike from CSV, Parquet
and NPZ. Entries such as "?" among numbers are gaps; a column that is mostly numbers and holds
other text as well is refused, since that is an oversight more often than it is meant.
"""

from dataclasses import dataclass, replace

import numpy as np

from subquad._command.tables import dates
from subquad._command.tables.targets import MOST_CLASSES, says_nothing

# In a column of nothing else these are 1 and 0.
BOOLEANS = {"true": 1.0, "True": 1.0, "TRUE": 1.0, "1": 1.0}
BOOLEANS |= {"false": 0.0, "False": 0.0, "FALSE": 0.0, "0": 0.0}


@dataclass(frozen=True)
class Column:
    """Entries of one kind: "number" (float64, NaN a gap), "text" (objects, None a gap), "date".

    Those of a date are datetime64[us], NaT a gap. `said` is what to tell a person of how it was
    read, `form` how its dates are written.
    """

    name: str
    kind: str
    values: np.ndarray
    said: str | None = None
    form: str | None = None

    def take(self, rows):
        """Return the same of some rows."""
        return replace(self, values=self.values[rows])

    @property
    def gaps(self):
        """Mask of the missing entries, shape (n,)."""
        if self.kind == "text":
            return np.array([value is None for value in self.values], dtype=bool)
        return np.isnan(self.values) if self.kind == "number" else np.isnat(self.values)


class Odd(Exception):
    """An entry that does not fit its column: the entry, its row from 1, options that read it."""

    def __init__(self, value, row, remedies=()):
        super().__init__(value, row)
        self.value, self.row, self.remedies = value, row, tuple(remedies)

    def __str__(self):
        return f"{str(self.value)[:30]!r} in row {self.row}"


def of_numbers(name, values):
    """Return the column of an array of numbers."""
    return Column(name, "number", np.asarray(values, dtype=np.float64))


def of_dates(name, values):
    """Return the column of an array of dates."""
    return Column(name, "date", values.astype("datetime64[us]"), form="stored")


def of_texts(name, texts, codes, dialect, wanted=None):
    """Return the column of distinct texts and their numbers, -1 where an entry is missing.

    `wanted` is the kind and the form of dates that a model expects, if one does. Raises `Odd`.
    """
    texts = [text.strip() for text in texts]
    kind, form = wanted or (None, None)
    if kind == "text":
        return Column(name, "text", _spread(texts, codes))
    if kind == "date":
        return _as_dates(name, texts, codes, form)
    numbers = [BOOLEANS.get(text) for text in texts]
    if None in numbers:
        numbers = [dialect.number(text) for text in texts]
    odd = [text for text, number in zip(texts, numbers, strict=True) if number is None]
    values = _chosen(np.array([np.nan if n is None else n for n in numbers], float), codes, np.nan)
    if not odd:
        return Column(name, "number", values)
    if kind == "number" or (len(odd) < len(texts) and all(map(says_nothing, odd))):
        return _with_gaps(name, texts, codes, values, odd, dialect)
    if kind is None and (found := dates.form_of([t for t in texts if not says_nothing(t)])):
        return _as_dates(name, texts, codes, found)
    first = _first_row(texts, codes, odd)
    if all(map(dialect.notations, odd)) or _mostly_numbers(texts, values, codes):
        entry = texts[codes[first - 1]]
        raise Odd(entry, first, dialect.notations(entry))
    return Column(name, "text", _spread(texts, codes))


def _with_gaps(name, texts, codes, values, odd, dialect):
    """Numbers among which entries say that there is none."""
    if not all(map(says_nothing, odd)):
        row = _first_row(texts, codes, [text for text in odd if not says_nothing(text)])
        entry = texts[codes[row - 1]]
        raise Odd(entry, row, dialect.notations(entry))
    count = sum(np.count_nonzero(codes == i) for i, text in enumerate(texts) if text in odd)
    said = f"{count} entries {' and '.join(map(repr, sorted(set(odd))))} taken as missing"
    return Column(name, "number", values, said)


def _as_dates(name, texts, codes, form):
    """Dates of a form; what is none is a gap."""
    parsed = dates.parsed(texts, form)
    lost = [text for text, date in zip(texts, parsed, strict=True) if np.isnat(date)]
    unknown = sorted(text for text in set(lost) if not says_nothing(text))
    said = f"{unknown[0]!r} is no date and taken as missing" if unknown else None
    return Column(name, "date", _chosen(parsed, codes, np.datetime64("NaT", "us")), said, form)


def _spread(texts, codes):
    """Entries (n,) as objects, None where one is missing."""
    return _chosen(np.array([*texts], dtype=object), codes, None)


def _chosen(values, codes, gap):
    """The value of each code, `gap` for -1."""
    ends = np.empty(1, dtype=values.dtype)
    ends[0] = gap
    return np.concatenate([values, ends])[codes]


def _first_row(texts, codes, wanted):
    """Row, from 1, of the first entry that is one of those."""
    wanted = set(wanted)
    places = [i for i, text in enumerate(texts) if text in wanted]
    return int(np.isin(codes, places).argmax()) + 1


def _mostly_numbers(texts, values, codes):
    """Whether text stands in a column of numbers that do not repeat, as labels would."""
    n, n_numbers = np.count_nonzero(codes >= 0), np.count_nonzero(~np.isnan(values))
    return n_numbers >= n / 2 and len(texts) > max(MOST_CLASSES, n / 2)
