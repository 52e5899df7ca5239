"""The exit statuses, what a subcommand raises when it cannot go on, and the checks all share."""

import difflib
import errno
import importlib.util
import os

import numpy as np

SUCCESS = 0
BAD_INPUT = 2

# For each optional module that the command imports: its distribution, and the extra that has it,
# if one does.
EXTRAS = {
    "matplotlib": ("matplotlib", "plot"),
    "openpyxl": ("openpyxl", None),
    "pyarrow": ("pyarrow", "io"),
    "sklearn": ("scikit-learn", "sklearn"),
    "threadpoolctl": ("threadpoolctl", "sklearn"),
    "tqdm": ("tqdm", "cli"),
}

# What a file must be, for each error of the system about one.
_REQUIREMENTS = {
    errno.ENOENT: "a file must have a path that exists",
    errno.ENOTDIR: "a file must lie in a folder",
    errno.EISDIR: "a file must be named rather than a folder",
    errno.EACCES: "a file must be one that you may read, or write, as was asked",
    errno.EPERM: "a file must be one that you may read, or write, as was asked",
    errno.EROFS: "a file must lie on a disk that can be written to",
    errno.ENOSPC: "a file must lie on a disk with room for it",
    errno.EDQUOT: "a file must fit in what you may use of its disk",
    errno.ENAMETOOLONG: "a file must have a shorter name",
}


class BadInput(Exception):
    """An input the user can mend; its text is the one sentence printed."""


def missing_package(module, purpose):
    """Return the sentence about an optional package that is not there, and how to install it."""
    if module not in EXTRAS:
        return f"{purpose} needs the Python module {module}, which is not installed"
    distribution, extra = EXTRAS[module]
    if extra is None:
        return f"{purpose} needs {distribution}; install it with: pip install {distribution}"
    return (
        f"{purpose} needs {distribution}; install it with: pip install {distribution} "
        f'(or all of its extra: pip install "subquad[{extra}]", in a clone ".[{extra}]")'
    )


def require_package(module, purpose):
    """Refuse to go on without an optional package, saying how to install it."""
    if importlib.util.find_spec(module) is None:
        raise BadInput(missing_package(module, purpose))


def require_file(role, path, remedy=""):
    """Refuse what cannot be read as a file, naming its part in the command."""
    if os.path.isdir(path):
        raise BadInput(f"{role} must be a file; got the folder {str(path)!r}{remedy}")
    if not os.path.isfile(path):
        raise BadInput(f"{role} must be a file that exists; got {str(path)!r}{remedy}")
    if not os.access(path, os.R_OK):
        raise BadInput(
            f"{role} must be a file that you may read; got {str(path)!r}. Change its permissions"
        )


def require_another_file(option, path, taken):
    """Refuse an output that would replace one of the files in `taken`, a dictionary by role."""
    for role, other in taken.items():
        if other is not None and _same_file(path, other):
            raise BadInput(f"{option} must name another file than {role}; got {str(path)!r}")


def require_names(source, names, wanted, role):
    """Refuse a column or array the file does not have, listing those it has."""
    known = set(names)
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise BadInput(
            f"{role} must be in {source}; got {listed(unknown)}{_meant(unknown[0], names)}. It "
            f"has: {listed(names)}"
        )


def _meant(unknown, names):
    """A question about the name that is most like an unknown one, if one is."""
    by_case = {str(name).lower(): str(name) for name in names}
    close = difflib.get_close_matches(unknown.strip().lower(), [*by_case], 1)
    return f" (did you mean {by_case[close[0]]}?)" if close else ""


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
    """Return an error's text on one line; that of the system about a file says what it must be."""
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        required = _REQUIREMENTS.get(error.errno, "a file must be one that can be opened and kept")
        return f"{required}; got {error.strerror}: {os.fspath(error.filename)!r}"
    return " ".join(str(error).split()) or type(error).__name__


def _same_file(path, other):
    """Whether two paths lead to one file, by links too; a path may name no file yet."""
    if os.path.exists(path) and os.path.exists(other):
        return os.path.samefile(path, other)
    return os.path.realpath(path) == os.path.realpath(other)
