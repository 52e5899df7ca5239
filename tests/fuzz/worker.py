"""A process that runs cases and leaves word of each before it begins."""

import collections
import contextlib
import json
import mmap
import os
import struct
import time
from pathlib import Path

from . import cases

# No case needs as much address space as this many bytes; one that takes it shall fail.
_ADDRESS_SPACE = 2**33
_SECONDS_BETWEEN_REPORTS = 1.0


def work(folder, seed, first, *, only=None, seconds=None, calls=None):
    """Run cases until the seconds or calls are used up; write word into files of the folder.

    `at` holds the number of the case that runs, `counts.json` the calls by name and outcome since
    this process began, `failures.jsonl` a line for each failure.
    """
    folder, counts, made = Path(folder), collections.Counter(), 0
    _limit_memory()
    deadline = None if seconds is None else time.monotonic() + seconds
    reported = time.monotonic()
    with _mark(folder / "at") as at, cases.recorded_warnings() as log:
        for number in cases.numbers(first, only):
            struct.pack_into("q", at, 0, number)
            outcome = cases.run_case(seed, number, log)
            made += len(outcome.calls)
            counts.update(map(tuple, outcome.calls))
            if outcome.failure is not None:
                _note(folder / "failures.jsonl", outcome)
            now = time.monotonic()
            if now - reported > _SECONDS_BETWEEN_REPORTS:
                reported = now
                _write_counts(folder / "counts.json", counts)
            if (deadline is not None and now > deadline) or (calls is not None and made >= calls):
                break
    _write_counts(folder / "counts.json", counts)
    (folder / "done").touch()


@contextlib.contextmanager
def _mark(path):
    """Eight bytes of a file as memory that outlives this process."""
    path.write_bytes(struct.pack("q", -1))
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 8) as memory:
        yield memory


def _write_counts(path, counts):
    """Replace the counts at once."""
    beside = path.with_suffix(".new")
    beside.write_text(json.dumps([[*key, n] for key, n in counts.items()]), encoding="utf-8")
    os.replace(beside, path)


def _note(path, outcome):
    line = json.dumps([outcome.number, outcome.kind, outcome.calls[-1][0], outcome.failure])
    with path.open("a", encoding="utf-8") as file:
        file.write(line + "\n")


def _limit_memory():
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (_ADDRESS_SPACE, hard))
