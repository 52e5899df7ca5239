"""Columns of any kind as a matrix of numbers, categories by scikit-learn's encoder.

What the training rows tell is plain: a fill for gaps, categories, the way dates are written. A
model file keeps that as JSON, and the encoder is fitted anew to a row that tells it the same, so
that no part of scikit-learn is ever unpickled.
"""

import warnings
from dataclasses import dataclass, replace

import numpy as np

from subquad._command.errors import BadInput
from subquad._command.models import learning
from subquad._command.tables import Frame
from subquad._command.tables.dates import parts_of


@dataclass(frozen=True)
class Encoding:
    """How typed columns become a matrix.

    `names` are all columns of the table, `used` maps those that are used to what is known of them,
    `left_out` others to the reason. `center` and `scale`, each (d,) or None, come last.
    """

    names: list[str]
    used: dict
    left_out: dict
    center: np.ndarray | None = None
    scale: np.ndarray | None = None

    @classmethod
    def fit(cls, frame, whole=None, keep_all=False):
        """Learn from the training rows; columns that count the `whole` table's rows are left out.

        `keep_all` leaves none out, for tables that are known.
        """
        used, left_out = {}, {}
        counting = (
            [] if keep_all else [c.name for c in (whole or frame).columns if learning.counts(c)]
        )
        for column in frame.columns:
            known = learning.learned(column)
            reason = None if keep_all else learning.useless(column, known)
            if column.name in counting:
                reason = learning.COUNTS_ROWS
            if reason is None:
                used[column.name] = known
            else:
                left_out[column.name] = reason
        if not used and counting:  # which may tell something, as nothing else does
            used = {name: learning.learned(frame[name]) for name in counting}
            left_out = {name: why for name, why in left_out.items() if name not in used}
        if not used:
            why = ", ".join(f"{name} ({reason})" for name, reason in left_out.items())
            raise BadInput(
                f"{frame.source} must have a column besides the target that tells rows apart; got "
                f"{why}"
            )
        return cls(frame.names, used, left_out)

    def relearned(self, frame):
        """Return the same columns, learned from other rows; it has no scales."""
        return Encoding(
            self.names, {n: learning.learned(frame[n]) for n in self.used}, self.left_out
        )

    def scaled(self, center, scale):
        """Return the same with centres and scales."""
        return replace(self, center=center, scale=scale)

    @property
    def plain(self):
        """Whether all columns are numbers without gaps."""
        return all(c["kind"] == "number" and not c["gaps"] for c in self.used.values())

    @property
    def wanted(self):
        """Kind and form of dates of each column that is used, by name."""
        return {name: (known["kind"], known.get("form")) for name, known in self.used.items()}

    def wanted_by_place(self, n_columns):
        """The same for each of so many columns without names, None for one that is not used."""
        names = self.names if n_columns == len(self.names) else [*self.used]
        return [self.wanted.get(name) for name in names]

    @property
    def labels(self):
        """The column of the table, and what of it, of each column of the matrix."""
        numbers = [(name, part) for name, part, _, _ in self._numbers()]
        gaps = [(name, "missing") for name, _, _, gaps in self._numbers() if gaps]
        return numbers + gaps + [(name, category) for name, category in self._categories()]

    @property
    def is_indicator(self):
        """Mask of the columns of the matrix that hold 0 and 1."""
        n = len(self._numbers())
        return np.arange(len(self.labels)) >= n

    def transform(self, frame):
        """Return the matrix (n, d) of a frame, in float64."""
        parts = []
        numbers = self._numbers()
        if numbers:
            values = np.column_stack([self._values(frame, *number[:2]) for number in numbers])
            parts += _without_gaps(values, numbers)
        texts = [name for name, known in self.used.items() if known.get("categories")]
        if texts:
            categories = [self.used[name]["categories"] for name in texts]
            values = np.column_stack([learning.filled(frame[name].values) for name in texts])
            self._tell_unknown(texts, values)
            parts.append(_indicators(categories).transform(values))
        X = np.hstack(parts)
        return X if self.center is None else (X - self.center) / self.scale

    def as_json(self):
        """Return what a file keeps."""
        known = {"names": self.names, "used": self.used, "left_out": self.left_out}
        if self.center is not None:
            known |= {"center": self.center.tolist(), "scale": self.scale.tolist()}
        return known

    @classmethod
    def from_json(cls, known):
        """Return the encoding of a file, whose parts may be anything."""
        try:
            names, used, left_out = list(known["names"]), dict(known["used"]), known["left_out"]
            used = {str(name): _checked(column) for name, column in used.items()}
            scales = [known.get(part) for part in ("center", "scale")]
            scales = [None if part is None else np.array(part, np.float64) for part in scales]
            encoding = cls(list(map(str, names)), used, dict(left_out), *scales)
            fits = all(part is None or part.shape == (len(encoding.labels),) for part in scales)
            if not fits or (scales[0] is None) != (scales[1] is None):
                raise ValueError("scales that do not fit the columns")
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BadInput(f"the model must tell how its columns are read; {error}") from error
        return encoding

    def _numbers(self):
        """Column, part, fill and gaps of each number that is made of the columns."""
        found = []
        for name, known in self.used.items():
            if known["kind"] == "number":
                found.append((name, "", known["fill"], known["gaps"]))
            elif known["kind"] == "date":
                for part in known["parts"]:
                    gaps = known["gaps"] and part == "time"
                    found.append((name, part, known["fill"] if part == "time" else 0.0, gaps))
        return found

    def _categories(self):
        """Column and category of each indicator."""
        return [
            (name, category)
            for name, known in self.used.items()
            if known["kind"] == "text"
            for category in known["categories"]
        ]

    def _values(self, frame, name, part):
        """Numbers (n,) of a column or a part of its dates."""
        values = frame[name].values
        return values if not part else parts_of(values)[part]

    def _tell_unknown(self, texts, values):
        """Warn of entries that no training row had; one of a rare category was seen, and is not."""
        for j, name in enumerate(texts):
            known = {*self.used[name]["categories"], *self.used[name].get("rare", ()), ""}
            unknown = {value for value in values[:, j] if value not in known}
            if unknown and not self.used[name].get("more_rare"):
                example = sorted(unknown)[0]
                warnings.warn(
                    f"{frame_name(name)} holds {len(unknown)} entries that no training row had, "
                    f"such as {example[:30]!r}; they count as none of the known ones.",
                    UserWarning,
                    stacklevel=4,
                )


