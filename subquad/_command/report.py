"""What ``subquad fit`` says: lines for a person, and the same facts as one JSON document.

With --json standard output holds the document alone and the lines go to standard error.
A terminal shows a bar while the fit runs and the table of its steps afterwards; a file or pipe gets
the table's rows as the steps are taken.
"""

import json
import math
import os
import sys

from subquad._command.errors import missing_package

STEP_HEADER = f"{'step':>6} {'|r|/|r0|':>11} {'ratio':>9} {'active':>8} {'flips':>8} {'seconds':>9}"
LABEL_WIDTH = 11


class Report:
    """Facts in the order in which they become known: a key, a value for JSON, a sentence."""

    def __init__(self, as_json):
        self.as_json = as_json
        self.stream = sys.stderr if as_json else sys.stdout
        self.document = {}

    def add(self, key, value, sentence):
        """Keep a fact and print it."""
        self.document[key] = value
        self.line(f"{key.replace('_', ' '):<{LABEL_WIDTH}}{sentence}")

    def line(self, text):
        """Print one line; a reader that has gone away, or a full disk, must not cost the fit."""
        write_line(self.stream, printable(text))

    def close(self):
        """Print the document where JSON was asked for."""
        if self.as_json:
            write_line(sys.stdout, as_json(self.document), needed=True)


class Progress:
    """The trainer's callback: shows every step and keeps its record."""

    def __init__(self, report, max_steps):
        self.report = report
        self.records = []
        self.bar = _bar(report, max_steps)

    def __call__(self, record):
        """Show one finished step."""
        self.records.append(record)
        if self.bar is not None:
            self.bar.set_postfix_str(f"|r|/|r0| {record.relative_residual:.2e}", refresh=False)
            self.bar.update()
        else:
            if len(self.records) == 1:
                self.report.line(STEP_HEADER)
            self.report.line(_step_row(record))

    def close(self):
        """Remove the bar and print the table it stood for."""
        if self.bar is None:
            return
        self.bar.close()
        self.bar = None
        self.report.line(STEP_HEADER)
        for record in self.records:
            self.report.line(_step_row(record))


def write_line(stream, text, needed=False):
    """Print to a stream that may fail, as of a terminal that has closed; then print no more to it.

    What is `needed` raises if it does not arrive, unless the reader itself has gone away.
    """
    try:
        print(text, file=stream, flush=True)
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        if needed and not isinstance(error, BrokenPipeError):
            raise OSError(error.errno, error.strerror, stream.name) from error


def as_json(document):
    """Return JSON text in which a number that is not finite is null."""
    return json.dumps(_plain(document), indent=1, allow_nan=False)


def printable(text):
    """Return text without characters that a terminal would obey rather than show."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def size(n_bytes):
    """Return a number of bytes as a person reads it."""
    exponent = min(int(math.log(max(n_bytes, 1), 1000)), 5)
    unit = ("B", "kB", "MB", "GB", "TB", "PB")[exponent]
    return f"{n_bytes / 1000**exponent:.3g} {unit}"


def _step_row(record):
    """Return one step as a line of the table under ``STEP_HEADER``."""
    return (
        f"{record.step:>6} {record.relative_residual:>11.3e} {record.ratio:>9.3g} "
        f"{record.active_fraction:>8.3f} {record.flips:>8} {record.seconds['total']:>9.3f}"
    )


def _bar(report, max_steps):
    """Return a tqdm bar, or None where no terminal would show it or tqdm is not installed."""
    if not report.stream.isatty():
        return None
    try:
        from tqdm import tqdm
    except ImportError:
        report.line(f"{missing_package('tqdm', 'the progress bar')}.")
        return None
    return tqdm(total=max_steps, desc="fitting", unit="step", file=report.stream, leave=False)


def _plain(value):
    """Dictionaries, lists and numbers that JSON can hold."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
