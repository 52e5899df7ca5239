"""What a subcommand raises when it cannot go on, the exit statuses, and the checks all share."""

import importlib.util

import numpy as np

SUCCESS = 0
BAD_INPUT = 2
INTERRUPTED = 130


class BadInput(Exception):
    """An input the user can mend; its text is the one sentence printed."""


def require_package(package, extra, purpose):
    """Refuse to go on without an optional package, naming the extra that installs it."""
    if importlib.util.find_spec(package) is None:
        raise BadInput(f'{purpose} needs {package}: pip install "subquad[{extra}]"')


def require_names(source, names, wanted, role):
    """Refuse a column or array the file does not have, listing those it has."""
    unknown = [name for name in wanted if name not in names]
    if unknown:
        raise BadInput(
            f"{role} must be in {source}; got {listed(unknown)}. It has: {listed(names)}"
        )


def finite(source, values, names):
    """Pass finite numbers through; refuse others, naming the column and the first row."""
    bad = ~np.isfinite(values)
    if bad.any():
        row, *column = np.argwhere(bad)[0]
        raise BadInput(
            f"{source} must hold finite numbers; got {bad.sum()} missing or infinite, "
            f"first in column {names[column[0] if column else 0]!r}, row {row + 1}"
        )
    return values


def listed(names, most=20):
    """Names in a row, the tail as a count."""
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(str(name) for name in names[:most]) + rest


def one_line(error):
    """Return an error's text on one line."""
    return " ".join(str(error).split()) or type(error).__name__