def frame_name(name):
    """A column's name in quotes."""
    return f"the column {name!r}"


def _without_gaps(values, numbers):
    """Numbers (n, d) whose gaps are filled, and indicators of those that training rows had."""
    missing = np.isnan(values)
    fills = np.array([fill for _, _, fill, _ in numbers])
    told = [j for j, (_, _, _, gaps) in enumerate(numbers) if gaps]
    return [np.where(missing, fills, values), missing[:, told].astype(np.float64)]


def _indicators(categories):
    """Encoder of given categories; others are none of them."""
    from sklearn.preprocessing import OneHotEncoder

    categories = [np.array([*column], dtype=object) for column in categories]
    encoder = OneHotEncoder(categories=categories, handle_unknown="ignore", sparse_output=False)
    first = [[column[0] if len(column) else "" for column in categories]]
    return encoder.fit(np.array(first, dtype=object))


def _checked(known):
    """What is known of a column, once it has the types that are relied on."""
    kinds = {"number": {"fill": float}, "date": {"fill": float, "form": str, "parts": list}}
    kinds["text"] = {"categories": list}
    for part, kind in kinds[known["kind"]].items():
        allowed = (float, int) if kind is float else kind
        if not isinstance(known[part], allowed):
            raise TypeError(f"{part} must be a {kind.__name__}")
    if known["kind"] == "date":
        unknown = set(known["parts"]) - set(parts_of(np.zeros(1, "datetime64[us]")))
        if unknown:
            raise ValueError(f"unknown parts of dates {sorted(unknown)}")
    if known["kind"] == "text" and not all(isinstance(c, str) for c in known["categories"]):
        raise TypeError("categories must be text")
    known.setdefault("gaps", False)
    return known


def columns_of(frame, encoding):
    """Return a frame with the columns that a model reads, by name or by place."""
    if not set(encoding.used) <= set(frame.names):
        frame = _by_place(frame, encoding)
    for name, known in encoding.used.items():
        if frame[name].kind != known["kind"]:
            raise BadInput(
                f"{frame.source} must hold {known['kind']}s in the column {name!r}, as the model "
                f"was fitted on; got {frame[name].kind}s"
            )
    return frame


def _by_place(frame, encoding):
    """The same columns with the names that a model knows them by."""
    for names in (encoding.names, [*encoding.used]):
        if len(names) == len(frame.columns):
            pairs = zip(frame.columns, names, strict=True)
            return Frame(frame.source, [replace(column, name=name) for column, name in pairs])
    raise BadInput(
        f"{frame.source} must have the {len(encoding.names)} features the model was fitted on; "
        f"got {len(frame.columns)}"
    )
