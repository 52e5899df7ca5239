"""Which target a case number stands for, and what came of it."""

import functools
import importlib
import pkgutil
import traceback
import warnings
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from .attempts import Attempt, Failure, Refused
from .draws import Draw


class Target(NamedTuple):
    """A function of (draw, attempt) that makes calls, the public names it calls, and its share."""

    function: object
    names: tuple
    share: int


@dataclass
class Outcome:
    """What came of a case: its calls as [name, outcome], and what went wrong, if anything did."""

    number: int
    calls: list
    failure: str | None = None
    kind: str | None = None
    trace: str = field(default="", repr=False)


_TARGETS = []


def target(*names, share):
    """Register a target, which comes `share` times in a cycle: 100 where it takes .3 ms."""

    def register(function):
        _TARGETS.append(Target(function, names, share))
        return function

    return register


@functools.cache
def targets():
    """All targets, in an order that the files give."""
    package = importlib.import_module(f"{__package__}.targets")
    for module in sorted(m.name for m in pkgutil.iter_modules(package.__path__)):
        importlib.import_module(f"{package.__name__}.{module}")
    return tuple(_TARGETS)


@functools.cache
def schedule():
    """A cycle of targets in which each has its share, spread evenly."""
    entries = [
        ((turn + 0.5) / each.share, place, each)
        for place, each in enumerate(targets())
        for turn in range(each.share)
    ]
    return tuple(each for _, _, each in sorted(entries, key=lambda entry: entry[:2]))


def target_of(number):
    """The target of a case."""
    cycle = schedule()
    return cycle[number % len(cycle)]


def numbers(first, only=None):
    """Yield case numbers from the first on: all, or those of targets with such a name."""
    cycle = schedule()
    chosen = [
        i
        for i, each in enumerate(cycle)
        if only is None or any(only in name for name in (*each.names, each.function.__name__))
    ]
    if not chosen:
        raise ValueError(f"only must be part of a public name that is fuzzed; got {only!r}.")
    start = first // len(cycle) * len(cycle)
    while True:
        yield from (start + i for i in chosen if start + i >= first)
        start += len(cycle)


class recorded_warnings(warnings.catch_warnings):
    """The warnings of every call, none of which is shown or remembered."""

    def __init__(self):
        super().__init__(record=True)

    def __enter__(self):
        log = super().__enter__()
        warnings.simplefilter("always")
        return log


def run_case(seed, number, log, each=None):
    """Return the Outcome of a case; `log` is that of `recorded_warnings`."""
    draw = Draw(seed, number)
    attempt = Attempt(draw, log)
    each = target_of(number) if each is None else each
    with np.errstate(divide="warn", over="warn", under="ignore", invalid="warn"):
        try:
            each.function(draw, attempt)
        except Refused:
            pass
        except Failure as failure:
            return _failed(number, attempt, each, failure)
        except Exception as error:
            text = f"the definition failed on what was answered: {type(error).__name__}: {error}"
            return _failed(number, attempt, each, error, text)
    return Outcome(number, attempt.calls)


def _failed(number, attempt, each, error, text=None):
    calls = attempt.calls or [[each.function.__name__, "failed"]]
    calls[-1][1] = "failed"
    text = str(error) if text is None else text
    kind = f"{calls[-1][0]}: {text.split(':')[0]:.60}"
    trace = "".join(traceback.format_exception(error))
    return Outcome(number, calls, text, kind, trace)
