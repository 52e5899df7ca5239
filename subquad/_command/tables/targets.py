"""The target: labels as the file writes them, numbers where it writes numbers, and the task.

A label is never changed on its way from the file to the model and back: 007 stays 007. Integers are
kept as such where their text can be made of them again.
"""

import re
import shlex
from dataclasses import dataclass

import numpy as np

from subquad._command.errors import BadInput
from subquad._command.tables.delimited import PLAIN, Dialect

MOST_CLASSES = 20
# Beyond this size float64 does not hold every integer, so that two labels could become one.
LARGEST_EXACT = 2**53
CANONICAL = re.compile(r"0|-?[1-9][0-9]*")
INTEGER = re.compile(r"[+-]?[0-9]+")
# Entries by which tables say that there is none; those of Arrow's own list are missing already.
PLACEHOLDERS = {"n.a.", "n. a.", "na", "none", "nil", "missing", "unknown"}
INT64 = np.iinfo(np.int64)
LONGEST_INT64 = len(str(INT64.min))


@dataclass(frozen=True)
class Target:
    """A target of n rows: `labels` and `numbers`, NaN where an entry writes none, both (n,).

    `rows` are the rows' numbers in the file. A file with types may hold numbers as text: then text
    is meant, and numbers are taken from it only if a regression is asked for.
    """

    source: str
    name: str
    labels: np.ndarray
    numbers: np.ndarray
    rows: np.ndarray
    dialect: Dialect = PLAIN
    stored_as_text: bool = False


def from_array(source, name, y):
    """Return the target of an array of numbers, booleans or text, in the type it is stored in."""
    if y.dtype.kind == "U":
        return from_text(source, name, y.tolist(), stored_as_text=True)
    return Target(source, name, y, y.astype(np.float64), np.arange(1, len(y) + 1))


def from_text(source, name, texts, rows=None, dialect=PLAIN, stored_as_text=False):
    """Return the target of a list of entries; `rows` are their numbers in the file."""
    rows = np.arange(1, len(texts) + 1) if rows is None else rows
    read = map(dialect.number, texts)
    numbers = np.array([np.nan if value is None else value for value in read], np.float64)
    if not stored_as_text and all(map(_is_canonical, texts)):
        labels = np.array([int(text) for text in texts], np.int64)
    else:
        labels = np.array(texts, dtype=np.str_)
    return Target(source, name, labels, numbers, rows, dialect, stored_as_text)


def choose_task(target, requested="auto"):
    """Return the task and its reason: text, booleans and few distinct integers are classes."""
    kind = target.labels.dtype.kind
    if requested != "auto":
        return requested, "as asked"
    if kind == "b":
        return "classification", "the target holds booleans"
    if kind == "f":
        return "regression", "the target holds real numbers"
    if kind != "U":
        return _task_of_integers(target.labels)
    if target.stored_as_text or np.isnan(target.numbers).any():
        _require_labels(target)
        return "classification", "the target holds text"
    return _task_of_written_numbers(target)


def as_target(target, task):
    """Return the target in the form its task needs: real numbers, or labels."""
    if task == "regression":
        if np.isnan(target.numbers).any():
            raise _not_numbers(target, "numbers for a regression")
        if (infinite := np.isinf(target.numbers)).any():
            raise BadInput(
                f"the target {target.name!r} of {target.source} must hold finite numbers; got "
                f"infinity in row {target.rows[infinite][0]}"
            )
        return target.numbers
    labels, numbers = target.labels, target.numbers
    if not np.isnan(numbers).any() and (numbers != np.floor(numbers)).any():
        raise BadInput(
            f"the target {target.name!r} must hold labels for a classification; got fractions. "
            "Fit them with --task=regression"
        )
    if labels.dtype.kind != "f":
        return labels
    if np.abs(labels).max(initial=0) > LARGEST_EXACT:
        return np.array([f"{label:.0f}" for label in labels])
    return labels.astype(np.int64)


def _is_canonical(text):
    """Whether an entry is an integer of 64 bits whose text can be made of it again."""
    return bool(CANONICAL.fullmatch(text)) and _fits_int64(text)


def _fits_int64(text):
    """Whether an integer, as it is written, is one of 64 bits; it may have any number of digits."""
    return len(text) <= LONGEST_INT64 and INT64.min <= int(text) <= INT64.max


def _task_of_integers(values):
    """Task of a column of integers: few distinct ones are classes."""
    n_distinct = np.unique(values).size
    reason = f"the target holds {n_distinct} distinct integers"
    return "classification" if _are_few(n_distinct, len(values)) else "regression", reason


def _task_of_written_numbers(target):
    """Task of a column whose entries all write numbers, but not as 64-bit integers are written."""
    integers = [text.strip() for text in target.labels.tolist()]
    if not all(INTEGER.fullmatch(text) for text in integers):
        return "regression", "the target holds real numbers"
    code = next((text for text in integers if _is_code(text)), None)
    if code is None:
        return _task_of_integers(target.numbers)
    _require_labels(target)
    return "classification", f"the target holds codes such as {code[:30]}"


def _is_code(text):
    """Whether an integer would change on its way through int64: 007, or one of 30 digits."""
    digits = text.lstrip("+-")
    return (len(digits) > 1 and digits[0] == "0") or not _fits_int64(text)


def _are_few(n_distinct, n):
    """Whether so many distinct values in n rows can be classes."""
    return n_distinct <= min(MOST_CLASSES, n / 2)


def _require_labels(target):
    """Refuse text that is rather a column of numbers with other entries among them."""
    n, n_distinct = len(target.labels), np.unique(target.labels).size
    numbers = target.numbers[~np.isnan(target.numbers)]
    others = set(target.labels[np.isnan(target.numbers)].tolist())
    hopeless = n_distinct > max(MOST_CLASSES, n / 2)
    mostly_numbers = (
        others
        and len(numbers) >= n / 2
        and (
            not _are_few(n_distinct, n)
            or (numbers != np.floor(numbers)).any()
            or all(map(says_nothing, others))
        )
    )
    other_notation = others and all(map(target.dialect.notations, others))
    if hopeless or mostly_numbers or other_notation:
        raise _not_numbers(target, "numbers, or labels that repeat")


def says_nothing(text):
    """Whether an entry stands for a missing value, as a lone dash or question mark does."""
    return text.strip().lower() in PLACEHOLDERS or not any(map(str.isalnum, text))


def _not_numbers(target, wanted):
    """Exception about the first entry that writes no number, with the options that would help."""
    odd = np.isnan(target.numbers)
    first = int(odd.argmax())  # the first row where all are numbers, such as 007
    value = str(target.labels[first])
    count = f"{odd.sum()} of {len(odd)} rows hold no number"
    remedies = ["take every entry as a label with --task=classification"]
    if odd.any():
        notations = target.dialect.notations(value)
        remedies.insert(0, f"leave such rows out with --na={shlex.quote(value)}")
        if notations:
            remedies[0] = f"read it with {' or '.join(notations)}"
    else:
        count = f"{np.unique(target.labels).size} different texts in {len(odd)} rows"
        remedies.append("as a number with --task=regression")
    sentence = ", or ".join(remedies)
    return BadInput(
        f"the target {target.name!r} of {target.source} must hold {wanted}; got {value[:30]!r} in "
        f"row {target.rows[first]} ({count}). {sentence[0].upper()}{sentence[1:]}"
    )
