"""What the training rows tell of a column, in plain values, and whether it is of use at all."""

import re

import numpy as np

from subquad._command.tables.dates import parts_of

# A category of fewer rows than this share of them, or than `FEWEST_ROWS`, has no column.
RAREST = 0.005
FEWEST_ROWS = 2
MOST_CATEGORIES = 50
# Numbers that count the rows are left out of a table of at least so many: of a shorter one nobody
# could tell.
FEWEST_TO_COUNT = 30
# A text of which more than this share of the rows has one of its own tells rows apart, not groups.
MOST_DISTINCT = 0.5
_IDENTIFIER = re.compile(r"(^|_|\b)(id|uuid|guid|index|rownum|row_number)$", re.IGNORECASE)
COUNTS_ROWS = "counts the rows"


def counts(column):
    """Whether numbers count the rows, in the order of the file."""
    if column.kind != "number" or len(column.values) < FEWEST_TO_COUNT:
        return False
    return bool((np.diff(column.values) == 1).all())


def useless(column, known):
    """Why a column can tell nothing of rows to come, or None."""
    gaps = column.gaps
    present = column.values[~gaps]
    if not len(present):
        return "empty"
    if column.kind == "text":
        n_distinct = len(set(present))
        if n_distinct > max(MOST_DISTINCT * len(present), MOST_CATEGORIES / 2) or (
            not known["categories"]
        ):
            return f"{n_distinct} different texts in {len(present)} rows"
    else:
        n_distinct = len(np.unique(present))
    if n_distinct == 1 and not gaps.any():
        return "constant"
    if column.kind == "number" and n_distinct == len(column.values) >= FEWEST_TO_COUNT:
        if (present == np.floor(present)).all() and _IDENTIFIER.search(column.name):
            return "an identifier of each row"
    return None


def learned(column):
    """What a column's training rows tell, in plain values."""
    gaps = column.gaps
    known = {"kind": column.kind, "gaps": bool(gaps.any())}
    if column.kind == "text":
        return {"kind": "text", **_frequent(filled(column.values))}
    if column.kind == "number":
        fill = float(np.median(column.values[~gaps])) if not gaps.all() else 0.0
        return {**known, "fill": fill}
    parts = parts_of(column.values)
    varying = [name for name, values in parts.items() if np.nanmax(values) > np.nanmin(values)]
    days = parts["time"][~gaps]
    fill = float(np.median(days)) if len(days) else 0.0
    return {**known, "form": column.form, "fill": fill, "parts": ["time", *varying[1:]]}


def _frequent(values):
    """Categories of so many rows that each gets a column, and those that are too rare."""
    from sklearn.preprocessing import OneHotEncoder

    fewest = max(FEWEST_ROWS, round(RAREST * len(values)))
    encoder = OneHotEncoder(
        min_frequency=fewest,
        max_categories=MOST_CATEGORIES,
        handle_unknown="infrequent_if_exist",
    )
    encoder.fit(values[:, None])
    rare = encoder.infrequent_categories_[0]
    rare = [] if rare is None else rare.tolist()
    skipped = set(rare)
    frequent = [c for c in encoder.categories_[0].tolist() if c not in skipped]
    more = len(rare) > 20 * MOST_CATEGORIES
    return {"categories": frequent, "rare": [] if more else rare, "more_rare": more}


def filled(values):
    """Texts in which an empty one stands for a gap: it is a category like others."""
    return np.array(["" if value is None else value for value in values], dtype=object)
