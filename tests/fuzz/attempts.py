"""One call of the package, and what may come of it."""

import linecache
import re
from pathlib import Path

import numpy as np
import scipy.sparse

import subquad

from . import public

PACKAGE = str(Path(subquad.__file__).parent)
KERNELS = str(Path(PACKAGE, "_kernels"))
# Sentences of scikit-learn refuse arguments of the estimators.
SKLEARN = re.compile(r"[/\\]sklearn[/\\]")
# A model is the caller's own: its forward pass may raise what it likes.
TORCH = re.compile(r"[/\\]torch[/\\]nn[/\\]modules[/\\]")
# Calls that document a plain UserWarning.
WARNS = ("io.Checkpoint.__call__", "io.Checkpoint.save", "interop.apply_change")
SPARSE_PARTS = ("data", "indices", "indptr", "row", "col", "offsets", "rows", "_dict")


class Failure(AssertionError):
    """A call that ended in none of the ways that it may."""


class Refused(Exception):
    """A call that the package refused in its own words: the case ends."""


class Attempt:
    """Makes calls for a case and keeps what came of each.

    Attributes
    ----------
    calls : list of [name, outcome]
        An outcome is "refused", "answered", or "checked" where a definition confirmed the value.
    may_change : bool
        Whether an answered call may write to its arguments, such as `out=x`.
    """

    def __init__(self, draw, log):
        self.draw, self.calls, self._log = draw, [], log
        self.may_change = False

    def __call__(self, function, *args, **kwargs):
        """Return the value of a call; raise Refused or Failure."""
        name = public.name_of(function)
        self.calls.append([name, "failed"])
        given = [*args, *(value for key, value in kwargs.items() if key != "out")]
        before = [fingerprint(value) for value in given]
        del self._log[:]
        wrong, self.draw.wrong = self.draw.wrong, None
        try:
            value = function(*args, **kwargs)
        except Exception as error:
            require_own_sentence(error, name)
            _require_unchanged(given, before)
            if not (wrong or self.draw.hostile):
                raise Failure(f"refused what is not wrong: {describe(error)}") from error
            self.calls[-1][1] = "refused"
            raise Refused from error
        if not self.may_change:
            _require_unchanged(given, before)
        self._check_warnings()
        if wrong:
            raise Failure(f"answered although an argument is {wrong}: {value!r:.200}")
        self.calls[-1][1] = "answered"
        return value

    def equal(self, value, expected, what="value"):
        """Raise Failure unless two values, or arrays and their dtypes, are the same."""
        if isinstance(value, np.ndarray):
            same = value.dtype == np.asarray(expected).dtype and np.array_equal(value, expected)
        else:
            same = value == expected
        if not same:  # what arrays look like takes longer than most calls
            raise Failure(f"{what} must be {expected!r:.300}; got {value!r:.300}")
        self.calls[-1][1] = "checked"

    def holds(self, condition, what):
        """Raise Failure unless a property holds."""
        if not condition:
            raise Failure(what)
        self.calls[-1][1] = "checked"

    def close(self, value, expected, size, terms, *, dtype=None, floor=0.0):
        """Raise Failure unless an array is what the definition gives, up to its rounding.

        A sum of k products of numbers, in any order and with any of its factors rounded first, is
        off by at most (k + 8) eps times the same sum of absolute values, twice that against a
        definition that is rounded too; `floor` is what underflow may add.

        Parameters
        ----------
        value : ndarray
        expected : ndarray
            By the definition, in float64.
        size : ndarray
            The definition for the absolute values of all that enters it. Where it overflows the
            dtype of the result, or comes within a factor of two, nothing is claimed.
        terms : int
            k.
        dtype : dtype, optional
            What the result must have; float64 by default.
        """
        dtype = np.dtype(np.float64 if dtype is None else dtype)
        value, expected = np.asarray(value), np.asarray(expected, np.float64)
        if value.dtype != dtype or value.shape != expected.shape:
            raise Failure(
                f"the value must have dtype {dtype} and shape {expected.shape}; "
                f"got {value.dtype} and {value.shape}"
            )
        info = np.finfo(dtype)
        with np.errstate(all="ignore"):
            size = np.abs(size)
            bound = 2 * (terms + 8) * (float(info.eps) * size + float(info.tiny) + floor)
            sure = size < float(info.max) / 2
            wrong = sure & ~(np.abs(value - expected) <= bound)
        if wrong.any():
            where = np.unravel_index(np.argmax(wrong), wrong.shape)
            raise Failure(
                f"value {value[where]!r} at {where} for {expected[where]!r}, "
                f"beyond {np.broadcast_to(bound, wrong.shape)[where]:.2g}"
            )
        self.calls[-1][1] = "checked"

    def _check_warnings(self):
        for warning in self._log:
            known = issubclass(warning.category, UserWarning) and from_package(warning.category)
            numpys = warning.category is RuntimeWarning and self.draw.extreme
            told = self.calls[-1][0] in WARNS and warning.category is UserWarning
            pictures = self.calls[-1][0].startswith("plotting.")  # of matplotlib
            if not (known or numpys or told or pictures):
                text = f"{warning.category.__name__}: {warning.message}"
                raise Failure(f"{text} ({warning.filename}:{warning.lineno})")


def require_own_sentence(error, name):
    """Raise Failure unless an exception is a sentence of the package that names an argument."""
    frame = last_frame(error)
    path = frame.f_code.co_filename
    estimator = name.startswith("estimators.")
    if estimator and SKLEARN.search(path) and isinstance(error, (TypeError, ValueError)):
        return
    files = name.startswith(("io.", "interop."))
    if files and isinstance(error, OSError) and error.filename is not None:
        return  # the system's own sentence about a file, which is documented
    if name.startswith("interop.") and TORCH.search(path):
        return  # what the caller's own model says of inputs that it does not take
    line = linecache.getline(path, error_line(error)).strip()
    raised = path.startswith(PACKAGE) and not path.startswith(KERNELS) and line[:5] == "raise"
    kinds = (TypeError, ValueError, MemoryError, AttributeError, OSError, ImportError)
    if not raised or not isinstance(error, (*kinds, FloatingPointError)):
        raise Failure(f"{describe(error)} ({Path(path).name}: {line})") from error
    text = str(error)
    if not re.search(r"\w.*[.)]$", text, re.DOTALL) or len(text) > 2000:
        raise Failure(f"no sentence: {describe(error)}") from error


def describe(error):
    return f"{type(error).__name__}: {error!s:.300}"


def last_frame(error):
    return _last(error).tb_frame


def error_line(error):
    return _last(error).tb_lineno


def from_package(category):
    return category.__module__.split(".")[0] in ("subquad", "sklearn")


def fingerprint(value):
    """Return what tells whether a value has changed; None where nothing can."""
    if isinstance(value, np.ndarray):
        return value.tobytes() if value.dtype != object else repr(value)
    if isinstance(value, (tuple, list)):
        return [fingerprint(part) for part in value]
    if scipy.sparse.issparse(value):
        parts = [getattr(value, name, None) for name in SPARSE_PARTS]
        return [repr(p) if not isinstance(p, np.ndarray) else fingerprint(p) for p in parts]
    return None


def _require_unchanged(given, before):
    for i, (value, old) in enumerate(zip(given, before, strict=True)):
        if old is not None and fingerprint(value) != old:
            raise Failure(f"argument {i} was changed by the call")


def _last(error):
    traceback = error.__traceback__
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    return traceback
